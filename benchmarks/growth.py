"""How time and memory of the simulator grow with events.

Writes ``benchmarks/GROWTH.md``.
"""

from __future__ import annotations

import argparse
import os
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.chip import network, roomy, unbounded
from benchmarks.measure import machine, repeats_of, seconds_of
from benchmarks.tables import table
from benchmarks.workloads import Chain, Workload, event_frames, w1, w1_small, w2
from snncc import simulator
from snncc.chips import load_chip
from snncc.ir import SpikeGraph
from snncc.mapping import map_network
from snncc.simulator.firing import Firing
from snncc.simulator.machine import Level, MachineProgram, program_of
from snncc.simulator.machine.machine import run_firings

HERE = Path(__file__).resolve().parent
RATES = (0.0001, 0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1)
SHARES = tuple(10 * rate for rate in RATES)
"""Of functional runs, whose events take so little time that it takes more of them to be seen at all."""
LONG = 250
SPARSE, FRAMES = 0.01, (6, 19, 60, 190, 600, 1900, 6000)
"""The rate of all neurons, and timesteps, of runs that get longer."""


HEAD = ["", "fixed, ms", *(f"x {10 ** (k / 2):.3g}" for k in range(7)), "exponent (least to most)"]


@dataclass(frozen=True, slots=True)
class Case:
    """Jobs that do the same with more and more events, [events]; *idle* does it with none."""

    name: str
    events: Sequence[int]
    jobs: Sequence[Callable[[], object]]
    idle: Callable[[], object]


def random_firing(rng: np.random.Generator, size: int, frames: int, rate: float) -> Firing:
    """Spikes at *rate*, in every frame."""
    count = rng.binomial(frames * size, rate)
    frame, address = np.divmod(np.unique(rng.integers(0, frames * size, count)), size)
    return Firing(np.searchsorted(frame, np.arange(frames + 1)), address.astype(np.int32))


def random_firings(program: MachineProgram, frames: int, rate: float) -> dict[str, Firing]:
    """Spikes of all senders of *program*, whose populations have one tick."""
    rng, net = np.random.default_rng(0), program.placement.network
    return {name: random_firing(rng, net.populations[name].size, frames, rate) for name in net.senders}


def spikes_in(firings: Mapping[str, Firing]) -> int:
    """How many spikes there are."""
    return sum(len(firing.address) for firing in firings.values())


def timed_cases() -> list[Case]:
    """The levels of the machine, on the placement of W1."""
    load = w1()
    cases = []
    for what, chip in (
        ("unbounded queues", unbounded(load_chip("mesh"))),
        ("queues of `mesh`", load_chip("mesh")),
    ):
        program = program_of(map_network(network(load), chip))
        traces = [random_firings(program, load.timesteps, rate) for rate in RATES]
        none = random_firings(program, load.timesteps, 0.0)
        for level in Level if chip.fabric.inject.capacity is None else (Level.CYCLE,):
            jobs = [partial(run_firings, program, trace, level) for trace in traces]
            idle = partial(run_firings, program, none, level)
            cases.append(Case(f"{level.value}, {what}", [spikes_in(t) for t in traces], jobs, idle))
    return cases


def longer_cases() -> list[Case]:
    """W1s on 16 cores at one rate, for more and more timesteps."""
    load = w1_small()
    program = program_of(map_network(network(load), roomy(unbounded(load_chip("mesh"))), cores=16))
    traces = [random_firings(program, frames, SPARSE) for frames in FRAMES]
    none = random_firings(program, 1, 0.0)
    cases = [
        Case(
            f"{level.value}, unbounded queues",
            [spikes_in(trace) for trace in traces],
            [partial(run_firings, program, trace, level) for trace in traces],
            partial(run_firings, program, none, level),
        )
        for level in Level
    ]
    inputs = [event_frames(1, frames, size=32) for frames in (*FRAMES, 1)]
    inputs[-1][:] = 0
    jobs = [partial(simulator.run, load.graph, x, timesteps=len(x), threads=1) for x in inputs]
    events = [operations_in(load.graph, x) for x in inputs[:-1]]
    return [Case("functional", events, jobs[:-1], jobs[-1]), *cases]


