"""A placement, worked out for the kernels: which messages a spike sends, and what they cost on arrival.

Neurons have global numbers: the address in their population + the population's *offset*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip, Fabric
from snncc.ir.arrays import Array
from snncc.mapping.network import Connection, Network, Population
from snncc.mapping.placement import Placement
from snncc.mapping.schedule import check_schedule
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.fabric import Routes, Stations, stations_of
from snncc.simulator.machine.run_kernel import Times
from snncc.simulator.machine.step_kernel import Wiring
from snncc.simulator.memo import once

Ints = NDArray[np.int64]
KINDS = ("dense", "conv", "sparse", "mac", "write", "read")
PLAIN = 4
"""How many of them there are in a network without products of two trains."""


@dataclass(frozen=True, slots=True, eq=False)
class Sends:
    """What each neuron sends, and to whom.

    Neuron g sends the messages ``first[g]`` to ``first[g + 1]``; message m starts at the tree node
    ``root[m]``, and its arrivals are ``base[m]`` to ``base[m + 1]``, in the order of the tree's leaves.
    Arrival a is worked off in ``service[a]`` on core ``core[a]``; it comes from neuron ``sender[a]`` and
    brings ``synapses[k, a]`` of each of `KINDS`.
    """

    first: Array
    root: Array
    base: Array
    service: Array
    core: Array
    sender: Array
    synapses: Array


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """`Routes` as arrays: the children of node k are ``child[first[k] : first[k + 1]]``."""

    station: Ints
    first: Ints
    child: Ints
    leaf: Ints
    size: Ints


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MachineProgram:
    """Everything about a placement that does not depend on data."""

    placement: Placement
    stations: Stations
    trees: Trees
    wiring: Wiring
    sends: Sends
    offsets: Mapping[str, int]
    neurons: int
    stays: Ints
    """How many queues the messages of all neurons before each one go through, [neurons + 1]."""
    times: Times
    """Of the chip's neuron units."""
    barrier: int
    """The time of a synchronization."""
    calendars: dict[int, Calendar] = field(default_factory=dict)
    """By the number of timesteps, made when needed (`snncc.simulator.machine.traffic`)."""
    cells: dict[int, Any] = field(default_factory=dict)
    """By the number of the connection, made when needed (`snncc.simulator.machine.touch`)."""
    touches: dict[int, Any] = field(default_factory=dict)
    """By the number of steps, where they depend on no spike, made when needed (likewise)."""


@once
def program_of(placement: Placement) -> MachineProgram:
    """The tables of *placement*. Raises `CannotLower` and `InvalidGraph` (`check_schedule`)."""
    check_schedule(placement)
    return unchecked_program(placement)


@once
def unchecked_program(placement: Placement) -> MachineProgram:
    """As `program_of`, by whatever discipline: of a self-timed chip, what its events cost."""
    placement = replace(placement)  # a copy: what is made for it must not keep it alive
    stations = stations_of(placement.chip, placement.network.has_host)
    routes = Routes(placement.chip.fabric, stations)
    populations = placement.network.populations.values()
    ends = np.cumsum([0, *(p.size for p in populations)])
    offsets = {p.name: int(end) for p, end in zip(populations, ends, strict=False)}
    masks = target_masks(placement)
    parts = [sends_of(placement, p, offsets[p.name], masks, routes) for p in populations]
    trees = trees_of(routes)
    wiring = wiring_of(placement.chip.fabric, stations, trees)
    sends = joined(parts)
    stays = np.concatenate([[0], np.cumsum(trees.size[sends.root])])[sends.first]
    chip, neurons = placement.chip, int(ends[-1])
    times, barrier = times_of(chip), chip.barrier_time(placement.tiles)
    return MachineProgram(placement, stations, trees, wiring, sends, offsets, neurons, stays, times, barrier)


