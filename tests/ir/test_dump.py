"""The text form of a graph is stable, complete and short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snncc.ir import NeuronParameters, Numbers, Reset, dump
from snncc.ir.nodes import NODE_TYPES, Neuron
from tests.ir.every_node import every_node


@pytest.mark.parametrize("numbers", Numbers)
def test_golden(numbers: Numbers, golden: Callable[[str, str], None]) -> None:
    graph = every_node(numbers)
    graph.verify()
    assert {type(node) for node in graph} == set(NODE_TYPES)
    golden(f"every_node_{numbers}", dump(graph))


def test_is_the_string_of_a_graph_and_the_same_each_time() -> None:
    graph = every_node(Numbers.INTEGER)
    assert str(graph) == dump(graph) == dump(every_node(Numbers.INTEGER))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"strict": True}, "strict=True"),
        ({"reset": Reset.VALUE}, "reset=value"),
        ({"max_count": None}, "max_count=None"),
        ({"theta": np.array([[[1.0]], [[2.0]], [[3.0]], [[4.0]]])}, "theta=float[4x1x1: 1..4]"),
        ({"clamp_high": np.array(9.0)}, "clamp_high=9"),
        ({"refractory": 2}, "refractory=2"),
    ],
)
def test_shows_what_is_not_at_its_default(change: dict[str, object], text: str) -> None:
    graph = every_node(Numbers.FLOAT)
    assert text not in dump(graph)
    nodes = [
        replace(node, parameters=replace(node.parameters, **change))  # type: ignore[arg-type]
        if isinstance(node, Neuron) and node.name == "lif"
        else node
        for node in graph
    ]
    line = next(line for line in dump(graph.with_nodes(nodes)).splitlines() if line.startswith("  lif ="))
    assert text in line


def test_shows_the_step_where_it_is_known() -> None:
    graph = every_node(Numbers.FLOAT)
    assert dump(graph).splitlines()[0].endswith(f"layout={graph.layout}")
    assert dump(replace(graph, dt=2.5e-4)).splitlines()[0].endswith(f"layout={graph.layout} dt=0.00025")


def test_hides_what_is_at_its_default() -> None:
    graph = every_node(Numbers.FLOAT)
    nodes = [
        replace(n, parameters=NeuronParameters()) if isinstance(n, Neuron) and n.name == "lif" else n
        for n in graph
    ]
    line = next(line for line in dump(graph.with_nodes(nodes)).splitlines() if line.startswith("  lif ="))
    assert line == "  lif = Neuron(norm) -> spike(1) 4x5x5  # features.2 (model.py:14)"
