"""Small scripts in the place of Lava's Python, which say that they have Lava."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snncc.cli import main

STAND_IN = """#!{python}
import sys
if sys.argv[1] == "-c":
    print("3 10 True")
    sys.exit()
import os, pathlib, signal, subprocess, time
script, data, result = sys.argv[1], sys.argv[2], sys.argv[sys.argv.index("-o") + 1]
"""
ONLY_READS = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
"""The script itself, in this Python, where it goes as far as it can without Lava."""


def stand_in(folder: Path, body: str, head: str = STAND_IN) -> Path:
    path = folder / "python-lava"
    path.write_text(head.format(python=sys.executable) + body)
    path.chmod(0o755)
    return path


def arguments(folder: Path, python: Path | str) -> list[str]:
    call = ["simulate", str(folder / "out"), "--input", str(folder / "x.npz"), "--engine", "lava"]
    return [*call, "--engine-python", str(python), "--save-output", str(folder / "saved.npz")]


def without_engine_python(folder: Path) -> list[str]:
    return [word for word in arguments(folder, "-") if word not in ("-", "--engine-python")]


def fails(folder: Path, python: Path | str, capsys: pytest.CaptureFixture[str]) -> str:
    """The error message of the command, which left nothing behind."""
    before = {path for path in folder.rglob("*") if path.name != "__pycache__"}
    assert main(arguments(folder, python)) == 1
    assert {path for path in folder.rglob("*") if path.name != "__pycache__"} == before
    assert not list((folder / "tmp").iterdir())
    out, err = capsys.readouterr()
    assert not out
    assert "Traceback" not in err
    assert err.startswith("error: ")
    return err


COPY = "import shutil; shutil.copy({folder!r} + '/result.npz', result)"
