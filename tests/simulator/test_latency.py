"""Ticks on the longest path: phased layers one after another, streaming ones together."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir import (
    Dense,
    DynamicSynapse,
    Encoding,
    Input,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Product,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.simulator.costs import ticks_per_timestep

PHASED = NeuronParameters(max_count=4, encoding=Encoding.SPIKES)
ONE = NeuronParameters(max_count=1, encoding=Encoding.SPIKES)
STREAM = NeuronParameters(max_count=4, encoding=Encoding.STREAM, ticks=4)


def chain(*layers: NeuronParameters) -> SpikeGraph:
    nodes: list[Node] = [Input(name="x", shape=(2,))]
    for k, p in enumerate(layers):
        nodes.append(Dense(name=f"fc{k}", inputs=wires(nodes[-1].name), weight=np.eye(2)))
        nodes.append(Neuron(name=f"n{k}", inputs=wires(f"fc{k}"), parameters=p))
    return SpikeGraph((*nodes, Output(name="y", inputs=wires(nodes[-1].name))))


@pytest.mark.parametrize(
    ("layers", "ticks"),
    [
        ((), 1),
        ((ONE, ONE), 2),
        ((PHASED, PHASED), 8),
        ((STREAM, STREAM, STREAM), 4),
        ((PHASED, STREAM), 8),
        ((STREAM, ONE, STREAM), 9),
        ((STREAM, STREAM, PHASED, STREAM, STREAM), 12),
    ],
)
def test_ticks_of_a_chain(layers: tuple[NeuronParameters, ...], ticks: int) -> None:
    graph = chain(*layers)
    graph.verify()
    assert ticks_per_timestep(graph) == ticks


def test_a_product_waits_for_its_operands() -> None:
    """Found in review: a stream behind a gain cannot share the ticks of the stream before it."""
    first = chain(STREAM)
    nodes = (
        *first.nodes[:-1],
        Mul(name="gained", inputs=wires("n0", "x")),
        Neuron(name="last", inputs=wires("gained"), parameters=STREAM),
        Output(name="y", inputs=wires("last")),
    )
    assert ticks_per_timestep(SpikeGraph(nodes)) == 8


def test_what_arrives_late_delays_nothing() -> None:
    first = chain(PHASED)
    product = DynamicSynapse(
        name="p", inputs=(Wire("n0", 1), Wire("n0")), product=Product.ELEMENTWISE, first=0
    )
    nodes = (*first.nodes[:-1], product, Output(name="y", inputs=wires("p")))
    assert ticks_per_timestep(SpikeGraph(nodes)) == 4
