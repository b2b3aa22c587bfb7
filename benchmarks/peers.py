"""Our simulator against sinabs, SpikingJelly and Lava's fixed-point CPU models on the three workloads.

``python -m benchmarks.peers`` writes ``benchmarks/PEERS.md``. The peers are oracles: each runs as a process
of its own, in an environment of its own (``--peers-python`` or SNNCC_PEERS_PYTHON, ``--lava-python`` or
SNNCC_LAVA_PYTHON: their Pythons). A peer without an environment is left out, and the way to make it printed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.dense import DenseNetwork
from benchmarks.measure import ROOT, machine
from benchmarks.workloads import WORKLOADS, Bytes, Workload
from snncc import simulator
from snncc.ir import (
    Conv,
    Dense,
    LeakRounding,
    Neuron,
    Node,
    Pool,
    Reset,
    Reshape,
    SpikeGraph,
)

RESULTS = Path(__file__).with_name("PEERS.md")
PAUSE = 0.05
"""Seconds before each job: threads of a peer that spin on after their work do not meet the next one."""
LAVA_FRACTION = 6
"""Lava keeps potentials with six bits behind the point."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to compare with, and where it lives."""

    name: str
    worker: str
    option: str
    variable: str
    how_to: str

    def interpreter(self, given: str | None = None) -> str | None:
        """The Python of the environment, if it is there and can import the peer."""
        python = given or os.environ.get(self.variable)
        if not python or not Path(python).exists():
            return None
        ask = f"import importlib.util as u, sys; sys.exit(u.find_spec({self.name!r}) is None)"
        done = subprocess.run([python, "-I", "-c", ask], capture_output=True, check=False)
        return None if done.returncode else python


TORCH_ENVIRONMENT = """sinabs and SpikingJelly are not part of snncc; they run in an environment of their own:
  python3.11 -m venv /tmp/peers-env
  /tmp/peers-env/bin/pip install -c constraints.txt torch==2.13.0 numpy scipy matplotlib tqdm h5py \\
      packaging requests pbr loguru
  /tmp/peers-env/bin/pip install --no-deps sinabs==3.1.3 spikingjelly==2.0.0 nir nirtorch
  export SNNCC_PEERS_PYTHON=/tmp/peers-env/bin/python   (or --peers-python)"""
LAVA_ENVIRONMENT = """Lava is not part of snncc; it runs in an environment of its own:
  python3.10 -m venv /tmp/lava-env
  /tmp/lava-env/bin/pip install lava-nc==0.10.0
  export SNNCC_LAVA_PYTHON=/tmp/lava-env/bin/python   (or --lava-python)"""

PEERS = {
    peer.name: peer
    for peer in (
        Peer("sinabs", "peers_worker.py", "peers", "SNNCC_PEERS_PYTHON", TORCH_ENVIRONMENT),
        Peer("spikingjelly", "peers_worker.py", "peers", "SNNCC_PEERS_PYTHON", TORCH_ENVIRONMENT),
        Peer("lava", "peers_lava.py", "lava", "SNNCC_LAVA_PYTHON", LAVA_ENVIRONMENT),
    )
}


@dataclass(frozen=True, slots=True)
class Contest:
    """A workload with one batch, in *timesteps* (None: all of its own), against some peers."""

    workload: str
    batch: int
    threads: int
    peers: tuple[str, ...]
    bar: float | None
    timesteps: int | None = None
    rounds: int | None = None


TORCHES = ("sinabs", "spikingjelly")
CONTESTS = (
    Contest("W1", 1, 2, TORCHES, 8),
    Contest("W1", 8, 2, TORCHES, None, rounds=5),
    Contest("W2", 1, 2, TORCHES, 3),
    Contest("W2", 32, 2, TORCHES, 5, rounds=7),
    Contest("W3", 1, 1, TORCHES, None),
    Contest("W3", 32, 1, TORCHES, 20),
    Contest("W1", 1, 1, ("lava",), 300, timesteps=20, rounds=5),
    Contest("W3", 1, 1, ("lava",), 300, rounds=5),
)


