"""Expand integer activations: counts become graded spikes, phased spike trains, or streams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Affine,
    Array,
    BiasTicks,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Emit,
    Encoding,
    Neuron,
    NeuronParameters,
    Node,
    Order,
    Pad,
    Pool,
    Reset,
    ResetAt,
    Reshape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    edges_into,
    place,
)
from snncc.passes.pipeline import Preserves
from snncc.reference.nodes import evaluate

MOST_TICKS = 15
"""Counts beyond leave as graded spikes, unless an encoding is asked for."""
GIVE_A_BOUND = "give the neuron a max_count (sinabs: spike_fn=MaxSpike(n) or SingleSpike)"
LINEAR = (Dense, Conv, Sparse, Pool, Affine, Pad, Add, Reshape, Transpose, Concat, Slice)


@dataclass(frozen=True, slots=True)
class ExpandCounts:
    """Give every neuron that sends counts its *encoding*.

    ``spikes`` (phased) and ``graded`` are exact. ``stream`` is approximate: in tick d a layer reads what the
    layer before fired in tick d, fires at most once, and at most max_count times in the timestep;
    *bias* is spread over the ticks or given in v0, *flush* ticks follow. What arrives whole (analog input,
    and the bias of a layer that sees nothing else) arrives in the first tick. Source: SFA, Proposition 1 of
    "Scaling spike-driven Transformer"; QCFS networks are the same machine.
    """

    encoding: Encoding = Encoding.SPIKES
    flush: int = 0
    bias: BiasTicks = BiasTicks.SPREAD
    name: ClassVar[str] = "expand-counts"

    @property
    def preserves(self) -> Preserves:
        """Exact unless streaming."""
        return Preserves.APPROXIMATE if self.encoding is Encoding.STREAM else Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        for node in graph.neurons:
            check(node, self.encoding)
        if self.encoding is not Encoding.STREAM:
            return graph.with_nodes(
                with_parameters(node, encoding=self.encoding) if has_counts(node) else node
                for node in graph.nodes
            )
        return self.stream(graph)

    def stream(self, graph: SpikeGraph) -> SpikeGraph:
        """One clock for all layers: every count neuron gets the same number of ticks."""
        for node in graph.nodes:
            if isinstance(node, DynamicSynapse):
                raise CannotLower(
                    f"{place(node)}: cannot stream: a product of counts needs one operand complete",
                    hint="use the encoding spikes or graded",
                )
        counts = [p.max_count or 1 for p in (n.parameters for n in graph.neurons if has_counts(n))]
        if not counts:
            return graph
        if graph.is_integer:
            raise CannotLower(f"{graph.name}: streams are made of a float graph, before it is quantized")
        ticks = max(counts) + self.flush
        graph = with_biases_in_neurons(graph)
        whole = arrives_whole(graph)
        nodes: list[Node] = []
        for node in graph.nodes:
            if has_counts(node):
                bias = BiasTicks.FIRST if whole[node.name] else self.bias
                node = with_parameters(node, encoding=Encoding.STREAM, ticks=ticks, bias_ticks=bias)
            nodes.append(node)
        return graph.with_nodes(nodes)


def default_encoding(graph: SpikeGraph, least: int = 0) -> Encoding:
    """How counts of *graph* leave where nobody says: as spikes, or graded where they need too many ticks.

    Neurons that will count up to *least* are to come.
    """
    counts = [node.parameters.max_count or 0 for node in graph.neurons if has_counts(node)]
    return Encoding.GRADED if max([*counts, least]) > MOST_TICKS else Encoding.SPIKES


def has_counts(node: Node) -> bool:
    """Whether *node* is a neuron that may send more than one spike in a timestep."""
    return isinstance(node, Neuron) and node.parameters.emit is Emit.COUNT and node.parameters.max_count != 1


def with_parameters(node: Node, **changes: object) -> Node:
    if not isinstance(node, Neuron):
        raise AssertionError(f"{node.name} is no neuron")
    return replace(node, parameters=replace(node.parameters, **changes))  # type: ignore[arg-type]


def check(node: Neuron, encoding: Encoding) -> None:
    """Raise `CannotLower` where a neuron cannot take the encoding."""
    p = node.parameters
    if not has_counts(node):
        return
    if p.encoding is not Encoding.UNDECIDED:
        raise CannotLower(f"{place(node)}: its counts are already encoded as {p.encoding}")
    if p.max_count is None:
        raise CannotLower(
            f"{place(node)}: sends any number of spikes in a timestep, so it has no number of ticks",
            hint=GIVE_A_BOUND,
        )
    if encoding is Encoding.STREAM and (reason := why_not_streaming(p)):
        hint = "use the encoding spikes or graded"
        raise CannotLower(f"{place(node)}: cannot stream: it has {reason}", hint=hint)


def why_not_streaming(p: NeuronParameters) -> str:
    """What a neuron has that the streaming of its count cannot do; empty: nothing."""
    if p.reset is not Reset.SUBTRACT or p.reset_at is not ResetAt.SAME:
        return "a reset other than by subtraction in the same timestep"
    if p.steps is not None:
        return "a staircase of explicit steps"
    if p.has_current or p.refractory or p.order is not Order.LEAK_FIRST:
        return "a synaptic current, a refractory time, or a leak after the input"
    return ""


def arrives_whole(graph: SpikeGraph) -> dict[str, bool]:
    """Which nodes see nothing but what is complete in the first tick."""
    # A count neuron's own train is spread over ticks; what it sees decides about its bias only.
    spread = {node.name for node in graph.nodes if has_counts(node)}
    while True:
        reached = {
            node.name
            for node in graph.nodes
            if not isinstance(node, Neuron) and any(wire.source in spread for wire in node.inputs)
        }
        if reached <= spread:
            break
        spread |= reached
    return {node.name: not any(wire.source in spread for wire in node.inputs) for node in graph.nodes}


def with_biases_in_neurons(graph: SpikeGraph) -> SpikeGraph:
    """Move what linear nodes add by themselves (biases, offsets, padding) into the neurons they reach.

    A neuron's new bias is what it receives when every spike and input is zero. Outputs and other nodes that
    read a biased signal keep it through a constant, so such a graph is refused.
    """
    silence = response_to_silence(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Neuron):
            received = sum(silence[wire.source] for wire in node.inputs)
            bias = node.parameters.bias + np.asarray(received)
            node = replace(node, parameters=replace(node.parameters, bias=compact(bias)))
        nodes.append(node)
    free = {name for name in silence if feeds_only_neurons(graph, name)}
    return graph.with_nodes(unbiased(node) if node.name in free else node for node in nodes)


def response_to_silence(graph: SpikeGraph) -> dict[str, Array]:
    """What each node delivers, in real values, when nothing spikes and nothing enters."""
    table: dict[str, Array] = {}
    for node in graph.nodes:
        edge = graph.edges[node.name]
        table[node.name] = np.zeros(edge.shape)
        if isinstance(node, LINEAR) and feeds_only_neurons(graph, node.name):
            if isinstance(node, Affine) and node.per_timestep:
                raise CannotLower(f"{place(node)}: an offset for each timestep cannot stream")
            ins = edges_into(node, graph.edges)
            xs = [
                (table.get(w.source, np.zeros(e.shape)) / e.scale)[None, None]
                for w, e in zip(node.inputs, ins, strict=True)
            ]
            carried = evaluate(node, xs, ins, edge, 0, is_integer=graph.is_integer)
            table[node.name] = carried.sum(axis=(0, 1)) * edge.scale
    return table


def feeds_only_neurons(graph: SpikeGraph, name: str) -> bool:
    """Whether every path from *name* ends in a neuron, through linear nodes alone and without delay."""
    readers = graph.readers[name]
    if not readers or not isinstance(graph.by_name[name], LINEAR):
        return False
    for reader in (graph.by_name[r] for r in readers):
        if any(w.source == name and w.delay for w in reader.inputs):
            return False
        if isinstance(reader, Neuron):
            continue
        if not isinstance(reader, LINEAR) or not feeds_only_neurons(graph, reader.name):
            return False
    return True


def unbiased(node: Node) -> Node:
    match node:
        case Dense() | Conv() | Sparse():
            return replace(node, bias=None)
        case Affine():
            return replace(node, offset=np.zeros(()))
        case Pad():
            return replace(node, value=np.zeros(()))
        case _:
            return node


def compact(bias: Array) -> Array:
    """One number a channel where a bias does not vary inside its maps."""
    if bias.ndim == 3 and np.all(bias == bias[:, :1, :1]):
        return bias[:, :1, :1]
    return bias
