"""Sums of branches whose grids share no unit, in integers that tell apart what the real sums tell apart.

One branch adds whole multiples A of a, the other whole multiples B of b. With a = P g and b = Q g but for the
rounding of Q, two sums A P + B Q lie in the order of the real ones, and are never equal where those are not,
if for the largest difference N of two B ``N |P b/a - Q| < 1`` and ``P / gcd(P, Q) > N``: the first keeps the
order, the second keeps apart. Such a P is found by trying; where there is none, as b/a is all but a fraction
of small numbers, sums may meet that are all but equal. A step of a neuron lies between the whole sums that
pass the real step and those that do not, for all B; where there is no such place, that is said.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snncc.ir import Affine, Array, Conv, Dense, Node, Sparse

LIMITS = (1 << 9, 1 << 11, 1 << 14)
"""Parts of the main branch's step are all tried up to the last; it pauses where most often one is found."""
MOST_PARTS = 1 << 30
MOST_MULTIPLES = 1 << 12
"""Multiples of the other branch's step over which steps are looked for one by one."""
NEAR = 1e-9
"""A multiple this close to a step passes it."""
SAME = 1e-6
"""All multiples together are off by less than this, in steps: then the two grids are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """What one synapse or affine adds: multiples of *step* in each cell (infinite where it adds nothing).

    *weights* and *biases* [cells, n] are in real units; all that it adds lies from *low* to *high*.
    """

    weights: Array
    biases: Array
    step: Array
    low: float
    high: float

    def unit(self, instead: Array | float) -> Array:
        """The step, or *instead* where nothing is added."""
        return np.where(np.isfinite(self.step), self.step, instead)

    def is_kept(self, unit: Array, whole: Array, grid: Array) -> bool:
        """Whether all of it, rounded to *grid*, is as many times *whole* as it was *unit*."""
        live = unit > 0
        for table in (self.weights[live], self.biases[live]):
            multiples = np.rint(table / unit[live, None])
            if np.any(np.rint(table / grid[live, None]) != multiples * whole[live, None]):
                return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class SharedSum:
    """The sums of a group, in each cell: ``A step + B unit``, in integers ``A parts + B whole``.

    B goes from *low* to *high*. *is_exact*: they are in the order of the real sums, though some may meet.
    *error* is how far they are from these at most, in steps of the main branch.
    """

    step: Array
    unit: Array
    parts: Array
    whole: Array
    low: int
    high: int
    is_exact: bool
    error: float

    def steps(self, staircase: Array, rank: int) -> Array | None:
        """The whole steps nearest to *staircase* [steps, ...] that sums pass where the real ones pass it.

        The signal has *rank* axes. None where no whole number lies between the sums on both sides of a step.
        """
        shape = (-1, *[1] * (rank - 1)) if len(self.step) > 1 else ()
        step, unit, parts, whole = (
            one.reshape(shape) for one in (self.step, self.unit, self.parts, self.whole)
        )
        first, last = np.asarray(np.inf), np.asarray(-np.inf)
        for multiple in range(self.low, self.high + 1):
            passing = np.ceil((staircase - multiple * unit) / step - NEAR) * parts + multiple * whole
            first, last = np.minimum(first, passing), np.maximum(last, passing - parts)
        nearest = np.clip(np.ceil(staircase / step * parts - NEAR), last + 1, first)
        return None if np.any(last >= first) else nearest.astype(np.int64)


def shared_sum(main: Branch, others: list[Branch], finest: Array, top: int) -> SharedSum | None:
    """The sums of *main* and *others*, no finer than *finest*, no weight above *top*; None: no room for that.

    Exact only with one other branch, of few multiples. None as well where it is not known how much one adds.
    """
    if not np.all(np.isfinite([(other.low, other.high) for other in others])):
        return None
    smallest = np.min([other.step for other in others], axis=0)
    step = main.unit(np.where(np.isfinite(smallest), smallest, 1.0))
    units = np.stack([other.unit(0.0) for other in others])
    spans = np.array([spread(other) for other in others])
    largest = np.max([np.abs(one.weights).max(axis=1) for one in (main, *others)], axis=0)
    room = np.minimum(top * step / np.maximum(largest, 1e-300), step / np.maximum(finest, 1e-300))
    found = [
        parts_of(int(np.clip(room[row] * (1 + 1e-12), 0, MOST_PARTS)), units[:, row] / step[row], spans)
        for row in range(len(step))
    ]
    if any(one is None for one in found):
        return None
    parts, errors, keeps = (np.array(one) for one in zip(*(one for one in found if one), strict=True))
    other, unit = others[0], units[0]
    whole, grid = np.rint(unit / step * parts), step / parts
    least = float(np.min(unit[unit > 0], initial=np.inf))
    low, high = int(np.floor(other.low / least + NEAR)), int(np.ceil(other.high / least - NEAR))
    is_exact = (
        len(others) == 1
        and bool(keeps.all())
        and high - low <= MOST_MULTIPLES
        and main.is_kept(step, parts, grid)
        and other.is_kept(unit, whole, grid)
    )
    return SharedSum(step, unit, parts, whole, low, high, is_exact, float(errors.max()))


def spread(branch: Branch) -> float:
    """The largest difference of two multiples that *branch* adds."""
    least = float(np.min(branch.step))
    return (branch.high - branch.low) / least if np.isfinite(least) else 0.0


def parts_of(most: int, ratios: Array, spans: Array) -> tuple[int, float, bool] | None:
    """Parts of a step, how far sums are off, and whether they keep the real order; None where *most* is 0.

    *ratios* are the steps of the other branches in the main one's, *spans* their largest differences. Of
    parts that keep the order the fewest that also keep sums apart; where there are none, the nearest.
    """
    if most < 1:
        return None
    best = (1, np.inf, False)
    for tried in candidates(most, ratios):
        whole = np.rint(tried[:, None] * ratios)
        off = np.sum(np.abs(tried[:, None] * ratios - whole) * spans, axis=1)
        apart = tried[:, None] / np.gcd(tried[:, None], whole.astype(np.int64))
        keeps = (off < SAME) | ((off < 1) & np.all((apart > spans) | (ratios == 0), axis=1))
        if keeps.any():
            found = int(np.argmax(keeps))
            return int(tried[found]), float(off[found] / tried[found]), True
        near = int(np.lexsort((off / tried, off >= 1))[0])
        here = (int(tried[near]), float(off[near] / tried[near]), bool(off[near] < 1))
        best = min(best, here, key=lambda one: (not one[2], one[1]))
    return best


def candidates(most: int, ratios: Array) -> Iterator[Array]:
    """Parts to try, up to *most*: small numbers, and of larger ones those that make a ratio a fraction."""
    for first, last in itertools.pairwise([1, *(limit for limit in LIMITS if limit < most), most + 1]):
        if first < LIMITS[-1]:
            yield np.arange(first, min(last, LIMITS[-1]))
    if len(ratios) == 1:
        large = [one for one in convergents(float(ratios[0]), most) if one >= LIMITS[-1]]
        if large:
            yield np.array(large)


def convergents(ratio: float, most: int) -> Iterator[int]:
    """The denominators up to *most* of the continued fraction of *ratio*."""
    left, before, now = Fraction(ratio), 0, 1
    while now <= most:
        yield now
        rest = left - math.floor(left)
        if not rest:
            return
        left = 1 / rest
        before, now = now, math.floor(left) * now + before


def extent(node: Node, unit: float, least: float, most: float) -> tuple[float, float]:
    """The smallest and the largest number that *node* adds; *least* to *most* times *unit* enter it."""
    match node:
        case Dense() | Conv():
            rows = node.weight.reshape(len(node.weight), -1)
            negative, positive = np.minimum(rows, 0).sum(axis=1), np.maximum(rows, 0).sum(axis=1)
            added = node.bias
        case Sparse():
            # and 0: a target may have no synapse
            negative = np.append(np.bincount(node.post, np.minimum(node.weight, 0)), 0.0)
            positive = np.append(np.bincount(node.post, np.maximum(node.weight, 0)), 0.0)
            added = node.bias
        case Affine():
            negative, positive, added = np.minimum(node.gain, 0), np.maximum(node.gain, 0), node.offset
        case _:
            raise AssertionError(f"{node.name} has no weights")
    low = float(np.min(negative * most + positive * least)) * unit
    high = float(np.max(positive * most + negative * least)) * unit
    return (
        low + (0.0 if added is None else float(np.min(added))),
        high + (0.0 if added is None else float(np.max(added))),
    )
