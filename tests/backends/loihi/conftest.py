from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from snncc.backends.loihi import engine
from tests.backends.loihi.chains import compiled


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program in ``out``, data, and ``result.npz`` as its script would write it."""
    folder = tmp_path_factory.mktemp("saved")
    program, x = compiled(1)
    program.save(folder / "out")
    np.savez(folder / "x.npz", x=x)
    run = program.run(x).run
    found = {f"real.{name}": value for name, value in run.outputs.items()}
    found |= {f"spikes.{name}": value[:, :, 0] for name, value in run.spikes.items()}
    np.savez(folder / "result.npz", **found)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, with a folder ``tmp`` for temporary files, which must be empty in the end."""
    shutil.copytree(saved, tmp_path / "w")
    (tmp_path / "w" / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "w" / "tmp"))
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    return tmp_path / "w"
