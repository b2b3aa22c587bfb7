"""The canonical order of events (MACHINE.md, 7), fast: depth first, with a stack of its own.

Where each population is fed by one other, what one sends does not depend on what others do meanwhile: such
*streamed* populations are worked off one after another, each with all that it receives in a timestep.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.jit import kernel
from snncc.simulator.machine.event_inline import inlined
from snncc.simulator.machine.event_kernel import (
    CROWDED,
    GOOD,
    POPULATION,
    RUNAWAY,
    TO,
    Cells,
    Fired,
    Synapses,
    address,
    deliver,
    event,
    loud_of,
    note_sums,
)
from snncc.simulator.machine.event_layout import (
    ENTRY,
    KIND,
    LINE,
    OUTS,
    WIDE,
    WINDOW,
)
from snncc.simulator.machine.event_window import add_window
from snncc.simulator.simd import prefetch, size_of

AHEAD = 32
"""Spikes of a stream whose windows are fetched together."""


class Outside(NamedTuple):
    """What comes from outside: of population p the slots with a bias, and their *bias*, from ``biases[p]`` to
    ``biases[p + 1]``; in timestep t the spikes of input i ``source[first[k] : first[k + 1]]``, k = t *
    len(inputs) + i; *inputs* are numbers of populations."""

    slot: Any
    bias: Any
    biases: Any
    first: Any
    source: Any
    inputs: Any


class Stack(NamedTuple):
    """By level: a *local* slot, its next *connection* and their *last*, and what is left of what fired by the
    one before: *next*, *end* in `Fired`. *begins* [populations + 1] are the first slots."""

    local: Any
    connection: Any
    last: Any
    next: Any
    end: Any
    begins: Any


class Streams(NamedTuple):
    """By population: whether it *is_streamed*, the connection that then feeds it (*into*, of inputs NONE) and
    its *source*, and what it has sent in a timestep: ``slot[begin:middle]`` of `Fired` in its tick, and then
    up to *end*."""

    into: Any
    source: Any
    is_streamed: Any
    begin: Any
    middle: Any
    end: Any


class Trains(NamedTuple):
    """The spikes of a population of *size* neurons in timestep t are ``counts[begin + t * size:][:size]``.

    *address* [slots]; *log*: places in counts that are not counted yet, *length* [1] of them. To count at
    once would make every spike wait for memory. Counts have few bits: a run touches nearly all of them, and
    pages that are touched for the first time cost more than spikes.
    """

    begin: Any
    size: Any
    counts: Any
    address: Any
    log: Any
    length: Any


@inlined
def flush(c: Cells, trains: Trains) -> None:
    """Count what is in the log."""
    seen = 0
    for n in range(trains.length[0]):
        trains.counts[trains.log[n]] += 1
        seen |= trains.counts[trains.log[n]]
    trains.length[0] = 0
    if seen < 0 and c.fault[0] == GOOD:
        c.fault[0] = CROWDED


@inlined
def count(c: Cells, trains: Trains, t: int, p: int, fired: Any, low: int, end: int) -> None:
    """The neurons ``fired[low:end]`` of population *p* have fired in timestep *t*."""
    n, begin = trains.length[0], trains.begin[p] + t * trains.size[p]
    for k in range(low, end):
        if n == len(trains.log):
            trains.length[0] = n
            flush(c, trains)
            n = 0
        trains.log[n] = begin + trains.address[fired[k]]
        n += 1
    trains.length[0] = n


@inlined
def work_off(
    c: Cells,
    s: Synapses,
    stack: Stack,
    out: Fired,
    trains: Trains,
    t: int,
    slot: int,
    caused: int,
    most: int,
) -> int:
    """The spike of the neuron *slot*, and everything that it causes; how it ended."""
    p = c.own[slot, POPULATION]
    level, k, end, j, last = 0, 0, 0, s.begin[p], s.begin[p + 1]
    local = slot - stack.begins[p]
    while True:
        if k < end:
            p = s.numbers[j - 1, TO]
            following = s.begin[p]
            if following == s.begin[p + 1]:
                k = end
                continue
            slot = out.slot[k]
            k += 1
            if k < end or j < last:
                stack.local[level], stack.connection[level], stack.last[level] = local, j, last
                stack.next[level], stack.end[level] = k, end
                level += 1
            local, j, last, k = slot - stack.begins[p], following, s.begin[p + 1], end
        elif j == last:
            if level == 0:
                return GOOD
            level -= 1
            local, j, last = stack.local[level], stack.connection[level], stack.last[level]
            k, end = stack.next[level], stack.end[level]
            continue
        end = deliver(c, s, j, local, -1, out, k)
        if c.fault[0]:
            return c.fault[0]
        count(c, trains, t, s.numbers[j, TO], out.slot, k, end)
        caused += end - k
        if caused > most:
            return RUNAWAY
        j += 1


@inlined
def stream(
    c: Cells, s: Synapses, j: int, begin: int, low: int, end: int, out: Fired, top: int, most: int
) -> int:
    """All synapses of connection *j* from what was sent, ``out.slot[low:end]``; the new end of what fired."""
    if s.numbers[j, KIND] == WINDOW:
        return stream_windows(c, s, j, s.numbers[j, ENTRY] - begin, low, end, out, top, most)
    for k in range(low, end):
        top = deliver(c, s, j, out.slot[k] - begin, -1, out, top)
        if top > most:
            c.fault[0] = RUNAWAY
        if c.fault[0]:
            break
    return top


@inlined
def stream_windows(
    c: Cells, s: Synapses, j: int, entry: int, low: int, end: int, out: Fired, top: int, most: int
) -> int:
    """As `stream` by windows: `deliver`, with all that is the same for each spike looked up before.

    A source in slot k has the windows of number *entry* + k. ``out.index`` counts from each window on: here
    it is needed for their order alone.
    """
    p, outs, line, wide = s.numbers[j, TO], s.numbers[j, OUTS], s.numbers[j, LINE], s.numbers[j, WIDE]
    d0, w0 = c.d.dtype.type(0), s.weights.dtype.type(0)
    size, weight_size = size_of(d0), size_of(w0)
    to, of, windows, masks = address(c.d), address(s.weights), address(s.windows), address(c.masks)
    least, span, drop = c.lower[p], c.span[p], max(c.drop[p], 0)
    floor = address(c.floor) - to if c.clamps[p] else 0
    out.count[0] = 0
    for first in range(low, end, AHEAD):
        last = min(first + AHEAD, end)
        for k in range(first, last):
            prefetch(windows + s.first[entry + out.slot[k]] * 4 * s.windows.itemsize)
        for k in range(first, last):
            place = entry + out.slot[k]
            for n in range(s.first[place], s.first[place + 1]):
                at, weight, rows, taps = s.windows[n]
                if add_window(
                    *(d0, w0, to + at * size, of + weight * weight_size, rows, taps * outs, line * size),
                    *(wide * weight_size, least, span, drop, masks, floor),
                ):
                    top = loud_of(c, s, j, at, weight, rows, taps, out, top)
                    if top > most:
                        c.fault[0] = RUNAWAY
                    if c.fault[0]:
                        return top
    return top


@inlined
def run_streams(
    c: Cells, s: Synapses, outside: Outside, streams: Streams, begins: Any, out: Fired, t: int, most: int
) -> None:
    """Timestep *t* of all streamed populations; more than *most* spikes in it are a fault, whatever causes
    them."""
    top = 0
    for i in range(len(outside.inputs)):
        p, k = outside.inputs[i], t * len(outside.inputs) + i
        streams.begin[p] = streams.middle[p] = top
        if streams.is_streamed[p]:
            if top + outside.first[k + 1] - outside.first[k] > most:
                c.fault[0] = RUNAWAY
                return
            for n in range(outside.first[k], outside.first[k + 1]):
                out.slot[top] = outside.source[n]
                top += 1
        streams.end[p] = top
    for p in range(len(streams.into)):
        j = streams.into[p]
        if j < 0:
            continue
        source = streams.source[p]
        low, middle, end = streams.begin[source], streams.middle[source], streams.end[source]
        streams.begin[p] = top
        top = stream(c, s, j, begins[source], low, middle, out, top, most)
        for k in range(outside.biases[p], outside.biases[p + 1]):
            if c.fault[0]:
                return
            if event(c, outside.slot[k], outside.bias[k]):
                out.slot[top] = outside.slot[k]
                top += 1
                if top > most:
                    c.fault[0] = RUNAWAY
        streams.middle[p] = top
        if not c.fault[0]:
            top = stream(c, s, j, begins[source], middle, end, out, top, most)
        streams.end[p] = top
        if c.fault[0]:
            return


@inlined
def run_depth_first(
    c: Cells,
    s: Synapses,
    outside: Outside,
    streams: Streams,
    stack: Stack,
    out: Fired,
    trains: Trains,
    t: int,
    most: int,
) -> None:
    """Timestep *t* of all other populations. A fault is told with its slot and timestep."""
    biases, inputs = len(outside.slot), len(outside.inputs)
    first = outside.first[t * inputs]
    for k in range(biases + outside.first[(t + 1) * inputs] - first):
        slot = outside.slot[k] if k < biases else outside.source[first + k - biases]
        if streams.is_streamed[c.own[slot, POPULATION]]:
            continue
        if k < biases:
            does = event(c, slot, outside.bias[k])
            if c.fault[0]:
                return
            if not does:
                continue
            out.slot[0] = slot
            count(c, trains, t, c.own[slot, POPULATION], out.slot, 0, 1)
        how = work_off(c, s, stack, out, trains, t, slot, 1 if k < biases else 0, most)
        if how == RUNAWAY:
            c.fault[0], c.fault[1], c.fault[2] = RUNAWAY, slot, t
        if how != GOOD:
            return


@kernel
def list_inputs(train: Any, slots: Any, ends: Any, first: Any, source: Any) -> None:
    """List what inputs send, as in `Outside`; neuron k of *train* [T, neurons of all inputs] is ``slots[k]``.

    *ends* [inputs] is where the neurons of each end; *source* has room for one more than there are.
    """
    n, row = 0, 0
    for t in range(len(train)):
        k = 0
        for end in ends:
            first[row] = n
            row += 1
            while k < end:
                source[n] = slots[k]
                n += train[t, k]
                k += 1
    first[row] = n


@kernel
def run_order(
    c: Cells,
    s: Synapses,
    outside: Outside,
    streams: Streams,
    stack: Stack,
    out: Fired,
    trains: Trains,
    sums: Any,
    most: int,
) -> None:
    """All timesteps; *sums* as in `note_sums`, at the beginning of each.

    Where it ends early, ``c.fault`` says how; if nothing is streamed, also at which slot and in which
    timestep (of `RUNAWAY`).
    """
    for t in range(len(sums) - 1):
        run_depth_first(c, s, outside, streams, stack, out, trains, t, most)
        flush(c, trains)
        if not c.fault[0]:
            run_streams(c, s, outside, streams, stack.begins, out, t, most)
        if c.fault[0]:
            return
        note_sums(c, stack.begins, sums, t + 1)
        for p in range(len(c.fires)):
            if streams.is_streamed[p]:
                count(c, trains, t, p, out.slot, streams.begin[p], streams.end[p])
        flush(c, trains)
