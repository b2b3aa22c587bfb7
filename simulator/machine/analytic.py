"""The analytic level: what a run takes if nothing waits for anything else, from counts of spikes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.firing import Firing, StreamFiring
from snncc.simulator.jit import kernel
from snncc.simulator.listing import Layout, Listing
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.classes import Classes, Numbers, classes_of, table_of
from snncc.simulator.machine.ledger import counters_of
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.machine.tallies import timing_of
from snncc.simulator.machine.traffic import calendar, updated
from snncc.simulator.memo import once
from snncc.simulator.stream import Grid
from snncc.simulator.timing import Timing

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """What spikes of each class cost.

    Tables of busy times have a column for each of the *stations* that may work: *units* neuron units, then
    what takes messages. A spike of class c takes ``cost[e]`` of column ``column[e]``, for e in
    ``first[c] : first[c + 1]``. *senders*: the populations, and which classes are theirs.
    """

    classes: Classes
    stations: Ints
    units: int
    first: Ints
    column: Ints
    cost: Ints
    senders: Sequence[tuple[str, int, int]]
    idle: dict[int, Ints]
    """Busy times without spikes by the number of steps, where all that is visited is updated; when needed."""
    pages: dict[int, tuple[tuple[int, ...], Layout, Page]]
    """By the number of steps the one used last (`page_of`)."""
    tables: dict[tuple[Grid, ...], Numbers]
    """The class tables of all senders one behind the other, by their grids."""


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
    return Accounts(
        classes=classes,
        stations=used,
        units=len(sweeping),
        first=arrivals + np.arange(classes.count + 1),
        column=np.insert(np.searchsorted(used, takes), arrivals[:-1], np.searchsorted(used, units)),
        cost=np.insert(sends.service, arrivals[:-1], spent),
        senders=[(name, own.start, own.stop) for name, own in classes.own.items()],
        idle={},
        pages={},
        tables={},
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
    room, classes = np.zeros(len(fired), np.int64), accounts.classes
    spent = accounts.first, accounts.column, accounts.cost, busy, room, fired
    whole = whole_listing(accounts, firings)
    if whole is not None:
        listing, sample, order = whole
        spend_listed(listing.events, listing.starts, sample, *page_of(accounts, plan, listing, order), *spent)
        return
    for name, low, high in accounts.senders:
        firing, own = firings[name], (plan.of[name], low, high, *spent)
        if isinstance(firing, StreamFiring):
            stream = firing.stream
            table = table_of(classes, name, stream.grid)
            spend(stream.events, stream.starts, stream.timesteps, table, *own)
        else:
            spend(firing.address, firing.first, firing.length, classes.of[name].reshape(1, -1), *own)


def whole_listing(
    accounts: Accounts, firings: Mapping[str, Firing]
) -> tuple[Listing, int, tuple[int, ...]] | None:
    """Of which listing all senders have one sample, which one, and as which of its nodes; None: of none."""
    one, order = None, []
    for name, _, _ in accounts.senders:
        firing = firings[name]
        if not isinstance(firing, StreamFiring):
            return None
        if one is None:
            one = firing
        elif firing.listing is not one.listing or firing.sample != one.sample:
            return None
        order.append(firing.k)
    return None if one is None else (one.listing, one.sample, tuple(order))


class Page(NamedTuple):
    """What `spend_listed` must know of the senders: numbers, class tables, steps, one behind the other."""

    numbers: Ints
    tables: Numbers
    steps: Ints


def page_of(accounts: Accounts, plan: Calendar, listing: Listing, order: tuple[int, ...]) -> Page:
    """The page for a *listing* whose nodes are the senders in this *order*; kept for the next sample."""
    known, layout = accounts.pages.get(plan.steps), listing.layout
    if known is not None and known[0] == order and (known[1] is layout or known[1] == layout):
        return known[2]
    grids = tuple(layout.grids[k] for k in order)
    names = [name for name, _, _ in accounts.senders]
    tables = [table_of(accounts.classes, name, grid) for name, grid in zip(names, grids, strict=True)]
    if grids not in accounts.tables:
        accounts.tables[grids] = np.concatenate([table.reshape(-1) for table in tables])
    numbers, place = [], 0
    for k, table, (name, low, high) in zip(order, tables, accounts.senders, strict=True):
        own = layout.begins[k], layout.lines(k), layout.timesteps[k], *table.shape, place, len(plan.of[name])
        numbers.append((*own, low, high))
        place += table.size
    steps = np.concatenate([plan.of[name] for name in names])
    page = Page(np.array(numbers, np.int64), accounts.tables[grids], steps)
    accounts.pages[plan.steps] = order, layout, page
    return page


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
    low: int,
    high: int,
    first: Any,
    column: Any,
    cost: Any,
    busy: Any,
    room: Any,
    fired: Any,
) -> None:
    """Add what the spikes of one population take to *busy* [steps, columns], and count them by class.

    Its classes are *low* to *high*. Row y of frame f ends at ``starts[f * rows + y + 1]`` of *events*, which
    have their classes, from *low* on, in ``table[y]``; one frame may stand for all *steps*. *room* [classes]
    is zeros before and after.
    """
    row = 0
    for frame in range(len(steps)):
        if frame >= frames:
            row = 0
        if high - low == 1:
            room[low] = starts[row + len(table)] - starts[row]
            row += len(table)
        else:
            for y in range(len(table)):
                for k in range(starts[row], starts[row + 1]):
                    room[low + table[y, events[k]]] += 1
                row += 1
        line = busy[steps[frame]]
        for c in range(low, high):
            spikes = room[c]
            if spikes:
                room[c] = 0
                fired[c] += spikes
                for e in range(first[c], first[c + 1]):
                    line[column[e]] += spikes * cost[e]


@kernel
def spend_listed(
    events: Any,
    starts: Any,
    sample: int,
    numbers: Any,
    tables: Any,
    steps: Any,
    first: Any,
    column: Any,
    cost: Any,
    busy: Any,
    room: Any,
    fired: Any,
) -> None:
    """As `spend` for all populations, of a listing; *numbers*, *tables*, *steps*: see `page_of`."""
    swept = 0
    for begin, lines, frames, rows, codes, place, sweeps, low, high in numbers:
        spend(
            events,
            starts[begin + sample * lines :],
            frames,
            tables[place : place + rows * codes].reshape(rows, codes),
            steps[swept : swept + sweeps],
            *(low, high, first, column, cost, busy, room, fired),
        )
        swept += sweeps


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
