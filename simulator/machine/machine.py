"""Running the trains of one sample on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from snncc.mapping.schedule import checked_trains
from snncc.simulator.firing import Firing, firing_of_train
from snncc.simulator.machine.analytic import count_firings
from snncc.simulator.machine.blocked_kernel import Moment
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.classes import add_up, classes_of
from snncc.simulator.machine.ledger import counters_of
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.machine.reserved_kernel import Paths, desk_of, paths_of, run_reserved
from snncc.simulator.machine.run_kernel import Results, Sent, most_of, run_steps
from snncc.simulator.machine.step_kernel import NEVER, Log, Records, Step, Tally, Wiring
from snncc.simulator.machine.tallies import sent_of, tally_of, timing_of
from snncc.simulator.machine.touch import Touches
from snncc.simulator.machine.traffic import calendar, lists_of, sweeps_of, updated
from snncc.simulator.memo import once
from snncc.simulator.timing import Timing

Ints = NDArray[np.int64]


class Level(StrEnum):
    """How much of the machine is followed (MACHINE.md, 5)."""

    ANALYTIC = "analytic"
    CYCLE = "cycle"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True, eq=False)
class Happenings:
    """What each station but the neuron units did: *station* (its rank), *time*, *length* [n].

    *arrival* is the number of the arrival in the program's sends that it belongs to.
    """

    station: Ints
    time: Ints
    length: Ints
    arrival: Ints


def run_machine(
    program: MachineProgram,
    trains: Mapping[str, NDArray[np.generic]],
    level: Level = Level.CYCLE,
    *,
    log: int = 0,
) -> tuple[Timing, Happenings]:
    """Time and counts of one sample; *trains* [T, ticks, size] of each population that sends.

    At most *log* happenings are kept. Raises `BadInput`.
    """
    checked = checked_trains(program.placement.network, trains)
    return run_firings(program, {name: firing_of_train(t) for name, t in checked.items()}, level, log=log)


def run_firings(
    program: MachineProgram, firings: Mapping[str, Firing], level: Level = Level.CYCLE, *, log: int = 0
) -> tuple[Timing, Happenings]:
    """As `run_machine`, from lists of spikes."""
    kept = log_of(log)
    timing, _ = timed(program, firings, level, kept)
    return timing, Happenings(*(a[: kept.used[0]] for a in kept[1:]))


def log_of(most: int) -> Log:
    """Memory for *most* happenings."""
    return Log(*(np.zeros(size, np.int64) for size in (1, most, most, most, most)))


def timed(
    program: MachineProgram, firings: Mapping[str, Firing], level: Level, kept: Log | None = None
) -> tuple[Timing, Ints]:
    """Time and counts of one sample, and how often each class fired; what happens is *kept*."""
    if level is Level.ANALYTIC:
        return count_firings(program, firings)
    if level is Level.RESERVED:
        return reserve(program, firings)
    return follow(program, firings, log_of(0) if kept is None else kept)


def follow(program: MachineProgram, firings: Mapping[str, Firing], kept: Log) -> tuple[Timing, Ints]:
    """As `timed` where every message is followed."""
    plan = calendar(program, firings)
    touches = updated(program, plan, firings)
    sweeps = sweeps_of(program, lists_of(program, plan, firings), touches)
    wiring, stations, sent = program.wiring, program.stations.size, sent_of(program.sends)
    most, longest = most_of(sweeps.first[:: wiring.units], sweeps.neuron, sent.first, program.stays)
    tally, out = tally_of(stations), results_of(plan, wiring.units, program.neurons)
    run_steps(
        *(wiring, sweeps, program.times, sent, program.barrier),
        *(step_for(wiring, sent, most), records_for(wiring, longest), moment_of(wiring)),
        tally_of(stations),
        tally,
        kept,
        out,
    )
    classes = classes_of(program)
    fired = np.zeros(classes.count, np.int64)
    add_up(out.fired, classes.numbers, fired)
    return closed(program, plan, touches, out._replace(fired=fired), tally), fired


def reserve(program: MachineProgram, firings: Mapping[str, Firing]) -> tuple[Timing, Ints]:
    """As `timed` where messages reserve their links: what a neuron sends depends on its class alone."""
    plan = calendar(program, firings)
    touches = updated(program, plan, firings)
    sweeps = sweeps_of(program, lists_of(program, plan, firings), touches)
    classes, wiring, paths = classes_of(program), program.wiring, ways_of(program)
    sweeps, sent = sweeps._replace(neuron=classes.numbers[sweeps.neuron]), sent_of(classes.sends)
    most, _ = most_of(
        sweeps.first[:: wiring.units], sweeps.neuron, sent.first, np.zeros(classes.count + 1, int)
    )
    out = results_of(plan, wiring.units, classes.count)
    desk = desk_of(wiring, paths, most)
    step = step_for(wiring, sent, most)._replace(time=desk.keys[0])
    run_reserved(
        *(wiring.units, wiring.receivers, plan.working, sweeps, program.times, sent, paths),
        *(step, desk, out),
    )
    return closed(program, plan, touches, out), out.fired


def closed(
    program: MachineProgram, plan: Calendar, touches: Touches | None, out: Results, tally: Tally | None = None
) -> Timing:
    """The result of a run in which classes fired as *out* says; *tally* as in `timing_of`."""
    updates = plan.visits if touches is None else touches.updates
    counters = counters_of(program, plan, updates, out.fired)
    counters.busy[: len(out.busy)] += out.busy
    return timing_of(program, out.steps, counters, tally)


def results_of(plan: Calendar, units: int, senders: int) -> Results:
    """Counts, all zero, of *senders* neurons or classes."""
    return Results(*(np.zeros(size, np.int64) for size in (plan.steps, units, senders)))


@once
def ways_of(program: MachineProgram) -> Paths:
    """The ways of all messages of *program*."""
    return paths_of(program.wiring, np.unique(program.sends.root))


def step_for(wiring: Wiring, sent: Sent, messages: int) -> Step:
    """Memory for a step of so many *messages*."""
    time, root, base = (np.zeros(messages, np.int64) for _ in range(3))
    first, end = np.zeros(wiring.units + 1, np.int64), np.zeros(wiring.units, np.int64)
    return Step(first, time, root, base, end, sent.service)


def records_for(wiring: Wiring, stays: int) -> Records:
    """Memory for a step whose messages go through queues so many times."""
    edges, nodes = len(wiring.before), len(wiring.station)
    start, fill, head = (np.zeros(edges, np.int64) for _ in range(3))
    arrival, node, base, gone = (np.zeros(max(stays, nodes), np.int64) for _ in range(4))
    return Records(start, fill, head, arrival, node, base, gone, np.zeros(nodes, np.int64))


def moment_of(wiring: Wiring) -> Moment:
    """Memory for the state of all stations."""
    stations, units, edges = len(wiring.interval), wiring.units, len(wiring.before)
    sizes = (stations, stations, stations, stations, stations, units, edges, stations, stations, 1)
    return Moment(*(np.full(size, NEVER) for size in sizes))