def told(load: Workload) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The chain of layers as a peer is told it, and the arrays of weights by name."""
    steps: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    flat = False
    for node in load.graph.nodes:
        match node:
            case Conv():
                arrays[node.name] = node.weight
                top, bottom, left, right = node.padding
                assert top == bottom == left == right
                step = {"op": "conv", "stride": node.stride, "padding": (top, left)}
            case Dense():
                arrays[node.name] = node.weight
                if steps and steps[-1].get("back") == node.name:
                    continue
                step, flat = {"op": "dense", "flat": flat}, False
            case Pool():
                assert node.kernel == node.stride == (2, 2)
                step = {"op": "pool"}
            case Reshape():
                step, flat = {"op": "flatten"}, True
            case Neuron():
                p = node.parameters
                assert (p.reset, p.max_count, p.strict) == (Reset.SUBTRACT, 1, False)
                assert p.theta == p.rho
                back = node.inputs[1].source if len(node.inputs) > 1 else None
                leak = int(p.leak) / 2**p.leak_shift
                step = {"op": "neuron", "theta": int(p.theta), "leak": leak, "back": back}
            case _:
                continue
        steps.append({**step, "name": node.name})
    return steps, arrays


class FloatLeak(DenseNetwork):
    """Dense execution whose leak multiplies without rounding: what sinabs and SpikingJelly can express."""

    def fire(self, node: Neuron, drive: torch.Tensor, back: torch.Tensor | None) -> torch.Tensor:
        p = node.parameters
        theta, leak = float(p.theta), int(p.leak) / 2**p.leak_shift
        v, s = torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
        train = torch.empty_like(drive)
        for t in range(len(drive)):
            v = v * leak + drive[t]
            if back is not None:
                v = v + F.linear(s, back)
            s = (v >= theta).to(torch.float32)
            v = v - theta * s
            train[t] = s
        return train


def as_lava(graph: SpikeGraph) -> SpikeGraph:
    """*graph* with Lava's neuron: reset to zero; a leak with six bits behind the point, towards zero."""
    one = 1 << LAVA_FRACTION

    def changed(node: Node) -> Node:
        match node:
            case Conv() | Dense():
                return replace(node, weight=node.weight.astype(np.int32) * one)
            case Neuron():
                theta = (int(node.parameters.theta) - 1) * one
                p = replace(
                    node.parameters,
                    theta=np.array(theta),
                    rho=np.array(theta),
                    strict=True,
                    reset=Reset.VALUE,
                    leak_rounding=LeakRounding.ZERO,
                )
                return replace(node, parameters=p)
            case _:
                return node

    return graph.with_nodes(changed(node) for node in graph.nodes)


def trains_of(graph: SpikeGraph, x: Bytes) -> dict[str, Any]:
    """What our simulator sends, [T, B, *shape], layer by layer."""
    names = [node.name for node in graph.neurons]
    run = simulator.run(graph, x, timesteps=len(x), record=names)
    return {name: run.records[name].train[:, :, 0] for name in names}


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    """Neurons and timesteps in which the trains differ."""
    assert mine.keys() == theirs.keys()
    return sum(int(np.sum(np.asarray(mine[name]) != np.asarray(theirs[name]))) for name in mine)


@dataclass(frozen=True, slots=True)
class Side:
    """A process with one network and its data; every line that it reads is one run."""

    process: subprocess.Popen[str]
    errors: Path

    def ask(self, **more: str) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(more) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"a peer ended: {self.errors.read_text(encoding='utf-8')[-2000:]}")


@contextmanager
def side(command: Sequence[str], folder: Path, name: str, threads: int) -> Iterator[Side]:
    errors = folder / f"{name}.errors"
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    with errors.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            cwd=ROOT,
            env={**os.environ, **limits},
        )
        try:
            yield Side(process, errors)
        finally:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            if process.stdout:
                process.stdout.close()


@dataclass(frozen=True, slots=True)
class Result:
    """One peer in one contest; *seconds* are medians, *fastest* minima."""

    contest: Contest
    peer: str
    timesteps: int
    seconds: tuple[float, float]
    fastest: tuple[float, float]
    rounds: int
    megabytes: tuple[float, float]
    spikes: tuple[dict[str, int], dict[str, int]]
    differing: int
    reference: str
    differing_from_reference: int
    neuron_timesteps: int
    versions: Mapping[str, str]
    load: float

    @property
    def ratio(self) -> float:
        return self.seconds[1] / self.seconds[0]

    @property
    def verdict(self) -> str:
        if self.contest.bar is None:
            return "-"
        return "met" if self.ratio >= self.contest.bar else "NOT met"


