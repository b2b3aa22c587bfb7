"""The canonical order of events (MACHINE.md, 7), fast: depth first, with a stack of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.jit import kernel
from snncc.simulator.machine.event_inline import inlined
from snncc.simulator.machine.event_kernel import (
    GOOD,
    LEAST,
    POPULATION,
    RUNAWAY,
    TO,
    Cells,
    Fired,
    Synapses,
    deliver,
    event,
)


class Outside(NamedTuple):
    """What comes from outside: the slots with a bias, their *bias*, and in timestep t the input's spikes
    ``source[first[t] : first[t + 1]]``."""

    slot: Any
    bias: Any
    first: Any
    source: Any


class Stack(NamedTuple):
    """By level: a *local* slot, its next *connection* and their *last*, and what is left of what fired by the
    one before: *next*, *end* in `Fired`. *begins* [populations + 1] are the first slots."""

    local: Any
    connection: Any
    last: Any
    next: Any
    end: Any
    begins: Any


class Trains(NamedTuple):
    """The spikes of a population of *size* neurons in timestep t are ``counts[begin + t * size:][:size]``.

    *address* [slots]; *log*: places in counts that are not counted yet, *length* [1] of them. To count at
    once would make every spike wait for memory.
    """

    begin: Any
    size: Any
    counts: Any
    address: Any
    log: Any
    length: Any


@inlined
def flush(trains: Trains) -> None:
    """Count what is in the log."""
    for n in range(trains.length[0]):
        trains.counts[trains.log[n]] += 1
    trains.length[0] = 0


@inlined
def count(trains: Trains, t: int, p: int, fired: Any, low: int, end: int) -> None:
    """The neurons ``fired[low:end]`` of population *p* have fired in timestep *t*."""
    n, begin = trains.length[0], trains.begin[p] + t * trains.size[p]
    for k in range(low, end):
        if n == len(trains.log):
            trains.length[0] = n
            flush(trains)
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
        count(trains, t, s.numbers[j, TO], out.slot, k, end)
        caused += end - k
        if caused > most:
            return RUNAWAY
        j += 1


@kernel
def run_order(
    c: Cells, s: Synapses, outside: Outside, stack: Stack, out: Fired, trains: Trains, sums: Any, most: int
) -> None:
    """All timesteps; *sums* [T + 1, slots]: of readouts, at the beginning of each.

    Where it ends early, ``c.fault`` says how, at which slot and in which timestep (of `RUNAWAY`).
    """
    biases = len(outside.slot)
    for t in range(len(outside.first) - 1):
        first = outside.first[t]
        for k in range(biases + outside.first[t + 1] - first):
            if k < biases:
                slot, caused = outside.slot[k], 1
                does = event(c, slot, outside.bias[k])
                if c.fault[0]:
                    return
                if not does:
                    continue
                out.slot[0] = slot
                count(trains, t, c.own[slot, POPULATION], out.slot, 0, 1)
            else:
                slot, caused = outside.source[first + k - biases], 0
            how = work_off(c, s, stack, out, trains, t, slot, caused, most)
            if how != GOOD:
                if how == RUNAWAY:
                    c.fault[0], c.fault[1], c.fault[2] = RUNAWAY, slot, t
                return
        flush(trains)
        for p in range(len(c.fires)):
            if c.fires[p]:
                continue
            for slot in range(stack.begins[p], stack.begins[p + 1]):
                sums[t + 1, slot] = c.d[slot] + c.own[slot, LEAST]
