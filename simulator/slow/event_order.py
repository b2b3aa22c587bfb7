"""The canonical order of events (MACHINE.md, 7): depth first, without time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from snncc.ir import SpikeGraph
from snncc.mapping.network import Network
from snncc.mapping.placement import Placement
from snncc.simulator.event_check import check_events
from snncc.simulator.event_neurons import shift_of
from snncc.simulator.event_run import MOST_SPIKES, EventRun, checked_inputs
from snncc.simulator.slow.potentials import Event, Potentials, outside
from snncc.simulator.timing import Ints


def canonical(
    graph: SpikeGraph, placement: Placement, inputs: Mapping[str, Ints], *, most: int = MOST_SPIKES
) -> EventRun:
    """Run one sample, *inputs* [T, 1, size] of 0 and 1, in the canonical order.

    Raises what `check_events` raises, `BadInput`, `StateOverflow`, and `Runaway` where one event causes more
    than *most* spikes.
    """
    check_events(graph, placement)
    trains = checked_inputs(placement.network, inputs)
    timesteps = len(next(iter(trains.values())))
    potentials = Potentials(graph, placement.network, timesteps, most)
    for timestep in range(timesteps):
        for name, of in potentials.neurons.items():
            for address in np.flatnonzero(of.bias).tolist():
                if potentials.event(name, address, int(of.bias[address]), timestep):
                    event = (name, address, timestep)
                    potentials.fired(name, address, timestep, event)
                    work_off(placement.network, potentials, event)
        for name, address in outside(trains, timestep):
            work_off(placement.network, potentials, (name, address, timestep))
    return potentials.run(np.zeros(placement.chip.fabric.cores, np.int64))


def work_off(network: Network, potentials: Potentials, cause: Event) -> None:
    """The spike of the neuron that *cause* names, and everything that it causes."""
    name, address, _ = cause
    stack = [effects(network, potentials, name, address, cause)]
    while stack:
        spike = next(stack[-1], None)
        if spike is None:
            stack.pop()
        else:
            stack.append(effects(network, potentials, *spike, cause))


def effects(
    network: Network, potentials: Potentials, name: str, address: int, cause: Event
) -> Iterator[tuple[str, int]]:
    """Work off one spike, connection by connection; each spike that it makes is to be worked off at once."""
    timestep = cause[-1]
    for connection in network.out_of(name):
        targets, weights = connection.synapses(address)
        fired = []
        for target, weight in zip(targets.tolist(), weights.tolist(), strict=True):
            if potentials.event(connection.target, target, weight << shift_of(connection), timestep):
                potentials.fired(connection.target, target, timestep, cause)
                fired.append(target)
        for target in fired:
            yield connection.target, target
