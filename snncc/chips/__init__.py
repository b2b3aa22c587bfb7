"""Chips: data files in which every number has a source."""

from __future__ import annotations

from snncc.chips.load import chip_names, load_chip, parse_chip
from snncc.chips.model import (
    Accumulator,
    Chip,
    CoreLimits,
    Cost,
    Discipline,
    Entry,
    Fabric,
    Host,
    Limits,
    LinkKind,
    Memory,
    Number,
    Operations,
    Overflow,
    Port,
    Static,
    Status,
    SynapseFormat,
    Topology,
    Touch,
)

__all__ = [
    "Accumulator",
    "Chip",
    "CoreLimits",
    "Cost",
    "Discipline",
    "Entry",
    "Fabric",
    "Host",
    "Limits",
    "LinkKind",
    "Memory",
    "Number",
    "Operations",
    "Overflow",
    "Port",
    "Static",
    "Status",
    "SynapseFormat",
    "Topology",
    "Touch",
    "chip_names",
    "load_chip",
    "parse_chip",
]
