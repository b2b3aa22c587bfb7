"""Checks of files that are zip archives, before anything in them is read or allocated."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from snncc.errors import BadFile

MAXIMUM_BYTES = 1 << 36  # 64 GiB: beyond every network this compiler is for
MAXIMUM_ENTRIES = 1 << 20
ZIP = b"PK\x03\x04"


def checked_path(path: Path, suffixes: Sequence[str], what: str) -> int:
    """The size of the file *path* in bytes. Raises `BadFile` where it is missing or no *what* by its name."""
    try:
        if path.is_dir():
            raise BadFile(f"{path}: is a folder, not a file")
        size = path.stat().st_size
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise BadFile(f"{path}: cannot be read: {reason}") from None
    if path.suffix.lower() not in suffixes:
        raise BadFile(f"{path}: {what} have names that end in {', '.join(suffixes)}")
    if not size:
        raise BadFile(f"{path}: is empty")
    if size > MAXIMUM_BYTES:
        raise BadFile(f"{path}: has {size} bytes; snncc reads at most {MAXIMUM_BYTES}")
    return size


def first_bytes(path: Path, count: int) -> bytes:
    """The first *count* bytes of *path*, or all there are."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as problem:
        raise BadFile(f"{path}: cannot be read: {problem.strerror or problem}") from None


def entries(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries of the archive *path*, named without its top folder.

    torch stores entries uncompressed. What is compressed, overlaps or claims more bytes than the file has
    is refused: reading the archive then never takes more memory than its size. Raises `BadFile`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as problem:
        raise BadFile(f"{path}: is truncated or damaged: {problem}") from None
    if len(found) > MAXIMUM_ENTRIES:
        raise BadFile(f"{path}: has {len(found)} entries; snncc reads at most {MAXIMUM_ENTRIES}")
    result: dict[str, zipfile.ZipInfo] = {}
    for entry in found:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise BadFile(f"{path}: its entry {entry.filename!r} is compressed, which torch.save never does")
        name = entry.filename.partition("/")[2] or entry.filename
        if name in result:
            raise BadFile(f"{path}: has two entries {entry.filename!r}")
        result[name] = entry
    claimed, size = sum(entry.file_size for entry in found), path.stat().st_size
    if claimed > size:
        raise BadFile(f"{path}: its entries claim {claimed} bytes, the file has {size}")
    return result


def read(path: Path, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of *entry*, which `entries` has found in *path*. Raises `BadFile` where they are damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(entry)
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, RuntimeError, NotImplementedError) as problem:
        raise BadFile(f"{path}: its entry {entry.filename!r} is damaged: {problem}") from None


def shortened(problem: BaseException, length: int = 300) -> str:
    """The type and the first line of the message of *problem*."""
    message = str(problem).strip().partition("\n")[0]
    return f"{type(problem).__name__}: {message}"[:length]
