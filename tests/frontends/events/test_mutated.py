"""Files with random damage: a clear error, or events that keep the rules; bounded memory, no hang."""

from __future__ import annotations

import random
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.errors import BadInput
from snncc.frontends.events import Events
from tests.frontends.events.test_broken import FILES

MOST = 100 << 20
"""Bytes that reading a damaged file of a few hundred bytes may take: a packet of AEDAT 4 and its copy."""

SECONDS = 60
"""A single file that takes longer hangs."""


def mutated(draw: random.Random, data: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        at = draw.randrange(len(result)) if result else 0
        match draw.randrange(5) if result else 3:
            case 0:
                result[at] = draw.randrange(256)
            case 1:
                result[at] ^= 1 << draw.randrange(8)
            case 2:
                del result[at : at + draw.randrange(1, 9)]
            case 3:
                result[at:at] = draw.randbytes(draw.randrange(1, 9))
            case 4:
                result[at : at + 4] = draw.choice([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", bytes(4)])
    return bytes(result)


@pytest.fixture
def _limits() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise AssertionError(f"a file takes longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def check(events: Events) -> None:
    assert len(events.x) == len(events.y) == len(events.t) == len(events.p)
    assert not len(events) or int(events.x.max()) < events.width
    assert not len(events) or int(events.y.max()) < events.height
    assert (np.diff(events.t) >= 0).all()
    assert set(events.p.tolist()) <= {0, 1}


def read_mutated(name: str, seeds: range, folder: Path) -> tuple[int, int]:
    """How many of the damaged files are refused, and how many are read."""
    data, options, _ = FILES[name]
    path, refused = folder / name, 0
    for seed in seeds:
        path.write_bytes(mutated(random.Random(seed), data))
        tracemalloc.reset_peak()
        signal.alarm(SECONDS)
        try:
            check(snncc.load_events(path, **options))
        except BadInput:
            refused += 1
        signal.alarm(0)
        assert tracemalloc.get_traced_memory()[1] < MOST, f"seed {seed}"
    return refused, len(seeds) - refused


@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("name", FILES)
def test_mutated(name: str, tmp_path: Path) -> None:
    refused, _ = read_mutated(name, range(25), tmp_path)
    assert refused >= 8, "the damage is seen"


@pytest.mark.slow
@pytest.mark.usefixtures("_limits")
@pytest.mark.parametrize("name", FILES)
def test_mutated_often(name: str, tmp_path: Path) -> None:
    assert sum(read_mutated(name, range(1000, 4000), tmp_path)) == 3000
