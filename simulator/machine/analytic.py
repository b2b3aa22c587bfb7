"""The analytic level: what a run takes if nothing waits for anything else, from counts of spikes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.firing import Firing, StreamFiring
from snncc.simulator.jit import kernel
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.classes import Classes, classes_of, table_of
from snncc.simulator.machine.ledger import counters_of
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.machine.tallies import timing_of
from snncc.simulator.machine.traffic import calendar, updated
from snncc.simulator.memo import once
from snncc.simulator.timing import Timing

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """What spikes of each class cost.

    Tables of busy times have a column for each of the *stations* that may work: *units* neuron units, then
    what takes messages. A spike of class c takes ``cost[e]`` of column ``column[e]``, for e in
    ``first[c] : first[c + 1]``; *first* is by population, c counted from its own first.
    """

    classes: Classes
    stations: Ints
    units: int
    first: Mapping[str, Ints]
    column: Ints
    cost: Ints
    idle: dict[int, Ints]
    """Busy times without spikes by the number of steps, where all that is visited is updated; when needed."""


@once
def accounts_of(program: MachineProgram) -> Accounts:
    """The accounts of *program*."""
    stations, classes, times = program.stations, classes_of(program), program.times
    sends, units, messages = classes.sends, classes.unit, classes.messages
    is_port = units == stations.cores
    firing = (times.spike + messages * times.send) * times.slowdown[units]
    spent = np.where(is_port, messages * times.port, firing)
    takes = sends.core.astype(np.int64) + stations.size - stations.receivers
    sweeping = np.unique([stations.cores, *(part.core for part in program.placement.parts)])
    used = np.concatenate([sweeping, np.unique(takes)])
    arrivals = sends.base[sends.first]  # the class's own cost goes before them
    first = arrivals + np.arange(classes.count + 1)
    return Accounts(
        classes=classes,
        stations=used,
        units=len(sweeping),
        first={name: first[own.start : own.stop + 1] for name, own in classes.own.items()},
        column=np.insert(np.searchsorted(used, takes), arrivals[:-1], np.searchsorted(used, units)),
        cost=np.insert(sends.service, arrivals[:-1], spent),
        idle={},
    )


def count_firings(program: MachineProgram, firings: Mapping[str, Firing]) -> tuple[Timing, Ints]:
    """Time and counts of one sample, and how often each class fired."""
    plan = calendar(program, firings)
    touches = updated(program, plan, firings)
    updates = plan.visits if touches is None else touches.updates
    accounts = accounts_of(program)
    busy = idle_of(program, accounts, plan, updates)
    fired, steps = np.zeros(accounts.classes.count, np.int64), np.zeros(plan.steps, np.int64)
    count_spikes(accounts, plan, firings, busy, fired)
    counters = counters_of(program, plan, updates, fired)
    settle(busy, accounts.stations, accounts.units, steps, counters.busy)
    return timing_of(program, steps, counters), fired


def count_spikes(
    accounts: Accounts, plan: Calendar, firings: Mapping[str, Firing], busy: Ints, fired: Ints
) -> None:
    """Add what spikes take to *busy* [steps, columns], and count them by class (*fired*)."""
    room = np.zeros_like(fired)
    for name, own in accounts.classes.own.items():
        firing, steps = firings[name], plan.of[name]
        spent = accounts.first[name], accounts.column, accounts.cost, busy, room[own], fired[own]
        if isinstance(firing, StreamFiring):
            stream = firing.stream
            table = table_of(accounts.classes, name, stream.grid)
            spend(stream.events, stream.starts, stream.timesteps, table, steps, *spent)
        else:
            table = accounts.classes.of[name].reshape(1, -1)
            spend(firing.address, firing.first, firing.length, table, steps, *spent)


def idle_of(program: MachineProgram, accounts: Accounts, plan: Calendar, updates: Ints) -> Ints:
    """The busy times [steps, columns] of a run without spikes."""
    if updates is plan.visits and plan.steps in accounts.idle:
        return accounts.idle[plan.steps].copy()
    times, units = program.times, accounts.stations[: accounts.units]
    busy = np.zeros((plan.steps, len(accounts.stations)), np.int64)
    swept = plan.visits[:, units] * times.access + updates[:, units] * times.update
    busy[:, : len(units)] = swept * times.slowdown[units]
    busy[:, len(units) - 1] = plan.lead  # the port comes last
    if updates is plan.visits:
        accounts.idle[plan.steps] = busy.copy()
    return busy


@kernel
def spend(
    events: Any,
    starts: Any,
    frames: int,
    table: Any,
    steps: Any,
    first: Any,
    column: Any,
    cost: Any,
    busy: Any,
    room: Any,
    fired: Any,
) -> None:
    """Add what the spikes of one population take to *busy* [steps, columns], and count them by class.

    Row y of frame f ends at ``starts[f * rows + y + 1]`` of *events*, which have their classes in
    ``table[y]``; one frame may stand for all *steps*. *room* [classes] is zeros before and after.
    """
    row = 0
    for frame in range(len(steps)):
        if frame >= frames:
            row = 0
        if len(room) == 1:
            room[0] = starts[row + len(table)] - starts[row]
            row += len(table)
        else:
            for y in range(len(table)):
                for k in range(starts[row], starts[row + 1]):
                    room[table[y, events[k]]] += 1
                row += 1
        line = busy[steps[frame]]
        for c in range(len(room)):
            spikes = room[c]
            if spikes:
                room[c] = 0
                fired[c] += spikes
                for e in range(first[c], first[c + 1]):
                    line[column[e]] += spikes * cost[e]


@kernel
def settle(busy: Any, stations: Any, units: int, steps: Any, worked: Any) -> None:
    """The longest of the *busy* times [steps, columns] of each step; sums by station of the first *units*."""
    for s in range(len(busy)):
        longest = 0
        for c in range(busy.shape[1]):
            longest = max(longest, busy[s, c])
        steps[s] = longest
        for c in range(units):
            worked[stations[c]] += busy[s, c]
