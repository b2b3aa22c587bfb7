"""The floor plan of a chip after a run, as numbers: what is where, how hot it is, what the links carried.

Both drawings of it start here: `snncc.measure.floor_plan`, and the one in the HTML report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, cos, hypot, pi, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from snncc.chips import Entry, Fabric, Topology
from snncc.errors import UnknownName

if TYPE_CHECKING:
    from snncc.simulator.machine import ChipRun

Point = tuple[float, float]

TILE, PAD, OFFSET = 0.72, 0.05, 0.11
"""Shares of the distance of two tiles: a tile's side, room around cores, how far links are off the middle."""
CROWD = 16
"""Cores on a circle that leave room for wide arrows."""


class Heat(StrEnum):
    """What a floor plan shows of each core, of one inference."""

    BUSY = "busy"
    """The share of the time in which the busier of its two units worked."""
    ENERGY = "energy"
    """Joules."""
    MESSAGES = "messages"
    """Messages that it sent and took in."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A core, a square of *side* with its corner at (*x*, *y*).

    *core* is the number of cores: the port, called ``host`` where a host sends by it.
    """

    core: int
    name: str
    x: float
    y: float
    side: float
    layers: tuple[str, ...]
    value: float

    @property
    def center(self) -> Point:
        """The middle of the square."""
        return self.x + self.side / 2, self.y + self.side / 2


@dataclass(frozen=True, slots=True)
class Link:
    """A link in one direction; *load*: messages of one inference, on the mean over samples."""

    name: str
    start: Point
    end: Point
    load: float


@dataclass(frozen=True, slots=True)
class Floor:
    """A chip seen from above, y downwards; a tile is `TILE` wide, and the next begins at 1.

    *tiles* are the corners of the tiles of a mesh that have several cores. *critical* is the core whose unit
    works most, None where nothing works. *short* has shorter names of layers.
    """

    width: float
    height: float
    heat: Heat
    spots: tuple[Spot, ...]
    tiles: tuple[Point, ...]
    links: tuple[Link, ...]
    critical: int | None
    short: Mapping[str, str]

    @property
    def widest(self) -> float:
        """The width of the arrow of the link that carries most."""
        is_crowd = len(self.spots) > CROWD and any(link.name.startswith("cross") for link in self.links)
        return 0.04 if is_crowd else 0.11

    @property
    def busiest(self) -> float:
        """The load of that link."""
        return max((link.load for link in self.links), default=0.0)


def floor_of(run: ChipRun, heat: str = "busy") -> Floor:
    """The floor plan of the chip of *run*. Raises `UnknownName`."""
    if heat not in list(Heat):
        raise UnknownName("heat", heat, list(Heat))
    fabric, network = run.placement.chip.fabric, run.placement.network
    port = run.placement.chip.entry is Entry.PORT or network.has_host
    places, tiles, width, height = (ring if fabric.topology is Topology.CROSSBAR else mesh)(fabric, port)
    values = heat_of(run, Heat(heat))
    held: dict[int, dict[str, None]] = {}
    for part in run.placement.parts:
        held.setdefault(part.core, {})[part.population] = None
    if port:
        names = network.populations
        held[fabric.cores] = {name: None for name in names if run.placement.is_at_port(name)}
    outside = "host" if network.has_host else "port"
    spots = tuple(
        Spot(
            core,
            outside if core == fabric.cores else str(core),
            x,
            y,
            side,
            tuple(held.get(core, ())),
            values[core],
        )
        for core, (x, y, side) in enumerate(places)
    )
    links = (ring_links if fabric.topology is Topology.CROSSBAR else mesh_links)(fabric, port, spots)
    loads = run.loads
    carried = tuple(Link(name, start, end, loads.get(name, 0.0)) for name, start, end in links)
    unit = run.critical.split()[-1]
    critical = int(unit) if unit.isdigit() else None if unit == "none" else fabric.cores
    short = told_apart(dict.fromkeys(name for names in held.values() for name in names))
    return Floor(width, height, Heat(heat), spots, tiles, carried, critical, short)


