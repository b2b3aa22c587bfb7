"""AEDAT 3.1, cAER's format (https://docs.inivation.com, AEDAT 3.1): the packets of polarity events.

A packet has a header of 28 bytes, little-endian, then its events. A polarity event has 8 bytes: validity
(bit 0), polarity (1), y (2-16), x (17-31); then the time in microseconds, 31 bits.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from snncc.errors import BadFile
from snncc.frontends.events import events as limits
from snncc.frontends.events.events import Gathering
from snncc.frontends.events.options import CAMERAS, Options, notes
from snncc.frontends.events.source import header_lines, opened

END = b"#!END-HEADER"
HEADER = struct.Struct("<hhiiiiii")
POLARITY = 1
SIZE = 8
TYPES = 64
"""Types of packets below this number are known or reserved; others are damage."""


class Packet(NamedTuple):
    """The header of a packet."""

    kind: int
    source: int
    size: int
    time_offset: int
    overflow: int
    capacity: int
    number: int
    valid: int


def read_aedat3(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """The polarity events of an AEDAT 3.1 file."""
    lines, start = header_lines(path, b"#", END)
    if lines[-1:] != [END.decode()]:
        raise BadFile(f"{path}: its header (until byte {start}) has no line {END.decode()}")
    if "#Format: RAW" not in lines:
        raise BadFile(f"{path}: only packets '#Format: RAW' can be read", hint="convert it to .npz or .h5")
    names = [match[1] for line in lines if (match := re.match(r"#Source -?\d+: (\S+)", line))]
    camera = options.named(path, names[0]) if len(names) == 1 else options.camera
    gathered = Gathering(str(path), *options.sensor(path, CAMERAS[camera] if camera else None))
    others: Counter[int] = Counter()
    sources: set[int] = set()
    with opened(path) as file:
        size = path.stat().st_size
        file.seek(start)
        while (offset := file.tell()) < size:
            packet = packet_at(path, file, offset, size)
            if packet.kind != POLARITY:
                others[packet.kind] += packet.number
                file.seek(packet.number * packet.size, 1)
                continue
            sources.add(packet.source)
            if len(sources) > 1:
                raise BadFile(f"{path}: packet at byte {offset}: events of two cameras; one can be read")
            others[POLARITY] += polarity_events(gathered, packet, file, offset)
    invalid = others.pop(POLARITY, 0)
    return gathered, notes(
        (invalid, "events are marked invalid and left out"),
        (others.total(), "records (frames, motion, external inputs) are no polarity events"),
    )


def packet_at(path: Path, file: BinaryIO, offset: int, size: int) -> Packet:
    """The header at *offset*, checked. Raises `BadFile`."""
    where = f"{path}: packet at byte {offset}"
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        raise BadFile(f"{where}: {len(header)} of the {HEADER.size} bytes of its header are there")
    packet = Packet(*HEADER.unpack(header))
    if not 0 <= packet.kind < TYPES or packet.source < 0:
        raise BadFile(f"{where}: its type {packet.kind} of source {packet.source} is none of AEDAT 3.1")
    if packet.kind == POLARITY and (packet.size, packet.time_offset) != (SIZE, 4):
        raise BadFile(f"{where}: polarity events have {SIZE} bytes and their time at 4, not {packet}")
    if packet.size < 1 or packet.overflow < 0 or not 0 <= packet.valid <= packet.number:
        raise BadFile(f"{where}: its header contradicts itself: {packet}")
    if packet.capacity != packet.number:
        raise BadFile(f"{where}: has room for {packet.capacity} events and {packet.number} of them")
    there = size - offset - HEADER.size
    if packet.number * packet.size > there:
        raise BadFile(
            f"{where}: needs {packet.number * packet.size} bytes for its {packet.number} events, has {there}",
            hint="the recording was cut off, or is damaged",
        )
    if packet.kind == POLARITY and packet.number > limits.MAXIMUM_EVENTS:
        raise BadFile(f"{where}: has {packet.number} events; at most {limits.MAXIMUM_EVENTS} are read")
    return packet


def polarity_events(gathered: Gathering, packet: Packet, file: BinaryIO, offset: int) -> int:
    """Add the valid events of *packet*; return how many are invalid."""
    piece = file.read(packet.number * SIZE)
    if len(piece) != packet.number * SIZE:
        raise BadFile(f"{gathered.where}: changed while it was read (byte {offset})")
    raw = np.frombuffer(piece, "<u4").reshape(-1, 2).astype(np.int64)
    data, time = raw.T
    at = offset + HEADER.size + SIZE * np.arange(len(raw))
    if (time >> 31).any():
        first = int(np.argmax(time >> 31))
        raise BadFile(f"{gathered.where}: event at byte {int(at[first])}: its time is negative")
    kept = (data & 1) == 1
    if int(kept.sum()) != packet.valid:
        raise BadFile(
            f"{gathered.where}: packet at byte {offset}: says that {packet.valid} events are valid, "
            f"{int(kept.sum())} are"
        )
    columns = data >> 17, (data >> 2) & 0x7FFF, time + (packet.overflow << 31), (data >> 1) & 1, at
    gathered.add(*(column[kept] for column in columns))
    return int(len(raw) - kept.sum())
