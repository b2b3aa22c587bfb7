"""Sums of two branches without a common unit: whole sums lie in the order of the real ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np
import pytest

import snncc
from snncc.ir import Add, Conv, Dense, Input, Kind, Neuron, Node, Output, SpikeGraph, wires
from snncc.quantization import ROUNDED, Quantize
from snncc.quantization.sums import Branch, parts_of, shared_sum
from tests.quantization.test_owned import stairs

TOP = 2**31 - 1


def branch(multiples: list[int], step: float, most: int) -> Branch:
    """One cell whose weights are *multiples* of *step*, of which *most* may come together."""
    weights = np.array([multiples]) * step
    return Branch(
        weights,
        np.zeros((1, 1)),
        np.array([step]),
        min(0, *multiples) * step * most,
        max(multiples) * step * most,
    )


@pytest.mark.parametrize("seed", range(30))
def test_whole_sums_pass_where_real_sums_pass(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(1e-4, 1e-3), rng.uniform(1e-3, 1e-1)
    most = int(rng.integers(1, 256))
    found = shared_sum(branch([-7, 3, 1], a, 1000), [branch([1], b, most)], np.zeros(1), TOP)
    assert found is not None
    assert found.is_exact
    assert (found.low, found.high) == (0, most)
    staircase = np.sort(rng.uniform(-b * most, 2 * b * most, 20))
    steps = found.steps(staircase, 1)
    assert steps is not None
    parts, whole = int(found.parts[0]), int(found.whole[0])
    for step, real in zip(steps.tolist(), staircase.tolist(), strict=True):
        for multiple in range(most + 1):
            first = ceil((Fraction(real) - multiple * Fraction(b)) / Fraction(a))
            assert first * parts + multiple * whole >= step > (first - 1) * parts + multiple * whole


def test_fewer_parts_would_not_do() -> None:
    """The smallest number of parts that keeps the order: with one less sums change places or meet."""
    ratio, most = 37.31873, 200
    parts, _, keeps = parts_of(1 << 14, np.array([ratio]), np.array([most])) or (0, 0.0, False)
    assert keeps
    for fewer in range(1, parts):
        whole = round(fewer * ratio)
        pairs = [
            (round(n * ratio) - n * ratio, round(n * ratio) * fewer - n * whole)
            for n in range(-most, most + 1)
        ]
        assert any(np.sign(real) != np.sign(integer) for real, integer in pairs), fewer


def test_a_ratio_that_is_all_but_a_fraction() -> None:
    """Where widths leave few parts, sums meet that differ by almost nothing: a step between is not lost."""
    unit, between = 2.5 + 1e-8, np.array([500 + 1e-6])  # 500 is less, 200 units are more
    one, other = branch([3, 1], 1.0, 1000), branch([1], unit, 255)
    whole = shared_sum(one, [other], np.zeros(1), TOP)
    assert whole is not None
    assert whole.steps(between, 1) is not None
    found = shared_sum(one, [other], np.full(1, 1e-3), TOP)
    assert found is not None
    assert found.is_exact
    assert found.parts[0] <= 1000
    assert found.steps(between, 1) is None
    real = np.add.outer(np.arange(-50, 51), unit * np.arange(256))
    sums = np.add.outer(np.arange(-50, 51) * found.parts[0], np.arange(256) * found.whole[0])
    steps = found.steps(np.array([77.3, 400.1]), 1)
    assert steps is not None
    for step, limit in zip(steps, (77.3, 400.1), strict=True):
        assert np.array_equal(sums >= step, real >= limit)


def test_many_channels() -> None:
    """Some of 300 ratios are all but fractions; every channel has its steps."""
    rng = np.random.default_rng(0)
    steps = rng.uniform(1e-5, 1e-4, 300)
    main = Branch(rng.integers(-127, 128, (300, 9)) * steps[:, None], np.zeros((300, 1)), steps, -1.0, 1.0)
    one = np.full((300, 1), 0.0117)
    found = shared_sum(main, [Branch(one, 0 * one, one[:, 0], 0.0, 255 * 0.0117)], np.zeros(1), TOP)
    assert found is not None
    assert found.is_exact
    assert found.steps(np.sort(rng.uniform(0, 3, (255, 1, 1, 1)), axis=0), 3) is not None


def test_room_for_none() -> None:
    """A state too narrow for one step of the main branch leaves nothing; one for few parts is not exact."""
    one, other = branch([1], 1.0, 10), branch([1], np.pi, 255)
    assert shared_sum(one, [other], np.full(1, 1.5), TOP) is None
    assert shared_sum(one, [other], np.zeros(1), 2) is None
    assert shared_sum(one, [replace(other, low=-np.inf, high=np.inf)], np.zeros(1), TOP) is None
    found = shared_sum(one, [other], np.full(1, 0.01), TOP)
    assert found is not None
    assert not found.is_exact
    assert found.parts[0] <= 100
    assert 0 < found.error < 255 * 0.01


def residual(*, is_deep: bool = False) -> SpikeGraph:
    """A convolution and a skip whose unit is no multiple of its own; or two convolutions."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-127, 128, (2, 2, 3, 3)) * 0.01
    skip = Neuron(name="skip", inputs=wires("x"), parameters=replace(stairs(0.37, 9), scale=np.array(0.3711)))
    nodes: list[Node] = [
        Input(name="x", shape=(2, 6, 6), kind=Kind.COUNT, max_count=9),
        skip,
        Conv(name="w", inputs=wires("x"), weight=weight, padding=(1, 1, 1, 1)),
    ]
    last = "skip"
    if is_deep:
        more = rng.integers(-127, 128, (2, 2, 3, 3)) * 0.017331
        nodes.append(Conv(name="w2", inputs=wires("skip"), weight=more, padding=(1, 1, 1, 1)))
        last = "w2"
    nodes += [
        Add(name="sum", inputs=wires("w", last)),
        Neuron(name="n", inputs=wires("sum"), parameters=stairs(0.71, 40)),
        Output(name="o", inputs=wires("n")),
    ]
    graph = SpikeGraph(tuple(nodes))
    graph.verify()
    return graph


