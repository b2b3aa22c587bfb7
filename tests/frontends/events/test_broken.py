"""Broken recordings: an error that says what and where, never fewer events than there are."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
import zstandard

import snncc
from snncc.errors import BadFile, BadInput
from snncc.frontends.events import aedat4
from snncc.frontends.events import events as limits
from tests.frontends.events import writers
from tests.frontends.events.test_round_trips import as_list

EVENTS = [(k * 7 % 34, k * 5 % 34, k * 1000, k & 1) for k in range(8)]
SIZE = {"width": 34, "height": 34}
GEOMETRY = "% evt {}.0\n% geometry 34x34\n% end\n"

FILES: dict[str, tuple[bytes, dict[str, Any], int]] = {
    # the file, how it is read, and the size of what may be missing at its end without a trace (0: nothing)
    "a.bin": (writers.nmnist(EVENTS), SIZE, 5),
    "a.aedat": (writers.aedat2(EVENTS), {"camera": "dvs128"}, 8),
    "b.aedat": (writers.aedat3(EVENTS), {}, 36),
    "a.raw": (writers.evt2(EVENTS, GEOMETRY.format(2)), {}, 4),
    "b.raw": (writers.evt3(EVENTS, GEOMETRY.format(3)), {}, 2),
    "a.aedat4": (writers.aedat4(EVENTS, (34, 34)), {}, 8),
    "lz4.aedat4": (writers.aedat4(EVENTS, (34, 34), 1, lz4.frame.compress), {}, 8),
    "zstd.aedat4": (writers.aedat4(EVENTS, (34, 34), 3, zstandard.compress), {}, 8),
    "a.npz": (writers.npz(EVENTS), SIZE, 0),
    "a.h5": (writers.h5(EVENTS), SIZE, 0),
    "a.csv": (writers.csv(EVENTS), SIZE, 1),
}


def io_header(table: int = -1, compression: int = 0, info: str | None = None) -> bytes:
    text = (writers.INFO.format(compression="NONE", width=34, height=34) if info is None else info).encode()
    scalars = [struct.pack("<i", compression), struct.pack("<q", table)]
    return b"#!AER-DAT4.0\r\n" + writers.flatbuffer(b"IOHE", [*scalars, (len(text), 4, text)])


@pytest.mark.parametrize("name", FILES)
def test_cut_at_every_byte(name: str, tmp_path: Path) -> None:
    """A cut is an error, or it is at the end of a record and all records before it are there."""
    data, options, record = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    assert as_list(snncc.load_events(path, **options)) == EVENTS
    whole = 0
    step = 1 if len(data) < 2000 else 31  # an HDF5 file of 8 events has 10 kB
    for length in range(0, len(data), step):
        path.write_bytes(data[:length])
        try:
            found = as_list(snncc.load_events(path, **options))
        except BadInput:
            continue
        whole += 1
        assert found == EVENTS[: len(found)]
        assert record, "a cut file was read"
    assert whole <= (len(data) // record if record else 0)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".bin", ".csv"))])
def test_a_wrong_beginning(name: str, tmp_path: Path) -> None:
    data, options, _ = FILES[name]
    path = tmp_path / name
    path.write_bytes(b"Z" + data[1:])
    with pytest.raises(BadFile):
        snncc.load_events(path, **options)


def test_a_first_line_with_control_characters(tmp_path: Path) -> None:
    """Found by damaged files: no line is a header line then."""
    (tmp_path / "a.aedat").write_bytes(writers.aedat3(EVENTS).replace(b"DAT3.1", b"DAT3.1\x01", 1))
    with pytest.raises(BadFile, match=r"its header \(until byte 0\) has no line #!END-HEADER"):
        snncc.load_events(tmp_path / "a.aedat")


BACK = [*EVENTS, (1, 1, 6999, 0)]


@pytest.mark.parametrize(
    ("name", "data", "options", "words"),
    [
        ("a.bin", writers.nmnist(BACK), SIZE, "event 8 (byte 40)"),
        ("a.aedat", writers.aedat2(BACK), {"camera": "dvs128"}, "event 8 (byte "),
        ("b.aedat", writers.aedat3(BACK), {}, "event 8 (byte "),
        ("a.raw", writers.evt2(BACK), {}, "event 8 (byte "),
        ("b.raw", writers.evt3(BACK), {}, "event 8 (byte "),
        ("a.aedat4", writers.aedat4(BACK), {}, "event 8 (byte "),
        ("a.npz", writers.npz(BACK), SIZE, "event 8:"),
        ("a.h5", writers.h5(BACK), SIZE, "event 8:"),
        ("a.csv", writers.csv(BACK), SIZE, "event 8 (byte "),
    ],
)
def test_backwards_in_time(
    name: str, data: bytes, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadFile) as caught:
        snncc.load_events(path, **options)
    assert f"{path}: {words}" in str(caught.value)
    assert "its time 6999 us is before that of the event ahead of it, 7000 us" in str(caught.value)


def test_the_byte_is_the_event_s_own(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    data = writers.evt3([*EVENTS, (40, 1, 9000, 0)], GEOMETRY.format(3))
    path.write_bytes(data)
    with pytest.raises(BadFile) as caught:
        snncc.load_events(path)
    assert f"event 8 (byte {len(data) - 2}): its x is 40, outside the sensor of 34 x 34" in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": [1], "y": [1], "t": [1]}, "lacks p, has t, x, y"),
        ({"x": [1], "y": [1], "t": [1, 2], "p": [1]}, "must be one number an event"),
        ({"x": [1], "y": [1], "t": [1.5], "p": [1]}, "t must be integers, not float64"),
        ({"x": [1], "y": [1], "t": [-1], "p": [1]}, "event 0: its time is -1 us, not 0..2**62"),
        ({"x": [1], "y": [1], "t": np.array([1 << 63], np.uint64), "p": [1]}, "not 0..2**62"),
        ({"x": [-1], "y": [1], "t": [1], "p": [1]}, "event 0: its x is -1, outside the sensor"),
        ({"x": [1], "y": [34], "t": [1], "p": [1]}, "event 0: its y is 34, outside the sensor"),
        ({"x": [1], "y": [1], "t": [1], "p": [-1]}, "its polarity is -1, must be 0 (OFF) or 1 (ON)"),
        ({"x": [1], "y": [1], "t": [1], "p": [1], "width": [3, 4], "height": 3}, "must be one integer"),
        ({"x": np.array([{}]), "y": [1], "t": [1], "p": [1]}, "Python objects"),
    ],
)
def test_wrong_arrays(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadFile) as caught:
        snncc.load_events(tmp_path / "a.npz", width=34, height=34)
    assert words in str(caught.value)


def test_more_events_than_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "MAXIMUM_EVENTS", 7)
    for name, (data, options, _) in FILES.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadFile) as caught:
            snncc.load_events(tmp_path / name, **options)
        assert "7" in str(caught.value), name


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aedat4, "MAXIMUM_PACKET", 1 << 16)
    packers: list[tuple[int, Callable[[bytes], bytes]]]
    packers = [(1, lz4.frame.compress), (3, zstandard.ZstdCompressor().compress)]
    for compression, pack in packers:
        path = tmp_path / "a.aedat4"
        bomb = pack(bytes(1 << 20))
        path.write_bytes(io_header(compression=compression) + struct.pack("<ii", 0, len(bomb)) + bomb)
        with pytest.raises(
            BadFile, match=r"would unpack to more than 65536 bytes|Frame requires too much memory"
        ):
            snncc.load_events(path)


def test_npz_headers_that_lie(tmp_path: Path) -> None:
    """The size that an array claims is compared with what is there, before memory is taken."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1099511627776,), }"
        text = header.ljust(118) + b"\n"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
        for name in "ytp":
            archive.writestr(f"{name}.npy", b"")
    with pytest.raises(BadFile, match="claims"):
        snncc.load_events(path, width=3, height=3)


