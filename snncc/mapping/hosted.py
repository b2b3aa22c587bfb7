"""What a host beside the cores computes: side operations, gains, gates, and what lies between them.

The rules are section 1.2 of `snncc/simulator/MACHINE.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    Edge,
    Gate,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    Node,
    Pad,
    Pool,
    Reshape,
    Shape,
    SideOperation,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    edges_into,
)
from snncc.reference.nodes import evaluate
from snncc.reference.side import SIDES, side_macs

ALWAYS = SideOperation | Mul | Gate
"""What no core computes."""
BEHIND = Affine | Maximum | MaxPool | Pad | Pool
"""What the host computes of the real numbers that it has."""
MOVES = Add | Concat | Reshape | Slice | Transpose
"""What cores take as it comes, by addresses, also where it comes from the host."""


@dataclass(frozen=True, slots=True, eq=False)
class HostNode:
    """A *node* of which the host computes [*shape*] from inputs, the first one of *before*.

    *is_early*: it belongs to an earlier stage than what is sent, so all timesteps are computed at once.
    """

    node: Node
    shape: Shape
    before: Shape
    is_early: bool

    def macs(self, timesteps: int) -> int:
        """Multiply-accumulates for all *timesteps* of one inference."""
        if isinstance(self.node, SideOperation) and self.node.is_sequence:
            return side_macs(self.node, timesteps, self.before)[0]
        return timesteps * self.each

    @property
    def each(self) -> int:
        """Multiply-accumulates for one timestep of what reads no whole train."""
        match self.node:
            case SideOperation():
                return side_macs(self.node, 1, self.before)[0]
            case Mul() | Affine():
                return prod(self.shape)
            case Pool():
                return prod(self.shape) * prod(self.node.kernel)
            case Add():
                return prod(self.shape) * (len(self.node.inputs) - 1)
            case _:
                return 0

    @property
    def is_once(self) -> bool:
        """Whether all timesteps are computed at once, before the first one is sent."""
        return self.is_early or (isinstance(self.node, SideOperation) and self.node.is_sequence)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What the host computes for one population that it sends."""

    nodes: tuple[HostNode, ...]

    def macs(self, t: int, timesteps: int) -> int:
        """Multiply-accumulates before timestep *t* is sent, of *timesteps* in all."""
        once = sum(one.macs(timesteps) for one in self.nodes if one.is_once) if t == 0 else 0
        return once + sum(one.each for one in self.nodes if not one.is_once)

    def total(self, timesteps: int) -> int:
        """Multiply-accumulates of one inference."""
        return sum(one.macs(timesteps) for one in self.nodes)


NO_TASK = Task(())


def hosted(graph: SpikeGraph) -> frozenset[str]:
    """The nodes that the host computes."""
    found: set[str] = set()

    def follows(name: str) -> bool:
        node = graph.by_name[name]
        return name in found or (isinstance(node, MOVES) and any(follows(w.source) for w in node.inputs))

    def reads(node: Node) -> bool:
        is_real = not graph.edges[node.name].is_events
        return is_real and any(follows(wire.source) for wire in node.inputs if not wire.delay)

    for node in graph.nodes:
        if isinstance(node, ALWAYS) or (isinstance(node, BEHIND) and reads(node)):
            found.add(node.name)
    waiting = list(found)
    while waiting:
        for wire in graph.by_name[waiting.pop()].inputs:
            node = graph.by_name[wire.source]
            is_own = isinstance(node, Dense | Conv | Sparse | Neuron | Input)
            if not is_own and node.name not in found and not graph.edges[node.name].is_events:
                found.add(node.name)
                waiting.append(node.name)
    return frozenset(found)


def sent_by_host(graph: SpikeGraph, on_host: frozenset[str]) -> list[str]:
    """The nodes of the host that something else reads, in the order of the graph."""
    return [
        node.name
        for node in graph.nodes
        if node.name in on_host and any(reader not in on_host for reader in graph.readers[node.name])
    ]


