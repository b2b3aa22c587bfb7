"""Prophesee's .raw files: header lines (``%``), then words of EVT 2.0 or EVT 3.0.

The words are those of https://docs.prophesee.ai (EVT 2.0 Format, EVT 3.0 Format), little-endian. A time of
which a word carries only the low part gets its high part from the last word of time; the high part wraps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snncc.errors import BadFile
from snncc.frontends.events.events import Gathering
from snncc.frontends.events.options import Options, notes
from snncc.frontends.events.source import header_lines, records
from snncc.ir import Array


def read_evt(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """The events of a .raw file of EVT 2.0 or 3.0."""
    lines, start = header_lines(path, b"% ", b"% end")
    header = header_fields(lines)
    version = header.get("evt") or header.get("format", "").removeprefix("EVT")
    decoders: dict[str, tuple[int, Callable[[Gathering], Evt2 | Evt3]]] = {"2": (4, Evt2), "3": (2, Evt3)}
    if (name := version.removesuffix(".0")) not in decoders or header.get("endianness", "little") != "little":
        found = (
            f"EVT {version}, {header.get('endianness', 'little')}-endian" if version else "no '% evt' line"
        )
        raise BadFile(
            f"{path}: its header (until byte {start}) has {found}; EVT 2.0 and 3.0, little-endian, are read",
            hint="convert it to .npz or .h5 with the camera's software",
        )
    gathered = Gathering(str(path), *options.sensor(path, size_in(header)))
    size, decoder = decoders[name]
    decode = decoder(gathered)
    for offset, piece in records(path, start, size, "word"):
        words = np.frombuffer(piece, f"<u{size}").astype(np.int64)
        decode.take(words, offset)
    return gathered, notes(
        (decode.early, "events come before the first word of time (or of a row) and are left out"),
        (decode.others, "words (triggers, monitoring) are no events"),
    )


def header_fields(lines: list[str]) -> dict[str, str]:
    """Names and values of header lines such as ``% evt 3.0`` and ``% format EVT3;height=720;width=1280``."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.removeprefix("% ").strip().partition(" ")
        value, *parts = value.split(";")
        fields[name] = value.strip()
        fields |= {key.strip(): text.strip() for key, _, text in (part.partition("=") for part in parts)}
    return fields


def size_in(header: dict[str, str]) -> tuple[int, int] | None:
    """The sensor's width and height, where the header says them."""
    text = header.get("geometry") or f"{header.get('width', '')}x{header.get('height', '')}"
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    return (int(match[1]), int(match[2])) if match else None


def check_kinds(
    gathered: Gathering, kinds: Array, known: list[int], offset: int, size: int, name: str
) -> None:
    unknown = ~np.isin(kinds, known)
    if unknown.any():
        first = int(np.argmax(unknown))
        raise BadFile(
            f"{gathered.where}: word at byte {offset + first * size}: {name} has no words of type "
            f"{int(kinds[first]):#x}",
            hint="the recording is damaged",
        )


def filled(values: Array, here: Array, before: int) -> Array:
    """At each place the value of the last place at or before it that is marked *here*, or *before*."""
    last = np.maximum.accumulate(np.where(here, np.arange(len(here)), -1))
    return np.where(last >= 0, values[last], before)


def unwrapped(high: Array, here: Array, before: int, period: int) -> Array:
    """Filled high parts of the time; one that falls by half its range or more has wrapped.

    *before* is the unwrapped high part of the words ahead of these, -1 for none.
    """
    marked = high[here]
    if not len(marked):
        return np.full(len(high), before)
    previous = np.concatenate([[before % period if before >= 0 else marked[0]], marked[:-1]])
    wraps = np.cumsum(previous - marked >= period // 2)
    values = np.zeros_like(high)
    values[here] = marked + period * (wraps + max(before, 0) // period)
    return filled(values, here, before)


BITS = np.arange(12)


@dataclass
class Evt2:
    """EVT 2.0: words of 32 bits. Type (31-28); of an event: time (27-22), x (21-11), y (10-0)."""

    gathered: Gathering
    high: int = -1
    early: int = 0
    others: int = 0

    KNOWN = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)

    def take(self, words: Array, offset: int) -> None:
        """Decode *words*, the first of which is at byte *offset*."""
        kinds = words >> 28
        check_kinds(self.gathered, kinds, list(self.KNOWN), offset, 4, "EVT 2.0")
        high = unwrapped(words & 0xFFFFFFF, kinds == 0x8, self.high, 1 << 28)
        found = kinds <= 1
        timed = found & (high >= 0)
        self.early += int(found.sum() - timed.sum())
        self.others += int((kinds >= 0xA).sum())
        self.high = int(high[-1])
        event = words[timed]
        t = (high[timed] << 6) | (event >> 22 & 63)
        columns = event >> 11 & 2047, event & 2047, t, event >> 28, offset + 4 * np.flatnonzero(timed)
        self.gathered.add(*columns)


@dataclass
class Evt3:
    """EVT 3.0: words of 16 bits, type (15-12) and content, that change a state or give events of it."""

    gathered: Gathering
    high: int = -1
    low: int = 0
    row: int = -1
    base: int = 0
    base_polarity: int = -1
    early: int = 0
    others: int = 0

    KNOWN = (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF)

    def take(self, words: Array, offset: int) -> None:
        """Decode *words*, the first of which is at byte *offset*."""
        kinds, content = words >> 12, words & 0xFFF
        check_kinds(self.gathered, kinds, list(self.KNOWN), offset, 2, "EVT 3.0")
        t, timed = self.times(kinds, content)
        row = filled(content, kinds == 0x0, self.row)
        single, vector = kinds == 0x2, (kinds == 0x4) | (kinds == 0x5)
        base, polarity = self.bases(kinds, content)
        x = np.where(single, content & 2047, base)
        p = np.where(single, content >> 11, polarity)
        pixels = np.where(single, 1, np.where(vector, np.where(kinds == 0x5, content & 0xFF, content), 0))
        ready = timed & (row >= 0) & (p >= 0)
        self.early += int((pixels[~ready, None] >> BITS & 1).sum())
        self.others += int((kinds == 0x7).sum() + (kinds >= 0xA).sum())
        self.row = int(row[-1])
        giving = np.flatnonzero(ready & (pixels > 0))
        which, bit = np.nonzero(pixels[giving, None] >> BITS & 1)
        word = giving[which]
        self.gathered.add(x[word] + bit, row[word], t[word], p[word], offset + 2 * word)

    def times(self, kinds: Array, content: Array) -> tuple[Array, Array]:
        """Time at each word, and whether it is known. A new high part sets the low part to 0."""
        before = self.high
        high = unwrapped(content, kinds == 0x8, before, 1 << 12)
        changed = (kinds == 0x8) & (high != np.concatenate([[before], high[:-1]]))
        low = filled(np.where(changed, 0, content), changed | (kinds == 0x6), self.low)
        self.high, self.low = int(high[-1]), int(low[-1])
        return (high << 12) | low, high >= 0

    def bases(self, kinds: Array, content: Array) -> tuple[Array, Array]:
        """x of the first pixel of a vector at each word, and its polarity (-1: none yet)."""
        steps = np.where(kinds == 0x4, 12, np.where(kinds == 0x5, 8, 0))
        passed = np.cumsum(steps) - steps
        here = kinds == 0x3
        base = filled((content & 2047) - passed, here, self.base) + passed
        polarity = filled(content >> 11, here, self.base_polarity)
        self.base, self.base_polarity = int(base[-1] + steps[-1]), int(polarity[-1])
        return base, polarity
