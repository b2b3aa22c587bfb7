"""Address arithmetic: which neurons the numbers behind a reshaping, a concatenation, a pool of events sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import Add, Concat, Node, Pad, Pool, Reshape, Shape, Slice, Transpose, place
from snncc.mapping.masks import Ints


def moved(node: Node, shape: Shape, sizes: Sequence[Shape], indices: Sequence[tuple[int, Ints]]) -> Ints:
    """What *node* makes of the source addresses that its inputs sum: (number of the input, [*shape, m])."""
    if isinstance(node, Add):
        return np.concatenate([np.broadcast_to(i, (*shape, i.shape[-1])) for _, i in indices], axis=-1)
    if isinstance(node, Concat):
        widest = max(index.shape[-1] for _, index in indices)
        pieces = [np.full((*size, widest), -1) for size in sizes]
        for k, index in indices:
            pieces[k][..., : index.shape[-1]] = index
        return np.concatenate(pieces, axis=node.axis)
    ((_, index),) = indices
    match node:
        case Reshape():
            return index.reshape(*shape, -1)
        case Transpose():
            return index.transpose(*node.axes, len(node.axes))
        case Slice():
            cut = [slice(None)] * index.ndim
            cut[node.axis] = slice(node.start, node.stop, node.step)
            return index[tuple(cut)]
        case Pad():
            if np.any(node.value):
                raise CannotLower(f"{place(node)}: pads events with {node.value}, a core can only pad with 0")
            return padded(index, node.padding)
        case Pool():
            return windows(padded(index, node.padding), node, shape)
        case _:
            raise CannotLower(f"{place(node)}: is no address arithmetic")


def padded(index: Ints, padding: tuple[int, int, int, int]) -> Ints:
    """Source addresses [..., H, W, m] with a border that reads nothing."""
    top, bottom, left, right = padding
    width = [(0, 0)] * (index.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    return np.pad(index, width, constant_values=-1)


def windows(index: Ints, node: Pool, shape: Shape) -> Ints:
    """Source addresses that each window of a pool sums, [*shape, kh * kw * m]."""
    view = np.lib.stride_tricks.sliding_window_view(index, node.kernel, axis=(-3, -2))
    picked = view[..., :: node.stride[0], :: node.stride[1], :, :, :][..., : shape[-2], : shape[-1], :, :, :]
    return picked.reshape(*shape, -1)
