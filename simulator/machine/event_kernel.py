"""What one event does, and all synapses of one spike through one connection (MACHINE.md, 7).

Neurons and readouts have *slots*: those of a population that a convolution leads to lie channels last, so
that the targets of one tap are neighbors. A potential is kept as its distance *d* to the lowest one that
fires (of a readout: to what it has summed up before), so that nothing happens below zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.machine.event_block import add_block, add_clamped, beyond, lowest_bit
from snncc.simulator.machine.event_inline import inlined

ERROR, SATURATE, WRAP = range(3)
"""What happens beyond the width of a potential."""
GOOD, OVERFLOW, NARROW, RUNAWAY, MORE, STUCK = range(6)
"""How a run ended: as it should, a potential left its width, or the width of *d*; a loop excited itself;
it needs more memory; nothing can go on."""
ROWS, TAPS, LIST = range(3)
"""How targets are found: dense rows, taps of a kernel, an explicit list."""
KIND, TO, ENTRY, WORK, SLOT, WEIGHT, OUTS, ROW, COLUMN, OUT_WIDTH, PITCH, KH, KW = range(13)
"""Columns of `Synapses.numbers`."""
LEAST, RHO, RESET, POPULATION, HOME = range(5)
"""Columns of `Cells.own`."""
SIDE_BITS = 14
SIDE = 1 << SIDE_BITS
ROW_SIZE = 1 << 3 * SIDE_BITS
"""Entries are packed: of taps y, x, group and channel, from low to high; of dense rows column and row."""


class Cells(NamedTuple):
    """Neurons and readouts.

    By slot: *d* and, of its width, *floor* (the lower clamp); *own* [slots, 8]: LEAST (of a readout: what it
    has summed up), RHO, RESET, POPULATION, HOME (the core). By population: *fires*, *subtracts*, *clamps*,
    *is_bounded*, *overflow*, *low*, *high* (of the width), the quiet range *lower*..*upper* of d, and the
    counts *saturations*. *fault*: how it ended, slot, value. *reach*: how far d may go.
    """

    d: Any
    floor: Any
    own: Any
    fires: Any
    subtracts: Any
    clamps: Any
    is_bounded: Any
    overflow: Any
    low: Any
    high: Any
    lower: Any
    upper: Any
    saturations: Any
    fault: Any
    reach: int


class Synapses(NamedTuple):
    """All connections, by source population: those of population p are ``begin[p] : begin[p + 1]``.

    *numbers* [connections, 13]. The source in local slot k of connection j has the entries ``entry[first[i] :
    last[i]]`` with i = its number ENTRY + k. *list_first*, *list_slot*, *list_weight*: explicit synapses of
    entries. *tap_first*, *tap*, *tap_to*: of each row (column) of a map the taps that lead to a row (column)
    of targets.
    """

    begin: Any
    numbers: Any
    first: Any
    last: Any
    entry: Any
    list_first: Any
    list_slot: Any
    list_weight: Any
    tap_first: Any
    tap: Any
    tap_to: Any
    weights: Any


class Quiet(NamedTuple):
    """Of the targets of a connection: addresses of potentials, weights and clamps, and the quiet range."""

    d: int
    weights: int
    floor: int
    lower: int
    upper: int
    clamps: bool


class Fired(NamedTuple):
    """What fired by one connection: its *slot*, and the number of the synapse. *count* [1] of synapses."""

    slot: Any
    index: Any
    count: Any


@inlined
def fit(c: Cells, slot: int, x: int) -> int:
    """*x* in the width of its population."""
    p = c.own[slot, POPULATION]
    if not c.is_bounded[p] or c.low[p] <= x <= c.high[p]:
        return x
    c.saturations[p] += 1
    if c.overflow[p] == SATURATE:
        return c.low[p] if x < c.low[p] else c.high[p]
    if c.overflow[p] == WRAP:
        span = c.high[p] - c.low[p] + 1
        rest = (x - c.low[p]) % span
        return (rest + span if rest < 0 else rest) + c.low[p]
    if c.fault[0] == 0:
        c.fault[0], c.fault[1], c.fault[2] = OVERFLOW, slot, x
    return 0


@inlined
def event(c: Cells, slot: int, weight: int) -> bool:
    """One event through one synapse; whether the neuron fires."""
    p = c.own[slot, POPULATION]
    x = c.d[slot] + c.own[slot, LEAST] + weight
    if not c.fires[p]:
        c.own[slot, LEAST] = x
        c.d[slot] = 0
        return False
    x = fit(c, slot, x)
    if c.clamps[p]:
        x = max(x, c.floor[slot] + c.own[slot, LEAST])
    does = x >= c.own[slot, LEAST]
    if does:
        x = fit(c, slot, x - c.own[slot, RHO]) if c.subtracts[p] else c.own[slot, RESET]
    x -= c.own[slot, LEAST]
    if (x > c.reach or x < -c.reach) and c.fault[0] == 0:
        c.fault[0], c.fault[1], c.fault[2] = NARROW, slot, x + c.own[slot, LEAST]
        return False
    c.d[slot] = x
    return does


@inlined
def one(c: Cells, slot: int, weight: int, core: int, out: Fired, top: int) -> int:
    """One synapse, if it leads to *core* (-1: anywhere); the new end of what fired."""
    if core >= 0 and c.own[slot, HOME] != core:
        return top
    if event(c, slot, weight):
        out.slot[top], out.index[top] = slot, out.count[0]
        top += 1
    out.count[0] += 1
    return top


@inlined
def some_of(c: Cells, weights: Any, at: int, of: int, n: int, core: int, out: Fired, top: int) -> int:
    """The synapses of *n* neighbors from slot *at* on that are on *core*, with the weights from *of* on."""
    for k in range(n):
        top = one(c, at + k, weights[of + k], core, out, top)
    return top


@inlined
def all_of(
    c: Cells, weights: Any, q: Quiet, at: int, of: int, n: int, count: int, out: Fired, top: int
) -> int:
    """The synapses of *n* neighbors from slot *at* on, after *count* others; blocks of them first."""
    k, lanes = 0, 64 // c.d.itemsize
    here, there = q.d + at * c.d.itemsize, q.weights + of * weights.itemsize
    while k + lanes <= n:
        mask = beyond(c.d, weights, here, there, q.lower, q.upper)
        if mask and q.clamps:
            for i in range(k, k + lanes):
                if event(c, at + i, weights[of + i]):
                    out.slot[top], out.index[top] = at + i, count + i
                    top += 1
        elif mask:
            while mask:
                i = k + lowest_bit(mask)
                mask &= mask - 1
                if event(c, at + i, weights[of + i]):
                    out.slot[top], out.index[top] = at + i, count + i
                    top += 1
                c.d[at + i] -= weights[of + i]  # as the whole block is added now
            add_block(c.d, weights, here, there)
        elif q.clamps:
            add_clamped(c.d, weights, here, there, q.floor + (at + k) * c.d.itemsize)
        else:
            add_block(c.d, weights, here, there)
        here, there, k = here + 64, there + lanes * weights.itemsize, k + lanes
    for i in range(k, n):
        if event(c, at + i, weights[of + i]):
            out.slot[top], out.index[top] = at + i, count + i
            top += 1
    return top


@inlined
def deliver(c: Cells, s: Synapses, j: int, source: int, core: int, out: Fired, top: int) -> int:
    """All synapses of connection *j* from its local slot *source* into *core* (-1: any core).

    What fires is appended to *out* from *top* on; returns its end.
    """
    out.count[0] = count = 0
    p, kind, outs = s.numbers[j, TO], s.numbers[j, KIND], s.numbers[j, OUTS]
    at, of = s.numbers[j, SLOT], s.numbers[j, WEIGHT]
    kh, kw, pitch = s.numbers[j, KH], s.numbers[j, KW], s.numbers[j, PITCH]
    first_row, first_column = s.numbers[j, ROW], s.numbers[j, COLUMN]
    line = s.numbers[j, OUT_WIDTH] * pitch
    d, weights, floor = c.d.ctypes.data, s.weights.ctypes.data, c.floor.ctypes.data
    q = Quiet(d, weights, floor, c.lower[p], c.upper[p], c.clamps[p] != 0)
    low, high = s.first[s.numbers[j, ENTRY] + source], s.last[s.numbers[j, ENTRY] + source]
    for n in range(low, high):
        entry = s.entry[n]
        if kind == TAPS:
            y, x = entry & (SIDE - 1), (entry >> SIDE_BITS) & (SIDE - 1)
            to = at + ((entry >> 2 * SIDE_BITS) & (SIDE - 1)) * outs
            start = of + (entry >> 3 * SIDE_BITS) * kh * kw * outs
            left, right = s.tap_first[first_column + x], s.tap_first[first_column + x + 1]
            for ty in range(s.tap_first[first_row + y], s.tap_first[first_row + y + 1]):
                row, begin = to + s.tap_to[ty] * line, start + s.tap[ty] * kw * outs
                for tx in range(left, right):
                    slot, weight = row + s.tap_to[tx] * pitch, begin + s.tap[tx] * outs
                    if core < 0:
                        top = all_of(c, s.weights, q, slot, weight, outs, count, out, top)
                        count += outs
                    else:
                        top = some_of(c, s.weights, slot, weight, outs, core, out, top)
        elif kind == ROWS:
            slot, weight = at + (entry >> 3 * SIDE_BITS) * outs, of + (entry & (ROW_SIZE - 1)) * outs
            if core < 0:
                top = all_of(c, s.weights, q, slot, weight, outs, count, out, top)
                count += outs
            else:
                top = some_of(c, s.weights, slot, weight, outs, core, out, top)
        else:
            for k in range(s.list_first[of + entry], s.list_first[of + entry + 1]):
                top = one(c, s.list_slot[k], s.list_weight[k], core, out, top)
    out.count[0] += count
    return top
