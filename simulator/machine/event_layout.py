"""Where kernels of the discipline `event` find things."""

TAPS, LIST = range(2)
"""How targets are found: taps of a kernel (dense rows are those of 1 x 1), an explicit list."""
KIND, TO, ENTRY, WORK, SLOT, WEIGHT, OUTS, ROW, COLUMN, LINE, PITCH, KERNEL, WIDE, INVERSE = range(14)
"""Columns of `Synapses.numbers`: LINE and PITCH are slots from a row, and a column, to the next; KERNEL and
WIDE are weights of a channel, and of a row of taps; INVERSE is 2^INVERSE_BITS / OUTS, rounded up (of dense
rows 0)."""
INVERSE_BITS = 40
TAP, TARGET, COUNT = range(3)
"""Columns of `Synapses.runs`: the first tap as it is stored, the target it leads to, and how many follow."""
RUN_BYTES, TARGET_BYTES, COUNT_BYTES = 24, 8, 16
SIDE_BITS, GROUP_BITS, CHANNEL_BITS = 14, 28, 42
SIDE = 1 << SIDE_BITS
"""Entries of taps are packed: y, x, group and channel, from low to high."""
