"""What the errors say of recordings that are broken, or not what they were said to be."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

import snncc
from snncc.errors import BadInput
from tests.frontends.events import writers
from tests.frontends.events.test_broken import EVENTS, SIZE, io_header


def packet(**changes: int) -> bytes:
    """An AEDAT 3.1 file of one packet of two events, its header changed."""
    fields = {"kind": 1, "source": 1, "size": 8, "offset": 4, "overflow": 0, "capacity": 2, "number": 2}
    fields = fields | {"valid": 2} | changes
    return writers.aedat3_header() + struct.pack("<hhiiiiii", *fields.values()) + bytes([1, *[0] * 7] * 2)


TWO_STREAMS = writers.INFO.replace('<node name="0"', '<node name="1"').split('outInfo/">')[1][
    : -len("</node></dv>")
]


@pytest.mark.parametrize(
    ("name", "data", "options", "words"),
    [
        ("a.bin", bytes(7), SIZE, "ends inside event 1 (byte 5): 2 of its 5 bytes are there"),
        ("a.bin", bytes(5), {}, "does not say how large the sensor is"),
        ("a.bin", bytes(5), {"width": 34}, "does not say how large the sensor is"),
        ("a.bin", bytes(5), {"width": 304, "height": 241}, "hold at most 240 rows, not 241"),
        ("a.bin", bytes(5), {"width": -3, "height": 241}, "a sensor's width must be 1..65536 pixels, not -3"),
        ("a.aedat", writers.aedat2(EVENTS), {}, "does not name its camera; what an address"),
        (
            "a.aedat",
            writers.aedat2(EVENTS, chip="a.b.Retina9"),
            {},
            "camera 'a.b.Retina9', which is unknown here",
        ),
        ("a.aedat", writers.aedat2(EVENTS), {"camera": "dvs129"}, "did you mean 'dvs128'?"),
        (
            "a.aedat",
            writers.aedat2(EVENTS, chip="DVS128"),
            {"camera": "davis240"},
            "is of a DVS128, not of a davis240",
        ),
        (
            "a.aedat",
            writers.aedat2([(1, 1, 1, 1)], "davis"),
            {"camera": "dvs128"},
            "16-bit addresses, this one is 0x00401800",
        ),
        (
            "a.aedat",
            writers.aedat2(EVENTS),
            {"camera": "dvs128", **SIZE},
            "34 x 34 (width x height), has one of 128 x 128",
        ),
        ("a.aedat", b"#!AER-DAT1.0\r\n", {}, "must begin with '#!AER-DAT2.0' or '#!AER-DAT3.1'"),
        (
            "a.aedat",
            b"#!AER-DAT2.0 and on",
            {"camera": "dvs128"},
            "its header line 1 (until byte 19) has no end",
        ),
        ("b.aedat", b"#!AER-DAT3.1\r\n", {}, "has no line #!END-HEADER"),
        ("b.aedat", writers.aedat3_header().replace(b"RAW", b"PNG"), {}, "only packets '#Format: RAW'"),
        ("b.aedat", packet()[:-1], {}, "packet at byte 105: needs 16 bytes for its 2 events, has 15"),
        ("b.aedat", packet()[:110], {}, "packet at byte 105: 5 of the 28 bytes of its header are there"),
        (
            "b.aedat",
            packet(number=1 << 30, capacity=1 << 30),
            {},
            "needs 8589934592 bytes for its 1073741824 events",
        ),
        ("b.aedat", packet(number=-1, capacity=-1), {}, "its header contradicts itself"),
        ("b.aedat", packet(capacity=3), {}, "has room for 3 events and 2 of them"),
        ("b.aedat", packet(size=16), {}, "polarity events have 8 bytes"),
        ("b.aedat", packet(valid=1), {}, "says that 1 events are valid, 2 are"),
        ("b.aedat", packet(kind=999), {}, "its type 999 of source 1 is none of AEDAT 3.1"),
        ("a.raw", b"% evt 2.1\n" + bytes(8), SIZE, "has EVT 2.1, little-endian; EVT 2.0 and"),
        ("a.raw", b"% evt 3.0\n% endianness big\n", SIZE, "has EVT 3.0, big-endian"),
        ("a.raw", b"% date 1\n" + bytes(8), SIZE, "has no '% evt' line"),
        ("a.raw", b"% evt 2.0\n" + bytes(6), SIZE, "ends inside word 1 (byte 14): 2 of its 4 bytes"),
        (
            "a.raw",
            b"% evt 2.0\n" + bytes(7) + b"\x50",
            SIZE,
            "word at byte 14: EVT 2.0 has no words of type 0x5",
        ),
        (
            "a.raw",
            b"% evt 3.0\n" + bytes(3) + b"\x90",
            SIZE,
            "word at byte 12: EVT 3.0 has no words of type 0x9",
        ),
        ("a.raw", b"% evt 3.0\n% geometry 64x64\n" + bytes(2), SIZE, "needs a sensor of 34 x 34"),
        ("a.aedat4", io_header(table=1 << 40), {}, "its table of packets should be at byte 1099511627776"),
        ("a.aedat4", io_header(table=3), {}, "its table of packets should be at byte 3"),
        ("a.aedat4", io_header(compression=9), {}, "its compression 9 is none of AEDAT 4.0"),
        ("a.aedat4", io_header(info="<dv>"), {}, "the description in its header is damaged"),
        ("a.aedat4", io_header(info="<!DOCTYPE dv><dv/>"), {}, "has declarations"),
        ("a.aedat4", io_header(info="<dv/>"), {}, "needs one stream of events, has 0"),
        (
            "a.aedat4",
            io_header(info=writers.INFO.replace("</node></dv>", TWO_STREAMS + "</node></dv>")),
            {},
            "needs one stream of events, has 2",
        ),
        ("a.aedat4", io_header() + struct.pack("<ii", 0, -5), {}, "claims -5 bytes; 0 follow"),
        ("a.aedat4", io_header() + struct.pack("<ii", 0, 1 << 30), {}, "claims 1073741824 bytes; 0 follow"),
        ("a.aedat4", io_header() + struct.pack("<iiI", 0, 4, 1 << 31), {}, "needs 2147483652 bytes, has 4"),
        ("a.csv", b"1,2,3,4\n", SIZE, "its first line must name the columns x, y, t and p"),
        (
            "a.csv",
            b"x,y,t,p\n1,2,3,1\n1,2,3.5,1\n",
            SIZE,
            "event 1 (line 3, byte 16): needs four integers, has '1,",
        ),
        ("a.csv", b"x,y,t,p\n1,2,3,1\n1,2,3\n", SIZE, "event 1 (line 3, byte 16): needs four integers"),
        ("a.csv", b"x,y,t,p\n1,2,3,1", SIZE, "event 0 (line 2, byte 8): its line has no end"),
        (
            "a.csv",
            b"x,y,t,p\n1,2,3,2\n",
            SIZE,
            "event 0 (byte 8): its polarity is 2, must be 0 (OFF) or 1 (ON)",
        ),
        ("a.csv", b"x,y,t,p\n" + b"1" * 999 + b"\n", SIZE, "needs four integers"),
        ("a.txt", b"x", {}, "recordings have names that end in .npz, .h5"),
        ("a.bin", b"", SIZE, "is empty"),
    ],
)
def test_what_is_wrong_is_said(
    name: str, data: bytes, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        snncc.load_events(path, **options)
    assert words in str(caught.value)
