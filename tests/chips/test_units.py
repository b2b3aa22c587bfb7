from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.chips import parse_chip
from snncc.chips.units import CYCLES, UNITS, Dimension, exact, plain, units_of
from tests.chips.texts import EXAMPLE, changed

SIZES = {"s": 1, "ms": -3, "us": -6, "ns": -9, "ps": -12, "J": 12, "nJ": 3, "pJ": 0, "fJ": -3}


def test_units_are_what_they_are_called() -> None:
    assert UNITS[Dimension.TIME]["s"] == 1
    for name in ("ms", "us", "ns", "ps"):
        assert UNITS[Dimension.TIME][name] == Fraction(10) ** SIZES[name]
    for name in ("J", "nJ", "pJ", "fJ"):
        assert UNITS[Dimension.ENERGY][name] == Fraction(10) ** SIZES[name]
    assert UNITS[Dimension.POWER] == {"W": 1, "mW": Fraction(1, 1000), "uW": Fraction(1, 10**6)}


def test_only_times_have_cycles() -> None:
    assert [dimension for dimension in Dimension if CYCLES in units_of(dimension)] == [Dimension.TIME]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "1e-400", "1" * 90, "-1e41"])
def test_out_of_any_range(text: str) -> None:
    assert exact(Decimal(text)) is None


def test_exact() -> None:
    assert exact(Decimal("0.1")) == Fraction(1, 10)
    assert exact(Decimal("0e99999")) == 0
    assert exact(10**40) is None


def test_plain() -> None:
    assert [plain(Fraction(text)) for text in ("4.10", "100", "0.05", "1e-9")] == [
        "4.1",
        "100",
        "0.05",
        "1e-09",
    ]


@given(
    st.integers(0, 10**6),
    st.sampled_from(["J", "nJ", "pJ", "fJ"]),
    st.integers(0, 10**6),
    st.sampled_from(["s", "ms", "us", "ns", "ps", "cycles"]),
)
def test_round_trip(femtojoules: int, energy_unit: str, cycles: int, time_unit: str) -> None:
    """One amount written in any unit is one value of the chip, and its number is as it was written."""
    energy = Fraction(femtojoules, 1000) / UNITS[Dimension.ENERGY][energy_unit]
    ten_ns = Fraction(1, 10**8)
    time = cycles if time_unit == "cycles" else cycles * ten_ns / UNITS[Dimension.TIME][time_unit]
    text = changed('value = 2.5, unit = "pJ"', f'value = {decimal(energy)}, unit = "{energy_unit}"')
    text = changed(
        'value = 1, unit = "cycles"',
        f'value = {decimal(Fraction(time))}, unit = "{time_unit}"',
        text,
        after="[operations.access]",
    )
    chip = parse_chip(text, "x")
    assert chip.operations.access.energy == femtojoules / 1000
    assert chip.operations.access.time == cycles
    assert chip.numbers["operations.access.energy"].value == float(energy)
    assert chip.numbers["operations.access.energy"].unit == energy_unit
    assert chip.numbers["operations.access.time"].unit == time_unit


def decimal(value: Fraction) -> str:
    """*value*, a multiple of 1e-20, as a decimal text."""
    digits = f"{int(value * 10**20):021d}"
    return f"{digits[:-20]}.{digits[-20:]}"


def test_every_number_of_the_example_is_kept_as_written() -> None:
    numbers = parse_chip(EXAMPLE, "x").numbers
    assert len(numbers) == EXAMPLE.count("value =")
    energy = numbers["fabric.east_west.energy"]
    assert (energy.value, energy.unit, energy.status, energy.source) == (800, "fJ", "simulated", "synthesis")
    assert numbers["cores[0].in_axons"].value is None
    assert numbers["cores[0].in_axons"].note == "limited by memory only"
    assert numbers["barrier[1].time"].value == 60
