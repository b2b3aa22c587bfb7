"""Models and graphs with random damage: a clear error that names the file, or a model."""

from __future__ import annotations

import io
import random
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from snncc.errors import SnnccError
from snncc.frontends.arrays import read_arrays
from snncc.frontends.checkpoints import load_module
from snncc.frontends.exported import load_exported
from snncc.ir import Numbers, dump, load_graph, save_graph
from snncc.nn import LIF
from tests.ir.every_node import every_node
from tests.mutations import in_a_process, limits, mutated

GRAPH = every_node(Numbers.INTEGER)


def checkpoint() -> bytes:
    out = io.BytesIO()
    torch.save(nn.Sequential(nn.Linear(2, 2), LIF()), out)
    return out.getvalue()


def exported() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        torch.export.save(
            torch.export.export(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (torch.rand(2, 4),)), path
        )
        return path.read_bytes()


def graph() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save_graph(GRAPH, Path(folder) / "g.snn")
        return (Path(folder) / "g.snn").read_bytes()


def data() -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.arange(24.0).reshape(2, 3, 4), y=np.arange(2))
    return out.getvalue()


def is_module(path: Path) -> bool:
    return isinstance(load_module(path), nn.Module)


def is_program(path: Path) -> bool:
    return isinstance(load_exported(path), nn.Module)


def is_the_graph(path: Path) -> bool:
    return dump(load_graph(path)) == dump(GRAPH)


def is_arrays(path: Path) -> bool:
    return all(isinstance(value, np.ndarray) for value in read_arrays(path).values())


KINDS: dict[str, tuple[Callable[[], bytes], Callable[[Path], bool]]] = {
    ".pt": (checkpoint, is_module),
    ".pt2": (exported, is_program),
    ".snn": (graph, is_the_graph),
    ".npz": (data, is_arrays),
}


def damaged(whole: bytes, seeds: range) -> Iterator[bytes]:
    """Damage anywhere in the file; of archives also inside of one entry, where no checksum tells."""
    for seed in seeds:
        draw = random.Random(seed)
        if not zipfile.is_zipfile(io.BytesIO(whole)) or seed % 2:
            yield mutated(draw, whole)
            continue
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(out, "w") as archive:
            hit = draw.choice([entry.filename for entry in source.infolist() if entry.file_size])
            for entry in source.infolist():
                content = source.read(entry)
                archive.writestr(entry.filename, mutated(draw, content) if entry.filename == hit else content)
        yield out.getvalue()


def read_all(kind: str, seeds: range, folder: Path) -> tuple[int, int]:
    """How many of the damaged files are refused, and how many are read."""
    make, is_right = KINDS[kind]
    path, read = folder / f"m{kind}", 0
    said: list[str] = []
    whole = make()
    path.write_bytes(whole)
    assert is_right(path)
    for content in damaged(whole, seeds):
        path.write_bytes(content)
        try:
            with limits():
                assert is_right(path)
            read += 1
        except SnnccError as problem:
            said.append(str(problem))
    assert all(str(path) in text for text in said)
    return len(said), read


@pytest.mark.parametrize("kind", KINDS)
def test_mutated(kind: str, tmp_path: Path) -> None:
    refused, _ = read_all(kind, range(40), tmp_path)
    assert refused >= 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_often(kind: str, tmp_path: Path) -> None:
    assert (
        sum(in_a_process(read_all, (kind, range(1000, 2500), tmp_path), (kind, range(20), tmp_path))) == 1500
    )
