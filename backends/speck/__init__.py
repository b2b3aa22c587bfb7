"""Speck 2e and 2f (DYNAP-CNN), by way of Sinabs: checks, discretization, and what a chip is loaded with."""
