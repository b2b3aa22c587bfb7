"""Every limit of Speck: just within it nothing is said, beyond it need, have, place and a hint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.backends.target import DoesNotFit, Problem
from snncc.ir import (
    Add,
    Conv,
    Dense,
    Kind,
    MaxPool,
    Node,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)
from tests.backends.speck.limits import BEYOND, WITHIN, conv, network, neuron
from tests.backends.speck.networks import chain, data


@pytest.mark.parametrize(("name", "make"), WITHIN, ids=[name for name, _ in WITHIN])
def test_within_the_limits(name: str, make: Callable[[], SpikeGraph]) -> None:
    graph = make()
    assert snncc.check(graph, "speck") == []
    x = data(graph, 0, batch=1)
    program = snncc.compile(graph, target="speck")
    assert program.run(x).spikes[graph.neurons[0].name].sum() > 0


@pytest.mark.parametrize(
    ("make", "where", "what", "need", "have"), BEYOND, ids=[f"{w}: {n}" for _, _, w, n, _ in BEYOND]
)
def test_beyond_a_limit(make: Callable[[], SpikeGraph], where: str, what: str, need: str, have: str) -> None:
    graph = make()
    found = snncc.check(graph, "speck")
    same = [p for p in found if (p.what, p.need, p.have) == (what, need, have)]
    assert [p.where.partition(" ")[0] for p in same] == [where], found
    with pytest.raises(DoesNotFit) as caught:
        snncc.compile(graph, target="speck")
    assert list(caught.value.problems) == found


def test_all_obstacles_in_one_run() -> None:
    """A leaking residual network with max-pooling and real input: every obstacle, by layer, with hints."""
    leaky = {"leak": np.array(0.5)}
    graph = network(
        conv("c1", "x", 4, 2, groups=2, padding=(1, 1, 1, 1)),
        neuron("n1", "c1", **leaky),
        MaxPool(name="m", inputs=wires("n1"), kernel=(2, 2), stride=(2, 2)),
        conv("c2", "m", 4, 4, padding=(1, 1, 1, 1)),
        conv("c3", "m", 4, 4, 1),
        Add(name="s", inputs=wires("c2", "c3")),
        neuron("n2", "s", **leaky),
        Reshape(name="f", inputs=wires("n2"), shape=(64,)),
        Dense(name="d", inputs=wires("f"), weight=np.ones((3, 64))),
        kind=Kind.ANALOG,
    )
    found = [(p.where.partition(" ")[0], p.what) for p in snncc.check(graph, "speck")]
    assert found == [
        ("x", "input"),
        ("c1", "groups"),
        ("n1", "leak"),
        ("m", "operation"),
        ("s", "currents added before a neuron"),
        ("n2", "leak"),
        ("y", "an output of potentials"),
    ]
    assert all(p.hint for p in snncc.check(graph, "speck"))


def test_origins_are_named() -> None:
    (problem,) = snncc.check(replace(chain(), nodes=tuple(wide(node) for node in chain().nodes)), "speck")
    assert problem.where == "conv (Conv, net.0 (model.py:3))"


def wide(node: Node) -> Node:
    return replace(node, stride=(3, 1), padding=(6, 6, 0, 0)) if isinstance(node, Conv) else node


def test_a_delay_is_an_obstacle() -> None:
    layer = replace(conv("conv", "x", 4, 2), inputs=(Wire("x", delay=1),))
    (problem,) = snncc.check(network(layer, neuron("n", "conv")), "speck")
    assert (problem.what, problem.need) == ("reads an earlier timestep", "a delay")


def layers(count: int, features: int, side: int) -> SpikeGraph:
    nodes: list[Node] = []
    last, channels = "x", 2
    for k in range(count):
        nodes += [conv(f"c{k}", last, features, channels, padding=(1, 1, 1, 1)), neuron(f"n{k}", f"c{k}")]
        last, channels = f"n{k}", features
    return network(*nodes, shape=(2, side, side))


def problem_of(graph: SpikeGraph) -> Problem:
    (problem,) = snncc.check(graph, "speck")
    return problem


def test_ten_layers_are_one_too_many() -> None:
    assert snncc.check(layers(9, 2, 8), "speck") == []
    problem = problem_of(layers(10, 2, 8))
    assert (problem.need, problem.have) == ("10 cores", "9")
    assert "leave out or join 1 layers" in problem.hint


def test_layers_that_compete_for_cores_are_named() -> None:
    """16 maps of 64 x 64 fill 65,536 neuron words: only cores 0, 1 and 2 hold such a layer."""
    assert snncc.check(layers(3, 16, 64), "speck") == []
    problem = problem_of(layers(4, 16, 64))
    assert (problem.need, problem.have) == ("4 cores", "3")
    for k in range(4):
        assert f"c{k}" in problem.where.split(", ")
    assert "only cores 0, 1, 2 can hold them" in problem.what
    assert "on core 3 needs 65,536 neuron words (has 32,768, 32,768 too few)" in problem.hint
    assert "divided by 2" in problem.hint
    assert "split it by features over two cores" in problem.hint
    assert snncc.check(layers(4, 8, 64), "speck") == []


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ({"precision": "float"}, "precision"),
        ({"weight_bits": 4}, "weight_bits"),
        ({"state_bits": 24}, "state_bits"),
    ],
)
def test_options_that_the_chip_has_not(option: dict[str, Any], what: str) -> None:
    with pytest.raises(DoesNotFit) as caught:
        snncc.compile(chain(), target="speck", **option)
    assert [problem.what for problem in caught.value.problems] == [what]


def test_an_integer_graph_is_of_another_target() -> None:
    graph = snncc.compile(chain(max_count=1), target="speck").graph
    assert [p.what for p in snncc.check(graph, "speck")] == ["numbers"]
