"""The graph against what PyTorch computed, node by node, on the example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.errors import CannotTrace
from snncc.frontends.torch_options import Options
from snncc.frontends.torch_session import Recording
from snncc.ir import Array, Emit, Neuron, Node, Presence, SpikeGraph, place
from snncc.reference import Run, run
from snncc.reference.neuron import rectified

TOLERANCE = 1e-9
"""Relative to the largest value of the node, or of the threshold."""


def check(recording: Recording, options: Options) -> None:
    """Raise `CannotTrace` for the first node that computes something else than PyTorch did.

    Every neuron is made to send what it sent in PyTorch, so that a near tie does not spread.
    """
    graph, values = recording.graph, recording.values
    data = values[graph.inputs[0].name]
    timesteps = len(data)
    force = {
        node.name: np.rint(values[node.name] / graph.edges[node.name].scale)
        for node in graph.neurons
        if node.name in values and node.parameters.emit is Emit.COUNT
    }
    for silent in graph.neurons:
        if silent.parameters.emit is not Emit.COUNT and (spiking := spiking_twin(graph, silent)) in force:
            force[silent.name] = force[spiking]
    names = [node.name for node in graph.nodes if node.name in values]
    given = data if graph.inputs[0].presence is Presence.SEQUENCE else data[0]
    result = run(graph, given, timesteps=timesteps, record=names, count=False, force=force)
    for node in graph.nodes:
        if node.name in values:
            compare(node, values[node.name], real_train(graph, node, result), result)
        elif node.name in recording.outputs:
            compare(node, recording.outputs[node.name], result.outputs[node.name], result)


def spiking_twin(graph: SpikeGraph, node: Neuron) -> str:
    """The neuron that is *node* but for what it sends: *node* sends its potential; empty for none."""
    for other in graph.neurons:
        alike = replace(node.parameters, emit=other.parameters.emit, scale=other.parameters.scale)
        is_fed_alike = [(w.source, w.delay) for w in node.inputs] == [
            (w.source, w.delay) for w in other.inputs
        ]
        if other.parameters.emit is Emit.COUNT and is_fed_alike and alike == other.parameters:
            return other.name
    return ""


def real_train(graph: SpikeGraph, node: Node, result: Run) -> Array:
    """Real values [T, B, *shape] that left *node*."""
    return result.records[node.name].train.sum(axis=2) * graph.edges[node.name].scale


def compare(node: Node, need: Array, have: Array, result: Run) -> None:
    largest = max(1.0, float(np.abs(need).max(initial=0)))
    differs = ~(np.abs(need - have) <= TOLERANCE * largest)
    if isinstance(node, Neuron) and differs.any() and node.parameters.emit is Emit.COUNT:
        differs &= ~near_tie(node, result)
    if not differs.any():
        return
    index = tuple(int(k) for k in np.argwhere(differs)[0])
    raise CannotTrace(
        f"{place(node)}: computes {float(have[index]):.9g} where PyTorch computed {float(need[index]):.9g}, "
        f"at (timestep, sample, ...) {index}; {int(differs.sum())} of {differs.size} values differ",
        hint="a neuron of your own: check what its describe function says; anything else is a defect of "
        "snncc, please report it",
    )


def near_tie(node: Neuron, result: Run) -> Array:
    """Where the potential is so close to a step that rounding decides."""
    potential = result.records[node.name].u_pre
    if potential is None:
        return np.zeros((), bool)
    p = node.parameters
    potential = rectified(p, potential)
    if p.max_count is None:
        steps = p.theta + np.maximum(np.rint((potential - p.theta) / p.rho), 0) * p.rho
        return np.abs(potential - steps) <= TOLERANCE * np.maximum(1, np.abs(steps))
    near = np.zeros(potential.shape, bool)
    for step in p.step_values():
        near |= np.abs(potential - step) <= TOLERANCE * np.maximum(1, np.abs(step))
    return near


__all__ = ["check"]
