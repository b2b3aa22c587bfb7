"""How long a timestep can take at most: runs whose times 64 bits may not hold are refused at once."""

from __future__ import annotations

import numpy as np

from snncc.mapping.placement import Placement
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.memo import once
from snncc.simulator.timing import check_time


@once
def longest_timestep(program: MachineProgram) -> int:
    """The time of everything that can happen in a timestep, one after another: nothing ever takes longer.

    Every neuron is visited, updated, and fires in each of its ticks; whatever waits, waits for one of these.
    """
    sends, wiring, times = program.sends, program.wiring, program.times
    populations = program.placement.network.populations.values()
    ticks = np.concatenate([np.full(p.size, float(p.steps)) for p in populations])
    messages, stays = np.diff(sends.first), np.diff(program.stays)
    link = float((wiring.interval + wiring.latency).max(initial=0)) + wiring.credit
    each = times.access + times.update + times.spike + messages * float(max(times.send, times.port))
    each = each * float(times.slowdown.max())
    serving = float(sends.service.astype(np.float64) @ ticks[sends.sender])
    return int(ticks @ (each + stays * link) + serving)


def check_run(program: MachineProgram, timesteps: int, steps: int, host: int) -> None:
    """Raise `CannotLower` where a run in so many *steps* may take too long; *host*: what the host takes."""
    total = timesteps * longest_timestep(program) + steps * program.barrier + host
    check_time(program.placement.chip, total)


def check_event_times(placement: Placement, fan_out: int, biased: int, period: int, timesteps: int) -> None:
    """Raise `CannotLower` where one message, or the last timestep, would be too late for the clock."""
    o = placement.chip.operations
    synapse = max((cost.time for cost in o.synapse.values()), default=0)
    own = o.message_in.time + fan_out * synapse + biased * (o.access.time + o.update.time)
    slow = max(core.slowdown for core in placement.chip.cores)
    check_time(placement.chip, 2 * slow * (own + o.spike.time + o.message_out.time))
    check_time(placement.chip, period * (timesteps - 1))
