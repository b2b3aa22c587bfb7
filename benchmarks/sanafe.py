"""Our machine against SANA-FE 2.2.9, the simulator whose authors fitted the numbers of `loihi1-sanafe2025`.

``python -m benchmarks.sanafe`` writes ``benchmarks/SANAFE.md``. SANA-FE (GPL-3) is an oracle: it runs as
a process of its own, in an environment of its own (``--sanafe-python`` or SNNCC_SANAFE_PYTHON: its Python).
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, machine
from benchmarks.sanafe_cases import CASES, CHIP, Case, placement
from benchmarks.sanafe_oracle import HOW_TO, MANY, VERSION, decoded, interpreter, oracle
from benchmarks.sanafe_ours import Ours, ours
from benchmarks.sanafe_text import COMPARED, DIFFERENCES, SPEED, STAGES
from snncc import simulator
from snncc.chips import Chip, load_chip
from snncc.simulator.machine import Level, program_of, run_chip

RESULTS = Path(__file__).with_name("SANAFE.md")
NINE_DIGITS = 5e-10
MICRO = 1e6
AGAIN = 4
OUR_STAGES = {
    "analytic": "ours: analytic",
    "latency": "+ hops, receivers",
    "interval": "+ intervals",
    "cycle": "+ slots = cycle",
    "bounded": "(+ slots of receivers)",
    "reserved": "(reserved)",
}
THEIR_STAGES = {
    "simple": "theirs: simple",
    "ranked": "+ hops, receivers, in our order",
    "replayed": "in their order",
    "endless": "+ congestion",
    "detailed": "+ blocking = detailed",
}
TIMED = ("W3", "W1-32")


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One network on both sides. *counts*: (theirs, ours) by event; *joules* as well; times in seconds."""

    case: Case
    neurons: int
    synapses: int
    spikes: int
    differing_spikes: int
    differing_messages: int
    counts: Mapping[str, tuple[int, int]]
    joules: Mapping[str, tuple[float, float]]
    awake: int
    hand: bool
    simple_error: float
    stages: Mapping[str, float]
    path: Mapping[str, float]
    blocked: int
    spread: float
    per_step: tuple[float, float]
    total: tuple[float, float]

    @property
    def energy_error(self) -> float:
        """The largest relative difference of an energy."""
        return max(apart(*pair) for pair in self.joules.values())

    @property
    def is_equal(self) -> bool:
        """Whether all that has to be equal is equal."""
        events = all(theirs == mine for theirs, mine in self.counts.values())
        return (
            self.hand
            and events
            and not self.differing_spikes
            and not self.differing_messages
            and self.energy_error < NINE_DIGITS
            and self.simple_error < NINE_DIGITS
            and (self.awake > 0 or apart(self.stages["latency"], self.stages["ranked"]) < NINE_DIGITS)
        )


def apart(theirs: float, mine: float) -> float:
    """The relative difference."""
    return abs(theirs - mine) / max(abs(theirs), abs(mine)) if theirs != mine else 0.0


def compared(case: Case, python: str) -> Compared:
    """Everything but speed."""
    mine = ours(case)
    with oracle(python, case, mine.placement) as sanafe:
        simple = sanafe.run("simple", trace=True)
        counting = sanafe.run("simple", count=True, trace=True)
        detailed = sanafe.run("detailed", trace=True, messages=True)
        endless = sanafe.run("detailed", buffer=MANY)
        again = [detailed["sim_time"], *(sanafe.run("detailed")["sim_time"] for _ in range(AGAIN))]
    timing, cycle = mine.timing(Level.ANALYTIC), mine.timing(Level.CYCLE)
    unit = mine.placement.chip.time_unit
    sync = timing.barrier * len(timing.steps) * unit
    stages = {name: steps * unit for name, steps in mine.staged().items()}
    stages |= {"simple": simple["sim_time"] - sync, "detailed": detailed["sim_time"] - sync}
    stages |= {"endless": endless["sim_time"] - sync}
    stages |= {name: detailed[name] for name in ("replayed", "ranked")}
    theirs = np.array(detailed["perf"]["sim_time"])
    off = mine.seconds(cycle.steps, cycle) / theirs - 1
    ways, found = {tuple(way) for way in mine.ways()}, {tuple(way) for way in detailed["ways"]}
    network = mine.placement.network
    return Compared(
        case=case,
        neurons=sum(p.size for p in network.populations.values()),
        synapses=sum(
            int(k.sum()) for of in mine.synapses.values() for core in of.values() for k in core.values()
        ),
        spikes=int(sum(train.sum() for train in mine.trains.values())),
        differing_spikes=len(
            spikes_of(mine) ^ {(t, n, i) for t, s in enumerate(simple["fired"], 1) for n, i in s}
        ),
        differing_messages=len(ways ^ found),
        counts=counts_of(mine, simple, decoded(counting["perf"])),
        joules=joules_of(mine, simple),
        awake=int(mine.awake.sum()),
        hand=bool(np.array_equal(mine.by_hand(), timing.steps)),
        simple_error=step_error(simple["perf"]["sim_time"], mine.seconds(mine.by_hand(mine.awake), timing)),
        stages=stages,
        path=detailed["path"],
        blocked=detailed["blocked"],
        spread=max(again) / min(again) - 1,
        per_step=(float(off.min()), float(off.max())),
        total=(detailed["sim_time"], float(mine.seconds(cycle.steps, cycle).sum())),
    )


