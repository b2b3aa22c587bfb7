"""From a list of events to frames, one a timestep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snncc.errors import BadInput, UnknownName
from snncc.ir import Array

if TYPE_CHECKING:
    from snncc.frontends.events.events import Events

MAXIMUM_CELLS = 1 << 29
"""Frames of more numbers (2 GiB) are refused before they are allocated."""

LONGEST = 1 << 62
PIECE = 1 << 22
KINDS = ("counts", "spikes")


@dataclass(frozen=True, slots=True)
class Bins:
    """How events become timesteps: `Events.binned` says what each means."""

    timesteps: int | None = None
    dt: int | None = None
    kind: str = "counts"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownName("kind of bins", self.kind, KINDS)
        if self.timesteps is None and self.dt is None:
            raise BadInput(
                "events have no timesteps yet: a number of timesteps or their length is needed",
                hint="timesteps=20 or dt=1000 (--timesteps 20 or --dt 1000us)",
            )
        check_whole("timesteps", self.timesteps)
        check_whole("dt, in microseconds,", self.dt)


def check_whole(name: str, value: object) -> None:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is not None and not (is_whole and 1 <= int(str(value)) <= LONGEST):
        raise BadInput(f"{name} must be a whole number, 1..2**62, not {value!r}")


def binned(events: Events, bins: Bins) -> tuple[Array, tuple[str, ...]]:
    """Frames of *events*, and notes on what is lost: `Events.binned`."""
    if not len(events):
        raise BadInput("the recording holds no event, so its timesteps have no length")
    start = int(events.t[0])
    span = int(events.t[-1]) - start + 1
    steps = int(-(-span // (bins.dt or 1)) if bins.timesteps is None else bins.timesteps)
    shape = (steps, 1, 2, events.height, events.width)
    cells = steps * 2 * events.height * events.width
    if cells > MAXIMUM_CELLS:
        raise BadInput(
            f"{steps} timesteps of 2 x {events.height} x {events.width} are {cells} numbers; at most "
            f"{MAXIMUM_CELLS} are held",
            hint="take fewer, longer timesteps, or cut the recording",
        )
    frames = np.zeros(cells, np.int32)
    kept = 0
    for first in range(0, len(events), PIECE):
        piece = slice(first, first + PIECE)
        step = time_steps(events.t[piece] - start, span, bins)
        inside = step < steps
        kept += int(inside.sum())
        address = step * 2 + events.p[piece]
        address = (address * events.height + events.y[piece]) * events.width + events.x[piece]
        np.add.at(frames, address[inside], 1)
    return saturated(frames.reshape(shape), bins, len(events) - kept, len(events))


def time_steps(since: Array, span: int, bins: Bins) -> Array:
    """The timestep of events *since* microseconds after the first."""
    if bins.dt is not None:
        return since // bins.dt
    steps = int(bins.timesteps or 1)
    if span <= np.iinfo(np.int64).max // steps:
        return since * steps // span
    return np.array([int(one) * steps // span for one in since], np.int64)  # beyond 64 bit: rare, and slow


def saturated(frames: Array, bins: Bins, late: int, total: int) -> tuple[Array, tuple[str, ...]]:
    notes = []
    if late:
        notes.append(f"{late} of {total} events come after the last timestep and are left out")
    if bins.kind == "spikes":
        lost = int(frames.sum(dtype=np.int64)) - int(np.count_nonzero(frames))
        if lost:
            share = 100 * lost / total
            notes.append(f"{lost} of {total} events ({share:.3g} %) fall on a pixel that already has a spike")
        np.minimum(frames, 1, out=frames)
    return frames, tuple(notes)
