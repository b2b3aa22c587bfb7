"""Folding affine nodes changes no spike and leaves none that could go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Emit,
    Input,
    Kind,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Pool,
    Reset,
    Sparse,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.passes import FoldBatchNorm, Into, Preserves, run_passes
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs
from tests.passes.compare import compare

T, B = 3, 2
X = Input(name="x", shape=(2, 6, 6))
SPIKES = replace(X, kind=Kind.SPIKE)
rng = np.random.default_rng(0)
GAIN = np.array([1.5, -0.75, 0.0, 2.0]).reshape(4, 1, 1)
OFFSET = np.array([0.25, 0.5, 0.75, -0.5]).reshape(4, 1, 1)
CONV = Conv(name="conv", inputs=wires("x"), weight=rng.normal(0.2, 1, (4, 2, 3, 3)), padding=(1, 1, 1, 1))
NORM = Affine(name="norm", inputs=wires("conv"), gain=GAIN, offset=OFFSET)
NEXT = Conv(name="next", inputs=wires("norm"), weight=rng.normal(size=(3, 4, 3, 3)), padding=(1, 1, 1, 1))
N = Neuron(name="n", inputs=wires("norm"), parameters=NeuronParameters(max_count=4, rho=np.array(0.7)))


def affines(graph: SpikeGraph) -> list[str]:
    return [node.name for node in graph if isinstance(node, Affine)]


def net(*nodes: Node, timesteps: int = T) -> SpikeGraph:
    graph = SpikeGraph((*nodes, Output(name="y", inputs=wires(nodes[-1].name))), timesteps=timesteps)
    graph.verify()
    return graph


def data(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0.3, 1.0, (T, B, 2, 6, 6))


@pytest.mark.parametrize("into", Into)
def test_random_networks(into: Into) -> None:
    found, ties, dead = [], 0, []

    @settings(max_examples=40, database=None)
    @given(float_graphs())
    def check(case: FloatCase) -> None:
        nonlocal ties
        folded = run_passes(case.graph, [FoldBatchNorm(into)])[-1].graph
        difference = compare(case.graph, folded, case.x, case.timesteps)
        assert difference.differ == 0
        assert difference.output <= 1e-9
        ties += difference.ties
        found.append(difference)
        dead.append(difference.alive == difference.counts)
        left = affines(folded)
        # A gain on what a neuron sent, behind a pool, has no weights before it; what follows decides.
        assert all(left_over(folded, name) for name in left), (left, str(folded))

    check()
    assert sum(d.alive for d in found) > 0.1 * sum(d.counts for d in found)
    assert np.mean([d.alive > 0 for d in found]) > 0.9
    assert not all(dead)
    assert ties < 0.001 * sum(d.counts for d in found)


def left_over(graph: SpikeGraph, name: str) -> bool:
    """Whether no synapse is beside the affine *name*, neither alone before it nor alone behind it."""
    source = graph.by_name[graph.by_name[name].inputs[0].source]
    behind = [graph.by_name[r] for r in graph.readers[name]]
    before = isinstance(source, Dense | Conv | Sparse) and len(graph.readers[source.name]) == 1
    after = len(behind) == 1 and isinstance(behind[0], Dense | Conv | Sparse)
    return not before and not after


@pytest.mark.parametrize("into", Into)
@pytest.mark.parametrize("bias", [None, 0.3 * OFFSET])
def test_batch_norm_behind_a_convolution(into: Into, bias: Array | None) -> None:
    graph = net(X, replace(CONV, bias=bias), NORM, N)
    folded = FoldBatchNorm(into)(graph)
    folded.verify()
    assert affines(folded) == []
    difference = compare(graph, folded, data(), T)
    assert difference.is_none, difference
    conv, neuron = folded["conv"], folded["n"]
    assert isinstance(conv, Conv)
    assert isinstance(neuron, Neuron)
    if into is Into.WEIGHTS:
        assert neuron.parameters == N.parameters
        assert np.allclose(conv.weight, CONV.weight * GAIN[:, None])
    else:
        # Weights keep their size: negative gains flip them, a zero gain empties them.
        assert np.array_equal(conv.weight, CONV.weight * np.sign(GAIN)[:, None])
        assert np.allclose(neuron.parameters.rho, 0.7 / np.where(GAIN == 0, 1, np.abs(GAIN)))


PARAMETERS: dict[str, Any] = {
    "everything": NeuronParameters(
        theta=np.array(0.8),
        rho=np.array(0.5),
        max_count=3,
        leak=np.array(0.5),
        leak_i=np.array(0.25),
        bias=np.array(0.1),
        v_init=np.array(0.3),
        i_init=np.array(-0.2),
        clamp_low=np.array(-0.5),
        clamp_high=np.array(1.5),
        scale=np.array(0.5),
        refractory=1,
    ),
    "hard": NeuronParameters(reset=Reset.VALUE, v_reset=np.array(-0.25), leak=np.array(0.75), strict=True),
    "channels": NeuronParameters(theta=0.5 + np.arange(4).reshape(4, 1, 1), rho=np.array(0.7)),
    "steps": NeuronParameters(max_count=3, steps=np.array([0.3, 0.5, 2.0]), rho=np.array(0.4)),
    "steps of channels": NeuronParameters(
        max_count=2, steps=np.array([[0.3], [0.9]])[..., None, None] + np.arange(4).reshape(1, 4, 1, 1) / 5
    ),
    "as many steps as channels": NeuronParameters(max_count=4, steps=np.array([0.2, 0.6, 0.9, 2.5])),
}


@pytest.mark.parametrize("into", Into)
@pytest.mark.parametrize("p", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_every_parameter_scales(p: NeuronParameters, into: Into) -> None:
    # Steps for all channels and a gain for each: found in review, the axis of the steps met that of the channels.
    graph = net(X, CONV, NORM, replace(N, parameters=p))
    folded = FoldBatchNorm(into)(graph)
    folded.verify()
    assert affines(folded) == []
    difference = compare(graph, folded, data(), T)
    assert difference.is_none, difference


@pytest.mark.parametrize("emit", [Emit.RELU, Emit.POTENTIAL])
@pytest.mark.parametrize("into", Into)
def test_neurons_that_send_reals(emit: Emit, into: Into) -> None:
    graph = net(X, CONV, NORM, replace(N, parameters=NeuronParameters(emit=emit, scale=np.array(0.5))))
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    before, after = (run(g, data(), timesteps=T).output for g in (graph, folded))
    assert np.allclose(before, after, rtol=1e-12, atol=1e-12)
    assert before.any()


@pytest.mark.parametrize("into", Into)
def test_before_a_padded_convolution(into: Into) -> None:
    first = replace(NORM, inputs=wires("x"), gain=GAIN[:2], offset=OFFSET[:2])
    graph = net(X, first, replace(CONV, inputs=wires("norm")), replace(N, inputs=wires("conv")))
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    conv = folded["conv"]
    assert isinstance(conv, Conv)
    assert conv.bias is not None
    assert conv.bias.shape == (4, 6, 6)  # an offset meets the padding at the border
    assert compare(graph, folded, data(), T).is_none
    inside = FoldBatchNorm(into)(net(X, first, replace(CONV, inputs=wires("norm"), padding=(0, 0, 0, 0))))
    assert inside["conv"].bias.shape == (4, 1, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("into", Into)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_before_a_grouped_convolution(into: Into, groups: int) -> None:
    fired = Neuron(name="s", inputs=wires("conv"), parameters=NeuronParameters(max_count=2))
    conv = replace(NEXT, weight=rng.normal(size=(4, 4 // groups, 3, 3)), groups=groups)
    norm = replace(NORM, inputs=wires("s"))
    graph = net(X, CONV, fired, norm, conv, replace(N, inputs=wires("next")))
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none


@pytest.mark.parametrize("is_average", [False, True])
@pytest.mark.parametrize("into", Into)
def test_behind_a_pool(into: Into, is_average: bool) -> None:
    pool = Pool(name="pool", inputs=wires("conv"), kernel=(2, 2), stride=(2, 2), is_average=is_average)
    norm = replace(NORM, inputs=wires("pool"))
    graph = net(X, CONV, pool, norm, N)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none
    two = net(
        X,
        CONV,
        pool,
        replace(pool, name="pool2", inputs=wires("pool")),
        replace(norm, inputs=wires("pool2")),
        N,
    )
    folded = FoldBatchNorm(into)(two)
    assert affines(folded) == []
    assert compare(two, folded, data(), T).is_none


def test_behind_a_pool_where_asked_for_into_the_thresholds() -> None:
    # Found in review: it went into the weights, although it feeds nothing but one neuron.
    pool = Pool(name="pool", inputs=wires("conv"), kernel=(2, 2), stride=(2, 2))
    norm = replace(NORM, inputs=wires("pool"), gain=np.abs(GAIN) + 0.5)
    folded = FoldBatchNorm(Into.THRESHOLDS)(net(X, CONV, pool, norm, N))
    conv = folded["conv"]
    assert isinstance(conv, Conv)
    assert np.array_equal(conv.weight, CONV.weight)
    assert conv.bias is None


@pytest.mark.parametrize("into", Into)
def test_behind_a_pool_of_the_input(into: Into) -> None:
    # Found in review: it moved before the pool, where nothing can take it.
    pool = Pool(name="pool", inputs=wires("x"), kernel=(2, 2), stride=(2, 2), is_average=True)
    norm = replace(NORM, inputs=wires("pool"), gain=GAIN[:2], offset=OFFSET[:2])
    graph = net(X, pool, norm, replace(CONV, inputs=wires("norm")), replace(N, inputs=wires("conv")))
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none


def test_what_a_padded_pool_separates_stays() -> None:
    pool = Pool(name="pool", inputs=wires("conv"), kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    graph = net(
        X,
        CONV,
        pool,
        replace(NORM, inputs=wires("pool")),
        MaxPool(name="top", inputs=wires("norm"), kernel=(1, 1), stride=(1, 1)),
    )
    assert affines(FoldBatchNorm()(graph)) == ["norm"]


@pytest.mark.parametrize("into", Into)
def test_on_a_residual_branch(into: Into) -> None:
    branch = [
        Neuron(name="s", inputs=wires("conv"), parameters=NeuronParameters(max_count=4, rho=np.array(0.5))),
        Conv(name="b", inputs=wires("s"), weight=rng.normal(size=(4, 4, 3, 3)), padding=(1, 1, 1, 1)),
        replace(NORM, inputs=wires("b")),
        Add(name="add", inputs=wires("conv", "norm")),
        replace(N, inputs=wires("add")),
    ]
    graph = net(X, CONV, *branch)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert folded["n"].parameters == N.parameters  # type: ignore[union-attr]
    assert compare(graph, folded, data(), T).is_none


@pytest.mark.parametrize("into", Into)
def test_chains(into: Into) -> None:
    chain = [
        replace(NORM, name=f"norm{k}", inputs=wires(f"norm{k - 1}" if k else "conv"), gain=GAIN + k)
        for k in range(4)
    ]
    graph = net(X, CONV, *chain, replace(N, inputs=wires("norm3")))
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert len(folded.nodes) == 4
    assert compare(graph, folded, data(), T).is_none


@pytest.mark.parametrize("into", Into)
def test_dense_sparse_and_delayed_synapses(into: Into) -> None:
    sizes = {
        "pre": rng.integers(0, 72, 200),
        "post": rng.integers(0, 4, 200),
        "weight": rng.normal(0.2, 1, 200),
    }
    sparse = Sparse(name="conv", inputs=wires("x"), shape=(4, 1, 1), delay=rng.integers(0, 3, 200), **sizes)
    graph = net(X, sparse, NORM, N)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none
    tokens = replace(X, shape=(5, 6))
    row = replace(NORM, gain=GAIN[:, 0, 0], offset=OFFSET[:, 0, 0])
    graph = net(tokens, Dense(name="conv", inputs=wires("x"), weight=rng.normal(0.2, 1, (4, 6))), row, N)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    x = rng.normal(0.3, 1, (T, B, 5, 6))
    assert compare(graph, folded, x, T).is_none


SHARED = [
    # the convolution is read by another node, too
    net(X, CONV, NORM, Add(name="add", inputs=wires("conv", "norm")), replace(N, inputs=wires("add"))),
    # read a timestep later
    net(X, CONV, replace(NORM, inputs=(Wire("conv", 1, np.array(0.43)),)), N),
    # a table over time
    net(
        X,
        CONV,
        replace(NORM, gain=np.arange(1.0, 4).reshape(3, 1, 1, 1), offset=np.array(0.0), per_timestep=True),
        N,
    ),
    # a gain that differs inside the map
    net(X, CONV, replace(NORM, gain=1 + np.arange(36.0).reshape(6, 6) / 36), N),
]


@pytest.mark.parametrize("graph", SHARED)
def test_what_cannot_go_into_the_weights_stays(graph: SpikeGraph) -> None:
    folded = FoldBatchNorm()(graph)
    assert affines(folded) == ["norm"]
    assert compare(graph, folded, data(), T).is_none


def test_a_gain_inside_the_map_goes_into_the_thresholds() -> None:
    graph = SHARED[-1]
    folded = FoldBatchNorm(Into.THRESHOLDS)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none


@pytest.mark.parametrize("into", Into)
def test_before_a_delayed_reader(into: Into) -> None:
    late = replace(N, inputs=(Wire("norm", 2, np.array(0.9)),))
    graph = net(X, CONV, NORM, late)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none


def test_integer_graphs_stay_as_they_are() -> None:
    graph = SpikeGraph((replace(X, low=0, high=9), Output(name="y", inputs=wires("x"))), Numbers.INTEGER)
    assert FoldBatchNorm()(graph) is graph


def test_declares_what_it_is() -> None:
    assert FoldBatchNorm.preserves is Preserves.EXACT
    assert repr(FoldBatchNorm(Into.THRESHOLDS)) == "FoldBatchNorm(into=<Into.THRESHOLDS: 'thresholds'>)"


def test_the_graph_it_got_is_untouched() -> None:
    graph = net(X, CONV, NORM, N)
    before = str(graph)
    FoldBatchNorm()(graph)
    assert str(graph) == before
