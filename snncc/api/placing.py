"""Programs on chips: placing a compiled graph, and keeping the placement in the program's folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snncc.api.profile import Profile
from snncc.backends.target import OwnPlacement, Target
from snncc.chips import Chip, Discipline, load_chip, parse_chip
from snncc.errors import BadFile, BadInput, UnknownName
from snncc.ir import SpikeGraph
from snncc.mapping import (
    DoesNotFitChip,
    Part,
    Placement,
    Schedule,
    map_network,
    network_of,
    usage,
)
from snncc.mapping.schedule import check_schedule
from snncc.reference import Run
from snncc.reference.inputs import Data

if TYPE_CHECKING:
    from snncc.simulator.firing import Firing
    from snncc.simulator.machine import ChipRun

DROPS = ("error", "count")
LONGEST = 1 << 40
"""Units of time in a period."""
TIMINGS = ("none", "analytic", "cycle", "reserved")

CHIP_FILE = "chip.toml"
PLACEMENT_FILE = "placement.json"


def runs_of(addresses: NDArray[np.int64]) -> list[list[int]]:
    """Ascending *addresses* as [first, last] of each run without gaps.

    >>> runs_of(np.array([0, 1, 2, 5, 7, 8]))
    [[0, 2], [5, 5], [7, 8]]
    """
    cuts = np.flatnonzero(np.diff(addresses) != 1) + 1
    return [[int(run[0]), int(run[-1])] for run in np.split(addresses, cuts) if len(run)]


def addresses_of(runs: list[list[int]], size: int) -> NDArray[np.int64]:
    """The addresses of *runs*; raises `ValueError` beyond a population of *size*."""
    for first, last in runs:
        if not 0 <= first <= last < size:
            raise ValueError(f"addresses {first}..{last} of {size}")
    return np.concatenate([np.arange(first, last + 1) for first, last in runs])


def write_placement(folder: Path, placement: Placement) -> None:
    """Write chip and placement into *folder*. Raises `BadInput` for a chip that no chip file describes."""
    chip = placement.chip
    if not chip.text or parse_chip(chip.text, chip.name) != chip:
        raise BadInput(
            f"{chip.name}: this chip was changed in Python, so no chip file describes it",
            hint="write a chip file (docs/chips.md) and load that",
        )
    (folder / CHIP_FILE).write_text(placement.chip.text, encoding="utf-8")
    document = {
        "chip": placement.chip.name,
        "schedule": placement.schedule.value,
        "parts": [
            {"population": part.population, "core": part.core, "runs": runs_of(part.addresses)}
            for part in placement.parts
        ],
    }
    (folder / PLACEMENT_FILE).write_text(json.dumps(document) + "\n", encoding="utf-8")


def on_chip(target: Target, graph: SpikeGraph) -> SpikeGraph:
    """What a chip runs of the compiled *graph*: the graph itself, unless its target has another."""
    return target.graph_on_chip(graph) if isinstance(target, OwnPlacement) else graph


def read_placement(folder: Path, graph: SpikeGraph) -> Placement:
    """The placement of *graph* (`on_chip`) in *folder*. Raises `BadFile` for whatever is wrong with it."""
    path = folder / PLACEMENT_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        chip = read_chip(folder, str(document["chip"]))
        network = network_of(graph)
        parts = tuple(part_of(one, network.populations) for one in document["parts"])
        schedule = Schedule(document["schedule"])
    except OSError as problem:
        raise BadFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as problem:
        raise BadFile(f"{path}: is damaged ({type(problem).__name__}: {problem})") from None
    placement = Placement(chip, network, parts, schedule)
    check_runs(graph, placement)
    over = [one for one in usage(placement) if one.is_over]
    if over:
        raise BadFile(f"{path}: breaks limits of {chip.name}: " + "; ".join(map(str, over)))
    return placement


def check_runs(graph: SpikeGraph, placement: Placement) -> None:
    """Raise `CannotLower` or `InvalidGraph` where *graph* cannot run on its chip."""
    if placement.chip.discipline is Discipline.EVENT:
        from snncc.simulator.event_check import check_events  # loads numba

        check_events(graph, placement)
    else:
        check_schedule(placement)


def read_chip(folder: Path, name: str) -> Chip:
    """The chip for which the program in *folder* was compiled."""
    return parse_chip((folder / CHIP_FILE).read_text(encoding="utf-8"), name, place=str(folder / CHIP_FILE))


def part_of(document: Mapping[str, Any], populations: Mapping[str, Any]) -> Part:
    """One part of a placement."""
    name, core = str(document["population"]), document["core"]
    if type(core) is not int:
        raise TypeError(f"core {core!r}")
    return Part(name, core, addresses_of(document["runs"], populations[name].size))


def chip_of(chip: str | Chip) -> Chip:
    """The chip that a user means. Raises `UnknownName`, `BadFile`."""
    if isinstance(chip, Chip):
        return chip
    if not isinstance(chip, str | Path):
        raise BadInput(f"a chip is a name, a path, or a Chip, not {chip!r}")
    return load_chip(chip)


def placed_by_target(
    target: OwnPlacement, graph: SpikeGraph, chip: Chip, options: Mapping[str, object]
) -> Placement:
    """The compiled *graph* on the cores of *chip* that its *target* has chosen.

    Raises `BadInput` for *options* of placing that are not None, `CannotLower`.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise BadInput(
            f"{' and '.join(given)}: this target chooses the core of each layer", hint="leave it out"
        )
    placement = target.place(graph, chip)
    over = [one for one in usage(placement) if one.is_over]
    if over:
        raise DoesNotFitChip(chip.name, over)
    check_runs(target.graph_on_chip(graph), placement)
    return placement


