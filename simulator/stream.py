"""Trains as event lists: for each sample, timestep and row of a map, which neurons fired.

An event is a number of 16 bits, ``column * pitch + channel`` (row-major within its row, channels last). A
neuron that fires n times in a timestep is listed n times. ``starts`` holds where each row begins, rows in the
order sample, timestep, row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array, Shape
from snncc.simulator.jit import kernel
from snncc.simulator.simd import BLOCK, lanes_of, list_blocks, prefetch

Events = NDArray[np.uint16]
Starts = NDArray[np.int64]
MOST_CODES = 1 << 16
LISTED = lanes_of(16)
"""Bytes that are listed at a time."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How neurons of a shape are numbered: [C, H, W] as rows of W x *pitch*, [N] as one row of N."""

    shape: Shape
    pitch: int
    channels: int = field(init=False, compare=False)
    """Channels of a column."""
    rows: int = field(init=False, compare=False)
    """Rows of a map."""
    columns: int = field(init=False, compare=False)
    """Columns of a row."""

    def __post_init__(self) -> None:
        maps = self.shape if len(self.shape) == 3 else (self.shape[0], 1, 1)
        for name, size in zip(("channels", "rows", "columns"), maps, strict=True):
            object.__setattr__(self, name, size)

    @property
    def codes(self) -> int:
        """Numbers that events of a row may have."""
        return self.columns * self.pitch


def input_grid(shape: Shape) -> Grid | None:
    """The grid of an input of *shape*, if there is one: no channels are missing."""
    if len(shape) not in (1, 3):
        return None
    grid = Grid(shape, shape[0])
    return grid if grid.codes <= MOST_CODES else None


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The events of a chunk of samples; *timesteps* is 1 where every timestep is the same."""

    grid: Grid
    batch: int
    timesteps: int
    events: Events
    starts: Starts

    def sums(self, timesteps: int) -> NDArray[np.int64]:
        """How many events each sample has in each of *timesteps*, [B, T]."""
        return sums_between(self.starts[:: self.grid.rows], self.batch, timesteps)

    def dense(self, ticks: int) -> NDArray[np.int64]:
        """The train [T or 1, B, ticks, *shape]; n events of a neuron fill its first n ticks."""
        grid = self.grid
        train = self.counted(self.timesteps)
        if ticks > 1:
            train = (train > np.arange(ticks).reshape(-1, 1, 1, 1)).astype(np.int64)
        return train.reshape(self.timesteps, self.batch, ticks, *grid.shape)

    def total(self, timesteps: int) -> NDArray[np.int64]:
        """How often each neuron fired in *timesteps*, [B, *shape]."""
        counts = self.counted(1).reshape(self.batch, *self.grid.shape)
        return counts if self.timesteps == timesteps else counts * timesteps

    def counted(self, steps: int) -> NDArray[np.int64]:
        """The events of each neuron by timestep, or in all if *steps* is 1: [T or 1, B, 1, C, H, W]."""
        grid = self.grid
        counts = np.zeros((steps, self.batch, 1, grid.channels, grid.rows, grid.columns), np.int64)
        maps = counts.reshape(-1, grid.channels, grid.rows, grid.columns)
        count_events(self.events, self.starts, grid.pitch, self.batch, maps)
        return counts


def sums_between(ends: NDArray[np.int64], batch: int, timesteps: int) -> NDArray[np.int64]:
    """How many events lie between *ends*, [B, T]; of a single timestep, for all."""
    sums = np.diff(ends).reshape(batch, -1)
    return sums if sums.shape[1] == timesteps else np.repeat(sums, timesteps, axis=1)


@kernel
def count_events(events: Events, starts: Starts, pitch: int, batch: int, counts: NDArray[np.int64]) -> None:
    """Add every event to *counts* [T or 1 times B, C, H, W]."""
    rows = counts.shape[2]
    step = batch if len(counts) > batch else 0
    row = 0
    for b in range(batch):
        for t in range((len(starts) - 1) // (batch * rows)):
            for y in range(rows):
                for k in range(starts[row], starts[row + 1]):
                    counts[t * step + b, events[k] % pitch, y, events[k] // pitch] += 1
                row += 1


@kernel
def list_events(
    x: NDArray[np.int64], first: int, steps: int, pitch: int, events: Events, starts: Starts
) -> int:
    """List what *x* [T, B, ticks, C, H, W] holds, from sample *first*; -1 where a number is not 0 or 1.

    *starts* says by its length how many samples there are.
    """
    _, _, ticks, channels, rows, columns = x.shape
    samples = (len(starts) - 1) // (steps * rows)
    place = 0
    for b in range(samples):
        for t in range(steps):
            for y in range(rows):
                starts[(b * steps + t) * rows + y] = place
                for d in range(ticks):
                    for c in range(channels):
                        for k in range(columns):
                            value = x[t, first + b, d, c, y, k]
                            if value != 0:
                                if value != 1:
                                    return -1
                                events[place] = k * pitch + c
                                place += 1
    starts[len(starts) - 1] = place
    return place


@kernel
def list_bytes(
    x: NDArray[np.uint8], batch: int, first: int, steps: int, pitch: int, events: Events, starts: Starts
) -> int:
    """As `list_events` for *x* [T * B, C, H, W] of bytes, contiguous: a block of them at a time."""
    _, channels, rows, columns = x.shape
    samples = (len(starts) - 1) // (steps * rows)
    address, out = x.ctypes.data, events.ctypes.data
    place = 0
    for b in range(samples):
        for t in range(steps):
            frame = t * batch + first + b
            if rows == 1 and batch > 1:  # short frames, and those of a sample lie apart
                following = address + (frame + batch) * channels * columns
                for k in range(0, channels * columns, BLOCK):
                    prefetch(following + k)
            for y in range(rows):
                starts[(b * steps + t) * rows + y] = place
                for c in range(channels):
                    line = address + ((frame * channels + c) * rows + y) * columns
                    blocks = columns // LISTED
                    whole = blocks * LISTED
                    wrong = 0
                    if blocks:
                        found = list_blocks(line, blocks, out + 2 * place, pitch, c, 0)
                        place += found & 0xFFFFFFFF
                        wrong = found >> 32
                    if blocks and whole < columns:  # the last block, without what was listed already
                        k = columns - LISTED
                        found = list_blocks(line + k, 1, out + 2 * place, pitch, k * pitch + c, whole - k)
                        place += found & 0xFFFFFFFF
                        wrong |= found >> 32
                        whole = columns
                    for k in range(whole, columns):
                        value = x[frame, c, y, k]
                        wrong |= value > 1
                        if value:
                            events[place] = k * pitch + c
                            place += 1
                    if wrong:
                        return -1
    starts[len(starts) - 1] = place
    return place


def listed(x: Array, first: int, stream: Stream) -> bool:
    """Fill *stream* from a train [T, B, ticks, *shape], from sample *first*; False unless all is 0 or 1."""
    steps, batch, ticks, *shape = x.shape
    pitch = stream.grid.pitch
    if len(shape) == 1:  # a vector is one row, its numbers the columns
        shape, pitch = [1, 1, *shape], 1
    if x.dtype.kind in "bu" and x.itemsize == 1 and x.flags.c_contiguous and ticks == 1:
        flat = x.view(np.uint8).reshape(-1, *shape)
        return list_bytes(flat, batch, first, steps, pitch, stream.events, stream.starts) >= 0
    maps = x.reshape(steps, batch, ticks, *shape)
    return list_events(maps, first, steps, pitch, stream.events, stream.starts) >= 0
