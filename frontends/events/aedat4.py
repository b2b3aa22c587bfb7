"""AEDAT 4.0, the format of DV (https://docs.inivation.com, AEDAT 4.0).

After a line with the version come an IOHeader and packets: the stream's number, a size, and a flatbuffer that
may be compressed as a whole (LZ4 or ZSTD frames). Flatbuffers are read here as far as these two tables need
it, with every offset checked: a table begins with the distance back to its vtable, which has the places of
its fields.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np

from snncc.errors import BadFile, MissingDependency
from snncc.frontends.events.events import Gathering
from snncc.frontends.events.options import Options, notes
from snncc.frontends.events.source import opened
from snncc.ir import Array

MAGIC = b"#!AER-DAT4.0\r\n"
MAXIMUM_HEADER = 4 << 20
MAXIMUM_PACKET = 64 << 20
"""A packet that is larger, or would unpack to more bytes, is refused before it is read."""

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("padding", "V3")])


@dataclass(frozen=True)
class Flat:
    """A size-prefixed flatbuffer, and where it is in words for errors."""

    data: bytes
    where: str

    def number(self, code: str, at: int) -> int:
        """The number at *at*. Raises `BadFile` beyond the end."""
        if at < 0 or at + struct.calcsize(code) > len(self.data):
            raise BadFile(f"{self.where}: is damaged: points to byte {at} of {len(self.data)}")
        return int(struct.unpack_from(code, self.data, at)[0])

    def root(self, identifier: bytes) -> int | None:
        """Where the root table is; None for a buffer of another kind. Raises `BadFile` for a wrong size."""
        if (size := self.number("<I", 0) + 4) != len(self.data):
            raise BadFile(f"{self.where}: needs {size} bytes, has {len(self.data)}")
        self.number("<Q", 4)
        return self.number("<I", 4) + 4 if self.data[8:12] == identifier else None

    def field(self, table: int, index: int) -> int | None:
        """Where field *index* of *table* is, None where it is left out."""
        vtable = table - self.number("<i", table)
        if 4 + 2 * index + 2 > self.number("<H", vtable):
            return None
        place = self.number("<H", vtable + 4 + 2 * index)
        return table + place if place else None

    def vector(self, at: int, size: int) -> tuple[int, int]:
        """Where the first element of the vector at field *at* is, and how many it has."""
        start = at + self.number("<I", at)
        count = self.number("<I", start)
        if start + 4 + count * size > len(self.data):
            raise BadFile(f"{self.where}: says {count} elements; {len(self.data) - start - 4} bytes follow")
        return start + 4, count


def read_aedat4(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """The events of the only event stream of an AEDAT 4.0 file."""
    others = 0
    with opened(path) as file:
        size = path.stat().st_size
        compression, table, info = io_header(path, file, size)
        stream, sensor = event_stream(path, info)
        end = size if table == -1 else table
        if not file.tell() <= end <= size:
            raise BadFile(
                f"{path}: its table of packets should be at byte {end}, the file has {size} bytes",
                hint="the recording was cut off, or is damaged",
            )
        gathered = Gathering(str(path), *options.sensor(path, sensor))
        unpack = unpacker(path, compression)
        while (offset := file.tell()) < end:
            number, length = packet_header(path, file, offset, end)
            if number != stream:
                others += 1
                file.seek(length, 1)
                continue
            where = f"{path}: packet at byte {offset}"
            piece = file.read(length)
            events = elements(Flat(unpack(piece, where), where))
            at = np.full(len(events), offset)
            gathered.add(events["x"], events["y"], events["t"], events["p"], at)
    return gathered, notes((others, "packets of other streams (frames, motion, triggers) are no events"))


def io_header(path: Path, file: BinaryIO, size: int) -> tuple[int, int, str]:
    """Compression, position of the table of packets, and the description in XML."""
    where = f"{path}: header at byte {len(MAGIC)}"
    if file.read(len(MAGIC)) != MAGIC:
        raise BadFile(f"{path}: does not begin with {MAGIC.decode().strip()}")
    prefix = file.read(4)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 4 or length > min(MAXIMUM_HEADER, size - file.tell()):
        raise BadFile(
            f"{where}: claims {length} bytes; the file has {size}, at most {MAXIMUM_HEADER} are read"
        )
    flat = Flat(prefix + file.read(length), where)
    if (root := flat.root(b"IOHE")) is None:
        raise BadFile(f"{where}: is no IOHeader")
    places = [flat.field(root, index) for index in range(3)]
    compression = 0 if places[0] is None else flat.number("<i", places[0])
    table = -1 if places[1] is None else flat.number("<q", places[1])
    if places[2] is None:
        raise BadFile(f"{where}: does not describe its streams")
    start, count = flat.vector(places[2], 1)
    return compression, table, flat.data[start : start + count].decode("utf-8", "replace")


def event_stream(path: Path, info: str) -> tuple[int, tuple[int, int] | None]:
    """The number of the stream of events, and its sensor's size."""
    if "<!" in info.replace("<!--", ""):
        raise BadFile(f"{path}: the description in its header has declarations, which DV never writes")
    try:
        top = ElementTree.fromstring(info.rstrip("\0"))
    except (ElementTree.ParseError, ValueError) as problem:
        raise BadFile(f"{path}: the description in its header is damaged: {problem}") from None
    streams: dict[int, tuple[int, int] | None] = {}
    for node in top.findall("./node[@name='outInfo']/node"):
        if attribute(node, "typeIdentifier") != "EVTS" or not (name := node.get("name", "")).isdecimal():
            continue
        inner = node.find("./node[@name='info']")
        sides = [attribute(inner, side) if inner is not None else "" for side in ("sizeX", "sizeY")]
        streams[int(name)] = (int(sides[0]), int(sides[1])) if all(map(plain, sides)) else None
    if len(streams) != 1:
        raise BadFile(
            f"{path}: needs one stream of events, has {len(streams)}",
            hint="export the stream that you mean to a file of its own",
        )
    return next(iter(streams.items()))


