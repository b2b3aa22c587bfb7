"""What is counted on the machine, and how it becomes the result of a run."""

from __future__ import annotations

import numpy as np

from snncc.simulator.machine.ledger import Counters
from snncc.simulator.machine.program import MachineProgram, Sends
from snncc.simulator.machine.run_kernel import Sent
from snncc.simulator.machine.step_kernel import Tally
from snncc.simulator.memo import once
from snncc.simulator.timing import BINS, Ints, Timing


def sent_of(sends: Sends) -> Sent:
    """*sends* for kernels."""
    return Sent(sends.first, sends.root, sends.base, sends.service)


def tally_of(stations: int) -> Tally:
    """Counts, all zero."""
    busy, stalled, messages, deepest = (np.zeros(stations, np.int64) for _ in range(4))
    return Tally(busy, stalled, messages, deepest, np.zeros((stations, BINS), np.int64))


@once
def calm(program: MachineProgram) -> Tally:
    """What queues do that are not followed: nothing, and nobody can write into it."""
    return Tally(*(np.broadcast_to(np.int64(0), each.shape) for each in tally_of(program.stations.size)))


def timing_of(program: MachineProgram, steps: Ints, counters: Counters, tally: Tally | None = None) -> Timing:
    """The result of a run: what its spikes caused, and what queues did where they were followed."""
    units = program.wiring.units
    if tally is None:
        tally = calm(program)
    else:
        counters.messages[units:] = tally.messages[units:]
    queues = counters.messages, tally.deepest, tally.depths
    names = program.stations.names
    return Timing(steps, program.barrier, names, counters.busy, tally.stalled, *queues, counters.events)
