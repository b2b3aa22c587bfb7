"""What each stateless node computes in one timestep: carried numbers [B, ticks, *shape]."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Edge,
    Gate,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Node,
    Output,
    Pad,
    Pool,
    Product,
    Reshape,
    Slice,
    Sparse,
    Transpose,
    place,
)
from snncc.reference.synapse import pad, pooled_sum, weighted_sum, windows


def evaluate(
    node: Node, xs: Sequence[Array], ins: Sequence[Edge], out: Edge, t: int, *, is_integer: bool
) -> Array:
    """The carried numbers that leave *node* at timestep *t*; neurons and synapse delays live elsewhere."""
    x = xs[0]
    match node:
        case Dense() | Conv() | Sparse():
            return biased(node, weighted_sum_of(node, real(x, ins[0], is_integer), out), out)
        case Pool():
            return per_tick(x, lambda flat: pooled_sum(node, flat, out.shape))
        case MaxPool():
            lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(np.int64).min
            padded = pad(completed(x, out), node.padding, 0 if ins[0].is_events else lowest)
            return np.max(windows(padded, node.kernel, node.stride, node.dilation, out.shape), axis=0)
        case Maximum():
            left, right = (with_ticks(completed(y, out), out.ticks) for y in xs)
            return np.maximum(left, right)
        case Affine():
            gain, offset = (a[t] if node.per_timestep and a.ndim else a for a in (node.gain, node.offset))
            y = real(x, ins[0], is_integer) * gain.astype(x.dtype)
            y[:, 0] += offset.astype(x.dtype)
            return y
        case Pad():
            return padded_with(node, x, ins[0], is_integer)
        case Mul():
            left, right = (
                real(y, e, is_integer).sum(axis=1, keepdims=True) for y, e in zip(xs, ins, strict=True)
            )
            return left * right
        case Add():
            return total(xs, ins, out, is_integer)
        case Reshape():
            return x.reshape(*x.shape[:2], *node.shape)
        case Transpose():
            return x.transpose(0, 1, *(2 + axis for axis in node.axes))
        case Slice():
            index = [slice(None)] * x.ndim
            index[2 + node.axis] = slice(node.start, node.stop, node.step)
            return x[tuple(index)]
        case Concat():
            parts = zip(xs, ins, strict=True)
            analog = out.kind is Kind.ANALOG
            joined = [with_ticks(real(y, e, is_integer) if analog else y, out.ticks) for y, e in parts]
            return np.concatenate(joined, 2 + node.axis)
        case DynamicSynapse():
            left, right = (y.sum(axis=1, keepdims=True) for y in xs)
            return dynamic_product(node, left, right, out)
        case Gate():
            return x * xs[1].sum(axis=1, keepdims=True)
        case Output():
            return x.sum(axis=1, keepdims=True)
        case _:
            raise AssertionError(f"{place(node)} is no function of one timestep")


def dynamic_product(node: DynamicSynapse, left: Array, right: Array, out: Edge) -> Array:
    """The product of complete counts [B, 1, *shape]; a dynamic synapse multiplies carried numbers."""
    if node.product is Product.ELEMENTWISE:
        return left * right
    a, b = as_matrices(node, left, right)
    if a.dtype.kind == "f" or out.max_count is None or out.max_count >= EXACT:
        return a @ b
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype)


EXACT = 1 << 53
"""Sums of integers below this are exact in float64, where products of matrices are fast."""


def as_matrices(node: DynamicSynapse, left: Array, right: Array) -> tuple[Array, Array]:
    """The operands of a matrix product, transposed as *node* says."""
    return tuple(  # type: ignore[return-value]
        x.swapaxes(-1, -2) if flip else x for x, flip in zip((left, right), node.transpose, strict=True)
    )


def real(x: Array, edge: Edge, is_integer: bool) -> Array:
    """What a float graph computes with: real values; an integer graph computes with carried numbers."""
    return x if is_integer else x * edge.scale


def weighted_sum_of(node: Dense | Conv | Sparse, x: Array, out: Edge) -> Array:
    return per_tick(x, lambda flat: weighted_sum(node, flat, out.shape))


def biased(node: Dense | Conv | Sparse, y: Array, out: Edge) -> Array:
    """Shift, then the bias in the first tick."""
    if node.shift:
        y = y << node.shift
    if node.bias is not None:
        y[:, 0] += node.bias.astype(y.dtype)
    return y


def per_tick(x: Array, function: Callable[[Array], Array]) -> Array:
    """Apply *function* to [B * ticks, *shape]."""
    y = function(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])


def completed(x: Array, out: Edge) -> Array:
    """A maximum of spikes is taken tick by tick (OR); of other numbers, after they are summed over ticks."""
    return x if out.kind is Kind.SPIKE else x.sum(axis=1, keepdims=True)


def with_ticks(x: Array, ticks: int) -> Array:
    """*x* with silent ticks appended."""
    missing = ticks - x.shape[1]
    return np.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2)) if missing else x


def total(xs: Sequence[Array], ins: Sequence[Edge], out: Edge, is_integer: bool) -> Array:
    """The sum of signals, as counts or as values."""
    values = [x if out.is_events else real(x, e, is_integer) for x, e in zip(xs, ins, strict=True)]
    return np.sum([with_ticks(x, max(v.shape[1] for v in values)) for x in values], axis=0)


def padded_with(node: Pad, x: Array, edge: Edge, is_integer: bool) -> Array:
    """*x* padded; a value for each channel enters in the first tick."""
    value = node.value.astype(x.dtype) if is_integer else node.value / edge.scale
    inside = pad(np.ones(x.shape[2:], bool), node.padding)
    y = pad(x, node.padding)
    y[:, 0] = np.where(inside, y[:, 0], value)
    return y