def placed(
    graph: SpikeGraph,
    chip: Chip,
    schedule: str | None,
    cores: int | None,
    profile: Profile | None,
    seed: int,
) -> Placement:
    """The compiled *graph* on *chip*. Raises `CannotLower` with every limit that it breaks."""
    if schedule is not None and schedule not in list(Schedule):
        raise UnknownName("schedule", str(schedule), list(Schedule))
    if type(seed) is not int or seed < 0:
        raise BadInput(f"a seed is a whole number, 0 or more, not {seed!r}")
    if cores is not None and type(cores) is not int:
        raise BadInput(f"cores must be a whole number, not {cores!r}")
    wanted = None if schedule is None else Schedule(schedule)
    network = network_of(graph)
    traffic, measure = (None, None) if profile is None else (profile.traffic, profile.measure)
    placement = map_network(
        network, chip, schedule=wanted, cores=cores, traffic=traffic, seed=seed, measure=measure
    )
    even = placement if profile is None else map_network(network, chip, schedule=wanted, cores=cores)
    used = len({part.core for part in even.parts})
    if cores is not None and used != cores:
        raise BadInput(
            f"{chip.name}: the network could be spread over {used} cores within all limits, not over {cores}",
            hint="ask for that number, or for none",
        )
    check_runs(graph, placement)
    return placement


def timing_level(timing: str, placement: Placement | None) -> str:
    """The level of `snncc.simulator.machine`; '' for none. Raises `UnknownName`, `BadInput`."""
    if timing not in TIMINGS:
        raise UnknownName("timing", str(timing), TIMINGS)
    if timing != "none" and placement is None:
        raise BadInput(
            f"timing {timing!r} needs a chip, and this program was compiled for none",
            hint="compile with chip='mesh' (--chip mesh), or with a chip file of your own",
        )
    return "" if timing == "none" else timing


def senders(target: Target, placement: Placement | None, level: str) -> list[str]:
    """The populations whose trains the machine needs, unless they are made of what is recorded."""
    if placement is None or not level or isinstance(target, OwnPlacement):
        return []
    return placement.network.senders


