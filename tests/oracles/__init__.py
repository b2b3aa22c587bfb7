"""Independent, slow definitions of five spiking systems in plain torch, to test against."""
