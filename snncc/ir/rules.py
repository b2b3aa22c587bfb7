"""Rules that several nodes share when an edge is inferred: windows, scales, bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from snncc.ir.arrays import Array, Shape, simplest
from snncc.ir.edges import Edge
from snncc.ir.nodes import Conv

SCALE_TOLERANCE = 1e-9
"""Relative difference up to which two scales are one: they come from products in different order."""


class Misfit(Exception):
    """A node cannot take its inputs; becomes an `InvalidGraph` that names the node."""


def uniform(edge: Edge, what: str) -> Array:
    """The scale of *edge*, which must be one number for *what*."""
    scale = simplest(edge.scale)
    if scale.ndim:
        raise Misfit(f"{what} needs one scale for its whole input, not one per channel")
    return scale


def equal_shapes(ins: Sequence[Edge]) -> None:
    if len({e.shape for e in ins}) > 1:
        raise Misfit(f"shapes differ: {', '.join(str(e.shape) for e in ins)}")


def scales_agree(ins: Sequence[Edge]) -> bool:
    """Whether all *ins* have one scale."""
    return all(np.allclose(e.scale, ins[0].scale, rtol=SCALE_TOLERANCE, atol=0) for e in ins[1:])


def conv_shape(node: Conv, shape: Shape) -> Shape:
    if len(shape) != 3 or node.weight.ndim != 4:
        raise Misfit(
            f"takes [channels, height, width] and a weight of 4 axes, not {shape}, {node.weight.shape}"
        )
    out, per_group, kh, kw = node.weight.shape
    if per_group * node.groups != shape[0] or out % node.groups:
        raise Misfit(
            f"weight {node.weight.shape} with {node.groups} groups takes {per_group * node.groups} channels, "
            f"not {shape[0]}"
        )
    _, h, w = window_shape(shape, (kh, kw), node.stride, node.padding, node.dilation)
    return (out, h, w)


def window_shape(
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Shape:
    """The shape after windows have passed over the last two axes of *shape* (incomplete windows drop)."""
    if len(shape) < 2 or min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise Misfit(f"no window {kernel}, stride {stride}, padding {padding} over shape {shape}")
    *rest, h, w = shape
    top, bottom, left, right = padding
    oh = (h + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    ow = (w + left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    if oh < 1 or ow < 1:
        raise Misfit(f"the window {kernel} with padding {padding} is larger than the map {h}x{w}")
    return (*rest, oh, ow)


def bound_of(ins: Sequence[Edge]) -> int | None:
    bounds = [e.max_count for e in ins]
    return None if None in bounds else max(b for b in bounds if b is not None)


def moved(edge: Edge, shape: Shape, move: Callable[[Array], Array]) -> Edge:
    """*edge* after its signals moved into *shape*; *move* does the same to an array of its shape."""
    scale = simplest(edge.scale)
    if scale.ndim:
        scale = simplest(move(np.broadcast_to(scale, edge.shape)))
    return Edge(edge.kind, shape, scale, edge.max_count, edge.ticks)