def spikes_of(mine: Ours) -> set[tuple[int, str, int]]:
    """(timestep from 1, population, neuron) of every spike."""
    return {
        (int(t) + 1, name, int(neuron))
        for name, train in mine.trains.items()
        for t, _, neuron in zip(*np.nonzero(train), strict=True)
    }


def step_error(theirs: Sequence[float], mine: Iterable[float]) -> float:
    """The largest relative difference of the time of a step."""
    return max(apart(a, float(b)) for a, b in zip(theirs, mine, strict=True))


def counts_of(mine: Ours, simple: Any, found: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Events, as (theirs, ours). Updates of ours include those of neurons that are `awake`."""
    timing = mine.timing(Level.CYCLE)
    kinds = mine.program.stations.kinds
    events = {name: int(counts.sum()) for name, counts in timing.events.items()}
    events["update"] += int(mine.awake.sum())
    for link in ("east_west", "north_south"):
        events[link] = int(sum(n for n, kind in zip(timing.messages, kinds, strict=True) if kind == link))
    theirs = {**found, "message_out": simple["packets_sent"]}
    return {name: (count, events[name]) for name, count in theirs.items()}


def joules_of(mine: Ours, simple: Any) -> dict[str, tuple[float, float]]:
    """Energies, as (theirs, ours); the updates as in `counts_of`."""
    timing = mine.timing(Level.CYCLE)
    kinds, costs = mine.energy(timing).kinds, mine.placement.chip.operations
    awake = int(mine.awake.sum()) * costs.update.energy * 1e-12
    sums = {
        "synapse": ("dense", "conv", "sparse"),
        "soma": ("access", "update", "spike"),
        "network": ("message_out", "message_in", "east_west", "north_south"),
    }
    found = {unit: (simple["energy"][unit], sum(kinds[n] for n in of)) for unit, of in sums.items()}
    found["soma"] = (found["soma"][0], found["soma"][1] + awake)
    total = sum(kinds.values()) + awake
    return {**found, "total": (simple["energy"]["total"], total)}


def facts(python: str, chip: Chip) -> list[tuple[str, float, float]]:
    """(name, SANA-FE's, ours) of the numbers of its file for Loihi, which pip has installed."""
    ask = "import os, sanafe; print(open(os.path.dirname(sanafe.__file__) + '/examples/loihi.yaml').read())"
    text = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True).stdout
    found: dict[str, dict[str, float]] = {}
    for section in re.split(r"- name: ", text)[1:]:
        pairs = re.findall(r"^\s+(\w+): ([-\d.e]+)\s*$", section, re.MULTILINE)
        found[section.split()[0].split("[")[0]] = {key: float(value) for key, value in pairs}
    o, fabric, unit = chip.operations, chip.fabric, chip.time_unit
    rows: list[tuple[str, float, float]] = []

    def both(name: str, what: str, energy: float, ticks: int) -> None:
        rows.append((f"{name}: energy_{what}", found[name][f"energy_{what}"], energy * 1e-12))
        rows.append((f"{name}: latency_{what}", found[name][f"latency_{what}"], ticks * unit))

    for kind, cost in o.synapse.items():
        if f"loihi_{kind}_synapse" in found:
            both(f"loihi_{kind}_synapse", "process_spike", cost.energy, cost.time)
    for what, one in (("access_neuron", o.access), ("update_neuron", o.update), ("spike_out", o.spike)):
        both("loihi_lif", what, one.energy, one.time)
    both("loihi_in", "message_in", o.message_in.energy, o.message_in.time)
    both("loihi_out", "message_out", o.message_out.energy, o.message_out.time)
    for way, link in (("east", fabric.east_west), ("west", fabric.east_west)):
        both("loihi_tile", f"{way}_hop", link.energy, link.latency)
    for way, link in (("north", fabric.north_south), ("south", fabric.north_south)):
        both("loihi_tile", f"{way}_hop", link.energy, link.latency)
    for key, number in (("width", fabric.columns), ("height", fabric.rows)):
        rows.append((key, number_after(text, key), number))
    for link in (fabric.east_west, fabric.north_south):
        rows.append(("link_buffer_size", number_after(text, "link_buffer_size"), float(link.capacity or 0)))
    (table,) = re.findall(r"^\s+latency_sync: \{(.*)\}", text, re.MULTILINE)
    ours_ = dict(chip.barrier)
    for tiles, seconds in re.findall(r"(\d+): ([-\d.e]+)", table):
        rows.append((f"latency_sync, {tiles} tiles", float(seconds), ours_.get(int(tiles), 0) * unit))
    return rows


def number_after(text: str, key: str) -> float:
    """The number of an entry of a YAML file that occurs once."""
    (number,) = re.findall(rf"^\s+{key}: ([-\d.e]+)", text, re.MULTILINE)
    return float(number)


def on_chip(case: Case, level: Level) -> Callable[[], object]:
    """A run of ours as a user makes it, functional simulation and machine, in one thread."""
    placed = placement(case)
    names = placed.network.senders

    def job() -> object:
        run = simulator.run(case.graph, case.x, timesteps=case.timesteps, firing=names, threads=1)
        return run_chip(placed, run.firings, case.timesteps, level, threads=1)

    return job


def seconds_of(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def timed(case: Case, python: str, rounds: int) -> dict[str, float]:
    """Median seconds of both sides, in turns, and peak memory in MB."""
    jobs = {f"ours {level.value}": on_chip(case, level) for level in Level}
    times: dict[str, list[float]] = {}
    with oracle(python, case, placement(case)) as sanafe:
        first = sanafe.run("detailed")
        for job in jobs.values():
            job()
        for _ in range(rounds):
            for model, everywhere in (("simple", False), ("detailed", False), ("detailed", True)):
                told = sanafe.run(model, everywhere=everywhere)["seconds"]
                which = "as shipped" if everywhere else model
                times.setdefault(f"theirs {which}", []).append(told["run"])
                if everywhere:
                    continue
                times.setdefault("theirs build and load", []).append(told["build"] + told["load"])
            for name, job in jobs.items():
                times.setdefault(name, []).append(seconds_of(job))
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


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table in Markdown."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'-|' * len(head)}",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]


def micro(seconds: float) -> str:
    return f"{seconds * MICRO:,.3f}"


def percent(ratio: float) -> str:
    return f"{ratio * 100:+.2f} %"


def equality(results: Sequence[Compared]) -> list[str]:
    """The tables of what has to be equal."""
    networks = [
        [r.case.name, r.case.about, r.case.neuron, f"{r.neurons:,}", f"{r.synapses:,}", r.case.timesteps]
        for r in results
    ]
    sums = [
        [
            r.case.name,
            *(f"{r.spikes:,}", r.differing_spikes),
            *(f"{r.counts['message_out'][1]:,}", r.differing_messages),
            f"{r.counts['east_west'][1]:,} / {r.counts['north_south'][1]:,}",
            sum(theirs != mine for theirs, mine in r.counts.values()),
            *(f"{r.joules['total'][1] * MICRO:.9g}", f"{r.energy_error:.0e}"),
            *(micro(r.total[1] - r.stages["cycle"] + r.stages["simple"]), f"{r.simple_error:.0e}"),
            "yes" if r.is_equal else "NO",
        ]
        for r in results
    ]
    names = [*results[0].counts]
    kinds = [[r.case.name, *(f"{r.counts[name][0]:,}" for name in names), f"{r.awake:,}"] for r in results]
    parts = [
        [
            r.case.name,
            *(f"{r.joules[u][k] * MICRO:.9g}" for u in ("synapse", "soma", "network") for k in (0, 1)),
        ]
        for r in results
    ]
    return [
        *table(["network", "what", "neurons", "how many", "synapses", "timesteps"], networks),
        *table(
            [
                *("network", "spikes", "differing", "messages", "differing", "hops E-W / N-S"),
                *("events whose counts differ", "uJ", "largest relative difference of an energy"),
                *("simple / analytic, us", "largest relative difference of a step", "equal"),
            ],
            sums,
        ),
        "Counts (theirs, which are ours where the column above says 0):",
        "",
        *table(["network", *names, "of the updates: awake"], kinds),
        "Energies in uJ, theirs and ours:",
        "",
        *table(
            [
                "network",
                *(f"{unit}, {who}" for unit in ("synapse", "soma", "network") for who in ("theirs", "ours")),
            ],
            parts,
        ),
    ]


def stages_table(results: Sequence[Compared]) -> list[str]:
    """Time without synchronization, stage by stage, on both sides."""
    rows = []
    for r in results:
        s = r.stages
        shown = [s[name] for name in OUR_STAGES] + [s[name] for name in THEIR_STAGES]
        off = [percent(s["cycle"] / s["detailed"] - 1), percent(r.total[1] / r.total[0] - 1)]
        steps = " to ".join(percent(one) for one in r.per_step)
        rows.append([r.case.name, *map(micro, shown), percent(r.spread), *off, steps])
    head = [
        *("network", *OUR_STAGES.values(), *THEIR_STAGES.values(), f"{AGAIN + 1} such runs differ by"),
        *("cycle against detailed", "with synchronization", "single steps, with it"),
    ]
    paths = [
        [r.case.name, *(micro(seconds) for seconds in r.path.values()), f"{r.blocked:,}"] for r in results
    ]
    return [
        *table(head, rows),
        "The critical path of their detailed model, us, summed over all steps:",
        "",
        *table(["network", *results[0].path, "blocked messages"], paths),
    ]


def speed_table(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Both sides' times."""
    rows = []
    for name, t in found.items():
        times = [
            t[key]
            for key in ("theirs simple", "theirs detailed", "theirs as shipped", "theirs build and load")
        ]
        mine = [t[f"ours {level}"] for level in ("analytic", "reserved", "cycle")]
        build = t["ours place and build"]
        rows.append(
            [
                name,
                *(f"{seconds * 1e3:,.2f}" for seconds in (*times, *mine, build)),
                f"{times[0] / mine[0]:.0f}x",
                *(f"{times[1] / one:.0f}x" for one in mine[1:]),
                f"{t['theirs MB']:,.0f}",
                f"{t['ours MB']:,.0f} ({t['ours idle MB']:,.0f})",
            ]
        )
    head = [
        *(
            "network",
            "SANA-FE simple, ms",
            "detailed, ms",
            "(detailed, 1,024 input units a core, ms)",
            "(build and load, ms)",
        ),
        *("ours analytic, ms", "reserved, ms", "cycle, ms", "(place and build, ms)", "simple : analytic"),
        *("detailed : reserved", "detailed : cycle", "peak memory SANA-FE, MB", "ours, MB (after imports)"),
    ]
    return table(head, rows)


def report(
    results: Sequence[Compared],
    speed: Mapping[str, Mapping[str, float]],
    numbers: Sequence[tuple[str, float, float]],
    about: str,
) -> str:
    """The whole page."""
    wrong = [row for row in numbers if apart(row[1], row[2]) > NINE_DIGITS]
    lines = [
        "# Results of `python -m benchmarks.sanafe`",
        "",
        f"{about}; SANA-FE {VERSION}; {datetime.date.today().isoformat()}. Chip `{CHIP}`.",
        "",
        f"Numbers of SANA-FE's own `loihi.yaml`, as pip installs it, against our chip file: {len(numbers)} "
        f"compared, {len(wrong)} differ.",
        *(f"- {name}: theirs {theirs:g}, ours {mine:g}" for name, theirs, mine in wrong),
        "",
        "## 8 Against SANA-FE",
        "",
        COMPARED,
        *equality(results),
        DIFFERENCES,
        STAGES,
        *stages_table(results),
        *([SPEED, *speed_table(speed)] if speed else []),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sanafe", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"of {', '.join(CASES)}; default all")
    parser.add_argument("--sanafe-python", help="the Python of the environment with SANA-FE")
    parser.add_argument("--rounds", type=int, default=7, help="how often speed is measured")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(peak(options.memory, options.idle))
        return 0
    python = interpreter(options.sanafe_python)
    if python is None:
        print(HOW_TO, file=sys.stderr)
        return 1
    about = f"{os.cpu_count()} CPUs: {machine()}"
    results = []
    for name in options.names or CASES:
        print(f"{name} ...", file=sys.stderr)
        results.append(compared(CASES[name](), python))
    speed = {r.case.name: timed(r.case, python, options.rounds) for r in results if r.case.name in TIMED}
    text = report(results, speed, facts(python, load_chip(CHIP)), about)
    if not options.names:
        RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if all(r.is_equal for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
