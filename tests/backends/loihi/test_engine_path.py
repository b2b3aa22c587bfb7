"""Which Python runs a Lava program where nobody names one: from the PATH, by uv."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from snncc.backends.loihi import engine
from snncc.cli import main
from tests.backends.loihi.engine_stand_ins import COPY, stand_in, without_engine_python


def on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> Path:
    """A folder with *programs*, which is all of the PATH."""
    place = folder / "bin"
    place.mkdir()
    for name, text in programs.items():
        path = place / name.replace("_", ".")
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setenv("PYENV_ROOT", str(folder / "pyenv"))
    monkeypatch.delenv("UV_PYTHON", raising=False)
    return place


SHIM = "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2; exit 127\n"
BARE = "#!/bin/sh\necho 3 10 False\n"
UV = """#!{python}
import json, os, shutil, sys
given = sys.argv[1:]
open({seen!r}, "w").write(json.dumps([given, os.environ["UV_PYTHON_DOWNLOADS"]]))
shutil.copy({folder!r} + "/result.npz", given[given.index("-o") + 1])
"""


@pytest.mark.parametrize("base", ["nothing", "on the PATH", "of pyenv", "UV_PYTHON"])
def test_uv_makes_the_environment(base: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given a Python that runs: at a broken one, such as pyenv's of versions not chosen, it stops."""
    uv = UV.format(python=sys.executable, seen=str(folder / "seen"), folder=str(folder))
    place = on_path(folder, monkeypatch, uv=uv, python3_10=BARE if base == "on the PATH" else SHIM)
    wanted = []
    if base == "on the PATH":
        wanted = ["--python", str(place / "python3.10")]
    elif base == "of pyenv":
        python = folder / "pyenv" / "versions" / "3.10.13" / "bin" / "python3.10"
        python.parent.mkdir(parents=True)
        python.write_text(BARE)
        python.chmod(0o755)
        wanted = ["--python", str(python)]
    elif base == "UV_PYTHON":
        monkeypatch.setenv("UV_PYTHON", "3.10")
    assert not engine.can_run()
    assert main(without_engine_python(folder)) == 0
    given, downloads = json.loads((folder / "seen").read_text())
    script, data, option, result, *rest = given[len(wanted) + 2 :]
    assert given[: len(wanted) + 2] == ["run", *wanted, "--script"]
    assert (script, Path(data).name, option) == (str(folder / "out" / "loihi" / "run.py"), "x.npz", "-o")
    assert Path(result).name == "result.npz"
    assert rest == ["--progress", "--timesteps", "70"]
    assert downloads == "never"


def test_uv_fails(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "#!/bin/sh\necho 'Downloading' >&2\n"
    text += "printf 'error: Request failed after 3 retries\\n  cause: no route\\n' >&2; exit 2\n"
    on_path(folder, monkeypatch, uv=text)
    assert main(without_engine_python(folder)) == 1
    error = capsys.readouterr().err
    assert (
        "the Lava program failed (exit code 2): Request failed after 3 retries\n  cause: no route\n" in error
    )
    assert "hint: let UV_PYTHON name a Python 3.10 for uv; or install lava-nc 0.10.0 for Python 3.10" in error
    assert not list((folder / "tmp").iterdir())


def test_python_on_the_path_behind_one_that_does_not_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = on_path(folder, monkeypatch, python3_10=SHIM, uv="#!/bin/sh\nexit 9\n")
    other = folder / "other"
    other.mkdir()
    shutil.move(stand_in(folder, COPY.format(folder=str(folder))), other / "python3.10")
    monkeypatch.setenv("PATH", f"{place}:{other}")
    assert engine.command(None) == [str(other / "python3.10")]
    assert main(without_engine_python(folder)) == 0
    assert "3 samples on lava" in capsys.readouterr().out


@pytest.mark.slow
def test_live_uv(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SNNCC_UV names a uv that finds a Python 3.10 and an index of packages, or has them already."""
    uv = os.environ.get("SNNCC_UV")
    if not uv:
        pytest.skip("SNNCC_UV names no uv")
    monkeypatch.setattr(tempfile, "tempdir", None)  # pytest's would be too long for sockets
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(uv)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert engine.command(None)[:2] == [str(tmp_path / "bin" / "uv"), "run"]
    assert main(without_engine_python(folder)) == 0
    with np.load(folder / "saved.npz") as have, np.load(folder / "result.npz") as need:
        assert all(np.array_equal(have[name], need[f"real.{name}"]) for name in ("y", "z"))
