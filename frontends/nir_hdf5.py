"""HDF5 files as `nir.write` makes them, read without the HDF5 library.

That library, given damaged files, was seen to loop for ever inside C, where nothing can stop it; and reading
a network is no reason to install it. What h5py writes by default is the oldest form of the format: superblock
0 or 1, object headers of version 1, groups as B-trees of symbol tables (HDF5 File Format Specification 3.0,
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html). Other forms are refused by name. Every
address and every size is checked against the file before it is used, and nothing is visited twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from snncc.errors import BadFile
from snncc.frontends.archive import checked_path

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAXIMUM_BYTES = 4 << 30
"""Files above 4 GiB are refused: no network that these chips hold comes near."""
MAXIMUM_OBJECTS = 1 << 18
MAXIMUM_DEPTH = 32
NEWER = "write it with nir.write, or with h5py without libver"


class Damage(Exception):
    """Something in the file contradicts the format; becomes a `BadFile` that names the file."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an object header: its *kind*, and its body in the file."""

    kind: int
    body: memoryview


@dataclass(frozen=True, slots=True)
class Stored:
    """A data set that was found, not yet read: the messages of its header by kind."""

    path: str
    messages: Mapping[int, Message]


@dataclass(frozen=True, slots=True)
class Group:
    """A group: its members by name."""

    path: str
    members: Mapping[str, Group | Stored]


DATASPACE, LINK_INFO, DATATYPE, LINK, LAYOUT, FILTERS, CONTINUATION, TABLE = 1, 2, 3, 6, 8, 11, 16, 17
WANTED = {DATASPACE, DATATYPE, LAYOUT, FILTERS, TABLE, LINK_INFO, LINK}


def read_bytes(path: Path) -> memoryview:
    """The bytes of *path*. Raises `BadFile` where it is missing, too large, or no HDF5 file by its start."""
    size = checked_path(path, (".nir", ".h5", ".hdf5"), "NIR graphs")
    if size > MAXIMUM_BYTES:
        raise BadFile(f"{path}: has {size} bytes; snncc reads NIR files of at most {MAXIMUM_BYTES}")
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise BadFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    if not data.startswith(SIGNATURE):
        raise BadFile(f"{path}: is no HDF5 file, which NIR graphs are")
    return memoryview(data)


class Bytes:
    """The file; every read checks that it stays inside."""

    def __init__(self, data: memoryview) -> None:
        self.data = data

    def part(self, address: int, size: int, what: str) -> memoryview:
        """*size* bytes at *address*."""
        if not 0 <= address <= len(self.data) - size or size < 0:
            raise Damage(f"is truncated or damaged: {what} lies outside the file")
        return self.data[address : address + size]

    def marked(self, mark: bytes, address: int, size: int, what: str) -> memoryview:
        """*size* bytes at *address* that begin with *mark*."""
        part = self.part(address, size, what)
        if bytes(part[: len(mark)]) != mark:
            raise Damage(f"is damaged: {what} has no mark {mark.decode()}")
        return part


