"""Potentials that events change one by one, and what is reported of them (MACHINE.md, 7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snncc.errors import Runaway, StateOverflow
from snncc.ir import Overflow, SpikeGraph
from snncc.mapping.network import Network
from snncc.simulator.event_neurons import EventNeurons, event_neurons
from snncc.simulator.event_run import EventRun, Taken
from snncc.simulator.timing import Ints, Timing

Event = tuple[str, int, int]
"""An event from outside: population, address, timestep."""


class Potentials:
    """All neurons and readouts of a network during one run of *timesteps*."""

    def __init__(self, graph: SpikeGraph, network: Network, timesteps: int, most: int) -> None:
        self.graph, self.most = graph, most
        self.neurons = event_neurons(graph, network)
        self.v = {name: of.v_init.tolist() for name, of in self.neurons.items()}
        self.saturations = dict.fromkeys(self.neurons, 0)
        sizes = {name: (timesteps, len(of.bias)) for name, of in self.neurons.items()}
        self.spikes = {name: np.zeros(size, np.int32) for name, size in sizes.items()}
        self.sums = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
        self.caused: dict[Event, int] = {}

    def event(self, population: str, address: int, weight: int, timestep: int) -> bool:
        """One event through one synapse; whether the neuron fires. A readout counts it in *timestep*."""
        of, v = self.neurons[population], self.v[population]
        self.sums[population][timestep, address] += weight
        v[address] = self.fit(of, address, v[address] + weight)
        if of.clamp_low is not None:
            v[address] = max(v[address], int(of.clamp_low[address]))
        if not of.fires or v[address] < of.least[address]:
            return False
        if of.subtracts:
            v[address] = self.fit(of, address, v[address] - int(of.rho[address]))
        else:
            v[address] = int(of.v_reset[address])
        return True

    def fit(self, of: EventNeurons, address: int, v: int) -> int:
        """*v* in the width of the population."""
        if of.bits is None:
            return v
        low, high = of.range
        if low <= v <= high:
            return v
        self.saturations[of.name] += 1
        if of.overflow is Overflow.SATURATE:
            return min(max(v, low), high)
        if of.overflow is Overflow.WRAP:
            return (v - low) % (1 << of.bits) + low
        neuron = np.unravel_index(address, self.graph.edges[of.name].shape)
        raise StateOverflow(of.name, "potential", 0, tuple(int(k) for k in neuron), v, low, high)

    def fired(self, population: str, address: int, timestep: int, cause: Event) -> None:
        """Count a spike. Raises `Runaway`."""
        self.spikes[population][timestep, address] += 1
        self.caused[cause] = self.caused.get(cause, 0) + 1
        if self.caused[cause] > self.most:
            raise Runaway(*cause, self.most)

    def run(self, dropped: Ints, timing: Timing | None = None, taken: Taken | None = None) -> EventRun:
        """What has been counted."""
        neurons = [name for name, of in self.neurons.items() if of.fires]
        readouts = [name for name, of in self.neurons.items() if not of.fires]
        return EventRun(
            spikes={name: self.spikes[name] for name in neurons},
            sums={name: self.sums[name] for name in readouts},
            potentials={name: np.array(self.v[name], np.int64) for name in neurons},
            saturations={name: self.saturations[name] for name in neurons},
            dropped=dropped,
            timing=timing,
            taken=taken,
        )


def outside(trains: Mapping[str, Ints], timestep: int) -> list[tuple[str, int]]:
    """The input's spikes of one timestep: population by population, by address."""
    return [
        (name, address)
        for name, train in trains.items()
        for address in np.flatnonzero(train[timestep]).tolist()
    ]
