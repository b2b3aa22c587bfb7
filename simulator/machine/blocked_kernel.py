"""One step of the machine, instant by instant: for steps in which queues fill up (see `step_kernel`)."""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.jit import inner
from snncc.simulator.machine.step_kernel import (
    NEVER,
    Log,
    Records,
    Step,
    Tally,
    Wiring,
    bin_of,
    enter,
    first_of,
    lay_out,
    note,
)


class Moment(NamedTuple):
    """The state of all stations: what `blocked_step` works on.

    *wake* [stations]: when the station is looked at next; *free*: when it may start the next message (of a
    neuron unit: how late it is); *used*: slots in use of its queue; *left*, *back*: messages that have left
    it, and those whose slots are free again; *sent* [units]: messages that a neuron unit has sent; *waits*
    [edges]: whether the station before waits for a slot. *heap* has the stations that will be looked at,
    *size* [1] of them, those that come first (by time, then rank) in front; *place* is where each is in it,
    -1: not in it.
    """

    wake: Any
    free: Any
    used: Any
    left: Any
    back: Any
    sent: Any
    waits: Any
    heap: Any
    place: Any
    size: Any


@inner
def is_before(wake: Any, a: int, b: int) -> bool:
    """Whether station *a* is looked at before station *b*."""
    return wake[a] < wake[b] or (wake[a] == wake[b] and a < b)


@inner
def look(now: Moment, s: int, time: int) -> None:
    """Have station *s* looked at no later than at *time*."""
    if time >= now.wake[s]:
        return
    now.wake[s] = time
    at = now.place[s]
    if at < 0:
        at = now.size[0]
        now.size[0] = at + 1
    while at and is_before(now.wake, s, now.heap[(at - 1) >> 1]):
        above = now.heap[(at - 1) >> 1]
        now.heap[at] = above
        now.place[above] = at
        at = (at - 1) >> 1
    now.heap[at] = s
    now.place[s] = at


@inner
def next_station(now: Moment) -> int:
    """Take the station that is looked at first."""
    first, n = now.heap[0], now.size[0] - 1
    now.size[0] = n
    now.place[first] = -1
    if not n:
        return first
    s, at = now.heap[n], 0
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and is_before(now.wake, now.heap[child + 1], now.heap[child]):
            child += 1
        below = now.heap[child]
        if not is_before(now.wake, below, s):
            break
        now.heap[at] = below
        now.place[below] = at
        at = child
    now.heap[at] = s
    now.place[s] = at
    return first


@inner
def has_slot(w: Wiring, r: Records, now: Moment, q: int, time: int) -> bool:
    """Whether the queue of station *q* has a free slot at *time*."""
    first = r.start[w.first_edge[q]]
    while now.back[q] < now.left[q] and r.gone[first + now.back[q]] + w.credit <= time:
        now.back[q] += 1
        now.used[q] -= 1
    return now.used[q] < w.capacity[q]


@inner
def await_slot(w: Wiring, r: Records, now: Moment, s: int, e: int, q: int) -> None:
    """Station *s* looks again when a slot of the queue of *q*, which it enters by edge *e*, gets free."""
    if now.back[q] < now.left[q]:
        look(now, s, r.gone[r.start[w.first_edge[q]] + now.back[q]] + w.credit)
    else:
        now.waits[e] = 1


@inner
def take_slot(w: Wiring, r: Records, now: Moment, tally: Tally, node: int, arrival: int, base: int) -> Any:
    """A message takes a slot in the queue of a tree's *node*, where it will arrive."""
    q = w.station[node]
    now.used[q] += 1
    tally.deepest[q] = max(tally.deepest[q], now.used[q])
    tally.depths[q, bin_of(now.used[q])] += 1
    enter(w, r, node, arrival, base)
    look(now, q, arrival)


@inner
def act_unit(w: Wiring, step: Step, r: Records, now: Moment, tally: Tally, u: int, time: int) -> Any:
    """All that neuron unit *u* does at *time*."""
    while True:
        m = step.first[u] + now.sent[u]
        if m == step.first[u + 1]:
            return
        # busy since its last send, which may have been late
        due = step.time[m] + now.free[u]
        if due > time:
            look(now, u, due)
            return
        node = step.root[m]
        if not has_slot(w, r, now, w.station[node], time):
            return await_slot(w, r, now, u, w.edge[node], w.station[node])
        now.free[u] += time - due
        tally.stalled[u] += time - due
        now.sent[u] += 1
        take_slot(w, r, now, tally, node, time, step.base[m])


@inner
def act_station(
    w: Wiring,
    step: Step,
    r: Records,
    now: Moment,
    tally: Tally,
    log: Log,
    s: int,
    time: int,
    start: int,
) -> Any:
    """All that a link or a synapse unit does at *time*."""
    low, high = w.first_edge[s], w.first_edge[s + 1]
    is_unit = s >= len(w.interval) - w.receivers
    while True:
        e = first_of(r, low, high)
        if e < 0:
            return
        j = r.head[e]
        due = max(r.arrival[j], now.free[s])
        if due > time:
            look(now, s, due)
            return
        node, base = r.node[j], r.base[j]
        for c in range(w.first_child[node], w.first_child[node + 1]):
            q = w.station[w.child[c]]
            if not has_slot(w, r, now, q, time):
                return await_slot(w, r, now, s, w.edge[w.child[c]], q)
        r.head[e] = j + 1
        r.gone[r.start[low] + now.left[s]] = time
        now.left[s] += 1
        if is_unit:
            length = step.service[base + w.leaf[node]]
            now.free[s] = time + length
            note(log, s, start + time, length, base + w.leaf[node])
        else:
            now.free[s] = time + w.interval[s]
            note(log, s, start + time, w.latency[s], base)
            for c in range(w.first_child[node], w.first_child[node + 1]):
                take_slot(w, r, now, tally, w.child[c], time + w.latency[s], base)
        for e in range(low, high):
            if now.waits[e]:
                now.waits[e] = 0
                look(now, w.before[e], time + w.credit)


@inner
def blocked_step(w: Wiring, step: Step, r: Records, now: Moment, tally: Tally, log: Log, start: int) -> int:
    """The time of a step, with queues that fill up; *tally* is of this step alone."""
    lay_out(w, step, r)
    stations = len(w.interval)
    now.wake[:] = NEVER
    now.free[:] = 0
    now.used[:] = 0
    now.left[:] = 0
    now.back[:] = 0
    now.sent[:] = 0
    now.waits[:] = 0
    now.place[:] = -1
    now.size[0] = 0
    for u in range(w.units):
        if step.first[u] < step.first[u + 1]:
            look(now, u, step.time[step.first[u]])
    while now.size[0]:
        s = next_station(now)
        time = now.wake[s]
        now.wake[s] = NEVER
        if s < w.units:
            act_unit(w, step, r, now, tally, s, time)
        else:
            act_station(w, step, r, now, tally, log, s, time, start)
    end = 0
    for u in range(w.units):
        end = max(end, step.end[u] + now.free[u])
    for s in range(w.units, stations):
        tally.messages[s] = now.left[s]
        if s >= stations - w.receivers:
            end = max(end, now.free[s])
    return end
