"""Sinabs's discretization, operation by operation in float32: one scale for everything in a layer.

    S(x, bits): hi / max x where |min x| <= |max x| * |lo / hi|, otherwise |lo / min x|
    s = min(S(weights, 8), S(biases, 8), S((low, theta), 16), S(initial state, 16) if there is one)
    integer = rint(x * s), half to even

Source: sinabs 3.1.3, backend/dynapcnn/discretize.py. PyTorch computes a / x as (1 / x) * a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.backends.speck.limits import STATE_BITS, WEIGHT_BITS
from snncc.ir import Array

F32 = np.float32
Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Reals:
    """The numbers of one layer before rounding: *weight*, *bias*, *low* <= 0 < *theta*, *state*."""

    weight: Array
    bias: Array | None
    theta: float
    low: float | None
    state: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Integers:
    """The same, in steps of ``1 / scale``."""

    weight: Array
    bias: Array | None
    theta: int
    low: int
    state: Array | None
    scale: float


def span(values: Single, bits: int) -> np.float32:
    """S of *values*: the factor that makes them fill *bits* bits; infinite for zeros."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    least, most = values.min(), values.max()
    with np.errstate(divide="ignore"):
        if abs(least) <= abs(most) * F32(abs(low / high)):
            return np.abs(F32(1) / most * F32(high))
        return np.abs(F32(1) / least * F32(low))


def scale_of(x: Reals) -> np.float32:
    """The scale of a layer; without a *low*, that of all else."""
    found = [span(x.weight.astype(F32), WEIGHT_BITS)]
    if x.bias is not None:
        found.append(span(x.bias.astype(F32), WEIGHT_BITS))
    found.append(span(np.array([x.theta if x.low is None else x.low, x.theta], F32), STATE_BITS))
    if x.state is not None and np.any(x.state):
        found.append(span(x.state.astype(F32), STATE_BITS))
    return min(found)


def lowest(x: Reals) -> float:
    """The lower threshold that 16 bits hold on the scale of all other numbers of the layer.

    Its own S is not below that scale, so it costs the weights nothing; sinabs's default, -32768 in the
    units of the weights, would make all of them 0.
    """
    scale = scale_of(x)
    low = F32(-(2.0 ** (STATE_BITS - 1))) / scale
    while span(np.array([low, x.theta], F32), STATE_BITS) < scale:
        low = np.nextafter(low, F32(0))
    return float(low)


def discretized(x: Reals) -> Integers:
    """*x* in integers. *low* must be given."""
    assert x.low is not None
    scale = scale_of(x)

    def steps(values: Array | float) -> NDArray[np.int64]:
        return np.rint(np.asarray(values, F32) * scale).astype(np.int64)

    return Integers(
        weight=steps(x.weight),
        bias=None if x.bias is None else steps(x.bias),
        theta=int(steps(x.theta)),
        low=int(steps(x.low)),
        state=None if x.state is None else steps(x.state),
        scale=float(scale),
    )
