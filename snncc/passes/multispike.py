"""Let neurons fire as often in a timestep as their potential holds the threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from snncc.ir import Emit, Neuron, NeuronParameters, Reset, SpikeGraph
from snncc.passes.pipeline import Preserves


@dataclass(frozen=True, slots=True)
class MultiSpike:
    """Neurons that fire at most once a timestep fire as often as their potential holds the threshold.

    Approximate: a neuron that was driven past twice its threshold in one timestep sends the rest at once,
    not later; and one that fires above its threshold only fires at it too. For chips without timesteps.
    """

    name: ClassVar[str] = "multi-spike"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        return graph.with_nodes(
            replace(node, parameters=multiple(node.parameters)) if isinstance(node, Neuron) else node
            for node in graph.nodes
        )


def multiple(p: NeuronParameters) -> NeuronParameters:
    """*p* with any number of spikes; of one that sends bounded counts or reals, *p* itself."""
    if p.max_count not in (1, None) or p.steps is not None or p.emit is not Emit.COUNT:
        return p
    rho = p.theta if p.reset is Reset.VALUE else p.rho
    return replace(p, max_count=None, strict=False, rho=rho)