def reference_of(
    load: Workload, x: Bytes, peer: str, mine: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    """What *peer* should compute where its neuron is another one than the workload's."""
    if peer == "lava":
        return "ours with Lava's neuron", trains_of(as_lava(load.graph), x)
    if any(node.parameters.leak_shift for node in load.graph.neurons):
        return "dense PyTorch with v *= 15/16", {
            name: train.numpy() for name, train in FloatLeak(load)(x).items()
        }
    return "ours", mine


def measured(contest: Contest, pythons: Mapping[str, str], rounds: int) -> list[Result]:
    """Every peer of *contest* that has an environment."""
    load = WORKLOADS[contest.workload]()
    x = load.data(contest.batch)[: contest.timesteps]
    mine = trains_of(load.graph, x)
    counts = {name: int(train.sum()) for name, train in mine.items()}
    peers = [name for name in contest.peers if name in pythons]
    turns = contest.rounds or rounds
    load_average = os.getloadavg()[0]
    checks: dict[str, dict[str, Any]] = {}
    found: dict[str, tuple[str, int, int]] = {}
    times: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="peers-") as name, ExitStack() as stack:
        folder = Path(name)
        steps, arrays = told(load)
        job = folder / "job.npz"
        np.savez(
            job,
            **arrays,
            data=x,
            threads=np.array(contest.threads),
            network=np.array(json.dumps(steps)),
            name=np.array(contest.workload),
        )
        for peer in peers:
            with side(command_of(peer, pythons[peer], job), folder, f"{peer}-check", contest.threads) as one:
                trains = folder / f"{peer}.npz"
                checks[peer] = one.ask(trains=str(trains))
            with np.load(trains) as file:
                theirs = dict(file)
            reference, expected = reference_of(load, x, peer, mine)
            found[peer] = (reference, differing(mine, theirs), differing(expected, theirs))
        sides = {
            "ours": stack.enter_context(
                side(
                    [sys.executable, "-m", "benchmarks.peers_ours", str(job)], folder, "ours", contest.threads
                )
            )
        }
        for peer in peers:
            command = command_of(peer, pythons[peer], job)
            sides[peer] = stack.enter_context(side(command, folder, peer, contest.threads))
        for turn in range(turns + 1):
            for who, one in sides.items():
                time.sleep(PAUSE)
                one.ask()
                answer = one.ask()
                peaks[who] = answer["kilobytes"] / 1e3
                if who == "ours":
                    assert answer["spikes"] == counts
                if turn:
                    times.setdefault(who, []).append(answer["seconds"])
    return [
        Result(
            contest=contest,
            peer=peer,
            timesteps=len(x),
            seconds=(median(times["ours"]), median(times[peer])),
            fastest=(min(times["ours"]), min(times[peer])),
            rounds=turns,
            megabytes=(peaks["ours"], peaks[peer]),
            spikes=(counts, checks[peer]["spikes"]),
            differing=found[peer][1],
            reference=found[peer][0],
            differing_from_reference=found[peer][2],
            neuron_timesteps=load.neurons * len(x) * contest.batch,
            versions=checks[peer]["versions"],
            load=load_average,
        )
        for peer in peers
    ]


def command_of(peer: str, python: str, job: Path) -> list[str]:
    return [python, "-I", str(Path(__file__).with_name(PEERS[peer].worker)), peer, str(job)]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table in Markdown."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'-|' * len(head)}",
        *(f"| {' | '.join(map(str, r))} |" for r in rows),
    ]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def threads_of(result: Result) -> str:
    if result.peer == "lava":
        return "1 / a process for each layer"
    return str(result.contest.threads)


