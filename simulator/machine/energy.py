"""What a run on a chip cost in joules: every event, by kind, by core and by layer, and static power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip
from snncc.simulator.jit import kernel
from snncc.simulator.machine.classes import Classes, class_counts, classes_of
from snncc.simulator.machine.program import KINDS, MachineProgram
from snncc.simulator.timing import EVENTS, Timing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PICO = 1e-12
LINKS = ("inject", "east_west", "north_south", "eject")
SENDING = 7
"""How many kinds of what a spike causes count for the layer that sends: see `Prices`."""


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Joules of one inference.

    *kinds*: by kind of event, links included; *cores* [cores + 1]: what happens in each core (the last is
    the port, and the host), without links; *layers*: neurons and their messages count for the layer that
    sends, synapses for the layer that receives, what the host computes for what it sends, visits and updates
    of a core for the layers that it holds, by their neurons. *static* is (low, high): power x time, in none
    of the others.
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


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Joules of what a program does, and for which layer they count.

    *events* [EVENTS]: of one event of each kind; *links*: by kind of link the joules of a message, and the
    stations. A spike of class c, of the population ``sender[c]`` of the senders, causes ``caused[c]``:
    spikes, messages, messages on links of each of `LINKS`, arrivals, and synapses of each connection that
    leaves the population; one of them takes ``price[sender]`` and counts for the layer ``payer[sender]``.
    *parts*: layer and core of each part, and its share of what the core visits and updates (``share[part]``
    of ``held[part]``). *tasks*: what the host computes of some layers.
    """

    events: Floats
    links: Mapping[str, tuple[float, Ints]]
    layers: tuple[str, ...]
    caused: Ints
    sender: Ints
    price: Floats
    payer: Ints
    parts: tuple[Ints, Ints]
    share: Ints
    held: Ints
    tasks: Mapping[int, Any]


PRICES: WeakKeyDictionary[MachineProgram, Prices] = WeakKeyDictionary()
"""Prices of programs that are still alive."""


def prices_of(program: MachineProgram) -> Prices:
    """The prices of *program*, made once."""
    known = PRICES.get(program)
    if known is None:
        known = PRICES[program] = make_prices(program)
    return known


def make_prices(program: MachineProgram) -> Prices:
    """The prices of *program*."""
    placement, network = program.placement, program.placement.network
    costs, links, classes = costs_of(placement.chip), link_energies(placement.chip), classes_of(program)
    layers = tuple(network.populations)
    caused = caused_by(program, classes)
    shape = len(network.senders), caused.shape[1]
    price, payer = np.zeros(shape), np.zeros(shape, np.int64)
    for k, name in enumerate(network.senders):
        at_port, source = placement.is_at_port(name), network.populations[name]
        price[k, :2] = (0.0, costs["port"]) if at_port else (costs["spike"], costs["message_out"])
        price[k, 2:SENDING] = *links.values(), costs["message_in"]
        payer[k] = layers.index(name)
        for n, connection in enumerate(network.out_of(name), SENDING):
            is_mac = source.payload_bits and not connection.rule
            price[k, n] = costs["mac" if is_mac else connection.kind]
            payer[k, n] = layers.index(connection.target)
    sizes = [own.stop - own.start for own in classes.own.values()]
    core = np.array([part.core for part in placement.parts], np.int64)
    share = [len(part.addresses) * network.populations[part.population].steps for part in placement.parts]
    held = np.bincount(core, share, minlength=program.stations.cores + 1).astype(np.int64)
    kinds = np.array(program.stations.kinds)
    return Prices(
        events=np.array([costs.get(name, 0.0) for name in EVENTS]),
        links={kind: (one, np.flatnonzero(kinds == kind)) for kind, one in links.items()},
        layers=layers,
        caused=caused,
        sender=np.repeat(np.arange(len(sizes)), sizes),
        price=price,
        payer=payer,
        parts=(np.array([layers.index(part.population) for part in placement.parts], np.int64), core),
        share=np.array(share, np.int64),
        held=held[core],
        tasks={layers.index(name): task for name, task in network.tasks.items()},
    )


