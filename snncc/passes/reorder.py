"""Multiply three matrices of counts in the cheaper order: q (k^T v) in place of (q k^T) v."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from snncc.ir import DynamicSynapse, Node, Product, Shape, SpikeGraph, Wire
from snncc.passes.pipeline import Preserves


@dataclass(frozen=True, slots=True)
class ReorderProducts:
    """Products of three matrices of counts are taken in the order that multiplies less.

    Counts are integers, so both orders give the same numbers. Attention without softmax over N tokens costs
    N x N the one way and a head's channels squared the other: 3 to 7 times less in the networks of the
    literature. What is read elsewhere too, or moved in between, stays.
    """

    name: ClassVar[str] = "reorder-products"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        while True:
            for node in graph.nodes:
                changed = reordered(graph, node)
                if changed is not None:
                    graph = changed
                    break
            else:
                return graph


def reordered(graph: SpikeGraph, node: Node) -> SpikeGraph | None:
    """*graph* with the product *node* of a product taken the other way round, where that is cheaper."""
    outer = plain_product(node)
    if outer is None:
        return None
    for side in (0, 1):
        inner = plain_product(graph.by_name[outer.inputs[side].source])
        if inner is None or len(graph.readers[inner.name]) > 1:
            continue
        is_left = side == 0
        pair = inner.inputs
        wires = (*pair, outer.inputs[1]) if is_left else (outer.inputs[0], *pair)
        if any(wire.delay for wire in (*wires, outer.inputs[side])):
            continue
        left_first, right_first = costs([graph.edges[wire.source].shape for wire in wires])
        if is_left and right_first < left_first:
            new = (replace(inner, inputs=wires[1:], first=0), (wires[0], Wire(inner.name)))
        elif not is_left and left_first < right_first:
            new = (replace(inner, inputs=wires[:2], first=0), (Wire(inner.name), wires[2]))
        else:
            continue
        return rebuilt(graph, new[0], replace(outer, inputs=new[1], first=int(is_left)))
    return None


def plain_product(node: Node) -> DynamicSynapse | None:
    """*node* where it is a product of matrices as they are."""
    is_plain = isinstance(node, DynamicSynapse) and node.product is Product.MATMUL
    return node if is_plain and isinstance(node, DynamicSynapse) and not any(node.transpose) else None


def costs(shapes: list[Shape]) -> tuple[int, int]:
    """Multiplications of (a b) c and of a (b c), for each matrix of a stack."""
    (m, k), (n, p) = shapes[0][-2:], shapes[2][-2:]
    return m * k * n + m * n * p, k * n * p + m * k * p


def rebuilt(graph: SpikeGraph, inner: DynamicSynapse, outer: DynamicSynapse) -> SpikeGraph:
    """*graph* with both products as they are now, side by side: what *inner* reads may come late."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name == outer.name:
            nodes += [inner, outer]
        elif node.name != inner.name:
            nodes.append(node)
    return graph.with_nodes(nodes)
