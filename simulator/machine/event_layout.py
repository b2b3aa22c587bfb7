"""Where kernels of the discipline `event` find things."""

WINDOW, LIST = range(2)
"""How targets are found: rows of neighbors (dense: one row), an explicit list."""
KIND, TO, ENTRY, WORK, OUTS, LINE, WIDE = range(7)
"""Columns of `Synapses.numbers`: LINE and WIDE are slots, and weights, from a row of a window to the next."""
SLOT, WEIGHT, ROWS, TAPS = range(4)
"""Columns of `Synapses.windows`: where it begins, its rows, and the taps of each. Of an explicit list: where
it begins, nothing, 1, and how many synapses it has."""
