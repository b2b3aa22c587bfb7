"""What can reach a neuron, with its bias and without.

Never exceeded on random data, and met where extremes can be chosen freely.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import Dense, Input, Kind, Neuron, NeuronParameters, Output, SpikeGraph, Wire, wires
from snncc.quantization import Quantize, current_bounds
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs


def currents(graph: SpikeGraph, x: np.ndarray, timesteps: int) -> dict[str, np.ndarray]:
    """What reaches each neuron in a run, with its bias: [T, B, *shape]."""
    sources = {wire.source for node in graph.neurons for wire in node.inputs}
    records = run(graph, x, timesteps=timesteps, record=list(sources)).records
    found = {}
    for node in graph.neurons:
        scales = [1.0 if graph.is_integer else graph.edges[w.source].scale for w in node.inputs]
        parts = [records[w.source].train.sum(axis=2) * s for w, s in zip(node.inputs, scales, strict=True)]
        found[node.name] = np.sum(parts, axis=0) + node.parameters.bias
    return found


@given(float_graphs(kinds=("sfa", "carry", "if", "lif")), st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_current_leaves_its_bounds(case: FloatCase, as_integers: bool) -> None:
    graph, x = case.graph, case.x
    inputs = {node.name: (float(x.min()), float(x.max())) for node in graph.inputs}
    if as_integers:
        graph = Quantize(calibration=x, timesteps=case.timesteps)(graph)
        inputs = {node.name: (float(node.low or 0), float(node.high or 0)) for node in graph.inputs}
    bounds = current_bounds(graph, inputs)
    for name, seen in currents(graph, x, case.timesteps).items():
        low, high = bounds[name]
        slack = 1e-9 * max(1.0, float(np.abs(high).max()))
        assert (seen >= low - slack).all()
        assert (seen <= high + slack).all()


def test_bounds_are_met_sign_by_sign_and_through_a_loop() -> None:
    weight, back = np.array([[2.0, -3.0], [0.5, 1.0]]), np.array([[-1.0, 4.0], [2.0, 0.0]])
    nodes = (
        Input(name="x", shape=(2,), kind=Kind.SPIKE),
        Dense(name="w", inputs=wires("x"), weight=weight, bias=np.array([0.25, 0.0])),
        Neuron(
            name="n",
            inputs=(Wire("w"), Wire("r", delay=1)),
            parameters=NeuronParameters(bias=np.asarray(-1.0)),
        ),
        Dense(name="r", inputs=wires("n"), weight=back),
        Output(name="y", inputs=wires("n")),
    )
    low, high = current_bounds(SpikeGraph(nodes), {})["n"]
    assert low.tolist() == [-3.0 + 0.25 - 1.0 - 1.0, -1.0]
    assert high.tolist() == [2.0 + 0.25 + 4.0, 0.5 + 1.0 + 2.0]
