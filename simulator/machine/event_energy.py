"""What a run on a self-timed chip cost in joules, also where events were lost (MACHINE.md, 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from snncc.ir.arrays import Array
from snncc.mapping.placement import Placement
from snncc.simulator.event_neurons import EventNeurons
from snncc.simulator.event_run import EventRun, Taken
from snncc.simulator.machine.classes import class_counts
from snncc.simulator.machine.energy import (
    SENDING,
    Energy,
    Floats,
    costs_of,
    energy_of,
    link_energies,
    prices_of,
)
from snncc.simulator.machine.fabric import path, stations_of
from snncc.simulator.machine.program import MachineProgram, unchecked_program
from snncc.simulator.timing import Ints

ARRIVALS = SENDING - 1
"""Where what a spike causes has the messages that arrive (`snncc.simulator.machine.energy.Rates`)."""


def energy_of_events(
    placement: Placement, neurons: Mapping[str, EventNeurons], run: EventRun, inputs: Mapping[str, Array]
) -> Energy:
    """The energy of a timed *run* with *inputs* [T, 1, size]."""
    assert run.timing is not None
    assert run.taken is not None
    program, timesteps = unchecked_program(placement), len(next(iter(inputs.values())))
    fired = {name: train.sum(axis=0, dtype=np.int64) for name, train in run.spikes.items()}
    fired |= {name: train.sum(axis=(0, 1), dtype=np.int64) for name, train in inputs.items()}
    counts = class_counts(program, fired)
    sums = spikes_joules(program, run.taken, counts) + ticks_joules(placement, neurons, run.taken, timesteps)
    layers = dict(zip(placement.network.populations, sums.tolist(), strict=True))
    return replace(energy_of(program, run.timing, counts), layers=layers)


def spikes_joules(program: MachineProgram, taken: Taken, fired: Ints) -> Floats:
    """By population the joules of spikes and of what they caused; *fired*: spikes of each class.

    Sending and ways follow from the spikes; what arrived, and the synapses that it met, were counted.
    """
    rates, network = prices_of(program).rates, program.placement.network
    amounts = np.zeros(rates.price.shape, np.int64)
    np.add.at(amounts, rates.sender, fired[:, None] * rates.caused)
    amounts[:, ARRIVALS:] = 0
    met = [int(each.sum()) for each in taken.synapses]
    names = list(network.populations)
    for k, name in enumerate(network.senders):
        amounts[k, ARRIVALS] = taken.messages[names.index(name)].sum()
        own = [n for n, connection in enumerate(network.connections) if connection.source == name]
        amounts[k, SENDING : SENDING + len(own)] = [met[n] for n in own]
    joules = np.zeros(len(names))
    np.add.at(joules, rates.payer, amounts * rates.price)
    return joules


def ticks_joules(
    placement: Placement, neurons: Mapping[str, EventNeurons], taken: Taken, timesteps: int
) -> Floats:
    """By population the joules of ticks: they count for neurons with a bias, in equal shares on each core."""
    chip, costs, names = placement.chip, costs_of(placement.chip), list(placement.network.populations)
    biased = np.zeros((len(names), chip.fabric.cores), np.int64)
    for part in placement.parts:
        if part.population in neurons:
            bias = neurons[part.population].bias[part.addresses]
            biased[names.index(part.population), part.core] += np.count_nonzero(bias)
    held = biased.sum(axis=0)
    sending = costs["port"] + ways_joules(placement)
    arrived, change = taken.messages[-1], costs["access"] + costs["update"]
    each = timesteps * sending + arrived * costs["message_in"]
    shares = biased / np.maximum(1, held)
    return np.asarray(shares @ each + biased @ arrived * change, np.float64)


def ways_joules(placement: Placement) -> Floats:
    """What a message from the port to each core takes on links, [cores]."""
    fabric, joules = placement.chip.fabric, link_energies(placement.chip)
    stations = stations_of(placement.chip)
    ways = [path(fabric, fabric.cores, core) for core in range(fabric.cores)]
    return np.array([sum(joules[stations.kinds[stations.rank[link]]] for link in way) for way in ways])