def report(results: Sequence[Result], about: str, left_out: Sequence[str]) -> str:
    """The whole page."""
    rows = [
        [
            *(r.contest.workload, r.contest.batch, r.timesteps, r.peer, threads_of(r)),
            *(milliseconds(r.seconds[0]), milliseconds(r.seconds[1])),
            f"{r.ratio:,.1f}x",
            f"{r.fastest[1] / r.fastest[0]:,.1f}x",
            "-" if r.contest.bar is None else f"{r.contest.bar:g}x",
            r.verdict,
            "all equal" if not r.differing else f"{r.differing:,} of {r.neuron_timesteps:,} differ",
            *(f"{r.megabytes[0]:,.0f}", f"{r.megabytes[1]:,.0f}"),
            r.rounds,
            f"{r.load:.1f}",
        ]
        for r in results
    ]
    head = [
        *("workload", "samples", "timesteps", "peer", "threads", "ours, ms", "peer, ms", "ratio"),
        *("ratio of the fastest runs", "bar", "", "spikes, neuron by neuron and step by step"),
        *("peak memory ours, MB", "peer, MB", "rounds", "load before"),
    ]
    spikes = [
        [
            *(r.contest.workload, r.contest.batch, r.timesteps, r.peer, r.reference),
            f"{r.differing_from_reference:,}",
            " ".join(f"{n:,}" for n in r.spikes[0].values()),
            " ".join(f"{n:,}" for n in r.spikes[1].values()),
        ]
        for r in results
    ]
    versions = {
        r.peer: ", ".join(f"{name} {version}" for name, version in r.versions.items()) for r in results
    }
    lines = [
        "# Results of `python -m benchmarks.peers`",
        "",
        f"{about}; {datetime.date.today().isoformat()}.",
        "",
        *(f"- {peer}: {text}" for peer, text in versions.items()),
        "",
        COMPARED,
        *table(head, rows),
        "",
        SPIKES,
        *table(
            [
                *("workload", "samples", "timesteps", "peer", "what it should compute"),
                *("differing from that", "spikes of ours, layer by layer", "of the peer"),
            ],
            spikes,
        ),
        *(["", "Left out:", "", *left_out] if left_out else []),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


COMPARED = """\
Same weights, thresholds and input. Each program runs as a process of its own, all of them in turns: ours,
peer, ours, peer. A turn is one run that does not count and one that does; medians, without the first turn.
Ours includes listing the input's events from bytes, counting operations, and Python; the peers' tensors of
floats are made before the clock starts, their time includes resetting the states. sinabs and SpikingJelly
work layer by layer over all timesteps (squeezed layers; multi-step mode, torch's back end), in float32
without gradients; on W3 the recurrent layer goes timestep by timestep, as theirs must. One sample of ours
is work for one thread, whatever the number of threads: where other programs load the machine (*load
before*: the mean length of the queue for the processors in the minute before, what this script did just
before included), two threads that wait for each other lose more than one. Lava: hot, without building,
compiling and starting its processes; a run goes on where the last one ended. Its convolutions are SciPy's
(its source has torch's switched off). Where its timesteps are fewer than the workload's (W1: 60), ours are
too: nothing is extrapolated. Peak memory: the process, libraries included; of Lava the sum over its
processes (pages that they share count for each).
"""
SPIKES = """\
## Spikes

IF neurons are exact in float32 (sums of integers below 2^24). W3's leak is `v = v * 15 >> 4`, rounded down,
which sinabs and SpikingJelly cannot express: they get `v *= 15/16` (sinabs: a time constant of -1 /
ln(15/16)). Their spikes differ from ours, and are compared with dense PyTorch with the same leak. Lava's
neuron is reset to zero, not by subtraction, and its leak rounds towards zero with six bits behind the
point; its spikes differ from ours, and are compared with our simulator given such neurons. A layer of Lava
sends one timestep later than ours: the trains are compared without that delay.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="W", help="workloads; default all (and write the page)")
    parser.add_argument("--peers-python", help="the Python of the environment with sinabs and SpikingJelly")
    parser.add_argument("--lava-python", help="the Python of the environment with Lava")
    parser.add_argument("--only", choices=PEERS, help="one peer")
    parser.add_argument("--rounds", type=int, default=15, help="how often each job is timed (at least 5)")
    options = parser.parse_args()
    pythons, left_out = {}, []
    for peer in PEERS.values():
        python = peer.interpreter(getattr(options, f"{peer.option}_python"))
        if python is None:
            print(f"{peer.name} is left out. {peer.how_to}", file=sys.stderr)
            left_out.append(f"- {peer.name}: no environment")
        elif options.only in (None, peer.name):
            pythons[peer.name] = python
    if not pythons:
        return 1
    about = machine()
    results: list[Result] = []
    for contest in CONTESTS:
        if contest.workload in (options.names or WORKLOADS) and set(contest.peers) & pythons.keys():
            print(f"{contest} ...", file=sys.stderr)
            results += measured(contest, pythons, options.rounds)
    text = report(results, about, left_out)
    if not options.names and options.only is None:
        RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if all(r.verdict != "NOT met" for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
