"""Our simulator against sinabs, SpikingJelly and Lava's fixed-point CPU models on the three workloads.

``python -m benchmarks.peers`` writes ``benchmarks/PEERS.md``. The peers are oracles: each runs as a process
of its own, in an environment of its own (``--peers-python`` or SNNCC_PEERS_PYTHON, ``--lava-python`` or
SNNCC_LAVA_PYTHON: their Pythons). A peer without an environment is left out, and the way to make it printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measure import TURN, Turn, machine
from benchmarks.peers_environments import PEERS
from benchmarks.peers_networks import differing, reference_of, told, trains_of
from benchmarks.peers_report import Contest, Result, report
from benchmarks.peers_sides import command_of, side
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).with_name("PEERS.md")
PAUSE = 0.05
"""Seconds before each job: threads of a peer that spin on after their work do not meet the next one."""

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


def both(
    of: Callable[[Sequence[Turn]], float], times: Mapping[str, Sequence[Turn]], peer: str
) -> tuple[float, float]:
    """A figure *of* our turns, and of the peer's."""
    return of(times["ours"]), of(times[peer])


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
    times: dict[str, list[Turn]] = {}
    peaks: dict[str, float] = {}
    repeats: dict[str, int] = {}
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
                first = one.ask()["seconds"]
                if who not in repeats:
                    repeats[who] = max(1, round(TURN / one.ask()["seconds"]))
                answer = one.ask(repeats=repeats[who])
                peaks[who] = answer["kilobytes"] / 1e3
                if who == "ours":
                    assert answer["spikes"] == counts
                if turn:
                    times.setdefault(who, []).append(Turn(first, answer["seconds"]))
    return [
        Result(
            contest=contest,
            peer=peer,
            timesteps=len(x),
            seconds=both(lambda turns: median(turn.hot for turn in turns), times, peer),
            fastest=both(lambda turns: min(turn.hot for turn in turns), times, peer),
            cold=both(lambda turns: median(turn.cold for turn in turns), times, peer),
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
