"""Half-to-even neurons: recognized, and where asked for, rounded half up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import Array, Neuron, NeuronParameters, Node, SpikeGraph
from snncc.ir.arrays import behind_first
from snncc.passes.pipeline import Preserves


@dataclass(frozen=True, slots=True)
class RoundHalfUp:
    """Replace a half-to-even staircase by floor(x + 0.5): one threshold, one reset amount.

    Counts differ only where a potential lies exactly between two counts (a tie), which is why the pass is
    approximate and must be asked for.
    """

    name: ClassVar[str] = "round-half-up"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        nodes: list[Node] = []
        for node in graph.nodes:
            if isinstance(node, Neuron) and rounds_half_to_even(node.parameters):
                p = node.parameters
                node = replace(node, parameters=replace(p, steps=None, theta=p.rho / 2))
            nodes.append(node)
        return graph.with_nodes(nodes)


def rounds_half_to_even(p: NeuronParameters) -> bool:
    """Whether the staircase is uniform but for its odd steps, which lie one rounding above their tie."""
    if p.steps is None or p.strict:
        return False
    count, rank = len(p.steps), p.steps.ndim - 1
    steps = behind_first(p.steps, p.rho.ndim)
    ties = behind_first(np.stack([(j + 0.5) * p.rho for j in range(count)]), rank)
    shifted = steps[::2] > ties[::2]
    return bool(np.allclose(steps, ties, rtol=1e-12, atol=0) and np.all(shifted))


def half_to_even_steps(rho: Array, count: int) -> Array:
    """The staircase of half-to-even rounding in steps of *rho*: a tie below an odd count does not pass."""
    ties = np.stack([(j + 0.5) * rho for j in range(count)]).astype(np.float64)
    ties[::2] = np.nextafter(ties[::2], np.inf)
    return ties
