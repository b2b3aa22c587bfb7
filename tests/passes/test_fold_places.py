"""Where an affine node stands: before and behind synapses, pools, sums, delays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.ir import (
    Add,
    Conv,
    Dense,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Pool,
    Sparse,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.passes import FoldBatchNorm, Into
from tests.passes.compare import compare
from tests.passes.folding import CONV, GAIN, NEXT, NORM, OFFSET, B, N, T, X, affines, data, net


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
    weight = np.random.default_rng(1).normal(size=(4, 4 // groups, 3, 3))
    conv = replace(NEXT, weight=weight, groups=groups)
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
    weight = np.random.default_rng(2).normal(size=(4, 4, 3, 3))
    branch: list[Node] = [
        Neuron(name="s", inputs=wires("conv"), parameters=NeuronParameters(max_count=4, rho=np.array(0.5))),
        Conv(name="b", inputs=wires("s"), weight=weight, padding=(1, 1, 1, 1)),
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
    rng = np.random.default_rng(3)
    sizes: dict[str, Any] = {
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
def test_one_gain_of_a_residual_stream_goes_into_the_threshold(into: Into) -> None:
    second = replace(CONV, name="second", weight=-0.5 * CONV.weight)
    norm = replace(NORM, inputs=wires("sum"), gain=np.array(0.4), offset=np.array([0.3]))
    graph = net(X, CONV, second, Add(name="sum", inputs=wires("conv", "second")), norm, N)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none
    weights = [folded[name].weight for name in ("conv", "second")]  # type: ignore[union-attr]
    assert all(np.array_equal(a, b) for a, b in zip(weights, (CONV.weight, second.weight), strict=True))
    # A gain for each channel would take a threshold for each.
    many = net(X, CONV, second, graph["sum"], replace(norm, gain=np.abs(GAIN) + 0.1), N)
    assert affines(FoldBatchNorm(into)(many)) == (["norm"] if into is Into.WEIGHTS else [])


@pytest.mark.parametrize("into", Into)
def test_before_a_delayed_reader(into: Into) -> None:
    late = replace(N, inputs=(Wire("norm", 2, np.array(0.9)),))
    graph = net(X, CONV, NORM, late)
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    assert compare(graph, folded, data(), T).is_none
