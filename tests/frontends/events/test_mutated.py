"""Files with random damage: a clear error, or events that keep the rules; bounded memory, no hang."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
import zstandard

import snncc
from snncc.errors import BadInput
from snncc.frontends.events import Events
from tests.frontends.events import writers
from tests.frontends.events.test_broken import EVENTS, FILES
from tests.mutations import in_a_process, limits, mutated

PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "plain": (0, bytes),
    "lz4": (1, lz4.frame.compress),
    "zstd": (3, zstandard.compress),
}


def check(events: Events) -> None:
    assert len(events.x) == len(events.y) == len(events.t) == len(events.p)
    assert not len(events) or int(events.x.max()) < events.width
    assert not len(events) or int(events.y.max()) < events.height
    assert (np.diff(events.t) >= 0).all()
    assert set(events.p.tolist()) <= {0, 1}


def read_all(files: Iterable[bytes], path: Path, options: dict[str, Any]) -> tuple[int, int]:
    """How many of the damaged files are refused, and how many are read."""
    said: list[str] = []
    read = 0
    for data in files:
        path.write_bytes(data)
        try:
            with limits():
                check(snncc.load_events(path, **options))
            read += 1
        except BadInput as problem:
            said.append(str(problem))
    assert all(str(path) in text for text in said)
    return len(said), read


def damaged(name: str, seeds: range) -> Iterator[bytes]:
    return (mutated(random.Random(seed), FILES[name][0]) for seed in seeds)


def damaged_inside(packer: str, seeds: range) -> Iterator[bytes]:
    """AEDAT 4 whose only packet was damaged before it was packed: no checksum tells."""
    for seed in seeds:
        compression, pack = damaging(random.Random(seed), packer)
        yield writers.aedat4(EVENTS, (34, 34), compression, pack, len(EVENTS))


def damaging(draw: random.Random, packer: str) -> tuple[int, Callable[[bytes], bytes]]:
    compression, pack = PACKERS[packer]
    return compression, lambda piece: pack(mutated(draw, piece))


@pytest.mark.parametrize("name", FILES)
def test_mutated(name: str, tmp_path: Path) -> None:
    refused, _ = read_all(damaged(name, range(25)), tmp_path / name, FILES[name][1])
    assert refused >= 8, "the damage is seen"


@pytest.mark.parametrize("packer", PACKERS)
def test_mutated_inside_their_packets(packer: str, tmp_path: Path) -> None:
    refused, read = read_all(damaged_inside(packer, range(50)), tmp_path / "a.aedat4", {})
    assert refused >= 16
    assert read > 0, "padding and polarities may change"


def read_damaged(name: str, seeds: range, folder: Path) -> tuple[int, int]:
    return read_all(damaged(name, seeds), folder / name, FILES[name][1])


def read_damaged_inside(packer: str, seeds: range, folder: Path) -> tuple[int, int]:
    return read_all(damaged_inside(packer, seeds), folder / "a.aedat4", {})


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_mutated_often(name: str, tmp_path: Path) -> None:
    few, many = (name, range(20), tmp_path), (name, range(1000, 4000), tmp_path)
    assert sum(in_a_process(read_damaged, many, few)) == 3000


@pytest.mark.slow
@pytest.mark.parametrize("packer", PACKERS)
def test_mutated_often_inside(packer: str, tmp_path: Path) -> None:
    few, many = (packer, range(20), tmp_path), (packer, range(1000, 4000), tmp_path)
    assert sum(in_a_process(read_damaged_inside, many, few)) == 3000
