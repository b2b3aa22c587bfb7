"""The analytic level: what a run takes if nothing waits for anything else, from counts of spikes alone.

Neurons of a population that sit on one core and send alike are a *class*: as many messages on the same
routes, which bring as many synapses of each kind to each core. What a spike costs depends on its class alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snncc.ir.arrays import Array
from snncc.simulator.firing import Firing, StreamFiring
from snncc.simulator.jit import inner, kernel
from snncc.simulator.machine.calendar import Calendar, parts_of
from snncc.simulator.machine.program import MachineProgram, Sends, times_of
from snncc.simulator.machine.run_kernel import Results
from snncc.simulator.machine.step_kernel import Tally
from snncc.simulator.stream import Grid

Ints = NDArray[np.int64]
Numbers = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """What spikes of each class cost; the classes of a population lie side by side.

    *of* has by population the class of each neuron, counted from its first, which is the first of *own*.
    *sends* is what one neuron of each class sends, *messages* [classes] how many, *unit* [classes] where from.
    Tables of busy times have a column for each of the *stations* that may work: *units* neuron units, then
    what takes messages. A spike of class c takes ``cost[e]`` of column ``column[e]``, for e in
    ``first[c] : first[c + 1]``.
    """

    of: Mapping[str, Numbers]
    own: Mapping[str, slice]
    sends: Sends
    unit: Ints
    messages: Ints
    stations: Ints
    units: int
    first: Ints
    column: Ints
    cost: Ints
    tables: dict[tuple[str, Grid], Numbers]
    """`of`, by row and code of an event: made when needed."""
    idle: dict[int, Ints]
    """Busy times without spikes, by the number of steps, where all that is visited is updated: likewise."""


ACCOUNTS: WeakKeyDictionary[MachineProgram, Accounts] = WeakKeyDictionary()
"""Accounts of programs that are still alive."""


def accounts_of(program: MachineProgram) -> Accounts:
    """The accounts of *program*, made once."""
    known = ACCOUNTS.get(program)
    if known is None:
        known = ACCOUNTS[program] = make_accounts(program)
    return known


def make_accounts(program: MachineProgram) -> Accounts:
    """The accounts of *program*."""
    placement, stations = program.placement, program.stations
    unit = np.zeros(program.neurons, np.int64)
    for part in parts_of(placement):
        unit[part.addresses + program.offsets[part.population]] = part.core
    of, own, models = {}, {}, [np.zeros(0, np.int64)]
    count = 0
    for name in placement.network.senders:
        low, size = program.offsets[name], placement.network.populations[name].size
        of[name], found = classes_of(program.sends, unit, low, low + size)
        own[name] = slice(count, count + len(found))
        count += len(found)
        models.append(found)
    neurons = np.concatenate(models)
    sends, times = sends_of(program.sends, neurons), times_of(program)
    units, messages = unit[neurons], np.diff(sends.first).astype(np.int64)
    is_port = units == stations.cores
    spent = np.where(is_port, messages * times.port, times.spike + messages * times.send)
    takes = sends.core.astype(np.int64) + stations.size - stations.receivers
    sweeping = np.unique([stations.cores, *(part.core for part in placement.parts)])
    used = np.concatenate([sweeping, np.unique(takes)])
    first = sends.base[sends.first] + np.arange(count + 1)  # the class's own cost goes before its arrivals
    return Accounts(
        of=of,
        own=own,
        sends=sends,
        unit=units,
        messages=messages,
        stations=used,
        units=len(sweeping),
        first=first,
        column=np.insert(
            np.searchsorted(used, takes), sends.base[sends.first[:-1]], np.searchsorted(used, units)
        ),
        cost=np.insert(sends.service, sends.base[sends.first[:-1]], spent),
        tables={},
        idle={},
    )


def classes_of(sends: Sends, unit: Ints, low: int, high: int) -> tuple[Numbers, Ints]:
    """The class of each neuron from *low* to *high*, and the first neuron of each class."""
    of, models = np.zeros(high - low, np.uint32), np.zeros(high - low, np.int64)
    known = np.full(2 << (high - low).bit_length(), -1)
    tables = unit, sends.first, sends.root, sends.base, sends.core, sends.synapses
    count = classify(low, *tables, known, of, models)
    return of, models[:count].copy()


@inner
def are_alike(g: int, h: int, unit: Any, first: Any, root: Any, base: Any, core: Any, synapses: Any) -> bool:
    """Whether neurons *g* and *h* are of one class."""
    if unit[g] != unit[h] or first[g + 1] - first[g] != first[h + 1] - first[h]:
        return False
    for k in range(first[g + 1] - first[g]):
        m, n = first[g] + k, first[h] + k
        if root[m] != root[n] or base[m + 1] - base[m] != base[n + 1] - base[n]:
            return False
        for j in range(base[m + 1] - base[m]):
            a, b = base[m] + j, base[n] + j
            if core[a] != core[b]:
                return False
            for kind in range(len(synapses)):
                if synapses[kind, a] != synapses[kind, b]:
                    return False
    return True


MIX = 0x9E3779B97F4A7C15 >> 1
"""A large odd factor, so that sums of products differ in all of their digits."""


@kernel
def classify(
    low: int,
    unit: Any,
    first: Any,
    root: Any,
    base: Any,
    core: Any,
    synapses: Any,
    known: Any,
    of: Any,
    models: Any,
) -> int:
    """Number the classes of neurons from *low* on; how many there are.

    *known*, -1 everywhere, is longer than there are neurons, by a power of two: classes by a hash.
    """
    count = 0
    for k in range(len(of)):
        g = low + k
        key = np.int64(unit[g])
        for m in range(first[g], first[g + 1]):
            key = key * MIX + root[m]
            for a in range(base[m], base[m + 1]):
                key = key * MIX + core[a]
                for kind in range(len(synapses)):
                    key = key * MIX + synapses[kind, a]
        key *= MIX
        place = (key >> 32) & (len(known) - 1)
        while known[place] >= 0 and not are_alike(
            models[known[place]], g, unit, first, root, base, core, synapses
        ):
            place = (place + 1) & (len(known) - 1)
        if known[place] < 0:
            known[place], models[count] = count, g
            count += 1
        of[k] = known[place]
    return count


def sends_of(sends: Sends, neurons: Ints) -> Sends:
    """What *neurons* send."""
    message = ranges(sends.first[neurons], sends.first[neurons + 1])
    arrival = ranges(sends.base[message], sends.base[message + 1])
    lengths = np.diff(sends.first)[neurons], np.diff(sends.base)[message]
    first, base = (np.concatenate([[0], np.cumsum(each)]) for each in lengths)
    return Sends(
        *(first, sends.root[message], base, sends.service[arrival]),
        *(sends.core[arrival], sends.sender[arrival], sends.synapses[:, arrival]),
    )


def ranges(starts: Array, ends: Array) -> Ints:
    """The numbers from each start to its end, one range after another."""
    lengths = (ends - starts).astype(np.int64)
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def count_time(
    program: MachineProgram,
    plan: Calendar,
    firings: Mapping[str, Firing],
    updates: Ints,
    tally: Tally,
    out: Results,
) -> None:
    """The longest work of any unit in each step; *out* counts what fired by class."""
    accounts = accounts_of(program)
    busy = idle_of(program, accounts, plan, updates)
    room = np.zeros_like(out.fired)
    for name, own in accounts.own.items():
        of, firing = accounts.of[name], firings[name]
        first = accounts.first[own.start : own.stop + 1]
        spent = first, accounts.column, accounts.cost, busy, room[own], out.fired[own]
        if isinstance(firing, StreamFiring):
            stream = firing.stream
            table = table_of(accounts, name, stream.grid)
            spend(stream.events, stream.starts, stream.timesteps, table, plan.of[name], *spent)
        else:
            spend(firing.address, firing.first, firing.length, of.reshape(1, -1), plan.of[name], *spent)
    settle(busy, accounts.stations[: accounts.units], out.steps, tally.busy)
    share_out(out.fired, accounts.unit, accounts.messages, out.spikes, out.sent)


def table_of(accounts: Accounts, name: str, grid: Grid) -> Numbers:
    """The class of each event of population *name*, [rows, codes]."""
    table = accounts.tables.get((name, grid))
    if table is None:
        table = np.zeros((grid.rows, grid.columns, grid.pitch), np.uint32)
        maps = accounts.of[name].reshape(grid.channels, grid.rows, grid.columns)
        table[:, :, : grid.channels] = maps.transpose(1, 2, 0)
        table = accounts.tables[name, grid] = table.reshape(grid.rows, -1)
    return table


def idle_of(program: MachineProgram, accounts: Accounts, plan: Calendar, updates: Ints) -> Ints:
    """The busy times [steps, columns] of a run without spikes."""
    if updates is plan.visits and plan.steps in accounts.idle:
        return accounts.idle[plan.steps].copy()
    times, units = times_of(program), accounts.stations[: accounts.units]
    busy = np.zeros((plan.steps, len(accounts.stations)), np.int64)
    busy[:, : len(units)] = plan.visits[:, units] * times.access + updates[:, units] * times.update
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
def settle(busy: Any, stations: Any, steps: Any, worked: Any) -> None:
    """The longest of the *busy* times [steps, columns] of each step; the sums of the first, of *stations*."""
    for s in range(len(busy)):
        longest = 0
        for c in range(busy.shape[1]):
            longest = max(longest, busy[s, c])
        steps[s] = longest
        for c in range(len(stations)):
            worked[stations[c]] += busy[s, c]


@kernel
def share_out(fired: Any, unit: Any, messages: Any, spikes: Any, sent: Any) -> None:
    """Count by unit the spikes of its classes, and what they sent."""
    for c in range(len(fired)):
        spikes[unit[c]] += fired[c]
        sent[unit[c]] += fired[c] * messages[c]
