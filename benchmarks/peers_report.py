"""The page `benchmarks/PEERS.md`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.tables import table


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


@dataclass(frozen=True, slots=True)
class Result:
    """One peer in one contest; *seconds* are medians, *fastest* minima, *cold* medians of cold runs."""

    contest: Contest
    peer: str
    timesteps: int
    seconds: tuple[float, float]
    fastest: tuple[float, float]
    cold: tuple[float, float]
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
            f"{milliseconds(r.cold[0])} / {milliseconds(r.cold[1])} ({r.cold[1] / r.cold[0]:,.1f}x)",
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
        *(
            "ratio of the fastest runs",
            "cold, ms: ours / peer",
            "bar",
            "",
            "spikes, neuron by neuron and step by step",
        ),
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
        SPIKES,
        *table(
            [
                *("workload", "samples", "timesteps", "peer", "what it should compute"),
                *("differing from that", "spikes of ours, layer by layer", "of the peer"),
            ],
            spikes,
        ),
        *(["Left out:", "", *left_out] if left_out else []),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


COMPARED = """\
Same weights, thresholds and input. Each program runs as a process of its own, all of them in turns: ours,
peer, ours, peer. A turn begins after a pause with one run, which finds clocks and caches *cold*; then
follow hot ones: as many as take 5 ms (counted in the first turn), but at least one. Times are those of hot
runs if nothing else is said; medians, without the first turn.
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
