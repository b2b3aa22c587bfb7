"""Outputs of potentials read as spikes: neurons behind a last layer that has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.backends.target import Problem
from snncc.ir import (
    BiasTicks,
    Conv,
    Dense,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Presence,
    SpikeGraph,
    place,
    wires,
)
from snncc.passes import Preserves

ADDED_UP = (Over.SUM, Over.MEAN)


@dataclass(frozen=True, slots=True)
class SpikingReadout:
    """Put integrate-and-fire neurons behind a last layer without neurons, whose currents are added up.

    As `sinabs.from_torch.from_model` does with add_spiking_output. The threshold is the largest weight, so
    that no event leaves more than a threshold behind; a spike is worth as much, and half of it is there at
    the beginning, which rounds to the nearest. Approximate: sums come in whole thresholds, and those below 0
    are read as 0. *bias* ``v0`` puts the biases of all timesteps into the initial potential, for inputs that
    are given in the first one.
    """

    bias: BiasTicks = BiasTicks.SPREAD
    name: ClassVar[str] = "spiking-readout"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        nodes: list[Node] = []
        changed = {name: output for output, name in silent_outputs(graph)}
        for node in graph.nodes:
            if isinstance(node, Output) and node.inputs[0].source in changed:
                node = replace(node, inputs=wires(neuron_name(graph, node.inputs[0].source)))
            if node.name in changed and isinstance(node, Conv | Dense):
                nodes += self.with_neurons(graph, node)
            else:
                nodes.append(node)
        return graph.with_nodes(nodes)

    def with_neurons(self, graph: SpikeGraph, synapse: Conv | Dense) -> tuple[Node, Node]:
        """*synapse*, and the neurons behind it."""
        worth = float(np.max(graph.edges[synapse.inputs[0].source].scale))
        step = np.asarray(float(np.abs(synapse.weight).max()) * worth or 1.0)
        start = step / 2
        if self.bias is BiasTicks.FIRST and synapse.bias is not None:
            start, synapse = start + synapse.bias * graph.timesteps, replace(synapse, bias=None)
        parameters = NeuronParameters(theta=step, rho=step, scale=step, v_init=start, max_count=None)
        name = neuron_name(graph, synapse.name)
        return synapse, Neuron(
            name=name, inputs=wires(synapse.name), parameters=parameters, origin=synapse.origin
        )


def neuron_name(graph: SpikeGraph, synapse: str) -> str:
    """A name that no node of *graph* has."""
    name = f"{synapse}.readout"
    while name in graph.by_name:
        name += "'"
    return name


def silent_outputs(graph: SpikeGraph) -> Iterator[tuple[Output, str]]:
    """The outputs that read a synapse layer itself, with its name."""
    for output in graph.outputs:
        source = graph.by_name[output.inputs[0].source]
        if isinstance(source, Conv | Dense):
            yield output, source.name


def readout_obstacles(graph: SpikeGraph) -> Iterator[Problem]:
    """Outputs that no count of spikes stands for."""
    for output, _ in silent_outputs(graph):
        once = graph.timesteps == 1 or any(node.presence is Presence.FIRST for node in graph.inputs)
        if output.over not in ADDED_UP and not (once and output.over is not Over.SEQUENCE):
            hint = "spikes add currents up: trace with over='sum' or 'mean', --over"
            yield Problem(place(output), "spikes for an output", f"its {output.over}", "a sum or mean", hint)
