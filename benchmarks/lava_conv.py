"""The convolution of an emitted Loihi program against the one that Lava brings, on Lava.

``python -m benchmarks.lava_conv`` writes ``benchmarks/LAVA_CONV.md``. Both run the same folder, as `run.py`
does it (``--stock`` asks for Lava's own), in Lava's environment: ``--lava-python`` or SNNCC_LAVA_PYTHON.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import snncc
from benchmarks.measure import machine
from benchmarks.peers import PAUSE
from benchmarks.peers_environments import PEERS
from benchmarks.peers_sides import side
from benchmarks.tables import table
from benchmarks.workloads import Chain, Workload, noise
from snncc.ir import Array, Conv, Dense, Neuron, Node, Numbers, Reset, SpikeGraph

RESULTS = Path(__file__).with_name("LAVA_CONV.md")
WORKER = Path(__file__).with_name("lava_conv_worker.py")
KINDS = ("ours", "stock")


def workload() -> Workload:
    """2x32x32 -> conv3 16 -> conv3 s2 32 -> fc 10, leaky, reset to 0; a tenth of the inputs spikes.

    12, 20 and 10 % of the neurons fire in a timestep (`calibrate`).
    """
    chain = Chain((2, 32, 32), seed=14, leaks=True).conv(16, 22).conv(32, 29, stride=2).dense(10, 2033)
    graph = chain.graph("lava-conv")
    return Workload("lava-conv", in_floats(graph), 100, 1, noise(0.1, (2, 32, 32), 100))


def in_floats(graph: SpikeGraph) -> SpikeGraph:
    """The integer *graph* as a trained one, with Loihi's reset."""

    def changed(node: Node) -> Node:
        match node:
            case Conv() | Dense():
                return replace(node, weight=node.weight.astype(np.float64))
            case Neuron(parameters=p):
                theta, leak = p.theta.astype(np.float64), p.leak / 2.0**p.leak_shift
                fresh = type(p)(theta=theta, rho=theta, leak=leak, reset=Reset.VALUE)
                return replace(node, parameters=fresh)
            case _:
                return node

    nodes = tuple(changed(node) for node in graph.nodes)
    return replace(graph, nodes=nodes, numbers=Numbers.FLOAT, timesteps=100)


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of a sample of *steps* chip steps, and what was compared; *synops* is of one sample."""

    times: Mapping[str, tuple[float, ...]]
    commands: Mapping[str, float]
    steps: int
    synops: float
    rates: Mapping[str, float]
    compared: int
    differing: int
    load: tuple[float, float]

    @property
    def ratio(self) -> float:
        return median(self.times["stock"]) / median(self.times["ours"])


def measured(python: str, rounds: int) -> Result:
    """Both convolutions in turns, a sample each, after the proof that they give our simulator's spikes."""
    load = workload()
    x = load.data(rounds + 1)
    program = snncc.compile(load.graph, target="loihi", calibration=x[:, :1])
    names = [node.name for node in program.graph.neurons]
    ours = program.run(x, record=names).run
    before = os.getloadavg()[0]
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="lava-conv-") as name, ExitStack() as stack:
        folder, data = Path(name), Path(name) / "x.npz"
        program.save(folder / "out")
        np.savez(data, x=x)
        lava = folder / "out" / "loihi"
        commands: dict[str, float] = {}
        found: dict[str, dict[str, Array]] = {}
        for kind in KINDS:
            commands[kind], found[kind] = whole_command(python, lava, data, names, kind)
        command = [python, "-I", str(WORKER), str(lava), str(data)]
        sides = {kind: stack.enter_context(side([*command, kind], folder, kind, 1)) for kind in KINDS}
        for turn in range(rounds + 1):
            for kind, one in sides.items():
                time.sleep(PAUSE)
                answer = one.ask()
                if turn:
                    times[kind].append(answer["seconds"])
        for kind, one in sides.items():
            one.ask(results=str(folder / f"{kind}.npz"))
            with np.load(folder / f"{kind}.npz") as file:
                found[kind] |= {f"all.{key}": file[key] for key in file.files}
    expected = expectation(ours, names)
    return Result(
        times={kind: tuple(values) for kind, values in times.items()},
        commands=commands,
        steps=answer["steps"],
        synops=sum(int(o.ac.sum()) for o in ours.operations.values()) / x.shape[1],
        rates={name: float(ours.records[name].train.mean()) for name in names},
        compared=sum(value.size for value in expected.values()),
        differing=max(differing(expected, found[kind]) for kind in KINDS),
        load=(before, os.getloadavg()[0]),
    )


