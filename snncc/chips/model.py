"""A chip as data: what limits it, what takes time on it, what takes energy.

Times are whole counts of the chip's time unit; energies are picojoules, powers watts. `Chip.numbers` has
each number with its unit, status and source; all other fields are what the simulator computes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How a number came to be known."""

    MEASURED = "measured"
    """On silicon, or stated by the maker as a fact of the chip."""
    SIMULATED = "simulated"
    """In a simulation of the circuit."""
    DERIVED = "derived"
    """Computed from other numbers; the note shows how."""
    ASSUMED = "assumed"
    """A choice or a recollection: vary it before you rely on it."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a chip file: *value* in *unit*, None where there is no limit."""

    value: float | None
    unit: str
    status: Status
    source: str
    note: str = ""


class Discipline(StrEnum):
    """What closes a timestep."""

    BARRIER = "barrier"
    """A synchronization of all cores."""
    EVENT = "event"
    """Nothing: every event is worked off when it comes."""


class Topology(StrEnum):
    """How tiles are connected."""

    MESH = "mesh"
    """A grid of routers; messages go along x first, then along y."""
    CROSSBAR = "crossbar"
    """A link from each core to each core that it sends to."""


class Touch(StrEnum):
    """Which neurons pay for an update in a sweep."""

    ALL = "all"
    TOUCHED = "touched"
    """Those that have had an event since the last sweep, or have a bias or a leak to apply."""


class Entry(StrEnum):
    """Where input enters."""

    CORES = "cores"
    """Input neurons are held and swept by cores, as others are."""
    PORT = "port"
    """A port at the first tile sends the input's events."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one event takes: *time* in units of the chip, *energy* in pJ."""

    time: int = 0
    energy: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkKind:
    """Links of one kind, each with a queue in front of it.

    A message may leave every *interval*, arrives *latency* later, and takes *energy* (pJ). The queue has
    *capacity* slots; None: unbounded.
    """

    interval: int = 0
    latency: int = 0
    energy: float = 0.0
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Fabric:
    """What carries messages: *columns* x *rows* tiles with *cores_per_tile* cores each.

    *inject* leads from a core to its router, *eject* from a router to a core, *east_west* and *north_south*
    between routers (in a crossbar *east_west* is the link from core to core, and *north_south* unused).
    With *multicast* one message reaches several cores and forks on its way; otherwise each destination core
    gets a message of its own. A slot is free again *credit* after its message has left.
    """

    topology: Topology
    columns: int
    rows: int
    cores_per_tile: int
    multicast: bool
    credit: int
    inject: LinkKind
    east_west: LinkKind
    north_south: LinkKind
    eject: LinkKind

    @property
    def cores(self) -> int:
        """How many cores there are."""
        return self.columns * self.rows * self.cores_per_tile


@dataclass(frozen=True, slots=True)
class CoreLimits:
    """What one core can hold; None: no limit. *in_queue* is the slots before its synapse unit.

    *slowdown*: what its units do takes so many times as long as `Operations` and `Accumulator` say.
    """

    neurons: int | None = None
    in_axons: int | None = None
    out_axons: int | None = None
    synapse_bits: int | None = None
    kernel_words: int | None = None
    neuron_words: int | None = None
    accumulator_bits: int | None = None
    in_queue: int | None = None
    slowdown: int = 1


class SynapseFormat(StrEnum):
    """How a core stores synapses, which decides the memory they take."""

    BLOCKS = "blocks"
    """Per axon in blocks of words (Loihi 1): see `snncc.mapping.memory`."""
    KERNELS = "kernels"
    """Kernels padded to powers of two (Speck)."""
    TABLES = "tables"
    """The smaller of a generated and an explicit address table (`snncc.mapping.smaller`)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The format of synaptic memory, and the numbers it needs (those of the other formats are unused).

    BLOCKS: an axon of n weights takes blocks of *block_synapses*, each n x (weight + index bits)
    + *block_overhead* bits, rounded up to *word_bits*.
    """

    format: SynapseFormat
    block_synapses: int = 64
    block_overhead: int = 10
    word_bits: int = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What a chip can express; None: no limit.

    *payload_bits* 0: a message is a bare spike. *max_delay* is in chip steps. *fan_out* is the number of
    cores that a layer on one core may send to.
    """

    weight_bits: int | None = None
    state_bits: int | None = None
    payload_bits: int | None = None
    max_delay: int | None = None
    fan_out: int | None = None


class Overflow(StrEnum):
    """What a full queue does to what comes next."""

    STALL = "stall"
    """The sender waits."""
    DROP = "drop"
    """The message is lost, and counted."""


@dataclass(frozen=True, slots=True)
class Operations:
    """What the units of a core take.

    Each mapped neuron costs *access* in each sweep, *update* if `Chip.touch` says so, *spike* if it fires;
    each message *message_out* where it is sent and *message_in* where it arrives; each synapse an entry of
    *synapse*: by its kind, ``dense``, ``conv``, ``sparse``, or ``mac`` where the message carries a number.
    *lanes* synapses of one message are worked off at once.
    """

    access: Cost
    update: Cost
    spike: Cost
    message_out: Cost
    message_in: Cost
    synapse: Mapping[str, Cost]
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Static:
    """Power that flows whatever happens: low and high, as published figures differ, in watts.

    *per_core* for each core of the chip, *per_chip* once.
    """

    per_chip: tuple[float, float] = (0.0, 0.0)
    per_core: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Host:
    """A processor beside the cores, for side operations."""

    macs_per_second: float
    energy_per_mac: float


@dataclass(frozen=True, slots=True)
class Accumulator:
    """Writable synaptic memory for dynamic synapses, in bits per core (as `CoreLimits.accumulator_bits`).

    *write* for each entry that a message writes, *read* for each that it reads and adds.
    """

    bits: int
    write: Cost = Cost()
    read: Cost = Cost()


@dataclass(frozen=True, slots=True)
class Port:
    """Where input enters: each message takes *event*, one after another."""

    event: Cost


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip file. *time_unit* is in seconds; *barrier* has (mapped tiles, time) in rising order.

    The synchronization after a step takes the time of the largest entry that is not above the number of
    tiles in use (the first where all are).
    """

    name: str
    title: str
    summary: str
    discipline: Discipline
    time_unit: float
    fabric: Fabric
    cores: tuple[CoreLimits, ...]
    memory: Memory
    limits: Limits
    operations: Operations
    touch: Touch
    barrier: tuple[tuple[int, int], ...]
    entry: Entry
    port: Port
    overflow: Overflow
    static: Static
    host: Host | None
    accumulator: Accumulator | None
    sources: Mapping[str, str]
    numbers: Mapping[str, Number]
    text: str = field(default="", repr=False, compare=False)
    """The file as it was read, to be kept beside what was made for the chip."""

    def synapse(self, kind: str) -> Cost:
        """What a synapse of *kind* takes, also a read or write of the accumulator; nothing if unknown."""
        if self.accumulator is not None and kind in ("write", "read"):
            return self.accumulator.write if kind == "write" else self.accumulator.read
        return self.operations.synapse.get(kind, Cost())

    def barrier_time(self, tiles: int) -> int:
        """The time of a synchronization over *tiles* tiles."""
        fitting = [time for least, time in self.barrier if least <= tiles]
        return fitting[-1] if fitting else (self.barrier[0][1] if self.barrier else 0)
