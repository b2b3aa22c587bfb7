"""One step of the machine, exactly: two ways that give the same.

`open_step` follows the messages station by station in the order of rank: as nothing comes back to a station
of lower rank, the departures of a station are known when those before it are. It holds as long as no queue
is ever asked for more slots than it has, which it checks; then back-pressure cannot matter. `blocked_step`
goes through time instead, instant by instant, and holds always.

Records (a message's stay in a queue) are kept by *edge*: the pair of a station and the one before it. Edges
are sorted by station, then by the rank of the one before, so those of a station lie side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snncc.simulator.jit import inner

NEVER = np.iinfo(np.int64).max


class Wiring(NamedTuple):
    """Stations, edges and trees (`snncc.simulator.machine.program`), all int64.

    *interval*, *latency*, *capacity*, *first_edge* [stations (+ 1)]; *before* [edges]: the station that an
    edge comes from; *edge* [nodes]: the edge by which a message enters the queue of a tree's node;
    *first_child* [nodes + 1], *child*, *leaf* [nodes]. *units* is the number of neuron units, *receivers*
    that of synapse units (and of the host), *credit* at least 1: at the instant of a departure nobody takes
    its slot.
    """

    units: int
    receivers: int
    credit: int
    interval: Any
    latency: Any
    capacity: Any
    first_edge: Any
    before: Any
    station: Any
    edge: Any
    first_child: Any
    child: Any
    leaf: Any


class Step(NamedTuple):
    """What neuron units send in one step: by unit ``first[u] : first[u + 1]``.

    *time* says when, if nothing waits; *root* and *base* as `Sends` of a machine program. *end* [units]: when
    the unit is done, if nothing waits. *service* is of all arrivals of the program.
    """

    first: Any
    time: Any
    root: Any
    base: Any
    end: Any
    service: Any


class Records(NamedTuple):
    """Memory for the messages of one step: by edge ``start[e] : fill[e]``, *head* goes through them.

    *gone* has the departures of a station at the place of its edges.
    """

    start: Any
    fill: Any
    head: Any
    arrival: Any
    node: Any
    base: Any
    gone: Any
    uses: Any


class Tally(NamedTuple):
    """What is counted over all steps, by station (`snncc.simulator.timing.Timing`)."""

    busy: Any
    stalled: Any
    messages: Any
    deepest: Any
    depths: Any


class Log(NamedTuple):
    """What happened, if there is room for it: [n] of *station*, *time*, *length*, *sender*; used[0] is n."""

    used: Any
    station: Any
    time: Any
    length: Any
    arrival: Any


@inner
def lay_out(w: Wiring, step: Step, r: Records) -> None:
    """Give each edge room for the messages that will take it, and put the sent ones in front."""
    r.fill[:] = 0
    total = step.first[w.units]
    for m in range(total):
        r.uses[step.root[m]] += 1
    stack = r.node  # not yet in use, and longer than any tree
    for m in range(total):
        root = step.root[m]
        uses = r.uses[root]
        if not uses:
            continue
        r.uses[root] = 0
        size = 1
        stack[0] = root
        while size:
            size -= 1
            node = stack[size]
            r.fill[w.edge[node]] += uses
            low, high = w.first_child[node], w.first_child[node + 1]
            for k in range(low, high):
                stack[size] = w.child[k]
                size += 1
    at = 0
    for e in range(len(r.fill)):
        r.start[e] = r.head[e] = at
        at += r.fill[e]
        r.fill[e] = r.start[e]


@inner
def enter(w: Wiring, r: Records, node: int, arrival: int, base: int) -> None:
    """A message enters the queue of *node*."""
    e = w.edge[node]
    k = r.fill[e]
    r.arrival[k], r.node[k], r.base[k] = arrival, node, base
    r.fill[e] = k + 1


@inner
def bin_of(depth: int) -> int:
    """The bin of a histogram: binary digits - 1."""
    k = 0
    while depth > 1:
        depth >>= 1
        k += 1
    return k


@inner
def first_of(r: Records, low: int, high: int) -> int:
    """The edge of *low* to *high* with the message that comes first; -1: none has one."""
    best, soonest = -1, NEVER
    for e in range(low, high):
        if r.head[e] < r.fill[e] and r.arrival[r.head[e]] < soonest:
            best, soonest = e, r.arrival[r.head[e]]
    return best


@inner
def note(log: Log, station: int, time: int, length: int, arrival: int) -> None:
    """Write down what happened."""
    k = log.used[0]
    if k < len(log.station):
        log.station[k], log.time[k], log.length[k], log.arrival[k] = station, time, length, arrival
    log.used[0] = k + (len(log.station) > 0)


@inner
def depart(w: Wiring, step: Step, r: Records, s: int, log: Log, start: int) -> int:
    """The end of the step's work, or -1 where a queue would need more slots than it has: of station *s*.

    Takes the messages of all edges of *s* in the order of their arrival, and hands them on.
    """
    low, high = w.first_edge[s], w.first_edge[s + 1]
    interval, latency = w.interval[s], w.latency[s]
    free, k, is_unit = 0, r.start[low], s >= len(w.interval) - w.receivers
    while True:
        e = first_of(r, low, high)
        if e < 0:
            break
        j = r.head[e]
        r.head[e] = j + 1
        time = max(r.arrival[j], free)
        r.gone[k] = time
        k += 1
        node, base = r.node[j], r.base[j]
        if is_unit:
            length = step.service[base + w.leaf[node]]
            free = time + length
            note(log, s, start + time, length, base + w.leaf[node])
        else:
            free = time + interval
            note(log, s, start + time, latency, base)
            for c in range(w.first_child[node], w.first_child[node + 1]):
                enter(w, r, w.child[c], time + latency, base)
    return free if is_unit else 0


@inner
def measure(w: Wiring, r: Records, s: int, deepest: Any, depths: Any) -> bool:
    """Note the depth of the queue of *s* as each message sees it; whether it always had a slot."""
    low, high = w.first_edge[s], w.first_edge[s + 1]
    for e in range(low, high):
        r.head[e] = r.start[e]
    first = r.start[low]
    taken, gone = 0, first
    while True:
        best, soonest = -1, NEVER
        for e in range(low, high):
            if r.head[e] < r.fill[e]:
                time = r.arrival[r.head[e]] - w.latency[w.before[e]]
                if time < soonest:
                    best, soonest = e, time
        if best < 0:
            return True
        r.head[best] += 1
        while gone - first < taken and r.gone[gone] + w.credit <= soonest:
            gone += 1
        taken += 1
        depth = taken - (gone - first)
        if depth > w.capacity[s]:
            return False
        deepest[s] = max(deepest[s], depth)
        depths[s, bin_of(depth)] += 1


@inner
def open_step(w: Wiring, step: Step, r: Records, now: Tally, log: Log, start: int) -> int:
    """The time of a step in which no queue fills up; -1 where one does. *now* is of this step alone."""
    lay_out(w, step, r)
    end = 0
    for u in range(w.units):
        end = max(end, step.end[u])
        for m in range(step.first[u], step.first[u + 1]):
            enter(w, r, step.root[m], step.time[m], step.base[m])
    for s in range(w.units, len(w.interval)):
        low, high = w.first_edge[s], w.first_edge[s + 1]
        if low == high:
            continue
        count = 0
        for e in range(low, high):
            count += r.fill[e] - r.start[e]
        if not count:
            continue
        end = max(end, depart(w, step, r, s, log, start))
        now.messages[s] = count
        if not measure(w, r, s, now.deepest, now.depths):
            return -1
    return end
