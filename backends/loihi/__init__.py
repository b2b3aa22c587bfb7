"""Loihi through Lava: a self-contained program, its legal numbers, and how it runs on Lava's CPU models."""
