"""Runs: outputs over time, states that go on, batches, records, forced counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.errors import BadInput, UnknownName
from snncc.ir import (
    Affine,
    Array,
    Dense,
    Input,
    Neuron,
    NeuronParameters,
    Numbers,
    Output,
    Over,
    Overflow,
    SpikeGraph,
    wires,
)
from snncc.reference import Run, run
from tests.graphs import Case, graphs
from tests.ir.every_node import TIMESTEPS, data, every_node

GRAPH = every_node(Numbers.INTEGER, executable=True)
ALL = [node.name for node in GRAPH]


def everything(a: Run, b: Run) -> bool:
    """Whether two runs agree in all that they report."""
    return (
        all(np.array_equal(a.outputs[n], b.outputs[n]) for n in a.outputs)
        and all(np.array_equal(a.spikes[n], b.spikes[n]) for n in a.spikes)
        and all(np.array_equal(a.active[n], b.active[n]) for n in a.active)
        and a.saturations == b.saturations
        and all(
            np.array_equal(getattr(a.operations[n], f), getattr(b.operations[n], f))
            for n in a.operations
            for f in ("received", "ac", "ac_nonzero", "mac", "mac_nonzero", "mac_dense")
        )
    )


@pytest.mark.parametrize("over", Over)
def test_outputs_over_time(over: Over) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 2)) - 1
    node = Output(name="y", inputs=wires("x"), over=over)
    have = run(SpikeGraph((Input(name="x", shape=(2,)), node)), x, timesteps=5).output
    need: dict[Over, Array] = {
        Over.SEQUENCE: x,
        Over.SUM: x.sum(0),
        Over.MEAN: x.mean(0),
        Over.LAST: x[-1],
        Over.MAXIMUM: x.max(0),
    }
    assert have.shape == need[over].shape
    assert np.allclose(have, need[over], rtol=1e-15)


def test_outputs_are_real_values() -> None:
    y = run(GRAPH, data(), timesteps=TIMESTEPS, record=["gains"])
    carried = y.records["gains"].train[-1, :, 0]
    assert carried.dtype == np.int64
    assert carried.any()
    assert np.array_equal(y.outputs["gains"], carried * GRAPH.edges["gains"].scale)


def test_several_outputs() -> None:
    y = run(GRAPH, data(), timesteps=TIMESTEPS)
    assert set(y.outputs) == {"map", "gains", "counts", "seen"}
    with pytest.raises(
        BadInput, match="there are several outputs, map, gains, counts, seen; take one by name"
    ):
        _ = y.output


def parts(x: dict[str, Array], case: Case, stop: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """The data of timesteps before *stop*, and of those from it on."""
    sequence = {node.name: node.presence.value == "sequence" for node in case.graph.inputs}
    first = {n: a[:stop] if sequence[n] else a for n, a in x.items()}
    return first, {n: a[stop:] if sequence[n] else a for n, a in x.items()}


@settings(max_examples=40)
@given(graphs(), st.integers(1, 5))
def test_a_run_goes_on_where_it_stopped(case: Case, stop: int) -> None:
    if stop >= case.timesteps:
        return
    names = [node.name for node in case.graph]
    whole = run(case.graph, case.x, timesteps=case.timesteps, record=names)
    first, second = parts(case.x, case, stop)
    one = run(case.graph, first, timesteps=stop, record=names)
    two = run(case.graph, second, timesteps=case.timesteps - stop, record=names, state=one.state)
    for name in names:
        joined = np.concatenate([one.records[name].train, two.records[name].train])
        assert np.array_equal(joined, whole.records[name].train), name
    for name, spikes in whole.spikes.items():
        assert np.array_equal(np.concatenate([one.spikes[name], two.spikes[name]], axis=1), spikes)
    for name, cost in whole.operations.items():
        assert np.array_equal(one.operations[name].plus(two.operations[name]).ac, cost.ac)
    # What was handed on is not used up.
    again = run(case.graph, second, timesteps=case.timesteps - stop, record=names, state=one.state)
    assert everything(again, two)


@settings(max_examples=40)
@given(graphs())
def test_a_batch_is_its_samples_alone(case: Case) -> None:
    batch = run(case.graph, case.x, timesteps=case.timesteps)
    for k in range(batch.batch):
        x = {
            n.name: case.x[n.name][(slice(None),) * (n.presence.value == "sequence") + (slice(k, k + 1),)]
            for n in case.graph.inputs
        }
        alone = run(case.graph, x, timesteps=case.timesteps)
        for node in case.graph.outputs:
            axis = int(node.over is Over.SEQUENCE)
            assert np.array_equal(
                alone.outputs[node.name].squeeze(axis), batch.outputs[node.name].take(k, axis)
            )
        for name in batch.spikes:
            assert np.array_equal(alone.spikes[name][0], batch.spikes[name][k])
        for name in batch.operations:
            assert alone.operations[name].mac[0] == batch.operations[name].mac[k]


def test_random_graphs_spike() -> None:
    rates = []

    @settings(max_examples=50, database=None)
    @given(graphs())
    def collect(case: Case) -> None:
        result = run(case.graph, case.x, timesteps=case.timesteps, count=False)
        rates.append([counts.sum() for name, counts in result.spikes.items() if name not in case.x])

    collect()
    flat = [count > 0 for counts in rates for count in counts]
    assert np.mean(flat) > 0.6


def test_records() -> None:
    y = run(GRAPH, data(3), timesteps=TIMESTEPS, record=["lif", "fc"])
    assert set(y.records) == {"lif", "fc"}
    lif = y.records["lif"]
    assert lif.train.shape == (TIMESTEPS, 3, 1, 4, 5, 5)
    assert lif.u_pre is not None
    assert lif.u_post is not None
    assert lif.u_pre.shape == lif.u_post.shape == (TIMESTEPS, 3, 4, 5, 5)
    assert np.array_equal(lif.train[:, :, 0], lif.u_pre >= 6)
    assert np.array_equal(lif.u_post, lif.u_pre - 6 * lif.train[:, :, 0])
    assert y.records["fc"].u_pre is None
    assert np.array_equal(y.spikes["lif"], lif.train.sum(axis=(3, 4, 5)).transpose(1, 0, 2))
    assert np.array_equal(y.active["lif"], (lif.train.sum(axis=2) > 0).sum(axis=(2, 3, 4)).T)
    assert 0 < y.spikes["lif"].sum() < lif.train.size
    with pytest.raises(UnknownName, match="unknown node 'lift'") as error:
        run(GRAPH, data(), timesteps=TIMESTEPS, record=["lift"])
    assert "did you mean 'lif'?" in str(error.value)


def test_forcing_what_was_chosen_changes_nothing() -> None:
    free = run(GRAPH, data(), timesteps=TIMESTEPS, record=ALL)
    force = {n: free.records[n].train.sum(axis=2) for n in ("lif", "sfa")}
    assert everything(free, run(GRAPH, data(), timesteps=TIMESTEPS, record=ALL, force=force))


def test_forced_counts_leave_and_own_counts_are_recorded() -> None:
    free = run(GRAPH, data(), timesteps=TIMESTEPS, record=["lif"])
    force = {"lif": np.zeros((TIMESTEPS, 2, 4, 5, 5))}
    forced = run(GRAPH, data(), timesteps=TIMESTEPS, record=["lif", "peak"], force=force)
    assert not forced.records["peak"].train.any()
    assert forced.spikes["lif"].sum() == 0
    assert np.array_equal(forced.records["lif"].train[0], free.records["lif"].train[0])
    assert free.records["lif"].train[0].any()


@pytest.mark.parametrize(
    ("force", "message"),
    [
        ({"nobody": np.zeros((4, 2, 10))}, "cannot force 'nobody', which is no neuron"),
        ({"fc": np.zeros((4, 2, 10))}, "cannot force 'fc', which is no neuron"),
        ({"sfa": np.zeros((3, 2, 10))}, r"forced counts of sfa must be \(4, 2, 10\), not \(3, 2, 10\)"),
        ({"sfa": np.zeros((4, 2, 9))}, r"forced counts of sfa must be \(4, 2, 10\), not \(4, 2, 9\)"),
    ],
)
def test_bad_forced_counts(force: Any, message: str) -> None:
    # Found in review: such arrays were ignored, or ended in an IndexError.
    with pytest.raises(BadInput, match=message):
        run(GRAPH, data(), timesteps=TIMESTEPS, force=force)


def test_a_state_of_other_samples() -> None:
    # Found in review: one sample's state was silently spread over the batch.
    state = run(GRAPH, data(1), timesteps=TIMESTEPS).state
    with pytest.raises(BadInput, match="the state is of 1 samples, the data of 2"):
        run(GRAPH, data(2), timesteps=TIMESTEPS, state=state)


def test_more_timesteps_than_a_table_has() -> None:
    # Found in review: an IndexError.
    node = Affine(name="n", inputs=wires("x"), gain=np.ones((3, 1)), per_timestep=True)
    graph = SpikeGraph((Input(name="x", shape=(2,)), node, Output(name="y", inputs=wires("n"))), timesteps=3)
    with pytest.raises(BadInput, match=r"n \(Affine\): has numbers for 3 timesteps, but the run has 4"):
        run(graph, np.ones((4, 1, 2)), timesteps=4)
    state = run(graph, np.ones((2, 1, 2)), timesteps=2).state
    with pytest.raises(BadInput, match=r"n \(Affine\): has numbers for 3 timesteps, but the run has 4"):
        run(graph, np.ones((2, 1, 2)), timesteps=2, state=state)


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    run(GRAPH, data(), timesteps=TIMESTEPS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, TIMESTEPS) for k in range(TIMESTEPS)]


def test_counting_may_be_left_out() -> None:
    assert not run(GRAPH, data(), timesteps=TIMESTEPS, count=False).operations
    assert set(run(GRAPH, data(), timesteps=TIMESTEPS).operations) == {
        *("conv", "norm", "pooled", "fc", "table", "product", "loop")
    }


def test_a_saturated_state_is_counted() -> None:
    p = NeuronParameters(theta=np.array(100), v_bits=4, overflow=Overflow.SATURATE)
    nodes = (
        Input(name="x", shape=(2,), low=0, high=9),
        Dense(name="fc", inputs=wires("x"), weight=np.eye(2, dtype=int)),
        Neuron(name="n", inputs=wires("fc"), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    y = run(SpikeGraph(nodes, Numbers.INTEGER), np.full((3, 2, 2), 3), timesteps=3)
    assert y.saturations == {"n": 4}  # 3, 6, 9: only the third is beyond -8..7
