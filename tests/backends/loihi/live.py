"""Runs program folders on Lava, in its own Python."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

VARIABLE = "SNNCC_LAVA_PYTHON"


def lava_python() -> str:
    """The interpreter of an environment with Lava."""
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"{VARIABLE} names no Python 3.10 with lava-nc 0.10.0")
    return python


def command(folder: Path, *options: str, code: str | None = None) -> list[str]:
    """What runs *folder*; *code*: in place of the script."""
    script = ["-c", code] if code else [str(folder / "run.py")]
    return [lava_python(), *script, str(folder / "x.npz"), "-o", str(folder / "result.npz"), *options]


def hear_interrupts() -> None:
    """For a process before it starts: Ctrl-C reaches it where the tests run in the background, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_live(
    folder: Path, *options: str, record: Sequence[str] = (), code: str | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of the result file."""
    recorded = ["--record", *record] if record else []
    done = subprocess.run(
        command(folder, *options, *recorded, code=code),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    with np.load(folder / "result.npz") as file:
        return {name: file[name] for name in file.files}
