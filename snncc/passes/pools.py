"""Fold pooling into the convolution beside it: one convolution with a larger kernel and stride."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir import Add, Array, Conv, Node, Pool, Shape, SpikeGraph
from snncc.passes.pipeline import Preserves
from snncc.passes.rewrite import only_reader, without
from snncc.reference.synapse import pooled_sum


@dataclass(frozen=True, slots=True)
class FoldPools:
    """A convolution and a pool (average or sum) of what it computes become one convolution.

    Its kernel has the size ``(k - 1) * stride + kernel`` and its stride is the product of both. A pool of the
    sum of several convolutions goes into each of them. With *of_events* a pool of spikes or counts that one
    convolution alone reads goes into that convolution, too. What stays: a pool with padding behind a
    convolution, pools beside dilated convolutions, pools before a convolution whose padding would see what
    the pool leaves out at an edge, and everything that something else reads as well.
    """

    of_events: bool = False
    name: ClassVar[str] = "fold-pools"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        if graph.is_integer:
            return graph
        while True:
            for node in graph.nodes:
                if isinstance(node, Pool) and (changed := self.folded(graph, node)) is not None:
                    graph = changed
                    break
            else:
                return graph

    def folded(self, graph: SpikeGraph, pool: Pool) -> SpikeGraph | None:
        """*graph* without *pool*; None where it has to stay."""
        behind = into_convs_before(graph, pool)
        if behind is None and self.of_events and graph.edges[pool.inputs[0].source].is_events:
            return into_conv_behind(graph, pool)
        return behind


def into_convs_before(graph: SpikeGraph, pool: Pool) -> SpikeGraph | None:
    """A pool of currents goes into the convolutions that compute them."""
    if any(pool.padding) or has_initial(graph, pool):
        return None
    convs = convs_before(graph, pool)
    if convs is None:
        return None
    table = {conv.name: pooled_conv(graph, conv, pool) for conv in convs}
    nodes: list[Node] = [table.get(node.name, node) for node in graph.nodes]
    return graph.with_nodes(without(nodes, {pool.name: pool.inputs[0].source}))


def convs_before(graph: SpikeGraph, node: Node) -> tuple[Conv, ...] | None:
    """The convolutions that *node* alone reads, or the sums of which; None where there is anything else."""
    found: list[Conv] = []
    for wire in node.inputs:
        source = graph.by_name[wire.source]
        if wire.delay or set(graph.readers[source.name]) != {node.name}:
            return None
        if isinstance(source, Conv) and is_plain(source):
            found.append(source)
        elif isinstance(source, Add) and (parts := convs_before(graph, source)) is not None:
            found += parts
        else:
            return None
    return tuple(found)


def has_initial(graph: SpikeGraph, node: Node) -> bool:
    """Whether a later reader of *node* is given values, which are in steps of its scale."""
    readers = (graph.by_name[name] for name in graph.readers[node.name])
    return any(w.source == node.name and w.initial is not None for reader in readers for w in reader.inputs)


def is_plain(conv: Conv) -> bool:
    """Whether a convolution has no gaps in its kernel and no delays."""
    return conv.delay is None and conv.dilation == (1, 1)


def pooled_conv(graph: SpikeGraph, conv: Conv, pool: Pool) -> Conv:
    """*conv*, whose sums *pool* pools, with the pool in it.

    Its padding stays: what both leave out at the lower and right edge is less than the new stride.
    """
    return replace(
        conv,
        weight=composed(conv.weight, share_of(pool), conv.stride),
        bias=None if conv.bias is None else pooled_bias(conv.bias, pool, graph.edges[conv.name].shape),
        stride=(conv.stride[0] * pool.stride[0], conv.stride[1] * pool.stride[1]),
        origin=both_origins(conv, pool),
    )


def share_of(pool: Pool) -> Array:
    """The pool as a kernel [kh, kw]."""
    return np.full(pool.kernel, 1 / (pool.kernel[0] * pool.kernel[1]) if pool.is_average else 1.0)


def composed(first: Array, second: Array, apart: tuple[int, int]) -> Array:
    """The kernel of *second* behind *first*, whose sums are *apart* rows and columns: [..., kh, kw]."""
    (rows, columns), (count_y, count_x) = first.shape[-2:], second.shape[-2:]
    size = ((count_y - 1) * apart[0] + rows, (count_x - 1) * apart[1] + columns)
    kernel = np.zeros((*np.broadcast_shapes(first.shape[:-2], second.shape[:-2]), *size))
    for y in range(count_y):
        for x in range(count_x):
            top, left = y * apart[0], x * apart[1]
            part = first * second[..., y, x, None, None]
            kernel[..., top : top + rows, left : left + columns] += part
    return kernel


def pooled_bias(bias: Array, pool: Pool, shape: Shape) -> Array:
    """What the pool makes of a bias that broadcasts to *shape*."""
    share = share_of(pool)
    if bias.size == 1 or bias.shape[-2:] == (1, 1):
        return bias if pool.is_average else bias * share.size
    return pooled_sum(pool, np.broadcast_to(bias, shape)[None], out_shape(pool, shape))[0] * share[0, 0]


def out_shape(pool: Pool, shape: Shape) -> Shape:
    """The shape behind an unpadded pool."""
    sides = zip(shape[-2:], pool.kernel, pool.stride, strict=True)
    return (*shape[:-2], *((size - kernel) // stride + 1 for size, kernel, stride in sides))


def both_origins(conv: Conv, pool: Pool) -> str:
    """The user's names of both."""
    return " with ".join(origin for origin in (conv.origin, pool.origin) if origin)


def into_conv_behind(graph: SpikeGraph, pool: Pool) -> SpikeGraph | None:
    """A pool goes into the convolution that alone reads it."""
    conv = only_reader(graph, pool.name)
    if not isinstance(conv, Conv) or not is_plain(conv):
        return None
    shapes = (graph.edges[name].shape for name in (pool.inputs[0].source, pool.name, conv.name))
    sizes = zip(*(shape[-2:] for shape in shapes), strict=True)
    paddings = [padding_of(pool, conv, axis, *size) for axis, size in enumerate(sizes)]
    if None in paddings:
        return None
    new = replace(
        conv,
        inputs=pool.inputs,
        weight=composed(share_of(pool), conv.weight, pool.stride),
        stride=(conv.stride[0] * pool.stride[0], conv.stride[1] * pool.stride[1]),
        padding=tuple(side for pair in paddings if pair is not None for side in pair),  # type: ignore[arg-type]
        origin=both_origins(conv, pool),
    )
    return graph.with_nodes(new if node is conv else node for node in graph.nodes if node is not pool)


def padding_of(pool: Pool, conv: Conv, axis: int, size: int, pooled: int, out: int) -> tuple[int, int] | None:
    """The padding at both ends of *axis* of one convolution that does what both do; None: there is none.

    Where the convolution reads beyond the *pooled* windows it has to find nothing: no window may reach from
    there into the *size* pixels, and none of those may be left over.
    """
    window, step = pool.kernel[axis], pool.stride[axis]
    before, first = pool.padding[2 * axis], conv.padding[2 * axis]
    last = (out - 1) * conv.stride[axis] - first + conv.weight.shape[2 + axis] - 1
    if first and window > step + before:
        return None
    if last >= pooled and pooled * step - before < size:
        return None
    top = first * step + before
    bottom = last * step - before + window - size
    # As much as at the other end, where that adds no output.
    is_same = bottom <= top < bottom + conv.stride[axis] * step
    return top, top if is_same else max(bottom, 0)
