"""What a placement costs, against the machine; links that are avoided; parts made for a trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from snncc.chips import Chip, CoreLimits, LinkKind, Topology, Touch
from snncc.errors import BadInput
from snncc.mapping import (
    DoesNotFitChip,
    Network,
    Part,
    Placement,
    Schedule,
    Traffic,
    cost,
    map_network,
    usage,
)
from snncc.mapping.demand import Demands
from snncc.mapping.improvement import Shift, improve
from snncc.mapping.judge import Judge
from snncc.mapping.load import load_of
from snncc.mapping.network import Role
from snncc.mapping.schedule import check_parts
from snncc.mapping.traffic import spikes_of, trace_of
from snncc.simulator.machine import Level, program_of
from snncc.simulator.machine.machine import run_machine
from tests.mapping.cases import chain, chips, conv, grid_chip, networks

Trains = dict[str, NDArray[np.int64]]


def trains_of(network: Network, rng: np.random.Generator, rate: float = 0.4) -> Trains:
    """Random trains of what sends."""
    return {
        p.name: (rng.random((network.timesteps, p.ticks, p.size)) < rate).astype(np.int64)
        for p in network.populations.values()
        if p.role is not Role.READOUT
    }


def judged(placement: Placement, trains: Trains) -> Judge:
    """The judge of *placement*, with each timestep of *trains* as it is."""
    traffic = {name: train.sum(axis=1) for name, train in trains.items()}
    load = load_of(placement, Demands(placement.network, placement.chip))
    return Judge(load, trace_of(placement.network, traffic), placement.schedule)


def on(chip: Chip, *, multicast: bool, topology: Topology = Topology.MESH) -> Chip:
    fabric = replace(chip.fabric, multicast=multicast, topology=topology)
    return replace(chip, fabric=fabric, touch=Touch.ALL)


@pytest.mark.parametrize("schedule", list(Schedule))
@pytest.mark.parametrize("multicast", [False, True])
def test_times_are_those_of_the_analytic_level(schedule: Schedule, multicast: bool) -> None:
    """Exactly, where no core has two parts of a population and all neurons of a part send alike."""
    network = replace(chain((12, 9, 10)), timesteps=5)
    chip = on(grid_chip(3, 2), multicast=multicast)
    rng = np.random.default_rng(0)
    parts = tuple(
        Part(name, int(core), addresses)
        for name, p in network.populations.items()
        for core, addresses in zip(rng.permutation(6), np.array_split(np.arange(p.size), 3), strict=False)
    )
    placement = Placement(chip, network, parts, schedule)
    trains = trains_of(network, rng)
    judge = judged(placement, trains)
    timing, _ = run_machine(program_of(placement), trains, Level.ANALYTIC)
    assert judge.values(judge.start)[0] == pytest.approx(timing.total)


@given(networks(), chips(), st.booleans(), st.sampled_from(Topology), st.integers(0, 99))
def test_links_carry_what_they_carry_in_the_machine(
    network: Network, chip: Chip, multicast: bool, topology: Topology, seed: int
) -> None:
    chip = on(chip, multicast=multicast, topology=topology)
    try:
        placement = map_network(network, chip, placing="random", seed=seed)
    except DoesNotFitChip:
        return
    trains = trains_of(network, np.random.default_rng(seed))
    judge = judged(placement, trains)
    timing, _ = run_machine(program_of(placement), trains, Level.ANALYTIC)
    kinds = [station.split()[0] for station in timing.stations]
    between = np.isin(kinds, ["east", "west", "south", "north", "cross"])
    assert judge.hops(judge.start) == pytest.approx(timing.messages[between].sum(), rel=1e-5)
    sweeps = judge.pace.counts @ judge.pace.active
    carried = sweeps @ judge.trees.loads(judge.trees.reached(judge.start), judge.start)
    assert carried.max(initial=0) == pytest.approx(timing.messages[between].max(initial=0), rel=1e-5)


def crossing() -> Judge:
    """p0 on tile 0 sends to p1 on tile 2, p2 on tile 1 to p3 on tile 3: both by a slow link from 1 to 2."""
    network = chain((8, 8, 8, 8))
    network = replace(network, connections=tuple(network.connections[k] for k in (0, 2)), timesteps=4)
    chip = grid_chip(4, 2, [CoreLimits(neurons=8)] * 8)
    slow = LinkKind(interval=50)
    chip = replace(chip, fabric=replace(chip.fabric, east_west=slow, north_south=slow))
    parts = tuple(Part(f"p{k}", core, np.arange(8)) for k, core in enumerate((0, 2, 1, 3)))
    placement = Placement(chip, network, parts, Schedule.PIPELINED)
    traffic = dict.fromkeys(network.populations, 4.0)
    return Judge(load_of(placement), trace_of(network, traffic), placement.schedule)


def test_a_hot_link_is_avoided() -> None:
    judge = crossing()
    _, links = judge.times(judge.start)
    better = judge.relieved(judge.start, list(range(8)), np.random.default_rng(0), np.inf)
    _, after = judge.times(better)
    assert links.max() == 2 * 8 * 50
    assert after.max() == 8 * 50
    assert judge.cost(better) < judge.cost(judge.start) == 2.0
    assert judge.is_within(better)


def test_improvement_avoids_a_hot_link() -> None:
    judge = crossing()
    start = judge.placement(judge.start)
    traffic = dict.fromkeys(start.network.populations, 4.0)
    better = judged_at(improve(start, traffic), traffic)
    assert better.times(better.start)[1].max() == 8 * 50


def judged_at(placement: Placement, traffic: Traffic) -> Judge:
    """The judge of *placement*, with *traffic* in all."""
    return Judge(load_of(placement), trace_of(placement.network, traffic), placement.schedule)


@given(networks(), chips(), st.integers(0, 9))
def test_shifts_add_up(network: Network, chip: Chip, seed: int) -> None:
    """What annealing adds up for messages x hops and for times is what they would be if worked out anew."""
    try:
        placement = map_network(network, chip, placing="random", seed=seed)
    except DoesNotFitChip:
        return
    judge = judged_at(placement, {name: 1.0 + k for k, name in enumerate(network.populations)})
    shift = Shift(judge, judge.start, range(chip.fabric.cores), False)
    rng, count = np.random.default_rng(seed), len(judge.start)
    far = shift.base[1]
    for _ in range(20):
        one, other = int(rng.integers(count)), int(rng.integers(-1, count))
        old = int(shift.at[one])
        new = int(shift.at[other]) if other >= 0 else int(rng.integers(chip.fabric.cores))
        if old == new:
            continue
        far += shift.farther(one, other, old, new)
        shift.take(one, other, old, new)
        assert Shift(judge, shift.at, [], False).base[1] == pytest.approx(far, rel=1e-5)
        assert np.allclose(shift.used, judge.room.used(shift.at))


@pytest.mark.parametrize("multicast", [False, True])
def test_guided_placements_are_faster_with_less_traffic(multicast: bool) -> None:
    """Than greedy and random ones, on the machine; and always the same."""
    network = replace(conv(8, 16, 16), timesteps=8)
    chip = on(grid_chip(4, 4), multicast=multicast)
    rng = np.random.default_rng(0)
    rates = {"x": np.repeat(rng.random(8) * 0.4, 256), "n": np.full(16 * 256, 0.1)}
    trains = {name: (rng.random((8, 1, len(rate))) < rate).astype(np.int64) for name, rate in rates.items()}
    traffic = {name: train.sum(axis=(0, 1)) for name, train in trains.items()}

    def found(placement: Placement) -> tuple[int, float]:
        judge = judged(placement, trains)
        return run_machine(program_of(placement), trains)[0].total, judge.hops(judge.start)

    others = [map_network(network, chip, cores=16)]
    others += [map_network(network, chip, cores=16, placing="random", seed=seed) for seed in range(3)]
    best, again = (map_network(network, chip, cores=16, traffic=traffic) for _ in range(2))
    check_parts(best)
    assert [(p.population, p.core, list(p.addresses)) for p in best.parts] == [
        (p.population, p.core, list(p.addresses)) for p in again.parts
    ]
    time, hops = found(best)
    assert all(time < t and hops < h for t, h in map(found, others))


@given(networks(), chips(), st.integers(1, 4))
def test_guided_placements_keep_all_limits(network: Network, chip: Chip, cores: int) -> None:
    rng = np.random.default_rng(cores)
    traffic = {name: rng.random(p.size) * 2 for name, p in network.populations.items()}
    cores = min(cores, chip.fabric.cores)
    try:
        start = map_network(network, chip, cores=cores)
    except DoesNotFitChip:
        return
    found = map_network(network, chip, cores=cores, traffic=traffic)
    check_parts(found)
    assert not [one for one in usage(found) if one.is_over]
    before, after = (judged_at(one, traffic) for one in (start, found))
    assert after.values(after.start)[0] <= before.values(before.start)[0] * (1 + 1e-9) or (
        cost(found, start, traffic) <= cost(start, start, traffic) + 1e-9
    )


def test_bound_improvement_never_has_more_messages_x_hops() -> None:
    start = map_network(replace(conv(4, 8, 8), timesteps=6), on(grid_chip(4, 4), multicast=True), cores=8)
    traffic = {"x": 3.0, "n": 1.0}
    better = improve(start, traffic, is_bound=True)
    before, after = (judged_at(one, traffic) for one in (start, better))
    assert after.hops(after.start) <= before.hops(before.start)


def test_traffic_by_timestep() -> None:
    network = replace(chain((3, 2)), timesteps=2)
    traffic: dict[str, ArrayLike] = {"p0": [[1.0, 0.0, 0.5], [0.0, 0.0, 1.0]], "p1": 3.0}
    trace = trace_of(network, traffic)
    assert trace["p0"].tolist() == traffic["p0"]
    assert trace["p1"].tolist() == [[1.5, 1.5]]
    assert {name: each.tolist() for name, each in spikes_of(network, traffic).items()} == {
        "p0": [1.0, 0.0, 1.5],
        "p1": [3.0, 3.0],
    }
    with pytest.raises(BadInput, match="p0: its traffic must be 3 mean spikes"):
        trace_of(network, {"p0": [[1.0, 0.0]], "p1": 0.0})
