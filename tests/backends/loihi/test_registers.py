"""Numbers that no register of Loihi holds are refused, each with its layer, and all of them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.backends.loihi.limits import BIAS_MANTISSA_MOST, DELAY_MOST, STATE_MOST, THRESHOLD_MOST, UNIT
from snncc.backends.loihi.lower import lower
from snncc.backends.target import DoesNotFit, Problem
from snncc.ir import (
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Output,
    Over,
    Reset,
    SpikeGraph,
    Wire,
    wires,
)
from tests.backends.loihi.graphs import KINDS, case
from tests.backends.loihi.live import lava_python
from tests.backends.loihi.test_compiled import compiled

Edit = Callable[[SpikeGraph], SpikeGraph]


@cache
def legal() -> SpikeGraph:
    return compiled(case(0)).graph


def neuron(name: str, **changes: Any) -> Edit:
    def edit(graph: SpikeGraph) -> SpikeGraph:
        return graph.with_nodes(
            replace(node, parameters=replace(node.parameters, **changes))
            if isinstance(node, Neuron) and node.name == name
            else node
            for node in graph
        )

    return edit


def dense(name: str, **changes: Any) -> Edit:
    def edit(graph: SpikeGraph) -> SpikeGraph:
        return graph.with_nodes(
            replace(node, **changes) if isinstance(node, Dense) and node.name == name else node
            for node in graph
        )

    return edit


def refused(graph: SpikeGraph) -> list[Problem]:
    graph.verify()
    with pytest.raises(DoesNotFit) as caught:
        lower(graph)
    assert all(one.hint for one in caught.value.problems)
    return list(caught.value.problems)


LARGE = np.array((THRESHOLD_MOST + 1) * UNIT)
ALL = np.full((10, 14), 127)
NEARLY = np.array([127] * 8 + [9] + [0] * 5)[None].repeat(10, axis=0)
CASES: list[tuple[Edit, str, str, int | str, int | str]] = [
    (neuron("n1", theta=LARGE, rho=LARGE), "n1", "threshold", int(LARGE), THRESHOLD_MOST * UNIT),
    (neuron("n1", bias=np.array(2**20)), "n1", "mantissa of the bias", 2**13, BIAS_MANTISSA_MOST),
    (neuron("n1", theta=np.arange(1, 11) * UNIT), "n1", "theta", "one for each neuron", "one for the layer"),
    (
        neuron("n2", bias=np.array(UNIT)),
        "n2",
        "bias of a current with memory",
        "into the current",
        "into the",
    ),
    (
        dense("w1", weight=ALL, shift=14),
        "n1",
        "synaptic current",
        14 * 127 * 2**14 + 6848,
        f"{STATE_MOST} (24",
    ),
    (
        # The current alone; the bias, which would make room, is added to the potential.
        lambda graph: neuron("n1", bias=np.array(-(4000 << 7)))(dense("w1", weight=NEARLY, shift=13)(graph)),
        *("n1", "synaptic current", 1025 * 2**13, f"{STATE_MOST} (24"),
    ),
    (dense("head", weight=np.full((4, 8), 2**27)), "head (n2 -> y)", "sum of a timestep", 2**31, 2**31 - 1),
    (
        dense("w1", weight=ALL // 127, shift=15),
        "w1 (x -> n1)",
        "exponent of the weights",
        "2**8",
        "2**0 to",
    ),
    (dense("w1", weight=ALL + 1), "w1 (x -> n1)", "weights", "0 to 256", "-256 to 254"),
]


@pytest.mark.parametrize(("edit", "where", "what", "need", "have"), CASES, ids=[one[2] for one in CASES])
def test_one_is_refused(edit: Edit, where: str, what: str, need: int | str, have: int | str) -> None:
    found = [one for one in refused(edit(legal())) if one.what == what]
    assert [one.where.removesuffix(" (Neuron)") for one in found] == [where]
    assert found[0].need.startswith(str(need))
    assert found[0].have.startswith(str(have))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (neuron("n1", bias=np.array(2**20)), neuron("n2", theta=LARGE, rho=LARGE)),
        (dense("w1", weight=ALL + 1), dense("w2", weight=np.full((8, 10), 128))),
    ],
    ids=["registers", "weights"],
)
def test_all_are_refused_together(first: Edit, second: Edit) -> None:
    both, one, other = refused(second(first(legal()))), refused(first(legal())), refused(second(legal()))
    assert len(both) == 2
    assert both == one + other


def test_a_loop_is_refused_beside_the_rest() -> None:
    one = case(KINDS.index("stretched"))
    graph = compiled(one).graph
    (loop,) = refused(graph)
    (said,) = snncc.check(one.graph, "loihi")
    assert (said.what, said.need, said.have) == (loop.what, "2", "1")
    assert snncc.check(one.graph, "loihi", stretch=2) == []
    assert loop.what == "delays of the loop in chip steps"
    both = refused(neuron("n1", theta=LARGE, rho=LARGE)(graph))
    assert [one.what for one in both] == [loop.what, "threshold"]


@pytest.mark.parametrize(
    "edit",
    [
        neuron("n1", theta=LARGE - UNIT, rho=LARGE - UNIT),
        neuron("n1", bias=np.array(BIAS_MANTISSA_MOST << 7)),
        dense("w1", weight=ALL, shift=12),
    ],
    ids=["threshold", "bias", "current"],
)
def test_what_is_just_within_is_taken(edit: Edit) -> None:
    assert lower(edit(legal())).arrays


def summing(channels: int) -> SpikeGraph:
    """One output is the sum of *channels* counts of up to 255, by a convolution; another reads neurons."""
    few = np.where(np.arange(channels) < 40, 1 / 40 / 255, 0)
    fires = NeuronParameters(theta=np.array(0.7), rho=np.array(0.7), reset=Reset.VALUE)
    nodes = (
        Input(name="x", shape=(channels, 2, 2), kind=Kind.COUNT, max_count=255),
        Conv(name="w", inputs=wires("x"), weight=few.reshape(1, -1, 1, 1)),
        Neuron(name="n", inputs=wires("w"), parameters=fires),
        Output(name="s", inputs=wires("n"), over=Over.SUM),
        Conv(name="head", inputs=wires("x"), weight=np.ones((1, channels, 1, 1))),
        Output(name="y", inputs=wires("head"), over=Over.SEQUENCE),
    )
    return SpikeGraph(nodes, timesteps=3)


@pytest.mark.parametrize(("channels", "kind"), [(129, "conv"), (130, "sparse")])
def test_sums_of_an_output_that_a_convolution_of_lava_would_wrap(channels: int, kind: str) -> None:
    """254 x 255 x 130 is beyond 24 bits, in which Lava's Conv wraps without a word; a matrix has 32."""
    program = snncc.compile(summing(channels), target="loihi")
    kinds = {c["layer"]: c["kind"] for c in lower(program.graph).structure["connections"]}
    assert kinds == {"w": "conv", "head": kind}


