"""Batches on a self-timed chip (MACHINE.md, 7): spikes of its own, besides time and energy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir import SpikeGraph
from snncc.mapping.network import Role
from snncc.mapping.placement import Placement
from snncc.simulator.event_neurons import event_neurons
from snncc.simulator.event_run import EventRun
from snncc.simulator.firing import Firing
from snncc.simulator.machine.energy import Energy
from snncc.simulator.machine.event_energy import energy_of_events
from snncc.simulator.machine.events import run_events
from snncc.simulator.machine.machine import Level
from snncc.simulator.machine.result import ChipRun, Differing
from snncc.simulator.timing import Timing

Ints = NDArray[np.int64]


def run_self_timed(
    graph: SpikeGraph,
    placement: Placement,
    firings: Mapping[str, Sequence[Firing]],
    timesteps: int,
    *,
    period: int = 0,
    may_drop: bool = False,
    threads: int | None = None,
) -> ChipRun:
    """Every sample in the timed order, compared with the canonical order and with the *firings* of the graph.

    A timestep begins every *period*, or when the port has sent the one before. Raises `BadInput` where events
    are dropped and they must not be, and what `run_events` raises.
    """
    neurons = event_neurons(graph, placement.network)

    def one(sample: int) -> tuple[Timing, Energy, dict[str, Differing], int]:
        own = {name: each[sample] for name, each in firings.items()}
        inputs = input_trains(placement, own, timesteps)
        timed = run_events(graph, placement, inputs, "timed", period)
        canonical = run_events(graph, placement, inputs, "canonical")
        dropped = int(timed.dropped.sum())
        if dropped and not may_drop:
            core = int(timed.dropped.argmax())
            raise BadInput(
                f"{placement.chip.name}: {dropped} events of a sample were dropped, most of them "
                f"({timed.dropped[core]}) in front of core {core}, whose queue was full",
                hint="give the input more time (period), or count them (drops='count', --drops count)",
            )
        assert timed.timing is not None
        energy = energy_of_events(placement, neurons, timed, inputs)
        return timed.timing, energy, differing(timed, canonical, own), dropped

    samples = range(len(next(iter(firings.values()))))
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        timings, energies, found, dropped = zip(*pool.map(one, samples), strict=True)
    return ChipRun(placement, Level.CYCLE, timings, energies, timesteps, found, sum(dropped))


def input_trains(
    placement: Placement, firings: Mapping[str, Firing], timesteps: int
) -> dict[str, NDArray[np.int8]]:
    """The trains [T, 1, size] of all inputs of one sample."""
    trains = {}
    for name, population in placement.network.populations.items():
        if population.role is Role.INPUT:
            trains[name] = np.zeros((timesteps, 1, population.size), np.int8)
            trains[name][firings[name].frames, 0, firings[name].address] = 1
    return trains


def differing(timed: EventRun, canonical: EventRun, firings: Mapping[str, Firing]) -> dict[str, Differing]:
    """By how many spikes each population differs, over its neurons in the whole run."""
    orders = timed.differing(canonical)
    found = {}
    for name, train in timed.spikes.items():
        counts = firings[name].counts(train.shape[1])
        steps = int(np.abs(train.sum(axis=0) - counts).sum())
        found[name] = Differing(int(train.sum()), orders[name], steps, timed.saturations.get(name, 0))
    return found
