"""``snncc simulate --floor-plan``: what it writes, and what it needs."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.cli import main
from tests.api.networks import images, sfa_graph


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("floor")
    np.savez(folder / "x.npz", x=images(2))
    snncc.compile(sfa_graph(), calibration=images(), chip="mesh", cores=4).save(folder / "out")
    return folder


def call(files: Path, *more: str) -> int:
    return main(["simulate", f"{files}/out", "--input", f"{files}/x.npz", *more])


def test_a_floor_plan_is_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(files, "--timing", "cycle", "--floor-plan", f"{files}/f.png") == 0
    assert "on mesh, 4 cores" in capsys.readouterr().out
    head = (files / "f.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:])
    assert width > 500
    assert height > 500


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--floor-plan", "f.png"], "--floor-plan needs a timing\n  hint: add --timing analytic"),
        (["--timing", "cycle", "--floor-plan", "{f}/no/f.png"], "cannot be written"),
        (["--timing", "cycle", "--floor-plan", "{f}/f.gif"], "unknown kind of picture '.gif'"),
    ],
)
def test_what_a_floor_plan_needs(
    files: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert call(files, *(one.format(f=files) for one in more)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