@pytest.mark.slow
def test_live_lava_sums_what_is_beyond_24_bits() -> None:
    python = lava_python()
    program = snncc.compile(summing(150), target="loihi")
    x = np.full((3, 2, 150, 2, 2), 255.0)
    x[1] = 100
    ours, theirs = program.run(x).run, program.run_engine("lava", x, python=python)
    assert ours.outputs["y"].max() == 150 * 255
    assert ours.outputs["s"].any()
    for name, value in ours.outputs.items():
        np.testing.assert_array_equal(theirs.outputs[name], value)


@pytest.mark.parametrize("layers", [DELAY_MOST + 1, DELAY_MOST + 2])
def test_a_way_around_many_layers(layers: int) -> None:
    """The input waits for the last layer: one chip step for each layer between them."""
    spikes = NeuronParameters(theta=np.array(0.5), rho=np.array(0.5))
    nodes: list[Any] = [Input(name="x", shape=(2,), kind=Kind.SPIKE)]
    for k in range(1, layers + 1):
        source = f"n{k - 1}" if k > 1 else "x"
        nodes.append(Dense(name=f"w{k}", inputs=wires(source), weight=np.eye(2)))
        ins = [Wire(f"w{k}")]
        if k == layers:
            nodes.append(Dense(name="around", inputs=wires("x"), weight=np.eye(2)))
            ins.append(Wire("around"))
        nodes.append(Neuron(name=f"n{k}", inputs=tuple(ins), parameters=spikes))
    nodes.append(Output(name="y", inputs=wires(f"n{layers}"), over=Over.SUM))
    graph = SpikeGraph(tuple(nodes), timesteps=3)
    if layers == DELAY_MOST + 1:
        program = snncc.compile(graph, target="loihi")
        assert program.run(np.ones((3, 1, 2))).output.sum() > 0
        return
    with pytest.raises(DoesNotFit) as caught:
        snncc.compile(graph, target="loihi")
    (problem,) = caught.value.problems
    assert (problem.what, problem.need) == ("delay in chip steps", str(DELAY_MOST + 1))
    assert problem.where == f"around (x -> n{layers})"
