"""Small networks, quantized, and how far they agree with what they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from snncc.ir import (
    Conv,
    Dense,
    Input,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Sparse,
    SpikeGraph,
    wires,
)
from snncc.passes import run_passes
from snncc.quantization import Quantize
from tests.passes.compare import compare

T, B = 4, 3
rng = np.random.default_rng(0)
X = Input(name="x", shape=(2, 6, 6))
CONV = Conv(
    name="conv",
    inputs=wires("x"),
    weight=rng.normal(0.2, 1, (4, 2, 3, 3)),
    bias=rng.normal(0, 0.3, (4, 1, 1)),
    padding=(1, 1, 1, 1),
)
N = Neuron(
    name="n", inputs=wires("conv"), parameters=NeuronParameters(theta=np.array(1.3), rho=np.array(1.3))
)
FC = Conv(name="fc", inputs=wires("n"), weight=rng.normal(0, 1, (3, 4, 6, 6)))


def net(*nodes: Node, timesteps: int = T) -> SpikeGraph:
    graph = SpikeGraph((*nodes, Output(name="y", inputs=wires(nodes[-1].name))), timesteps=timesteps)
    graph.verify()
    return graph


DATA = np.random.default_rng(1).normal(0.3, 1.0, (T, B, 2, 6, 6))


def quantized(graph: SpikeGraph, x: Any = DATA, **options: Any) -> SpikeGraph:
    options = {"calibration": x, "timesteps": T} | options
    return run_passes(graph, [Quantize(**options)])[-1].graph


def agreement(a: SpikeGraph, b: SpikeGraph, x: Any = DATA, timesteps: int = T) -> float:
    """The share of equal counts, each neuron fed with what it would get if all others agreed."""
    difference = compare(a, b, x, timesteps)
    assert 0 < difference.alive < difference.counts
    return 1 - difference.differ / difference.counts


def weights(graph: SpikeGraph) -> list[Dense | Conv | Sparse]:
    return [node for node in graph if isinstance(node, Dense | Conv | Sparse)]
