"""The chip simulator: what its levels cost, what cores and placements bring.

Writes ``benchmarks/CHIP.md`` and ``benchmarks/chip.png``.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import in_turns, machine
from benchmarks.tables import table
from benchmarks.workloads import WORKLOADS, Workload, w1, w1_small
from snncc import simulator
from snncc.api.profile import SPIKES, trace
from snncc.chips import Chip, CoreLimits, Discipline, Entry, load_chip
from snncc.mapping import Network, Placement, map_network, network_of
from snncc.simulator.firing import Firing
from snncc.simulator.machine import Gauge, Level, hops_of, program_of, run_events
from snncc.simulator.machine.batch import time_and_energy
from snncc.simulator.machine.machine import run_firings
from snncc.simulator.machine.self_timed import input_trains

HERE = Path(__file__).resolve().parent
PLACEMENT = ["placement", "cores", "messages x hops", "time units"]
PLACEMENT += ["with unbounded queues", "placed in, s"]
KINDS = ("inject", "east_west", "north_south", "eject")
CORES = (1, 4, 16, 64)
PLACED = (4, 16, 64)


def unbounded(chip: Chip) -> Chip:
    """*chip* with queues that never fill up."""
    links = {kind: replace(getattr(chip.fabric, kind), capacity=None) for kind in KINDS}
    cores = tuple(replace(core, in_queue=None) for core in chip.cores)
    return replace(chip, fabric=replace(chip.fabric, **links), cores=cores)


def roomy(chip: Chip) -> Chip:
    """*chip* with cores that hold any network."""
    cores = tuple(CoreLimits(in_queue=core.in_queue) for core in chip.cores)
    return replace(chip, cores=cores)


def self_timed(chip: Chip) -> Chip:
    """*chip* by the discipline `event`, with queues that never fill up; a message takes at least 1."""
    work, free = chip.operations, unbounded(chip)
    taken = replace(work.message_in, time=max(1, work.message_in.time))
    work = replace(work, message_in=taken)
    return replace(free, discipline=Discipline.EVENT, entry=Entry.PORT, operations=work)


def network(load: Workload) -> Network:
    """The network of *load*, for as many timesteps as it runs."""
    return network_of(replace(load.graph, timesteps=load.timesteps))


def fired(load: Workload, placement: Placement) -> dict[str, Firing]:
    """What the populations of *load* send for its first sample."""
    run = simulator.run(
        load.graph, load.data(1), timesteps=load.timesteps, firing=placement.network.senders, threads=1
    )
    return {name: each[0] for name, each in run.firings.items()}


def level_row(name: str, rounds: int) -> list[str]:
    """The cost of each level against the functional one."""
    load = WORKLOADS[name]()
    chip = load_chip("mesh")
    net = network(load)
    bounded, free = map_network(net, chip), map_network(net, unbounded(chip))
    x = load.data(1)

    def functional() -> object:
        return simulator.run(load.graph, x, timesteps=load.timesteps, threads=1)

    def on(placement: Placement, level: Level) -> object:
        run = simulator.run(load.graph, x, timesteps=load.timesteps, firing=net.senders, threads=1)
        firings = {one: each[0] for one, each in run.firings.items()}
        if level is Level.ANALYTIC:
            return time_and_energy(program_of(placement), firings, level)
        return run_firings(program_of(placement), firings, level)

    times = in_turns(
        {
            "functional": functional,
            "analytic": lambda: on(bounded, Level.ANALYTIC),
            "reserved": lambda: on(bounded, Level.RESERVED),
            "cycle, unbounded": lambda: on(free, Level.CYCLE),
            "cycle": lambda: on(bounded, Level.CYCLE),
        },
        rounds,
    )
    firings = fired(load, bounded)
    exact, _ = run_firings(program_of(bounded), firings)
    unlimited, _ = run_firings(program_of(free), firings)
    near, _ = run_firings(program_of(bounded), firings, Level.RESERVED)
    base = times["functional"]
    levels = [f"{times[level] / base:.1f}x" for level in times if level != "functional"]
    cores = len({part.core for part in bounded.parts})
    carried = int(exact.events["message_out"].sum())
    return [
        name,
        str(cores),
        f"{carried:,}",
        f"{base * 1e3:.2f}",
        *levels,
        f"{times['cycle, unbounded'] / carried * 1e9:.0f} / {times['cycle'] / carried * 1e9:.0f}",
        f"{exact.total:,}",
        f"{unlimited.total:,}",
        f"{(near.total / unlimited.total - 1):+.3%}",
    ]


def event_row(load: Workload, rounds: int) -> list[str]:
    """The canonical order of events against the functional simulator, which works by timesteps."""
    net, x = network(load), load.data(1)
    placement = map_network(net, self_timed(load_chip("mesh")))
    firings = fired(load, placement)
    inputs = input_trains(placement, firings, load.timesteps)
    times = in_turns(
        {
            "functional": lambda: simulator.run(load.graph, x, timesteps=load.timesteps, threads=1),
            "event": lambda: run_events(load.graph, placement, inputs),
        },
        rounds,
    )
    entered = {name: train.sum(axis=(0, 1)) for name, train in inputs.items()}
    spikes = run_events(load.graph, placement, inputs).spikes
    works = {
        "functional": {name: f.counts(net.populations[name].size) for name, f in firings.items()},
        "event": {name: train.sum(axis=0) for name, train in spikes.items()} | entered,
    }
    synops = {what: operations(net, work) for what, work in works.items()}
    each = {what: times[what] / synops[what] for what in times}
    return [
        load.name,
        *(f"{times[what] * 1e3:.2f} / {synops[what] * 1e-6:.1f} M" for what in times),
        *(f"{each[what] * 1e12:.0f}" for what in times),
        f"{each['event'] / each['functional']:.1f}x",
    ]


def operations(net: Network, spikes: Mapping[str, NDArray[np.int64]]) -> int:
    """How many synapses the *spikes* of each neuron go through, [size] by population."""
    return sum(
        int(spikes[c.source] @ c.counts(np.ones(net.populations[c.target].size, bool)))
        for c in net.connections
    )


def scaling(name: str) -> list[tuple[int, int, float, float]]:
    """Cores, time units, joules of events, share of the time that the busiest unit works."""
    load, chip = WORKLOADS[name](), roomy(load_chip("mesh"))
    rows = []
    for cores in CORES:
        placement = map_network(network(load), chip, cores=cores)
        firings, program = fired(load, placement), program_of(placement)
        timing, energy = time_and_energy(program, firings, Level.CYCLE)
        rows.append((cores, timing.total, energy.events, timing.busy.max() / timing.total))
    return rows


def placement_rows(name: str, cores: int) -> list[list[str]]:
    """Random, greedy and guided placements of one network on so many *cores*."""
    load, chip = WORKLOADS[name](), roomy(load_chip("mesh"))
    net = network(load)
    place = partial(map_network, net, chip, cores=cores)
    greedy, base, rows = place(), None, []
    firings = fired(load, greedy)
    given = {one: (firing,) for one, firing in firings.items()}
    traffic = {one: trace(each, load.timesteps, net.populations[one].size) for one, each in given.items()}
    gauge = Gauge(load.graph, given, load.timesteps, SPIKES)
    for what, made in (
        ("random (seed 0)", partial(place, placing="random")),
        ("greedy", place),
        ("by the trace, without queues", partial(place, traffic=traffic)),
        ("by the trace, on the machine", partial(place, traffic=traffic, measure=gauge)),
    ):
        start = perf_counter()
        placement = made()
        seconds = perf_counter() - start
        timing, _ = run_firings(program_of(placement), firings)
        free, _ = run_firings(program_of(replace(placement, chip=unbounded(chip))), firings)
        found = hops_of(timing), timing.total, free.total
        base = base or found
        used = len({part.core for part in placement.parts})
        rows.append(
            [
                what,
                str(used),
                f"{found[0]:,} ({found[0] / base[0] - 1:+.0%})",
                f"{found[1]:,} ({found[1] / base[1] - 1:+.1%})",
                f"{found[2]:,} ({found[2] / base[2] - 1:+.1%})",
                f"{seconds:.1f}",
            ]
        )
    return rows


def draw(found: Mapping[str, list[tuple[int, int, float, float]]]) -> None:
    """Time and energy against the number of cores."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, rows in found.items():
        cores = [row[0] for row in rows]
        left.plot(cores, [row[1] * 1e-6 for row in rows], "o-", label=name)
        right.plot(cores, [row[2] * 1e6 for row in rows], "o-", label=name)
    ideal = next(iter(found.values()))
    left.plot(CORES, [ideal[0][1] * 1e-6 / n for n in CORES], ":", color="gray", label="1 / cores")
    for axes, what in ((left, "time of one inference (ms)"), (right, "energy of events (µJ)")):
        axes.set(xscale="log", yscale="log", xlabel="cores of the mesh", ylabel=what, xticks=CORES)
        axes.set_xticklabels([str(n) for n in CORES])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(HERE / "chip.png", dpi=120)