def times_of(chip: Chip) -> Times:
    """The times of the chip's neuron units."""
    costs = chip.operations
    return Times(
        *(costs.access.time, costs.update.time, costs.spike.time, costs.message_out.time),
        chip.port.event.time,
        slowdowns(chip),
    )


def slowdowns(chip: Chip) -> Ints:
    """How many times as long everything takes in each core, and in the port or host, [cores + 1]."""
    return np.array([*(core.slowdown for core in chip.cores), 1], np.int64)


def target_masks(placement: Placement) -> dict[str, dict[int, NDArray[np.bool_]]]:
    """Of each population and core the neurons that this core holds."""
    masks: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for part in placement.parts:
        size = placement.network.populations[part.population].size
        mask = masks.setdefault(part.population, {}).setdefault(part.core, np.zeros(size, bool))
        mask[part.addresses] = True
    return masks


def sends_of(
    placement: Placement,
    population: Population,
    offset: int,
    masks: Mapping[str, Mapping[int, NDArray[np.bool_]]],
    routes: Routes,
) -> Sends:
    """What the neurons of one population send; their messages and arrivals are counted from 0."""
    counts: dict[int, Array] = {}
    kinds = kinds_of(placement.network)
    for connection in placement.network.out_of(population.name):
        kind = kind_of(connection, population)
        for core, mask in masks.get(connection.target, {}).items():
            table = counts.setdefault(core, np.zeros((kinds, population.size), np.int32))
            table[kind] += connection.counts(mask).astype(np.int32)
    given = placement.network.to_host.get(population.name)
    if given is not None and not placement.is_at_port(population.name):  # what the port sends the host knows
        heard = {placement.chip.fabric.cores: given}
    else:
        heard = {}
    sender, cores, synapses = arrivals_of(counts, heard, kinds)
    homes = placement.core_of(population.name)
    if placement.chip.fabric.multicast:
        first, root, base = forked(homes, sender, cores, routes)
    else:
        first = np.searchsorted(sender, np.arange(population.size + 1))
        units = placement.chip.fabric.cores + 1
        pairs, which = np.unique(homes[sender] * units + cores, return_inverse=True)
        roots = np.array([routes.root(int(pair) // units, [int(pair) % units]) for pair in pairs], np.int64)
        root, base = roots[which.reshape(-1)], np.arange(len(sender))
    return Sends(first, root, base, service_of(placement, cores, synapses), cores, sender + offset, synapses)


def arrivals_of(
    counts: Mapping[int, Array], heard: Mapping[int, NDArray[np.bool_]], kinds: int
) -> tuple[Ints, Ints, Array]:
    """Sender, core and synapses [kinds, arrivals] of all arrivals, by sender, then by core.

    *counts* has the synapses [kinds, size] from each neuron into each core; *heard* who reaches the host,
    which has the number after the last core, and no synapses.
    """
    reached = {core: np.flatnonzero(counts[core].any(axis=0)) for core in sorted(counts)}
    reached |= {host: np.flatnonzero(which) for host, which in heard.items()}
    sender = np.concatenate([np.zeros(0, np.int64), *reached.values()])
    cores = np.repeat(np.array([*reached], np.int64), [len(which) for which in reached.values()])
    tables = [
        counts[core][:, which] if core in counts else np.zeros((kinds, len(which)), np.int32)
        for core, which in reached.items()
    ]
    synapses = np.concatenate([np.zeros((kinds, 0), np.int32), *tables], axis=1)
    order = np.argsort(sender, kind="stable")
    return sender[order], cores[order], synapses[:, order]


def kind_of(connection: Connection, population: Population) -> int:
    """The number in `KINDS` of the synapses of *connection*."""
    is_mac = population.payload_bits and not connection.rule
    return KINDS.index("mac" if is_mac else connection.kind)


def kinds_of(network: Network) -> int:
    """How many of `KINDS` there are in *network*."""
    return len(KINDS) if any(connection.rule for connection in network.connections) else PLAIN


def service_of(placement: Placement, cores: Ints, synapses: Ints) -> Ints:
    """The time that the synapse units of *cores* work on each arrival."""
    operations = placement.chip.operations
    times = [placement.chip.synapse(kind).time for kind in KINDS[: len(synapses)]]
    groups = -(-synapses // operations.lanes)
    work = operations.message_in.time + np.array(times, np.int64) @ groups
    return np.asarray(work * slowdowns(placement.chip)[cores], np.int64)


def forked(homes: Ints, sender: Ints, targets: Ints, routes: Routes) -> tuple[Ints, Ints, Ints]:
    """One message for each neuron that reaches anything: `Sends` first, root and base."""
    starts = np.searchsorted(sender, np.arange(len(homes) + 1))
    reaching = np.flatnonzero(np.diff(starts))
    known: dict[tuple[int, bytes], int] = {}
    root = np.zeros(len(reaching), np.int64)
    for k, neuron in enumerate(reaching):
        reached = targets[starts[neuron] : starts[neuron + 1]]
        key = int(homes[neuron]), reached.tobytes()
        if key not in known:
            known[key] = routes.root(key[0], reached.tolist())
        root[k] = known[key]
    return np.searchsorted(reaching, np.arange(len(homes) + 1)), root, starts[reaching]


def joined(parts: list[Sends]) -> Sends:
    """The sends of all populations, one after another."""
    messages = np.cumsum([0, *(len(part.root) for part in parts)])
    arrivals = np.cumsum([0, *(len(part.core) for part in parts)])
    firsts = [part.first[:-1] + start for part, start in zip(parts, messages, strict=False)]
    bases = [part.base + start for part, start in zip(parts, arrivals, strict=False)]
    return Sends(
        first=np.concatenate([*firsts, messages[-1:]]).astype(np.int32),
        root=np.concatenate([part.root for part in parts]).astype(np.int32),
        base=np.concatenate([*bases, arrivals[-1:]]).astype(np.int32),
        service=np.concatenate([part.service for part in parts]).astype(np.int64),
        core=np.concatenate([part.core for part in parts]).astype(np.int32),
        sender=np.concatenate([part.sender for part in parts]).astype(np.int32),
        synapses=np.concatenate([part.synapses for part in parts], axis=1).astype(np.int32),
    )


def trees_of(routes: Routes) -> Trees:
    """The trees of *routes* as arrays."""
    lengths = [len(children) for children in routes.children]
    size = np.zeros(len(routes.station), np.int64)
    for first, nodes in routes.sizes.items():
        size[first] = nodes
    return Trees(
        station=np.array(routes.station, np.int64),
        first=np.cumsum([0, *lengths]),
        child=np.array([child for children in routes.children for child in children], np.int64),
        leaf=np.array(routes.leaf, np.int64),
        size=size,
    )


def wiring_of(fabric: Fabric, stations: Stations, trees: Trees) -> Wiring:
    """Stations, edges and trees for kernels."""
    units = stations.cores + 1
    before = np.full(len(trees.station), -1)
    parents = np.repeat(np.arange(len(trees.station)), np.diff(trees.first))
    before[trees.child] = trees.station[parents]
    is_root = before < 0
    before[is_root] = trees.station[is_root] - units  # inject links follow the neuron units, in their order
    keys, edge = np.unique(trees.station * stations.size + before, return_inverse=True)
    return Wiring(
        units=units,
        receivers=stations.receivers,
        credit=max(1, fabric.credit),
        interval=stations.interval,
        latency=stations.latency,
        capacity=stations.capacity,
        first_edge=np.searchsorted(keys // stations.size, np.arange(stations.size + 1)),
        before=keys % stations.size,
        station=trees.station,
        edge=edge.reshape(-1),
        first_child=trees.first,
        child=trees.child,
        leaf=trees.leaf,
    )
