"""Back ends: one folder a target."""
