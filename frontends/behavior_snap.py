"""From measured numbers to the numbers that the module holds, or to short ones, where they are that close.

A measured number is right to some 1e-15; the module's own attribute is the number itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from snncc.frontends.behavior_probe import Probe, placed
from snncc.ir import Array

CLOSE = 1e-12
DIGITS = 6
MOST = 64
"""Numbers of the module that are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Numbers [sites] that a module holds, and those that are made of one of them."""

    own: tuple[Array, ...]
    made: tuple[Array, ...]

    def snap(self, value: Array, unit: Array) -> Array:
        """*value*, or the known or short number next to it."""
        for group in ((np.zeros(()), np.ones(())), self.own, self.made):
            for one in group:
                if close(value, one, unit):
                    return np.broadcast_to(one, value.shape).astype(np.float64)
        return short(value, unit)

    def is_plain(self, value: Array) -> bool:
        """Whether *value* is a number of the module's, or a short one."""
        size = np.maximum(np.abs(value), 1e-300)
        if any(close(value, one, size) for one in self.own):
            return True
        return bool(np.all(np.abs(value - rounded(value, 3)) <= CLOSE * size))


def close(value: Array, known: Array, unit: Array) -> bool:
    return bool(np.all(np.abs(value - known) <= CLOSE * np.maximum(np.abs(known), unit)))


def short(value: Array, unit: Array) -> Array:
    """*value* rounded to few decimal digits where it is that number, as a double or as a float32."""
    decimal = rounded(value, DIGITS)
    single = decimal.astype(np.float32).astype(np.float64)
    limit = CLOSE * np.maximum(np.abs(value), unit)
    value = np.where(np.abs(value - single) <= limit, single, value)
    return np.where(np.abs(value - decimal) <= limit, decimal, value)


def rounded(value: Array, digits: int) -> Array:
    """*value* to so many decimal digits."""
    return np.array([float(f"{v:.{digits - 1}e}") for v in value.ravel()]).reshape(value.shape)


def known(probe: Probe) -> Known:
    """The numbers of the module behind *probe*, spread over its sites."""
    own: list[Array] = []
    for value in numbers(probe.module):
        spread = placed(value, probe.sites)
        if spread is None or len(own) >= MOST or not np.isfinite(spread).all():
            continue
        flat = spread.reshape(-1).astype(np.float64)
        own += [flat] if not any(np.array_equal(flat, one) for one in own) else []
    return Known(tuple(own), tuple(one for value in own for one in made_of(value)))


def numbers(module: nn.Module) -> Iterator[Array]:
    """Parameters, buffers, and plain attributes, also those inside of parts."""
    for one in module.modules():
        held = [*one._parameters.values(), *one._buffers.values(), *vars(one).values()]
        for value in held:
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                yield value.detach().double().cpu().numpy()
            elif isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
                yield np.array(float(value))
            elif isinstance(value, Mapping):
                yield from (np.array(float(v)) for v in value.values() if type(v) in (int, float))


def made_of(a: Array) -> Iterator[Array]:
    """What neurons make of one number: a decay of a time constant, a share, its inverse, its sign."""
    yield -a
    yield 1 - a
    with np.errstate(all="ignore"):
        sigmoid = 1 / (1 + np.exp(-a))
        made = [1 / a, 1 - 1 / a, np.exp(-1 / a), 1 - np.exp(-1 / a), np.exp(-a), sigmoid, 1 - sigmoid, a / 2]
    yield from (one for one in made if np.isfinite(one).all())
