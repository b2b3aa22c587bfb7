"""Which neurons of a population fire, frame by frame: what the machine of `MACHINE.md` works from.

A frame is one tick of one timestep. Neurons are row-major addresses.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array
from snncc.simulator.jit import kernel
from snncc.simulator.listing import Listing
from snncc.simulator.stream import Stream

Ints = NDArray[np.int64]
Addresses = NDArray[np.int32]


class Firing:
    """What one population sends in one sample: in frame f ``address[first[f] : first[f + 1]]``, ascending."""

    def __init__(self, first: Ints, address: Addresses) -> None:
        self.lists = first, address

    @property
    def first(self) -> Ints:
        """Where each frame begins, and the end of the last."""
        return self.lists[0]

    @property
    def address(self) -> Addresses:
        """The neurons that fire."""
        return self.lists[1]

    @property
    def length(self) -> int:
        """How many frames there are."""
        return len(self.first) - 1

    @property
    def frames(self) -> Ints:
        """The frame of each spike."""
        return np.repeat(np.arange(self.length), np.diff(self.first))

    def counts(self, size: int) -> Ints:
        """How often each of *size* neurons fires."""
        return np.bincount(self.address, minlength=size)


class StreamFiring(Firing):
    """One *sample* of node *k* of *listing*, *length* timesteps; sorted when somebody asks.

    It keeps the listing alive: the events of all nodes and samples of its chunk.
    """

    def __init__(self, listing: Listing, k: int, sample: int, length: int) -> None:
        self.listing, self.k, self.sample, self._length = listing, k, sample, length

    @cached_property
    def lists(self) -> tuple[Ints, Addresses]:  # type: ignore[override]
        """First and address."""
        stream = self.stream
        grid = stream.grid
        if grid.rows == grid.columns == 1:  # in order already
            return self.repeated(stream.starts, stream.events.astype(np.int32))
        room = np.zeros(grid.channels * grid.rows, np.int64)
        first, address = np.zeros(stream.timesteps + 1, np.int64), np.empty(len(stream.events), np.int32)
        list_frames(stream.events, stream.starts, grid.pitch, grid.rows, grid.columns, room, first, address)
        return self.repeated(first, address)

    def repeated(self, first: Ints, address: Addresses) -> tuple[Ints, Addresses]:
        """First and address of all timesteps; those of one where every timestep is the same."""
        length = self._length
        if len(first) <= length:
            address = np.tile(address, length)
            first = np.concatenate([[0], np.cumsum(np.tile(np.diff(first), length))])
        return first, address

    @property
    def stream(self) -> Stream:
        """The events alone."""
        return self.listing.stream(self.k, self.sample)

    @property
    def length(self) -> int:
        return self._length

    def counts(self, size: int) -> Ints:
        return self.stream.total(self._length).reshape(size)


def firing_of_train(train: Array) -> Firing:
    """The firing of one sample's *train* [T, ticks, ...]: every number but 0 is a spike."""
    frames = train.shape[0] * train.shape[1]
    frame, address = np.nonzero(np.reshape(train, (frames, -1)))
    return Firing(np.searchsorted(frame, np.arange(frames + 1)), address.astype(np.int32))


def firing_of_counts(counts: Array) -> Firing:
    """The firing of one sample's *counts* [frames, ...]: a number n is n spikes."""
    frame, address = np.nonzero(counts.reshape(len(counts), -1))
    times = counts.reshape(len(counts), -1)[frame, address].astype(np.int64)
    frame, address = np.repeat(frame, times), np.repeat(address, times)
    return Firing(np.searchsorted(frame, np.arange(len(counts) + 1)), address.astype(np.int32))


def firings_of_listing(listing: Listing, k: int, timesteps: int) -> tuple[Firing, ...]:
    """The firing of each sample of node *k* of *listing*; no neuron fires twice in a timestep."""
    if listing.layout.batch == 1:
        return (StreamFiring(listing, k, 0, timesteps),)
    return tuple(StreamFiring(listing, k, sample, timesteps) for sample in range(listing.layout.batch))


@kernel
def list_frames(
    events: NDArray[np.uint16],
    starts: Ints,
    pitch: int,
    rows: int,
    columns: int,
    room: Ints,
    first: Ints,
    address: Addresses,
) -> None:
    """Sort the events of each timestep by channel and row (by counting); columns rise in both already.

    *room* has a number for each channel and row.
    """
    place = 0
    for t in range(len(first) - 1):
        room[:] = 0
        low = t * rows
        for y in range(rows):
            for k in range(starts[low + y], starts[low + y + 1]):
                room[events[k] % pitch * rows + y] += 1
        for line in range(len(room)):
            count = room[line]
            room[line] = place
            place += count
        first[t + 1] = place
        for y in range(rows):
            for k in range(starts[low + y], starts[low + y + 1]):
                line = events[k] % pitch * rows + y
                address[room[line]] = line * columns + events[k] // pitch
                room[line] += 1
