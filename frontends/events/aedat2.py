"""AEDAT 2.0, jAER's format.

After header lines (``#``), records of 8 bytes, big-endian: a 32-bit address and a 32-bit time in
microseconds (https://docs.inivation.com, AEDAT 2.0). What the address means depends on the camera: the header
names it (``# AEChip:``), or the user does; it is never guessed. Addresses are taken as they are: jAER's row 0
is the lowest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snncc.errors import BadFile, BadInput
from snncc.frontends.events.events import Gathering
from snncc.frontends.events.options import CAMERAS, Options, notes
from snncc.frontends.events.source import header_lines, records
from snncc.ir import Array

SIZE = 8
END = b"#End Of ASCII Header"
CHIP = "# AEChip: "


def read_aedat2(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """The polarity events of an AEDAT 2.0 file."""
    lines, start = header_lines(path, b"#", END)
    chip = next((line.removeprefix(CHIP).strip() for line in lines if line.startswith(CHIP)), "")
    camera = options.named(path, chip)
    if camera is None:
        called = f"names the camera {chip!r}, which is unknown here" if chip else "does not name its camera"
        raise BadInput(
            f"{path}: {called}; what an address means depends on it",
            hint=f"say which: camera=... (--camera), one of {', '.join(CAMERAS)}",
        )
    gathered = Gathering(str(path), *options.sensor(path, CAMERAS[camera]))
    others = 0
    for offset, piece in records(path, start, SIZE):
        raw = np.frombuffer(piece, ">u4").reshape(-1, 2).astype(np.int64)
        at = offset + SIZE * np.arange(len(raw))
        is_event, x, y, p = dvs128(path, raw[:, 0], at) if camera == "dvs128" else davis(raw[:, 0])
        others += int(len(raw) - is_event.sum())
        gathered.add(*(column[is_event] for column in (x, y, raw[:, 1], p, at)))
    return gathered, notes((others, "records (frames, motion, external inputs) are no polarity events"))


def dvs128(path: Path, address: Array, at: Array) -> tuple[Array, Array, Array, Array]:
    """External event (bit 15), y (14-8), x (7-1), polarity (0)."""
    wide = address >> 16 != 0
    if wide.any():
        first = int(np.argmax(wide))
        raise BadFile(
            f"{path}: record at byte {int(at[first])}: a DVS128 has 16-bit addresses, this one is "
            f"{int(address[first]):#010x}",
            hint="the recording is damaged, or of another camera",
        )
    return (address >> 15) == 0, (address >> 1) & 127, (address >> 8) & 127, address & 1


def davis(address: Array) -> tuple[Array, Array, Array, Array]:
    """Frame or motion (bit 31), y (30-22), x (21-12), polarity (11), external event (10)."""
    is_event = (address & (1 << 31 | 1 << 10)) == 0
    return is_event, (address >> 12) & 1023, (address >> 22) & 511, (address >> 11) & 1
