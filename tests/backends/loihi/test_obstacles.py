"""What keeps a network from Loihi is named by layer, all of it in one run; pools go into convolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import snncc
from examples.seeds import razor
from snncc.backends.loihi.lower import lower
from snncc.backends.target import DoesNotFit
from snncc.chips import Chip, load_chip
from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Input,
    Kind,
    MaxPool,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Pool,
    Reshape,
    SpikeGraph,
    wires,
)
from snncc.reference import run
from tests.backends.loihi.graphs import KINDS, case
from tests.nn.test_espikeformer import livened

T = 4
FIRES = NeuronParameters(theta=np.array(0.5), rho=np.array(0.5))
POOL: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "is_average": True}


def conv(name: str, source: str, channels: int = 3) -> Conv:
    weight = np.random.default_rng(2).normal(0.2, 0.5, (3, channels, 3, 3))
    return Conv(name=name, inputs=wires(source), weight=weight, padding=(1, 1, 1, 1))


def fires(name: str, source: str) -> Neuron:
    return Neuron(name=name, inputs=wires(source), parameters=FIRES)


def network(*nodes: Node) -> SpikeGraph:
    entry = Input(name="x", shape=(2, 6, 6), kind=Kind.SPIKE)
    graph = SpikeGraph(
        (entry, *nodes, Output(name="y", inputs=wires(nodes[-1].name), over=Over.SUM)), timesteps=T
    )
    graph.verify()
    return graph


def refusal(graph: SpikeGraph, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(DoesNotFit) as caught:
        snncc.compile(graph, target="loihi", **options)
    assert all(one.need and one.have and one.hint for one in caught.value.problems)
    return [(one.where.partition(" ")[0], one.what) for one in caught.value.problems]


def test_all_in_one_run() -> None:
    """Found in a test: one of these at a time, each as an error of its own."""
    table = np.arange(1.0, T + 1).reshape(T, 1, 1, 1)
    graph = network(
        conv("a", "x", 2),
        Affine(name="times", inputs=wires("a"), gain=table, per_timestep=True),
        fires("n", "times"),
        conv("b", "n"),
        conv("c", "b"),
        Pool(name="p", inputs=wires("c"), padding=(1, 1, 1, 1), **POOL),
        fires("m", "p"),
        conv("d", "m"),
        conv("e", "m"),
        Add(name="s", inputs=wires("d", "e")),
        Affine(name="gain", inputs=wires("s"), gain=np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)),
        fires("o", "gain"),
    )
    assert refusal(graph) == [
        ("times", "gain or offset"),
        ("c", "what it reads"),
        ("p", "pooling of currents"),
        ("gain", "gain or offset"),
    ]


def test_one_gain_on_a_residual_stream_goes_into_the_threshold() -> None:
    """As IF neurons with a step of their own, which HSD converts to, have it."""
    graph = network(
        *(conv("a", "x", 2), fires("n", "a"), conv("b", "n")),
        Add(name="s", inputs=wires("a", "b")),
        Affine(name="step", inputs=wires("s"), gain=np.array(0.4), offset=np.array(0.1)),
        fires("o", "step"),
    )
    x = (np.random.default_rng(0).random((T, 2, 2, 6, 6)) < 0.4).astype(np.float64)
    program = snncc.compile(graph, target="loihi")
    assert not any(isinstance(node, Affine) for node in program.graph)
    assert program.run(x).spikes["o"].sum() > 0


def test_what_an_output_reads_is_listed_beside_the_rest() -> None:
    """A pool of spikes that goes nowhere else has no synapses."""
    graph = network(
        *(conv("a", "x", 2), fires("n", "a")),
        Reshape(name="flat", inputs=wires("n"), shape=(108,)),
        Dense(name="w", inputs=wires("flat"), weight=np.ones((2, 108))),
        Add(name="twice", inputs=wires("n", "n")),
    )
    assert refusal(graph) == [("y", "output")]


def test_thresholds_by_channel_go_into_weights_and_others_are_refused() -> None:
    by_channel = np.array([0.3, 0.7, 1.1]).reshape(3, 1, 1)
    x = (np.random.default_rng(0).random((T, 2, 2, 6, 6)) < 0.4).astype(np.float64)

    def two(first: Array, second: Array) -> SpikeGraph:
        layers = (conv("a", "x", 2), fires("n", "a"), fires("m", "a"), conv("b", "n"), conv("c", "m"))
        graph = network(*layers, Add(name="s", inputs=wires("b", "c")), fires("o", "s"))
        thetas = {"n": first, "m": second}
        return graph.with_nodes(
            replace(node, parameters=replace(FIRES, theta=thetas[node.name], rho=thetas[node.name]))
            if isinstance(node, Neuron) and node.name in thetas
            else node
            for node in graph
        )

    graph = two(by_channel, by_channel)
    program = snncc.compile(graph, target="loihi", calibration=x)
    result, definition = program.run(x), run(graph, x, timesteps=T, count=False)
    for name in ("n", "m"):
        node = program.graph[name]
        assert isinstance(node, Neuron)
        assert node.parameters.theta.size == 1
        have, need = result.spikes[name].sum(), definition.spikes[name].sum()
        assert need > 0
        assert abs(have - need) < 0.1 * need
    by_neuron = np.random.default_rng(0).uniform(0.3, 1, (3, 6, 6))
    assert refusal(two(by_neuron, by_channel)) == [("n", "thresholds")]
    with pytest.raises(CannotLower, match=r"n .*, m .*: read one stream") as caught:
        snncc.compile(two(by_channel, np.array(0.5)), target="loihi")
    assert "one threshold, or all" in caught.value.hint


def small_chip(cores: int, neurons: int) -> Chip:
    chip = load_chip("loihi2")
    fabric = replace(chip.fabric, columns=cores, rows=1, cores_per_tile=1)
    return replace(chip, fabric=fabric, cores=(replace(chip.cores[0], neurons=neurons),) * cores)


def test_limits_of_the_chip_are_listed_beside_the_rest() -> None:
    """What an output reads is only seen when numbers are chosen, a product before: both with the size."""
    graph = network(conv("a", "x", 2), fires("n", "a"), Add(name="twice", inputs=wires("n", "n")))
    small, large, size = small_chip(2, 30), small_chip(4, 100), ("the", "neurons")
    assert {("y", "output"), size} <= set(refusal(graph, chip=small))
    assert refusal(graph, chip=large) == [("y", "output")]
    product = network(conv("a", "x", 2), fires("n", "a"), Mul(name="m", inputs=wires("n", "n")))
    assert set(refusal(product, chip=small)) == {
        *refusal(product, chip=large),
        *((where, what) for where in ("x", "n", "the") for what in ("cores", "neurons")),
    }


def test_pools_become_convolutions_of_the_program() -> None:
    one = case(KINDS.index("pooled"))
    program = snncc.compile(one.graph, target="loihi", calibration=one.x)
    assert any(isinstance(node, Pool) for node in one.graph)
    assert not any(isinstance(node, Pool) for node in program.graph)
    kinds = {c["layer"]: c["kind"] for c in lower(program.graph, 1).structure["connections"]}
    assert kinds["w2"] == "conv"


def test_pooled_currents_fit() -> None:
    graph = network(
        conv("a", "x", 2), Pool(name="p", inputs=wires("a"), **POOL), fires("n", "p"), conv("b", "n")
    )
    x = (np.random.default_rng(0).random((T, 3, 2, 6, 6)) < 0.4).astype(np.float64)
    assert snncc.check(graph, "loihi") == []
    program = snncc.compile(graph, target="loihi")
    assert program.run(x).spikes["n"].sum() > 0
    with pytest.raises(DoesNotFit, match="pooling of currents"):
        snncc.compile(padded(graph), target="loihi")


def padded(graph: SpikeGraph) -> SpikeGraph:
    return graph.with_nodes(
        replace(node, padding=(1, 1, 1, 1)) if isinstance(node, Pool) else node for node in graph
    )


def test_frozen_gates_that_let_every_frame_pass_are_nothing() -> None:
    """Found in a test: refused although the frozen mask is one everywhere; others are numbers over time."""
    torch.manual_seed(0)
    x = (torch.rand(10, 3, 2, 16, 16) < 0.3).float()
    model = livened(razor.GatedNet(width=2, gated=True).read("none", razor.OFF), x)
    graph = snncc.trace(model, x, layout="TB", input_kind="spike")
    named = refusal(graph, calibration=x.numpy())
    assert {what for _, what in named} == {"computation on whole trains", "gate over time"}
    program = snncc.compile(graph, target="loihi", calibration=x.numpy(), attention="static")
    assert all(spikes.sum() > 0 for spikes in program.run(x.numpy()).spikes.values())


@pytest.mark.parametrize("name", ["always", "always.none", "n.bias", "n.bias.flat", "pool.any"])
def test_no_name_is_taken(name: str) -> None:
    """Nodes that the passes add have names that a module cannot have."""
    driven = replace(FIRES, leak_i=np.array(0.5), bias=np.array(0.2))
    graph = network(
        replace(conv("w", "x", 2), name=name),
        Neuron(name="n", inputs=wires(name), parameters=driven),
        MaxPool(name="pool", inputs=wires("n"), kernel=(2, 2), stride=(2, 2)),
        *(conv("v", "pool"), fires("m", "v")),
    )
    x = (np.random.default_rng(0).random((T, 3, 2, 6, 6)) < 0.4).astype(np.float64)
    program = snncc.compile(graph, target="loihi", calibration=x)
    assert {"#always", "n#bias", "pool#any"} <= program.graph.by_name.keys()
    assert all(spikes.sum() > 0 for spikes in program.run(x).spikes.values())
