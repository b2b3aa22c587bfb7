"""Bring neurons to the plain form of chips: leak, then input, and a reset in the timestep of the spike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import Emit, Neuron, NeuronParameters, Order, Reset, ResetAt, SpikeGraph
from snncc.passes.pipeline import Preserves


@dataclass(frozen=True, slots=True)
class PlainNeurons:
    """Neurons that leak after the input, or reset a timestep late, become plain ones where that is exact.

    With ``v = leak*w``, ``v <- leak*(v + i)`` is ``w <- leak*w + i``: all that potentials are compared with
    is divided by the leak. A reset by an amount r in the next timestep, after the leak, is a reset by
    ``r/leak`` in the timestep of the spike. A late reset to a value after the input has no such form, nor
    has a clamp or a refractory time beside a late reset, nor a leak of 0; what has none stays as it is.
    """

    name: ClassVar[str] = "plain-neurons"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        if graph.is_integer:
            return graph
        return graph.with_nodes(
            replace(node, parameters=plain(node.parameters)) if isinstance(node, Neuron) else node
            for node in graph.nodes
        )


def plain(p: NeuronParameters) -> NeuronParameters:
    """*p* in the plain form, as far as there is one."""
    return leak_first(reset_at_once(p))


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


def leak_first(p: NeuronParameters) -> NeuronParameters:
    """*p* with the leak before the input: its potential is divided by the leak."""
    if p.order is Order.LEAK_FIRST or np.any(p.leak == 0) or p.reset_at is ResetAt.NEXT_BEFORE_INPUT:
        return p
    return replace(
        p,
        order=Order.LEAK_FIRST,
        theta=p.theta / p.leak,
        rho=p.rho / p.leak,
        steps=p.steps_over(p.leak),
        v_reset=p.v_reset / p.leak,
        v_init=p.v_init / p.leak,
        clamp_low=None if p.clamp_low is None else p.clamp_low / p.leak,
        clamp_high=None if p.clamp_high is None else p.clamp_high / p.leak,
        scale=p.scale if p.emit is Emit.COUNT else p.scale * p.leak,
    )