def recorded(target: Target, graph: SpikeGraph, record: Collection[str], level: str) -> list[str]:
    """What a run records: *record*, and what the trains on a chip are made of."""
    is_own = bool(level) and isinstance(target, OwnPlacement)
    return list(dict.fromkeys([*record, *(node.name for node in graph.neurons if is_own)]))


def firings_of(target: Target, graph: SpikeGraph, x: Data, run: Run) -> Mapping[str, Sequence[Firing]]:
    """What *run* of the compiled *graph* on *x* sent, by the populations on the chip, sample by sample."""
    from snncc.simulator import Run as Simulated  # loads numba
    from snncc.simulator.firing import firing_of_counts

    if isinstance(target, OwnPlacement):
        trains = target.trains_on_chip(graph, x, run)
        return {name: [firing_of_counts(t[:, b]) for b in range(run.batch)] for name, t in trains.items()}
    assert isinstance(run, Simulated)
    return run.firings


@dataclass(frozen=True, slots=True)
class Clock:
    """How a program is timed on its chip: *level* ('' for not at all), and for self-timed chips two more.

    A timestep begins every *period* (units of the chip's time) at the earliest; *may_drop*: events may be
    lost at full queues.
    """

    level: str
    period: int
    may_drop: bool


def clock_of(timing: str, period: Any, drops: str, placement: Placement | None) -> Clock:
    """How a user wants a program to be timed. Raises `UnknownName`, `BadInput`."""
    level = timing_level(timing, placement)
    if drops not in DROPS:
        raise UnknownName("treatment of drops", str(drops), DROPS)
    if not isinstance(period, int | float) or not 0 <= period < float("inf"):
        raise BadInput(f"a period is a number of seconds, 0 or more, not {period!r}")
    self_timed = placement is not None and placement.chip.discipline is Discipline.EVENT
    if not (self_timed and level) and (period or drops != "error"):
        raise BadInput(
            "period and drops are for a timing on a self-timed chip, whose discipline is 'event'",
            hint="timing='cycle', --timing cycle",
        )
    if level and self_timed and level != "cycle":
        raise BadInput(f"a self-timed chip has no level {level!r}", hint="timing='cycle', --timing cycle")
    return Clock(level, units_of(period, placement), drops == "count")


def units_of(period: float, placement: Placement | None) -> int:
    """*period* in units of the chip's time. Raises `BadInput` where it is not a whole number of them."""
    if placement is None or not period:
        return 0
    units = period / placement.chip.time_unit
    if units > LONGEST or abs(units - round(units)) > 1e-6 * units or round(units) < 1:
        raise BadInput(
            f"a period of {period:g} s is {units:.6g} x {placement.chip.time_unit:g} s, the unit of "
            f"{placement.chip.name}: it must be a whole number of them, at most {LONGEST}"
        )
    return round(units)


def timed(
    graph: SpikeGraph,
    placement: Placement,
    firings: Mapping[str, Sequence[Firing]],
    timesteps: int,
    clock: Clock,
    threads: int | None,
) -> ChipRun:
    """Every sample of *firings* on the machine; *graph* is `on_chip`."""
    from snncc.simulator.machine import Level, run_chip, run_self_timed

    if placement.chip.discipline is Discipline.EVENT:
        period, may_drop = clock.period, clock.may_drop
        return run_self_timed(
            *(graph, placement, firings, timesteps), period=period, may_drop=may_drop, threads=threads
        )
    return run_chip(placement, firings, timesteps, Level(clock.level), threads=threads)


def together(parts: Sequence[ChipRun]) -> ChipRun:
    """The runs of all batches as one."""
    return replace(
        parts[0],
        timings=tuple(timing for part in parts for timing in part.timings),
        energies=tuple(energy for part in parts for energy in part.energies),
        differing=tuple(sample for part in parts for sample in part.differing),
        dropped=sum(part.dropped for part in parts),
    )
