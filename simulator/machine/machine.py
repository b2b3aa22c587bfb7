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
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.machine.run_kernel import DIGITS, Sweeps, most_of, run_steps
from snncc.simulator.machine.step_kernel import NEVER, Log, Records, Step, Wiring
from snncc.simulator.machine.tallies import results_of, sent_of, tally_of, timing_of
from snncc.simulator.machine.traffic import calendar, lists_of, sweeps_of, updated
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
    kept = Log(*(np.zeros(size, np.int64) for size in (1, log, log, log, log)))
    if level is Level.ANALYTIC:
        timing, _ = count_firings(program, firings)
    else:
        timing = follow(program, firings, level, kept)
    return timing, Happenings(*(a[: kept.used[0]] for a in kept[1:]))


def follow(program: MachineProgram, firings: Mapping[str, Firing], level: Level, kept: Log) -> Timing:
    """Time and counts where every message is followed; what happens is *kept*."""
    plan = calendar(program, firings)
    touches = updated(program, plan, firings)
    sweeps = sweeps_of(program, lists_of(program, plan, firings), touches)
    stations, tally = program.stations.size, tally_of(program.stations.size)
    step, records = room_for(program, sweeps)
    out = results_of(program, plan, program.neurons)
    run_steps(
        int(level is Level.RESERVED),
        program.wiring,
        sweeps,
        program.times,
        sent_of(program.sends),
        np.zeros(DIGITS, np.int64),
        program.barrier,
        step,
        records,
        moment_of(program.wiring),
        tally_of(stations),
        tally,
        kept,
        out,
    )
    updates = plan.visits if touches is None else touches.updates
    return timing_of(program, plan, program.sends, updates, tally, out)


def room_for(program: MachineProgram, sweeps: Sweeps) -> tuple[Step, Records]:
    """Memory for the step with the most messages."""
    sends, wiring = program.sends, program.wiring
    most, longest = most_of(sweeps.first[:: wiring.units], sweeps.neuron, sends.first, program.stays)
    per_message, edges = np.zeros(most, np.int64), len(wiring.before)
    stay = [np.zeros(max(longest, len(wiring.station)), np.int64) for _ in range(4)]
    arrival, node, base, gone = stay
    return (
        Step(
            first=np.zeros(wiring.units + 1, np.int64),
            time=per_message,
            root=per_message.copy(),
            base=per_message.copy(),
            end=np.zeros(wiring.units, np.int64),
            service=sends.service,
        ),
        Records(
            start=np.zeros(edges, np.int64),
            fill=np.zeros(edges, np.int64),
            head=np.zeros(edges, np.int64),
            arrival=arrival,
            node=node,
            base=base,
            gone=gone,
            uses=np.zeros(len(wiring.station), np.int64),
        ),
    )


def moment_of(wiring: Wiring) -> Moment:
    """Memory for the state of all stations."""
    stations, units, edges = len(wiring.interval), wiring.units, len(wiring.before)
    sizes = (stations, stations, stations, stations, stations, units, edges, stations, stations, 1)
    return Moment(*(np.full(size, NEVER) for size in sizes))
