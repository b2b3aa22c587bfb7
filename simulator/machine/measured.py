"""What placements take on the machine, for the mapper to choose among them (`snncc.mapping.guided`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snncc.chips import Discipline
from snncc.errors import Deadlock, Runaway, StateOverflow
from snncc.ir import SpikeGraph
from snncc.mapping.network import Network
from snncc.mapping.placement import Placement
from snncc.simulator.firing import Firing
from snncc.simulator.machine.events import run_events
from snncc.simulator.machine.machine import run_firings
from snncc.simulator.machine.program import MachineProgram, program_of
from snncc.simulator.machine.self_timed import input_trains
from snncc.simulator.timing import Timing

BETWEEN = ("east", "west", "south", "north", "cross")
NEVER = np.inf, np.inf


def hops_of(timing: Timing) -> int:
    """Messages x hops: what links between routers (in a crossbar: between cores) carried."""
    return sum(
        int(messages)
        for messages, station in zip(timing.messages, timing.stations, strict=True)
        if station.split()[0] in BETWEEN
    )


class Gauge:
    """Times placements with what was sent in samples, *firings*: a `snncc.mapping.Measure`.

    To compare many placements, only every n-th step of the chip is followed, together about *spikes* spikes.
    """

    def __init__(
        self, graph: SpikeGraph, firings: Mapping[str, Sequence[Firing]], timesteps: int, spikes: int
    ) -> None:
        self.graph, self.timesteps = graph, timesteps
        names, samples = list(firings), zip(*firings.values(), strict=True)
        self.whole = [dict(zip(names, sample, strict=True)) for sample in samples]
        every = sum(len(firing.address) for sample in self.whole for firing in sample.values())
        self.stride = min(timesteps, max(1, round(every / spikes)))

    def __call__(self, placement: Placement, *, is_short: bool) -> tuple[float, float]:
        """Time at level `cycle`, and messages x hops, of all samples.

        Infinite on a self-timed chip where a sample ends in a deadlock, in a loop, or loses events.
        """
        if placement.chip.discipline is Discipline.EVENT:
            return self.self_timed(placement)
        program, n = program_of(placement), self.stride
        if not is_short or n == 1:
            return summed(program, self.whole)
        network = placement.network
        time, far = summed(program, [self.thinned(network, sample, n, n // 2) for sample in self.whole])
        idle, _ = summed(program, [self.thinned(network, self.whole[0], 1, 1)])
        return n * time - (n - 1) * len(self.whole) * idle, n * far

    def thinned(
        self, network: Network, sample: Mapping[str, Firing], n: int, first: int
    ) -> dict[str, Firing]:
        """What is sent in every *n*-th group of steps from *first* on, where steps are pipelined."""
        found = {}
        for name, firing in sample.items():
            ticks, group = firing.length // self.timesteps, firing.frames
            group = group // max(1, ticks) + network.populations[name].depth
            kept = group % n == first
            frames = firing.frames[kept]
            starts = np.searchsorted(frames, np.arange(firing.length + 1))
            found[name] = Firing(starts, firing.address[kept])
        return found

    def self_timed(self, placement: Placement) -> tuple[float, float]:
        """As `__call__`, of a self-timed chip."""
        time = far = 0
        for sample in self.whole:
            try:
                inputs = input_trains(placement, sample, self.timesteps)
                run = run_events(self.graph, placement, inputs, "timed")
            except (Deadlock, Runaway, StateOverflow):
                return NEVER
            if run.dropped.any():
                return NEVER
            assert run.timing is not None
            time, far = time + run.timing.total, far + hops_of(run.timing)
        return time, far


def summed(program: MachineProgram, samples: Sequence[Mapping[str, Firing]]) -> tuple[int, int]:
    """Time at level `cycle`, and messages x hops, of all *samples*."""
    timings = [run_firings(program, sample)[0] for sample in samples]
    return sum(timing.total for timing in timings), sum(map(hops_of, timings))
