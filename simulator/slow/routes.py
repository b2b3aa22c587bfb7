"""Names of all stations in the order of their rank, and the ways of messages through them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from snncc.chips import Fabric, LinkKind, Topology

PORT, HOST = "port", "host"


def unit(core: int, fabric: Fabric) -> str:
    """How station names call a core; the port has the number after the last one."""
    return PORT if core == fabric.cores else str(core)


def receiver(target: int, fabric: Fabric) -> str:
    """How station names call what a message goes to: a core; the host has the number after the last one."""
    return HOST if target == fabric.cores else str(target)


def taker(target: int, fabric: Fabric) -> str:
    """The station that works off what *target* receives."""
    return HOST if target == fabric.cores else f"synapse unit {target}"


def neuron_unit(core: int, fabric: Fabric) -> str:
    """The name of the neuron unit of *core*, or of the port."""
    return PORT if core == fabric.cores else f"neuron unit {core}"


def station_names(fabric: Fabric, *, has_host: bool = False) -> list[str]:
    """All stations that exist, also those without any work, by rank."""
    targets = [*range(fabric.cores), *([fabric.cores] if has_host else [])]
    senders = [unit(core, fabric) for core in range(fabric.cores + 1)]
    units = [neuron_unit(core, fabric) for core in range(fabric.cores + 1)]
    if fabric.topology is Topology.CROSSBAR:
        pairs = [(k, target) for k in range(fabric.cores + 1) for target in targets if k != target]
        between = [f"cross {senders[k]} {receiver(target, fabric)}" for k, target in pairs]
    else:
        between = list(mesh_links(fabric))
    injects = [f"inject {a}" for a in senders]
    ejects = [f"eject {receiver(target, fabric)}" for target in targets]
    return [*units, *injects, *between, *ejects, *(taker(target, fabric) for target in targets)]


def mesh_links(fabric: Fabric) -> Iterator[str]:
    """The links between routers, by rank: each only where there is a tile at its end."""
    columns, rows = range(fabric.columns), range(fabric.rows)
    last_column, last_row = fabric.columns - 1, fabric.rows - 1

    def tile(column: int, row: int) -> int:
        return row * fabric.columns + column

    yield from (f"east {tile(x, y)}" for x in columns for y in rows if x < last_column)
    yield from (f"west {tile(x, y)}" for x in reversed(columns) for y in rows if x > 0)
    yield from (f"south {tile(x, y)}" for y in rows for x in columns if y < last_row)
    yield from (f"north {tile(x, y)}" for y in reversed(rows) for x in columns if y > 0)


def route(fabric: Fabric, sender: int, target: int) -> list[str]:
    """The stations that a message passes: links, then the synapse unit of *target*, or the host."""
    between = cross(fabric, sender, target)
    if fabric.topology is Topology.MESH:
        between = hops(fabric, sender, target)
    last = [f"eject {receiver(target, fabric)}", taker(target, fabric)]
    return [f"inject {unit(sender, fabric)}", *between, *last]


def cross(fabric: Fabric, sender: int, target: int) -> list[str]:
    """The link of a crossbar between two cores."""
    return [] if sender == target else [f"cross {unit(sender, fabric)} {receiver(target, fabric)}"]


def hops(fabric: Fabric, sender: int, target: int) -> list[str]:
    """The links of a mesh from the tile of one core to that of another: along x first, then along y."""
    # The port and the host are on tile 0, whatever their number.
    start, end = (0 if k == fabric.cores else k // fabric.cores_per_tile for k in (sender, target))
    y, x = divmod(start, fabric.columns)
    end_y, end_x = divmod(end, fabric.columns)
    links = []
    while (x, y) != (end_x, end_y):
        here = y * fabric.columns + x
        if x < end_x:
            links.append(f"east {here}")
            x += 1
        elif x > end_x:
            links.append(f"west {here}")
            x -= 1
        elif y < end_y:
            links.append(f"south {here}")
            y += 1
        else:
            links.append(f"north {here}")
            y -= 1
    return links


def tree(fabric: Fabric, sender: int, targets: Iterable[int]) -> dict[str, list[str]]:
    """The union of the routes to *targets*: the stations that come after each link."""
    after: dict[str, list[str]] = {}
    for target in targets:
        stations = route(fabric, sender, target)
        for here, there in pairwise(stations):
            following = after.setdefault(here, [])
            if there not in following:
                following.append(there)
    return after


def kind_of(name: str, fabric: Fabric) -> LinkKind:
    """The numbers of the link *name*."""
    kinds = {
        "inject": fabric.inject,
        "east": fabric.east_west,
        "west": fabric.east_west,
        "cross": fabric.east_west,
        "south": fabric.north_south,
        "north": fabric.north_south,
        "eject": fabric.eject,
    }
    return kinds[name.split()[0]]
