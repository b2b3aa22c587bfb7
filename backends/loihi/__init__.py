"""Loihi, through Lava: what is emitted runs on Intel's own software model of the chip."""
