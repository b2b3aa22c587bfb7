"""Front ends: from a model of another framework to a spike graph. Each imports its framework when used."""
