"""Trains as event lists: for each sample, timestep and row of a map, which neurons fired.

An event is a number of 16 bits, ``column * pitch + channel`` (row-major within its row, channels last). A
neuron that fires n times in a timestep is listed n times. ``starts`` holds where each row begins, rows in the
order sample, timestep, row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array, Shape
from snncc.simulator.jit import kernel
from snncc.simulator.simd import BLOCK, lanes_of, list_block

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

    @property
    def channels(self) -> int:
        """Channels of a column."""
        return self.shape[0]

    @property
    def rows(self) -> int:
        """Rows of a map."""
        return self.shape[1] if len(self.shape) == 3 else 1

    @property
    def columns(self) -> int:
        """Columns of a row."""
        return self.shape[2] if len(self.shape) == 3 else 1

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

    def dense(self, ticks: int) -> NDArray[np.int64]:
        """The train [T or 1, B, ticks, *shape]; n events of a neuron fill its first n ticks."""
        grid = self.grid
        rows = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        slots = rows * grid.codes + self.events[: self.starts[-1]]
        n = np.bincount(slots, minlength=(len(self.starts) - 1) * grid.codes)
        maps = n.reshape(self.batch, self.timesteps, grid.rows, grid.columns, grid.pitch)
        counts = maps[..., : grid.channels].transpose(1, 0, 4, 2, 3)
        if ticks == 1:
            return np.ascontiguousarray(counts.reshape(self.timesteps, self.batch, 1, *grid.shape))
        train = counts[:, :, None] > np.arange(ticks).reshape(-1, 1, 1, 1)
        return train.reshape(self.timesteps, self.batch, ticks, *grid.shape).astype(np.int64)


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
    x: NDArray[np.uint8], first: int, steps: int, pitch: int, events: Events, starts: Starts
) -> int:
    """As `list_events` for one byte a number, contiguous: a block of them at a time."""
    _, batch, _, channels, rows, columns = x.shape
    samples = (len(starts) - 1) // (steps * rows)
    address, out = x.ctypes.data, events.ctypes.data
    place = 0
    for b in range(samples):
        for t in range(steps):
            frame = address + (t * batch + first + b) * channels * rows * columns
            for y in range(rows):
                starts[(b * steps + t) * rows + y] = place
                for c in range(channels):
                    line = frame + (c * rows + y) * columns
                    whole = columns - columns % LISTED
                    wrong = 0
                    for k in range(0, whole, LISTED):
                        found = list_block(line + k, out + 2 * place, pitch, k * pitch + c)
                        place += found & 0xFFFFFFFF
                        wrong |= found >> 32
                    for k in range(whole, columns):
                        value = x[t, first + b, 0, c, y, k]
                        wrong |= value > 1
                        if value:
                            events[place] = k * pitch + c
                            place += 1
                    if wrong:
                        return -1
    starts[len(starts) - 1] = place
    return place


Take = Callable[[str, int, type[np.generic]], Array]


def listed(x: Array, grid: Grid, first: int, batch: int, take: Take) -> Stream | None:
    """The stream of *batch* samples of a train [T, B, ticks, *shape] from *first*; None unless it is 0 or 1.

    *take* gives memory for what it is called, how many numbers, and of which type.
    """
    if len(grid.shape) == 3:
        maps, pitch = x, grid.pitch
    else:  # a vector is one row, its numbers the columns
        maps, pitch = x[:, :, :, None, None], 1
    steps, _, ticks = x.shape[:3]
    events = take("events", batch * steps * ticks * grid.rows * grid.codes + BLOCK, np.uint16)
    starts = take("starts", batch * steps * grid.rows + 1, np.int64)
    if maps.dtype.itemsize == 1 and maps.dtype.kind in "bu" and maps.flags.c_contiguous and ticks == 1:
        count = list_bytes(maps.view(np.uint8), first, steps, pitch, events, starts)
    else:
        count = list_events(maps, first, steps, pitch, events, starts)
    return None if count < 0 else Stream(grid, batch, steps, events, starts)
