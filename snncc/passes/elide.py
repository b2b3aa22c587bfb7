"""Remove what cannot change a number: identities, and nodes that no output depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Concat,
    Input,
    MaxPool,
    Node,
    Output,
    Pad,
    Pool,
    Reshape,
    Slice,
    SpikeGraph,
    Transpose,
)
from snncc.passes.pipeline import Preserves
from snncc.passes.rewrite import without


@dataclass(frozen=True, slots=True)
class ElideIdentities:
    """Drop identity nodes and nodes that no output depends on; join reshapes of reshapes."""

    name: ClassVar[str] = "elide-identities"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        graph = graph.with_nodes(joined(graph, node) for node in graph.nodes)
        bypass = {
            node.name: node.inputs[0].source
            for node in graph.nodes
            if len(node.inputs) == 1 and node.inputs[0].delay == 0 and is_identity(node, graph)
        }
        graph = graph.with_nodes(without(graph.nodes, bypass))
        alive = needed(graph)
        return graph.with_nodes(node for node in graph.nodes if node.name in alive)


def is_identity(node: Node, graph: SpikeGraph) -> bool:
    """Whether *node* hands on what it reads, unchanged."""
    source, edge = graph.edges[node.inputs[0].source], graph.edges[node.name]
    match node:
        case Reshape() | Slice():
            return source.shape == edge.shape
        case Transpose():
            return node.axes == tuple(range(len(node.axes)))
        case Add() | Concat():
            return source.kind is edge.kind  # a sum of one stream is a count, whose maximum is no OR
        case Affine():
            ones = np.all(node.gain == 1) and np.all(node.gain_scale == 1)
            return bool(ones and np.all(node.offset == 0) and not source.is_events)
        case Pad():
            return not any(node.padding)
        case Pool() | MaxPool():
            window = (node.kernel, node.stride) == ((1, 1), (1, 1)) and not any(node.padding)
            return window and source.kind is edge.kind
        case _:
            return False


def joined(graph: SpikeGraph, node: Node) -> Node:
    """A reshape that reads a reshape reads what that one reads."""
    if isinstance(node, Reshape) and node.inputs[0].delay == 0:
        source = graph.by_name[node.inputs[0].source]
        if isinstance(source, Reshape) and source.inputs[0].delay == 0:
            return joined(graph, replace(node, inputs=source.inputs))
    return node


def needed(graph: SpikeGraph) -> set[str]:
    """Names of the nodes on which an output depends; inputs always stay."""
    alive: set[str] = {node.name for node in graph.nodes if isinstance(node, Input | Output)}
    front = list(alive)
    while front:
        for wire in graph.by_name[front.pop()].inputs:
            if wire.source not in alive:
                alive.add(wire.source)
                front.append(wire.source)
    return alive