class Tree:
    """Groups and data sets of one file."""

    def __init__(self, data: memoryview) -> None:
        self.file = Bytes(data)
        self.visited: set[int] = set()

    def root(self) -> Group:
        """Everything. Raises `Damage`."""
        head = self.file.part(0, 96, "the superblock")
        version, offsets, lengths = head[8], head[13], head[14]
        if version > 1:
            raise Damage(f"has HDF5 superblock version {version}; snncc reads 0 and 1", NEWER)
        if (offsets, lengths) != (8, 8):
            raise Damage(f"has addresses of {offsets} and sizes of {lengths} bytes; snncc reads 8 and 8")
        start = 24 if version == 0 else 28
        base, _, end, _ = struct.unpack_from("<4Q", head, start)
        if base or end > len(self.file.data):
            raise Damage(f"is truncated: {len(self.file.data)} bytes of {end}")
        (header,) = struct.unpack_from("<Q", head, start + 40)
        root = self.item(header, "", 0)
        if not isinstance(root, Group):
            raise Damage("is damaged: its root is no group")
        return root

    def item(self, address: int, path: str, depth: int) -> Group | Stored:
        """The group or data set whose header is at *address*."""
        self.visit(address, path or "/")
        if depth > MAXIMUM_DEPTH:
            raise Damage(f"{path}: is more than {MAXIMUM_DEPTH} groups deep")
        messages = {m.kind: m for m in self.messages(address, path or "/") if m.kind in WANTED}
        if LINK_INFO in messages or LINK in messages:
            raise Damage(f"{path or '/'}: is a group of a newer form of HDF5", NEWER)
        if TABLE not in messages:
            return Stored(path, messages)
        tree, heap = unpack("<2Q", messages[TABLE].body, f"the table of {path or '/'}")
        names = self.heap(heap, path)
        members: dict[str, Group | Stored] = {}
        for name_at, header in self.entries(tree, path, MAXIMUM_DEPTH):
            name = text_at(names, name_at, path)
            if name in members:
                raise Damage(f"is damaged: {path or '/'} has two members {name!r}")
            members[name] = self.item(header, f"{path}/{name}", depth + 1)
        return Group(path, members)

    def visit(self, address: int, what: str) -> None:
        """Nothing has two owners, and the number of things is bounded: so every walk ends."""
        if address in self.visited:
            raise Damage(f"is damaged: {what} is stored where something else is, or is a hard link")
        if len(self.visited) >= MAXIMUM_OBJECTS:
            raise Damage(f"has more than {MAXIMUM_OBJECTS} objects")
        self.visited.add(address)

    def messages(self, address: int, what: str) -> Iterator[Message]:
        """The messages of an object header and of its continuations."""
        version, count, size = unpack("<BxHxxxxI", self.file.part(address, 16, f"the header of {what}"), what)
        if version != 1:
            raise Damage(f"{what}: has an object header of a newer form of HDF5, or is damaged", NEWER)
        blocks = [(address + 16, size)]
        while blocks and count:
            at, size = blocks.pop(0)
            block = self.file.part(at, size, f"the header of {what}")
            place = 0
            while place + 8 <= len(block) and count:
                kind, length, flags = struct.unpack_from("<HHB", block, place)
                body = block[place + 8 : place + 8 + length]
                if len(body) < length:
                    raise Damage(f"is damaged: a message of {what} is longer than its header")
                place, count = place + 8 + length, count - 1
                if kind in WANTED and flags & 2:
                    raise Damage(f"{what}: shares a type or shape with others, which nir.write never does")
                if kind == CONTINUATION:
                    block_at, block_size = unpack("<2Q", body, f"a continuation of {what}")
                    self.visit(block_at, f"a continuation of {what}")
                    blocks.append((block_at, block_size))
                yield Message(kind, body)

    def heap(self, address: int, path: str) -> memoryview:
        """The names of a group."""
        what = f"the names of {path or '/'}"
        head = self.file.marked(b"HEAP", address, 32, what)
        size, _, at = struct.unpack_from("<3Q", head, 8)
        return self.file.part(at, size, what)

    def entries(self, address: int, path: str, depth: int) -> Iterator[tuple[int, int]]:
        """Name offset and header address of each member of a group."""
        what = f"the table of {path or '/'}"
        for child, _, level in self.children(address, 0, 8, what, depth):
            if level:
                yield from self.entries(child, path, depth - 1)
                continue
            self.visit(child, what)
            head = self.file.marked(b"SNOD", child, 8, what)
            (count,) = struct.unpack_from("<H", head, 6)
            table = self.file.part(child + 8, 40 * count, what)
            for k in range(count):
                name, header, cache = struct.unpack_from("<QQI", table, 40 * k)
                if cache == 2:
                    raise Damage(f"{path or '/'}: holds a symbolic link, which nir.write never makes")
                yield name, header

    def children(
        self, address: int, kind: int, key: int, what: str, depth: int
    ) -> Iterator[tuple[int, memoryview, int]]:
        """Address, key and level of each child of a B-tree node whose keys have *key* bytes."""
        self.visit(address, what)
        head = self.file.marked(b"TREE", address, 24, what)
        found, level, count = struct.unpack_from("<BBH", head, 4)
        if found != kind or level > depth:
            raise Damage(f"is damaged: {what} is a tree of another kind")
        body = self.file.part(address + 24, count * (key + 8), what)
        for k in range(count):
            at = k * (key + 8)
            (child,) = struct.unpack_from("<Q", body, at + key)
            yield child, body[at : at + key], level


def unpack(form: str, data: memoryview, what: str) -> tuple[int, ...]:
    """The integers at the start of *data*."""
    if len(data) < struct.calcsize(form):
        raise Damage(f"is damaged: {what} is too short")
    return struct.unpack_from(form, data)


def text_at(heap: memoryview, at: int, path: str) -> str:
    """The name at an offset of a heap, which ends with a zero byte."""
    rest = bytes(heap[at : at + 1025]) if at < len(heap) else b""
    name, zero, _ = rest.partition(b"\0")
    if not zero or not name:
        raise Damage(f"is damaged: a member of {path or '/'} has no name, or one of more than 1024 bytes")
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise Damage(f"is damaged: a member of {path or '/'} has a name that is no UTF-8") from None
