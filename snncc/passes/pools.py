"""Fold pooling of currents into the convolution before it: one convolution with a larger kernel and stride."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import Array, Conv, Node, Pool, SpikeGraph
from snncc.passes.pipeline import Preserves
from snncc.passes.rewrite import only_source, without


@dataclass(frozen=True, slots=True)
class FoldPools:
    """A convolution whose sums are pooled (average or sum) becomes one convolution.

    Its kernel has the size ``(k - 1) * stride + kernel``, its stride is the product of both: every weight is
    the sum of those that the window brings to one place. Pools with padding, with a window that overlaps
    itself, behind dilated convolutions or sums that something else reads stay as they are.
    """

    name: ClassVar[str] = "fold-pools"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        if graph.is_integer:
            return graph
        while True:
            for node in graph.nodes:
                if isinstance(node, Pool) and (conv := pooled_conv(graph, node)) is not None:
                    graph = folded(graph, node, conv)
                    break
            else:
                return graph


def pooled_conv(graph: SpikeGraph, pool: Pool) -> Conv | None:
    """The convolution whose sums alone *pool* reads; None where it cannot be folded."""
    conv = only_source(graph, pool)
    plain = isinstance(conv, Conv) and conv.delay is None and conv.dilation == (1, 1)
    if not plain or any(pool.padding) or pool.stride != pool.kernel:
        return None
    assert isinstance(conv, Conv)
    is_even = conv.bias is None or np.ndim(conv.bias) < 2 or np.shape(conv.bias)[-2:] == (1, 1)
    return conv if is_even else None


def folded(graph: SpikeGraph, pool: Pool, conv: Conv) -> SpikeGraph:
    """*graph* with *pool* worked into *conv*."""
    (ky, kx), (sy, sx) = pool.kernel, conv.stride
    rows, columns = conv.weight.shape[2:]
    weight = np.zeros((*conv.weight.shape[:2], (ky - 1) * sy + rows, (kx - 1) * sx + columns))
    for y in range(ky):
        for x in range(kx):
            weight[:, :, y * sy : y * sy + rows, x * sx : x * sx + columns] += conv.weight
    windows = ky * kx
    height, width = graph.edges[conv.inputs[0].source].shape[-2:]
    out = graph.edges[pool.name].shape
    top, _, left, _ = conv.padding
    # What the pool leaves out at the lower and right edge is not read.
    bottom = (out[-2] - 1) * ky * sy + weight.shape[2] - height - top
    right = (out[-1] - 1) * kx * sx + weight.shape[3] - width - left
    if bottom < 0 or right < 0:
        weight, bottom, right = stretched(weight, -min(bottom, 0), -min(right, 0), bottom, right)
    bias = None if conv.bias is None else conv.bias * (1 if pool.is_average else windows)
    new = replace(
        conv,
        weight=weight / windows if pool.is_average else weight,
        bias=bias,
        stride=(sy * ky, sx * kx),
        padding=(top, bottom, left, right),
    )
    nodes: list[Node] = [new if node is conv else node for node in graph.nodes]
    return graph.with_nodes(without(nodes, {pool.name: conv.name}))


def stretched(weight: Array, rows: int, columns: int, bottom: int, right: int) -> tuple[Array, int, int]:
    """A kernel with *rows* and *columns* of zeros more, so that no edge has to be cut off."""
    wider = np.pad(weight, [(0, 0), (0, 0), (0, rows), (0, columns)])
    return wider, bottom + rows, right + columns


