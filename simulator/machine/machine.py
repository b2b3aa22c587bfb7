"""Running the trains of one sample on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from snncc.mapping.schedule import checked_trains
from snncc.simulator.firing import Firing, firing_of_train
from snncc.simulator.machine.blocked_kernel import Moment
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.program import KINDS, MachineProgram
from snncc.simulator.machine.run_kernel import (
    DIGITS,
    Results,
    Sent,
    Sweeps,
    Times,
    arrive,
    carry,
    count_steps,
    most_of,
    run_steps,
)
from snncc.simulator.machine.step_kernel import NEVER, Log, Records, Step, Tally, Wiring
from snncc.simulator.machine.traffic import Lists, lists_of, sweeps_of, updated
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
    lists = lists_of(program, firings)
    touches = updated(program, lists, firings)
    plan, chip, stations = lists.plan, program.placement.chip, program.stations.size
    tally = tally_of(stations)
    kept = Log(*(np.zeros(size, np.int64) for size in (1, log, log, log, log)))
    sizes = plan.steps, program.wiring.units, program.wiring.units, program.neurons
    out = Results(*(np.zeros(n, np.int64) for n in sizes))
    barrier = chip.barrier_time(program.placement.tiles)
    updates = plan.visits if touches is None else touches.updates
    if level is Level.ANALYTIC:
        count_time(program, lists, updates, tally, out)
    else:
        sweeps = sweeps_of(program, lists, touches)
        step, records = room_for(program, sweeps)
        moment, digits = moment_of(program.wiring), np.zeros(DIGITS, np.int64)
        code, sent = int(level is Level.RESERVED), sent_of(program)
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
    timing = timing_of(program, plan, updates, tally, out, barrier)
    return timing, Happenings(*(a[: kept.used[0]] for a in kept[1:]))


def count_time(program: MachineProgram, lists: Lists, updates: Ints, tally: Tally, out: Results) -> None:
    """The analytic level: the longest work of any unit in each step."""
    plan, cores, sent = lists.plan, program.stations.cores, sent_of(program)
    spikes, messages = np.zeros_like(plan.visits), np.zeros_like(plan.visits)
    work = np.zeros((plan.steps, program.stations.receivers), np.int64)
    frames = lists.last, lists.address, plan.step, plan.offset
    count_steps(*frames, plan.senders, program.arrivals, spikes, messages, work, out.fired)
    times = times_of(program)
    busy = plan.visits * times.access + updates * times.update + spikes * times.spike + messages * times.send
    busy[:, -1] = plan.lead + messages[:, -1] * times.port
    out.steps[:] = np.maximum(busy.max(axis=1), work.max(axis=1))
    out.spikes[:], out.sent[:] = spikes.sum(axis=0), messages.sum(axis=0)
    tally.busy[: cores + 1] = busy.sum(axis=0)
    uses = np.zeros(len(program.wiring.station), np.int64)
    carry(program.wiring, sent, out.fired, uses, tally.messages)


def times_of(program: MachineProgram) -> Times:
    """The times of the chip's neuron units."""
    chip = program.placement.chip
    costs = chip.operations
    return Times(
        *(costs.access.time, costs.update.time, costs.spike.time, costs.message_out.time),
        chip.port.event.time,
    )


def sent_of(program: MachineProgram) -> Sent:
    """The sends of *program* for kernels."""
    sends = program.sends
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
    program: MachineProgram, plan: Calendar, updates: Ints, tally: Tally, out: Results, barrier: int
) -> Timing:
    """The result of a run."""
    sends, units, cores = program.sends, program.stations.cores + 1, program.stations.cores
    is_core = np.arange(units) < cores
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
    events = {
        "access": plan.visits.sum(axis=0),
        "update": updates.sum(axis=0),
        "spike": out.spikes * is_core,
        "message_out": out.sent * is_core,
        "message_in": arrived,
        "port": out.sent * ~is_core,
        **dict.fromkeys(KINDS, np.zeros(units, np.int64)),
        **dict(zip(KINDS, synapses, strict=False)),
        "host": ~is_core * plan.macs.sum(),
    }
    return Timing(out.steps, barrier, program.stations.names, *tally, events)
