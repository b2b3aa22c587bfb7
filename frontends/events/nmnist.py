"""The files of N-MNIST and N-Caltech101 (Orchard et al. 2015, https://www.garrickorchard.com/datasets).

An event has 40 bits, big-endian: x (8), y (8), polarity (1), time in microseconds (23). An event with y = 240
is none: it adds 2**13 us to the time of all that follow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snncc.errors import BadInput
from snncc.frontends.events.events import Gathering
from snncc.frontends.events.options import Options, notes
from snncc.frontends.events.source import records

SIZE = 5
OVERFLOW_ROW = 240
OVERFLOW = 1 << 13


def read_nmnist(path: Path, options: Options) -> tuple[Gathering, tuple[str, ...]]:
    """The events of an N-MNIST file."""
    width, height = options.sensor(path)
    if height > OVERFLOW_ROW:
        raise BadInput(
            f"{path}: files in N-MNIST's format hold at most {OVERFLOW_ROW} rows, not {height}: "
            f"row {OVERFLOW_ROW} marks an overflow of the time"
        )
    gathered, overflows = Gathering(str(path), width, height), 0
    for offset, piece in records(path, 0, SIZE):
        raw = np.frombuffer(piece, np.uint8).reshape(-1, SIZE).astype(np.int64)
        marks = raw[:, 1] == OVERFLOW_ROW
        passed = overflows + np.cumsum(marks)
        t = ((raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]) + OVERFLOW * passed
        kept = np.flatnonzero(~marks)
        gathered.add(raw[kept, 0], raw[kept, 1], t[kept], raw[kept, 2] >> 7, offset + SIZE * kept)
        overflows = int(passed[-1])
    return gathered, notes((overflows, "records mark an overflow of the time and are no events"))
