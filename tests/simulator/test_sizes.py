"""One plan runs chunks of many sizes in the same memory; what it yields depends on none of them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from threading import Barrier, get_ident
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc import reference, simulator
from snncc.ir import (
    Array,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Numbers,
    Output,
    Over,
    Presence,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.simulator import layer_run
from snncc.simulator.batch import CHUNK_BYTES, WORTH_BYTES, chunks, shared_out
from snncc.simulator.counting import Tally
from snncc.simulator.layer_run import LayerRun
from snncc.simulator.plan import plan_of
from tests.simulator.compare import assert_equal, assert_equal_runs

RNG = np.random.default_rng(8)


def neuron(name: str, *sources: Wire) -> Neuron:
    return Neuron(
        name=name, inputs=sources, parameters=NeuronParameters(theta=np.array(40), rho=np.array(40))
    )


def network(over: Over = Over.SUM, presence: Presence = Presence.SEQUENCE, delay: int = 0) -> SpikeGraph:
    """Two layers, the first of them recurrent, and two outputs, one of them of the data."""
    rng = np.random.default_rng(4)
    nodes = (
        Input(name="x", shape=(30,), kind=Kind.SPIKE, presence=presence),
        Dense(name="dense", inputs=wires("x"), weight=rng.integers(-20, 30, (40, 30))),
        neuron("first", Wire("dense"), Wire("back", 1)),
        Dense(name="back", inputs=wires("first"), weight=rng.integers(-20, 20, (40, 40))),
        Dense(name="last", inputs=wires("first"), weight=rng.integers(-20, 30, (7, 40))),
        neuron("second", Wire("last")),
        Output(name="out", inputs=(Wire("second", delay),), over=over),
        Output(name="data", inputs=wires("x"), over=over),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER, "sizes")
    graph.verify()
    return graph


def spikes(*shape: int) -> Array:
    return (RNG.random((*shape, 30)) < 0.2).astype(np.uint8)


@pytest.mark.parametrize("most", [layer_run.MOST_STREAMS, 4])
def test_runs_of_many_sizes_in_turns(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_run, "MOST_STREAMS", most)
    graph = network()
    for timesteps, batch in [(5, 2), (5, 1), (9, 4), (5, 2), (1, 1), (5, 1), (9, 4), (2, 17), (5, 2)]:
        x = spikes(timesteps, batch)
        expected = reference.run(graph, x, timesteps=timesteps)
        assert_equal_runs(expected, simulator.run(graph, x, timesteps=timesteps))


@pytest.mark.parametrize("over", list(Over))
@pytest.mark.parametrize("presence", list(Presence))
@pytest.mark.parametrize("delay", [0, 2])
def test_outputs_of_chunks(
    over: Over, presence: Presence, delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = network(over, presence, delay)
    x = spikes(6, 5) if presence is Presence.SEQUENCE else spikes(5)
    expected = reference.run(graph, x, timesteps=6)
    assert_equal_runs(expected, simulator.run(graph, x, timesteps=6))
    monkeypatch.setattr("snncc.simulator.batch.CHUNK_BYTES", 1)  # a chunk for each sample
    assert_equal_runs(expected, simulator.run(graph, x, timesteps=6))


def test_recording_an_output_does_not_change_it() -> None:
    graph, x = network(), spikes(6, 3)
    expected = reference.run(graph, x, timesteps=6, record=["out"])
    assert_equal_runs(expected, simulator.run(graph, x, timesteps=6, record=["out"]))


def test_operations_are_made_once() -> None:
    tally = Tally({"n": (12, LayerRun((2, 1, 1), np.arange(4 + 12) - 4), 0)})
    assert (len(tally), list(tally), "n" in tally, tally.get("m")) == (1, ["n"], True, None)
    done = tally["n"]
    assert tally["n"] is done
    assert (done.synapses, *done.ac, *done.ac_nonzero, *done.received) == (12, 0, 1, 2, 3, 4, 5)
    assert not np.any([done.mac, done.mac_nonzero, done.mac_dense])
    assert_equal(pickle.loads(pickle.dumps(tally)), tally, "tally")


@given(st.integers(1, 1 << 28), st.integers(1, 500), st.integers(1, 9))
def test_chunks_cover_a_batch_the_largest_first(sample: int, batch: int, workers: int) -> None:
    bounds = chunks(replace(plan_of(network()), signal_bytes=sample), 1, batch, workers)
    assert (bounds[0][0], bounds[-1][1]) == (0, batch)
    assert [stop for _, stop in bounds[:-1]] == [start for start, _ in bounds[1:]]
    sizes = [stop - start for start, stop in bounds]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size * sample <= max(CHUNK_BYTES, sample) for size in sizes)
    assert all(size * sample >= min(WORTH_BYTES, CHUNK_BYTES // 2) for size in sizes[:-1])
    if workers > 1 and batch * sample >= 4 * workers * WORTH_BYTES and batch >= 4 * workers:
        assert sizes[-1] <= batch / (2 * workers)
        assert len(sizes) > workers


def test_threads_share_chunks_and_keep_their_order() -> None:
    """The calling thread is one of them; where one fails, no other chunk begins."""
    bounds: Any = [(k, k + 1) for k in range(20)]
    met, seen = Barrier(3), set()

    def one(bound: tuple[int, int]) -> Any:
        if get_ident() not in seen:
            seen.add(get_ident())
            met.wait(timeout=30)  # until all three are at work
        return bound

    assert shared_out(one, bounds, 3) == bounds
    assert get_ident() in seen
    assert len(seen) == 3

    done = []

    def failing(bound: tuple[int, int]) -> Any:
        done.append(bound)
        raise ValueError(bound)

    with pytest.raises(ValueError, match=r"\d"):
        shared_out(failing, bounds, 2)
    assert len(done) <= 2
