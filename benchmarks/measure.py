"""Times that can be compared: taken in turns in one process, medians, and the machine's name beside them."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


TURN = 0.005
"""Seconds that a turn of a short job lasts at least: it is run again and again, as one that is in use."""

LEAST = 4.0
"""Seconds that all rounds last at least together: other users of the machine come and go."""


class Turn(NamedTuple):
    """Seconds of one run of a job.

    *cold*: of the first in its turn, which finds in the caches what the job before it has left there. *hot*:
    the mean of those that follow; a job that fills its turn has one run, which is both.
    """

    cold: float
    hot: float


def in_turns(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each job, hot; each has a turn in every round, and one before that does not count.

    There are at least so many *rounds*, and more where they are short, until `LEAST` has passed.
    """
    repeats = {name: repeats_of(job) for name, job in jobs.items()}
    turns: list[dict[str, Turn]] = []
    end = time.perf_counter() + LEAST
    while len(turns) < rounds or time.perf_counter() < end:
        turns.append({name: turn(job, repeats[name]) for name, job in jobs.items()})
    return {name: median(one[name].hot for one in turns) for name in jobs}


def turn(job: Callable[[], object], repeats: int) -> Turn:
    """Run *job* once, and *repeats* times again if these are several."""
    cold = seconds_of(job)
    return Turn(cold, cold if repeats == 1 else seconds_of(job, repeats))


def repeats_of(job: Callable[[], object]) -> int:
    """How often *job* is run in a turn, so that it takes `TURN`."""
    job()
    return max(1, round(TURN / max(seconds_of(job), 1e-6)))


def seconds_of(job: Callable[[], object], repeats: int = 1) -> float:
    """The time of one run of *job*, the mean of *repeats*."""
    start = time.perf_counter()
    for _ in range(repeats):
        job()
    return (time.perf_counter() - start) / repeats


FIRST_CALL = """
import sys, time
from benchmarks.workloads import WORKLOADS
load = WORKLOADS[sys.argv[1]]()
x = load.data(1)
from snncc import simulator
start = time.perf_counter()
simulator.run(load.graph, x, timesteps=load.timesteps)
print(time.perf_counter() - start)
"""


def first_call(name: str) -> tuple[float, float]:
    """Median seconds of the first run after the import: without machine code on disk, and with it."""
    cold, warm = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(first_call_in(folder, name))
            warm.append(first_call_in(folder, name))
    return median(cold), median(warm)


def first_call_in(folder: str, name: str) -> float:
    """Seconds of the first run, with machine code in *folder*."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    command = [sys.executable, "-c", FIRST_CALL, name]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    return float(done.stdout)


def help_seconds() -> float:
    """Processor time of ``snncc --help``."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "snncc", "--help"], cwd=ROOT, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(spent)


def machine() -> str:
    """Processor, cores, Python, libraries, and how busy the machine was already."""
    import numba
    import numpy as np
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    gcc = subprocess.run(
        ["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return (
        f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; Python "
        f"{platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}, PyTorch "
        f"{torch.__version__}, gcc {gcc}"
    )
