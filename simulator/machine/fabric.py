"""Stations in the order of their rank, and the routes of messages through them (MACHINE.md, 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip, Fabric, LinkKind, Topology

Ints = NDArray[np.int64]
UNBOUNDED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Stations:
    """All stations of a chip by rank: neuron units (the port is the last), links, synapse units.

    *kinds*: the field of `Fabric` that a link belongs to, "" for units. *interval*, *latency* and *capacity*
    have one entry for each station.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    rank: dict[str, int]
    interval: Ints
    latency: Ints
    capacity: Ints
    cores: int
    receivers: int
    """How many take messages: the cores, and the host, if there is one; they are the last stations."""

    @property
    def size(self) -> int:
        """How many stations."""
        return len(self.names)


def unit_name(core: int, cores: int) -> str:
    """How the names of stations call a core, or the port."""
    return "port" if core == cores else str(core)


def target_name(target: int, cores: int) -> str:
    """How the names of stations call a core that receives, or the host."""
    return "host" if target == cores else str(target)


def links_of(fabric: Fabric, receivers: int) -> list[tuple[str, str]]:
    """Names and kinds of the links by rank."""
    cores, columns, rows = fabric.cores, fabric.columns, fabric.rows
    found = [(f"inject {unit_name(core, cores)}", "inject") for core in range(cores + 1)]
    if fabric.topology is Topology.CROSSBAR:
        found += [
            (f"cross {unit_name(a, cores)} {target_name(b, cores)}", "east_west")
            for a in range(cores + 1)
            for b in range(receivers)
            if a != b
        ]
    else:
        across = [(x, y) for x in range(columns) for y in range(rows)]
        down = [(x, y) for y in range(rows) for x in range(columns)]
        found += [(f"east {y * columns + x}", "east_west") for x, y in across if x + 1 < columns]
        found += [
            (f"west {y * columns + x}", "east_west")
            for x, y in sorted(across, key=lambda place: (-place[0], place[1]))
            if x
        ]
        found += [(f"south {y * columns + x}", "north_south") for x, y in down if y + 1 < rows]
        found += [
            (f"north {y * columns + x}", "north_south")
            for x, y in sorted(down, key=lambda place: (-place[1], place[0]))
            if y
        ]
    return found + [(f"eject {target_name(core, cores)}", "eject") for core in range(receivers)]


def receiver_name(target: int, cores: int) -> str:
    """The name of the synapse unit of a core, or of the host."""
    return "host" if target == cores else f"synapse unit {target}"


def stations_of(chip: Chip, has_host: bool = False) -> Stations:
    """The stations of *chip*."""
    cores = chip.fabric.cores
    receivers = cores + has_host
    links = links_of(chip.fabric, receivers)
    units = ["port" if core == cores else f"neuron unit {core}" for core in range(cores + 1)]
    takers = [receiver_name(target, cores) for target in range(receivers)]
    names = [*units, *(name for name, _ in links), *takers]
    kinds = [""] * len(units) + [kind for _, kind in links] + [""] * receivers
    tables: list[LinkKind] = [getattr(chip.fabric, kind) if kind else LinkKind() for kind in kinds]
    capacity = [UNBOUNDED if table.capacity is None else table.capacity for table in tables]
    queues = [*(limits.in_queue for limits in chip.cores), *[None] * has_host]
    capacity[-receivers:] = [UNBOUNDED if slots is None else slots for slots in queues]
    return Stations(
        names=tuple(names),
        kinds=tuple(kinds),
        rank={name: k for k, name in enumerate(names)},
        interval=np.array([table.interval for table in tables]),
        latency=np.array([table.latency for table in tables]),
        capacity=np.array(capacity),
        cores=cores,
        receivers=receivers,
    )


def path(fabric: Fabric, source: int, target: int) -> list[str]:
    """The links that a message takes from one core (or the port) to another core, or to the host."""
    cores, here = fabric.cores, unit_name(source, fabric.cores)
    steps = [f"inject {here}"]
    if fabric.topology is Topology.CROSSBAR:
        if source != target:
            steps.append(f"cross {here} {target_name(target, cores)}")
    else:
        start = 0 if source == cores else source // fabric.cores_per_tile
        end = 0 if target == cores else target // fabric.cores_per_tile
        (y, x), (to_y, to_x) = (divmod(tile, fabric.columns) for tile in (start, end))
        while x != to_x:
            steps.append(f"{'east' if to_x > x else 'west'} {y * fabric.columns + x}")
            x += 1 if to_x > x else -1
        while y != to_y:
            steps.append(f"{'south' if to_y > y else 'north'} {y * fabric.columns + x}")
            y += 1 if to_y > y else -1
    return [*steps, f"eject {target_name(target, cores)}"]


@dataclass(slots=True)
class Routes:
    """Trees of stations that messages take, made when they are first asked for.

    Node k of all trees is a stay in the queue of ``station[k]``, after which the message goes to the nodes
    ``children[k]``; ``leaf[k]`` is the number of the destination, in the order in which they were given,
    of a synapse unit, else -1.
    """

    fabric: Fabric
    stations: Stations
    station: list[int] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)
    leaf: list[int] = field(default_factory=list)
    roots: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def root(self, source: int, targets: Sequence[int]) -> int:
        """The first node of the tree from a core (or the port) to the cores *targets*."""
        key = source, tuple(targets)
        if key not in self.roots:
            self.roots[key] = self.grow(source, targets)
        return self.roots[key]

    def grow(self, source: int, targets: Sequence[int]) -> int:
        """A new tree."""
        nodes: dict[str, int] = {}
        first = len(self.station)
        for number, target in enumerate(targets):
            before = -1
            for name in [*path(self.fabric, source, target), receiver_name(target, self.stations.cores)]:
                if name not in nodes:
                    nodes[name] = len(self.station)
                    self.station.append(self.stations.rank[name])
                    self.children.append([])
                    self.leaf.append(-1)
                    if before >= 0:
                        self.children[before].append(nodes[name])
                before = nodes[name]
            self.leaf[before] = number
        self.sizes[first] = len(nodes)
        return first
