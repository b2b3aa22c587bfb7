"""The passes that bring a float graph to Speck's integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.backends.speck.layers import Layer, layers_of
from snncc.backends.speck.scale import Reals, discretized, lowest
from snncc.backends.target import Problem
from snncc.errors import CannotLower
from snncc.ir import Node, Numbers, Overflow, SpikeGraph
from snncc.ir.arrays import sealed, simplest
from snncc.passes import Preserves

SUM_BITS = 32
"""Of the sum of a timestep before the reset. After it the lower threshold and the reset leave 16 bits."""


@dataclass(frozen=True, slots=True)
class BoundPotentials:
    """Give every layer an explicit lower threshold: the least that the chip's 16 bits hold.

    That is -32768 steps of the scale which the other numbers of the layer have, so it costs no precision. A
    lower clamp of the user's stays; one of 0, which the chip cannot have (an erratum), becomes -1 step.
    Approximate where a potential would go below.
    """

    name: ClassVar[str] = "bound-potentials"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        new: dict[str, Node] = {}
        for layer in layers_of(graph):
            p = layer.neuron.parameters
            low = None if p.clamp_low is None else float(simplest(p.clamp_low))
            x = reals_of(graph, layer)
            if low == 0:
                low = -1 / discretized(x).scale
            elif low is None:
                low = lowest(x)
            new[layer.name] = replace(layer.neuron, parameters=replace(p, clamp_low=sealed(low)))
        return graph.with_nodes(new.get(node.name, node) for node in graph.nodes)


@dataclass(frozen=True, slots=True)
class Discretize:
    """Sinabs's integers: 8-bit weights and biases, 16-bit thresholds and states, one scale for each layer.

    Needs lower thresholds (`BoundPotentials`). Raises `CannotLower` where nothing is left of the weights.
    """

    name: ClassVar[str] = "discretize"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        if graph.is_integer:
            raise CannotLower(f"{graph.name}: is an integer graph already")
        new: dict[str, Node] = {}
        for layer in layers_of(graph):
            new |= integer_nodes(graph, layer)
        nodes = tuple(new.get(node.name, node) for node in graph.nodes)
        return replace(graph, nodes=nodes, numbers=Numbers.INTEGER)


def spike_worth(graph: SpikeGraph, layer: Layer) -> float:
    """What one spike on the layer's entry stands for: an average of n pixels makes it 1 / n."""
    return float(simplest(graph.edges[layer.synapse.inputs[0].source].scale))


def reals_of(graph: SpikeGraph, layer: Layer) -> Reals:
    """The numbers of a layer of a float graph, its weights times what a spike is worth."""
    p = layer.neuron.parameters
    return Reals(
        weight=layer.weight * spike_worth(graph, layer),
        bias=layer.bias,
        theta=float(simplest(p.theta)),
        low=None if p.clamp_low is None else float(simplest(p.clamp_low)),
        state=p.v_init if np.any(p.v_init) else None,
    )


def scale_obstacle(graph: SpikeGraph, layer: Layer) -> Problem | None:
    """That nothing would be left of some numbers of a *layer* of the float *graph*."""
    x = reals_of(graph, layer)
    numbers = discretized(x if x.low is not None else replace(x, low=lowest(x)))
    if numbers.theta >= 1 and np.any(numbers.weight):
        return None
    left, size = ("threshold", x.theta) if numbers.theta < 1 else ("weights", float(np.abs(x.weight).max()))
    hint = "weights, bias, threshold, lower clamp and initial potential must be of similar size"
    need = f"more than {0.5 / size:.6g} for 1" if size else "one that is not 0"
    return Problem(layer.origin, f"steps of its {left}", need, f"{numbers.scale:.6g}, its one scale", hint)


def integer_nodes(graph: SpikeGraph, layer: Layer) -> dict[str, Node]:
    """The synapse and the neuron of a layer in integers."""
    if obstacle := scale_obstacle(graph, layer):
        raise CannotLower(str(replace(obstacle, hint="")), hint=obstacle.hint)
    numbers = discretized(reals_of(graph, layer))
    synapse, p = layer.synapse, layer.neuron.parameters
    bias = None
    if synapse.bias is not None and numbers.bias is not None:
        per_channel = numbers.bias.reshape(-1, *(1,) * (len(graph.edges[layer.name].shape) - 1))
        bias = simplest(per_channel) if synapse.bias.ndim == 0 else per_channel
    steps = sealed(np.int64(numbers.theta))
    parameters = replace(
        p,
        theta=steps,
        rho=steps,
        leak=sealed(np.int64(1)),
        leak_i=sealed(np.int64(0)),
        bias=sealed(np.int64(0)),
        v_reset=sealed(np.int64(0)),
        i_init=sealed(np.int64(0)),
        v_init=sealed(np.int64(0)) if numbers.state is None else numbers.state,
        clamp_low=sealed(np.int64(numbers.low)),
        v_bits=SUM_BITS,
        i_bits=SUM_BITS,
        overflow=Overflow.SATURATE,
    )
    weight_scale = sealed(1 / numbers.scale / spike_worth(graph, layer))
    weight = numbers.weight.astype(np.int8).reshape(synapse.weight.shape)
    return {
        synapse.name: replace(synapse, weight=weight, bias=bias, weight_scale=weight_scale, shift=0),
        layer.name: replace(layer.neuron, parameters=parameters),
    }
