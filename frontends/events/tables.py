"""Event lists in general formats: .npz, .h5 and .csv with the columns x, y, t (microseconds) and p."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from snncc.errors import BadFile, MissingDependency
from snncc.frontends.arrays import array_names, read_arrays
from snncc.frontends.events import events as limits
from snncc.frontends.events.events import Gathering
from snncc.frontends.events.options import Options
from snncc.frontends.events.source import PIECE, opened
from snncc.ir import Array

COLUMNS = ("x", "y", "t", "p")
LONGEST_LINE = 256
NUMBER = re.compile(rb"\s*-?\d{1,18}\s*")


def holds_events(path: Path) -> bool:
    """Whether the .npz file *path* is a list of events, not frames."""
    names = array_names(path)
    return "events" in names or {"t", "p"} <= set(names)


def read_npz(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """Arrays x, y, t, p (and width, height), or one structured array ``events`` with these fields."""
    arrays = read_arrays(path)
    table = arrays.get("events")
    columns = dict(arrays) if table is None else {name: table[name] for name in table.dtype.names or ()}
    check_columns(path, columns)
    found = None
    if "width" in arrays and "height" in arrays:
        found = int(single(path, arrays, "width")), int(single(path, arrays, "height"))
    gathered = Gathering(str(path), *options.sensor(path, found))
    gathered.add(*(columns[name] for name in COLUMNS))
    return gathered, ()


def single(path: Path, arrays: dict[str, Array], name: str) -> int:
    value = arrays[name]
    if value.size != 1 or value.dtype.kind not in "iu":
        raise BadFile(f"{path}: {name!r} must be one integer, not {value.dtype} {value.shape}")
    return int(value.reshape(-1)[0])


def check_columns(path: Path, columns: Any) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        have = ", ".join(sorted(map(str, columns))) or "nothing"
        raise BadFile(
            f"{path}: a list of events needs x, y, t and p; lacks {', '.join(missing)}, has {have[:200]}",
            hint="t in microseconds, p 1 for ON and 0 for OFF",
        )


FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
"""What HDF5 has built in, by number: others would load libraries."""

LARGEST_CHUNK = 64 << 20


def read_h5(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """Data sets x, y, t, p at the top of an HDF5 file, or in its group ``events``."""
    try:
        import h5py
    except ImportError:
        raise MissingDependency("h5py", "events") from None
    try:
        with h5py.File(path, "r") as file:
            has_group = file.get("events", getlink=True) is not None  # "in" would follow a link
            group = own(path, file, "events", h5py) if has_group else file
            if not isinstance(group, h5py.Group):
                raise BadFile(f"{path}: 'events' must be a group with x, y, t and p")
            check_columns(path, list(group))
            sets = [own(path, group, name, h5py) for name in COLUMNS]
            count = checked_sets(path, sets, h5py)
            gathered = Gathering(str(path), *options.sensor(path))
            for first in range(0, count, PIECE):
                gathered.add(*(one[first : first + PIECE] for one in sets))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as problem:
        raise BadFile(f"{path}: is no readable HDF5 file ({str(problem)[:300]})") from None
    return gathered, ()


def own(path: Path, group: Any, name: str, h5py: Any) -> Any:
    """The object *name* of *group*, if it is in this file. Raises `BadFile` for links to others."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise BadFile(
            f"{path}: {name!r} is a link, which could lead out of the file", hint="copy the data in"
        )
    return group[name]


def checked_sets(path: Path, sets: list[Any], h5py: Any) -> int:
    """How many events the data sets have. Raises `BadFile` for what is no plain column of integers."""
    for name, one in zip(COLUMNS, sets, strict=True):
        if not isinstance(one, h5py.Dataset) or one.ndim != 1:
            raise BadFile(f"{path}: {name!r} must be a data set with one number an event")
        if one.dtype.kind not in "iub":
            raise BadFile(f"{path}: {name} must be integers, not {one.dtype}", hint=limits.HINTS[name])
        if one.is_virtual or one.external:
            raise BadFile(f"{path}: {name!r} has its data in other files", hint="copy the data in")
        settings = one.id.get_create_plist()
        filters = [settings.get_filter(k)[0] for k in range(settings.get_nfilters())]
        if set(filters) - set(FILTERS):
            raise BadFile(f"{path}: {name!r} is packed by HDF5 filter {filters}; known: {FILTERS}")
        if one.chunks and one.chunks[0] * one.dtype.itemsize > LARGEST_CHUNK:
            raise BadFile(
                f"{path}: {name!r} has chunks of {one.chunks[0]} numbers; at most 64 MiB are unpacked"
            )
    counts = {len(one) for one in sets}
    if len(counts) != 1 or max(counts) > limits.MAXIMUM_EVENTS:
        raise BadFile(
            f"{path}: x, y, t, p must be equally many, at most {limits.MAXIMUM_EVENTS}, not {sorted(counts)}"
        )
    return counts.pop()


def read_csv(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """Lines of integers after a first line that names the columns: ``x,y,t,p``, in any order."""
    gathered = Gathering(str(path), *options.sensor(path))
    with opened(path) as file:
        names = [part.strip().decode("latin-1") for part in file.readline(LONGEST_LINE).split(b",")]
        if sorted(names) != sorted(COLUMNS):
            raise BadFile(
                f"{path}: its first line must name the columns x, y, t and p, in their order, not "
                f"{','.join(names)[:60]!r}",
                hint="put a line x,y,t,p at the top; t in microseconds",
            )
        for rows, offsets in csv_pieces(path, file):
            table = dict(zip(names, np.array(rows, np.int64).T, strict=True))
            gathered.add(table["x"], table["y"], table["t"], table["p"], offsets)
    return gathered, ()


def csv_pieces(path: Path, file: Any) -> Iterator[tuple[list[list[int]], list[int]]]:
    """Rows of integers and the byte offset of each, in pieces of bounded size."""
    rows: list[list[int]] = []
    offsets: list[int] = []
    offset, number = file.tell(), 0
    while line := file.readline(LONGEST_LINE):
        parts = line.rstrip(b"\r\n").split(b",")
        if len(parts) != len(COLUMNS) or not all(map(NUMBER.fullmatch, parts)):
            raise BadFile(
                f"{path}: event {number} (line {number + 2}, byte {offset}): needs four integers, has "
                f"{line[:60].decode('latin-1').strip()!r}"
            )
        if not line.endswith(b"\n"):
            raise BadFile(
                f"{path}: event {number} (line {number + 2}, byte {offset}): its line has no end",
                hint="the file was cut off; end the last line, if it is whole",
            )
        rows.append([int(part) for part in parts])
        offsets.append(offset)
        offset, number = offset + len(line), number + 1
        if len(rows) == PIECE:
            yield rows, offsets
            rows, offsets = [], []
    if rows:
        yield rows, offsets
