"""Small steps that passes share: renaming what a node reads, and asking who reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from snncc.ir import Node, SpikeGraph

N = TypeVar("N", bound=Node)


def rewired(node: N, sources: Mapping[str, str]) -> N:
    """*node* reading ``sources[name]`` wherever it read *name*."""
    if not any(wire.source in sources for wire in node.inputs):
        return node
    inputs = tuple(replace(w, source=sources.get(w.source, w.source)) for w in node.inputs)
    return replace(node, inputs=inputs)


def without(nodes: Iterable[Node], bypass: Mapping[str, str]) -> tuple[Node, ...]:
    """*nodes* without the keys of *bypass*; their readers read the values instead, chains followed."""

    def end(name: str) -> str:
        while name in bypass:
            name = bypass[name]
        return name

    sources = {name: end(name) for name in bypass}
    return tuple(rewired(node, sources) for node in nodes if node.name not in bypass)


def only_reader(graph: SpikeGraph, name: str) -> Node | None:
    """The node that alone reads *name*, now and not later; None if there are several, or none."""
    readers = graph.readers[name]
    if len(readers) != 1:
        return None
    reader = graph.by_name[readers[0]]
    return None if any(w.source == name and w.delay for w in reader.inputs) else reader


def only_source(graph: SpikeGraph, node: Node) -> Node | None:
    """The node that *node* alone reads without delay, if nothing else reads it; else None."""
    if len(node.inputs) != 1 or node.inputs[0].delay:
        return None
    source = graph.by_name[node.inputs[0].source]
    return source if len(graph.readers[source.name]) == 1 else None