def plain(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 7


def attribute(node: ElementTree.Element, key: str) -> str:
    found = next((one for one in node.findall("./attr") if one.get("key") == key), None)
    return "" if found is None else (found.text or "").strip()


def packet_header(path: Path, file: BinaryIO, offset: int, end: int) -> tuple[int, int]:
    """The stream and the length of the packet at *offset*."""
    where = f"{path}: packet at byte {offset}"
    header = file.read(8)
    if len(header) < 8 or offset + 8 > end:
        raise BadFile(f"{where}: {end - offset} of the 8 bytes of its header are there")
    stream, length = struct.unpack("<ii", header)
    if not 0 <= length <= min(MAXIMUM_PACKET, end - offset - 8):
        raise BadFile(
            f"{where}: claims {length} bytes; {end - offset - 8} follow, at most {MAXIMUM_PACKET} are read",
            hint="the recording was cut off, or is damaged",
        )
    return stream, length


def elements(flat: Flat) -> Array:
    """The events of an event packet."""
    root = flat.root(b"EVTS")
    if root is None:
        raise BadFile(f"{flat.where}: is in the stream of events and holds none")
    place = flat.field(root, 0)
    if place is None:
        return np.empty(0, EVENT)
    start, count = flat.vector(place, EVENT.itemsize)
    return np.frombuffer(flat.data, EVENT, count, start)


def unpacker(path: Path, compression: int) -> Callable[[bytes, str], bytes]:
    """What unpacks a packet: `MissingDependency` where its library is not installed."""
    if compression == 0:
        return lambda piece, where: piece
    if compression in (1, 2):
        return unpack_lz4
    if compression in (3, 4):
        return unpack_zstd
    raise BadFile(f"{path}: its compression {compression} is none of AEDAT 4.0")


def unpack_lz4(piece: bytes, where: str) -> bytes:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError:
        raise MissingDependency("lz4", "events") from None
    one = LZ4FrameDecompressor()
    try:
        data = one.decompress(piece, max_length=MAXIMUM_PACKET + 1)
    except (RuntimeError, EOFError) as problem:
        raise BadFile(f"{where}: cannot be unpacked: {problem}") from None
    data = small(data, where)
    if not one.eof or one.unused_data:
        raise BadFile(f"{where}: is no whole compressed frame", hint="the recording is damaged")
    return data


def unpack_zstd(piece: bytes, where: str) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise MissingDependency("zstandard", "events") from None
    try:
        unpacking = zstandard.ZstdDecompressor(max_window_size=MAXIMUM_PACKET)
        with unpacking.stream_reader(piece) as reader:
            return small(
                reader.read(MAXIMUM_PACKET + 1), where
            )  # a cut frame: the size in front of the data says so
    except zstandard.ZstdError as problem:
        raise BadFile(f"{where}: cannot be unpacked: {problem}") from None


def small(data: bytes, where: str) -> bytes:
    if len(data) > MAXIMUM_PACKET:
        raise BadFile(f"{where}: would unpack to more than {MAXIMUM_PACKET} bytes")
    return data
