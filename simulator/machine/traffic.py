"""From what the populations send in one sample to what neuron units do in each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Touch
from snncc.ir.arrays import Array
from snncc.simulator.firing import Firing
from snncc.simulator.jit import kernel
from snncc.simulator.machine.calendar import Calendar, calendar_of
from snncc.simulator.machine.longest import check_run
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.machine.run_kernel import Sweeps
from snncc.simulator.machine.touch import ALL, Touches, touches_of

Ints = NDArray[np.int64]


def calendar(program: MachineProgram, firings: Mapping[str, Firing]) -> Calendar:
    """The calendar of a run of *program* with *firings*; kept for the next sample. Raises `CannotLower`."""
    name, one = next(iter(firings.items()))
    timesteps = one.length // program.placement.network.populations[name].ticks
    if timesteps not in program.calendars:
        plan = calendar_of(program.placement, program.offsets, timesteps)
        check_run(program, timesteps, plan.steps, int(plan.lead.sum()))
        program.calendars[timesteps] = plan
    return program.calendars[timesteps]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """The firings of all senders one after another: frame f ends at ``last[f]`` of *address*."""

    plan: Calendar
    last: Ints
    address: Array


def lists_of(program: MachineProgram, plan: Calendar, firings: Mapping[str, Firing]) -> Lists:
    """*firings*, in the order of the network's senders."""
    senders = program.placement.network.senders
    lengths = np.cumsum([0, *(len(firings[name].address) for name in senders)])
    return Lists(
        plan=plan,
        last=np.concatenate([firings[name].first[1:] + n for name, n in zip(senders, lengths, strict=False)]),
        address=np.concatenate([firings[name].address for name in senders]),
    )


def sweeps_of(program: MachineProgram, lists: Lists, touches: Touches | None) -> Sweeps:
    """What neuron units do in each step; *touches* None: all neurons are updated."""
    plan, last, address = lists.plan, lists.last, lists.address
    units = program.stations.cores + 1
    visit, count, neuron = (np.empty(len(address), np.int32) for _ in range(3))
    first, at = np.empty(plan.steps * units + 1, np.int64), np.zeros_like(plan.begin)
    known = touches or Touches(np.zeros(0, np.int32), np.zeros(0, np.int64), plan.begin, plan.visits)
    count_spikes(last, address, plan.step, plan.offset, plan.part, at)
    line_up(plan.order, plan.unit, at, first, units)
    place_spikes(
        last,
        address,
        plan.step,
        plan.offset,
        plan.part,
        plan.local,
        plan.begin,
        touches is not None,
        known.running,
        known.rows,
        known.before,
        at,
        visit,
        count,
        neuron,
    )
    return Sweeps(first, visit, count, neuron, plan.visits.reshape(-1), known.updates.reshape(-1), plan.lead)


def updated(program: MachineProgram, plan: Calendar, firings: Mapping[str, Firing]) -> Touches | None:
    """Which neurons are updated, where that is not all of them."""
    if program.placement.chip.touch is not Touch.TOUCHED:
        return None
    return touches_of(program, plan, firings)


@kernel
def count_spikes(last: Ints, address: Array, step: Ints, offset: Ints, part: Array, counts: Ints) -> None:
    """Count the spikes of each part in each step, [steps, parts]; frame f ends at ``last[f]``."""
    k = 0
    for frame in range(len(last)):
        s, base = step[frame], offset[frame]
        while k < last[frame]:
            counts[s, part[base + address[k]]] += 1
            k += 1


@kernel
def line_up(order: Ints, unit: Ints, at: Ints, first: Ints, units: int) -> None:
    """Turn the counts *at* [steps, parts] into where they begin, by step, unit and order of the parts."""
    place, row = 0, 0
    for s in range(len(at)):
        u = 0
        for k in order:
            while u <= unit[k]:
                first[row + u] = place
                u += 1
            count = at[s, k]
            at[s, k] = place
            place += count
        while u < units:
            first[row + u] = place
            u += 1
        row += units
    first[row] = place


@kernel
def place_spikes(
    last: Ints,
    address: Array,
    step: Ints,
    offset: Ints,
    part: Array,
    local: Array,
    begin: Ints,
    is_touched: bool,
    running: NDArray[np.int32],
    rows: Ints,
    before: Ints,
    at: Ints,
    visit: Array,
    count: Array,
    neuron: Array,
) -> None:
    """Put the spikes of each step and unit side by side.

    *visit* gets which visit of the sweep fires, *count* how many updates there were up to it: as many as
    visits, or, if *is_touched*, *before* [steps, parts] and *running* from ``rows[frame]`` on together.
    """
    k = 0
    for frame in range(len(last)):
        s, base, low = step[frame], offset[frame], k
        while k < last[frame]:
            number = base + address[k]
            p = part[number]
            slot = at[s, p]
            at[s, p] = slot + 1
            visit[slot], neuron[slot] = begin[s, p] + local[number], number
            count[slot] = visit[slot] + 1
            if is_touched:
                row = rows[frame]
                so_far = local[number] + 1 if row == ALL else 0
                count[slot] = before[s, p] + (so_far if row <= ALL else running[row + k - low])
            k += 1
