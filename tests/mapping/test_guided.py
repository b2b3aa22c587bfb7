"""Placements made against a trace are never worse than the greedy ones, on the machine, on this trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.chips import Chip, Fabric, LinkKind
from snncc.ir import Numbers, SpikeGraph
from snncc.mapping import DoesNotFitChip, Network, Placement, map_network, network_of, usage
from snncc.mapping.guided import KEPT, POLISHED, Trials
from snncc.mapping.network import Role
from snncc.mapping.schedule import check_parts
from snncc.simulator.firing import Firing, firing_of_train
from snncc.simulator.machine import program_of
from snncc.simulator.machine.measured import Gauge, summed
from tests.graphs import Case
from tests.mapping.cases import chain, chips, conv, grid_chip, networks
from tests.simulator.chains import chains
from tests.simulator.drawn_chips import chips as timed_chips

Sample = dict[str, Firing]
GRAPH = SpikeGraph((), Numbers.INTEGER, "of no use with a barrier")


def trains(network: Network, seed: int, rate: float = 0.4) -> dict[str, np.ndarray]:
    """Random spikes of what sends, more of some neurons than of others."""
    rng, found = np.random.default_rng(seed), {}
    for p in network.populations.values():
        if p.role is not Role.READOUT:
            rates = rate * rng.random(p.size) * 2
            found[p.name] = (rng.random((network.timesteps, p.ticks, p.size)) < rates).astype(np.int64)
    return found


def narrow(fabric: Fabric) -> Fabric:
    """Links on which messages wait for each other."""
    link = LinkKind(interval=2, latency=1, capacity=2)
    return replace(fabric, inject=link, east_west=link, north_south=link, eject=link)


class Machine:
    """Times placements on the machine, and counts how often."""

    def __init__(self, sample: Sample) -> None:
        self.sample, self.runs, self.whole = sample, 0, 0

    def __call__(self, placement: Placement, *, is_short: bool) -> tuple[float, float]:
        self.runs += 1
        self.whole += not is_short
        return summed(program_of(placement), [self.sample])


@settings(max_examples=25)
@given(networks(), chips(), st.integers(0, 9), st.sampled_from([None, 1, 3, 6]), st.integers(2, 6))
def test_never_worse_than_greedy(
    network: Network, chip: Chip, seed: int, cores: int | None, timesteps: int
) -> None:
    network = replace(network, timesteps=timesteps)
    limits = tuple(replace(core, in_queue=3) for core in chip.cores)
    chip = replace(chip, fabric=narrow(chip.fabric), cores=limits)
    cores = cores and min(cores, chip.fabric.cores)
    try:
        greedy = map_network(network, chip, cores=cores)
    except DoesNotFitChip:
        return
    sent = trains(network, seed)
    assert any(train.any() for train in sent.values())
    machine = Machine({name: firing_of_train(train) for name, train in sent.items()})
    traffic = {name: train.sum(axis=1) for name, train in sent.items()}
    found, again = (
        map_network(network, chip, cores=cores, traffic=traffic, seed=seed, measure=machine) for _ in range(2)
    )
    check_parts(found)
    assert not [one for one in usage(found) if one.is_over]
    before, after = (machine(one, is_short=False) for one in (greedy, found))
    assert after == before or (after < before and after[1] <= before[1])
    assert [(p.population, p.core, p.addresses.tolist()) for p in found.parts] == [
        (p.population, p.core, p.addresses.tolist()) for p in again.parts
    ]
    if cores is not None:
        assert len({p.core for p in found.parts}) <= len({p.core for p in greedy.parts})


def test_a_placement_that_is_fast_without_queues_only_is_not_taken() -> None:
    """By the model another placement is the faster one; on the machine, with queues, it is the slower."""
    network = replace(conv(8, 16, 12), timesteps=6)
    chip = grid_chip(4, 2, multicast=True)
    full = replace(
        chip, fabric=narrow(chip.fabric), cores=tuple(replace(core, in_queue=2) for core in chip.cores)
    )
    fooled, slower = 0, 0
    for seed in range(4):
        sent = trains(network, seed, 0.1)
        traffic = {name: train.sum(axis=1) for name, train in sent.items()}
        machine = Machine({name: firing_of_train(train) for name, train in sent.items()})
        greedy = map_network(network, full, cores=4)
        by_model = map_network(network, full, cores=4, traffic=traffic)
        by_machine = map_network(network, full, cores=4, traffic=traffic, measure=machine)
        times = [machine(one, is_short=False)[0] for one in (greedy, by_model, by_machine)]
        fooled += by_model is not greedy and times[1] > times[2]
        slower += times[2] >= times[0]
    assert fooled
    assert slower < 4


def test_few_placements_are_timed() -> None:
    network = replace(conv(8, 16, 12), timesteps=4)
    sent = trains(network, 0)
    machine = Machine({name: firing_of_train(train) for name, train in sent.items()})
    traffic = {name: train.sum(axis=1) for name, train in sent.items()}
    map_network(network, grid_chip(4, 4), cores=16, traffic=traffic, measure=machine)
    assert 4 < machine.runs - machine.whole <= KEPT + POLISHED + 3
    assert 2 <= machine.whole <= 4


def test_trials_that_are_slower_or_farther_are_not_taken() -> None:
    """One that is fast on a part of the trace, but not on the whole; one with more hops; one that is good."""
    network = chain((4, 4))
    first, late, far, good = (
        map_network(network, grid_chip(4, 1), placing="random", seed=k) for k in range(4)
    )
    costs = {
        id(first): ((10, 10), (100, 100)),
        id(late): ((1, 1), (101, 1)),
        id(far): ((2, 1), (1, 101)),
        id(good): ((3, 1), (99, 100)),
    }

    def measure(placement: Placement, *, is_short: bool) -> tuple[float, float]:
        return costs[id(placement)][not is_short]

    trials = Trials(first, measure, None)
    for one in (far, late):
        trials.time(one)
    assert trials.best() is first
    trials.time(good)
    assert trials.best() is good


@given(timed_chips(), chains(), st.integers(2, 4), st.integers(0, 9))
def test_steps_that_are_followed_apart_add_up(chip: Chip, drawn: Case, stride: int, seed: int) -> None:
    """Each n-th step from every first one on: together they are all steps."""
    network = replace(network_of(drawn.graph), timesteps=6)
    try:
        placement = map_network(network, chip)
    except DoesNotFitChip:
        return
    sample = {name: firing_of_train(train) for name, train in trains(network, seed).items()}
    gauge = Gauge(drawn.graph, {name: (firing,) for name, firing in sample.items()}, 6, 1)
    program = program_of(placement)
    parts = [gauge.thinned(network, sample, stride, k) for k in range(stride)]
    spikes = sum(len(firing.address) for firing in sample.values())
    assert sum(len(firing.address) for part in parts for firing in part.values()) == spikes > 0
    idle, _ = summed(program, [gauge.thinned(network, sample, 1, 1)])
    time, far = summed(program, [sample])
    split = [summed(program, [part]) for part in parts]
    assert sum(one[1] for one in split) == far
    if placement.chip.touch == "all":
        assert sum(one[0] for one in split) - (stride - 1) * idle == time


@pytest.mark.parametrize("samples", [1, 3])
def test_the_gauge_is_the_machine_where_there_is_little_to_follow(samples: int) -> None:
    network = replace(conv(4, 8, 8), timesteps=5)
    placement = map_network(network, grid_chip(2, 2), cores=4)
    every = [
        {name: firing_of_train(train) for name, train in trains(network, k).items()} for k in range(samples)
    ]
    firings = {name: tuple(one[name] for one in every) for name in every[0]}
    spikes = sum(len(f.address) for each in firings.values() for f in each)
    whole = summed(program_of(placement), every)
    assert whole[0] > 0 < whole[1]
    for enough in (spikes, 10**9):
        gauge = Gauge(GRAPH, firings, 5, enough)
        assert gauge.stride == 1
        assert gauge(placement, is_short=True) == gauge(placement, is_short=False) == whole
    third = Gauge(GRAPH, firings, 5, spikes // 3)
    assert third.stride == 3
    assert third(placement, is_short=False) == whole
    time, far = third(placement, is_short=True)
    assert time == pytest.approx(whole[0], rel=0.3)
    assert far == pytest.approx(whole[1], rel=0.3)
