"""What spikes cause in all: by class of neurons, in one table (see `snncc.simulator.machine.classes`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.jit import kernel
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.classes import Classes, classes_of, ranges
from snncc.simulator.machine.program import KINDS, MachineProgram, Trees
from snncc.simulator.memo import once
from snncc.simulator.timing import EVENTS

Ints = NDArray[np.int64]
ROW = {name: k for k, name in enumerate(EVENTS)}


class Counters(NamedTuple):
    """What is counted of a run: *events* [EVENTS, units], *busy* and *messages* [stations] (see `Timing`)."""

    events: Ints
    busy: Ints
    messages: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """What a spike of each class adds to `Counters`, which lie one behind the other as one row.

    A spike of class c adds ``amount[e]`` to counter ``column[e]``, for e in ``first[c] : first[c + 1]``.
    *size*: units, stations.
    """

    size: tuple[int, int]
    first: Ints
    column: Ints
    amount: Ints
    idle: dict[int, Ints]
    """The counters of a run without spikes by the number of steps, where all that is visited is updated."""


@once
def ledger_of(program: MachineProgram) -> Ledger:
    """The ledger of *program*."""
    classes, size = classes_of(program), (program.stations.cores + 1, program.stations.size)
    entries = [*senders_of(program, classes), *arrivals_of(program, classes)]
    entries.append(crossings_of(program, classes.sends))
    owner, column, amount = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    most = len(EVENTS) * size[0] + 2 * size[1]
    keys, which = np.unique(owner * most + column, return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, which.reshape(-1), amount)
    some = sums != 0
    first = np.searchsorted(keys[some] // most, np.arange(classes.count + 1))
    return Ledger(size, first, keys[some] % most, sums[some], {})


Entries = tuple[Ints, Ints, Ints]
"""Class, counter and amount of each."""


def senders_of(program: MachineProgram, classes: Classes) -> list[Entries]:
    """What a spike counts for where it leaves."""
    units, stations = program.stations.cores + 1, program.stations.size
    owner, unit, sent = np.arange(classes.count), classes.unit, classes.messages
    is_port = unit == program.stations.cores
    row = np.where(is_port, ROW["port"], ROW["message_out"])
    return [
        (owner, ROW["spike"] * units + unit, (~is_port).astype(np.int64)),
        (owner, row * units + unit, sent),
        (owner, len(EVENTS) * units + stations + unit, sent),
    ]


def arrivals_of(program: MachineProgram, classes: Classes) -> list[Entries]:
    """What a spike counts for where it arrives."""
    units, stations, sends = program.stations.cores + 1, program.stations, classes.sends
    owner = np.repeat(np.arange(classes.count), np.diff(sends.base[sends.first]))
    core = sends.core.astype(np.int64)
    taken = len(EVENTS) * units + stations.size - stations.receivers + core
    met = [
        (owner, ROW[kind] * units + core, each.astype(np.int64))
        for kind, each in zip(KINDS, sends.synapses, strict=False)
    ]
    once_each = np.ones(len(core), np.int64)
    return [
        (owner, ROW["message_in"] * units + core, once_each),
        (owner, taken, sends.service.astype(np.int64)),
        *met,
    ]


def crossings_of(program: MachineProgram, sends: Any) -> Entries:
    """The messages of a spike, wherever they go through a queue."""
    owner = np.repeat(np.arange(len(sends.first) - 1), np.diff(sends.first))
    owner, node = below(program.trees, owner, sends.root.astype(np.int64))
    before = len(EVENTS) * (program.stations.cores + 1) + program.stations.size
    return owner, before + program.trees.station[node], np.ones(len(node), np.int64)


def below(trees: Trees, owner: Ints, node: Ints) -> tuple[Ints, Ints]:
    """Each *node* and all below it, beside the *owner* of the first."""
    owners, nodes = [owner], [node]
    while len(node):
        first, last = trees.first[node], trees.first[node + 1]
        owner, node = np.repeat(owner, last - first), trees.child[ranges(first, last)]
        owners.append(owner)
        nodes.append(node)
    return np.concatenate(owners), np.concatenate(nodes)


def counters_of(program: MachineProgram, plan: Calendar, updates: Ints, fired: Ints) -> Counters:
    """What was counted of a run in which each class *fired* so often, but for the work of neuron units.

    *updates* [steps, units] are all visits, or fewer.
    """
    ledger = ledger_of(program)
    units, stations = ledger.size
    row = idle_of(program, ledger, plan).copy()
    post(fired, ledger.first, ledger.column, ledger.amount, row)
    end = len(EVENTS) * units
    counters = Counters(
        row[:end].reshape(len(EVENTS), units), row[end : end + stations], row[end + stations :]
    )
    if updates is not plan.visits:
        counters.events[ROW["update"]] = updates.sum(axis=0)
    return counters


def idle_of(program: MachineProgram, ledger: Ledger, plan: Calendar) -> Ints:
    """The counters of a run of *plan* without spikes."""
    row = ledger.idle.get(plan.steps)
    if row is None:
        units, stations = ledger.size
        row = np.zeros(len(EVENTS) * units + 2 * stations, np.int64)
        events = row[: len(EVENTS) * units].reshape(len(EVENTS), units)
        events[[ROW["access"], ROW["update"]]] = plan.total
        events[ROW["host"], -1] = plan.macs.sum()
        if program.stations.receivers > program.stations.cores:  # the time of the host is not the port's
            busy = row[len(EVENTS) * units :][:stations]
            busy[units - 1] -= plan.lead.sum()
            busy[-1] += plan.lead.sum()
        ledger.idle[plan.steps] = row
    return row


@kernel
def post(fired: Any, first: Any, column: Any, amount: Any, counters: Any) -> None:
    """Add to *counters* what the classes that *fired* caused."""
    for c in range(len(fired)):
        times = fired[c]
        if times:
            for e in range(first[c], first[c + 1]):
                counters[column[e]] += times * amount[e]
