"""The simulator as a target: an ideal machine until a chip file is given."""