def functional_cases() -> list[Case]:
    """One layer each; an event is a synaptic operation (an accumulation of one spike through one synapse)."""
    cases = []
    for name, chain in (
        ("functional, convolution 64 to 64, 16 x 16", Chain((64, 16, 16), seed=1).conv(64, 2000)),
        ("functional, dense 4096 to 1024", Chain((4096,), seed=1).dense(1024, 4000)),
    ):
        graph, shape = chain.graph("growth"), chain.nodes[0].shape  # type: ignore[union-attr]
        rng = np.random.default_rng(0)
        inputs = [(rng.random((LONG, 1, *shape)) < share).astype(np.uint8) for share in (*SHARES, 0.0)]
        jobs = [partial(simulator.run, graph, x, timesteps=LONG, threads=1) for x in inputs]
        fired = [operations_in(graph, x) for x in inputs[:-1]]
        cases.append(Case(name, fired, jobs[:-1], jobs[-1]))
    return cases


def operations_in(graph: SpikeGraph, x: NDArray[np.uint8]) -> int:
    """Synaptic operations of a run."""
    run = simulator.run(graph, x, timesteps=len(x), threads=1)
    return sum(int(each.ac.sum()) for each in run.operations.values())


def rounds_of(case: Case, rounds: int) -> NDArray[np.float64]:
    """Seconds of each job beyond those of the idle one, in turns, [rounds, jobs]; and the latter, last."""
    jobs = [*case.jobs, case.idle]
    repeats = [repeats_of(job) for job in jobs]
    times = np.array(
        [[seconds_of(job, n) for job, n in zip(jobs, repeats, strict=True)] for _ in range(rounds)]
    )
    times[:, :-1] -= times[:, -1:]
    return times


def exponents(events: Sequence[int], times: NDArray[np.float64]) -> list[float]:
    """Of each round: the slope of log time over log events, of the points that took any time at all."""
    found = []
    for row in times:
        seen = row > 0
        if seen.sum() > 2:
            slope, _ = np.polyfit(np.log(np.array(events)[seen]), np.log(row[seen]), 1)
            found.append(float(slope))
    return found or [np.nan]


def time_row(case: Case, rounds: int) -> list[str]:
    """The fixed cost, events and nanoseconds of each, the exponent."""
    times = rounds_of(case, rounds)
    idle, middle = median(times[:, -1]), np.median(times[:, :-1], axis=0)
    slopes = exponents(case.events, times[:, :-1])
    each = [f"{n:,}: {t / n * 1e9:.3g}" for n, t in zip(case.events, middle, strict=True)]
    slope = f"{median(slopes):.2f} ({min(slopes):.2f} to {max(slopes):.2f})"
    return [case.name, f"{idle * 1e3:.2f}", *each, slope]


def peak(program: MachineProgram, firings: Mapping[str, Firing], level: Level = Level.CYCLE) -> int:
    """Bytes that a run takes at its peak, beyond what is there before it."""
    run_firings(program, firings, level)  # compiles, and keeps what is kept between runs
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        run_firings(program, firings, level)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def in_flight(program: MachineProgram, firings: Mapping[str, Firing]) -> int:
    """The most visits of messages to queues in any one step: a step begins and ends with empty queues."""
    from snncc.simulator.machine.run_kernel import most_of
    from snncc.simulator.machine.tallies import sent_of
    from snncc.simulator.machine.traffic import calendar, lists_of, sweeps_of, updated

    plan = calendar(program, firings)
    sweeps = sweeps_of(program, lists_of(program, plan, firings), updated(program, plan, firings))
    units = program.wiring.units
    return most_of(sweeps.first[::units], sweeps.neuron, sent_of(program.sends).first, program.stays)[1]


