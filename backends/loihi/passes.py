"""What brings a traced graph into the numbers of Loihi, besides the passes that all targets use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.backends.loihi.limits import BIAS_EXPONENT_MOST, BIAS_MANTISSA_MOST, STATE_MOST, UNIT, UNIT_SHIFT
from snncc.ir import (
    Array,
    Conv,
    Dense,
    Edge,
    Kind,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Reset,
    ResetAt,
    Reshape,
    Shape,
    Sparse,
    SpikeGraph,
    wires,
)
from snncc.ir.arrays import simplest
from snncc.passes import Preserves
from snncc.passes.expand import with_biases_in_neurons


@dataclass(frozen=True, slots=True)
class MoveBiases:
    """Biases of synapses move into the neurons that they reach: a chip adds a constant there alone."""

    name: ClassVar[str] = "move-biases"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        return with_biases_in_neurons(graph)


@dataclass(frozen=True, slots=True)
class BiasByNeuron:
    """A bias of a current with memory comes from a neuron that always fires: Loihi adds to potentials."""

    name: ClassVar[str] = "bias-by-neuron"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        driven = {n.name for n in graph.neurons if n.parameters.has_current and np.any(n.parameters.bias)}
        if not driven:
            return graph
        nodes: list[Node] = []
        for node in graph.nodes:
            if isinstance(node, Neuron) and node.name in driven:
                shape = graph.edges[node.name].shape
                nodes += driven_by_neuron(node, shape)
                plain = replace(node.parameters, bias=np.zeros(()))
                inputs = (*node.inputs, *wires(f"{node.name}#bias"))
                nodes.append(replace(node, inputs=inputs, parameters=plain))
                continue
            nodes.append(node)
            if node is graph.inputs[0]:
                nodes += always_firing(node)
        return graph.with_nodes(nodes)


ALWAYS = "#always"
"""No name of a user has the sign, which nodes of these passes have."""


def always_firing(source: Node) -> tuple[Node, ...]:
    """One neuron that fires in every timestep; *source* gives it a place in the graph, and nothing else."""
    none = np.zeros(0, np.int64)
    silent = Sparse(
        name=f"{ALWAYS}.none",
        inputs=wires(source.name),
        weight=np.zeros(0),
        pre=none,
        post=none,
        shape=(1,),
        is_added=True,
    )
    fires = NeuronParameters(bias=np.ones(()), reset=Reset.VALUE)
    return silent, Neuron(name=ALWAYS, inputs=wires(silent.name), parameters=fires)


def driven_by_neuron(node: Neuron, shape: Shape) -> tuple[Node, ...]:
    """The synapses that bring the bias of *node*."""
    bias = np.broadcast_to(node.parameters.bias, shape).reshape(-1, 1)
    name = f"{node.name}#bias"
    if len(shape) == 1:
        one = Dense(name=name, inputs=wires(ALWAYS), weight=bias, origin=node.origin, is_added=True)
        return (one,)
    flat = Dense(name=f"{name}.flat", inputs=wires(ALWAYS), weight=bias, origin=node.origin, is_added=True)
    return flat, Reshape(name=name, inputs=wires(flat.name), shape=shape)


@dataclass(frozen=True, slots=True)
class PoolByNeurons:
    """A maximum over windows of spikes becomes a layer of neurons that fire where any spike arrived."""

    name: ClassVar[str] = "pool-by-neurons"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        nodes: list[Node] = []
        for node in graph.nodes:
            if isinstance(node, MaxPool) and is_spike(graph.edges[node.inputs[0].source]):
                nodes += any_of(node, graph.edges[node.inputs[0].source])
            else:
                nodes.append(node)
        return graph.with_nodes(nodes)


def is_spike(edge: Edge) -> bool:
    """Whether an edge carries at most one spike of size one a timestep."""
    return edge.kind is Kind.SPIKE and edge.ticks == 1 and bool(np.all(edge.scale == 1))


def any_of(node: MaxPool, edge: Edge) -> tuple[Node, Node]:
    """A convolution that counts, channel by channel, and neurons that fire at one or more."""
    channels = edge.shape[0]
    count = Conv(
        name=f"{node.name}#any",
        inputs=node.inputs,
        origin=node.origin,
        weight=np.ones((channels, 1, *node.kernel)),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=channels,
        is_added=True,
    )
    fires = NeuronParameters(theta=np.asarray(0.5), leak=np.zeros(()), reset=Reset.VALUE)
    return count, Neuron(name=node.name, inputs=wires(count.name), origin=node.origin, parameters=fires)


@dataclass(frozen=True, slots=True)
class ToRegisters:
    """Thresholds, biases and comparisons as Loihi's registers hold them; the rest is legal already.

    A neuron of Lava's own LIF fires above a threshold of whole weight units: where potentials are whole
    weight units ``>=`` becomes ``>`` exactly, elsewhere a potential equal to the threshold no longer fires.
    A bias becomes mantissa and exponent. The potential is clipped symmetrically.
    """

    name: ClassVar[str] = "to-registers"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        return graph.with_nodes(
            replace(node, parameters=in_registers(node.parameters)) if isinstance(node, Neuron) else node
            for node in graph.nodes
        )


def in_registers(p: NeuronParameters) -> NeuronParameters:
    """*p*, the parameters of an integer graph, with register values."""
    low = -STATE_MOST if p.clamp_low is None else np.maximum(p.clamp_low, -STATE_MOST)
    p = replace(
        p,
        theta=uniform(p.theta),
        rho=uniform(p.rho),
        steps=None if p.steps is None else uniform_steps(p.steps),
        clamp_low=np.asarray(low),
    )
    exponent = bias_exponent(p)
    p = replace(p, bias=simplest(np.rint(p.bias / 2.0**exponent).astype(np.int64) << exponent))
    if not is_stock(p) or counts_units(p):
        return p
    whole_units = np.maximum(np.rint(p.theta / UNIT), 0).astype(np.int64) * UNIT
    return replace(p, theta=whole_units, strict=True)


def is_stock(p: NeuronParameters) -> bool:
    """Whether Lava's own LIF computes *p*: hard reset to zero, one spike, no clamp of its own."""
    return (
        p.reset is Reset.VALUE
        and not np.any(p.v_reset)
        and p.max_count == 1
        and p.steps is None
        and p.reset_at is ResetAt.SAME
        and not p.stateless
        and (p.clamp_low is None or bool(np.all(p.clamp_low <= -STATE_MOST)))
        and p.clamp_high is None
    )


