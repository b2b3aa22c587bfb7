"""Bring neurons to the plain form of chips: leak, then input, and a reset in the timestep of the spike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import Affine, Neuron, NeuronParameters, Node, Order, Reset, ResetAt, SpikeGraph, Wire
from snncc.passes.pipeline import Preserves


@dataclass(frozen=True, slots=True)
class PlainNeurons:
    """Neurons that leak after the input, or reset a timestep late, become plain ones where that is exact.

    ``leak*(v + i)`` is ``leak*v + leak*i``: the leak goes into the weights. A reset by an amount r in the
    next timestep, after the leak, is a reset by ``r/leak`` in the timestep of the spike. A late reset to a
    value after the input has no such form, nor has a clamp, a refractory time or a leak of 0 beside a late
    reset; they stay.
    """

    name: ClassVar[str] = "plain-neurons"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        nodes: list[Node] = []
        for node in graph.nodes:
            if isinstance(node, Neuron) and not graph.is_integer:
                node = replace(node, parameters=reset_at_once(node.parameters))
                if node.parameters.order is Order.INTEGRATE_FIRST:
                    nodes += leak_first(node)
                    continue
            nodes.append(node)
        return graph.with_nodes(nodes)


def reset_at_once(p: NeuronParameters) -> NeuronParameters:
    """*p* with its reset in the timestep of the spike, where that is the same; else *p*."""
    if p.reset_at is ResetAt.SAME:
        return p
    if p.reset is Reset.NONE:
        return replace(p, reset_at=ResetAt.SAME)
    is_clamped = p.clamp_low is not None or p.clamp_high is not None
    if is_clamped or p.refractory or p.stateless:
        return p
    if p.order is Order.INTEGRATE_FIRST and p.reset_at is ResetAt.NEXT_BEFORE_INPUT:
        return replace(p, reset_at=ResetAt.SAME)
    if np.any(p.leak == 0) or (p.reset is Reset.VALUE and p.reset_at is ResetAt.NEXT):
        return p
    if p.reset is Reset.VALUE:
        return replace(p, reset_at=ResetAt.SAME, v_reset=p.v_reset / p.leak)
    if p.max_count is None:
        return p
    # The steps of a staircase are apart by rho; only the amount that a spike subtracts changes.
    steps = p.steps if p.max_count == 1 else p.step_values()
    return replace(p, reset_at=ResetAt.SAME, rho=p.rho / p.leak, steps=steps)


def leak_first(node: Neuron) -> list[Node]:
    """*node* with the leak before the input, behind nodes that scale what it reads."""
    p = node.parameters
    scaled: list[Node] = []
    inputs = []
    for k, wire in enumerate(node.inputs):
        name = f"{node.name}.leak{k}" if len(node.inputs) > 1 else f"{node.name}.leak"
        scaled.append(Affine(name=name, inputs=(wire,), origin=node.origin, gain=p.leak))
        inputs.append(Wire(name))
    plain = replace(p, order=Order.LEAK_FIRST, bias=p.bias * p.leak, i_init=p.i_init * p.leak)
    return [*scaled, replace(node, inputs=tuple(inputs), parameters=plain)]
