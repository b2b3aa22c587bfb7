"""Boxes of neurons: a range along each axis of a map. Populations are cut into boxes of nearly one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from math import prod

import numpy as np

from snncc.ir import Shape
from snncc.mapping.masks import Ints

Box = tuple[tuple[int, int], ...]
"""(first, behind the last) along each axis."""


def ranges(size: int, count: int) -> list[tuple[int, int]]:
    """*count* ranges that cover *size*, of sizes that differ by one at most.

    >>> ranges(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    cuts = [k * size // count for k in range(count + 1)]
    return list(pairwise(cuts))


def grids(shape: Shape, count: int) -> Iterator[Shape]:
    """Into how many ranges each axis of *shape* is cut, for *count* boxes in all.

    >>> list(grids((2, 8, 8), 4))
    [(1, 1, 4), (1, 2, 2), (1, 4, 1), (2, 1, 2), (2, 2, 1)]
    """
    if not shape:
        if count == 1:
            yield ()
        return
    for first in range(1, min(shape[0], count) + 1):
        if count % first == 0:
            yield from ((first, *rest) for rest in grids(shape[1:], count // first))


def boxes(shape: Shape, grid: Shape) -> Iterator[Box]:
    """The boxes of a *grid*, row by row."""
    return product(*(ranges(size, count) for size, count in zip(shape, grid, strict=True)))


def middle(shape: Shape, grid: Shape) -> Box:
    """A largest box of a *grid*, as far from the borders as there is one."""
    found = []
    for size, count in zip(shape, grid, strict=True):
        every = ranges(size, count)
        most = max(stop - start for start, stop in every)
        large = [one for one in every if one[1] - one[0] == most]
        found.append(large[len(large) // 2])
    return tuple(found)


def volume(box: Box) -> int:
    """How many neurons."""
    return prod(stop - start for start, stop in box)


def addresses(shape: Shape, box: Box) -> Ints:
    """The row-major addresses of a box, ascending."""
    found = np.zeros(1, np.int64)
    for size, (start, stop) in zip(shape, box, strict=True):
        found = (found[:, None] * size + np.arange(start, stop)).reshape(-1)
    return found


def bounding(shape: Shape, found: Ints) -> Box:
    """The smallest box that holds the addresses *found* (at least one)."""
    axes: Sequence[Ints] = np.unravel_index(found, shape) if shape else ()
    return tuple((int(axis.min()), int(axis.max()) + 1) for axis in axes)


def box_of(shape: Shape, found: Ints) -> Box | None:
    """The box whose addresses are those *found* (all different); None if there is none."""
    if not len(found):
        return None
    box = bounding(shape, found)
    return box if volume(box) == len(found) else None
