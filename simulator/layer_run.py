"""Running a layer of the event kernel on a chunk of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array
from snncc.simulator.layer_kernel import (
    EVENTS_AT,
    FOLLOWS,
    NUMBERS,
    OWN_EVENTS_AT,
    OWN_STARTS_AT,
    SAMPLES,
    STARTS_AT,
    STATES_AT,
    SUM_BLOCKS,
    SUMS_AT,
    TIMESTEPS,
    run_kernel,
)
from snncc.simulator.layer_lookup import Watched, watched
from snncc.simulator.layer_match import Layer, Source
from snncc.simulator.layer_table import WIDTHS, LayerTable, layer_table
from snncc.simulator.listing import Copier, Listing
from snncc.simulator.simd import BLOCK
from snncc.simulator.stream import Grid, Stream

Ints = NDArray[np.int64]
Size = tuple[int, int, int]
"""Samples, timesteps, ticks."""
LONG = np.dtype(np.int64)
MOST_STREAMS = 1000
"""Streams that a thread keeps, of all sizes together; with each layer's stream its `Job`."""


@dataclass(slots=True, eq=False)
class Prepared:
    """A layer and its tables, made when they are first needed; *narrowest* is where to begin."""

    layer: Layer
    tables: dict[int, LayerTable | None] = field(default_factory=dict)
    narrowest: int = 0
    lock: Any = field(default_factory=Lock)
    name: str = field(init=False)
    ticks: int = field(init=False)
    entering: tuple[str, ...] = field(init=False)
    """The sources but for the layer itself."""
    met: tuple[tuple[int, str], ...] = field(init=False)
    """The number of each source and its synapse node."""
    pools: tuple[Source, ...] = field(init=False)
    """Sources with pools before their synapses."""

    def __post_init__(self) -> None:
        neuron, sources = self.layer.neuron, self.layer.sources
        self.name, self.ticks = neuron.name, neuron.parameters.max_count or 1
        self.entering = tuple(source.name for source in sources if source.name != neuron.name)
        self.met = tuple((k, source.synapse.name) for k, source in enumerate(sources))
        self.pools = tuple(source for source in sources if source.chain)

    def table(self, k: int) -> LayerTable | None:
        """The table for the *k*-th of `WIDTHS`, None where that cannot hold the layer's potentials."""
        if k not in self.tables:
            with self.lock:
                if k not in self.tables:
                    self.tables[k] = layer_table(self.layer, *WIDTHS[k])
        return self.tables[k]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A layer in one width, ready to run: all that the kernel takes but for the results, which are new.

    *size* is samples, timesteps, ticks; *entering* are the streams of the other layers that it reads.
    """

    table: LayerTable
    entering: Sequence[Stream]
    size: Size
    stream: Stream
    arguments: tuple[Any, Any, int]
    """What the kernel takes behind its results."""
    held: tuple[Array, ...]
    """The arrays whose addresses are in the arguments."""
    counted: int
    """Numbers that the kernel counts."""
    watched: list[Watched]
    turned: list[Watched]
    """Sources that the kernel runs event by event, but could by lookup; and those of which it now looks up
    rows of many events."""

    def run(self) -> LayerRun | None:
        """Run it; None where a potential needs a greater width."""
        if self.watched:
            self.watch()
        results = np.zeros(self.counted, LONG)
        if run_kernel(results, *self.arguments):
            return None
        return LayerRun(self.size, results)

    def watch(self) -> None:
        """Turn to lookup where the streams have enough events now."""
        for source in [source for source in self.watched if source.turns()]:
            self.watched.remove(source)
            self.turned.append(source)


@dataclass(slots=True, eq=False)
class Workspace:
    """Memory that a thread uses again and again, and what was made in it for chunks of each size."""

    arrays: dict[tuple[str, str], Array] = field(default_factory=dict)
    streams: dict[tuple[str, Size], Stream] = field(default_factory=dict)
    jobs: dict[tuple[str, Size], Job] = field(default_factory=dict)
    replays: dict[tuple[int, int], Any] = field(default_factory=dict)
    """By samples and timesteps (see `snncc.simulator.replay`)."""
    copiers: dict[tuple[str, ...], Copier] = field(default_factory=dict)
    """By the nodes whose streams were copied last."""

    def take(self, name: str, what: str, size: int, dtype: type[np.generic]) -> Array:
        """*size* numbers that begin at a whole block; what they hold is left from before."""
        need = size * np.dtype(dtype).itemsize
        whole = self.arrays.get((name, what))
        if whole is None or whole.size < need:
            self.forget()  # what was made would keep the smaller memory alive
            raw = np.empty(need + BLOCK, np.uint8)
            start = -raw.ctypes.data % BLOCK
            whole = self.arrays[name, what] = raw[start : start + need]
        return whole[:need].view(dtype)

    def forget(self) -> None:
        """Let go of what was made for any size."""
        self.streams.clear()
        self.jobs.clear()
        self.replays.clear()
        self.copiers.clear()

    def stream(self, name: str, grid: Grid, size: Size) -> Stream:
        """Room for all events that node *name* may send."""
        stream = self.streams.get((name, size))
        if stream is None:
            if len(self.streams) >= MOST_STREAMS:
                self.forget()
            batch, timesteps, ticks = size
            most = batch * timesteps * ticks * grid.rows * grid.codes
            events = self.take(name, "events", most + BLOCK, np.uint16)
            starts = self.take(name, "starts", batch * timesteps * grid.rows + 1, np.int64)
            stream = self.streams[name, size] = Stream(grid, batch, timesteps, events, starts)
        return stream

    def listing(self, streams: Mapping[str, Stream]) -> Listing:
        """What *streams* of this workspace list, as it is now, by their order."""
        names, own = tuple(streams), list(streams.values())
        copier = self.copiers.get(names)
        if copier is None or copier.streams != own:
            copier = self.copiers[names] = Copier(own)
        return copier.copy()

    def job(self, prepared: Prepared, table: LayerTable, entering: Sequence[Stream], size: Size) -> Job:
        """What the kernel needs to run a layer."""
        job = self.jobs.get((prepared.name, size))
        if job is None or job.table is not table or job.entering != entering:
            job = self.new_job(prepared.layer, table, entering, size)
            self.jobs[prepared.name, size] = job
        return job

    def new_job(self, layer: Layer, table: LayerTable, entering: Sequence[Stream], size: Size) -> Job:
        name = layer.neuron.name
        numbers, sources = table.numbers.copy(), table.addressed.copy()
        numbers[SAMPLES], numbers[TIMESTEPS], ticks = size
        state = inputs = self.take(name, "state", table.state_size, INTEGERS[table.bits])
        if table.input_bits < table.bits:
            inputs = self.take(name, "inputs", table.input_size, INTEGERS[table.input_bits])
        stream, others = self.stream(name, layer.grid, size), iter(entering)
        reads = [stream if source.name == name else next(others) for source in layer.sources]
        for k, read in enumerate(reads):
            sources[k, FOLLOWS] = read.timesteps > 1
            sources[k, EVENTS_AT], sources[k, STARTS_AT] = read.events.ctypes.data, read.starts.ctypes.data
        own = (stream.events, stream.starts, state, inputs)
        numbers[[OWN_EVENTS_AT, OWN_STARTS_AT, STATES_AT, SUMS_AT]] = [array.ctypes.data for array in own]
        numbers[SUM_BLOCKS] = inputs.nbytes // BLOCK
        numbers = np.concatenate([numbers, sources.reshape(-1)])
        own_sources = numbers[len(NUMBERS) :].reshape(sources.shape)
        kinds = (inputs.dtype.type(0), table.sources[0].weights.dtype.type(0))
        counted = size[0] * size[1] * (ticks + 1) + 6 * size[0]
        arguments, held = (*kinds, numbers.ctypes.data), (numbers, *own)
        candidates = watched(layer, table, reads, own_sources)
        return Job(table, entering, size, stream, arguments, held, counted, candidates, [])


class LayerRun(NamedTuple):
    """All that the kernel counted of a layer, in one array."""

    size: Size
    results: Ints

    @property
    def spikes(self) -> Ints:
        """How often neurons fired, [B, T, ticks]."""
        return self.results[: prod(self.size)].reshape(self.size)

    @property
    def active(self) -> Ints:
        """How many neurons fired, [B, T]."""
        batch, timesteps, _ = self.size
        start = prod(self.size)
        return self.results[start : start + batch * timesteps].reshape(batch, timesteps)

    @property
    def counts(self) -> Ints:
        """Of each source, [2, 3, B]: synapses met, those of nonzero weight, events received."""
        batch = self.size[0]
        return self.results[-6 * batch :].reshape(2, 3, batch)


INTEGERS: dict[int, type[np.generic]] = {16: np.int16, 32: np.int32}


def run_layer(
    prepared: Prepared, streams: Mapping[str, Stream], timesteps: int, batch: int, space: Workspace
) -> tuple[Stream, LayerRun] | None:
    """Run a layer on the events of its sources: what it sends, what was counted.

    None where no width holds its potentials.
    """
    size = batch, timesteps, prepared.ticks
    entering = [streams[name] for name in prepared.entering]
    for k in range(prepared.narrowest, len(WIDTHS)):
        table = prepared.table(k)
        if table is not None:
            job = space.job(prepared, table, entering, size)
            counted = job.run()
            if counted is not None:
                return job.stream, counted
        prepared.narrowest = max(prepared.narrowest, k + 1)
    return None
