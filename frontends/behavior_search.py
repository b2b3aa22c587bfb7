"""The smallest input that makes a monotone answer true: to the last bit of a double."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snncc.ir import Array

LARGE = 2.0**40
"""Inputs beyond this size are not tried."""
MOST_PARTS = 64
"""Intervals of a round, of which one is left; fewer where that would be too many points at once."""
POINTS = 1 << 18


def ordered(values: Array) -> Array:
    """Doubles as integers in the same order, neighbors one apart."""
    bits = np.asarray(values, np.float64).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def double(numbers: Array) -> Array:
    """The inverse of `ordered`."""
    numbers = np.asarray(numbers, np.int64)
    bits = np.where(numbers < 0, np.int64(-(2**63)) - numbers, numbers)
    return np.ascontiguousarray(bits).view(np.float64)


def smallest(passes: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The smallest double in (low, high] for which *passes*, a monotone answer, is true.

    *passes* gets [points, *shape] and answers in that shape. -inf where it is true at *low*, inf where it
    is false at *high*.
    """
    ends = passes(np.stack([low, np.zeros_like(low), high]))
    # Split at 0 first, so that the difference of two ordered numbers fits into an int64.
    start = ordered(np.where(ends[1], low, 0.0))
    stop = ordered(np.where(ends[1], 0.0, high))
    parts = max(2, min(MOST_PARTS, POINTS // max(1, low.size)))
    number = np.arange(1, parts).reshape(-1, *[1] * low.ndim)
    while (stop - start > 1).any():
        whole, rest = np.divmod(stop - start, parts)
        points = start + whole * number + rest * number // parts
        true = passes(double(points))
        is_any = true.any(axis=0)
        first = np.where(is_any, true.argmax(axis=0), parts - 1)[None]
        edges = np.concatenate([start[None], points, stop[None]])
        start = np.take_along_axis(edges, first, 0)[0]
        stop = np.where(is_any, np.take_along_axis(edges, first + 1, 0)[0], stop)
    return np.where(ends[0], -np.inf, np.where(ends[2], double(stop), np.inf))