def whole_command(
    python: str, folder: Path, data: Path, names: list[str], kind: str
) -> tuple[float, dict[str, Array]]:
    """Seconds of the command on one sample, its start included; and every spike and potential of it."""
    result = data.with_name("result.npz")
    command = [python, str(folder / "run.py"), str(data), "-o", str(result), "--samples", "1"]
    command += ["--record", *names, *(["--stock"] if kind == "stock" else [])]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    with np.load(result) as file:
        return seconds, {key: file[key] for key in file.files if key.startswith(("train.", "v."))}


def expectation(run: Any, names: list[str]) -> dict[str, Array]:
    """What Lava should write: the first sample neuron by neuron, of all samples the sums."""
    found: dict[str, Array] = {}
    for name in names:
        record = run.records[name]
        found[f"train.{name}"], found[f"v.{name}"] = record.train[:, :1], record.u_post[:, :1]
        found[f"all.spikes.{name}"] = run.spikes[name].sum(axis=2)
    return found | {f"all.real.{name}": value for name, value in run.outputs.items()}


def differing(expected: Mapping[str, Array], found: Mapping[str, Array]) -> int:
    """In how many numbers they differ."""
    total = 0
    for name, value in expected.items():
        assert value.shape == found[name].shape, (name, value.shape, found[name].shape)
        total += int(np.sum(value != found[name]))
    return total


NAMES = {"ours": "`run.py`: one product of matrices", "stock": "Lava's own (`run.py --stock`)"}
ABOUT = """\
Same folder, same samples, same processes of Lava (each of them one of the system); only the model of `Conv`
differs. Two copies run in turns, a sample each, hot; medians, without the first turn. *Load* is the mean
length of the queue for the {cores} processors in the minute before, what this script does included: other
programs are there, and only the ratio means anything. *Whole command*: `run.py` on one sample with every
spike and potential recorded, once, with Python's start, building and ending the processes.
"""


def report(result: Result, about: str) -> str:
    """The whole page."""
    rows = []
    for kind in reversed(KINDS):
        times = result.times[kind]
        middle = median(times)
        rows.append(
            [
                *(NAMES[kind], f"{middle * 1e3:,.0f}", f"{min(times) * 1e3:,.0f}"),
                *(f"{result.steps / middle:,.0f}", f"{result.synops / middle / 1e6:,.1f} M"),
                f"{result.commands[kind]:.1f}",
            ]
        )
    fastest = min(result.times["stock"]) / min(result.times["ours"])
    turns = len(result.times["ours"])
    rates = ", ".join(f"{name} {rate:.0%}" for name, rate in result.rates.items())
    head = [
        *("convolution", "a sample, ms (median)", "fastest", "chip steps a second", "SynOps/s"),
        "whole command, one sample, s",
    ]
    lines = [
        "# Results of `python -m benchmarks.lava_conv`",
        "",
        f"{about}; lava-nc 0.10.0 on Python 3.10; {datetime.date.today().isoformat()}.",
        "",
        f"{turns} turns; load {result.load[0]:.1f} before, {result.load[1]:.1f} after.",
        "",
        ABOUT.format(cores=os.cpu_count()),
        "Network: 2x32x32 -> conv 16 -> conv 32, stride 2 -> dense 10; 100 timesteps, 10 % of the inputs "
        f"spike. Rates: {rates}.",
        "",
        *table(head, rows),
        f"Lava's own takes **{result.ratio:.1f} times** as long (fastest runs: {fastest:.1f} times).",
        "",
        "Compared with our simulator: every spike and potential of the first sample, and of all "
        f"{turns + 1} samples the spikes by layer and timestep and the outputs: {result.compared:,} numbers "
        f"for each of the two, {result.differing} differ.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lava_conv", description=__doc__)
    parser.add_argument("--lava-python", help="the Python of the environment with Lava")
    parser.add_argument("--rounds", type=int, default=15, help="samples that each is timed on (at least 5)")
    options = parser.parse_args()
    lava = PEERS["lava"]
    python = lava.interpreter(options.lava_python)
    if python is None:
        print(lava.how_to, file=sys.stderr)
        return 1
    about = machine()
    result = measured(python, max(5, options.rounds))
    text = report(result, about)
    RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")
    return 1 if result.differing else 0


if __name__ == "__main__":
    sys.exit(main())