def tapped(graph: SpikeGraph, on_host: frozenset[str]) -> frozenset[str]:
    """The synapse nodes whose sums the host reads."""
    return frozenset(
        wire.source
        for name in on_host
        for wire in graph.by_name[name].inputs
        if isinstance(graph.by_name[wire.source], Dense | Conv | Sparse)
    )


def tasks_of(
    graph: SpikeGraph, on_host: frozenset[str], order: Sequence[str], stages: Mapping[str, int]
) -> dict[str, Task]:
    """What the host does for each population that it sends, in the *order* in which they are sent.

    What several need is computed for the first.
    """
    done: set[str] = set()
    tasks = {}
    for name in order:
        behind = [one for one in closure(graph, on_host, name) if one not in done]
        done.update(behind)
        tasks[name] = Task(
            tuple(
                HostNode(
                    node=graph.by_name[one],
                    shape=graph.edges[one].shape,
                    before=graph.edges[graph.by_name[one].inputs[0].source].shape,
                    is_early=stages[one] < stages[name],
                )
                for one in behind
            )
        )
    return tasks


def closure(graph: SpikeGraph, on_host: frozenset[str], name: str) -> Iterator[str]:
    """The nodes of the host on which *name* depends, itself included, in the order of the graph."""
    found, waiting = {name}, [name]
    while waiting:
        for wire in graph.by_name[waiting.pop()].inputs:
            if wire.source in on_host and wire.source not in found:
                found.add(wire.source)
                waiting.append(wire.source)
    return (node.name for node in graph.nodes if node.name in found)


def largest_numbers(graph: SpikeGraph, most: int) -> Mapping[str, int]:
    """Of each node the largest absolute number that it can carry; *most*: of counts without a bound."""
    found: dict[str, int] = {}
    arrays: dict[str, Array] = {}
    for node in graph.nodes:
        edge = graph.edges[node.name]
        arrays[node.name] = bound(node, [arrays.get(w.source) for w in node.inputs], graph, most)
        found[node.name] = int(arrays[node.name].max(initial=0))
        assert arrays[node.name].shape == edge.shape
    return found


def bound(node: Node, xs: Sequence[Array | None], graph: SpikeGraph, most: int) -> Array:
    """The largest absolute numbers that leave *node*, [*shape]."""
    out = replace(graph.edges[node.name], ticks=1)
    if out.is_events:
        return np.full(out.shape, most if out.max_count is None else out.max_count)
    match node:
        case Input():
            return np.full(out.shape, max(abs(node.low or 0), abs(node.high or 0)))
        case Neuron():
            return np.full(out.shape, 1 << (node.parameters.v_bits or 64) - 2)
        case SideOperation():
            largest = SIDES[node.operation].largest(node.constants)
            return np.full(out.shape, int(np.ceil(largest / float(np.min(node.scale)))))
        case Dense() | Conv() | Sparse():
            bias = None if node.bias is None else np.abs(node.bias)
            node = replace(node, weight=np.abs(node.weight.astype(np.int64)), bias=bias, delay=None)
        case Affine():
            gain, offset = np.abs(node.gain), np.abs(node.offset)
            if node.per_timestep:
                gain, offset = (a.max(axis=0) if a.ndim else a for a in (gain, offset))
            node = replace(node, gain=gain, offset=offset, per_timestep=False)
        case Pad():
            node = replace(node, value=np.abs(node.value))
        case _:
            pass
    ins = [replace(edge, ticks=1) for edge in edges_into(node, graph.edges)]
    given = [np.full(edge.shape, most) if x is None else x for x, edge in zip(xs, ins, strict=True)]
    return evaluate(node, [x[None, None] for x in given], ins, out, 0, is_integer=True)[0, 0]


def number_bits(largest: int) -> int:
    """The bits of a number from -largest to largest."""
    return largest.bit_length() + 1


def edge_bits(edge: Edge, largest: int, most: int) -> int:
    """The bits of what a message on *edge* carries; 0: a bare spike."""
    if edge.kind is Kind.SPIKE:
        return 0
    if edge.kind is Kind.COUNT:
        return (edge.max_count or most).bit_length()
    return number_bits(largest)
