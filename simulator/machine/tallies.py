"""What is counted on the machine, and how it becomes the result of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.program import KINDS, MachineProgram, Sends
from snncc.simulator.machine.run_kernel import Results, Sent, arrive
from snncc.simulator.machine.step_kernel import Tally
from snncc.simulator.timing import BINS, Timing

Ints = NDArray[np.int64]


def sent_of(sends: Sends) -> Sent:
    """*sends* for kernels."""
    return Sent(sends.first, sends.root, sends.base, sends.service)


def tally_of(stations: int) -> Tally:
    """Counts, all zero."""
    busy, stalled, messages, deepest = (np.zeros(stations, np.int64) for _ in range(4))
    return Tally(busy, stalled, messages, deepest, np.zeros((stations, BINS), np.int64))


def results_of(program: MachineProgram, plan: Calendar, senders: int) -> Results:
    """Counts, all zero, of *senders* neurons or classes."""
    sizes = plan.steps, program.wiring.units, program.wiring.units, senders
    return Results(*(np.zeros(size, np.int64) for size in sizes))


def timing_of(
    program: MachineProgram,
    plan: Calendar,
    sends: Sends,
    updates: Ints,
    tally: Tally,
    out: Results,
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
    return Timing(out.steps, program.barrier, program.stations.names, *tally, events)
