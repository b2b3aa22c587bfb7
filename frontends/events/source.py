"""Reading binary recordings: header lines, and records in pieces of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from snncc.errors import BadFile

PIECE = 1 << 18
"""Records that are decoded at once: what bounds the memory of a reader, beside the events it returns."""

LONGEST_HEADER = 4 << 20
"""Bytes of header lines, at most; jAER writes a camera's whole settings into them."""


TEXT = re.compile(rb"[^\x00-\x08\x0e-\x1f]*")
"""Lines with control characters are events that begin like a header: an address may begin with ``#``."""


def header_lines(path: Path, prefix: bytes, last: bytes | None = None) -> tuple[list[str], int]:
    """The lines at the start of *path* that begin with *prefix*, and the offset after them.

    A line equal to *last* ends the header. Raises `BadFile` for a header without end.
    """
    lines: list[str] = []
    with opened(path) as file:
        start = 0
        while True:
            line = file.readline(LONGEST_HEADER)
            if not line.startswith(prefix) or not TEXT.fullmatch(line):
                return lines, start
            start += len(line)
            if not line.endswith(b"\n"):
                raise BadFile(f"{path}: its header line {len(lines) + 1} (until byte {start}) has no end")
            if start > LONGEST_HEADER:
                raise BadFile(f"{path}: its header has more than {LONGEST_HEADER} bytes")
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if last is not None and line.rstrip(b"\r\n") == last:
                return lines, start


def opened(path: Path) -> BinaryIO:
    """The file *path*, open for reading. Raises `BadFile`."""
    try:
        return path.open("rb")
    except OSError as problem:
        raise BadFile(f"{path}: cannot be read: {problem.strerror or problem}") from None


def records(path: Path, start: int, size: int, what: str = "event") -> Iterator[tuple[int, bytes]]:
    """The records of *size* bytes from offset *start* on: pieces of many, each with its offset.

    Raises `BadFile` where the last record is not whole, before any is read.
    """
    total = path.stat().st_size - start
    if total % size:
        whole = total // size
        raise BadFile(
            f"{path}: ends inside {what} {whole} (byte {start + whole * size}): {total % size} of its {size} "
            "bytes are there",
            hint="the recording was cut off, or is no such file",
        )
    with opened(path) as file:
        file.seek(start)
        offset = start
        while piece := file.read(PIECE * size):
            if len(piece) % size:
                raise BadFile(f"{path}: changed while it was read (byte {offset})")
            yield offset, piece
            offset += len(piece)
