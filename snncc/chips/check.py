"""Relations between the numbers of one chip file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from snncc.chips.lines import Path
from snncc.chips.model import Discipline, Entry, Overflow
from snncc.chips.reader import Reader

MOST_CORES = 1 << 12

Problem = tuple[Path, str]


def check_relations(reader: Reader, values: dict[str, Any]) -> None:
    """Add to *reader* what contradicts itself in *values*, in which each value alone is in order."""
    for path, text in (
        *core_counts(values),
        *credits_due(values),
        *barrier_order(values),
        *loops_take_time(values),
        *disciplines(values),
        *power_ranges(values),
        *products(values),
        *unused_sources(reader),
    ):
        reader.problem(path, text)


def core_counts(values: dict[str, Any]) -> Iterator[Problem]:
    fabric = values["fabric"]
    need = fabric["columns"] * fabric["rows"] * fabric["cores_per_tile"]
    have = sum(group["count"] for group in values["cores"])
    if need > MOST_CORES:
        yield ("fabric",), f"needs at most {MOST_CORES} cores, has {need}"
    elif need != have:
        yield (
            ("cores",),
            f"the counts must sum to columns x rows x cores_per_tile = {need}, but sum to {have}",
        )


def credits_due(values: dict[str, Any]) -> Iterator[Problem]:
    """A queue whose slots are free at the very time that they are left has no order of events."""
    if values["fabric"]["credit"]:
        return
    links = [("fabric", name, "capacity") for name, item in values["fabric"].items() if is_finite_link(item)]
    queues = [("cores", k, "in_queue") for k, group in enumerate(values["cores"]) if group["in_queue"]]
    for path in (*links, *queues):
        yield path, "is finite, so fabric.credit needs at least 1 time unit, has 0"


def is_finite_link(item: object) -> bool:
    return isinstance(item, dict) and item["capacity"] is not None


def barrier_order(values: dict[str, Any]) -> Iterator[Problem]:
    rows = values.get("barrier", [])
    tiles = values["fabric"]["columns"] * values["fabric"]["rows"]
    for k, (before, row) in enumerate(pairwise(rows), 1):
        if row["tiles"] <= before["tiles"]:
            need = f"more than the {before['tiles']} of the entry before"
            yield ("barrier", k, "tiles"), f"needs {need}, has {row['tiles']}"
        if row["time"] < before["time"]:
            yield ("barrier", k, "time"), "needs at least the time of the entry before, has less"
    for k, row in enumerate(rows):
        if row["tiles"] > tiles:
            yield ("barrier", k, "tiles"), f"needs at most the {tiles} tiles of the chip, has {row['tiles']}"


def loops_take_time(values: dict[str, Any]) -> Iterator[Problem]:
    """A loop of events that takes no time has no order of events."""
    if values["discipline"] is Discipline.EVENT and not values["operations"]["message_in"]["time"]:
        path = ("operations", "message_in", "time")
        yield path, "needs at least 1 time unit on a self-timed chip, has 0: a loop of events must take time"


def disciplines(values: dict[str, Any]) -> Iterator[Problem]:
    """What the machine's disciplines do not know."""
    if values["discipline"] is Discipline.BARRIER and values["overflow"] is Overflow.DROP:
        yield ("overflow",), "needs to be 'stall' with the discipline 'barrier', is 'drop'"
    if values["discipline"] is Discipline.EVENT and values["entry"] is Entry.CORES:
        yield ("entry",), "needs to be 'port' with the discipline 'event', is 'cores'"


def power_ranges(values: dict[str, Any]) -> Iterator[Problem]:
    for name, item in values["static"].items():
        if item["low"] > item["high"]:
            yield ("static", name), f"low ({item['low']:g} W) is above high ({item['high']:g} W)"


def products(values: dict[str, Any]) -> Iterator[Problem]:
    if values["limits"]["payload_bits"] != 0 and "mac" not in values["operations"]["synapse"]:
        yield ("operations", "synapse"), "missing keys: mac (as limits.payload_bits is not 0)"


def unused_sources(reader: Reader) -> Iterator[Problem]:
    used = {number.source for number in reader.numbers.values()}
    for name in reader.sources:
        if name not in used:
            yield ("sources", name), "no number has this source"
