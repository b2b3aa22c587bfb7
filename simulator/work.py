"""What the layers of a run did beyond their counted operations, at which widths, in memories of which size.

All counts are means over samples, for one inference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snncc.ir import (
    Affine,
    Array,
    Conv,
    DynamicSynapse,
    Edge,
    Encoding,
    Input,
    Kind,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Pool,
    Reshape,
    SideOperation,
    Sparse,
    SpikeGraph,
    Synapse,
    Transpose,
)
from snncc.reference import carries_spikes
from snncc.simulator.energy import Layer

FLOAT = 32
"""Bits of everything in a float graph."""
UNBOUNDED = 16
"""Bits of a count without a bound (`snncc.mapping.network.MOST`)."""
BORDERS = (Neuron, Synapse, DynamicSynapse, SideOperation, Mul, Input, Output)
"""Where a sum of synaptic operations begins or ends."""


@dataclass(frozen=True, slots=True)
class Synapses:
    """What the operations of one layer use.

    *events* of *event_bits* arrive; operations read one of *weights* of *weight_bits* (and of a table the
    target, of *index_bits*), multiply it with a number of *value_bits* and add to one of *states* of
    *state_bits*. *has_windows*: an event's place in its map must be worked out. *biased*: how many sums of a
    readout, which no neuron updates, took one of *biases*.
    """

    is_float: bool
    events: float
    event_bits: int
    weights: int
    weight_bits: int
    value_bits: int
    states: int
    state_bits: int
    index_bits: int = 0
    has_windows: bool = False
    biased: float = 0.0
    biases: int = 0


@dataclass(frozen=True, slots=True)
class Updates:
    """What the *updates* of a layer of *states* neurons use.

    A neuron holds numbers of *widths*; those of *leaks* leak. In each update *biased* of the layer's *biases*
    are added to it. It fired *spikes*, and *sent* messages of *sent_bits*.
    """

    is_float: bool
    updates: float
    states: int
    widths: tuple[int, ...]
    leaks: tuple[int, ...]
    biased: int
    biases: int
    spikes: float
    sent: float
    sent_bits: int


def synapses_of(layer: Layer, default_bits: int) -> Synapses:
    """What the operations of *layer* use. Its node was counted."""
    graph, node = layer.graph, layer.node
    real = not graph.is_integer
    source, out = graph.edges[node.inputs[0].source], graph.edges[node.name]
    values = 0 if layer.is_spiking else number_bits(graph, node.inputs[0].source)
    events = 0.0 if isinstance(node, SideOperation) else messages(layer)
    weights, bits = memory_of(graph, node)
    widths = [max(state_widths(one.parameters, real, default_bits)) for one in neurons_after(graph, node)]
    bias = node.bias if isinstance(node, Synapse) and not widths else None
    return Synapses(
        is_float=real or isinstance(node, SideOperation),
        events=events,
        event_bits=address_bits(source.size) + values,
        weights=weights,
        weight_bits=bits,
        value_bits=values or 1,
        states=0 if isinstance(node, SideOperation) else out.size,
        state_bits=max(widths, default=FLOAT if real else default_bits),
        index_bits=address_bits(out.size) if isinstance(node, Sparse) else 0,
        has_windows=isinstance(node, Conv | Pool),
        biased=0.0 if bias is None else float(out.size * layer.run.timesteps),
        biases=0 if bias is None else bias.size,
    )


def updates_of(layer: Layer, default_bits: int) -> Updates:
    """What the updates of *layer* use. Its node is a neuron."""
    graph, run, node = layer.graph, layer.run, layer.node
    assert isinstance(node, Neuron)
    p, real, out = node.parameters, not graph.is_integer, graph.edges[node.name]
    sweeps = run.timesteps * (p.ticks if p.encoding is Encoding.STREAM else 1)
    widths = state_widths(p, real, default_bits)
    leaky = (leaks(p.leak, p.leak_shift) and not p.stateless, leaks(p.leak_i, p.leak_i_shift))
    biases = list(biases_before(graph, node))
    if node.name in run.active:
        graded = not carries_spikes(graph)[node.name]
        sent = float(run.active[node.name].sum() / run.batch) if graded else layer.spikes
    else:
        graded, sent = True, float(out.size * run.timesteps)
    payload = number_bits(graph, node.name) if graded else 0
    return Updates(
        is_float=real,
        updates=float(out.size * sweeps),
        states=out.size,
        widths=widths,
        leaks=tuple(width for width, is_leaky in zip(widths, leaky, strict=False) if is_leaky),
        biased=len(biases),
        biases=sum(biases),
        spikes=layer.spikes,
        sent=sent,
        sent_bits=address_bits(out.size) + payload,
    )


def leaks(leak: Array, shift: int) -> bool:
    """Whether a leak must be multiplied: it neither keeps a state nor drops it."""
    return bool(np.any((leak != 2**shift) & (leak != 0)))


def state_widths(p: NeuronParameters, is_float: bool, default_bits: int) -> tuple[int, ...]:
    """Bits of v and, where it has a memory, of i."""
    bits = [p.v_bits, p.i_bits] if p.has_current else [p.v_bits]
    return tuple(FLOAT if is_float else one or default_bits for one in bits)


def address_bits(size: int) -> int:
    """Bits that tell *size* things apart, at least 1."""
    return max(1, (size - 1).bit_length())


def weight_bits(weight: Array, *, is_float: bool) -> int:
    """The fewest bits that hold every number of *weight*: two's complement; unsigned if none is negative."""
    if is_float:
        return FLOAT
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), high.bit_length()) + 1


