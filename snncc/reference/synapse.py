"""What synapses compute, written to be obviously right: arrays [N, *shape], floats or integers alike."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

from snncc.ir import Array, Conv, Dense, Pool, Shape, Sparse

Weighted = Dense | Conv | Sparse


def weighted_sum(node: Weighted, x: Array, shape: Shape) -> Array:
    """The sum that reaches each target, without bias and shift: [N, *in] -> [N, *shape]."""
    match node:
        case Dense():
            return x @ node.weight.T.astype(x.dtype)
        case Conv():
            return correlate(x, node.weight.astype(x.dtype), node, shape)
        case Sparse():
            flat = x.reshape(len(x), -1)
            out = np.zeros((len(x), int(np.prod(shape))), x.dtype)
            np.add.at(out.T, node.post, (flat[:, node.pre] * node.weight.astype(x.dtype)).T)
            return out.reshape(len(x), *shape)
        case _:
            assert_never(node)


def correlate(x: Array, weight: Array, node: Conv, shape: Shape) -> Array:
    """Cross-correlation of [N, C, H, W], one kernel tap at a time."""
    padded = pad(x, node.padding)
    (sy, sx), (dy, dx) = node.stride, node.dilation
    _, oh, ow = shape
    out = np.zeros((len(x), *shape), x.dtype)
    for group in range(node.groups):
        rows = slice(group * shape[0] // node.groups, (group + 1) * shape[0] // node.groups)
        columns = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
        for ky in range(weight.shape[2]):
            for kx in range(weight.shape[3]):
                seen = padded[
                    :,
                    columns,
                    ky * dy : ky * dy + (oh - 1) * sy + 1 : sy,
                    kx * dx : kx * dx + (ow - 1) * sx + 1 : sx,
                ]
                out[:, rows] += np.tensordot(seen, weight[rows, :, ky, kx], (1, 1)).transpose(0, 3, 1, 2)
    return out


def pad(x: Array, padding: tuple[int, int, int, int], value: float = 0) -> Array:
    """*x* with its last two axes padded by (top, bottom, left, right)."""
    top, bottom, left, right = padding
    width = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(x, width, constant_values=x.dtype.type(value))


def windows(
    x: Array, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], shape: Shape
) -> list[Array]:
    """For each tap of a window over the last two axes, what it sees: arrays [..., oh, ow]."""
    (sy, sx), (dy, dx) = stride, dilation
    oh, ow = shape[-2:]
    return [
        x[..., ky * dy : ky * dy + (oh - 1) * sy + 1 : sy, kx * dx : kx * dx + (ow - 1) * sx + 1 : sx]
        for ky in range(kernel[0])
        for kx in range(kernel[1])
    ]


def pooled_sum(node: Pool, x: Array, shape: Shape) -> Array:
    """The sum over each window: [..., H, W] -> [..., oh, ow]."""
    seen = windows(pad(x, node.padding), node.kernel, node.stride, (1, 1), shape)
    return np.sum(seen, axis=0, dtype=x.dtype)


def with_unit_weights(node: Weighted, *, only_nonzero: bool) -> Weighted:
    """*node* with weight 1 in place of every existing (or every nonzero) weight: counts operations."""
    ones = (node.weight != 0).astype(np.int64) if only_nonzero else np.ones(node.weight.shape, np.int64)
    return replace(node, weight=ones)
