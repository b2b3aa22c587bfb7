"""Names, ranks and routes, against the text of `MACHINE.md`: of a 3 x 2 mesh and a crossbar."""

from __future__ import annotations

from itertools import pairwise

import pytest

from snncc.chips import Topology
from snncc.simulator.slow.routes import route, station_names, tree
from tests.simulator.tiny import fabric

MESH = fabric(3, 2)


def test_ranks_of_a_mesh() -> None:
    cores = range(6)
    assert station_names(MESH) == [
        *(f"neuron unit {core}" for core in cores),
        "port",
        *(f"inject {core}" for core in cores),
        "inject port",
        *("east 0", "east 3", "east 1", "east 4"),
        *("west 2", "west 5", "west 1", "west 4"),
        *("south 0", "south 1", "south 2"),
        *("north 3", "north 4", "north 5"),
        *(f"eject {core}" for core in cores),
        *(f"synapse unit {core}" for core in cores),
    ]


def test_ranks_of_columns_of_three_rows() -> None:
    names = station_names(fabric(1, 3))
    assert [name for name in names if name.startswith(("south", "north"))] == [
        *("south 0", "south 1"),
        *("north 2", "north 1"),
    ]


@pytest.mark.parametrize(
    ("sender", "target", "between"),
    [
        (0, 5, ["east 0", "east 1", "south 2"]),
        (5, 0, ["west 5", "west 4", "north 3"]),
        (2, 3, ["west 2", "west 1", "south 0"]),
        (4, 1, ["north 4"]),
        (4, 4, []),
        (6, 4, ["east 0", "south 1"]),
    ],
)
def test_routes(sender: int, target: int, between: list[str]) -> None:
    start = "inject port" if sender == 6 else f"inject {sender}"
    assert route(MESH, sender, target) == [start, *between, f"eject {target}", f"synapse unit {target}"]


def test_crossbar() -> None:
    of = fabric(2, 1, 1, topology=Topology.CROSSBAR)
    assert route(of, 1, 0) == ["inject 1", "cross 1 0", "eject 0", "synapse unit 0"]
    assert route(of, 1, 1) == ["inject 1", "eject 1", "synapse unit 1"]
    assert route(of, 2, 1) == ["inject port", "cross port 1", "eject 1", "synapse unit 1"]


def test_tree() -> None:
    assert tree(MESH, 0, [0, 2, 4, 5]) == {
        "inject 0": ["eject 0", "east 0"],
        "eject 0": ["synapse unit 0"],
        "east 0": ["east 1", "south 1"],
        "east 1": ["eject 2", "south 2"],
        "eject 2": ["synapse unit 2"],
        "south 1": ["eject 4"],
        "eject 4": ["synapse unit 4"],
        "south 2": ["eject 5"],
        "eject 5": ["synapse unit 5"],
    }


@pytest.mark.parametrize("topology", Topology)
@pytest.mark.parametrize(("columns", "rows", "each"), [(3, 3, 2), (1, 1, 1), (1, 4, 1), (4, 1, 2)])
def test_ranks_rise_on_every_route(topology: Topology, columns: int, rows: int, each: int) -> None:
    of = fabric(columns, rows, each, topology=topology)
    ranks = {name: rank for rank, name in enumerate(station_names(of))}
    for sender in range(of.cores + 1):
        for target in range(of.cores):
            assert all(ranks[a] < ranks[b] for a, b in pairwise(route(of, sender, target)))
