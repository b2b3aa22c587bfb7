"""Writes recordings by the definition of each format: independent of the readers under test.

Events are tuples (x, y, t, p), t in microseconds.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Event = tuple[int, int, int, int]


def nmnist(events: Sequence[Event]) -> bytes:
    """40 bits an event: x, y, then polarity (1 bit) and time (23 bits); y = 240 adds 2**13 us."""
    data, passed = b"", 0
    for x, y, t, p in events:
        while t - passed >= 1 << 23:
            passed += 1 << 13
            data += struct.pack(">BBBH", 0, 240, 0, 0)
        data += struct.pack(">BB", x, y) + struct.pack(">I", p << 23 | (t - passed))[1:]
    return data


def aedat2(events: Sequence[Event], camera: str = "dvs128", chip: str | None = None) -> bytes:
    lines = ["#!AER-DAT2.0", "# This is a raw AE data file - do not edit", "# Timestamps tick is 1 us"]
    lines += [f"# AEChip: {chip}"] if chip else []
    data = "".join(line + "\r\n" for line in lines).encode()
    for x, y, t, p in events:
        address = y << 8 | x << 1 | p if camera == "dvs128" else y << 22 | x << 12 | p << 11
        data += struct.pack(">II", address, t)
    return data


def aedat3_header(source: str = "DVS128") -> bytes:
    lines = ["#!AER-DAT3.1", "#Format: RAW", f"#Source 1: {source}"]
    lines += ["#Start-Time: 2017-03-17 12:13:14 (TZ+0100)", "#!END-HEADER"]
    return "".join(line + "\r\n" for line in lines).encode()


def aedat3_packet(events: Sequence[Event], valid: Sequence[bool] | None = None) -> bytes:
    """A packet of polarity events: they share the high part of their time."""
    flags = [True] * len(events) if valid is None else list(valid)
    overflow = events[0][2] >> 31 if events else 0
    data = struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, len(events), len(events), sum(flags))
    for (x, y, t, p), is_valid in zip(events, flags, strict=True):
        assert t >> 31 == overflow
        data += struct.pack("<II", x << 17 | y << 2 | p << 1 | is_valid, t & 0x7FFFFFFF)
    return data


def aedat3(events: Sequence[Event], source: str = "DVS128") -> bytes:
    """Packets of at most three events, with packets of other events between them."""
    data = aedat3_header(source)
    groups: list[list[Event]] = []
    for event in events:
        if not groups or len(groups[-1]) == 3 or groups[-1][0][2] >> 31 != event[2] >> 31:
            groups.append([])
        groups[-1].append(event)
    for group in groups:
        data += aedat3_packet(group)
        data += struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    return data


def evt2(events: Sequence[Event], header: str = "% evt 2.0\n% geometry 640x480\n% end\n") -> bytes:
    data, high = header.encode(), None
    for x, y, t, p in events:
        if t >> 6 != high:
            high = t >> 6
            data += struct.pack("<I", 0x8 << 28 | high & 0xFFFFFFF)
        data += struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y)
    return data


def evt3(events: Sequence[Event], header: str = "% evt 3.0\n% geometry 640x480\n% end\n") -> bytes:
    """Single events, and vectors of 12 where neighbors of a row fire together with rising x."""
    words: list[int] = []
    time = row = None
    k = 0
    while k < len(events):
        x, y, t, p = events[k]
        if time is None or time >> 12 != t >> 12:
            words.append(0x8 << 12 | t >> 12 & 0xFFF)
        if time != t:
            words.append(0x6 << 12 | t & 0xFFF)
        if row != y:
            words.append(0x0 << 12 | y)
        time, row = t, y
        group = [x]
        while k + len(group) < len(events):
            x2, *others = events[k + len(group)]
            if others != [y, t, p] or not group[-1] < x2 < x + 32:
                break
            group.append(x2)
        if len(group) == 1:
            words.append(0x2 << 12 | p << 11 | x)
        else:
            mask = sum(1 << (one - x) for one in group)
            words.append(0x3 << 12 | p << 11 | x)
            words += [0x4 << 12 | mask & 0xFFF, 0x4 << 12 | mask >> 12 & 0xFFF, 0x5 << 12 | mask >> 24]
        k += len(group)
    return header.encode() + struct.pack(f"<{len(words)}H", *words)


def flatbuffer(identifier: bytes, fields: Sequence[bytes | tuple[int, int, bytes]]) -> bytes:
    """A size-prefixed flatbuffer with one table: scalars are bytes, vectors (count, alignment, bytes)."""
    vtable = 4 + 2 * len(fields)
    table = (
        12 + vtable + (-(12 + vtable) % 8) + 4
    )  # so that what follows its first four bytes is aligned to 8
    places, body, behind = [], b"", []
    for one in fields:
        width = 4 if isinstance(one, tuple) else len(one)
        body += bytes(-(table + 4 + len(body)) % width)
        places.append(4 + len(body))
        if isinstance(one, tuple):
            behind.append((len(body), one))
        body += bytes(4) if isinstance(one, tuple) else one
    blob = bytearray(struct.pack("<4xI4s", table - 4, identifier))
    blob += bytes(table - vtable - len(blob))
    blob += struct.pack(f"<HH{len(places)}H", vtable, 4 + len(body), *places)
    blob += struct.pack("<i", vtable) + body
    for place, (count, align, content) in behind:
        blob += bytes(-(len(blob) + 4 - 4) % align)  # offsets count from behind the size
        start = len(blob)
        struct.pack_into("<I", blob, table + 4 + place, start - (table + 4 + place))
        blob += struct.pack("<I", count) + content
    struct.pack_into("<I", blob, 0, len(blob) - 4)
    return bytes(blob)


INFO = (
    '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
    '<node name="0" path="/mainloop/Recorder/outInfo/0/">'
    '<attr key="compression" type="string">{compression}</attr>'
    '<attr key="originalModuleName" type="string">capture</attr>'
    '<attr key="originalOutputName" type="string">events</attr>'
    '<attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>'
    '<attr key="typeIdentifier" type="string">EVTS</attr>'
    '<node name="info" path="/mainloop/Recorder/outInfo/0/info/">'
    '<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr>'
    '<attr key="source" type="string">DVXplorer</attr></node></node></node></dv>'
)
COMPRESSIONS = ("NONE", "LZ4", "LZ4_HIGH", "ZSTD", "ZSTD_HIGH")


def aedat4(
    events: Sequence[Event],
    size: tuple[int, int] = (640, 480),
    compression: int = 0,
    pack: Callable[[bytes], bytes] = bytes,
    group: int = 3,
) -> bytes:
    """Packets of *group* events, with an empty packet of another stream after each."""
    info = INFO.format(compression=COMPRESSIONS[compression], width=size[0], height=size[1]).encode()
    scalars = [struct.pack("<i", compression), struct.pack("<q", -1)]
    fields: list[bytes | tuple[int, int, bytes]] = [*scalars, (len(info), 4, info + b"\0")]
    data = b"#!AER-DAT4.0\r\n" + flatbuffer(b"IOHE", fields)
    for first in range(0, len(events), group):
        part = events[first : first + group]
        content = b"".join(struct.pack("<qhhB3x", t, x, y, p) for x, y, t, p in part)
        packet = pack(flatbuffer(b"EVTS", [(len(part), 8, content)]))
        data += struct.pack("<ii", 0, len(packet)) + packet
    return data


def columns(events: Sequence[Event]) -> dict[str, Any]:
    table = np.array(events, np.int64).reshape(-1, 4)
    return dict(zip("xytp", table.T, strict=True))


def npz(events: Sequence[Event]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns(events))
    return buffer.getvalue()


def h5(events: Sequence[Event], group: str = "events", chunks: int = 2) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, column in columns(events).items():
            file.create_dataset(
                f"{group}/{name}", data=column, chunks=(min(chunks, len(column)),), compression="gzip"
            )
    return buffer.getvalue()


def csv(events: Sequence[Event]) -> bytes:
    return b"t,x,y,p\n" + b"".join(b"%d,%d,%d,%d\n" % (t, x, y, p) for x, y, t, p in events)
