"""Units of a chip file, and exact conversion between them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction


class Dimension(StrEnum):
    """What a number of a chip file measures."""

    CLOCK = "the time unit"
    TIME = "time"
    ENERGY = "energy"
    POWER = "power"
    COUNT = "a count"
    BITS = "bits"
    WORDS = "words"
    STEPS = "chip steps"
    RATE = "operations in time"


SECONDS = {
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "ps": Fraction(1, 10**12),
}

UNITS: Mapping[Dimension, Mapping[str, Fraction]] = {
    Dimension.CLOCK: SECONDS,
    Dimension.TIME: SECONDS,
    Dimension.ENERGY: {
        "J": Fraction(10**12),
        "nJ": Fraction(10**3),
        "pJ": Fraction(1),
        "fJ": Fraction(1, 10**3),
    },
    Dimension.POWER: {"W": Fraction(1), "mW": Fraction(1, 10**3), "uW": Fraction(1, 10**6)},
    Dimension.COUNT: {"count": Fraction(1)},
    Dimension.BITS: {"bits": Fraction(1)},
    Dimension.WORDS: {"words": Fraction(1)},
    Dimension.STEPS: {"steps": Fraction(1)},
    Dimension.RATE: {"MAC/s": Fraction(1)},
}
"""The units of each dimension, in seconds, picojoules, watts, or ones."""

CYCLES = "cycles"
"""The unit of time that is the chip's own."""

WHOLE = frozenset({Dimension.COUNT, Dimension.BITS, Dimension.WORDS, Dimension.STEPS})
"""What comes in whole numbers only."""

MOST: Mapping[Dimension, int] = {
    Dimension.CLOCK: 1,
    Dimension.TIME: 2**31,
    Dimension.ENERGY: 10**12,
    Dimension.POWER: 10**6,
    Dimension.COUNT: 2**40,
    Dimension.BITS: 2**50,
    Dimension.WORDS: 2**50,
    Dimension.STEPS: 2**31,
    Dimension.RATE: 10**20,
}
"""The largest number of each dimension, times in time units; whatever is above is a slip of the pen."""

MAGNITUDE = 40
"""Powers of ten, up and down, beyond which a number is not even converted."""


def units_of(dimension: Dimension) -> tuple[str, ...]:
    own = (CYCLES,) if dimension is Dimension.TIME else ()
    return (*UNITS[dimension], *own)


def exact(value: int | Decimal) -> Fraction | None:
    """*value* as a fraction; None if it is not finite or out of any range, however it is written."""
    if isinstance(value, int):
        return Fraction(value) if abs(value) < 10**MAGNITUDE else None
    if not value.is_finite() or len(value.as_tuple().digits) > 2 * MAGNITUDE:
        return None
    if value and abs(value.adjusted()) > MAGNITUDE:
        return None
    return Fraction(value) if value else Fraction(0)


def plain(value: Fraction) -> str:
    """A decimal text of *value*, to ten digits."""
    return f"{float(value):.10g}"
