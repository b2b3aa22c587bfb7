"""A step in which messages reserve their links one after another, in the order of sending: approximate.

A tree of the program is written out as the *path* that a message takes through it, so that what comes next
is known before it is known when.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.jit import inner, kernel
from snncc.simulator.machine.run_kernel import Results, Sent, Sweeps, Times, fill
from snncc.simulator.machine.step_kernel import Step, Wiring
from snncc.simulator.simd import load_long, store_long

Ints = NDArray[np.int64]
DIGIT = 11
"""Most bits that are sorted at a time."""
LONG, STATION, LINK, LEAF = 8, 32, 16, 24
"""Bytes of a number, and of a row of the tables below."""


class Paths(NamedTuple):
    """The trees of the messages, written out: of the tree of node r, links ``link[first[r] : first[r + 1]]``
    and ends ``leaf[end[r] : end[r + 1]]``. Links that delay nobody are left out.

    *link* [n, 2] has a station, and the link before it (counted from 1; 0 is the sender); *leaf* [n, 3] the
    same of an end, and its number among the message's arrivals: all as distances in bytes. Links come after
    those before them. A *line* [nodes] has one end and no forks. *longest* path, *stations* that lie on any.
    """

    first: Any
    end: Any
    link: Any
    leaf: Any
    line: Any
    longest: int
    stations: Any


class Desk(NamedTuple):
    """Memory of a run: *station* [stations, 4]: when it is free, its interval, its latency.

    *keys* and *order* [2, messages] are sorted from one row into the other, by the *count* [digits]; *left*
    [links of a path + 1]: when the message left each.
    """

    station: Any
    keys: Any
    order: Any
    count: Any
    left: Any


def paths_of(w: Wiring, roots: Ints) -> Paths:
    """The paths from all *roots*."""
    first, end = np.zeros((2, len(w.station) + 1), np.int64)
    is_root = np.zeros(len(w.station), bool)
    is_root[roots] = True
    links = leaves = 0
    while True:
        link, leaf = np.zeros((links, 2), np.int64), np.zeros((leaves, 3), np.int64)
        links, leaves = write_paths(w, is_root, first, end, link, leaf)
        if (links, leaves) == (len(link), len(leaf)):
            break
    longest = int(np.diff(first).max(initial=0))
    stations = np.unique(np.concatenate([link[:, 0], leaf[:, 0]]))
    line = lines_among(roots, first, end, link, leaf)
    return Paths(first, end, link * (STATION, LONG), leaf * (STATION, LONG, LONG), line, longest, stations)


def lines_among(roots: Ints, first: Ints, end: Ints, link: Ints, leaf: Ints) -> NDArray[np.bool_]:
    """Which of the *roots* [nodes] lead to a single end."""
    line = np.zeros(len(first) - 1, bool)
    for root in roots:
        before, ends = link[first[root] : first[root + 1], 1], leaf[end[root] : end[root + 1], 1]
        line[root] = np.array_equal(before, np.arange(len(before))) and ends.tolist() == [len(before)]
    return line


@inner
def is_idle(w: Wiring, node: int, root: int) -> bool:
    """Whether a link that takes no time stands where it delays nobody: at the sender, or before the receiver.

    Messages come to the first in the order of their times; who waits at the last would wait behind it.
    """
    low, high = w.first_child[node], w.first_child[node + 1]
    if low == high or w.interval[w.station[node]] or w.latency[w.station[node]]:
        return False
    leaf = w.child[low]
    return node == root or (high - low == 1 and w.first_child[leaf] == w.first_child[leaf + 1])


@kernel
def write_paths(w: Wiring, is_root: Any, first: Any, end: Any, link: Any, leaf: Any) -> tuple[int, int]:
    """Write all links and leaves, as far as there is room for them; how many there are."""
    links = leaves = 0
    stack, parent = np.zeros(len(w.station), np.int64), np.zeros(len(w.station), np.int64)
    for root in range(len(is_root)):
        first[root], end[root] = links, leaves
        size, stack[0], parent[0] = int(is_root[root]), root, 0
        while size:
            size -= 1
            node, back = stack[size], parent[size]
            low, high = w.first_child[node], w.first_child[node + 1]
            if is_idle(w, node, root):
                for c in range(high - 1, low - 1, -1):
                    stack[size], parent[size] = w.child[c], back
                    size += 1
                continue
            if low == high:
                if leaves < len(leaf):
                    leaf[leaves, 0], leaf[leaves, 1], leaf[leaves, 2] = w.station[node], back, w.leaf[node]
                leaves += 1
                continue
            if links < len(link):
                link[links, 0], link[links, 1] = w.station[node], back
            links += 1
            for c in range(high - 1, low - 1, -1):
                stack[size], parent[size] = w.child[c], links - first[root]
                size += 1
    first[len(is_root)], end[len(is_root)] = links, leaves
    return links, leaves


def desk_of(w: Wiring, paths: Paths, messages: int) -> Desk:
    """Memory for steps of at most so many *messages*."""
    station = np.zeros((len(w.interval), 4), np.int64)
    station[:, 1], station[:, 2] = w.interval, w.latency
    return Desk(
        station=station,
        keys=np.empty((2, messages), np.int64),
        order=np.empty((2, messages), np.int32),
        count=np.zeros(1 << DIGIT, np.int64),
        left=np.zeros(paths.longest + 1, np.int64),
    )


@inner
def bits_of(number: int) -> int:
    """Binary digits of *number*."""
    bits = 0
    while number >> bits:
        bits += 1
    return bits


@inner
def sort_sends(step: Step, working: Any, messages: int, desk: Desk) -> int:
    """Sort the messages by time, then by number, a digit at a time; the row of `Desk` where they are.

    Their times are the keys of the first row, and rise within each of the units that are *working*.
    """
    keys, order, count = desk.keys, desk.order, desk.count
    latest, row, after = 1, 0, messages
    for u in working[::-1]:
        if step.first[u] < after:
            latest = max(latest, keys[0, after - 1])
        after = step.first[u]
    bits, most = bits_of(latest), min(max(bits_of(messages) + 1, 4), DIGIT)
    digit = -(-bits // -(-bits // most))
    for low in range(0, bits, digit):
        count[: 1 << digit] = 0
        for k in range(messages):
            count[keys[row, k] >> low & (1 << digit) - 1] += 1
        place = 0
        for d in range(1 << digit):
            here = count[d]
            count[d] = place
            place += here
        for k in range(messages):
            d = keys[row, k] >> low & (1 << digit) - 1
            keys[1 - row, count[d]], order[1 - row, count[d]] = keys[row, k], order[row, k] if low else k
            count[d] += 1
        row = 1 - row
    return row


@inner
def later(a: int, b: int) -> int:
    """The greater of both, without a branch: who waits for whom cannot be guessed."""
    wait = b - a
    return a + (wait & ~(wait >> 63))


@inner
def reserved_step(paths: Paths, working: Any, step: Step, messages: int, desk: Desk, receivers: int) -> int:
    """The time of a step in which each message reserves its links in the order of sending."""
    station = desk.station
    for s in paths.stations:
        station[s, 0] = 0
    row = sort_sends(step, working, messages, desk)
    table, way, service = station.ctypes.data, desk.left.ctypes.data, step.service.ctypes.data
    link, leaf = paths.link.ctypes.data, paths.leaf.ctypes.data
    for k in range(messages):
        m, root = desk.order[row, k], step.root[desk.order[row, k]]
        first = service + LONG * step.base[m]
        if paths.line[root]:
            time = desk.keys[row, k]
            for at in range(link + LINK * paths.first[root], link + LINK * paths.first[root + 1], LINK):
                here = table + load_long(at)
                time = later(time, load_long(here))
                store_long(here, time + load_long(here + LONG))
                time += load_long(here + 2 * LONG)
            here = table + load_long(leaf + LEAF * paths.end[root])
            store_long(here, later(time, load_long(here)) + load_long(first))
            continue
        desk.left[0] = desk.keys[row, k]
        to = way
        for at in range(link + LINK * paths.first[root], link + LINK * paths.first[root + 1], LINK):
            here, to = table + load_long(at), to + LONG
            time = later(load_long(way + load_long(at + LONG)), load_long(here))
            store_long(here, time + load_long(here + LONG))
            store_long(to, time + load_long(here + 2 * LONG))
        for at in range(leaf + LEAF * paths.end[root], leaf + LEAF * paths.end[root + 1], LEAF):
            here = table + load_long(at)
            time = later(load_long(way + load_long(at + LONG)), load_long(here))
            store_long(here, time + load_long(first + load_long(at + 2 * LONG)))
    end = 0
    for u in working:
        end = max(end, step.end[u])
    for s in range(len(station) - receivers, len(station)):
        end = max(end, station[s, 0])
    return end


@kernel
def run_reserved(
    units: int,
    receivers: int,
    working: Any,
    sweeps: Sweeps,
    times: Times,
    sent: Sent,
    paths: Paths,
    step: Step,
    desk: Desk,
    out: Results,
) -> None:
    """Run all steps and fill *out*, of the *units* those that are *working*."""
    for s in range(len(out.steps)):
        messages = fill(sweeps, times, sent, working, units, s, step, out)
        out.steps[s] = reserved_step(paths, working, step, messages, desk, receivers)