def test_the_width_that_suffices_is_taken_and_said() -> None:
    graph, x = residual(), np.random.default_rng(0).integers(0, 10, (1, 50, 2, 6, 6))
    program = snncc.compile(graph)
    assert not program.measured
    (note,) = program.graph.notes
    bits = max(int(np.abs(program.graph[name].weight).max()).bit_length() + 1 for name in ("w", "sum.skip1"))  # type: ignore[union-attr]
    assert note == f"n (Neuron): adds branches without a common unit, in weights of {bits} bits: exact"
    assert 8 < bits <= 24
    need = snncc.compile(graph, precision="float").run(x, record=["n"]).records["n"].train.sum(axis=2)
    have = program.run(x, record=["n"]).records["n"].train.sum(axis=2)
    assert np.array_equal(have, need)
    assert len(np.unique(need)) > 5
    proof = snncc.verify(program, None, x)
    proof.check()
    assert all(stage.differing == 0 for stage in proof.stages)


def test_a_chip_that_limits_the_width_is_measured() -> None:
    """The mesh has weights of 8 bits: not exact, which is said, and measured where there are data."""
    graph, x = residual(), np.random.default_rng(0).integers(0, 10, (1, 50, 2, 6, 6))
    program = snncc.compile(graph, chip="mesh", calibration=x)
    (note,) = program.graph.notes
    assert note.startswith("n (Neuron): adds branches without a common unit, in weights of 8 bits")
    assert note.endswith(ROUNDED)
    assert any(
        line.startswith("quantize: measured: ") or "counts differ" in line for line in program.measured
    )
    assert np.abs(program.graph["w"].weight).max() <= 128  # type: ignore[union-attr]


def test_sums_of_two_convolutions_are_as_near_as_they_can_be() -> None:
    graph, x = residual(is_deep=True), np.random.default_rng(0).integers(0, 10, (1, 50, 2, 6, 6))
    program = snncc.compile(graph, calibration=x)
    (note,) = program.graph.notes
    need = snncc.compile(graph, precision="float").run(x, record=["n"]).records["n"].train.sum(axis=2)
    have = program.run(x, record=["n"]).records["n"].train.sum(axis=2)
    assert note.endswith(ROUNDED) == bool(program.measured)
    assert np.sum(have != need) <= 1e-4 * need.size
    assert len(np.unique(need)) > 5


@pytest.mark.parametrize("is_measured", [False, True])
def test_what_no_neuron_counts_has_no_known_multiples(is_measured: bool) -> None:
    """Behind two synapses in a row the branch is known to the nearest weights alone."""
    graph, x = residual(), np.random.default_rng(0).integers(0, 10, (1, 50, 2, 6, 6))
    skip = Conv(name="u", inputs=wires("skip"), weight=np.eye(2)[:, :, None, None])
    twice = Conv(name="v", inputs=wires("u"), weight=0.3 * np.eye(2)[:, :, None, None])
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += [skip, twice] if node.name == "sum" else []
        nodes.append(replace(node, inputs=wires("w", "v")) if node.name == "sum" else node)
    graph = SpikeGraph(tuple(nodes))
    program = snncc.compile(graph, calibration=x if is_measured else None)
    assert all(note.endswith(ROUNDED) for note in program.graph.notes)
    snncc.verify(program, None, x).check()


def test_a_sum_that_a_synapse_reads_is_not_called_exact() -> None:
    graph = residual()
    nodes = [
        *graph.nodes[:-1],
        Dense(name="d", inputs=wires("sum"), weight=np.eye(6)),
        Output(name="o", inputs=wires("d")),
    ]
    integers = Quantize(timesteps=1, sum_bits=32)(SpikeGraph(tuple(nodes)))
    (note,) = integers.notes
    assert note.endswith(ROUNDED)