def test_what_is_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bin")
    for path in (tmp_path / "pipe.bin", tmp_path, tmp_path / "none.raw", Path("/dev/zero")):
        with pytest.raises(BadFile):
            snncc.load_events(path, width=3, height=3)


def test_links_of_hdf5_are_not_followed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "other.h5").write_bytes(writers.h5(EVENTS))

    def broken(make: Callable[[Any], None], words: str) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, column in writers.columns(EVENTS).items():
                file[name] = column
            make(file)
        with pytest.raises(BadFile, match=words):
            snncc.load_events(tmp_path / "a.h5", width=34, height=34)

    def external(file: Any) -> None:
        file["events"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/events")

    def soft(file: Any) -> None:
        del file["x"]
        file["x"] = h5py.SoftLink("/y")

    def stored_elsewhere(file: Any) -> None:
        del file["x"]
        file.create_dataset("x", (8,), "i8", external=[(str(tmp_path / "other.h5"), 0, 64)])

    def virtual(file: Any) -> None:
        del file["x"]
        layout = h5py.VirtualLayout((8,), "i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "events/x", (8,))
        file.create_virtual_dataset("x", layout)

    def wide(file: Any) -> None:
        del file["x"]
        file.create_dataset("x", (8,), "i8", chunks=(1 << 24,), maxshape=(None,))

    broken(external, "'events' is a link, which could lead out of the file")
    broken(soft, "'x' is a link")
    broken(stored_elsewhere, "'x' has its data in other files")
    broken(virtual, "'x' has its data in other files")
    broken(wide, "'x' has chunks of 16777216 numbers")
