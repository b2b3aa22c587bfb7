"""What one event does, and all synapses of one spike through one connection (MACHINE.md, 7).

Neurons and readouts have *slots*: those of a population that a convolution leads to lie channels last, so
that the targets of neighboring taps are neighbors. A potential is kept as its distance to the lowest one
that fires (of a readout: to what it has summed up before), so that nothing happens below zero. This
distance is the sum of *d*, of few bits, and *deep*, which is seldom not 0, and never more: where *d* is below
zero, the distance is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snncc.simulator.machine.event_block import load_mask, lowest_bit
from snncc.simulator.machine.event_inline import inlined
from snncc.simulator.machine.event_layout import (
    ENTRY,
    KIND,
    LINE,
    LIST,
    OUTS,
    ROWS,
    SLOT,
    TAPS,
    WEIGHT,
    WIDE,
)
from snncc.simulator.machine.event_layout import (
    TO as TO,
)
from snncc.simulator.machine.event_layout import (
    WORK as WORK,
)
from snncc.simulator.machine.event_window import add_window
from snncc.simulator.simd import size_of

ERROR, SATURATE, WRAP = range(3)
"""What happens beyond the width of a potential."""
GOOD, OVERFLOW, NARROW, RUNAWAY, MORE, STUCK, CROWDED, LATE = range(8)
"""How a run ended: as it should, a potential left its width, or the width of *d*; a loop excited itself;
it needs more memory; nothing can go on; a neuron fired too often in a timestep for the width of counts; its
clock has come too far."""
LEAST, RHO, RESET, POPULATION, HOME = range(5)
"""Columns of `Cells.own`."""
NONE = -1


class Cells(NamedTuple):
    """Neurons and readouts.

    By slot: *d*, *deep* and, of the width of d, *floor* (the lower clamp); *own* [slots, 8]: LEAST (of a
    readout: what it has summed up), RHO, RESET, POPULATION, HOME (the core). By population: *fires*,
    *subtracts*, *clamps*, *is_bounded*, *overflow*, *low*, *high* (of the width), the quiet range of d, which
    is *lower* .. *lower* + *span*, how low deep may be (*deepest*), whether one may be (*is_deep*), the
    *drop* of neurons that fire where all subtract the same and have neither clamp nor width (else NONE), and
    the counts *saturations*. *fault*: how it ended, slot, value. *far*: how far d may go, *reach*: a
    distance. *masks*: room for `add_window`.
    """

    d: Any
    deep: Any
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
    span: Any
    deepest: Any
    is_deep: Any
    drop: Any
    saturations: Any
    fault: Any
    masks: Any
    far: int
    reach: int


class Synapses(NamedTuple):
    """All connections, by source population: those of population p are ``begin[p] : begin[p + 1]``.

    *numbers* [connections, 7]. The source in local slot k of connection j has the *windows*
    ``[first[i] : first[i + 1]]`` with i = its number ENTRY + k: rows of taps that lead to neighbors, with one
    weight for each of OUTS channels. In the order of synapses the taps of a row come from last to first.
    *list_slot*, *list_weight*: explicit synapses.
    """

    begin: Any
    numbers: Any
    first: Any
    windows: Any
    list_slot: Any
    list_weight: Any
    weights: Any


class Fired(NamedTuple):
    """What fired by one connection: its *slot*, and the number of the synapse (*index*). *weight*: where that
    of one that perhaps fires is; *count* [1] of synapses."""

    slot: Any
    index: Any
    weight: Any
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
def keep(c: Cells, slot: int, x: int) -> None:
    """The distance of the neuron *slot* becomes *x*."""
    if -c.far <= x <= c.far:
        c.deep[slot], c.d[slot] = 0, x
        return
    p = c.own[slot, POPULATION]
    deep = min(0, max(x + c.far // 2, c.deepest[p]))
    if not -c.far <= x - deep <= c.far or x < -c.reach:
        if c.fault[0] == 0:
            c.fault[0], c.fault[1], c.fault[2] = NARROW, slot, x + c.own[slot, LEAST]
        return
    c.deep[slot], c.d[slot], c.is_deep[p] = deep, x - deep, 1


@inlined
def event(c: Cells, slot: int, weight: int) -> bool:
    """One event through one synapse; whether the neuron fires."""
    x = c.d[slot] + c.deep[slot] + weight
    p = c.own[slot, POPULATION]
    x += c.own[slot, LEAST]
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
    keep(c, slot, x - c.own[slot, LEAST])
    return does


@inlined
def note_sums(c: Cells, begins: Any, sums: Any, t: int) -> None:
    """What readouts have summed up becomes row *t* of *sums*: of the slots from the first readout on."""
    first = begins[len(begins) - 1] - sums.shape[1]
    for p in range(len(c.fires)):
        if not c.fires[p] and begins[p] >= first:
            for slot in range(begins[p], begins[p + 1]):
                sums[t, slot - first] = c.d[slot] + c.own[slot, LEAST]


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
def some_of(
    c: Cells, s: Synapses, j: int, at: int, of: int, taps: int, core: int, out: Fired, top: int
) -> int:
    """The synapses of a row of *taps* from slot *at* on that are on *core*, weights from *of* on."""
    outs = s.numbers[j, OUTS]
    for tap in range(taps - 1, -1, -1):
        for k in range(tap * outs, (tap + 1) * outs):
            top = one(c, at + k, s.weights[of + k], core, out, top)
    return top


@inlined
def is_above(c: Cells, slot: int, p: int) -> bool:
    """Whether the neuron *slot* fires, which was not quiet and whose d has fallen by the drop of *p*."""
    drop = c.drop[p]
    x = c.d.dtype.type(c.d[slot] + drop)
    if 0 <= x <= c.far and not c.is_deep[p]:
        return True
    x += c.deep[slot]
    keep(c, slot, x - drop if x >= 0 else x)
    return x >= 0


@inlined
def insert(out: Fired, top: int, end: int, slot: int, index: int, weight: int) -> None:
    """Put one synapse among those from *top* to *end*, which are in the order of *index*."""
    n = end
    while n > top and out.index[n - 1] > index:
        out.slot[n], out.index[n], out.weight[n] = out.slot[n - 1], out.index[n - 1], out.weight[n - 1]
        n -= 1
    out.slot[n], out.index[n], out.weight[n] = slot, index, weight


@inlined
def loud_of(
    c: Cells, s: Synapses, j: int, at: int, of: int, rows: int, taps: int, out: Fired, top: int
) -> int:
    """Those of a window that are not quiet, by its masks, in the order of synapses."""
    d0, outs, p = c.d.dtype.type(0), s.numbers[j, OUTS], s.numbers[j, TO]
    masks, lanes, run, end = address(c.masks), 64 // size_of(d0), taps * outs, top
    across = (run + lanes - 1) // lanes
    has_drop = c.drop[p] != NONE
    for low in range(0, rows * across, 64):
        hits = 0  # blocks with some
        for b in range(low, min(low + 64, rows * across)):
            hits |= (load_mask(d0, masks + 8 * b) != 0) << (b - low)
        while hits:
            b = low + lowest_bit(hits)
            hits &= hits - 1
            row = 0
            for other in range(1, rows):
                row += b >= other * across
            mask, k0 = load_mask(d0, masks + 8 * b), (b - row * across) * lanes
            while mask:
                k = k0 + lowest_bit(mask)
                mask &= mask - 1
                slot = at + row * s.numbers[j, LINE] + k
                if has_drop and not is_above(c, slot, p):
                    continue
                tap = 0
                for other in range(1, taps):
                    tap += k >= other * outs
                index = row * run + k + (taps - 1 - 2 * tap) * outs + out.count[0]
                insert(out, top, end, slot, index, of + row * s.numbers[j, WIDE] + k)
                end += 1
    if has_drop:
        return end
    for n in range(top, end):
        weight = s.weights[out.weight[n]]
        c.d[out.slot[n]] -= weight  # as the whole block has been added
        if event(c, out.slot[n], weight):
            out.slot[top], out.index[top] = out.slot[n], out.index[n]
            top += 1
    return top


@inlined
def address(array: Any) -> Any:
    """Where *array* is."""
    return np.int64(array.ctypes.data)


@inlined
def window(c: Cells, s: Synapses, j: int, n: int, core: int, out: Fired, top: int) -> int:
    """All synapses of window *n* of connection *j* into *core*."""
    at, of, rows, taps = s.windows[n, SLOT], s.windows[n, WEIGHT], s.windows[n, ROWS], s.windows[n, TAPS]
    line, wide, run = s.numbers[j, LINE], s.numbers[j, WIDE], taps * s.numbers[j, OUTS]
    if core >= 0:
        for row in range(rows):
            top = some_of(c, s, j, at + row * line, of + row * wide, taps, core, out, top)
        return top
    p, d0, w0 = s.numbers[j, TO], c.d.dtype.type(0), s.weights.dtype.type(0)
    size = size_of(d0)
    some = add_window(
        d0,
        w0,
        address(c.d) + at * size,
        address(s.weights) + of * size_of(w0),
        rows,
        run,
        line * size,
        wide * size_of(w0),
        c.lower[p],
        c.span[p],
        max(c.drop[p], 0),
        address(c.masks),
        address(c.floor) - address(c.d) if c.clamps[p] else 0,
    )
    if some:
        top = loud_of(c, s, j, at, of, rows, taps, out, top)
    out.count[0] += rows * run
    return top


@inlined
def deliver(c: Cells, s: Synapses, j: int, source: int, core: int, out: Fired, top: int) -> int:
    """All synapses of connection *j* from its local slot *source* into *core* (-1: any core).

    What fires is appended to *out* from *top* on; returns its end.
    """
    out.count[0] = 0
    place = s.numbers[j, ENTRY] + source
    for n in range(s.first[place], s.first[place + 1]):
        if s.numbers[j, KIND] == LIST:
            begin = s.windows[n, SLOT]
            for k in range(begin, begin + s.windows[n, TAPS]):
                top = one(c, s.list_slot[k], s.list_weight[k], core, out, top)
        else:
            top = window(c, s, j, n, core, out, top)
    return top
