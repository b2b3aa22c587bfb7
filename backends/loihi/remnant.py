"""A refused graph without what is in its way, so that what the rest needs of a chip can be counted.

What no core computes is left out: a gain is passed by, other things are replaced by events from outside. Sums
that nothing takes any more count as a layer of neurons, which is what their obstacle asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from snncc.ir import (
    Affine,
    Conv,
    Dense,
    DynamicSynapse,
    Gate,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Pad,
    Pool,
    SideOperation,
    Sparse,
    SpikeGraph,
    wires,
)
from snncc.passes.rewrite import without

SUMS = "#sums"
"""Behind the name of a node whose sums count as neurons."""
EVENTS = "#events"
"""Behind the name of a node that reads events from outside in place of real numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Remnant:
    """What is left as *graph*, and the names of the nodes that are left *out*.

    *given*: inputs that stand for them; *kept*: neurons that are as they were, and all that reaches them.
    """

    graph: SpikeGraph
    out: frozenset[str]
    given: frozenset[str]
    kept: frozenset[str]


def remnant(graph: SpikeGraph, refused: Collection[str], bare: bool) -> Remnant:
    """What is left of *graph* without the nodes *refused* (names); *bare*: messages hold no numbers."""
    passed = {node.name: source for node in graph.nodes if (source := passed_by(graph, node))}
    graph, whole = graph.with_nodes(without(graph.nodes, passed)), graph
    nodes: list[Node] = []
    given: list[str] = []
    own = {entry.name for entry in graph.inputs}
    for node in graph.nodes:
        for one in substituted(graph, node, node.name in refused, bare):
            nodes.append(one)
            if isinstance(one, Input) and one.name not in own:
                given.append(one.name)
    left = graph.with_nodes(taken(nodes, given))
    changed = {*refused, *passed, *given, *(name.removesuffix(EVENTS) for name in given)}
    kept = {node.name for node in whole.neurons if not changed & set(reaching(whole, node.name))}
    out = {*passed, *(name for name in given if name in whole.by_name)}
    return Remnant(left, frozenset(out), frozenset(given), frozenset(kept))


def passed_by(graph: SpikeGraph, node: Node) -> str | None:
    """What the readers of *node* read where it is left out: its only signal of the same shape."""
    if not isinstance(node, Affine | Mul | Gate):
        return None
    shape = graph.edges[node.name].shape
    signals = [
        wire.source
        for wire in node.inputs
        if not wire.delay and not is_computed(graph, wire.source) and graph.edges[wire.source].shape == shape
    ]
    first = isinstance(node, Gate) or len(signals) == 1
    return signals[0] if signals and first else None


def is_computed(graph: SpikeGraph, name: str) -> bool:
    """Whether a node hands on what a host computes."""
    node = graph.by_name[name]
    if isinstance(node, Neuron | Input | Dense | Conv | Sparse | DynamicSynapse):
        return False
    return isinstance(node, SideOperation) or any(
        is_computed(graph, w.source) for w in node.inputs if not w.delay
    )


def substituted(graph: SpikeGraph, node: Node, is_refused: bool, bare: bool) -> Iterator[Node]:
    """What stands for *node*."""
    node = replace(node, inputs=tuple(replace(wire, initial=None) for wire in node.inputs))
    reads = [graph.edges[wire.source] for wire in node.inputs]
    match node:
        case Input() if bare:
            yield replace(node, kind=Kind.SPIKE, max_count=None)
        case Neuron() if is_refused:
            yield replace(node, parameters=integrating(node.parameters, bare, graph.is_integer))
        case Dense() | Conv() | Sparse():
            if is_refused and not reads[0].is_events:
                entry = events(graph, node.inputs[0].source, bare, node.name + EVENTS)
                yield entry
                node = replace(node, inputs=(replace(node.inputs[0], source=entry.name),))
            yield replace(node, delay=None)
        case SideOperation() | DynamicSynapse() | Mul() | Gate() | Maximum() | MaxPool():
            yield events(graph, node.name, bare)
        case Pool() | Pad() | Affine() if is_refused:
            yield events(graph, node.name, bare)
        case _:
            yield node


def events(graph: SpikeGraph, source: str, bare: bool, name: str = "") -> Input:
    """An input of events for what the node *source* hands on."""
    edge = graph.edges[source]
    most = edge.max_count if edge.is_events and not bare and (edge.max_count or 1) > 1 else None
    kind = Kind.SPIKE if most is None else Kind.COUNT
    return Input(name=name or source, shape=edge.shape, kind=kind, max_count=most)


def integrating(p: NeuronParameters, bare: bool, is_integer: bool) -> NeuronParameters:
    """A plain neuron with the counts of *p*, where they have a bound."""
    one = np.asarray(1 if is_integer else 1.0)
    plain = NeuronParameters(theta=one, rho=one, max_count=1, v_bits=p.v_bits, i_bits=p.i_bits)
    if bare or p.max_count is None:
        return plain
    return replace(plain, max_count=p.max_count, encoding=p.encoding, ticks=p.ticks)


def taken(nodes: list[Node], given: Collection[str]) -> list[Node]:
    """*nodes*, with outputs for what nothing takes any more, without those of what is *given*."""
    nodes = [n for n in nodes if not (isinstance(n, Output) and n.inputs[0].source in given)]
    read = {wire.source for node in nodes for wire in node.inputs}
    loose = (n for n in nodes if n.name not in read and not isinstance(n, Output | Input))
    ends = [Output(name=n.name + SUMS, inputs=wires(n.name), origin=n.origin) for n in loose]
    return [*nodes, *ends]


def reaching(graph: SpikeGraph, name: str) -> Iterator[str]:
    """*name* and all before it, up to what sends events."""
    seen, open_ones = {name}, [name]
    while open_ones:
        one = open_ones.pop()
        yield one
        for wire in graph.by_name[one].inputs:
            source = wire.source
            if source not in seen:
                seen.add(source)
                if isinstance(graph.by_name[source], Neuron | Input):
                    yield source
                else:
                    open_ones.append(source)
