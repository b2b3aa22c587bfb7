"""What a run on a chip cost in joules: every event, by kind, by core and by layer, and static power."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip
from snncc.mapping.hosted import Task
from snncc.simulator.jit import inner, kernel
from snncc.simulator.machine.classes import Classes, classes_of
from snncc.simulator.machine.program import KINDS, MachineProgram, kind_of
from snncc.simulator.memo import once
from snncc.simulator.timing import EVENTS, Timing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PICO = 1e-12
LINKS = ("inject", "east_west", "north_south", "eject")
KINDS_OF_COST = (*EVENTS, *LINKS)
TABLES = 8
"""Tables of integers among the `Rates`."""
MANY, KINDS_MANY = len(EVENTS), len(KINDS_OF_COST)
ACCESS, UPDATE = (EVENTS.index(name) for name in ("access", "update"))
SENDING = 7
"""How many kinds of what a spike causes count for the layer that sends: see `Rates`."""


@dataclass(frozen=True, slots=True, eq=False)
class Joules(Mapping[str, float]):
    """*sums* by their *names*, looked up when somebody asks."""

    names: Sequence[str]
    sums: Floats

    def __getitem__(self, name: str) -> float:
        if name not in self.names:
            raise KeyError(name)
        return float(self.sums[self.names.index(name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


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


class Rates(NamedTuple):
    """Joules of what a program does, and for which layer they count.

    *events* [EVENTS], *links* [LINKS]: of one event, one message; *link* [stations]: which kind of link it is
    (-1: none). A spike of class c, of the population ``sender[c]`` (ascending), causes ``caused[c]``:
    spikes, messages, messages on links of each of `LINKS`, arrivals, and synapses of each connection that
    leaves the population; one of them takes ``price[sender]`` and counts for the layer ``payer[sender]``.
    Part k is of layer ``of[k]``; of what its core *core* visits and updates it has ``share[k] / held[k]``.
    """

    events: Any
    links: Any
    link: Any
    sender: Any
    caused: Any
    price: Any
    payer: Any
    of: Any
    core: Any
    share: Any
    held: Any


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What the *layers* of a program pay: its *rates*, and what the host computes for some (*tasks*)."""

    layers: tuple[str, ...]
    rates: Rates
    book: tuple[Ints, Floats]
    """The rates in two arrays, which are passed sooner than eleven (see `bound`)."""
    tasks: Mapping[int, Task]
    static: tuple[float, float]
    """Watts, low and high."""


@once
def prices_of(program: MachineProgram) -> Prices:
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
            price[k, n] = costs[KINDS[kind_of(connection, source)]]
            payer[k, n] = layers.index(connection.target)
    sizes = [own.stop - own.start for own in classes.own.values()]
    core = np.array([part.core for part in placement.parts], np.int64)
    share = [len(part.addresses) * network.populations[part.population].steps for part in placement.parts]
    held = np.bincount(core, share, minlength=program.stations.cores + 1).astype(np.int64)
    rates = Rates(
        events=np.array([costs.get(name, 0.0) for name in EVENTS]),
        links=np.array([links[kind] for kind in LINKS]),
        link=np.array([LINKS.index(kind) if kind else -1 for kind in program.stations.kinds], np.int64),
        sender=np.repeat(np.arange(len(sizes)), sizes),
        caused=caused,
        price=price,
        payer=payer,
        of=np.array([layers.index(part.population) for part in placement.parts], np.int64),
        core=core,
        share=np.array(share, np.int64),
        held=held[core],
    )
    tasks = {layers.index(name): task for name, task in network.tasks.items()}
    return Prices(layers, rates, bound(rates), tasks, static_of(placement.chip))


def caused_by(program: MachineProgram, classes: Classes) -> Ints:
    """What a spike of each class causes: [classes, kinds] as in `Rates`."""
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