def page(rounds: int) -> str:
    """All tables."""
    levels = [level_row(name, rounds) for name in WORKLOADS]
    events = [event_row(load(), rounds) for load in (w1_small, w1)]
    found = {name: scaling(name) for name in WORKLOADS}
    draw(found)
    scale = [
        [name, *(f"{time:,} / {joules * 1e6:.4g} / {busy:.0%}" for _, time, joules, busy in rows)]
        for name, rows in found.items()
    ]
    head = ["", "cores", "messages", "functional, ms", "analytic", "reserved", "cycle, unbounded queues"]
    head += ["cycle", "ns a message (unbounded / bounded)", "time units", "time units, unbounded"]
    head += ["reserved against it"]
    lines = [
        "# The chip simulator",
        "",
        f"{machine()}.",
        "",
        "`python -m benchmarks.chip`. Jobs of a table in turns, medians, one thread, one sample. The chip is",
        "`mesh` (1 ns a time unit, queues of 8, of 1024 before a core). Each level includes the functional",
        "run that finds the spikes; `analytic` includes all joules, by kind, core and layer; `reserved` is",
        "an approximation (no bounds, links reserved one by one).",
        "",
        "## Levels against the functional simulator",
        "",
        *table(head, levels),
        "## Event discipline",
        "",
        "Self-timed chips: every event takes effect at once (`simulator/MACHINE.md`, 7), so that more",
        "neurons fire than by timesteps. The canonical order, without time: milliseconds / synaptic",
        "operations (accumulations of one spike through one synapse), and picoseconds for one. W1s is W1 on",
        "2 x 32 x 32 pixels, at the same rates.",
        "",
        *table(["", "functional", "event", "functional, ps", "event, ps", "event against it"], events),
        "## Cores",
        "",
        "The same network spread over more cores (memories without limits): time units of one inference /",
        "µJ of all events / share of the time in which the busiest unit works.",
        "",
        *table(["", *(f"{n} core{'s' * (n > 1)}" for n in CORES)], scale),
        "![time and energy against cores](chip.png)",
        "",
        "## Placements",
        "",
        "One sample, level `cycle`. *Messages x hops*: what links between routers carried, forks counted",
        "once. Greedy and random placements have seen no sample. With the trace of the sample others are",
        "proposed by a model that leaves out queues (`snncc/mapping/guided.py`); taken is the fastest by",
        "this model, or, as programs are compiled with a profile, the fastest of those timed on the machine.",
        "Neither has more messages x hops than the greedy one, and the latter never takes more time. Where",
        "queues fill up the model alone cannot tell: its placements give synapse units as much to do in a",
        "step, but one after another; a neuron unit waits for the one whose queue is full, and with it wait",
        "the messages to those that idle.",
        "",
    ]
    for name in WORKLOADS:
        for cores in PLACED:
            lines += [f"### {name} on {cores} cores", ""]
            lines += table(PLACEMENT, placement_rows(name, cores))
    lines.append(
        f"Peak memory of all of this: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chip", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="times that each job is run")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    text = page(parser.parse_args().rounds)
    (HERE / "CHIP.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
