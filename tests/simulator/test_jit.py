"""Machine code: other processors, no folder to keep it in, and what is on disk already."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snncc.simulator import jit, simd

ROOT = Path(__file__).resolve().parents[2]


def test_lists_spikes_bit_by_bit_where_the_processor_cannot_compress(tmp_path: Path) -> None:
    """The code for other processors, compiled in a fresh process, gives the same results."""
    program = (
        "from snncc.simulator import simd; simd.COMPRESSES = False\n"
        "from tests.simulator.test_run import *\n"
        "test_equals_the_reference()\n"
        "print('equal')\n"
    )
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "equal\n", done.stderr
    assert simd.lanes_of(16) == 32


def test_kernels_work_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: object) -> object:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("snncc.simulator.jit.KernelCache", refuse)
    assert jit.kernel(twice)(21) == 42


def twice(x: int) -> int:
    return 2 * x


def test_machine_code_on_disk_needs_nothing_that_compiles(tmp_path: Path) -> None:
    """The second process finds it, and never loads what Numba would need for compiling."""
    program = (
        "import sys\n"
        "from tests.simulator.test_run import *\n"
        "test_two_spiking_branches_meet_in_a_neuron()\n"
        "print('numba.np.arraymath' in sys.modules)\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = []
    for _ in range(2):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert not done.stderr
        said.append(done.stdout)
    assert said == ["True\n", "False\n"]