def counts_units(p: NeuronParameters) -> bool:
    """Whether Lava's own LIF computes *p* in whole weight units, so that ``>=`` is ``>`` of one unit less."""
    is_kept = bool(np.all(np.isin(p.leak, (0, 1 << p.leak_shift))) and not np.any(p.leak_i))
    is_whole = bool(np.all(p.theta % UNIT == 0) and np.all(p.v_init % UNIT == 0))
    return is_stock(p) and is_kept and is_whole and not p.strict


def bias_exponent(p: NeuronParameters) -> int:
    """The exponent of the bias of a layer: the smallest that holds it, and no part of a unit is left."""
    largest = int(np.abs(p.bias).max(initial=0))
    least = UNIT_SHIFT if counts_units(p) else 0
    needed = (e for e in range(BIAS_EXPONENT_MOST) if round(largest / 2**e) <= BIAS_MANTISSA_MOST)
    return max(least, next(needed, BIAS_EXPONENT_MOST))


def uniform(value: Array) -> Array:
    """One number where all are the same."""
    return np.asarray(value.reshape(-1)[0]) if value.size and np.all(value == value.flat[0]) else value


def uniform_steps(steps: Array) -> Array:
    """One number for each count where all neurons have the same."""
    flat = steps.reshape(len(steps), -1)
    return flat[:, 0] if np.all(flat == flat[:, :1]) else steps
