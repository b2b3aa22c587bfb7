"""Runs to measure: networks that spike, on both executors, and a tiny one that a hand can follow."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from snncc import Result, SpikeGraph, reference
from snncc.api import compile_graph
from snncc.ir import Array, Input, Neuron, NeuronParameters, Output, wires
from snncc.measure import average_rate, spiking_layers
from snncc.reference import Run
from tests.api.networks import images, lif_graph, sequences, sfa_graph


@cache
def measured(which: str, precision: str = "integer", **options: Any) -> tuple[SpikeGraph, Result]:
    """The graph that ran and the result of the network *which*, sfa or lif; every layer spikes."""
    graph = sfa_graph() if which == "sfa" else lif_graph()
    x = images() if which == "sfa" else sequences()
    program = compile_graph(graph, calibration=x, precision=precision, **options)
    result = program.run(x, record=[node.name for node in program.graph.neurons])
    for name in spiking_layers(program.graph):
        p = program.graph[name].parameters  # type: ignore[union-attr]
        assert 0.02 < average_rate(program.graph, result, name) / (p.max_count or 1) < 0.95, name
    return program.graph, result


def driven(p: NeuronParameters, x: Array, **options: Any) -> tuple[SpikeGraph, Run]:
    """Neurons of *p* on the currents *x* [T, B, *shape], in floats."""
    nodes = (
        Input(name="x", shape=x.shape[2:]),
        Neuron(name="n", inputs=wires("x"), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes, timesteps=len(x))
    graph.verify()
    return graph, reference.run(graph, x, timesteps=len(x), record=["n"], **options)


HAND = np.array([[[1.0, 0.5], [0.0, 2.0]], [[0.25, 0.5], [1.0, -1.0]]])
"""Currents [T = 2, B = 2, 2 neurons] whose sums without leak a hand can follow, with threshold 1."""
