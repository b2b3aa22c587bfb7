"""Arrays inside frozen nodes: copied on the way in, sealed against writing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


def sealed(values: ArrayLike) -> Array:
    """Return a read-only copy of *values* (numbers, at least zero-dimensional)."""
    copy = np.array(values)
    copy.setflags(write=False)
    return copy


def one() -> Array:
    """The scalar 1.0."""
    return sealed(1.0)


def zero() -> Array:
    """The scalar 0.0."""
    return sealed(0.0)


def seal_fields(node: object, *names: str) -> None:
    """Replace the array fields *names* of a frozen dataclass by sealed copies; None stays None."""
    for name in names:
        value = getattr(node, name)
        if value is not None:
            object.__setattr__(node, name, sealed(value))


def same(left: Array | None, right: Array | None) -> bool:
    """Whether two arrays, or two absences, are equal in value, shape and kind of number."""
    if left is None or right is None:
        return left is right
    return left.dtype.kind == right.dtype.kind and left.shape == right.shape and bool(np.all(left == right))


def broadcasts(shape: Shape, target: Shape) -> bool:
    """Whether *shape* broadcasts to exactly *target* by NumPy's rules.

    >>> broadcasts((8, 1, 1), (8, 4, 4)), broadcasts((2, 8), (8,))
    (True, False)
    """
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def behind_first(steps: Array, rank: int) -> Array:
    """*steps* [count, ...] with at least *rank* axes behind the first, to broadcast with such arrays.

    >>> behind_first(np.zeros((4,)), 3).shape, behind_first(np.zeros((4, 8, 1, 1)), 1).shape
    ((4, 1, 1, 1), (4, 8, 1, 1))
    """
    missing = max(0, rank - (steps.ndim - 1))
    return steps.reshape(len(steps), *(1,) * missing, *steps.shape[1:])


def simplest(scale: Array) -> Array:
    """A scalar for an array whose entries are all equal, otherwise the array itself."""
    if scale.ndim and scale.size and np.all(scale == scale.flat[0]):
        return sealed(scale.flat[0])
    return scale


def squeezed(steps: Array) -> Array:
    """*steps* [count, *shape] without axes along which they are constant."""
    for axis in range(1, steps.ndim):
        first = steps.take([0], axis)
        if np.all(first == steps):
            steps = first
    while steps.ndim > 1 and steps.shape[1] == 1:
        steps = steps[:, 0]
    return steps
