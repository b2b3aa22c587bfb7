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

from snncc.simulator.machine.event_block import lowest_bit
from snncc.simulator.machine.event_inline import inlined
from snncc.simulator.machine.event_layout import (
    CHANNEL_BITS,
    COLUMN,
    COUNT,
    ENTRY,
    GROUP_BITS,
    INVERSE,
    INVERSE_BITS,
    KERNEL,
    KIND,
    LINE,
    OUTS,
    PITCH,
    ROW,
    SIDE,
    SIDE_BITS,
    SLOT,
    TAP,
    TAPS,
    TARGET,
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
GOOD, OVERFLOW, NARROW, RUNAWAY, MORE, STUCK = range(6)
"""How a run ended: as it should, a potential left its width, or the width of *d*; a loop excited itself;
it needs more memory; nothing can go on."""
LEAST, RHO, RESET, POPULATION, HOME = range(5)
"""Columns of `Cells.own`."""
NONE, ANYWHERE = -1, -2


class Cells(NamedTuple):
    """Neurons and readouts.

    By slot: *d*, *deep* and, of the width of d, *floor* (the lower clamp); *own* [slots, 8]: LEAST (of a
    readout: what it has summed up), RHO, RESET, POPULATION, HOME (the core). By population: *fires*,
    *subtracts*, *clamps*, *is_bounded*, *overflow*, *low*, *high* (of the width), the quiet range of d, which
    is *lower* .. *lower* + *span*, how low deep may be (*deepest*), the *drop* of neurons that fire where all
    subtract the same and have neither clamp nor width (else NONE), and the counts *saturations*. *fault*: how
    it ended, slot, value. *far*: how far d may go, *reach*: a distance. *masks*: room for `add_window`.
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
    drop: Any
    saturations: Any
    fault: Any
    masks: Any
    far: int
    reach: int


class Synapses(NamedTuple):
    """All connections, by source population: those of population p are ``begin[p] : begin[p + 1]``.

    *numbers* [connections, 14]. The source in local slot k of connection j has the entry ``single[i]`` with
    i = its number ENTRY + k; where that is NONE, ``entry[first[i] : last[i]]``. *list_first*, *list_slot*,
    *list_weight*: explicit synapses of entries. ``runs[run_first[k] : run_first[k + 1]]``, k from ROW
    (COLUMN) on: of each row (column) of a map the taps that lead to neighboring rows (columns) of targets
    (those of rows are alone). In the order of synapses the taps of a run come from last to first.
    """

    begin: Any
    numbers: Any
    first: Any
    last: Any
    single: Any
    entry: Any
    list_first: Any
    list_slot: Any
    list_weight: Any
    run_first: Any
    runs: Any
    weights: Any


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
def keep(c: Cells, slot: int, x: int) -> None:
    """The distance of the neuron *slot* becomes *x*."""
    if -c.far <= x <= c.far:
        c.deep[slot], c.d[slot] = 0, x
        return
    deep = min(0, max(x + c.far // 2, c.deepest[c.own[slot, POPULATION]]))
    if not -c.far <= x - deep <= c.far or x < -c.reach:
        if c.fault[0] == 0:
            c.fault[0], c.fault[1], c.fault[2] = NARROW, slot, x + c.own[slot, LEAST]
        return
    c.deep[slot], c.d[slot] = deep, x - deep


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
    c: Cells, weights: Any, at: int, of: int, outs: int, taps: int, core: int, out: Fired, top: int
) -> int:
    """The synapses of *taps* neighboring taps from slot *at* on that are on *core*, weights from *of* on."""
    for tap in range(taps - 1, -1, -1):
        for k in range(tap * outs, (tap + 1) * outs):
            top = one(c, at + k, weights[of + k], core, out, top)
    return top


@inlined
def looked_at(
    c: Cells, s: Synapses, j: int, at: int, of: int, taps: int, block: int, count: int, out: Fired, top: int
) -> int:
    """Those of *taps* neighboring taps that are not quiet, by the masks from *block* on."""
    lanes, outs, inverse = 64 // size_of(c.d.dtype.type(0)), s.numbers[j, OUTS], s.numbers[j, INVERSE]
    end = top
    for k0 in range(0, taps * outs, lanes):
        mask = c.masks[block]
        block += 1
        while mask:
            k = k0 + lowest_bit(mask)
            mask &= mask - 1
            index = count + k + (taps - 1 - 2 * (k * inverse >> INVERSE_BITS)) * outs
            n = end
            while n > top and out.index[n - 1] > index:
                out.slot[n], out.index[n] = out.slot[n - 1], out.index[n - 1]
                n -= 1
            out.slot[n], out.index[n] = k, index
            end += 1
    drop = c.drop[s.numbers[j, TO]]
    for n in range(top, end):
        k = out.slot[n]
        if drop != NONE:
            x = c.d[at + k] + c.deep[at + k]
            does = x >= 0
            keep(c, at + k, x - drop if does else x)
        else:
            weight = s.weights[of + k]
            c.d[at + k] -= weight  # as the whole block has been added
            does = event(c, at + k, weight)
        if does:
            out.slot[top], out.index[top] = at + k, out.index[n]
            top += 1
    return top


@inlined
def window(c: Cells, s: Synapses, j: int, entry: int, core: int, some: bool, out: Fired, top: int) -> int:
    """The synapses of one entry of taps into *core*; or all that are not quiet, if there are *some*."""
    lanes, outs, count, block = 64 // size_of(c.d.dtype.type(0)), s.numbers[j, OUTS], out.count[0], 0
    y, x = entry & (SIDE - 1), (entry >> SIDE_BITS) & (SIDE - 1)
    to = s.numbers[j, SLOT] + ((entry >> GROUP_BITS) & (SIDE - 1)) * outs
    start = s.numbers[j, WEIGHT] + (entry >> CHANNEL_BITS) * s.numbers[j, KERNEL]
    row, column = s.numbers[j, ROW] + y, s.numbers[j, COLUMN] + x
    left, right = s.run_first[column], s.run_first[column + 1]
    for ty in range(s.run_first[row], s.run_first[row + 1]):
        line, begin = (
            to + s.runs[ty, TARGET] * s.numbers[j, LINE],
            start + s.runs[ty, TAP] * s.numbers[j, WIDE],
        )
        for tx in range(left, right):
            taps = s.runs[tx, COUNT]
            slot, weight = line + s.runs[tx, TARGET] * s.numbers[j, PITCH], begin + s.runs[tx, TAP] * outs
            if core >= 0:
                top = some_of(c, s.weights, slot, weight, outs, taps, core, out, top)
                continue
            if some:
                top = looked_at(c, s, j, slot, weight, taps, block, count, out, top)
            block += (taps * outs + lanes - 1) // lanes
            count += taps * outs
    if core < 0:
        out.count[0] = count
    return top


@inlined
def address(array: Any) -> Any:
    """Where *array* is."""
    return np.int64(array.ctypes.data)


@inlined
def through(c: Cells, s: Synapses, j: int, entry: int, core: int, out: Fired, top: int) -> int:
    """All synapses of one entry of connection *j* into *core* (-1: any core)."""
    if s.numbers[j, KIND] != TAPS:
        of = s.numbers[j, WEIGHT]
        for k in range(s.list_first[of + entry], s.list_first[of + entry + 1]):
            top = one(c, s.list_slot[k], s.list_weight[k], core, out, top)
        return top
    some = 0
    if core < 0:
        p = s.numbers[j, TO]
        some = add_window(
            c.d.dtype.type(0),
            s.weights.dtype.type(0),
            address(c.d),
            address(s.weights),
            address(s.numbers) + j * 8 * (INVERSE + 1),
            address(s.run_first),
            address(s.runs),
            entry,
            c.lower[p],
            c.span[p],
            address(c.masks),
            address(c.floor) if c.clamps[p] else 0,
        )
    if some or core != ANYWHERE:
        return window(c, s, j, entry, core, some != 0, out, top)
    return top


@inlined
def deliver(c: Cells, s: Synapses, j: int, source: int, core: int, out: Fired, top: int) -> int:
    """All synapses of connection *j* from its local slot *source* into *core* (-1: any; ANYWHERE: uncounted).

    What fires is appended to *out* from *top* on; returns its end.
    """
    out.count[0] = 0
    place = s.numbers[j, ENTRY] + source
    entry, n, last = s.single[place], 0, 1
    is_listed = entry == NONE
    if is_listed:
        n, last = s.first[place], s.last[place]
    while n < last:
        if is_listed:
            entry = s.entry[n]
        top = through(c, s, j, entry, core, out, top)
        n += 1
    return top
