"""All quiet synapses of one spike through one connection: addresses only, as arrays need more registers."""

from __future__ import annotations

from typing import Any

from snncc.simulator.jit import inner
from snncc.simulator.machine.event_block import add_block, add_clamped, add_part
from snncc.simulator.machine.event_layout import (
    CHANNEL_BITS,
    COLUMN,
    COUNT_BYTES,
    GROUP_BITS,
    KERNEL,
    LINE,
    OUTS,
    PITCH,
    ROW,
    RUN_BYTES,
    SIDE,
    SIDE_BITS,
    SLOT,
    TARGET_BYTES,
    WEIGHT,
    WIDE,
)
from snncc.simulator.simd import load_long, size_of


@inner
def add_window(
    d0: Any,
    w0: Any,
    d: int,
    weights: int,
    numbers: int,
    first: int,
    runs: int,
    entry: int,
    least: int,
    span: int,
    masks: int,
    floor: int,
) -> int:
    """Add the weights of *entry* to its targets; 0 where all are quiet.

    *d0* and *w0* are of the types of potentials and weights; all else are addresses, but *least* and *span*
    of the quiet range, and *floor*, 0 where there is no clamp. At *masks* follow, for each block of each run,
    the bits of those that are not quiet: these have the sum, which may be out of their range.
    """
    lanes, outs = 64 // size_of(d0), load_long(numbers + 8 * OUTS)
    y, x = entry & (SIDE - 1), (entry >> SIDE_BITS) & (SIDE - 1)
    group, channel = (entry >> GROUP_BITS) & (SIDE - 1), entry >> CHANNEL_BITS
    at = (load_long(numbers + 8 * SLOT) + group * outs) * size_of(d0)
    of = weights + (load_long(numbers + 8 * WEIGHT) + channel * load_long(numbers + 8 * KERNEL)) * size_of(w0)
    line, wide = load_long(numbers + 8 * LINE) * size_of(d0), load_long(numbers + 8 * WIDE) * size_of(w0)
    pitch, tap_bytes = load_long(numbers + 8 * PITCH) * size_of(d0), outs * size_of(w0)
    rows, columns = (
        first + 8 * (load_long(numbers + 8 * ROW) + y),
        first + 8 * (load_long(numbers + 8 * COLUMN) + x),
    )
    row, last_row = runs + RUN_BYTES * load_long(rows), runs + RUN_BYTES * load_long(rows + 8)
    left, right = runs + RUN_BYTES * load_long(columns), runs + RUN_BYTES * load_long(columns + 8)
    some = 0
    while row < last_row:
        to, begin = at + load_long(row + TARGET_BYTES) * line, of + load_long(row) * wide
        column = left
        while column < right:
            slots = to + load_long(column + TARGET_BYTES) * pitch
            here, there = d + slots, begin + load_long(column) * tap_bytes
            rest = load_long(column + COUNT_BYTES) * outs
            if floor:
                while rest > 0:
                    part = (1 << min(rest, lanes)) - 1
                    mask = add_clamped(d0, w0, here, there, least, span, part, here - d + floor, masks)
                    some |= mask
                    here, there, masks, rest = here + 64, there + lanes * size_of(w0), masks + 8, rest - lanes
            else:
                while rest >= lanes:
                    some |= add_block(d0, w0, here, there, least, span, masks)
                    here, there, masks, rest = here + 64, there + lanes * size_of(w0), masks + 8, rest - lanes
                if rest:
                    some |= add_part(d0, w0, here, there, least, span, (1 << rest) - 1, masks)
                    masks += 8
            column += RUN_BYTES
        row += RUN_BYTES
    return some
