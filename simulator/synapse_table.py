"""Synapse nodes as the arrays that kernels take, and the synapses behind each input address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array, Conv, Dense, Pool, Shape, Sparse
from snncc.simulator.dense_synapse import Matrix, matrix_of
from snncc.simulator.synapse_kernel import pooled, scatter_conv, scatter_dense, scatter_table

Ints = NDArray[np.int64]
Weighted = Dense | Conv | Sparse


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """How many synapses, and how many of nonzero weight, an event at each input address meets."""

    every: Ints
    nonzero: Ints

    @property
    def synapses(self) -> int:
        """All synapses of the node."""
        return int(self.every.sum())


def fan_of(node: Weighted | Pool, shape: Shape, out: Shape) -> Fan:
    """The fan of *node*, whose input has *shape* and whose output has the shape *out*."""
    size = prod(shape)
    match node:
        case Dense():
            outs, used = node.weight.shape[0], np.count_nonzero(node.weight, axis=0)
            return Fan(np.full(size, outs, np.int64), np.tile(used, size // len(used)).astype(np.int64))
        case Conv():
            per_group = node.weight.shape[0] // node.groups
            grouped = node.weight.reshape(node.groups, per_group, *node.weight.shape[1:])
            used = np.count_nonzero(grouped, axis=1).reshape(shape[0], *node.weight.shape[2:])
            padding = (node.padding[0], node.padding[2])
            sizes = (shape[1:], out[1:], node.stride, padding, node.dilation)
            return Fan(
                spread(np.full(used.shape, per_group), *sizes).reshape(-1), spread(used, *sizes).reshape(-1)
            )
        case Sparse():
            counts = np.bincount(node.pre, minlength=size)
            used = np.bincount(node.pre[node.weight != 0], minlength=size)
            return Fan(counts.astype(np.int64), used.astype(np.int64))
        case Pool():
            padding = (node.padding[0], node.padding[2])
            ones = np.ones((1, *node.kernel), np.int64)
            one = spread(ones, shape[-2:], out[-2:], node.stride, padding, (1, 1))
            every = np.broadcast_to(one, (size // one.size, *one.shape[1:])).reshape(-1)
            return Fan(every, every)
        case _:
            assert_never(node)


def spread(
    taps: Array,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Ints:
    """For each address [C, *shape] the sum of those *taps* [C, kh, kw] that fall inside the map *out*."""
    total = np.zeros((len(taps), *shape), np.int64)
    for ky in range(taps.shape[1]):
        for kx in range(taps.shape[2]):
            rows, columns = (
                inside(k * d - p, s, n, size)
                for n, s, k, d, p, size in zip(out, stride, (ky, kx), dilation, padding, shape, strict=True)
            )
            total[:, rows, columns] += taps[:, ky, kx, None, None]
    return total


def inside(first: int, step: int, count: int, size: int) -> slice:
    """Those of the *count* places from *first* on, *step* apart, that lie in 0..*size* - 1."""
    skipped = max(0, -(first // step))
    start = first + skipped * step
    return slice(start, max(start, min(first + count * step, size)), step)


@dataclass(frozen=True, slots=True, eq=False)
class SynapseTable:
    """A synapse node without delays of its own, its weight arranged for the kernels."""

    node: Weighted
    shape: Shape
    out: Shape
    weight: Ints
    matrix: Matrix | None

    def summed(self, x: Ints) -> Ints:
        """The sums that reach the targets, without shift and bias: [N, *shape] -> [N, *out].

        As a matrix product where many of the numbers are not zero, else number by number.
        """
        found = None if self.matrix is None else self.matrix.product(x)
        return self.scattered(x) if found is None else found

    def scattered(self, x: Ints) -> Ints:
        """The same, number by number."""
        node = self.node
        match node:
            case Dense():
                dense = np.zeros((x.size // node.weight.shape[1], node.weight.shape[0]), np.int64)
                scatter_dense(x.reshape(-1, node.weight.shape[1]), self.weight, dense)
                return dense.reshape(len(x), *self.out)
            case Conv():
                _, oh, ow = self.out
                whole = np.zeros((len(x), oh, ow, node.groups, self.weight.shape[-1]), np.int64)
                grouped = x.reshape(len(x), node.groups, -1, *self.shape[1:])
                scatter_conv(
                    *(grouped, self.weight, pair(node.stride)),
                    *(pair(node.padding[::2]), pair(node.dilation), whole),
                )
                return whole.reshape(len(x), oh, ow, -1).transpose(0, 3, 1, 2)
            case Sparse():
                table = np.zeros((len(x), prod(self.out)), np.int64)
                scatter_table(x.reshape(len(x), -1), int64(node.pre), int64(node.post), self.weight, table)
                return table.reshape(len(x), *self.out)
            case _:
                assert_never(node)


def synapse_tables(node: Weighted, shape: Shape, out: Shape) -> dict[int, SynapseTable]:
    """The tables of *node* by the delay of their synapses."""
    if node.delay is None:
        return {0: SynapseTable(node, shape, out, arranged(node, node.weight), matrix_of(node, out))}
    return {
        int(delay): SynapseTable(
            replace(node, delay=None), shape, out, arranged(node, node.weight * (node.delay == delay)), None
        )
        for delay in np.unique(node.delay)
    }


def arranged(node: Weighted, weight: Array) -> Ints:
    """*weight* with the targets last."""
    match node:
        case Dense():
            return int64(weight.T)
        case Conv():
            grouped = weight.reshape(node.groups, -1, *weight.shape[1:])
            return int64(grouped.transpose(0, 2, 3, 4, 1))
        case Sparse():
            return int64(weight)
        case _:
            assert_never(node)


def pool_sums(node: Pool, x: Ints, out: Shape) -> Ints:
    """The sums over windows: [N, *shape] -> [N, *out]."""
    maps = x.reshape(-1, *x.shape[-2:])
    sums = np.zeros((len(maps), *out[-2:]), np.int64)
    pooled(maps, pair(node.kernel), pair(node.stride), pair(node.padding[::2]), sums)
    return sums.reshape(len(x), *out)


def pair(values: tuple[int, ...]) -> Ints:
    return np.array(values, np.int64)


def int64(array: Array) -> Ints:
    """A contiguous 64-bit copy."""
    return np.array(array, np.int64, order="C")
