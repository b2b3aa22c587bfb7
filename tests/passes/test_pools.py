"""Folding pools into convolutions changes no spike, and leaves no pool that could go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import snncc
import snncc.nn
from snncc.errors import InvalidGraph
from snncc.ir import (
    Add,
    Array,
    Conv,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Pool,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.passes import FoldBatchNorm, FoldPools, Pass, Preserves, run_passes
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs
from tests.frontends.torch_networks import Apply, assert_alive, execute, in_float64, lively, noise
from tests.passes.compare import Difference, compare

T, B = 2, 2
NEURON = NeuronParameters(max_count=3, theta=np.array(0.31), rho=np.array(0.53))
EVENTS = FoldPools(of_events=True)


def pools(graph: SpikeGraph) -> list[str]:
    return [node.name for node in graph if isinstance(node, Pool)]


@st.composite
def sides(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int]]:
    """A window and its stride: it touches the next one, overlaps it, or leaves a gap."""
    window = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    apart = draw(st.one_of(st.just(window), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    return window, apart


@st.composite
def convs(draw: st.DrawFn, name: str, channels: int, rng: np.random.Generator) -> Conv:
    """A convolution of 'x': dense, grouped or depthwise, with any padding and any kind of bias."""
    groups = draw(st.sampled_from([1, 2, channels]))
    out = groups * draw(st.integers(1, 2))
    kernel, stride = draw(sides())
    biases = (None, np.array(0.3), rng.normal(0.2, 0.3, (out, 1, 1)))
    return Conv(
        name=name,
        inputs=wires("x"),
        weight=rng.normal(0.3, 1, (out, channels // groups, *kernel)) / np.sqrt(np.prod(kernel)),
        bias=draw(st.sampled_from(biases)),
        stride=stride,
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
        groups=groups,
    )


@st.composite
def pools_of(draw: st.DrawFn, source: str, padding: int) -> Pool:
    kernel, stride = draw(sides())
    around = draw(st.tuples(*[st.integers(0, padding)] * 4))
    is_average = draw(st.booleans())
    return Pool(
        name="pool", inputs=wires(source), kernel=kernel, stride=stride, padding=around, is_average=is_average
    )


@st.composite
def inputs(draw: st.DrawFn, kind: Kind) -> Input:
    size = draw(st.tuples(st.integers(1, 11), st.integers(1, 11)))
    return Input(name="x", shape=(4, *size), kind=kind, max_count=3 if kind is Kind.COUNT else None)


def finished(*nodes: Node) -> SpikeGraph:
    """A neuron behind *nodes*, verified; a drawing that is none is dropped."""
    last = Neuron(name="n", inputs=wires(nodes[-1].name), parameters=NEURON)
    graph = SpikeGraph((*nodes, last, Output(name="y", inputs=wires("n"))), timesteps=T)
    try:
        graph.verify()
    except InvalidGraph:
        assume(False)
    return graph


def data(graph: SpikeGraph, seed: int) -> Array:
    rng, (node,) = np.random.default_rng(seed), graph.inputs
    size = (T, B, *node.shape)
    if node.kind is Kind.ANALOG:
        return rng.normal(0.3, 1, size)
    return rng.integers(0, 1 + (node.max_count or 1), size)


def lost(graph: SpikeGraph, one: Pass, seed: int) -> tuple[Difference, SpikeGraph]:
    """What folding by *one* changes, and what it leaves."""
    folded = run_passes(graph, [one])[-1].graph
    return compare(graph, folded, data(graph, seed), T), folded


def assert_mostly_alive(found: list[Difference]) -> None:
    assert len(found) >= 60
    assert np.mean([0 < d.alive < d.counts for d in found]) > 0.7
    assert sum(d.ties for d in found) < 0.001 * sum(d.counts for d in found)


def test_pools_behind_convolutions() -> None:
    found: list[Difference] = []

    @settings(max_examples=120, database=None)
    @given(st.data(), st.integers(0, 2**32))
    def check(drawn: st.DataObject, seed: int) -> None:
        rng, x = np.random.default_rng(seed), drawn.draw(inputs(Kind.ANALOG))
        conv = drawn.draw(convs("conv", 4, rng))
        pool = drawn.draw(pools_of("conv", padding=0))
        graph = finished(x, conv, pool)
        difference, folded = lost(graph, FoldPools(), seed)
        assert pools(folded) == []
        assert folded.edges["conv"].shape == graph.edges["pool"].shape
        assert difference.differ == 0
        found.append(difference)

    check()
    assert_mostly_alive(found)


def test_pools_before_convolutions() -> None:
    """Also with padding; what stays is exact as well, and it stays only where the edges do not agree."""
    found: list[Difference] = []
    left = 0

    @settings(max_examples=150, database=None)
    @given(st.data(), st.integers(0, 2**32))
    def check(drawn: st.DataObject, seed: int) -> None:
        nonlocal left
        rng, x = np.random.default_rng(seed), drawn.draw(inputs(Kind.COUNT))
        pool = drawn.draw(pools_of("x", padding=1))
        conv = replace(drawn.draw(convs("conv", 4, rng)), inputs=wires("pool"))
        graph = finished(x, pool, conv)
        assert lost(graph, FoldPools(), seed)[1] is graph
        difference, folded = lost(graph, EVENTS, seed)
        assert difference.differ == 0
        left += len(pools(folded))
        if not any(conv.padding):
            assert pools(folded) == []
        elif pools(folded):
            assert folded is graph
        found.append(difference)

    check()
    assert_mostly_alive(found)
    assert 0 < left < 0.5 * len(found)


def test_random_networks() -> None:
    """Pools among residual streams, normalizations and all kinds of neurons."""
    folded_pools = 0

    @settings(max_examples=60, database=None)
    @given(float_graphs())
    def check(case: FloatCase) -> None:
        nonlocal folded_pools
        normal = FoldBatchNorm()(case.graph)
        folded = run_passes(normal, [EVENTS])[-1].graph
        difference = compare(normal, folded, case.x, case.timesteps)
        assert difference.differ == 0
        assert difference.output <= 1e-9
        folded_pools += len(pools(normal)) - len(pools(folded))

    check()
    assert folded_pools > 0


CONV = Conv(
    name="conv",
    inputs=wires("x"),
    weight=np.random.default_rng(5).normal(0.2, 0.6, (4, 4, 3, 3)),
    padding=(1, 1, 1, 1),
    origin="net.0 (a.py:1)",
)
POOL = Pool(
    name="pool",
    inputs=wires("conv"),
    kernel=(2, 2),
    stride=(2, 2),
    is_average=True,
    origin="net.1 (a.py:2)",
)
X = Input(name="x", shape=(4, 7, 8))
SPIKES = replace(X, kind=Kind.SPIKE)


def test_the_kernel_that_comes_of_it() -> None:
    folded = FoldPools()(finished(X, CONV, POOL))["conv"]
    assert isinstance(folded, Conv)
    assert folded.weight.shape == (4, 4, 4, 4)
    assert np.allclose(folded.weight[..., 0, 0], CONV.weight[..., 0, 0] / 4)
    assert np.allclose(folded.weight[..., 1, 1], CONV.weight[..., :2, :2].sum(axis=(2, 3)) / 4)
    assert (folded.stride, folded.padding) == ((2, 2), (1, 1, 1, 1))
    assert folded.origin == "net.0 (a.py:1) with net.1 (a.py:2)"


@pytest.mark.parametrize("is_average", [True, False])
def test_a_bias_that_differs_inside_its_maps(is_average: bool) -> None:
    bias = np.random.default_rng(6).normal(size=(4, 7, 8))
    graph = finished(X, replace(CONV, bias=bias), replace(POOL, is_average=is_average))
    difference, folded = lost(graph, FoldPools(), 0)
    assert pools(folded) == []
    assert difference.is_none, difference


def test_pools_of_pools_and_of_sums() -> None:
    """Sums of convolutions, also of sums, and a pool behind a pool."""
    second, third = replace(CONV, name="second", weight=-CONV.weight[::-1]), replace(CONV, name="third")
    nodes = (
        *(X, CONV, second, third),
        Add(name="a", inputs=wires("conv", "second")),
        Add(name="b", inputs=wires("a", "third")),
        replace(POOL, inputs=wires("b")),
        replace(POOL, name="again", inputs=wires("pool"), kernel=(3, 2), stride=(1, 2), is_average=False),
    )
    difference, folded = lost(finished(*nodes), FoldPools(), 0)
    assert pools(folded) == []
    assert difference.is_none, difference


def test_a_delay_before_the_neuron_stays() -> None:
    graph = finished(X, CONV, POOL)
    late = replace(graph["n"], inputs=(Wire("pool", 1),))
    graph = graph.with_nodes(late if node.name == "n" else node for node in graph)
    difference, folded = lost(graph, FoldPools(), 0)
    assert pools(folded) == []
    assert difference.is_none, difference
    begun = replace(late, inputs=(Wire("pool", 1, np.array(2.0)),))
    given = graph.with_nodes(begun if node.name == "n" else node for node in graph)
    assert pools(FoldPools()(given)) == ["pool"]  # a value in quarters, as the average has them


STAYS: dict[str, tuple[Node, ...]] = {
    "read elsewhere": (
        *(X, CONV, POOL, replace(POOL, name="other")),
        Add(name="sum", inputs=wires("pool", "other")),
    ),
    "read later": (X, CONV, replace(POOL, inputs=(Wire("conv", 1),))),
    "padded": (X, CONV, replace(POOL, padding=(1, 1, 1, 1))),
    "dilated": (X, replace(CONV, dilation=(2, 2)), POOL),
    "delays": (X, replace(CONV, delay=np.ones(CONV.weight.shape, np.int64)), POOL),
    "of the input": (X, replace(POOL, inputs=wires("x"))),
    "of a sum with the input": (
        *(X, CONV),
        Add(name="sum", inputs=wires("conv", "x")),
        replace(POOL, inputs=wires("sum")),
    ),
    "of spikes, for two": (
        *(SPIKES, replace(POOL, inputs=wires("x")), replace(CONV, inputs=wires("pool"))),
        replace(CONV, name="two", inputs=wires("pool")),
        Add(name="sum", inputs=wires("conv", "two")),
    ),
    # the seventh row is left out by the pool, but would be seen in place of the padding
    "of spikes, a row left over": (
        *(SPIKES, replace(POOL, inputs=wires("x"))),
        replace(CONV, inputs=wires("pool")),
    ),
    "of spikes, windows that overlap": (
        *(SPIKES, replace(POOL, inputs=wires("x"), kernel=(3, 3), stride=(2, 2))),
        replace(CONV, inputs=wires("pool")),
    ),
    "of an analog input": (
        *(X, replace(POOL, inputs=wires("x"))),
        replace(CONV, inputs=wires("pool"), padding=(0, 0, 0, 0)),
    ),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_stays(name: str) -> None:
    graph = finished(*STAYS[name])
    assert pools(EVENTS(graph)) == pools(graph)


def test_a_row_left_over_does_not_matter_where_nothing_reads_beyond() -> None:
    open_ = replace(CONV, inputs=wires("pool"), padding=(1, 0, 1, 1))
    difference, folded = lost(finished(SPIKES, replace(POOL, inputs=wires("x")), open_), EVENTS, 0)
    assert pools(folded) == []
    assert difference.is_none, difference


def test_no_more_operations_than_before() -> None:
    """A spike meets the same synapses where its pool goes into the convolution behind, never more."""
    even = replace(SPIKES, shape=(4, 8, 8))
    graph = finished(even, replace(POOL, inputs=wires("x")), replace(CONV, inputs=wires("pool")))
    x = (np.random.default_rng(0).random((T, B, 4, 8, 8)) < 0.4).astype(np.int64)
    before, after = (run(g, x, timesteps=T).operations["conv"] for g in (graph, EVENTS(graph)))
    assert 0 < after.ac.sum() <= before.ac.sum() + run(graph, x, timesteps=T).operations["pool"].ac.sum()


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("size", [8, 9])
def test_traced_from_torch(groups: int, size: int) -> None:
    """Convolution, batch normalization, average pooling, neuron; then pools of spikes."""
    torch.manual_seed(1)
    g = torch.Generator().manual_seed(1)
    body = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1), lively(nn.BatchNorm2d(8), g, negative=True), nn.AvgPool2d(2)),
        *(snncc.nn.IF(0.3), nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False)),
        *(nn.AvgPool2d(2), lively(nn.BatchNorm2d(8), g), snncc.nn.LIF(0.5, 0.2)),
        *(nn.AvgPool2d(2), nn.Conv2d(8, 5, 1)),
    )
    model = Apply(lambda x, net: net(x), body)
    x = noise(g, 3, 2, size, size)
    graph = snncc.trace(model, x, timesteps=4, layout="B")
    assert len(pools(graph)) == 3
    folded = run_passes(graph, [FoldBatchNorm(), EVENTS])[-1].graph
    assert pools(folded) == []
    result = execute(folded, x)
    assert_alive(folded, result)
    need = in_float64(model, x, "B", 4)["output"]
    assert np.allclose(result.output.reshape(need.shape), need, rtol=0, atol=1e-9)


def test_integer_graphs_stay_as_they_are() -> None:
    graph = SpikeGraph((replace(X, low=0, high=9), Output(name="y", inputs=wires("x"))), Numbers.INTEGER)
    assert EVENTS(graph) is graph


def test_declares_what_it_is() -> None:
    assert FoldPools.preserves is Preserves.EXACT
    assert repr(FoldPools()) == "FoldPools(of_events=False)"
