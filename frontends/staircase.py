"""Quantized activations are staircases: for each code the smallest input that yields it, found by bisection.

A signal that reaches a quantizer is, where its weights and inputs are quantized, a whole number A of units
plus a constant. For each code the smallest A is searched for which the arithmetic of whoever runs the
network yields this code; the steps lie half a unit below, so that no rounding of ours can move them. Where a
signal has no unit, the steps are the numbers at which the code changes, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from snncc.frontends.behavior_search import smallest
from snncc.ir import Array, Edge, NeuronParameters
from snncc.ir.arrays import simplest, squeezed

MAXIMUM_CODES = 1 << 8
"""The widest activations that are read have 8 bits."""
SCALES = (1e-20, 1e20)
"""Scales beyond are no scales of a trained network, and leave float32."""
EXACT = float(1 << 52)
"""Sums up to here are whole in float64."""
NEAR = 1e-6
"""A bias this close to the grid of its sum, relative to itself, was meant to lie on it."""
PARTS = 16
"""A unit that two signals share is at most so many times finer than the finer one's."""

Code = Callable[[Array], Array]
"""The codes of real numbers [..., *shape], as the runtime computes them: never less for a larger number."""


class NoStaircase(Exception):
    """A quantizer that cannot become a neuron: why, and what to do about it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


@dataclass(frozen=True, slots=True, eq=False)
class Quantizer:
    """How reals become codes: ``clip(round_half_even(x / scale) + zero, low, high)``."""

    scale: Array
    zero: Array
    low: int
    high: int


def staircase(code: Code, quantizer: Quantizer, unit: Array | None, offset: Array) -> tuple[int, Array]:
    """The smallest code of a signal, and the steps [codes - 1, ...] at which the next ones begin.

    The signal is *offset* and a multiple of *unit* (None: any number); the steps are without the offset.
    Raises `NoStaircase`.
    """
    if not np.all((quantizer.scale > SCALES[0]) & (quantizer.scale < SCALES[1])):
        raise NoStaircase(f"has a scale that is not between {SCALES[0]:g} and {SCALES[1]:g}")
    offset = np.asarray(offset, np.float64)
    return by_reals(code, quantizer, offset) if unit is None else by_units(code, quantizer, unit, offset)


def by_units(code: Code, quantizer: Quantizer, unit: Array, offset: Array) -> tuple[int, Array]:
    """The staircase of a signal in whole multiples of *unit*."""
    unit, offset, scale, zero = np.broadcast_arrays(unit, offset, quantizer.scale, quantizer.zero)
    span = quantizer.high - quantizer.low + 2 + np.abs(zero)
    reach = np.ceil((scale.astype(np.float64) * span + np.abs(offset)) / unit)
    if float(reach.max()) > EXACT:
        raise NoStaircase(f"its steps lie {float(reach.max()):.3g} units of its input apart")
    least, most = ends(code(offset - reach * unit), code(offset + reach * unit))
    steps = []
    for level in range(least + 1, most + 1):
        below, above = -reach, reach
        while np.any(above - below > 1):
            middle = np.floor((below + above) / 2)
            passed = code(offset + middle * unit) >= level
            below, above = np.where(passed, below, middle), np.where(passed, middle, above)
        steps.append((above - 0.5) * unit)
    return least, np.stack(steps)


def by_reals(code: Code, quantizer: Quantizer, offset: Array) -> tuple[int, Array]:
    """The staircase of a signal of any real numbers."""
    scale, zero, offset = np.broadcast_arrays(quantizer.scale, quantizer.zero, offset)
    span = quantizer.high - quantizer.low + 2 + np.abs(zero)
    reach = scale.astype(np.float64) * span * 2 + np.abs(offset)
    least, most = ends(code(offset - reach), code(offset + reach))

    def passes(level: int, x: Array) -> Array:
        return np.asarray(code(x + offset) >= level)

    return least, np.stack([smallest(partial(passes, k), -reach, reach) for k in range(least + 1, most + 1)])


def by_pairs(codes: Array, sums: Array) -> tuple[int, Array, int]:
    """The staircase of a signal that takes the values *sums* alone, of which the runtime makes *codes*.

    A step lies in the middle between the sums on both of its sides. Where rounding leaves
    no such place, it is put where the fewest sums lie on the wrong side; their number comes last.
    """
    order = np.argsort(sums, axis=None)
    codes, sums = codes.reshape(-1)[order].astype(np.int64), sums.reshape(-1)[order]
    least, most = ends(codes.min(keepdims=True), codes.max(keepdims=True))
    steps, wrong = [], 0
    for level in range(least + 1, most + 1):
        passed = codes >= level
        # Of a step before entry k: those before it that pass, and those behind it that do not.
        misplaced = np.concatenate([[0], np.cumsum(passed)]) + np.concatenate(
            [np.cumsum(~passed[::-1])[::-1], [0]]
        )
        is_between = np.concatenate([[False], sums[1:] > sums[:-1], [False]])
        place = int(np.argmin(np.where(is_between, misplaced, len(sums) + 1)))
        steps.append((sums[place - 1] + sums[place]) / 2)
        wrong += int(misplaced[place])
    return least, np.array(steps), wrong


def ends(low: Array, high: Array) -> tuple[int, int]:
    """The smallest and the largest code, given those of each channel. Raises where they differ."""
    if np.any(low != low.flat[0]) or np.any(high != high.flat[0]):
        raise NoStaircase("reaches other codes in one channel than in another")
    least, most = int(low.flat[0]), int(high.flat[0])
    if most == least:
        raise NoStaircase(f"yields the code {least} for every input: nothing of the input is left")
    if most - least >= MAXIMUM_CODES:
        raise NoStaircase(
            f"has {most - least + 1} codes; activations of at most {MAXIMUM_CODES} are read",
            "quantize activations to 2 to 8 bits",
        )
    return least, most


def counting(steps: Array, quantizer: Quantizer, scale: Array) -> NeuronParameters:
    """The neuron without memory whose count is the code above the least, worth *scale* each."""
    unit = np.asarray(quantizer.scale, np.float64)
    return NeuronParameters(
        steps=squeezed(steps),
        max_count=len(steps),
        theta=unit / 2,
        rho=unit,
        stateless=True,
        scale=np.asarray(scale, np.float64),
    )


def shift_of(least: int, scale: Array, zero: Array) -> Array:
    """What is added to the counts from code *least* on, as the code *zero* stands for 0."""
    return simplest(np.asarray((least - zero) * np.asarray(scale, np.float64)))


def changes_nothing(edge: Edge, code: Code, quantizer: Quantizer, scale: Array, zero: Array) -> bool:
    """Whether the counts on *edge* are what *code* makes of them, and mean it."""
    if not edge.is_events or edge.max_count is None:
        return False
    one = all(simplest(array).ndim == 0 for array in (edge.scale, scale, quantizer.scale, zero))
    if not one or edge.scale != np.asarray(scale, np.float64) or zero != quantizer.low:
        return False
    counts = np.arange(edge.max_count + 1)
    return bool(np.all(code(counts * edge.scale) == counts + quantizer.low))


def common_unit(units: Sequence[Array | None]) -> Array | None:
    """The coarsest unit of which all *units* are whole multiples; None where none is near."""
    result: Array | None = None
    for unit in units:
        if unit is None:
            return None
        if result is None:
            result = unit
            continue
        for part in range(1, PARTS + 1):
            finer = np.minimum(result, unit) / part
            ratios = np.stack(np.broadcast_arrays(result / finer, unit / finer))
            if np.all(np.abs(ratios - np.rint(ratios)) <= 1e-12 * ratios):
                result = finer
                break
        else:
            return None
    return result


def whole(values: Array, unit: Array) -> Array | None:
    """*values* as whole multiples of *unit*, where all of them were meant to be that."""
    near = np.rint(values / unit) * unit
    return near if np.all(np.abs(values - near) <= NEAR * np.minimum(np.abs(values), unit)) else None
