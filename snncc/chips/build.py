"""From the values of a chip file to a `Chip`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snncc.chips.model import (
    Accumulator,
    Chip,
    CoreLimits,
    Cost,
    Fabric,
    Host,
    Limits,
    LinkKind,
    Memory,
    Number,
    Operations,
    Port,
    Static,
)

LINKS = ("inject", "east_west", "north_south", "eject")
UNITS_OF_CORE = ("access", "update", "spike", "message_out", "message_in")


def build_chip(name: str, values: Mapping[str, Any], numbers: Mapping[str, Number], text: str) -> Chip:
    """The chip that checked *values*, named as in the schema, describe; *text* is the whole file."""
    host, accumulator = values.get("host"), values.get("accumulator")
    return Chip(
        name=name,
        title=values["title"],
        summary=values["summary"],
        discipline=values["discipline"],
        time_unit=values["time_unit"],
        fabric=build_fabric(values["fabric"]),
        cores=build_cores(values["cores"], accumulator),
        memory=Memory(**values["memory"]),
        limits=Limits(**values["limits"]),
        operations=build_operations(values["operations"]),
        touch=values["touch"],
        barrier=tuple((row["tiles"], row["time"]) for row in values.get("barrier", ())),
        entry=values["entry"],
        port=Port(Cost(**values["port"]["event"])) if "port" in values else Port(Cost()),
        overflow=values["overflow"],
        static=Static(**{key: (item["low"], item["high"]) for key, item in values["static"].items()}),
        host=Host(**host) if host else None,
        accumulator=build_accumulator(accumulator) if accumulator else None,
        sources=values["sources"],
        numbers=numbers,
        text=text,
    )


def build_fabric(values: Mapping[str, Any]) -> Fabric:
    links = {name: LinkKind(**values.get(name, {})) for name in LINKS}
    return Fabric(**{**values, **links})


def build_accumulator(values: Mapping[str, Any]) -> Accumulator:
    return Accumulator(values["bits"], write=Cost(**values["write"]), read=Cost(**values["read"]))


def build_cores(
    groups: list[dict[str, Any]], accumulator: Mapping[str, Any] | None
) -> tuple[CoreLimits, ...]:
    """One entry for each core, in the order of the groups."""
    more = {"accumulator_bits": accumulator["bits"]} if accumulator else {}
    kinds = [(group["count"], CoreLimits(**without(group, "count"), **more)) for group in groups]
    return tuple(limits for count, limits in kinds for _ in range(count))


def build_operations(values: Mapping[str, Any]) -> Operations:
    costs = {name: Cost(**values[name]) for name in UNITS_OF_CORE}
    synapse = {kind: Cost(**cost) for kind, cost in values["synapse"].items()}
    return Operations(**costs, synapse=synapse, lanes=values["lanes"])


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