def number_bits(graph: SpikeGraph, name: str) -> int:
    """Bits of what *name* sends."""
    edge, node = graph.edges[name], graph.by_name[name]
    if not graph.is_integer:
        return FLOAT
    if edge.is_events:
        return count_bits(edge)
    if isinstance(node, Input) and node.low is not None and node.high is not None:
        return weight_bits(np.array([node.low, node.high]), is_float=False)
    return FLOAT


def count_bits(edge: Edge) -> int:
    """Bits of a count."""
    return UNBOUNDED if edge.max_count is None else max(1, edge.max_count.bit_length())


def memory_of(graph: SpikeGraph, node: Node) -> tuple[int, int]:
    """How many numbers operations of *node* read from memory, beside events and sums; bits of each."""
    real = not graph.is_integer
    match node:
        case Affine():
            return node.gain.size, weight_bits(node.gain, is_float=real)
        case Mul():
            return graph.edges[node.inputs[1].source].size, number_bits(graph, node.inputs[1].source)
        case DynamicSynapse():
            source = node.inputs[node.first].source
            return graph.edges[source].size, FLOAT if real else count_bits(graph.edges[source])
        case SideOperation():
            held = sum(constant.size for constant in node.constants.values())
            return held + graph.edges[node.inputs[0].source].size, 2 * FLOAT
    if isinstance(node, Synapse):
        return node.weight.size, weight_bits(node.weight, is_float=real)
    return 0, 0


def messages(layer: Layer) -> float:
    """How many events entered *layer*: spikes, or numbers that are not zero.

    Of graded counts that come from a neuron or input without being changed, those that it sent; behind other
    nodes the sum of the counts, which is more.
    """
    assert layer.did is not None
    received = float(layer.did.received.mean())
    if layer.is_spiking:
        return received
    node = layer.graph.by_name[layer.node.inputs[0].source]
    while isinstance(node, Reshape | Transpose):
        node = layer.graph.by_name[node.inputs[0].source]
    if node.name not in layer.run.active or layer.graph.edges[node.name].kind is Kind.ANALOG:
        return received
    return min(received, float(layer.run.active[node.name].sum() / layer.run.batch))


def neurons_after(graph: SpikeGraph, node: Node) -> Iterator[Neuron]:
    """The neurons that the sums of *node* reach."""
    todo, seen = [node.name], {node.name}
    while todo:
        name = todo.pop()
        for one in graph.nodes:
            if one.name in seen or all(wire.source != name for wire in one.inputs):
                continue
            seen.add(one.name)
            if isinstance(one, Neuron):
                yield one
            elif not isinstance(one, BORDERS):
                todo.append(one.name)


def biases_before(graph: SpikeGraph, node: Neuron) -> Iterator[int]:
    """The size of each bias that is added to *node* in every timestep, its own among them."""
    if np.any(node.parameters.bias != 0):
        yield node.parameters.bias.size
    todo, seen = [wire.source for wire in node.inputs], set[str]()
    while todo:
        one = graph.by_name[todo.pop()]
        if one.name in seen:
            continue
        seen.add(one.name)
        if isinstance(one, Synapse) and one.bias is not None and np.any(one.bias != 0):
            yield one.bias.size
        if isinstance(one, Affine) and np.any(one.offset != 0):
            yield one.offset.size
        if not isinstance(one, BORDERS):
            todo += [wire.source for wire in one.inputs]
