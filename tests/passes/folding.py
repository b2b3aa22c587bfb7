"""Nodes around a batch normalization, and data for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.ir import (
    Affine,
    Array,
    Conv,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    SpikeGraph,
    wires,
)

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
