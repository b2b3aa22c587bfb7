"""The values of HDF5 data sets: numbers and texts, checked before anything is allocated.

Types: integers, reals of 2, 4 or 8 bytes, enumerations (booleans), texts of fixed or variable length.
Layouts: compact, contiguous, chunked with deflate (what nir.write uses), shuffle and checksums.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from math import prod

import numpy as np

from snncc.frontends.nir_hdf5 import DATASPACE, DATATYPE, FILTERS, LAYOUT, Damage, Stored, Tree, unpack
from snncc.ir import Array, Shape

MOST_BYTES = 2 << 30
MOST_TEXTS = 1 << 20
MOST_TEXT = 1 << 16
DEFLATE, SHUFFLE, CHECKSUM = 1, 2, 3
RATIO = 1100
"""Deflate never shrinks by more than 1032."""
UNDEFINED = 2**64 - 1

Value = Array | str | tuple[str, ...]
"""Numbers (any shape), one text, or the texts of an array in order."""


@dataclass(frozen=True, slots=True)
class Type:
    """How one element is stored: numbers of a NumPy *dtype*, or text of *size* bytes (None: variable)."""

    dtype: np.dtype[np.generic] | None
    size: int
    is_variable: bool = False


class Values:
    """Reads data sets of one file, and keeps count of the memory that they take."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.file = tree, tree.file
        self.left = min(MOST_BYTES, RATIO * len(self.file.data))
        self.texts_left = MOST_TEXTS
        self.heaps: dict[int, dict[int, memoryview]] = {}

    def read(self, stored: Stored) -> Value:
        """The value of *stored*. Raises `Damage`."""
        for message, what in ((DATASPACE, "shape"), (DATATYPE, "type"), (LAYOUT, "layout")):
            if message not in stored.messages:
                raise Damage(f"is damaged: {stored.path} has no {what}")
        shape = shape_of(stored)
        kind = type_of(stored.messages[DATATYPE].body, stored.path)
        size = prod(shape) * kind.size
        if size > self.left:
            raise Damage(f"{stored.path}: claims {size} bytes, more than this file can hold")
        self.left -= size
        raw = self.raw(stored, shape, kind, size)
        if kind.dtype is not None:
            return np.frombuffer(raw, kind.dtype).reshape(shape)
        texts = self.texts(raw, kind, prod(shape), stored.path)
        return texts if shape else texts[0]

    def raw(self, stored: Stored, shape: Shape, kind: Type, size: int) -> bytes | memoryview:
        """The bytes of all elements, row-major."""
        body = stored.messages[LAYOUT].body
        version, layout = unpack("<BB", body, f"the layout of {stored.path}")
        if version != 3:
            raise Damage(f"{stored.path}: has layout version {version}; snncc reads 3")
        if not size:
            return b""
        if layout == 0:
            (length,) = unpack("<xxH", body, stored.path)
            if length < size or len(body) < 4 + size:
                raise Damage(f"is damaged: {stored.path} has fewer bytes than its shape")
            return body[4 : 4 + size]
        if layout == 1:
            address, length = unpack("<xxQQ", body, stored.path)
            if length < size:
                raise Damage(f"is damaged: {stored.path} has fewer bytes than its shape")
            return self.file.part(address, size, stored.path)
        if layout == 2:
            return self.chunks(stored, shape, kind, size)
        raise Damage(f"{stored.path}: is stored in an unknown layout ({layout})")

    def chunks(self, stored: Stored, shape: Shape, kind: Type, size: int) -> bytes:
        """The bytes of an array that is stored in blocks."""
        body, path, rank = stored.messages[LAYOUT].body, stored.path, len(shape)
        (count, address) = unpack("<xxBQ", body, path)
        if count != rank + 1:
            raise Damage(f"is damaged: {path} is stored in blocks of {count - 1} axes, its shape has {rank}")
        *block, width = unpack(f"<{count}I", body[11:], path)
        if width != kind.size or min(block, default=1) < 1:
            raise Damage(f"is damaged: {path} is stored in blocks {block}")
        length = prod(block) * kind.size
        if length > self.left + size:
            raise Damage(f"{path}: is stored in blocks of {length} bytes, more than this file can hold")
        need = prod(-(-n // b) for n, b in zip(shape, block, strict=True))
        found = self.found(address, rank, path, need) if address != UNDEFINED else {}
        if len(found) != need:
            raise Damage(f"is damaged: {path} has {len(found)} of {need} blocks")
        filters = filters_of(stored)
        result = np.zeros((*shape, kind.size), np.uint8)
        for start, (at, stored_size, mask) in found.items():
            if any(s % b or s >= n for s, b, n in zip(start, block, shape, strict=True)):
                raise Damage(f"is damaged: {path} has a block at {start}")
            part = self.file.part(at, stored_size, path)
            data = unfiltered(part, filters, mask, length, kind.size, path)
            cut = tuple(slice(0, min(b, n - s)) for s, b, n in zip(start, block, shape, strict=True))
            into = tuple(slice(s, s + c.stop) for s, c in zip(start, cut, strict=True))
            result[into] = np.frombuffer(data, np.uint8).reshape(*block, kind.size)[cut]
        return result.tobytes()

    def found(self, address: int, rank: int, path: str, most: int) -> dict[Shape, tuple[int, int, int]]:
        """Address, stored size and filter mask of each block, by the place of its first element."""
        blocks: dict[Shape, tuple[int, int, int]] = {}
        nodes = [(address, 32)]
        while nodes:
            at, depth = nodes.pop()
            for child, key, level in self.tree.children(at, 1, 16 + 8 * rank, path, depth):
                if level:
                    nodes.append((child, level - 1))
                    continue
                size, mask, *start = struct.unpack_from(f"<II{rank}Q", key)
                self.tree.visit(child, path)
                blocks[tuple(start)] = (child, size, mask)
                if len(blocks) > most:
                    raise Damage(f"is damaged: {path} has more than {most} blocks")
        return blocks

    def texts(self, raw: bytes | memoryview, kind: Type, count: int, path: str) -> tuple[str, ...]:
        if count > self.texts_left:
            raise Damage(f"{path}: has more than {MOST_TEXTS} texts")
        self.texts_left -= count
        parts = [bytes(raw[k * kind.size : (k + 1) * kind.size]) for k in range(count)]
        if kind.is_variable:
            parts = [self.from_heap(part, path) for part in parts]
        try:
            return tuple(part.rstrip(b"\0").decode() for part in parts)
        except UnicodeDecodeError:
            raise Damage(f"is damaged: {path} holds a text that is no UTF-8") from None

    def from_heap(self, reference: bytes, path: str) -> bytes:
        """A text of variable length: its length, the heap that it is in, its number there."""
        length, address, index = struct.unpack("<IQI", reference)
        if not length:
            return b""
        if address not in self.heaps:
            self.heaps[address] = dict(self.objects(address, path))
        data = self.heaps[address].get(index)
        if data is None or len(data) < length or length > MOST_TEXT:
            raise Damage(f"is damaged: a text of {path} is not where it should be")
        return bytes(data[:length])

    def objects(self, address: int, path: str) -> list[tuple[int, memoryview]]:
        """The objects of a global heap."""
        what = f"the texts of {path}"
        self.tree.visit(address, what)
        head = self.file.marked(b"GCOL", address, 16, what)
        (size,) = struct.unpack_from("<Q", head, 8)
        heap, at, found = self.file.part(address, size, what), 16, []
        while at + 16 <= size:
            index, length = struct.unpack_from("<HxxxxxxQ", heap, at)
            if not index:
                break
            if length > size - at - 16:
                raise Damage(f"is damaged: {what} are longer than their heap")
            found.append((index, heap[at + 16 : at + 16 + length]))
            at += 16 + -(-length // 8) * 8
        return found


def shape_of(stored: Stored) -> Shape:
    """The shape of a data set; an empty one for a scalar."""
    body = stored.messages[DATASPACE].body
    version, rank, _ = unpack("<BBB", body, f"the shape of {stored.path}")
    if version not in (1, 2) or rank > 32:
        raise Damage(f"is damaged: {stored.path} has a shape of version {version} with {rank} axes")
    if version == 2 and len(body) > 3 and body[3] == 2:
        raise Damage(f"{stored.path}: is empty, where a value is needed")
    return unpack(f"<{rank}Q", body[8 if version == 1 else 4 :], f"the shape of {stored.path}")


def type_of(body: memoryview, path: str) -> Type:
    """The type of the elements."""
    first, bits, size = unpack("<BBxxI", body, f"the type of {path}")
    kind = first & 15
    order = ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8):
        return Type(np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}"), size)
    if kind == 1 and size in (2, 4, 8) and tuple(body[12:16]) == REALS[size]:
        return Type(np.dtype(f"{order}f{size}"), size)
    if kind == 3 and 0 < size <= MOST_TEXT:
        return Type(None, size)
    if kind == 8 and len(body) > 16 and body[8] & 15 == 0:
        return type_of(body[8:], path)
    if kind == 9 and bits & 15 == 1 and size == 16:
        return Type(None, size, is_variable=True)
    raise Damage(
        f"{path}: has elements of HDF5 class {kind} with {size} bytes; snncc reads numbers and texts"
    )


REALS = {2: (10, 5, 0, 10), 4: (23, 8, 0, 23), 8: (52, 11, 0, 52)}
"""Where IEEE 754 has exponent (place, bits) and fraction (place, bits), by bytes."""


def filters_of(stored: Stored) -> tuple[int, ...]:
    """The filters through which blocks went, in the order of writing."""
    if FILTERS not in stored.messages:
        return ()
    body = stored.messages[FILTERS].body
    version, count = unpack("<BB", body, f"the filters of {stored.path}")
    if version not in (1, 2) or count > 32:
        raise Damage(f"is damaged: {stored.path} has {count} filters of version {version}")
    at, found = (8 if version == 1 else 2), []
    for _ in range(count):
        (number,) = unpack("<H", body[at:], f"a filter of {stored.path}")
        named = version == 1 or number >= 256
        fields = unpack("<3H" if named else "<2H", body[at + 2 :], f"a filter of {stored.path}")
        name, values = fields[0] if named else 0, fields[-1]
        if number not in (DEFLATE, SHUFFLE, CHECKSUM):
            raise Damage(
                f"{stored.path}: is compressed by the HDF5 filter {number}; snncc reads gzip and shuffle",
                "write it with compression='gzip'",
            )
        found.append(number)
        padded = -(-name // 8) * 8 if version == 1 else name
        at += (8 if named else 6) + padded + 4 * values + (4 * (values % 2) if version == 1 else 0)
    return tuple(found)


def unfiltered(
    part: memoryview, filters: tuple[int, ...], mask: int, length: int, width: int, path: str
) -> bytes:
    """One block, *length* bytes, as it was before its filters."""
    data = bytes(part)
    for k, number in reversed(list(enumerate(filters))):
        if mask >> k & 1:
            continue
        if number == DEFLATE:
            data = inflated(data, length + 4, path)
        elif number == SHUFFLE and len(data) % width == 0:
            data = np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes()
        elif number == CHECKSUM:
            data = data[:-4]
    if len(data) != length:
        raise Damage(f"is damaged: a block of {path} has {len(data)} bytes instead of {length}")
    return data


def inflated(data: bytes, most: int, path: str) -> bytes:
    """*data* decompressed, *most* bytes at most; its checksum is part of the format."""
    machine = zlib.decompressobj()
    try:
        result = machine.decompress(data, most + 1)
    except zlib.error as problem:
        raise Damage(f"is damaged: a block of {path} does not decompress ({problem})") from None
    if len(result) > most or not machine.eof:
        raise Damage(f"is damaged: a block of {path} does not decompress to its size")
    return result
