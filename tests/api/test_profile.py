"""Programs that are placed with a profile: the same results in no more time, with no more messages x hops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.api.profile import TIMED, trace
from snncc.api.program import Program
from snncc.chips import Chip, Discipline, Entry, LinkKind, Overflow, load_chip
from snncc.errors import BadInput
from snncc.ir import Array
from snncc.mapping import MOST_RUNS
from snncc.simulator.firing import firing_of_train
from snncc.simulator.machine import hops_of
from tests.api.networks import attended_graph, images, lif_graph, sequences, sfa_graph
from tests.api.test_self_timed import graph, spikes


def crowded() -> Chip:
    """The chip mesh with short queues and slow links."""
    chip, link = load_chip("mesh"), LinkKind(interval=3, latency=1, capacity=2)
    fabric = replace(chip.fabric, inject=link, east_west=link, north_south=link, eject=link)
    return replace(chip, fabric=fabric, cores=tuple(replace(core, in_queue=2) for core in chip.cores))


def costs(program: Program, x: Array) -> tuple[int, int]:
    """Time, and messages x hops, of all samples."""
    chip = program.run(x, timing="cycle").chip
    assert chip is not None
    return int(chip.times.sum()), sum(map(hops_of, chip.timings))


@pytest.mark.parametrize("cores", [None, 6])
@pytest.mark.parametrize("kind", ["ticks", "leaks", "host"])
def test_never_worse_than_without(kind: str, cores: int | None) -> None:
    given = {"ticks": (sfa_graph(), images()), "leaks": (lif_graph(), sequences()), "host": attended_graph()}
    network, x = given[kind]
    first = x[:TIMED] if kind == "ticks" else x[:, :TIMED]
    chip = crowded()
    plain = snncc.compile(network, calibration=x, chip=chip, cores=cores)
    guided = snncc.compile(network, calibration=x, chip=chip, cores=cores, profile=x)
    assert np.array_equal(plain.run(x).output, guided.run(x).output)
    assert sum(int(layer.spikes) for layer in plain.run(x).counts.layers) > 0
    before, after = costs(plain, first), costs(guided, first)
    assert after == before or (after < before and after[1] <= before[1])


def test_one_of_them_is_faster() -> None:
    plain = snncc.compile(sfa_graph(), calibration=images(), chip=crowded(), cores=6)
    guided = snncc.compile(sfa_graph(), calibration=images(), chip=crowded(), cores=6, profile=images())
    assert costs(guided, images()[:TIMED]) < costs(plain, images()[:TIMED])


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    snncc.compile(
        sfa_graph(),
        calibration=images(),
        chip=crowded(),
        cores=6,
        profile=images(),
        progress=lambda *at: seen.append(at),
    )
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert 5 < len(seen) <= MOST_RUNS
    assert {most for _, most in seen} == {MOST_RUNS}


def test_cores_that_cannot_be_used_are_an_error_with_a_profile_too() -> None:
    with pytest.raises(BadInput, match="could be spread over"):
        snncc.compile(lif_graph(), calibration=sequences(), chip="mesh", cores=64, profile=sequences())


def test_means_of_each_timestep() -> None:
    """Two samples of two timesteps with two ticks, three neurons."""
    one = np.array([[[1, 0, 0], [1, 0, 1]], [[0, 0, 0], [0, 1, 0]]])
    two = np.array([[[0, 0, 0], [0, 0, 0]], [[0, 1, 0], [0, 1, 1]]])
    found = trace([firing_of_train(train) for train in (one, two)], 2, 3)
    assert found.tolist() == [[1.0, 0.0, 0.5], [0.0, 1.5, 0.5]]


@pytest.mark.parametrize("overflow", list(Overflow))
def test_self_timed_chips(overflow: Overflow) -> None:
    """Their spikes depend on the placement; one that loses events, or deadlocks, is not taken."""
    chip = crowded()
    cores = tuple(replace(core, in_queue=60) for core in chip.cores)
    event = replace(
        chip, discipline=Discipline.EVENT, entry=Entry.PORT, overflow=overflow, cores=cores, host=None
    )
    plain = snncc.compile(graph(), chip=event, passes=(), cores=3)
    guided = snncc.compile(graph(), chip=event, passes=(), cores=3, profile=spikes())
    first = spikes()[:, :TIMED]
    before, after = costs(plain, first), costs(guided, first)
    assert after == before or (after < before and after[1] <= before[1])


def test_a_slip_in_the_schedule_is_named_in_words() -> None:
    with pytest.raises(BadInput, match=r"did you mean 'pipelined'\?"):
        snncc.compile(lif_graph(), calibration=sequences(), chip="mesh", schedule="pipeline")
