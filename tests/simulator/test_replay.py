"""Chunks of one size take the same way again; a run owes nothing to the ones before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc import reference, simulator
from snncc.errors import BadInput
from snncc.ir import (
    Array,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.simulator import chunk, replay
from snncc.simulator.plan import plan_of
from tests.simulator.compare import assert_equal_runs
from tests.simulator.test_run import T, network

SIZES = st.integers(1, 400)


def drawn(seed: int, batch: int = 3, rate: float = 0.3) -> Array:
    return (np.random.default_rng(seed).random((T, batch, 2, 8, 6)) < rate).astype(np.uint8)


def dense(weight: Array, back: Array | None = None, theta: int = 300) -> SpikeGraph:
    """One layer, and what it sends back to itself."""
    inputs = (*wires("dense"), *((Wire("back", 1),) if back is not None else ()))
    p = NeuronParameters(theta=np.array(theta), rho=np.array(theta))
    nodes: list[Node] = [
        Input(name="x", shape=weight.shape[1:], kind=Kind.SPIKE),
        Dense(name="dense", inputs=wires("x"), weight=weight),
        Neuron(name="n", inputs=inputs, parameters=p),
        *([Dense(name="back", inputs=wires("n"), weight=back)] if back is not None else []),
        Output(name="out", inputs=wires("n"), over=Over.SUM),
    ]
    return SpikeGraph(tuple(nodes), Numbers.INTEGER)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each chunk that could be replayed was."""
    found: list[bool] = []
    replayed = replay.replayed

    def watched(*arguments: Any) -> bool:
        found.append(replayed(*arguments))
        return found[-1]

    monkeypatch.setattr(chunk, "replayed", watched)
    return found


def test_later_runs_change_nothing_in_earlier_ones(ways: list[bool]) -> None:
    graph = network()
    data = [drawn(seed, batch=batch) for seed in range(3) for batch in (3, 1)]
    runs = [simulator.run(graph, x, timesteps=T, threads=1) for x in data]
    assert ways == [True] * 3  # the first run makes room, the next of each size is kept
    for x, run in zip(data, runs, strict=True):
        assert run.spikes["hidden"].sum() > 0
        assert_equal_runs(reference.run(graph, x, timesteps=T), run)


def test_a_replay_stops_where_the_data_or_the_width_are_others(ways: list[bool]) -> None:
    weight = np.full((8, 40), 300)
    graph = dense(weight)
    silent, loud = np.zeros((60, 2, 40), np.uint8), np.ones((60, 2, 40), np.uint8)
    for x in (silent, silent, silent, loud, loud, silent):  # 60 * 12000 is more than 16 bits hold
        assert_equal_runs(
            reference.run(graph, x, timesteps=60), simulator.run(graph, x, timesteps=60, threads=1)
        )
    assert ways == [True, True, False, True, True]
    bad = silent.copy()
    bad[3, 1, 7] = 2
    with pytest.raises(BadInput, match="2"):
        simulator.run(graph, bad, timesteps=60, threads=1)
    assert_equal_runs(reference.run(graph, loud, timesteps=60), simulator.run(graph, loud, timesteps=60))


def test_a_larger_chunk_between_two_small_ones(ways: list[bool]) -> None:
    graph = network()
    for batch in (1, 2, 1, 50, 1, 1):
        x = drawn(batch, batch)
        assert_equal_runs(
            reference.run(graph, x, timesteps=T), simulator.run(graph, x, timesteps=T, threads=1)
        )
    assert ways[-1]


@given(SIZES, SIZES, st.booleans(), st.sampled_from([7, 127, 128, 3000]), st.integers(0, 2**32 - 1))
def test_weights_of_any_size_and_width(ins: int, outs: int, recurs: bool, most: int, seed: int) -> None:
    """Runs of whole, odd and paired blocks; weights of 8 bits to their ends, and of 16."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-most, most, (outs, ins))
    weight[rng.random(weight.shape) < 0.1] = -most
    back = rng.integers(-most, most, (outs, outs)) if recurs else None
    graph = dense(weight, back, theta=most)
    x = (rng.random((5, 2, ins)) < 0.4).astype(np.uint8)
    assert "n" in plan_of(graph).layers
    for _ in range(2):
        assert_equal_runs(
            reference.run(graph, x, timesteps=5), simulator.run(graph, x, timesteps=5, threads=1)
        )
