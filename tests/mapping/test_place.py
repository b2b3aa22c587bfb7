"""Places: messages and hops by hand, and placements that get better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from snncc.chips import Chip, CoreLimits, Entry, Topology
from snncc.errors import BadInput, UnknownName
from snncc.ir import Dense
from snncc.mapping import (
    DoesNotFitChip,
    Network,
    Part,
    Placement,
    Schedule,
    cost,
    distance,
    improve,
    map_network,
    traffic_graph,
    usage,
)
from snncc.mapping.improvement import Exchange
from snncc.mapping.load import load_of
from snncc.mapping.place import region, snake
from snncc.mapping.schedule import check_parts
from snncc.mapping.traffic import hops
from tests.mapping.cases import chain, chips, conv, grid_chip, linked, networks, plain


def put(network: Network, columns: int, rows: int, *parts: tuple[str, int, list[int]]) -> Placement:
    made = tuple(Part(name, core, np.array(addresses)) for name, core, addresses in parts)
    return Placement(grid_chip(columns, rows), network, made, Schedule.LAYERED)


def test_messages_and_hops_by_hand() -> None:
    """Three neurons with 1, 2 and 3 spikes; both parts of the target get each of them."""
    placed = put(chain((3, 2)), 3, 2, ("p0", 0, [0, 1]), ("p0", 4, [2]), ("p1", 5, [0]), ("p1", 4, [1]))
    traffic: dict[str, ArrayLike] = {"p0": [1.0, 2.0, 3.0], "p1": 7.0}
    graph = traffic_graph(placed, traffic)
    assert {(a, b): (data["messages"], data["hops"]) for a, b, data in graph.edges(data=True)} == {
        (0, 5): (3.0, 3),
        (0, 4): (3.0, 2),
        (4, 5): (3.0, 1),
        (4, 4): (3.0, 0),
    }
    assert distance(placed, traffic) == 9 + 6 + 3


def test_the_port_is_on_the_first_tile() -> None:
    placed = put(chain((3, 2)), 3, 2, ("p1", 5, [0, 1]))
    chip = replace(placed.chip, entry=Entry.PORT)
    assert distance(replace(placed, chip=chip), {"p0": 2.0, "p1": 0.0}) == 3 * 2 * 3


def test_in_a_crossbar_all_are_one_hop_apart() -> None:
    chip = grid_chip(3, 1)
    far = hops(replace(chip, fabric=replace(chip.fabric, topology=Topology.CROSSBAR)))
    assert far.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1]]


def test_cores_of_one_tile_are_no_hops_apart() -> None:
    chip = grid_chip(4, 1)
    chip = replace(chip, fabric=replace(chip.fabric, columns=2, cores_per_tile=2))
    assert hops(chip).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]


def test_the_snake_and_its_regions() -> None:
    chip = grid_chip(4, 3)
    assert snake(chip, 4, 3) == [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11]
    assert region(chip, 1) == [0]
    assert region(chip, 4) == [0, 1, 5, 4]
    assert region(chip, 5) == [0, 1, 2, 6, 5]
    assert sorted(region(chip, 12)) == list(range(12))


@pytest.mark.parametrize("tiles", [(1, 9), (9, 1), (2, 5), (5, 2)])
def test_every_number_of_cores_has_its_region(tiles: tuple[int, int]) -> None:
    chip = grid_chip(*tiles)
    for cores in range(1, chip.fabric.cores + 1):
        found = region(chip, cores)
        assert len(set(found)) == cores
        assert max(found) < chip.fabric.cores


def bent(columns: int = 4, rows: int = 4) -> Placement:
    """A wide network on a mesh with much to gain."""
    limits = [CoreLimits(neurons=40)] * (columns * rows)
    return map_network(
        chain((80, 40, 120, 40, 20)), grid_chip(columns, rows, limits), placing="random", seed=3
    )


def test_improvement_helps_where_placement_was_by_chance() -> None:
    start = bent()
    traffic = {name: float(k + 1) for k, name in enumerate(start.network.populations)}
    better = improve(start, traffic)
    assert distance(better, traffic) < 0.8 * distance(start, traffic)
    assert cost(better, start, traffic) < cost(start, start, traffic) == 2.0


@given(networks(), chips(), st.integers(0, 9))
def test_improvement_keeps_what_a_placement_owes(network: Network, chip: Chip, seed: int) -> None:
    try:
        start = map_network(network, chip, placing="random", seed=seed)
    except DoesNotFitChip:
        return
    rng = np.random.default_rng(seed)
    traffic = {name: rng.random(p.size) * 5 for name, p in network.populations.items()}
    first, second = improve(start, traffic, seed), improve(start, traffic, seed)
    check_parts(first)
    assert not [one for one in usage(first) if one.is_over]
    assert cost(first, start, traffic) <= cost(start, start, traffic) + 1e-9
    assert [part.core for part in first.parts] == [part.core for part in second.parts]


def test_greedy_is_better_than_chance_and_worse_than_improved() -> None:
    limits = [CoreLimits(neurons=300)] * 25
    chip, network = grid_chip(5, 5, limits), conv(4, 8, 16)
    network = replace(network, timesteps=10)
    traffic = {"x": 1.0, "n": 0.5}
    chance = [distance(map_network(network, chip, placing="random", seed=k), traffic) for k in range(9)]
    greedy = map_network(network, chip)
    better = map_network(network, chip, traffic=traffic)
    assert distance(greedy, traffic) < np.median(chance)
    assert cost(better, greedy, traffic) <= 2.0


def test_chance_follows_its_seed() -> None:
    network, chip = chain((8, 8, 8)), grid_chip(4, 4, [CoreLimits(neurons=8)] * 16)

    def cores(seed: int) -> list[int]:
        return [part.core for part in map_network(network, chip, placing="random", seed=seed).parts]

    assert cores(1) == cores(1)
    assert len({tuple(cores(seed)) for seed in range(8)}) > 1


def test_changes_of_exchanges_are_those_of_the_sum() -> None:
    """What annealing adds up is what the sum would be if worked out anew."""
    rng = np.random.default_rng(0)
    start = bent()
    load, used = load_of(start), sorted({part.core for part in start.parts})
    search = Exchange(load, used, list(range(16)), rng.random((17, 16)), hops(start.chip))
    for _ in range(200):
        one, place = int(rng.integers(len(used))), int(rng.integers(16))
        other = int(search.holder[place])
        if other == one:
            continue
        before, change = search.total(), search.change(one, place, other)
        search.swap(one, place, other)
        assert search.total() == pytest.approx(before + change)


def test_wrong_options() -> None:
    network, chip = chain((4, 2)), grid_chip(2, 1)
    with pytest.raises(UnknownName, match="unknown placing 'best'"):
        map_network(network, chip, placing="best")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="cores must be 1 to 2, not 3"):
        map_network(network, chip, cores=3)
    with pytest.raises(BadInput, match="p1: no traffic"):
        map_network(network, chip, traffic={"p0": 1.0})
    with pytest.raises(BadInput, match="p0: its traffic must be 4 mean spikes, none below 0"):
        map_network(network, chip, traffic={"p0": [1.0, 2.0], "p1": 0.0})
    with pytest.raises(BadInput, match="p1: its traffic must be 2 mean spikes"):
        map_network(network, chip, traffic={"p0": 1.0, "p1": -1.0})


@pytest.mark.parametrize(("room", "used"), [(16, 2), (3, 1)])
def test_parts_leave_a_busy_core_where_there_is_room(room: int, used: int) -> None:
    chip = grid_chip(2, 1, [CoreLimits(neurons=24), CoreLimits(neurons=room)])
    start = put(
        replace(chain((8, 8, 8)), timesteps=9), 2, 1, *((f"p{k}", 0, list(range(8))) for k in range(3))
    )
    start = replace(start, chip=chip, schedule=Schedule.PIPELINED)
    traffic = dict.fromkeys(start.network.populations, 0.9)
    better = improve(start, traffic)
    assert len({part.core for part in better.parts}) == used
    assert (cost(better, start, traffic) < 2.0) == (used == 2)


def test_parts_stay_together_where_only_one_works_in_a_step() -> None:
    """Layered, a step is as long as before if the parts are on two cores: nothing is gained by messages."""
    parts = [(f"p{k}", 0, list(range(8))) for k in range(3)]
    start = put(replace(chain((8, 8, 8)), timesteps=9), 2, 1, *parts)
    better = improve(start, dict.fromkeys(start.network.populations, 0.9))
    assert {part.core for part in better.parts} == {0}


def fork(size: int, *sizes: int) -> Network:
    """Dense layers that all read one input."""
    x = plain("x", (size,), 0)
    ends = [plain(f"n{k}", (one,), 1) for k, one in enumerate(sizes)]
    links = [linked(x, end, Dense(name=end.name, weight=np.ones((end.size, size), int))) for end in ends]
    return Network("fork", 1, {p.name: p for p in (x, *ends)}, tuple(links))


def test_greedy_stays_near_the_source_rather_than_on_the_snake() -> None:
    """Four layers around an input in the corner: 1, 1, 2, 2 hops; along the snake it would be 1, 2, 3, 2."""
    placement = map_network(fork(8, 8, 8, 8, 8), grid_chip(3, 3, [CoreLimits(neurons=8)] * 9))
    assert distance(placement, {"x": 1.0, "n0": 0.0, "n1": 0.0, "n2": 0.0, "n3": 0.0}) == 8 * 6
