"""Give every layer one threshold: what differs between channels goes into the rows of the synapse before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import Conv, Dense, NeuronParameters, Node, Reset, ResetAt, SpikeGraph
from snncc.ir.arrays import simplest
from snncc.passes.fold import divided, row_factor
from snncc.passes.pipeline import Preserves
from snncc.passes.rewrite import only_source


@dataclass(frozen=True, slots=True)
class FoldThresholds:
    """Fold thresholds per channel, and biases of neurons, into the synapse that alone feeds the neuron.

    With threshold theta_c, rows become w_c / theta_c and everything that the potential is compared with or
    set to is divided by theta_c: the threshold is 1. A subtractive reset that is due in the next timestep
    happens in the same one where no leak and no clamp comes between. A neuron that this cannot bring to one
    threshold stays as it is.
    """

    name: ClassVar[str] = "fold-thresholds"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        if graph.is_integer:
            return graph
        new: dict[str, Node] = {}
        for node in graph.neurons:
            source = only_source(graph, node)
            p = at_once(node.parameters)
            if isinstance(source, Conv | Dense):
                p, source = folded(graph, p, source)
                new[source.name] = source
            new[node.name] = replace(node, parameters=p)
        return graph.with_nodes(new.get(node.name, node) for node in graph.nodes)


def at_once(p: NeuronParameters) -> NeuronParameters:
    """*p* with the reset in the timestep of the spike, where that cannot change a spike."""
    is_plain = bool(np.all(p.leak == 1)) and p.clamp_low is None and p.clamp_high is None and not p.stateless
    if not is_plain or p.refractory or p.reset_at is ResetAt.SAME:
        return p
    if p.reset is Reset.SUBTRACT or (p.reset is Reset.VALUE and p.reset_at is ResetAt.NEXT_BEFORE_INPUT):
        return replace(p, reset_at=ResetAt.SAME)
    return p


def folded(
    graph: SpikeGraph, p: NeuronParameters, synapse: Conv | Dense
) -> tuple[NeuronParameters, Conv | Dense]:
    """*p* without a bias and with one threshold, and the *synapse* that makes up for it."""
    shape = graph.edges[synapse.name].shape
    theta = simplest(p.theta)
    factor = row_factor(synapse, 1 / theta, shape) if theta.ndim and np.all(theta > 0) else None
    gain = theta if factor is not None else np.ones(())
    bias = (0.0 if synapse.bias is None else synapse.bias) + p.bias
    p = divided(replace(p, bias=np.zeros(())), gain, np.zeros(()))
    if factor is not None:
        synapse = replace(synapse, weight=synapse.weight * factor)
    if np.any(bias) or synapse.bias is not None:
        synapse = replace(synapse, bias=np.asarray(bias / gain))
    return replace(p, theta=simplest(p.theta), rho=simplest(p.rho), v_reset=simplest(p.v_reset)), synapse
