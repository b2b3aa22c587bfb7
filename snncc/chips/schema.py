"""The keys of a chip file: one literal table, which `snncc.chips.reader` reads files by.

The keys are named as the fields of the classes in `snncc.chips.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from snncc.chips.model import Discipline, Entry, Overflow, SynapseFormat, Topology, Touch
from snncc.chips.units import Dimension


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is common to all keys.

    With *when* (another key, its values) the key must be there if that key has one of these values, and
    must not otherwise: a number without an effect is refused.
    """

    optional: bool = False
    when: tuple[str, tuple[StrEnum, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Quantity(Key):
    """A number, *least* or more (more than 0 if *positive*), *most* or less; or, if *open*, unbounded."""

    dimension: Dimension
    least: int = 0
    most: int | None = None
    positive: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True)
class Choice(Key):
    """One word of *words*."""

    words: type[StrEnum]


@dataclass(frozen=True, slots=True)
class Text(Key):
    """A text that is not empty."""


@dataclass(frozen=True, slots=True)
class Flag(Key):
    """true or false."""


@dataclass(frozen=True, slots=True)
class Citations(Key):
    """Names of sources, chosen by the author, with full citations."""


@dataclass(frozen=True, slots=True)
class Table(Key):
    """A table with these *keys*."""

    keys: Mapping[str, Key]


@dataclass(frozen=True, slots=True)
class Tables(Key):
    """An array of at least one table, each with these *keys*."""

    keys: Mapping[str, Key]


TIME = Quantity(Dimension.TIME)
ENERGY = Quantity(Dimension.ENERGY)
POWER = Quantity(Dimension.POWER)
SIZE = Quantity(Dimension.COUNT, least=1)
SLOTS = Quantity(Dimension.COUNT, least=1, open=True)
WIDTH = Quantity(Dimension.BITS, least=1, most=64, open=True)
COST = Table({"time": TIME, "energy": ENERGY})
LINK = Table({"interval": TIME, "latency": TIME, "energy": ENERGY, "capacity": SLOTS})
RANGE = Table({"low": POWER, "high": POWER})

MESH = ("fabric.topology", (Topology.MESH,))
BLOCKS = ("memory.format", (SynapseFormat.BLOCKS,))
KERNELS = ("memory.format", (SynapseFormat.KERNELS,))
BIT_FORMATS = ("memory.format", (SynapseFormat.BLOCKS, SynapseFormat.TABLES))

FABRIC = Table(
    {
        "topology": Choice(Topology),
        "columns": SIZE,
        "rows": SIZE,
        "cores_per_tile": SIZE,
        "multicast": Flag(),
        "credit": TIME,
        "inject": LINK,
        "east_west": LINK,
        "north_south": replace(LINK, when=MESH),
        "eject": LINK,
    }
)

CORES = Tables(
    {
        "count": SIZE,
        "neurons": SLOTS,
        "in_axons": SLOTS,
        "out_axons": SLOTS,
        "synapse_bits": Quantity(Dimension.BITS, least=1, open=True, when=BIT_FORMATS),
        "kernel_words": Quantity(Dimension.WORDS, least=1, open=True, when=KERNELS),
        "neuron_words": Quantity(Dimension.WORDS, least=1, open=True, when=KERNELS),
        "in_queue": SLOTS,
        "slowdown": Quantity(Dimension.COUNT, least=1, most=1000, optional=True),
    }
)

MEMORY = Table(
    {
        "format": Choice(SynapseFormat),
        "block_synapses": replace(SIZE, when=BLOCKS),
        "block_overhead": Quantity(Dimension.BITS, when=BLOCKS),
        "word_bits": Quantity(Dimension.BITS, least=1, when=BLOCKS),
    }
)

LIMITS = Table(
    {
        "weight_bits": WIDTH,
        "state_bits": WIDTH,
        "payload_bits": replace(WIDTH, least=0),
        "max_delay": Quantity(Dimension.STEPS, open=True),
        "fan_out": SLOTS,
    }
)

SYNAPSE = Table({"dense": COST, "sparse": COST, "conv": COST, "mac": replace(COST, optional=True)})

OPERATIONS = Table(
    {
        "lanes": SIZE,
        "access": COST,
        "update": COST,
        "spike": COST,
        "message_out": COST,
        "message_in": COST,
        "synapse": SYNAPSE,
    }
)

HOST = Table(
    {"macs_per_second": Quantity(Dimension.RATE, positive=True), "energy_per_mac": ENERGY}, optional=True
)

ACCUMULATOR = Table({"bits": Quantity(Dimension.BITS, least=1), "write": COST, "read": COST}, optional=True)

SCHEMA = Table(
    {
        "title": Text(),
        "summary": Text(),
        "sources": Citations(),
        "time_unit": Quantity(Dimension.CLOCK, positive=True),
        "discipline": Choice(Discipline),
        "touch": Choice(Touch),
        "entry": Choice(Entry),
        "overflow": Choice(Overflow),
        "fabric": FABRIC,
        "cores": CORES,
        "memory": MEMORY,
        "limits": LIMITS,
        "operations": OPERATIONS,
        "barrier": Tables({"tiles": SIZE, "time": TIME}, when=("discipline", (Discipline.BARRIER,))),
        "port": Table({"event": COST}, when=("entry", (Entry.PORT,))),
        "static": Table({"per_chip": RANGE, "per_core": RANGE}),
        "host": HOST,
        "accumulator": ACCUMULATOR,
    }
)
"""Sources and the time unit come first: the other numbers are read with them."""
