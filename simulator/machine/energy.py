"""What a run on a chip cost in joules: every event, by kind, by core and by layer, and static power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip
from snncc.simulator.machine.program import KINDS, MachineProgram, target_masks
from snncc.simulator.timing import Timing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PICO = 1e-12
LINKS = ("inject", "east_west", "north_south", "eject")


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Joules of one inference.

    *kinds*: by kind of event, links included; *cores* [cores + 1]: what happens in each core (the last is
    the port, and the host), without links; *layers*: neurons and their messages count for the layer that
    sends, synapses for the layer that receives, what the host computes for what it sends. *static* is (low,
    high): power x time, in none of the others.
    """

    kinds: Mapping[str, float]
    cores: Floats
    layers: Mapping[str, float]
    static: tuple[float, float]

    @property
    def events(self) -> float:
        """The sum over all kinds of events."""
        return float(sum(self.kinds.values()))


def costs_of(chip: Chip) -> dict[str, float]:
    """Joules of each kind of event of `snncc.simulator.timing.EVENTS`."""
    o = chip.operations
    costs = {
        "access": o.access,
        "update": o.update,
        "spike": o.spike,
        "message_out": o.message_out,
        "message_in": o.message_in,
        "port": chip.port.event,
        **{kind: chip.synapse(kind) for kind in KINDS},
    }
    host = {} if chip.host is None else {"host": chip.host.energy_per_mac * PICO}
    return {name: cost.energy * PICO for name, cost in costs.items()} | host


def link_energies(chip: Chip) -> dict[str, float]:
    """Joules of a message on a link of each kind."""
    return {kind: getattr(chip.fabric, kind).energy * PICO for kind in LINKS}


def energy_of(program: MachineProgram, timing: Timing, fired: Mapping[str, Ints]) -> Energy:
    """The energy of a run that took *timing*; *fired* [size]: spikes of each neuron, by population."""
    chip = program.placement.chip
    costs, links = costs_of(chip), link_energies(chip)
    cores = np.zeros(program.stations.cores + 1)
    kinds: dict[str, float] = {}
    for name, counts in timing.events.items():
        one = costs.get(name, 0.0)
        kinds[name] = float(one * counts.sum())
        cores += one * counts
    for kind, one in links.items():
        carried = [n for n, of in zip(timing.messages, program.stations.kinds, strict=True) if of == kind]
        kinds[kind] = float(one * np.sum(carried, dtype=np.int64))
    seconds = timing.total * chip.time_unit
    return Energy(kinds, cores, layer_energies(program, timing, fired), static_of(chip, seconds))


def static_of(chip: Chip, seconds: float) -> tuple[float, float]:
    """Static energy, low and high."""
    low, high = (
        (chip.static.per_chip[k] + chip.static.per_core[k] * chip.fabric.cores) * seconds for k in (0, 1)
    )
    return low, high


def timesteps_of(program: MachineProgram, timing: Timing) -> int:
    """How many timesteps a run had."""
    return next(n for n, plan in program.calendars.items() if plan.steps == len(timing.steps))


def layer_energies(program: MachineProgram, timing: Timing, fired: Mapping[str, Ints]) -> dict[str, float]:
    """Joules of each population: see `Energy`. They add up to the energy of all events."""
    if program not in RATES:
        RATES[program] = rates_of(program)
    rates = RATES[program]
    layers = dict.fromkeys(program.placement.network.populations, 0.0)
    for name, times in fired.items():
        layers[name] += float(times @ rates.sending[name])
    for (source, target), joules in rates.synapses.items():
        layers[target] += float(fired[source] @ joules)
    for name, share in visits_of(program, timing).items():
        layers[name] += share
    for name, task in program.placement.network.tasks.items():
        layers[name] += task.total(timesteps_of(program, timing)) * costs_of(program.placement.chip)["host"]
    return layers


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Joules that one spike of each neuron takes.

    *sending* [size]: for firing and for its messages, on links and on arrival; *synapses* [size]: in all
    synapses between two populations.
    """

    sending: Mapping[str, Floats]
    synapses: Mapping[tuple[str, str], Floats]


RATES: WeakKeyDictionary[MachineProgram, Rates] = WeakKeyDictionary()
"""Rates of programs that are still alive."""


def rates_of(program: MachineProgram) -> Rates:
    """What spikes of *program* take."""
    placement, sends = program.placement, program.sends
    costs, network = costs_of(placement.chip), placement.network
    per_root = root_energies(program)
    sending = {}
    for name in network.senders:
        low, high = program.offsets[name], program.offsets[name] + network.populations[name].size
        first = sends.first[low : high + 1]
        running = np.concatenate([[0.0], np.cumsum(per_root[sends.root[first[0] : first[-1]]])])
        links = running[first[1:] - first[0]] - running[first[:-1] - first[0]]
        at_port = placement.is_at_port(name)
        sent = costs["port" if at_port else "message_out"] * np.diff(first)
        fire = 0.0 if at_port else costs["spike"]
        sending[name] = fire + sent + links + costs["message_in"] * np.diff(sends.base[first])
    synapses: dict[tuple[str, str], Floats] = {}
    for connection in network.connections:
        source, target = (network.populations[name] for name in (connection.source, connection.target))
        is_mac = source.payload_bits and not connection.rule
        one = costs["mac" if is_mac else connection.kind]
        held = [np.ones(target.size, bool)]
        if connection.rule:  # each core has entries of its own
            held = list(target_masks(placement).get(target.name, {}).values())
        counts = np.stack([connection.counts(mask) for mask in held]).sum(axis=0)
        joules: Floats = one * counts.astype(np.float64)
        key = source.name, target.name
        synapses[key] = synapses[key] + joules if key in synapses else joules
    return Rates(sending, synapses)


def root_energies(program: MachineProgram) -> Floats:
    """Joules that a message takes on all links of its tree, by the tree's first node."""
    trees, kinds = program.trees, program.stations.kinds
    links = link_energies(program.placement.chip)
    own = np.array([links.get(kinds[s], 0.0) for s in trees.station])
    total = np.zeros(len(own))
    for node in range(len(own) - 1, -1, -1):  # children come after their parents
        total[node] = own[node] + total[trees.child[trees.first[node] : trees.first[node + 1]]].sum()
    return total


def visits_of(program: MachineProgram, timing: Timing) -> dict[str, float]:
    """Joules of visits and updates by population: a core's are shared out by the neurons that it holds."""
    placement, costs = program.placement, costs_of(program.placement.chip)
    joules = costs["access"] * timing.events["access"] + costs["update"] * timing.events["update"]
    weights = {
        id(part): len(part.addresses) * placement.network.populations[part.population].steps
        for part in placement.parts
    }
    held = np.zeros(len(joules))
    for part in placement.parts:
        held[part.core] += weights[id(part)]
    layers: dict[str, float] = {}
    for part in placement.parts:
        share = float(joules[part.core] * weights[id(part)] / held[part.core])
        layers[part.population] = layers.get(part.population, 0.0) + share
    return layers
