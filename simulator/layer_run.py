"""Running a layer of the event kernel on a chunk of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array
from snncc.simulator.layer_kernel import EVENTS_AT, FOLLOWS, SAMPLES, STARTS_AT, TIMESTEPS, run_kernel
from snncc.simulator.layer_match import Layer
from snncc.simulator.layer_table import WIDTHS, LayerTable, layer_table
from snncc.simulator.simd import BLOCK
from snncc.simulator.stream import Grid, Stream

Ints = NDArray[np.int64]
Size = tuple[int, int, int]
"""Samples, timesteps, ticks."""
MOST_STREAMS = 1000
"""Streams that a thread keeps, of all sizes together; with each layer's stream its `Job`."""


@dataclass(slots=True, eq=False)
class Prepared:
    """A layer and its tables, made when they are first needed; *narrowest* is where to begin."""

    layer: Layer
    tables: dict[int, LayerTable | None] = field(default_factory=dict)
    narrowest: int = 0
    lock: Any = field(default_factory=Lock)

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
    arguments: tuple[Array, ...]


@dataclass(slots=True, eq=False)
class Workspace:
    """Memory that a thread uses again and again, and what was made in it for chunks of each size."""

    arrays: dict[tuple[str, str], Array] = field(default_factory=dict)
    streams: dict[tuple[str, Size], Stream] = field(default_factory=dict)
    jobs: dict[tuple[str, Size], Job] = field(default_factory=dict)

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

    def job(self, layer: Layer, table: LayerTable, entering: Sequence[Stream], size: Size) -> Job:
        """What the kernel needs to run *layer*."""
        key = layer.neuron.name, size
        job = self.jobs.get(key)
        if job is None or (job.table, job.entering) != (table, entering):
            job = self.jobs[key] = self.new_job(layer, table, entering, size)
        return job

    def new_job(self, layer: Layer, table: LayerTable, entering: Sequence[Stream], size: Size) -> Job:
        name = layer.neuron.name
        numbers, sources = table.numbers.copy(), table.addressed.copy()
        numbers[SAMPLES], numbers[TIMESTEPS], _ = size
        state = inputs = self.take(name, "state", table.state_size, INTEGERS[table.bits])
        if table.input_bits < table.bits:
            inputs = self.take(name, "inputs", table.input_size, INTEGERS[table.input_bits])
        stream, others = self.stream(name, layer.grid, size), iter(entering)
        for k, source in enumerate(layer.sources):
            read = stream if source.name == name else next(others)
            sources[k, FOLLOWS] = read.timesteps > 1
            sources[k, EVENTS_AT], sources[k, STARTS_AT] = read.events.ctypes.data, read.starts.ctypes.data
        weights = table.sources[0].weights
        memory = state, inputs, weights, sources, stream.events, stream.starts
        return Job(table, entering, size, stream, (numbers, table.planes, *memory))


class LayerRun(NamedTuple):
    """What a layer did: its events, spikes [B, T, ticks], neurons that fired [B, T].

    *counts* [sources, 3, B] has synapses met, those of nonzero weight, events received.
    """

    stream: Stream
    spikes: Ints
    active: Ints
    counts: Ints


INTEGERS: dict[int, type[np.generic]] = {16: np.int16, 32: np.int32}


def run_layer(
    prepared: Prepared, streams: Mapping[str, Stream], timesteps: int, batch: int, space: Workspace
) -> LayerRun | None:
    """Run a layer on the events of its sources; None where no width holds its potentials."""
    layer = prepared.layer
    name, size = layer.neuron.name, (batch, timesteps, layer.neuron.parameters.max_count or 1)
    entering = [streams[source.name] for source in layer.sources if source.name != name]
    for k in range(prepared.narrowest, len(WIDTHS)):
        table = prepared.table(k)
        if table is not None:
            result = attempt(space.job(layer, table, entering, size))
            if result is not None:
                return result
        prepared.narrowest = max(prepared.narrowest, k + 1)
    return None


def attempt(job: Job) -> LayerRun | None:
    """Run a layer in one width; None where a potential comes too close to its limit."""
    spikes, active = np.zeros(job.size, np.int64), np.zeros(job.size[:2], np.int64)
    counts = np.zeros((2, 3, job.size[0]), np.int64)
    if run_kernel(*job.arguments, spikes, active, counts):  # type: ignore[call-arg]
        return None
    return LayerRun(job.stream, spikes, active, counts)
