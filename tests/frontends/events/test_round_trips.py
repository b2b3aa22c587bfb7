"""What is written by a format's definition is read back, whatever the events and however they are cut."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snncc
from snncc.frontends.events import Events, evt, source
from tests.frontends.events import writers
from tests.frontends.events.writers import Event


def lists(width: int, height: int, latest: int, step: int) -> st.SearchStrategy[list[Event]]:
    """Events in the order of time, often several at once and neighbors in a row."""
    x = st.integers(0, width - 1) | st.integers(0, min(width, 40) - 1)
    y = st.integers(0, height - 1) | st.just(height // 2)
    wait = st.just(0) | st.integers(0, step)
    draws = st.lists(st.tuples(x, y, wait, st.integers(0, 1)), max_size=30)

    def timed(found: list[tuple[int, int, int, int]], start: int) -> list[Event]:
        times = np.cumsum([start, *(wait for _, _, wait, _ in found)])[1:]
        rows = [(x, y, int(t), p) for (x, y, _, p), t in zip(found, times, strict=True)]
        return [row for row in rows if row[2] <= latest]

    return st.builds(timed, draws, st.integers(0, latest // 2))


def read(suffix: str, data: bytes, **options: object) -> list[Event]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"recording{suffix}"
        path.write_bytes(data)
        events = snncc.load_events(path, **options)  # type: ignore[arg-type]
    return as_list(events)


def as_list(events: Events) -> list[Event]:
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


SMALL, LARGE = {"width": 34, "height": 34}, {"width": 640, "height": 480}


@given(lists(34, 34, 1 << 24, 1 << 21).filter(len))  # an empty file is an error
def test_nmnist(events: list[Event]) -> None:
    assert read(".bin", writers.nmnist(events), **SMALL) == events


@given(lists(128, 128, (1 << 32) - 1, 1 << 28))
def test_aedat2_of_a_dvs128(events: list[Event]) -> None:
    assert read(".aedat", writers.aedat2(events), camera="dvs128") == events
    chip = "ch.unizh.ini.jaer.chip.retina.DVS128"
    assert read(".aedat", writers.aedat2(events, chip=chip), width=128, height=128) == events


@given(lists(240, 180, (1 << 32) - 1, 1 << 28))
def test_aedat2_of_a_davis(events: list[Event]) -> None:
    chip = "eu.seebetter.ini.chips.davis.DAVIS240C"
    assert read(".aedat", writers.aedat2(events, "davis", chip)) == events


@given(lists(128, 128, 1 << 40, 1 << 32))
def test_aedat3(events: list[Event]) -> None:
    assert read(".aedat", writers.aedat3(events)) == events


@given(lists(640, 480, 1 << 60, 1 << 50))
def test_aedat4(events: list[Event]) -> None:
    assert read(".aedat4", writers.aedat4(events)) == events


@given(lists(640, 480, (1 << 34) - 1, 1 << 30))
def test_evt2(events: list[Event]) -> None:
    assert read(".raw", writers.evt2(events)) == events


@given(lists(640, 480, (1 << 24) - 1, 1 << 20), st.sampled_from([1, 2, 7, 1 << 20]))
def test_evt3(events: list[Event], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "PIECE", piece)  # the state goes from piece to piece
        assert read(".raw", writers.evt3(events)) == events


@given(lists(640, 480, 1 << 60, 1 << 50))
def test_tables(events: list[Event]) -> None:
    cases: list[tuple[str, Callable[[Sequence[Event]], bytes]]]
    cases = [(".npz", writers.npz), (".csv", writers.csv)]
    for suffix, write in cases + ([(".h5", writers.h5)] if events else []):
        assert read(suffix, write(events), **LARGE) == events


@given(lists(640, 480, 1 << 60, 1 << 50))
def test_what_we_save_we_read(events: list[Event]) -> None:
    found = Events(**writers.columns(events), width=640, height=480)
    with tempfile.TemporaryDirectory() as folder:
        found.save(Path(folder) / "events.npz")
        again = snncc.load_events(Path(folder) / "events.npz")
    assert as_list(again) == events
    assert (again.width, again.height) == (640, 480)


def test_a_structured_array_is_a_list_of_events(tmp_path: Path) -> None:
    table = np.array([(3, 4, 5, True)], [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    np.savez(tmp_path / "e.npz", events=table)
    assert as_list(snncc.load_events(tmp_path / "e.npz", **SMALL)) == [(3, 4, 5, 1)]  # type: ignore[arg-type]


def test_times_that_wrap(tmp_path: Path) -> None:
    """The 24 bits of EVT 3.0 wrap after 17 s, the 34 bits of EVT 2.0 after 5 h, as often as they do."""
    step = 5_000_000
    events = [(k % 640, 7, k * step, k & 1) for k in range(12)]
    assert read(".raw", writers.evt3(events)) == events
    hours = [(k % 640, 7, k << 33, k & 1) for k in range(9)]
    assert read(".raw", writers.evt2(hours)) == hours


@given(st.lists(st.sampled_from([0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15]), max_size=60), st.randoms())
def test_evt3_equals_its_definition(kinds: list[int], random: object) -> None:
    """Any words, against a state machine word by word."""
    draw = random.randrange  # type: ignore[attr-defined]
    words = [kind << 12 | draw(8 if kind in (6, 8) else 4096) for kind in kinds]
    words = [word & 0xF7FF if word >> 12 == 0 else word for word in words]
    expected, early = machine(words)
    header = b"% evt 3.0\n% geometry 2048x2048\n% end\n"
    data = header + struct.pack(f"<{len(words)}H", *words)
    goes_back = any(a[2] > b[2] for a, b in pairwise(expected))
    if goes_back or any(x >= 2048 for x, *_ in expected):
        with pytest.raises(snncc.SnnccError):
            read(".raw", data)
        return
    for piece in (1, 3, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "PIECE", piece)
            assert read(".raw", data) == expected
    assert early >= 0


def machine(words: Sequence[int]) -> tuple[list[Event], int]:
    """EVT 3.0, one word after another: its events, and how many lack a time, a row or a base."""
    events: list[Event] = []
    high = low = row = base = polarity = None
    low, loops, early = 0, 0, 0
    for word in words:
        kind, content = word >> 12, word & 0xFFF
        pixels: list[tuple[int, int]] = []
        if kind == 0x0:
            row = content
        elif kind == 0x6:
            low = content
        elif kind == 0x8:
            loops += high is not None and high - content >= 2048
            low = low if high == content else 0
            high = content
        elif kind == 0x2:
            pixels = [(content & 2047, content >> 11)]
        elif kind == 0x3:
            base, polarity = content & 2047, content >> 11
        elif kind in (0x4, 0x5):
            width = 12 if kind == 0x4 else 8
            if base is not None and polarity is not None:
                pixels = [(base + bit, polarity) for bit in range(width) if content >> bit & 1]
                base += width
            else:
                early += (content & ((1 << width) - 1)).bit_count()
        if row is None or high is None:
            early += len(pixels)
            continue
        events += [(x, row, (loops << 24) + (high << 12) + low, p) for x, p in pixels]
    return events, early


def test_events_before_the_first_time_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "early.raw"
    words = [0x2 << 12 | 5, 0x0 << 12 | 3, 0x2 << 12 | 5, 0x8 << 12, 0x6 << 12 | 9, 0x2 << 12 | 6]
    path.write_bytes(b"% evt 3.0\n% geometry 64x64\n% end\n" + struct.pack("<6H", *words))
    events = snncc.load_events(path)
    assert as_list(events) == [(6, 3, 9, 0)]
    assert "2 events come before the first word of time" in " ".join(events.notes)
    path.write_bytes(
        b"% evt 2.0\n% geometry 64x64\n" + struct.pack("<3I", 5 << 11, 0x8 << 28 | 1, 6 << 11 | 3)
    )
    events = snncc.load_events(path)
    assert as_list(events) == [(6, 3, 64, 0)]
    assert events.notes[0].startswith("1 events come before")


def test_fields_of_headers() -> None:
    lines = ["% date 2023-03-17", "% format EVT3;height=720;width=1280", "% evt 3.0", "% end"]
    assert evt.size_in(evt.header_fields(lines)) == (1280, 720)
    assert evt.size_in(evt.header_fields(["% geometry 640x480"])) == (640, 480)
    assert evt.size_in(evt.header_fields(["% evt 2.0"])) is None


def test_an_address_that_begins_like_a_header() -> None:
    """The first byte of this address is that of "#"."""
    events = [(0x0A, 0x23 << 2, 5, 1), (3, 4, 10, 0)]
    data = writers.aedat2(events, "davis", "DAVIS240C")
    assert b"\n#\x00" in data
    assert read(".aedat", data) == events


def test_aedat3_leaves_invalid_events_out_and_counts_them(tmp_path: Path) -> None:
    events = [(1, 2, 3, 0), (4, 5, 6, 1), (7, 8, 9, 0)]
    path = tmp_path / "e.aedat"
    path.write_bytes(writers.aedat3_header() + writers.aedat3_packet(events, [True, False, True]))
    found = snncc.load_events(path)
    assert as_list(found) == [events[0], events[2]]
    assert found.notes == ("1 events are marked invalid and left out",)


def test_aedat2_of_a_davis_leaves_frames_out_and_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "e.aedat"
    data = writers.aedat2([(1, 2, 3, 1)], "davis") + struct.pack(">4I", 1 << 31 | 7 << 22, 4, 1 << 10, 5)
    path.write_bytes(data)
    found = snncc.load_events(path, camera="davis346")
    assert as_list(found) == [(1, 2, 3, 1)]
    assert found.notes == ("2 records (frames, motion, external inputs) are no polarity events",)
