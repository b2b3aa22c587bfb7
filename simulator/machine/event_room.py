"""Memory of the timed order of events: messages in queues, and the stations that hold them."""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.machine.blocked_kernel import Moment, look
from snncc.simulator.machine.event_inline import inlined
from snncc.simulator.machine.step_kernel import Tally, Wiring, bin_of

NONE = -1


class Room(NamedTuple):
    """Records in linked lists: *following*, *time*, *node* (of a route; of a firing: the slot), *source*
    (the slot that sent it, -1: a tick), *cause* (number of an event from outside).

    *free* [2]: the first free record, and how many there are. By edge *head* and *tail* of what waits or is
    on its way; by station *back* and *end* of the slots that will be free again, each with the departure as
    its *time*.
    """

    following: Any
    time: Any
    node: Any
    source: Any
    cause: Any
    free: Any
    head: Any
    tail: Any
    back: Any
    end: Any


@inlined
def take(room: Room, time: int, node: int, source: int, cause: int) -> int:
    """A record that was free."""
    k = room.free[0]
    room.free[0] = room.following[k]
    room.free[1] -= 1
    room.following[k] = NONE
    room.time[k], room.node[k], room.source[k], room.cause[k] = time, node, source, cause
    return k


@inlined
def release(room: Room, k: int) -> None:
    """Record *k* is free again."""
    room.following[k] = room.free[0]
    room.free[0] = k
    room.free[1] += 1


@inlined
def append(room: Room, head: Any, tail: Any, at: int, k: int) -> None:
    """Put record *k* at the end of list *at*."""
    if head[at] == NONE:
        head[at] = k
    else:
        room.following[tail[at]] = k
    tail[at] = k


@inlined
def has_slot(w: Wiring, credit: int, room: Room, now: Moment, q: int, time: int) -> bool:
    """Whether the queue of station *q* has a free slot at *time*."""
    while room.back[q] != NONE and room.time[room.back[q]] + credit <= time:
        k = room.back[q]
        room.back[q] = room.following[k]
        now.used[q] -= 1
        release(room, k)
    return now.used[q] < w.capacity[q]


@inlined
def await_slot(credit: int, room: Room, now: Moment, s: int, e: int, q: int) -> None:
    """Station *s* looks again when a slot of the queue of *q*, which it enters by edge *e*, gets free."""
    if room.back[q] != NONE:
        look(now, s, room.time[room.back[q]] + credit)
    else:
        now.waits[e] = 1


@inlined
def put(
    w: Wiring, room: Room, now: Moment, tally: Tally, node: int, arrival: int, source: int, cause: int
) -> None:
    """A message takes a slot in the queue of a route's *node*, where it will arrive."""
    q, e = w.station[node], w.edge[node]
    now.used[q] += 1
    tally.deepest[q] = max(tally.deepest[q], now.used[q])
    tally.depths[q, bin_of(now.used[q])] += 1
    append(room, room.head, room.tail, e, take(room, arrival, node, source, cause))
    look(now, q, arrival)


@inlined
def first_of(w: Wiring, room: Room, s: int) -> int:
    """The edge with the message of station *s* that comes first; -1: none."""
    best = NONE
    for e in range(w.first_edge[s], w.first_edge[s + 1]):
        k = room.head[e]
        if k != NONE and (best == NONE or room.time[k] < room.time[room.head[best]]):
            best = e
    return best


@inlined
def leave(
    w: Wiring, credit: int, room: Room, now: Moment, tally: Tally, s: int, e: int, time: int, units: int
) -> None:
    """The first message of edge *e* leaves the queue of station *s*; its slot will be free again."""
    k = room.head[e]
    room.head[e] = room.following[k]
    room.following[k] = NONE
    room.time[k] = time
    append(room, room.back, room.end, s, k)
    tally.messages[s] += 1
    for one in range(w.first_edge[s], w.first_edge[s + 1]):
        if now.waits[one]:
            now.waits[one] = 0
            before = w.before[one]
            if before < w.units - 1:  # the core's neuron unit: here its event unit
                before += units
            look(now, before, time + credit)