def memory_rows(load: Workload) -> tuple[list[list[str]], NDArray[np.float64]]:
    """Peaks for more spikes in a step, and for more steps; what a visit, a spike and a step take, fitted."""
    program = program_of(map_network(network(load), unbounded(load_chip("mesh"))))
    rows, known, peaks = [], [], []
    for rate in (0.001, 0.01, 0.1):
        for frames in (4, 16, 64):
            firings = random_firings(program, frames, rate)
            flying, bytes_used = in_flight(program, firings), peak(program, firings)
            steps = len(run_firings(program, firings)[0].steps)
            known.append([flying, spikes_in(firings), steps, 1])
            peaks.append(bytes_used)
            rows.append(
                [f"{rate:g}", str(steps), f"{flying:,}", f"{spikes_in(firings):,}", f"{bytes_used / 1e6:.2f}"]
            )
    weights = 1 / np.array(peaks)  # every peak counts by its relative error
    fit, *_ = np.linalg.lstsq(np.array(known) * weights[:, None], np.ones(len(peaks)), rcond=None)
    off = np.abs(np.array(known) @ fit / peaks - 1)
    for row, error in zip(rows, off, strict=True):
        row.append(f"{error:.1%}")
    return rows, fit


def page(rounds: int) -> str:
    """All tables."""
    lines = [
        "# How time and memory grow with events",
        "",
        f"{machine()}.",
        "",
        "`python -m benchmarks.growth`. One thread, jobs in turns, medians.",
        "",
        "## Time",
        "",
        "*Fixed*: the time of the same run without any spike (of the shortest one), measured, and taken off",
        "all others. Then *events: nanoseconds of one*, in seven points over three decades. The exponent is",
        "the slope of log(time - fixed) over log(events), of all points that take longer than the fixed cost",
        "in a round: the median of all rounds, with the least and the most. 1 is linear.",
        "",
        "### Longer runs",
        "",
        f"W1s on 16 cores of `mesh`, {FRAMES[0]} to {FRAMES[-1]} timesteps. Levels of the machine: spikes",
        f"(random, {SPARSE:.0%} of all neurons in each timestep), without the functional run. Functional:",
        "synaptic operations, with moving blobs as input.",
        "",
        *table(HEAD, [time_row(case, rounds) for case in longer_cases()]),
        "### More spikes in each timestep",
        "",
        f"Random spikes. Levels of the machine: on the placement of W1 on `mesh`, {w1().timesteps}",
        f"timesteps. Functional: one layer, {LONG} timesteps. What is paid once for each step, queue or line",
        "of memory that anything happens in is shared by more and more spikes, so one gets cheaper. With the",
        "queues of `mesh` they fill up from some rate on, and the machine is followed by another algorithm",
        "(instant by instant, all stations together): one spike costs several times as much from there on.",
        "",
        *table(HEAD, [time_row(case, rounds) for case in (*functional_cases(), *timed_cases())]),
    ]
    memory, fit = memory_rows(w2())
    lines += [
        "## Memory of the level `cycle`",
        "",
        "What a run allocates at its peak beyond the program and the trains that it is given (`tracemalloc`;",
        "its kernels allocate nothing), on the placement of W2, unbounded queues. In flight: the most visits",
        "of messages to queues in any one step; all queues are empty between steps. A run takes",
        f"{fit[0]:.1f} bytes for each visit in flight, {fit[1]:.1f} for each spike of the sample (the",
        "list of what each unit sends, made before the first step; the trains themselves take 4),",
        f"{fit[2]:.0f} for each step, and {fit[3] / 1e6:.2f} MB in any case: fitted to these nine runs; the",
        'last column says how far off. On chips with `touch = "touched"` a spike takes 4 bytes more.',
        "",
        *table(["rate", "steps", "visits in flight", "spikes", "peak, MB", "fit off by"], memory),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="times that each job is run")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    text = page(parser.parse_args().rounds)
    (HERE / "GROWTH.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