def energy_of(program: MachineProgram, timing: Timing, fired: Ints) -> Energy:
    """The energy of a run that took *timing*; *fired*: spikes of each class (`class_counts`)."""
    prices, seconds = prices_of(program), timing.total * program.placement.chip.time_unit
    low, high = prices.static
    kinds, cores = np.zeros(len(KINDS_OF_COST)), np.zeros(timing.counts.shape[1])
    layers = np.zeros(len(prices.layers))
    add_up_joules(*prices.book, timing.counts, timing.messages, fired, kinds, cores, layers)
    for layer, task in prices.tasks.items():
        layers[layer] += task.total(timesteps_of(program, timing)) * prices.rates.events[-1]
    static = low * seconds, high * seconds
    return Energy(Joules(KINDS_OF_COST, kinds), cores, Joules(prices.layers, layers), static)


def bound(rates: Rates) -> tuple[Ints, Floats]:
    """All integers of *rates*, behind where tables end (but the last) and *caused*'s width; all joules."""
    tables = [rates.link, rates.sender, rates.caused, rates.payer]
    tables += [rates.of, rates.core, rates.share, rates.held]
    ends = np.cumsum([TABLES, *(table.size for table in tables)])[1:-1]
    joules = np.concatenate([rates.events, rates.links, rates.price.reshape(-1)])
    return np.concatenate([ends, [rates.price.shape[1]], *(table.reshape(-1) for table in tables)]), joules


@inner
def weigh(rates: Rates, events: Any, messages: Any, kinds: Any, cores: Any) -> None:
    """The joules of *events* [kinds, cores] and of *messages* [stations], by kind, and by core."""
    for kind in range(MANY):
        count = 0
        for core in range(len(cores)):
            count += events[kind, core]
            cores[core] += rates.events[kind] * events[kind, core]
        kinds[kind] = rates.events[kind] * count
    for kind in range(len(rates.links)):
        count = 0
        for station in range(len(messages)):
            if rates.link[station] == kind:
                count += messages[station]
        kinds[MANY + kind] = rates.links[kind] * count


@inner
def charge(rates: Rates, fired: Any, amounts: Any, layers: Any) -> None:
    """Add to *layers* the joules of all that spikes of each class caused.

    It is counted first, so that the sums depend on no order: *amounts* has room for each kind.
    """
    c = 0
    for k in range(len(rates.price)):
        amounts[:] = 0
        while c < len(fired) and rates.sender[c] == k:
            if fired[c]:
                for n in range(len(amounts)):
                    amounts[n] += fired[c] * rates.caused[c, n]
            c += 1
        for n in range(len(amounts)):
            layers[rates.payer[k, n]] += amounts[n] * rates.price[k, n]


@kernel
def add_up_joules(
    numbers: Any, prices: Any, events: Any, messages: Any, fired: Any, kinds: Any, cores: Any, layers: Any
) -> None:
    """All sums of `Energy`: `weigh`, `charge`; visits and updates of a core are shared out by parts.

    *numbers* and *prices* are the `Rates`, as `bound`.
    """
    end = numbers[:TABLES]
    width = numbers[TABLES - 1]
    sender, caused = numbers[end[0] : end[1]], numbers[end[1] : end[2]].reshape(-1, width)
    payer = numbers[end[2] : end[3]].reshape(-1, width)
    rates = Rates(
        *(prices[:MANY], prices[MANY:KINDS_MANY], numbers[TABLES : end[0]], sender, caused),
        *(prices[KINDS_MANY:].reshape(-1, width), payer, numbers[end[3] : end[4]], numbers[end[4] : end[5]]),
        *(numbers[end[5] : end[6]], numbers[end[6] :]),
    )
    weigh(rates, events, messages, kinds, cores)
    charge(rates, fired, np.empty(rates.price.shape[1], np.int64), layers)
    for k in range(len(rates.of)):
        core = rates.core[k]
        joules = rates.events[ACCESS] * events[ACCESS, core] + rates.events[UPDATE] * events[UPDATE, core]
        layers[rates.of[k]] += joules * rates.share[k] / rates.held[k]


def static_of(chip: Chip) -> tuple[float, float]:
    """Static power in watts, low and high."""
    low, high = (chip.static.per_chip[k] + chip.static.per_core[k] * chip.fabric.cores for k in (0, 1))
    return low, high


def timesteps_of(program: MachineProgram, timing: Timing) -> int:
    """How many timesteps a run had."""
    return next(n for n, plan in program.calendars.items() if plan.steps == len(timing.steps))
