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
    """By level: the neuron's *slot*, its next *connection*, and what fired by the last one: *begin*, *next*,
    *end* in `Fired`. *begins* [populations + 1] are the first slots."""

    slot: Any
    connection: Any
    begin: Any
    next: Any
    end: Any
    begins: Any


@inlined
def push(c: Cells, s: Synapses, stack: Stack, level: int, slot: int, top: int) -> None:
    """Put a neuron that has fired on the stack."""
    stack.slot[level] = slot
    stack.connection[level] = s.begin[c.own[slot, POPULATION]]
    stack.begin[level] = stack.next[level] = stack.end[level] = top


@inlined
def work_off(
    c: Cells, s: Synapses, stack: Stack, out: Fired, spikes: Any, t: int, slot: int, caused: int, most: int
) -> int:
    """The spike of the neuron *slot*, and everything that it causes; how it ended."""
    push(c, s, stack, 0, slot, 0)
    level = 0
    while level >= 0:
        k = stack.next[level]
        if k < stack.end[level]:
            stack.next[level] = k + 1
            slot = out.slot[k]
            p = c.own[slot, POPULATION]
            if s.begin[p] < s.begin[p + 1]:
                push(c, s, stack, level + 1, slot, stack.end[level])
                level += 1
            continue
        slot, j, low = stack.slot[level], stack.connection[level], stack.begin[level]
        p = c.own[slot, POPULATION]
        if j == s.begin[p + 1]:
            level -= 1
            continue
        top = deliver(c, s, j, slot - stack.begins[p], -1, out, low)
        if c.fault[0]:
            return c.fault[0]
        for n in range(low, top):
            spikes[t, out.slot[n]] += 1
        caused += top - low
        if caused > most:
            return RUNAWAY
        stack.connection[level] = j + 1
        stack.next[level], stack.end[level] = low, top
    return GOOD


@kernel
def run_order(
    c: Cells, s: Synapses, outside: Outside, stack: Stack, out: Fired, spikes: Any, sums: Any, most: int
) -> None:
    """All timesteps; *spikes* [T, slots], *sums* [T + 1, slots]: of readouts, at the beginning of each.

    Where it ends early, ``c.fault`` says how, at which slot and in which timestep (of `RUNAWAY`).
    """
    for t in range(len(outside.first) - 1):
        for b in range(len(outside.slot)):
            slot = outside.slot[b]
            does = event(c, slot, outside.bias[b])
            if c.fault[0]:
                return
            if does:
                spikes[t, slot] += 1
                how = work_off(c, s, stack, out, spikes, t, slot, 1, most)
                if how != GOOD:
                    if how == RUNAWAY:
                        c.fault[0], c.fault[1], c.fault[2] = RUNAWAY, slot, t
                    return
        for k in range(outside.first[t], outside.first[t + 1]):
            how = work_off(c, s, stack, out, spikes, t, outside.source[k], 0, most)
            if how != GOOD:
                if how == RUNAWAY:
                    c.fault[0], c.fault[1], c.fault[2] = RUNAWAY, outside.source[k], t
                return
        for p in range(len(c.fires)):
            if c.fires[p]:
                continue
            for slot in range(stack.begins[p], stack.begins[p + 1]):
                sums[t + 1, slot] = c.d[slot] + c.own[slot, LEAST]
