"""What other software computed for the nodes of a graph, and whether two graphs are one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from snncc.errors import NotEqual
from snncc.ir import Array, NeuronParameters, Node, SpikeGraph, Wire
from snncc.ir.arrays import same


@dataclass(frozen=True, slots=True)
class Observation:
    """Real values in the graph's own order.

    *values* [T, B, *shape] by node, for those nodes that are a tensor in the other software; *outputs* of the
    model in float64 where the software can, *outputs32* in the model's own type: [T, B, *shape], or
    [B, *shape] where they are reduced over time.
    """

    values: Mapping[str, Array]
    outputs: Mapping[str, Array]
    outputs32: Mapping[str, Array]


def check_is_one(compiled: SpikeGraph, found: SpikeGraph, what: str) -> None:
    """Raise `NotEqual` unless the graph *found* in *what* is the one that was *compiled*."""
    if difference := first_difference(compiled, found):
        raise NotEqual(
            f"{difference}: {what} is not the one that the graph was traced from",
            hint="compile the model again",
        )


def first_difference(left: SpikeGraph, right: SpikeGraph) -> str:
    """The first node in which two graphs differ, as a diagnostic names it; empty if they are one."""
    for a, b in zip(left.nodes, right.nodes, strict=False):
        if not equal(a, b):
            return f"{b.name} ({b.origin})" if b.origin else b.name
    if len(left.nodes) != len(right.nodes):
        longer = max(left, right, key=lambda graph: len(graph.nodes))
        node = longer.nodes[min(len(left.nodes), len(right.nodes))]
        return f"{node.name} ({node.origin})" if node.origin else node.name
    return ""


def equal(left: Node, right: Node) -> bool:
    """Whether two nodes are the same in every field, numbers up to rounding."""
    if type(left) is not type(right):
        return False
    return all(
        equal_values(getattr(left, f.name), getattr(right, f.name))
        for f in fields(left)
        if f.name != "origin"
    )


def equal_values(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return same(left, right) or (
            left.shape == right.shape and bool(np.allclose(left, right, 1e-12, 1e-15))
        )
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return set(left) == set(right) and all(equal_values(left[name], right[name]) for name in left)
    if isinstance(left, NeuronParameters) and isinstance(right, NeuronParameters):
        return all(equal_values(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))
    if (
        isinstance(left, tuple)
        and isinstance(right, tuple)
        and all(isinstance(w, Wire) for w in (*left, *right))
    ):
        return [(w.source, w.delay) for w in left] == [(w.source, w.delay) for w in right]
    return bool(left == right)
