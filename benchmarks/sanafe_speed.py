"""How long both take, and how much memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measure import ROOT, repeats_of, seconds_of, turn
from benchmarks.sanafe_cases import CASES, Case, placement
from benchmarks.sanafe_oracle import oracle
from snncc import simulator
from snncc.simulator.machine import Level, program_of, run_chip


def on_chip(case: Case, level: Level) -> Callable[[], object]:
    """A run of ours as a user makes it, functional simulation and machine, in one thread."""
    placed = placement(case)
    names = placed.network.senders

    def job() -> object:
        run = simulator.run(case.graph, case.x, timesteps=case.timesteps, firing=names, threads=1)
        return run_chip(placed, run.firings, case.timesteps, level, threads=1)

    return job


def timed(case: Case, python: str, rounds: int) -> dict[str, float]:
    """Median seconds of both sides, in turns, and peak memory in MB; ours hot, and cold (``... cold``)."""
    jobs = {f"ours {level.value}": on_chip(case, level) for level in Level}
    times: dict[str, list[float]] = {}
    with oracle(python, case, placement(case)) as sanafe:
        first = sanafe.run("detailed")
        repeats = {name: repeats_of(job) for name, job in jobs.items()}
        for _ in range(rounds):
            for model, everywhere in (("simple", False), ("detailed", False), ("detailed", True)):
                told = sanafe.run(model, everywhere=everywhere)["seconds"]
                which = "as shipped" if everywhere else model
                times.setdefault(f"theirs {which}", []).append(told["run"])
                if everywhere:
                    continue
                times.setdefault("theirs build and load", []).append(told["build"] + told["load"])
            for name, job in jobs.items():
                cold, hot = turn(job, repeats[name])
                times.setdefault(name, []).append(hot)
                times.setdefault(f"{name} cold", []).append(cold)
    command = [sys.executable, "-m", "benchmarks.sanafe", "--memory", case.name]
    for _ in range(3):
        times.setdefault("ours place and build", []).append(seconds_of(lambda: program_of(placement(case))))
    memory = [
        float(subprocess.run([*command, *more], capture_output=True, text=True, check=True, cwd=ROOT).stdout)
        for more in ([], ["--idle"])
    ]
    found = {name: median(values) for name, values in times.items()}
    return {
        **found,
        "ours MB": memory[0],
        "ours idle MB": memory[1],
        "theirs MB": first["peak_kilobytes"] / 1e3,
    }


def peak(name: str, idle: bool) -> float:
    """Peak memory of this process in MB after one run at the level `cycle`; *idle*: after the imports."""
    if not idle:
        on_chip(CASES[name](), Level.CYCLE)()
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage has the parent's peak in it
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3
