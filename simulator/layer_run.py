"""Running a layer of the event kernel on a chunk of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array
from snncc.simulator.layer_kernel import EVENTS_AT, FOLLOWS, SAMPLES, STARTS_AT, TIMESTEPS, run_kernel
from snncc.simulator.layer_match import Layer
from snncc.simulator.layer_table import WIDTHS, LayerTable, layer_table
from snncc.simulator.simd import BLOCK
from snncc.simulator.stream import Stream

Ints = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Prepared:
    """A layer and its tables, made when they are first needed; *narrowest* is where to begin."""

    layer: Layer
    tables: dict[int, LayerTable | None] = field(default_factory=dict)
    narrowest: int = 0
    lock: Any = field(default_factory=Lock)

    def table(self, k: int) -> LayerTable | None:
        """The table for the *k*-th of `WIDTHS`, None where that cannot hold the layer's potentials."""
        with self.lock:
            if k not in self.tables:
                self.tables[k] = layer_table(self.layer, *WIDTHS[k])
            return self.tables[k]


@dataclass(slots=True, eq=False)
class Workspace:
    """Memory that a thread uses again and again."""

    arrays: dict[tuple[str, str], Array] = field(default_factory=dict)

    def take(self, name: str, what: str, size: int, dtype: type[np.generic]) -> Array:
        """*size* numbers that begin at a whole block; what they hold is left from before."""
        need = size * np.dtype(dtype).itemsize
        whole = self.arrays.get((name, what))
        if whole is None or whole.size < need:
            raw = np.empty(need + BLOCK, np.uint8)
            start = -raw.ctypes.data % BLOCK
            whole = self.arrays[name, what] = raw[start : start + need]
        return whole[:need].view(dtype)


@dataclass(frozen=True, slots=True, eq=False)
class LayerRun:
    """What a layer did: its events, spikes [B, T, ticks], neurons that fired [B, T].

    *counts* [B, sources, 3] has synapses met, those of nonzero weight, events received.
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
    for k in range(prepared.narrowest, len(WIDTHS)):
        table = prepared.table(k)
        if table is not None:
            result = attempt(prepared.layer, table, streams, timesteps, batch, space)
            if result is not None:
                return result
        prepared.narrowest = max(prepared.narrowest, k + 1)
    return None


def attempt(
    layer: Layer,
    table: LayerTable,
    streams: Mapping[str, Stream],
    timesteps: int,
    batch: int,
    space: Workspace,
) -> LayerRun | None:
    """Run a layer in one width; None where a potential comes too close to its limit."""
    name, grid = layer.neuron.name, layer.grid
    numbers = table.numbers.copy()
    numbers[TIMESTEPS], numbers[SAMPLES] = timesteps, batch
    ticks = layer.neuron.parameters.max_count or 1
    events = space.take(name, "events", batch * timesteps * ticks * grid.rows * grid.codes + BLOCK, np.uint16)
    starts = space.take(name, "starts", batch * timesteps * grid.rows + 1, np.int64)
    state = space.take(name, "state", table.state_size, INTEGERS[table.bits])
    inputs = state
    if table.input_bits < table.bits:
        inputs = space.take(name, "inputs", table.input_size, INTEGERS[table.input_bits])
    spikes = np.zeros((batch, timesteps, ticks), np.int64)
    active = np.zeros((batch, timesteps), np.int64)
    counts = np.zeros((batch, 2, 3), np.int64)
    sources = table.addressed.copy()
    for k, source in enumerate(layer.sources):
        lists: tuple[Array, Array] = (events, starts)
        if source.name != name:
            stream = streams[source.name]
            sources[k, FOLLOWS] = stream.timesteps > 1
            lists = stream.events, stream.starts
        sources[k, EVENTS_AT], sources[k, STARTS_AT] = (array.ctypes.data for array in lists)
    weights = table.sources[0].weights
    if run_kernel(
        *(numbers, table.planes, state, inputs, weights, sources, events, starts, spikes, active, counts)
    ):
        return None
    return LayerRun(Stream(grid, batch, timesteps, events, starts), spikes, active, counts)