def heat_of(run: ChipRun, heat: Heat) -> list[float]:
    """The heat of each core, and of the port with the host."""
    cores = run.placement.chip.fabric.cores
    match heat:
        case Heat.ENERGY:
            return [float(joules) for joules in run.cores]
        case Heat.BUSY:
            of = dict(run.busy)
        case Heat.MESSAGES:
            names = run.timings[0].stations
            counts = np.mean([timing.messages for timing in run.timings], axis=0)
            of = dict(zip(names, map(float, counts), strict=True))
    units = [(of.get(f"neuron unit {k}", 0.0), of.get(f"synapse unit {k}", 0.0)) for k in range(cores)]
    together = max if heat is Heat.BUSY else sum
    return [together(pair) for pair in (*units, (of.get("port", 0.0), of.get("host", 0.0)))]


Layout = tuple[list[tuple[float, float, float]], tuple[Point, ...], float, float]
"""x, y and side of each core and of the port, corners of tiles, width and height."""


def mesh(fabric: Fabric, port: bool) -> Layout:
    """Tiles in their rows and columns, cores within them; the port left of the first tile."""
    across = ceil(sqrt(fabric.cores_per_tile))
    several = fabric.cores_per_tile > 1
    pad = PAD if several else 0.0
    side = (TILE - pad) / across - pad
    corners = [(x + port, float(y)) for y in range(fabric.rows) for x in range(fabric.columns)]
    cores = [
        (x + pad + k % across * (side + pad), y + pad + k // across * (side + pad), side)
        for x, y in corners
        for k in range(fabric.cores_per_tile)
    ]
    if port:
        cores.append((0.0, 0.0, TILE))
    width, height = fabric.columns - 1 + port + TILE, fabric.rows - 1 + TILE
    return cores, tuple(corners) if several else (), width, height


def ring(fabric: Fabric, port: bool) -> Layout:
    """Cores on a circle, the first (or the port) at its left end, clockwise."""
    count = fabric.cores + port
    radius = 0.0 if count == 1 else max(0.8, (1.4 if count <= CROWD else 1.15) * count / (2 * pi))
    turn = [pi + 2 * pi * k / count for k in range(count)]
    places = [(radius * (1 + cos(a)), radius * (1 + sin(a)), TILE) for a in turn]
    if port:
        places = [*places[1:], places[0]]
    return places, (), 2 * radius + TILE, 2 * radius + TILE


Line = tuple[str, Point, Point]


def mesh_links(fabric: Fabric, port: bool, spots: tuple[Spot, ...]) -> list[Line]:
    """The links between tiles, those of opposite directions beside each other, and of port and host."""
    found: list[Line] = []
    for tile in range(fabric.columns * fabric.rows):
        row, column = divmod(tile, fabric.columns)
        x, y, middle = column + port, row, TILE / 2
        if column + 1 < fabric.columns:
            a, b = y + middle - OFFSET, y + middle + OFFSET
            found.append((f"east {tile}", (x + TILE, a), (x + 1, a)))
            found.append((f"west {tile + 1}", (x + 1, b), (x + TILE, b)))
        if row + 1 < fabric.rows:
            a, b = x + middle + OFFSET, x + middle - OFFSET
            found.append((f"south {tile}", (a, y + TILE), (a, y + 1)))
            found.append((f"north {tile + fabric.columns}", (b, y + 1), (b, y + TILE)))
    if port:
        has_host = spots[-1].name == "host"
        a, b = TILE / 2 - OFFSET * has_host, TILE / 2 + OFFSET
        found.append(("inject port", (TILE, a), (1.0, a)))
        found += [("eject host", (1.0, b), (TILE, b))] if has_host else []
    return found


def ring_links(fabric: Fabric, port: bool, spots: tuple[Spot, ...]) -> list[Line]:
    """The links from core to core, those of opposite directions beside each other."""
    found = []
    targets = spots if port and spots[-1].name == "host" else spots[: fabric.cores]
    for one in spots:
        for other in targets:
            if one.core == other.core:
                continue
            (x, y), (u, v) = one.center, other.center
            length = hypot(u - x, v - y)
            along, aside = (
                ((u - x) / length, (v - y) / length),
                OFFSET * (0.5 if len(spots) > CROWD else 0.85),
            )
            # to the right of its direction, from outside one square to outside the other
            shift = (-along[1] * aside, along[0] * aside)
            gap = min(0.5 * length - 0.05, 0.5 * TILE / max(abs(along[0]), abs(along[1])) + 0.05)
            start = (x + along[0] * gap + shift[0], y + along[1] * gap + shift[1])
            end = (u - along[0] * gap + shift[0], v - along[1] * gap + shift[1])
            sender = "port" if one.core == fabric.cores else one.name
            found.append((f"cross {sender} {other.name}", start, end))
    return found


def arrow(link: Link, width: float) -> list[Point]:
    """The corners of an arrow along *link* with a shaft of *width*."""
    (x, y), (u, v) = link.start, link.end
    length = hypot(u - x, v - y)
    along = ((u - x) / length, (v - y) / length)
    half, wing, head = width / 2, width / 2 + 0.03, min(0.12, length / 2)
    outline = [
        *((0.0, half), (length - head, half), (length - head, wing), (length, 0.0)),
        *((length - head, -wing), (length - head, -half), (0.0, -half)),
    ]
    return [(x + along[0] * s - along[1] * t, y + along[1] * s + along[0] * t) for s, t in outline]


def fitted(spot: Spot, short: Mapping[str, str], columns: int, lines: int) -> list[str]:
    """The label of a core in so many *lines* of so many characters: its number, and the layers that it holds.

    Where there is no room, names are *short* and lose their middle, and layers are counted.

    >>> spot = Spot(3, "3", 0, 0, 1, ("conv1", "block1.attention.lif", "n"), 0)
    >>> fitted(spot, {"block1.attention.lif": "block1.attention"}, 9, 4)
    ['3', 'conv1', 'bloc…tion', 'n']
    >>> fitted(spot, {}, 9, 3)
    ['3', 'conv1', '+2']
    """
    if lines < 1 or columns < len(spot.name):
        return []
    room = lines - 1
    if columns < 4 or room < 1:
        return [spot.name]
    names = [cut(name if len(name) <= columns else short.get(name, name), columns) for name in spot.layers]
    if len(names) <= room:
        return [spot.name, *names]
    if room == 1:
        return [spot.name, f"{len(names)} lay."[:columns]] if columns >= 6 else [spot.name]
    return [spot.name, *names[: room - 1], f"+{len(names) - room + 1}"]


def told_apart(names: Iterable[str]) -> dict[str, str]:
    """Dotted *names* without the parts with which all of them begin and end.

    >>> told_apart(["x", "net.conv1.lif", "net.conv2.lif"])
    {'x': 'x', 'net.conv1.lif': 'conv1', 'net.conv2.lif': 'conv2'}
    """
    parts = {name: name.split(".") for name in names}
    dotted = [one for one in parts.values() if len(one) > 1]
    head = common(dotted)
    head -= bool(head) and any(one[head].isdigit() for one in dotted)  # "0" alone would pass for a core
    tail = common([one[head:][::-1] for one in dotted])
    short = {
        name: ".".join(one[head : len(one) - tail]) if len(one) > 1 else name for name, one in parts.items()
    }
    return short if len(set(short.values())) == len(short) else {name: name for name in parts}


def common(lists: Sequence[Sequence[str]]) -> int:
    """How many entries all of *lists* begin with, of which each keeps at least one more."""
    count = 0
    while lists and all(len(one) > count + 1 and one[count] == lists[0][count] for one in lists):
        count += 1
    return count if len(lists) > 1 else 0


def cut(name: str, width: int) -> str:
    """*name* without its middle, where it is wider than *width*.

    >>> cut("attention.lif", 7), cut("lif", 7)
    ('att…lif', 'lif')
    """
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return name[: width - 1 - tail] + "…" + name[len(name) - tail :]
