"""Neurons that read a sum of two branches without a common unit: their steps, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.ir import Affine, Neuron, NeuronParameters, Node, SpikeGraph, Synapse, place
from snncc.ir.arrays import squeezed
from snncc.passes.rounding import rounds_half_to_even
from snncc.quantization.scales import SOURCES, Group

ROUNDED = "counts may differ where a sum lies near a step"
"""How a note ends that says that sums are not exact."""


def separated(
    node: Neuron, integers: NeuronParameters, group: Group | None, graph: SpikeGraph
) -> NeuronParameters:
    """*integers* with steps that the whole sums of *group* pass where the real ones pass those of *node*."""
    sums, p = None if group is None else group.sums, node.parameters
    if group is None or sums is None or not sums.is_exact:
        return integers
    rank = len(graph.edges[node.name].shape)
    reads_both = set(group.sources) == summed_in(graph, node) and set(group.factors.values()) == {1.0}
    staircase = p.steps_over(np.ones((1,) * rank))
    steps = None
    if staircase is not None and reads_both and not p.strict and not rounds_half_to_even(p):
        steps = sums.steps(staircase, rank)
    if steps is None:
        group.is_rounded = True
        return integers
    return replace(integers, steps=squeezed(steps))


def summed_in(graph: SpikeGraph, node: Neuron) -> set[str]:
    """The synapses and affines whose sum *node* reads."""
    seen: set[str] = set()
    todo = [wire.source for wire in node.inputs]
    while todo:
        one = graph.by_name[todo.pop()]
        if one.name not in seen and not isinstance(one, SOURCES):
            todo += [wire.source for wire in one.inputs]
        seen.add(one.name)
    return {name for name in seen if isinstance(graph.by_name[name], SOURCES)}


def note_of(group: Group, integers: SpikeGraph) -> str:
    """What to say of sums of *group* in the graph of *integers*; nothing where branches share a unit."""
    if group.sums is None and not group.is_rounded:
        return ""
    readers = [integers.by_name[reader] for name in group.factors for reader in integers.readers[name]]
    is_exact = not group.is_rounded and not any(isinstance(one, SOURCES) for one in readers) and group.neurons
    bits = max(bits_of(integers.by_name[name]) for name in group.sources)
    where = ", ".join(place(integers.by_name[name]) for name in group.neurons or group.sources)
    said = f"{where}: adds branches without a common unit, in weights of {bits} bits"
    if is_exact:
        return f"{said}: exact"
    off = "" if group.sums is None else f", sums off by at most {group.sums.error:.2g} of the finest unit"
    return f"{said}{off}: {ROUNDED}"


def bits_of(node: Node) -> int:
    """The width of the weights of *node*, with their sign."""
    weights = (
        node.gain if isinstance(node, Affine) else node.weight if isinstance(node, Synapse) else np.zeros(1)
    )
    return max(int(weights.max(initial=0)), -int(weights.min(initial=0)) - 1).bit_length() + 1
