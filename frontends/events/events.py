"""A list of events, and the checks that every event of a recording passes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import BadFile, BadInput
from snncc.frontends.events.binning import Bins, binned
from snncc.ir import Array
from snncc.ir.write import replace_file

MAXIMUM_EVENTS = 1 << 27
"""A recording with more events (134 million, 1.7 GB) is refused before they are held."""

LONGEST = 1 << 16
"""Pixels of a sensor's side, at most: coordinates are 16 bit."""

LATEST = 1 << 62
"""Microseconds, at most: beyond every clock, and differences stay in 64 bit."""

COLUMNS = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of a camera in the order of time.

    *x*, *y*: columns and rows, uint16; *t*: microseconds, int64, never going back; *p*: 1 for ON (brighter),
    0 for OFF. *width* and *height* are the sensor's. *notes* say what of the file is no event. Raises
    `BadInput` for arrays that are not one number an event, and naming the first event that breaks a rule.
    """

    x: Array
    y: Array
    t: Array
    p: Array
    width: int
    height: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sensor = checked_sensor("events", self.width, self.height)
        gathered = Gathering("events", *sensor)
        gathered.add(self.x, self.y, self.t, self.p)
        for name, column in gathered.columns().items():
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        seconds = (int(self.t[-1]) - int(self.t[0])) / 1e6 if len(self) else 0.0
        return f"Events({len(self)} in {seconds:.6g} s, {self.width} x {self.height} pixels)"

    def binned(
        self, timesteps: int | None = None, dt: int | None = None, *, bins: str = "counts"
    ) -> tuple[Array, tuple[str, ...]]:
        """Frames int32 [timesteps, 1, 2, height, width], and notes that say what is lost.

        Channel 0 counts OFF events, channel 1 ON events. With *timesteps* alone the recording, from its first
        event to its last, is cut into so many equal parts; with *dt* alone a timestep is *dt* microseconds,
        from the first event on; with both, events after the last timestep are left out, and the notes say
        how many. *bins* ``counts`` keeps how often a pixel fired in a timestep, ``spikes`` only whether.
        """
        return binned(self, Bins(timesteps, dt, bins))

    def save(self, path: str | Path) -> None:
        """Write an .npz file that `snncc.load_events` reads."""
        buffer = io.BytesIO()
        width, height = np.int64(self.width), np.int64(self.height)
        np.savez_compressed(buffer, x=self.x, y=self.y, t=self.t, p=self.p, width=width, height=height)
        replace_file(Path(path), buffer.getvalue())


def checked_sensor(where: object, width: object, height: object) -> tuple[int, int]:
    """*width* and *height* as integers. Raises `BadInput`."""
    sides = []
    for name, side in (("width", width), ("height", height)):
        if isinstance(side, bool) or not isinstance(side, int | np.integer) or not 1 <= side <= LONGEST:
            raise BadInput(f"{where}: a sensor's {name} must be 1..{LONGEST} pixels, not {side!r}")
        sides.append(int(side))
    return sides[0], sides[1]


@dataclass
class Gathering:
    """Collects the events of the recording *where* piece by piece, and checks each of them."""

    where: str
    width: int
    height: int
    count: int = 0
    last: int | None = None
    pieces: list[dict[str, Array]] = field(default_factory=list)

    def add(
        self, x: ArrayLike, y: ArrayLike, t: ArrayLike, p: ArrayLike, at: ArrayLike | None = None
    ) -> None:
        """Take events that follow those before; *at* are their byte offsets, for errors. Raises `BadFile`."""
        piece = {"x": np.asarray(x), "y": np.asarray(y), "t": np.asarray(t), "p": np.asarray(p)}
        shapes = {name: column.shape for name, column in piece.items()}
        number = len(piece["t"]) if piece["t"].ndim == 1 else 0
        if set(shapes.values()) != {(number,)}:
            raise BadFile(f"{self.where}: x, y, t and p must be one number an event, have shapes {shapes}")
        for name, column in piece.items():
            if column.dtype.kind not in "iub" and number:
                raise BadFile(f"{self.where}: {name} must be integers, not {column.dtype}", hint=HINTS[name])
        if self.count + number > MAXIMUM_EVENTS:
            raise BadFile(f"{self.where}: has more than {MAXIMUM_EVENTS} events; split the recording")
        if not number:
            return
        offsets = None if at is None else np.asarray(at)
        self.inside("x", piece["x"], self.width, offsets)
        self.inside("y", piece["y"], self.height, offsets)
        self.forward(piece["t"], offsets)
        self.polarity(piece["p"], offsets)
        self.pieces.append({name: piece[name].astype(dtype) for name, dtype in COLUMNS.items()})
        self.count += number
        self.last = int(piece["t"][-1])

    def place(self, event: int, offsets: Array | None) -> str:
        number = f"{self.where}: event {self.count + event}"
        return number if offsets is None else f"{number} (byte {int(offsets[event])})"

    def inside(self, name: str, column: Array, limit: int, offsets: Array | None) -> None:
        wrong = (column < 0) | (column >= limit)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise BadFile(
                f"{self.place(first, offsets)}: its {name} is {int(column[first])}, outside the sensor of "
                f"{self.width} x {self.height} (width x height)",
                hint="the recording is damaged, or of a larger sensor",
            )

    def forward(self, t: Array, offsets: Array | None) -> None:
        beyond = (t < 0) | (t > LATEST)
        if beyond.any():
            first = int(np.argmax(beyond))
            raise BadFile(f"{self.place(first, offsets)}: its time is {int(t[first])} us, not 0..2**62")
        times = t.astype(np.int64)
        back = np.empty(len(times), bool)
        back[0] = self.last is not None and int(times[0]) < self.last
        np.less(times[1:], times[:-1], out=back[1:])
        if back.any():
            first = int(np.argmax(back))
            before = int(times[first - 1]) if first else self.last
            raise BadFile(
                f"{self.place(first, offsets)}: its time {int(times[first])} us is before that of the event "
                f"ahead of it, {before} us",
                hint="the recording is damaged; or sort its events by time, and save them as .npz",
            )

    def polarity(self, p: Array, offsets: Array | None) -> None:
        wrong = (p != 0) & (p != 1)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise BadFile(
                f"{self.place(first, offsets)}: its polarity is {int(p[first])}, must be 0 (OFF) or 1 (ON)"
            )

    def columns(self) -> dict[str, Array]:
        """All events, each column as one array; the pieces are given up."""
        return {
            name: np.concatenate([np.empty(0, dtype), *(piece.pop(name) for piece in self.pieces)])
            for name, dtype in COLUMNS.items()
        }


HINTS = {
    "x": "columns are whole pixels",
    "y": "rows are whole pixels",
    "t": "times are whole microseconds: convert them",
    "p": "polarities are 0 (OFF) and 1 (ON)",
}
