"""What a compiled graph does on a user's data, for placements made for these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from snncc.backends.target import Target
from snncc.ir import Array, SpikeGraph
from snncc.mapping import MOST_RUNS, Measure, Placement, Traffic, network_of

if TYPE_CHECKING:
    from snncc.simulator.firing import Firing

Progress = Callable[[int, int], None]
TIMED, SPIKES = 2, 250_000
"""Placements are timed with the first so many samples, to compare many with about so many spikes of these."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The mean spikes of each neuron in each timestep, and what times placements (on the first samples)."""

    traffic: Traffic
    measure: Measure


def profile_of(
    target: Target, graph: SpikeGraph, data: Array, timesteps: int, progress: Progress | None = None
) -> Profile:
    """The profile of the compiled *graph* on *data* (in the graph's layout).

    *progress* is called with (placements timed so far, the most that may be).
    """
    from snncc.simulator import Run as Simulated  # loads numba
    from snncc.simulator.machine import Gauge

    network = network_of(graph)
    run = target.run(graph, data, timesteps=timesteps, firing=network.senders)
    assert isinstance(run, Simulated)
    timed = {name: each[:TIMED] for name, each in run.firings.items()}
    traffic = {
        name: trace(each, timesteps, network.populations[name].size) for name, each in run.firings.items()
    }
    gauge, done = Gauge(graph, timed, timesteps, SPIKES), count(1)

    def measure(placement: Placement, *, is_short: bool) -> tuple[float, float]:
        found = gauge(placement, is_short=is_short)
        if progress is not None:
            progress(next(done), MOST_RUNS)
        return found

    return Profile(traffic, measure)


def trace(samples: Sequence[Firing], timesteps: int, size: int) -> Array:
    """The mean spikes of each neuron in each timestep, [timesteps, size]."""
    found = np.zeros(timesteps * size)
    for firing in samples:
        ticks = firing.length // timesteps
        found += np.bincount(firing.frames // ticks * size + firing.address, minlength=timesteps * size)
    return np.asarray(found.reshape(timesteps, size) / len(samples), np.float32)
