from __future__ import annotations

import re
from collections.abc import Iterator

from snncc.chips import chip_names, parse_chip
from snncc.chips.schema import SCHEMA, Key, Table, Tables
from snncc.chips.units import Dimension, units_of
from tests.chips.texts import EXAMPLE, PAGE, changed, problems


def keys(table: Table | Tables) -> Iterator[str]:
    for name, key in table.keys.items():
        yield name
        yield from nested(key)


def nested(key: Key) -> Iterator[str]:
    if isinstance(key, Table | Tables):
        yield from keys(key)


def test_every_key_is_described() -> None:
    described = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
    assert set(keys(SCHEMA)) <= described


def test_every_unit_and_chip_is_described() -> None:
    for name in (*chip_names(), *(unit for dimension in Dimension for unit in units_of(dimension))):
        assert f"`{name}`" in PAGE


def test_example() -> None:
    chip = parse_chip(EXAMPLE, "four")
    assert chip.time_unit == 1e-8
    assert len(chip.cores) == chip.fabric.cores == 4
    assert chip.fabric.east_west.energy == 0.8
    assert chip.barrier == ((1, 2), (2, 6))
    assert [chip.barrier_time(tiles) for tiles in (1, 2, 4)] == [2, 6, 6]
    assert chip.static.per_core == (40e-6, 90e-6)
    assert chip.host is None
    assert chip.cores[3].in_axons is None


def test_messages_on_the_page_are_real() -> None:
    text = changed('value = 1, unit = "cycles"', 'value = 15, unit = "ns"', after="credit")
    text = changed("max_delay", "max_dealy", text)
    text = re.sub(r"(\[operations\.synapse\.dense\]\n.*\n)energy.*\n", r"\1", text)
    shown = re.findall(r"^my/chip\.toml:(\d+): (.*)$", PAGE, re.MULTILINE)
    assert [f"x:{line}: {message}" for line, message in shown] == problems(text)
