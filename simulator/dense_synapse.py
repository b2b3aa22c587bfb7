"""Synapses as matrix products, for inputs of which many numbers are not zero (images, counts, currents).

Products of floats are exact here: every sum of absolute values stays below 2^24 (32 bits) or 2^53 (64 bits),
so every partial sum, in whatever order, is an integer that the float holds.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Conv, Dense, Shape

Ints = NDArray[np.int64]
Floats = NDArray[Any]

BREAK_EVEN = {np.float32: 0.4, np.float64: 0.6}
"""From which share of nonzero numbers on the product is faster (benchmarks/DENSE_SHARE.md)."""
WORTH = 1 << 16
"""Multiplications below which nothing is gained."""
BLOCK_BYTES = 1 << 21
"""How much memory the windows of a block of maps may take: they should stay in the cache."""


@dataclass(slots=True, eq=False)
class Matrix:
    """The weight of a dense layer, or of a convolution without groups, as [ins, outs]."""

    node: Dense | Conv
    out: Shape
    largest: int
    """The largest sum of absolute weights of an output."""
    weights: dict[type[np.floating[Any]], Floats] = field(default_factory=dict)

    def product(self, x: Ints) -> Ints | None:
        """The sums [N, *out] for *x* [N, *shape]; None where a product is slower, or not exact."""
        if x.size * self.node.weight.shape[0] < WORTH:
            return None
        kind = self.exact_kind(int(np.abs(x).max(initial=0)))
        if kind is None or np.count_nonzero(x) < BREAK_EVEN[kind] * x.size:
            return None
        with ONE_THREAD:
            return self.multiplied(x, kind)

    def multiplied(self, x: Ints, kind: type[np.floating[Any]]) -> Ints:
        """The product in floats of *kind*."""
        weight = self.weights.get(kind)
        if weight is None:
            weight = self.weights.setdefault(kind, arranged(self.node).astype(kind))
        if isinstance(self.node, Dense):
            sums = x.reshape(-1, len(weight)).astype(kind) @ weight
            return sums.astype(np.int64).reshape(len(x), *self.out)
        return convolved(self.node, self.out, x, weight)

    def exact_kind(self, top: int) -> type[np.floating[Any]] | None:
        """The narrowest float that holds every sum if no number is larger than *top*."""
        for kind, limit in ((np.float32, 1 << 24), (np.float64, 1 << 53)):
            if top * self.largest <= limit:
                return kind
        return None


def matrix_of(node: object, out: Shape) -> Matrix | None:
    """The matrix of a synapse node, None where it has none that is worth while."""
    if not isinstance(node, Dense | Conv) or node.delay is not None:
        return None
    if isinstance(node, Conv) and node.groups > 1:
        return None
    sums = np.abs(node.weight.astype(np.int64)).reshape(len(node.weight), -1).sum(axis=1)
    return Matrix(node, out, int(sums.max(initial=0)))


def arranged(node: Dense | Conv) -> Floats:
    """The weight [ins, outs]; of a convolution the inputs are kernel rows, columns, channels."""
    if isinstance(node, Dense):
        return np.ascontiguousarray(node.weight.T)
    return np.ascontiguousarray(node.weight.transpose(2, 3, 1, 0).reshape(-1, len(node.weight)))


def convolved(node: Conv, out: Shape, x: Ints, weight: Floats) -> Ints:
    """The sums [N, *out] of a convolution of *x* [N, channels, h, w], a block of samples at a time."""
    outs, height, width = out
    sums = np.empty((len(x), *out), np.int64)
    step = max(1, BLOCK_BYTES // (height * width * len(weight) * weight.itemsize))
    for start in range(0, len(x), step):
        windows = windows_of(node, (height, width), x[start : start + step], weight.dtype)
        block = (windows.reshape(-1, len(weight)) @ weight).reshape(-1, height * width, outs)
        sums[start : start + step] = block.transpose(0, 2, 1).reshape(-1, *out)
    return sums


def windows_of(node: Conv, size: tuple[int, int], x: Ints, kind: Any) -> Floats:
    """What each output sees: [N, height, width, kernel rows, kernel columns, channels]."""
    (kh, kw), (sy, sx), (dy, dx) = node.weight.shape[2:], node.stride, node.dilation
    top, bottom, left, right = node.padding
    count, channels, h, w = x.shape
    padded = np.zeros((count, h + top + bottom, w + left + right, channels), kind)
    padded[:, top : top + h, left : left + w] = x.transpose(0, 2, 3, 1)
    n, y, xx, c = padded.strides
    shape = (count, *size, kh, kw, channels)
    strides = (n, y * sy, xx * sx, y * dy, xx * dx, c)
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


class OneThread:
    """Inside, the matrix product of NumPy takes one thread: a run shares out samples over its own.

    That holds for the whole process: the first that enters says so, the last that leaves takes it back.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.limit = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limit.enter_context(controller().limit(limits=1, user_api="blas"))
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limit.close()


ONE_THREAD = OneThread()


@cache
def controller() -> Any:
    """What knows the libraries of this process."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
