"""Single events, bit by bit as the formats' pages have them, and what other software reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import snncc
from tests.frontends.events import writers
from tests.frontends.events.test_round_trips import as_list

HEADER3 = writers.aedat3_header()


@pytest.mark.parametrize(
    ("name", "data", "event"),
    [
        # x = 5, y = 7, ON, 0x010203 us
        ("a.bin", "05 07 81 02 03", (5, 7, 0x010203, 1)),
        # bit 0 polarity, 1-7 x, 8-14 y
        ("a.aedat", b"#!AER-DAT2.0\r\n".hex() + "00000789 00010203", (0x44, 7, 0x010203, 1)),
        # valid, ON: bits 0 and 1; y from bit 2, x from bit 17; overflow 1 in the packet's header
        (
            "b.aedat",
            HEADER3.hex() + "0100 0100 08000000 04000000 01000000 01000000 01000000 01000000"
            "1f000a00 03020100",
            (5, 7, (1 << 31) + 0x010203, 1),
        ),
        # time high 1, then CD_ON with time 2, x 5, y 7
        ("a.raw", b"% evt 2.0\n".hex() + "01000080" + "07288010", (5, 7, 66, 1)),
        # time high 1, time low 2, y 7, x 5 ON
        ("b.raw", b"% evt 3.0\n".hex() + "0180 0260 0700 0528", (5, 7, 4098, 1)),
    ],
)
def test_one_event(tmp_path: Path, name: str, data: str, event: tuple[int, ...]) -> None:
    path = tmp_path / name
    path.write_bytes(bytes.fromhex(data))
    assert as_list(snncc.load_events(path, width=128, height=128, camera=camera(data))) == [event]


def camera(data: str) -> str | None:
    return "dvs128" if data.startswith(b"#!AER-DAT2".hex()) else None


def test_an_overflow_of_nmnist_adds_to_all_times_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes.fromhex("0102000005 00f0000000 0102000006 00f0000000 00f0000000 0304800007"))
    found = snncc.load_events(path, width=34, height=34)
    assert as_list(found) == [(1, 2, 5, 0), (1, 2, 8192 + 6, 0), (3, 4, 3 * 8192 + 7, 1)]
    assert found.notes == ("3 records mark an overflow of the time and are no events",)


def random_events(seed: int, latest: int, count: int = 500) -> list[writers.Event]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, latest, count))
    return [(int(rng.integers(640)), int(rng.integers(480)), int(t), int(rng.integers(2))) for t in times]


def test_another_reader_reads_the_same(tmp_path: Path) -> None:
    faery = pytest.importorskip("faery", reason="the reader to compare with is not installed")
    files = {
        "evt2.raw": writers.evt2(random_events(0, 1 << 34)),
        "evt3.raw": writers.evt3(random_events(1, 1 << 24)),
        "rows.raw": writers.evt3([(x, 7, t, 1) for t in range(9) for x in (3, 4, 9, 20, 33, 600)]),
        "plain.aedat4": writers.aedat4(random_events(2, 1 << 50)),
    }
    for name, packed in packed_aedat4(random_events(3, 1 << 50)):
        files[f"{name}.aedat4"] = packed
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        ours = snncc.load_events(tmp_path / name)
        theirs = np.concatenate(list(faery.events_stream_from_file(tmp_path / name)))
        assert len(ours) == len(theirs) > 40
        for column, name_there in zip((ours.x, ours.y, ours.t, ours.p), ("x", "y", "t", "p"), strict=True):
            np.testing.assert_array_equal(column, theirs[name_there])


def packed_aedat4(events: Sequence[writers.Event]) -> list[tuple[str, bytes]]:
    frame = pytest.importorskip("lz4.frame")
    zstandard = pytest.importorskip("zstandard")
    cases = [("lz4", 1, frame.compress), ("zstd", 3, zstandard.ZstdCompressor().compress)]
    return [
        (name, writers.aedat4(events, compression=number, pack=pack, group=100))
        for name, number, pack in cases
    ]


def test_packed_aedat4(tmp_path: Path) -> None:
    events = random_events(4, 1 << 50)
    for name, data in packed_aedat4(events):
        path = tmp_path / f"{name}.aedat4"
        path.write_bytes(data)
        assert as_list(snncc.load_events(path)) == events
