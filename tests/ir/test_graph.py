"""Sealed arrays, equality, hashes, and what a graph knows of its nodes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.errors import InvalidGraph, UnknownName
from snncc.ir import (
    Dense,
    Edge,
    Input,
    Kind,
    NeuronParameters,
    Numbers,
    Reset,
    SpikeGraph,
    place,
    sealed,
    wires,
)
from snncc.ir.arrays import broadcasts, same, simplest
from snncc.ir.neuron import ARRAYS
from tests.ir.every_node import every_node


@pytest.mark.parametrize("numbers", Numbers)
def test_every_array_of_every_node_is_sealed(numbers: Numbers) -> None:
    seen = 0
    for node in every_node(numbers):
        owners: list[object] = [
            node,
            *node.inputs,
            *([node.parameters] if hasattr(node, "parameters") else []),
        ]
        for owner in owners:
            for field in fields(owner):  # type: ignore[arg-type]
                value = getattr(owner, field.name)
                arrays = value.values() if isinstance(value, dict) else [value]
                for array in (a for a in arrays if isinstance(a, np.ndarray)):
                    seen += 1
                    with pytest.raises(ValueError, match="read-only"):
                        array[...] = 0
    assert seen > 40


def test_nodes_copy_what_they_are_given() -> None:
    weight = np.ones((2, 3))
    node = Dense(name="n", weight=weight)
    weight[:] = 5
    assert node.weight.tolist() == np.ones((2, 3)).tolist()


def test_nodes_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Input(name="x", shape=(3,)).name = "y"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        every_node(Numbers.FLOAT).name = "y"  # type: ignore[misc]


def changed(p: NeuronParameters, name: str) -> NeuronParameters:
    value = getattr(p, name)
    change: dict[str, Any] = {name: np.array(7.0) if value is None else value + 1}
    return replace(p, **change)


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "steps"])
def test_parameters_differ_in_every_array(name: str) -> None:
    p = NeuronParameters()
    other = changed(p, name)
    assert p == NeuronParameters()
    assert hash(p) == hash(NeuronParameters())
    assert p != other
    wide: dict[str, Any] = {name: np.broadcast_to(getattr(other, name), (2,))}
    assert p != replace(p, **wide)


@pytest.mark.parametrize(
    "change",
    [{"strict": True}, {"max_count": None}, {"reset": Reset.NONE}, {"v_bits": 16}, {"refractory": 1}],
)
def test_parameters_differ_in_everything_else(change: dict[str, object]) -> None:
    assert NeuronParameters() != replace(NeuronParameters(), **change)  # type: ignore[arg-type]
    assert NeuronParameters(**change) == NeuronParameters(**change)  # type: ignore[arg-type]
    assert NeuronParameters() != "something else"


def test_step_values() -> None:
    p = NeuronParameters(theta=np.array([1.0, 2.0]), rho=np.array(3.0), max_count=3)
    assert p.step_values().tolist() == [[1, 2], [4, 5], [7, 8]]
    explicit = np.array([1.0, 1.5, 9.0])
    assert np.array_equal(NeuronParameters(max_count=3, steps=explicit).step_values(), explicit)


def test_edges_compare_and_hash() -> None:
    edge = Edge(Kind.SPIKE, (3,), np.array(0.5), 1)
    assert edge == Edge(Kind.SPIKE, (3,), np.array(0.5), 1)
    assert len({edge, Edge(Kind.SPIKE, (3,), np.array(0.5), 1)}) == 1
    others = [
        Edge(Kind.COUNT, (3,), np.array(0.5), 1),
        Edge(Kind.SPIKE, (4,), np.array(0.5), 1),
        Edge(Kind.SPIKE, (3,), np.array(0.25), 1),
        Edge(Kind.SPIKE, (3,), np.array([0.5, 0.5, 0.5]), 1),
        Edge(Kind.SPIKE, (3,), np.array(0.5), 2),
        Edge(Kind.SPIKE, (3,), np.array(0.5), 1, 2),
    ]
    assert all(edge != other for other in others)
    assert edge != "an edge"


def test_what_a_graph_knows() -> None:
    graph = every_node(Numbers.FLOAT)
    assert [n.name for n in graph.inputs] == ["image", "events", "tallies"]
    assert [n.name for n in graph.neurons] == ["lif", "sfa"]
    assert [n.name for n in graph.outputs][:4] == ["map", "gains", "counts", "seen"]
    assert graph.readers["part"] == ("joined", "joined")
    assert graph.readers["map"] == ()
    assert graph["fc"].name == "fc"
    assert place(graph["conv"]) == "conv (Conv, features.0 (model.py:12))"
    assert place(graph["fc"]) == "fc (Dense)"
    with pytest.raises(UnknownName, match="unknown node 'conw'; known: attention, conv, ") as error:
        graph["conw"]
    assert "did you mean 'conv'?" in str(error.value)


def test_two_nodes_of_one_name() -> None:
    x = Input(name="x", shape=(3,))
    with pytest.raises(InvalidGraph, match="two nodes are called 'x'"):
        _ = SpikeGraph((x, x)).by_name


@pytest.mark.parametrize("numbers", Numbers)
def test_order_is_topological_but_for_delayed_wires(numbers: Numbers) -> None:
    graph = every_node(numbers)
    seen: set[str] = set()
    backward = []
    for node in graph:
        backward += [(node.name, w.source) for w in node.inputs if w.source not in seen and w.delay]
        assert all(w.source in seen for w in node.inputs if not w.delay)
        seen.add(node.name)
    assert backward == [("sfa", "loop")]
    with pytest.raises(InvalidGraph, match="comes later"):
        graph.with_nodes(reversed(graph.nodes)).verify()


def test_edges_that_moved_keep_their_bound() -> None:
    edges = every_node(Numbers.FLOAT).edges
    assert str(edges["sum"]) == "count(6) 36"
    assert edges["sum"].size == 36
    assert edges["sum"].is_events
    assert not edges["fc"].is_events


shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@given(shapes, shapes)
def test_broadcasts_as_numpy_does(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    try:
        np.broadcast_to(np.zeros(shape), target)
        fits = True
    except ValueError:
        fits = False
    assert broadcasts(shape, target) == fits


def test_small_array_functions() -> None:
    assert same(None, None)
    assert not same(None, np.array(1))
    assert not same(np.array(1), np.array(1.0))
    assert same(np.array([1, 2], np.int8), np.array([1, 2], np.int64))
    assert not same(np.array([1, 1]), np.array(1))
    assert simplest(np.array([2.0, 2.0])).shape == ()
    assert simplest(np.array([2.0, 3.0])).shape == (2,)
    assert not sealed([1, 2]).flags.writeable


def test_inputs_read_nothing() -> None:
    x = Input(name="x", shape=(3,), inputs=wires("x"))
    with pytest.raises(InvalidGraph, match="x"):
        SpikeGraph((x,)).edges  # noqa: B018
