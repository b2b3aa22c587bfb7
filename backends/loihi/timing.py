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
    """The loops that take more chip steps than their delays allow."""
    import networkx as nx

    graph = nx.MultiDiGraph()
    for c in network.connections:
        graph.add_edge(c.source, c.target, need=lengths[c.source], have=c.delay * frame)
    found = []
    order = list(network.populations)
    for cycle in nx.simple_cycles(graph):
        first = cycle.index(min(cycle, key=order.index))
        loop = cycle[first:] + cycle[:first]
        pairs = list(zip(loop, [*loop[1:], loop[0]], strict=True))
        edges = [min(graph[a][b].values(), key=lambda edge: edge["have"]) for a, b in pairs]
        need, have = (sum(edge[what] for edge in edges) for what in ("need", "have"))
        if need > have:
            hint = f"give the loop {-(-need // frame)} timesteps of delay, or stretch a timestep over "
            hint += f"{-(-need // max(1, have // frame))} chip steps (stretch=, --stretch)"
            way = " -> ".join([*loop, loop[0]])
            found.append(Problem(way, "delays of the loop in chip steps", str(need), str(have), hint))
    return found
