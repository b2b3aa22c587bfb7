"""What changes nothing leaves; what changes something stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from snncc.ir import (
    Add,
    Affine,
    Concat,
    Dense,
    Encoding,
    Input,
    Kind,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Pad,
    Pool,
    Reshape,
    Slice,
    SpikeGraph,
    Transpose,
    Wire,
    wires,
)
from snncc.passes import ElideIdentities, Preserves, run_passes
from snncc.reference import run
from tests.graphs import Case, graphs

IDENTITIES: list[Node] = [
    Reshape(name="i", inputs=wires("x"), shape=(2, 4, 4)),
    Transpose(name="i", inputs=wires("x"), axes=(0, 1, 2)),
    Slice(name="i", inputs=wires("x"), axis=0, start=0, stop=2),
    Concat(name="i", inputs=wires("x"), axis=0),
    Add(name="i", inputs=wires("x")),
    Affine(name="i", inputs=wires("x"), gain=np.ones((2, 1, 1)), offset=np.zeros((2, 1, 1))),
    Pad(name="i", inputs=wires("x"), padding=(0, 0, 0, 0)),
    Pool(name="i", inputs=wires("x"), kernel=(1, 1), stride=(1, 1)),
    MaxPool(name="i", inputs=wires("x"), kernel=(1, 1), stride=(1, 1)),
]
OTHERS: list[Node] = [
    Transpose(name="i", inputs=wires("x"), axes=(0, 2, 1)),
    Slice(name="i", inputs=wires("x"), axis=1, start=0, stop=3),
    Affine(name="i", inputs=wires("x"), offset=np.array(0.5)),
    Affine(name="i", inputs=wires("x"), gain=np.array(2.0)),
    Pad(name="i", inputs=wires("x"), padding=(0, 0, 0, 1)),
    Pool(name="i", inputs=wires("x"), kernel=(1, 1), stride=(2, 2)),
    MaxPool(name="i", inputs=wires("x"), kernel=(2, 2), stride=(1, 1)),
    Add(name="i", inputs=wires("x", "x")),
    Reshape(name="i", inputs=(Wire("x", 1),), shape=(2, 4, 4)),
]
X = np.random.default_rng(0).normal(size=(3, 2, 2, 4, 4))


def net(*nodes: Node, kind: Kind = Kind.ANALOG) -> SpikeGraph:
    last = nodes[-1].name
    graph = SpikeGraph(
        (
            Input(name="x", shape=(2, 4, 4), kind=kind),
            *nodes,
            Neuron(name="n", inputs=wires(last), parameters=NeuronParameters(theta=np.array(0.4))),
            Output(name="y", inputs=wires("n")),
            Output(name="z", inputs=wires(last)),
        )
    )
    graph.verify()
    return graph


def names(graph: SpikeGraph) -> list[str]:
    return [node.name for node in graph]


@pytest.mark.parametrize("node", IDENTITIES, ids=lambda n: type(n).__name__)
def test_identities_leave(node: Node) -> None:
    graph = net(node)
    after = run_passes(graph, [ElideIdentities()])[-1].graph
    assert names(after) == ["x", "n", "y", "z"]
    a, b = (run(g, X, timesteps=3) for g in (graph, after))
    assert a.spikes["n"].sum() > 0
    assert all(np.array_equal(a.outputs[n], b.outputs[n]) for n in "yz")


@pytest.mark.parametrize("node", OTHERS, ids=lambda n: type(n).__name__)
def test_others_stay(node: Node) -> None:
    assert names(ElideIdentities()(net(node))) == ["x", "i", "n", "y", "z"]


def test_chains_of_identities_leave() -> None:
    chain = [
        replace(n, name=f"i{k}", inputs=wires(f"i{k - 1}" if k else "x")) for k, n in enumerate(IDENTITIES)
    ]
    assert names(ElideIdentities()(net(*chain))) == ["x", "n", "y", "z"]


def test_reshapes_of_reshapes_join() -> None:
    nodes = [
        Reshape(name="a", inputs=wires("x"), shape=(4, 8)),
        Reshape(name="b", inputs=wires("a"), shape=(32,)),
        Reshape(name="c", inputs=wires("b"), shape=(2, 16)),
    ]
    graph = net(*nodes)
    after = ElideIdentities()(graph)
    assert names(after) == ["x", "c", "n", "y", "z"]
    assert after["c"].inputs[0].source == "x"
    a, b = (run(g, X, timesteps=3) for g in (graph, after))
    assert np.array_equal(a.outputs["z"], b.outputs["z"])
    back = net(*nodes[:2], Reshape(name="c", inputs=wires("b"), shape=(2, 4, 4)))
    assert names(ElideIdentities()(ElideIdentities()(back))) == ["x", "n", "y", "z"]


def test_dead_nodes_leave_and_inputs_stay() -> None:
    dead: list[Node] = [
        Dense(name="d", inputs=wires("x"), weight=np.ones((3, 4))),
        Neuron(name="dn", inputs=wires("d")),
        Input(name="unused", shape=(2,)),
    ]
    graph = net(IDENTITIES[0])
    graph = graph.with_nodes((graph.nodes[0], *dead, *graph.nodes[1:]))
    assert names(ElideIdentities()(graph)) == ["x", "unused", "n", "y", "z"]


def test_loops_stay_alive() -> None:
    graph = SpikeGraph(
        (
            Input(name="x", shape=(3,)),
            Neuron(name="n", inputs=(*wires("x"), Wire("same", 1))),
            Dense(name="back", inputs=wires("n"), weight=np.eye(3)),
            Reshape(name="same", inputs=wires("back"), shape=(3,)),
            Output(name="y", inputs=wires("n")),
        )
    )
    after = run_passes(graph, [ElideIdentities()])[-1].graph
    assert names(after) == ["x", "n", "back", "y"]
    assert after["n"].inputs[1].source == "back"
    assert after["n"].inputs[1].delay == 1


def test_a_sum_of_one_stream_is_a_count() -> None:
    # Found in review: without it the maximum behind is an OR of ticks, not the largest count.
    stream = NeuronParameters(max_count=2, encoding=Encoding.STREAM, ticks=2)
    graph = SpikeGraph(
        (
            Input(name="x", shape=(1, 1, 2), kind=Kind.COUNT, max_count=9),
            Input(name="late", shape=(1, 1, 2), kind=Kind.COUNT, max_count=9),
            Neuron(name="a", inputs=wires("x"), parameters=replace(stream, stateless=True)),
            Neuron(name="b", inputs=wires("a", "late"), parameters=replace(stream, theta=np.array(1.0))),
            Add(name="count", inputs=wires("b")),
            MaxPool(name="top", inputs=wires("count"), kernel=(1, 2), stride=(1, 2)),
            Output(name="y", inputs=wires("top")),
        )
    )
    assert "count" in names(ElideIdentities()(graph))


@settings(max_examples=60)
@given(graphs())
def test_random_graphs_run_equally(case: Case) -> None:
    after = run_passes(case.graph, [ElideIdentities()])[-1].graph
    assert set(names(after)) <= set(names(case.graph))
    a, b = (run(g, case.x, timesteps=case.timesteps, count=False) for g in (case.graph, after))
    assert all(np.array_equal(a.outputs[n], b.outputs[n]) for n in a.outputs)
    assert all(np.array_equal(a.spikes[n], b.spikes[n]) for n in b.spikes)
    again = ElideIdentities()(after)
    assert set(names(again)) <= set(names(after))


def test_declares_what_it_is() -> None:
    assert ElideIdentities.preserves is Preserves.EXACT
