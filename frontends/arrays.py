"""Arrays from .npz and .npy files, with their sizes checked before anything is allocated; no pickles."""

from __future__ import annotations

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from snncc.errors import BadFile
from snncc.frontends.archive import checked_path
from snncc.ir import Array

MAXIMUM_BYTES = 8 << 30
"""Files that would unpack to more than 8 GiB are refused."""

MAXIMUM_ARRAYS = 1 << 12
PIECE = 1 << 24
DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, IndexError, SyntaxError, TypeError, RuntimeError, MemoryError),
    *(OverflowError, NotImplementedError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What zipfile and NumPy raise for files that are damaged."""

HINT = "save it with numpy.savez(path, x=..., y=...)"


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file, or that of an .npy file as ``x``.

    Raises `BadFile` for a file that is missing, damaged, too large, or holds Python objects.
    """
    size = checked_path(path, (path.suffix.lower(),), "arrays")
    try:
        if zipfile.is_zipfile(path):
            return members(path)
        with path.open("rb") as file:
            return {"x": array(path, "x", file, size)}
    except DAMAGE as problem:
        raise damaged(path, problem) from None


def array_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays of an .npz file; none for a file that cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except DAMAGE:
        return ()


def members(path: Path) -> dict[str, Array]:
    """The arrays of the archive *path*."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAXIMUM_ARRAYS:
            raise BadFile(f"{path}: has {len(entries)} arrays; at most {MAXIMUM_ARRAYS} are read")
        size = sum(entry.file_size for entry in entries)
        if size > MAXIMUM_BYTES:
            raise BadFile(f"{path}: would unpack to {size} bytes; at most {MAXIMUM_BYTES} are read")
        found: dict[str, Array] = {}
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename:
                raise BadFile(f"{path}: its entry {name!r} is no array (.npy)", hint=HINT)
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadFile(
                    f"{path}: its array {name!r} is packed in a way that NumPy never writes", hint=HINT
                )
            if name in found:
                raise BadFile(f"{path}: has two arrays {name!r}")
            with archive.open(entry) as file:
                found[name] = array(path, name, file, entry.file_size)
                if file.read(1):
                    raise BadFile(f"{path}: its array {name!r} is followed by other bytes")
    return found


def array(path: Path, name: str, file: IO[bytes], size: int) -> Array:
    """The array in *file*, which has *size* bytes: its header is compared with them first."""
    version = np.lib.format.read_magic(file)
    if version not in READERS:
        raise ValueError(f"array {name!r} is of format {version}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header that Python 2 wrote: its numbers are good
        shape, fortran, dtype = READERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"array {name!r} holds Python objects, which would run code")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise BadFile(f"{path}: array {name!r} claims {shape} of {dtype}; the file has {size} bytes for it")
    data = memoryview(bytearray(count * dtype.itemsize))
    filled = 0
    while filled < len(data) and (piece := file.read(min(PIECE, len(data) - filled))):
        data[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != len(data):
        raise BadFile(f"{path}: array {name!r} needs {len(data)} bytes, {filled} are there")
    flat = np.frombuffer(data, dtype, count)
    return flat.reshape(shape, order="F" if fortran else "C")


READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def damaged(path: Path, problem: BaseException) -> BadFile:
    kind = "" if str(problem) else type(problem).__name__
    return BadFile(f"{path}: is no readable .npz or .npy file ({str(problem)[:300]}{kind})", hint=HINT)
