"""Streams of several nodes, copied in one call to memory of their own.

What the simulator lists lies in memory that its next run takes again; what nodes sent is kept for those who
asked, such as the machine, as one `Listing` of a chunk of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from snncc.simulator.jit import kernel
from snncc.simulator.simd import BLOCK, copy_block, lanes_of, load_long
from snncc.simulator.stream import Events, Grid, Starts, Stream

EVENTS_AT, STARTS_AT, LINES = range(3)
BLOCK_EVENTS = lanes_of(16)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a `Listing` lists: *batch* samples of nodes, each of its grid, for so many timesteps.

    *timesteps* is 1 where every timestep is the same. The starts of node k begin at ``begins[k]``.
    """

    grids: tuple[Grid, ...]
    timesteps: tuple[int, ...]
    batch: int
    begins: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        lines = [self.lines(k) * self.batch + 1 for k in range(len(self.grids))]
        object.__setattr__(self, "begins", tuple(np.cumsum([0, *lines]).tolist()))

    def lines(self, k: int) -> int:
        """The lines of node *k*, of one sample."""
        return self.timesteps[k] * self.grids[k].rows


@dataclass(slots=True, eq=False)
class Listing:
    """The events of all nodes of *layout*; *starts* are places in *events*."""

    layout: Layout
    events: Events
    starts: Starts

    def stream(self, k: int, sample: int) -> Stream:
        """One sample of node *k*."""
        lines, begin = self.layout.lines(k), self.layout.begins[k]
        starts = self.starts[begin + sample * lines : begin + (sample + 1) * lines + 1]
        events = self.events[starts[0] : starts[-1]]
        return Stream(self.layout.grids[k], 1, self.layout.timesteps[k], events, starts - starts[0])


@dataclass(slots=True, eq=False)
class Copier:
    """Copies *streams* as they are at the time, of one chunk of samples, as long as their memory stays."""

    streams: Sequence[Stream]
    layout: Layout = field(init=False)
    places: Starts = field(init=False)
    """Addresses of events and starts, how many starts, [n, 3]."""

    def __post_init__(self) -> None:
        streams = self.streams
        grids, timesteps = (tuple(getattr(s, name) for s in streams) for name in ("grid", "timesteps"))
        self.layout = Layout(grids, timesteps, streams[0].batch)
        places = [(s.events.ctypes.data, s.starts.ctypes.data, len(s.starts)) for s in streams]
        self.places = np.array(places, np.int64)

    def copy(self) -> Listing:
        """What the streams list now."""
        starts = np.empty(self.layout.begins[-1], np.int64)
        return Listing(self.layout, copied(self.places, starts), starts)


@kernel
def copied(places: Starts, starts: Starts) -> Events:
    """The events of all streams, each from a whole block on; *starts* gets where their lines begin.

    Streams have room for whole blocks.
    """
    blocks = 0
    for k in range(len(places)):
        last = load_long(places[k, STARTS_AT] + 8 * (places[k, LINES] - 1))
        blocks += -(-last // BLOCK_EVENTS)
    events = np.empty(blocks * BLOCK_EVENTS, np.uint16)
    to, line, place = events.ctypes.data, 0, 0
    for k in range(len(places)):
        count = 0
        for n in range(places[k, LINES]):
            count = load_long(places[k, STARTS_AT] + 8 * n)
            starts[line] = place + count
            line += 1
        for block in range(-(-count // BLOCK_EVENTS)):
            copy_block(to, places[k, EVENTS_AT] + block * BLOCK)
            to += BLOCK
            place += BLOCK_EVENTS
    return events
