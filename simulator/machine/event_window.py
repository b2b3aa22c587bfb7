"""All quiet synapses of one window: addresses only, as arrays need more registers."""

from __future__ import annotations

from typing import Any

from snncc.simulator.jit import inner
from snncc.simulator.machine.event_block import add_block, add_clamped, add_part
from snncc.simulator.simd import size_of


@inner
def add_window(
    d0: Any,
    w0: Any,
    to: int,
    of: int,
    rows: int,
    run: int,
    line: int,
    wide: int,
    least: int,
    span: int,
    drop: int,
    masks: int,
    floor: int,
) -> int:
    """Add the weights at *of* to the potentials at *to*; 0 where all are quiet then.

    *d0* and *w0* are of the types of potentials and weights; *line* and *wide* are bytes from a row of *run*
    targets to the next, *floor* leads from a potential to its clamp (0: there is none). At *masks* follow,
    for each block of each row, the bits of those that are not in the quiet range: they become less by *drop*.
    """
    lanes, some = 64 // size_of(d0), 0
    step = lanes * size_of(w0)
    while rows > 0:
        here, there, rest = to, of, run
        if floor:
            while rest > 0:
                part = (1 << min(rest, lanes)) - 1
                some |= add_clamped(d0, w0, here, there, least, span, drop, part, here + floor, masks)
                here, there, masks, rest = here + 64, there + step, masks + 8, rest - lanes
        else:
            while rest >= lanes:
                some |= add_block(d0, w0, here, there, least, span, drop, masks)
                here, there, masks, rest = here + 64, there + step, masks + 8, rest - lanes
            if rest:
                some |= add_part(d0, w0, here, there, least, span, drop, (1 << rest) - 1, masks)
                masks += 8
        to, of, rows = to + line, of + wide, rows - 1
    return some
