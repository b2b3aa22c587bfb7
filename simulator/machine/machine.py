"""Running the trains of one sample on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from snncc.mapping.schedule import checked_trains
from snncc.simulator.firing import Firing, firing_of_train
from snncc.simulator.machine.analytic import accounts_of, count_time
from snncc.simulator.machine.blocked_kernel import Moment
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.program import KINDS, MachineProgram, Sends, times_of
from snncc.simulator.machine.run_kernel import (
    DIGITS,
    Results,
    Sent,
    Sweeps,
    arrive,
    carry,
    most_of,
    run_steps,
)
from snncc.simulator.machine.step_kernel import NEVER, Log, Records, Step, Tally, Wiring
from snncc.simulator.machine.traffic import calendar, lists_of, sweeps_of, updated
from snncc.simulator.timing import BINS, Timing

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
    plan = calendar(program, firings)
    touches = updated(program, plan, firings)
    chip, stations = program.placement.chip, program.stations.size
    tally = tally_of(stations)
    kept = Log(*(np.zeros(size, np.int64) for size in (1, log, log, log, log)))
    is_counted = level is Level.ANALYTIC
    sends = accounts_of(program).sends if is_counted else program.sends
    sizes = plan.steps, program.wiring.units, program.wiring.units, len(sends.first) - 1
    out = Results(*(np.zeros(n, np.int64) for n in sizes))
    barrier = chip.barrier_time(program.placement.tiles)
    updates = plan.visits if touches is None else touches.updates
    if is_counted:
        count_time(program, plan, firings, updates, tally, out)
        uses = np.zeros(len(program.wiring.station), np.int64)
        carry(program.wiring, sent_of(sends), out.fired, uses, tally.messages)
    else:
        sweeps = sweeps_of(program, lists_of(program, plan, firings), touches)
        step, records = room_for(program, sweeps)
        moment, digits = moment_of(program.wiring), np.zeros(DIGITS, np.int64)
        code, sent = int(level is Level.RESERVED), sent_of(sends)
        run_steps(
            code,
            program.wiring,
            sweeps,
            times_of(program),
            sent,
            digits,
            barrier,
            step,
            records,
            moment,
            tally_of(stations),
            tally,
            kept,
            out,
        )
    timing = timing_of(program, plan, sends, updates, tally, out, barrier)
    return timing, Happenings(*(a[: kept.used[0]] for a in kept[1:]))


def sent_of(sends: Sends) -> Sent:
    """*sends* for kernels."""
    return Sent(sends.first, sends.root, sends.base, sends.service)


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


def tally_of(stations: int) -> Tally:
    """Counts, all zero."""
    busy, stalled, messages, deepest = (np.zeros(stations, np.int64) for _ in range(4))
    return Tally(busy, stalled, messages, deepest, np.zeros((stations, BINS), np.int64))


def timing_of(
    program: MachineProgram,
    plan: Calendar,
    sends: Sends,
    updates: Ints,
    tally: Tally,
    out: Results,
    barrier: int,
) -> Timing:
    """The result of a run; *sends* is of what ``out.fired`` counts: neurons, or classes of them."""
    units, cores = program.stations.cores + 1, program.stations.cores
    arrived, synapses = np.zeros(units, np.int64), np.zeros((len(sends.synapses), units), np.int64)
    worked = tally.busy[-program.stations.receivers :]
    arrive(
        *(out.fired, sends.first, sends.base, sends.core, sends.service),
        *(sends.synapses, arrived, worked, synapses),
    )
    tally.messages[:units] = out.sent
    if program.stations.receivers > cores:
        tally.busy[cores] -= plan.lead.sum()
        tally.busy[-1] += plan.lead.sum()
    spikes, sent, port, host = out.spikes.copy(), out.sent.copy(), *np.zeros((2, units), np.int64)
    port[cores], host[cores] = sent[cores], plan.macs.sum()
    spikes[cores] = sent[cores] = 0
    events = {
        "access": plan.total.copy(),
        "update": plan.total.copy() if updates is plan.visits else updates.sum(axis=0),
        "spike": spikes,
        "message_out": sent,
        "message_in": arrived,
        "port": port,
        **dict.fromkeys(KINDS, np.zeros(units, np.int64)),
        **dict(zip(KINDS, synapses, strict=False)),
        "host": host,
    }
    return Timing(out.steps, barrier, program.stations.names, *tally, events)
