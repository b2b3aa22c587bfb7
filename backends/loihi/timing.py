"""When each layer works: chip steps of a program in which every synapse takes one of them.

A timestep takes a *frame* of chip steps: as many as its longest train has ticks. The window of a layer begins
at its own step: the longest way to it. Shorter ways get a delay, so that what belongs to one timestep arrives
in one window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snncc.backends.loihi.limits import DELAY_MOST
from snncc.backends.target import Problem
from snncc.mapping.express import path
from snncc.mapping.network import Network

LOOP = "delays of the loop in chip steps"
"""What is too short where a `NoTiming` is about a loop."""


@dataclass(frozen=True, slots=True)
class Window:
    """Chip steps of a population in timestep 0: it receives for *length* steps from *start* on.

    It fires first in the last of them, *fire*, and sends for *ticks* steps.
    """

    start: int
    length: int
    ticks: int

    @property
    def fire(self) -> int:
        """The chip step in which it updates and sends its first tick."""
        return self.start + self.length - 1


@dataclass(frozen=True, slots=True)
class Timing:
    """A *frame* in chip steps, the *window* of each population, and the *delays* of all connections.

    *depth*: chip steps behind the frames of a sample until the last layer has sent.
    """

    frame: int
    windows: Mapping[str, Window]
    delays: tuple[int, ...]
    depth: int


class NoTiming(Exception):
    """No timing exists: *problems* says why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def timing_of(network: Network, stretch: int = 1) -> Timing:
    """Windows and delays of *network*; a timestep takes at least *stretch* chip steps. Raises `NoTiming`."""
    populations = network.populations
    frame = max([stretch, *(p.steps for p in populations.values())])
    lengths = {
        name: max((populations[c.source].steps for c in network.into(name)), default=1)
        for name in populations
    }
    starts = dict.fromkeys(populations, 0)
    for _ in range(len(populations) + 1):
        late = [
            (c, arrival)
            for c in network.connections
            if (arrival := starts[c.source] + lengths[c.source] - c.delay * frame) > starts[c.target]
        ]
        if not late:
            break
        for c, arrival in late:
            starts[c.target] = max(starts[c.target], arrival)
    else:
        raise NoTiming(tuple(loops(network, frame, lengths)))
    windows = {
        name: Window(starts[name], lengths[name], population.steps)
        for name, population in populations.items()
    }
    delays = tuple(
        windows[c.target].start + c.delay * frame - windows[c.source].fire - 1 for c in network.connections
    )
    too_long = tuple(
        Problem(
            *(path(c), "delay in chip steps", str(delay), f"{DELAY_MOST} at most"),
            "shorten the way beside it",
        )
        for c, delay in zip(network.connections, delays, strict=True)
        if delay > DELAY_MOST
    )
    if too_long:
        raise NoTiming(too_long)
    depth = max(max(w.start, w.fire + w.ticks - frame) for w in windows.values())
    return Timing(frame, windows, delays, depth)


def loops(network: Network, frame: int, lengths: Mapping[str, int]) -> list[Problem]:
    """Loops that take more chip steps than their delays allow.

    Of each delayed connection the longest that it closes; where only several together are too long, one.
    """
    found = {}
    for back in network.connections:
        way = longest_way(network, back.target, back.source, lengths) if back.delay else ()
        if sum(lengths[name] for name in way) > back.delay * frame:
            found[way] = too_short(way, back.delay, frame, lengths)
    return list(found.values()) or [several(network, frame, lengths)]


def longest_way(network: Network, start: str, end: str, lengths: Mapping[str, int]) -> tuple[str, ...]:
    """The longest way from *start* to *end* by connections without delay: its populations, or none."""
    ways: dict[str, tuple[int, tuple[str, ...]]] = {end: (lengths[end], (end,))}
    order = list(network.populations)
    into: dict[str, list[str]] = {name: [] for name in order}
    for c in network.connections:
        if not c.delay:
            into[c.target].append(c.source)
    for name in reversed(order[: order.index(end) + 1]):
        if name in ways:
            length, way = ways[name]
            for source in into[name]:
                longer = (lengths[source] + length, (source, *way))
                ways[source] = max(ways.get(source, longer), longer)
    return ways[start][1] if start in ways else ()


def several(network: Network, frame: int, lengths: Mapping[str, int]) -> Problem:
    """A loop by several delayed connections."""
    import networkx as nx

    graph = nx.DiGraph()
    delays: dict[tuple[str, str], int] = {}
    for c in network.connections:
        pair = (c.source, c.target)
        delays[pair] = min(c.delay, delays.get(pair, c.delay))
        graph.add_edge(*pair, weight=delays[pair] * frame - lengths[c.source])
    for start in graph:
        try:
            loop = nx.find_negative_cycle(graph, start)[1:]
        except nx.NetworkXError:
            continue
        first = loop.index(min(loop, key=list(network.populations).index))
        way = (*loop[first:], *loop[:first])
        delay = sum(delays[pair] for pair in zip(way, (*way[1:], way[0]), strict=True))
        return too_short(way, delay, frame, lengths)
    raise AssertionError("no loop is too short, and there is no timing")


def too_short(way: tuple[str, ...], delay: int, frame: int, lengths: Mapping[str, int]) -> Problem:
    """What a loop needs, and its delay of so many timesteps."""
    need, where = sum(lengths[name] for name in way), " -> ".join((*way, way[0]))
    hint = f"give the loop {-(-need // frame)} timesteps of delay, or stretch a timestep over "
    hint += f"{-(-need // max(1, delay))} chip steps (stretch=, --stretch)"
    return Problem(where, LOOP, str(need), str(delay * frame), hint)