def caused_by(program: MachineProgram, classes: Classes) -> Ints:
    """What a spike of each class causes: [classes, kinds] as in `Prices`."""
    sends, hops = classes.sends, hops_of(program)
    running = np.concatenate([np.zeros((1, len(LINKS)), np.int64), np.cumsum(hops[sends.root], axis=0)])
    return np.column_stack(
        [
            np.ones(classes.count, np.int64),
            classes.messages,
            running[sends.first[1:]] - running[sends.first[:-1]],
            np.diff(sends.base[sends.first]),
            classes.met.T,
        ]
    ).astype(np.int64)


def hops_of(program: MachineProgram) -> Ints:
    """On how many links of each of `LINKS` a message goes, by its tree's first node, [nodes, kinds]."""
    trees, kinds = program.trees, program.stations.kinds
    hops = np.array([[kinds[s] == kind for kind in LINKS] for s in trees.station], np.int64)
    hops = hops.reshape(-1, len(LINKS))
    for node in range(len(hops) - 1, -1, -1):  # children come after their parents
        hops[node] += hops[trees.child[trees.first[node] : trees.first[node + 1]]].sum(axis=0)
    return hops


def energy_of(program: MachineProgram, timing: Timing, fired: Mapping[str, Ints]) -> Energy:
    """The energy of a run that took *timing*; *fired* [size]: spikes of each neuron, by population."""
    return energy_of_classes(program, timing, class_counts(classes_of(program), fired))


def energy_of_classes(program: MachineProgram, timing: Timing, fired: Ints) -> Energy:
    """As `energy_of`; *fired*: spikes of each class."""
    chip, prices = program.placement.chip, prices_of(program)
    events = np.array([timing.events[name] for name in EVENTS])
    kinds, cores, layers = np.zeros(len(EVENTS)), np.zeros(events.shape[1]), np.zeros(len(prices.layers))
    amounts = np.zeros(prices.price.shape, np.int64)
    weigh(events, prices.events, kinds, cores)
    charge(fired, prices.sender, prices.caused, prices.price, prices.payer, amounts, layers)
    of, core = prices.parts
    np.add.at(layers, of, visits_of(prices, timing)[core] * prices.share / prices.held)
    for layer, task in prices.tasks.items():
        layers[layer] += task.total(timesteps_of(program, timing)) * prices.events[-1]
    return Energy(
        kinds=dict(zip(EVENTS, kinds.tolist(), strict=True))
        | {kind: float(one * timing.messages[at].sum()) for kind, (one, at) in prices.links.items()},
        cores=cores,
        layers=dict(zip(prices.layers, layers.tolist(), strict=True)),
        static=static_of(chip, timing.total * chip.time_unit),
    )


def visits_of(prices: Prices, timing: Timing) -> Floats:
    """Joules of visits and updates, by core."""
    access, update = (prices.events[EVENTS.index(name)] for name in ("access", "update"))
    return np.asarray(access * timing.events["access"] + update * timing.events["update"], np.float64)


@kernel
def weigh(events: Any, costs: Any, kinds: Any, cores: Any) -> None:
    """The joules of *events* [kinds, cores] by kind, and by core."""
    for kind in range(len(events)):
        count = 0
        for core in range(len(cores)):
            count += events[kind, core]
            cores[core] += costs[kind] * events[kind, core]
        kinds[kind] = costs[kind] * count


@kernel
def charge(fired: Any, sender: Any, caused: Any, price: Any, payer: Any, amounts: Any, layers: Any) -> None:
    """Add to *layers* the joules of everything that spikes of each class caused: see `Prices`.

    It is counted first (*amounts*, zeros, as *price*), so that the result depends on no order.
    """
    for c in range(len(fired)):
        if fired[c]:
            for n in range(caused.shape[1]):
                amounts[sender[c], n] += fired[c] * caused[c, n]
    for k in range(len(amounts)):
        for n in range(amounts.shape[1]):
            layers[payer[k, n]] += amounts[k, n] * price[k, n]


def static_of(chip: Chip, seconds: float) -> tuple[float, float]:
    """Static energy, low and high."""
    low, high = (
        (chip.static.per_chip[k] + chip.static.per_core[k] * chip.fabric.cores) * seconds for k in (0, 1)
    )
    return low, high


def timesteps_of(program: MachineProgram, timing: Timing) -> int:
    """How many timesteps a run had."""
    return next(n for n, plan in program.calendars.items() if plan.steps == len(timing.steps))
