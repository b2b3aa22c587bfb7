"""Which neurons have had an event since their last sweep (MACHINE.md, 2).

As every message is worked off within its step, that depends on spikes alone, not on time. Marks are kept by
*cell*: a set of targets that the same sources reach (all channels of a group at one place; a whole row of a
dense layer; else a single neuron).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Conv, Dense, Sparse
from snncc.ir.arrays import Array
from snncc.mapping.descriptor import Windows
from snncc.mapping.masks import NO_MASK
from snncc.mapping.network import Connection
from snncc.simulator.firing import Firing
from snncc.simulator.jit import kernel
from snncc.simulator.machine.calendar import Calendar
from snncc.simulator.machine.program import MachineProgram

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of a connection: source s reaches ``reached[first[s] : first[s + 1]]``.

    *of* [targets] is the cell of each target neuron; the last of the *count* cells is never reached.
    """

    count: int
    first: Ints
    reached: Ints
    of: Ints


def cells_of(connection: Connection, size: int) -> Cells:
    """The cells of *connection* into a population of *size* neurons."""
    entry, cell, count, of_output = pairs(connection)
    order = np.argsort(entry, kind="stable")
    starts = np.searchsorted(entry[order], np.arange(prod(connection.shape) + 1))
    lengths = np.diff(starts)[connection.entries]
    begin = np.repeat(starts[connection.entries] - (np.cumsum(lengths) - lengths), lengths)
    reached = cell[order][begin + np.arange(lengths.sum())]
    first = np.concatenate([[0], np.cumsum(lengths)])[connection.offsets]
    of = np.full(size, count)
    kept = connection.lands >= 0
    of[connection.lands[kept]] = of_output[kept]
    return Cells(count + 1, first, reached, of)


def pairs(connection: Connection) -> tuple[Ints, Ints, int, Ints]:
    """(entry, cell) of every reach, how many cells there are, and the cell of each output."""
    entries, outputs = np.arange(prod(connection.shape)), np.arange(prod(connection.out))
    match connection.node:
        case Conv() as node:
            window = connection.descriptor
            assert isinstance(window, Windows)
            maps, (h, w) = node.groups, connection.out[1:]
            shared = Windows(
                *(window.shape, (maps, h, w), window.kernel, window.stride, window.padding),
                *(window.dilation, window.groups, True),
            )
            found = shared.synapses(entries, NO_MASK)
            channel, position = np.divmod(outputs, h * w)
            return (
                found.event,
                found.target,
                maps * h * w,
                channel * maps // connection.out[0] * h * w + position,
            )
        case Dense():
            return (
                entries,
                entries // connection.shape[-1],
                prod(connection.shape[:-1]),
                outputs // connection.out[-1],
            )
        case Sparse() as node:
            return node.pre.astype(np.int64), node.post.astype(np.int64), len(outputs), outputs
        case None:
            return entries, outputs, len(outputs), outputs


ALL, NONE = -1, -2
BLOCK = 1 << 20
"""Marks, of one neuron in one sweep each, that are worked out at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """Touched neurons.

    *running* from ``rows[frame]`` on counts, for each spike of this frame of the senders, those of the
    neuron's part up to it (where rows[frame] is `ALL` or `NONE`, all or none of the part are); *before*
    [steps, parts] has those of earlier parts of its core; *updates* [steps, units] all.
    """

    running: NDArray[np.int32]
    rows: Ints
    before: Ints
    updates: Ints


def touches_of(program: MachineProgram, plan: Calendar, firings: Mapping[str, Firing]) -> Touches:
    """The touched neurons of a run."""
    if plan.steps in program.touches:
        return program.touches[plan.steps]
    network = program.placement.network
    totals, rows, pieces, place = np.zeros_like(plan.begin), [], [np.zeros(0, np.int32)], 0
    fixed = {name: fixed_touch(program, name) for name in network.populations}
    if ALL in fixed.values():
        for k, part in enumerate(plan.parts):
            if fixed[part.population] == ALL:
                totals[plan.of[part.population], k] = len(part.addresses)
    for name in network.populations:
        known, frames = fixed[name], len(plan.of[name])
        if known is not None:
            starts = np.full(frames, known)
        else:
            found = counted(program, plan, name, firings, totals)
            pieces.append(found)
            starts = place + (firings[name].first[:-1] if name in firings else np.zeros(frames, np.int64))
            place += len(found)
        if name in firings:
            rows.append(starts)
    before, updates = np.zeros_like(plan.begin), np.zeros_like(plan.visits)
    add_up(plan.order, plan.unit, totals, before, updates)
    updates[:, -1] = 0  # the port updates nothing
    touches = Touches(np.concatenate(pieces), np.concatenate(rows), before, updates)
    if None not in fixed.values():
        program.touches[plan.steps] = touches
    return touches


def counted(
    program: MachineProgram, plan: Calendar, name: str, firings: Mapping[str, Firing], totals: Ints
) -> NDArray[np.int32]:
    """For each spike of population *name* the touched neurons of its part up to it; adds all to *totals*.

    Sweeps are worked out `BLOCK` marks at a time, so that a long run takes no more memory than a short one.
    """
    size, steps = program.placement.network.populations[name].size, plan.of[name]
    part = plan.part[program.offsets[name] : program.offsets[name] + size]
    silent = Firing(np.zeros(len(steps) + 1, np.int64), np.zeros(0, np.int32))
    firing = firings.get(name, silent)
    found = np.zeros(len(firing.address), np.int32)
    block = max(1, BLOCK // max(1, size))
    for start in range(0, len(steps), block):
        stop = min(start + block, len(steps))
        touched = touched_of(program, plan, name, firings, start, stop)
        first = firing.first[start : stop + 1]
        run_up(touched, part, steps[start:stop], first, firing.address, found, totals)
    return found


def fixed_touch(program: MachineProgram, name: str) -> int | None:
    """Whether `ALL` or `NONE` of a population are touched whatever happens; None: that depends."""
    network = program.placement.network
    if network.populations[name].is_active:
        return ALL
    return None if any(connection.target == name for connection in network.connections) else NONE


@kernel
def add_up(order: Ints, unit: Ints, totals: Ints, before: Ints, updates: Ints) -> None:
    """Sum *totals* [steps, parts] over the parts of each unit, in their order."""
    for s in range(len(totals)):
        for k in order:
            before[s, k] = updates[s, unit[k]]
            updates[s, unit[k]] += totals[s, k]


def touched_of(
    program: MachineProgram, plan: Calendar, name: str, firings: Mapping[str, Firing], start: int, stop: int
) -> NDArray[np.bool_]:
    """Which neurons of population *name* are touched, [stop - start, size], in sweeps *start* to *stop*."""
    network, sweeps = program.placement.network, plan.of[name]
    size = network.populations[name].size
    touched = np.zeros((stop - start, size), bool)
    for k, connection in enumerate(network.connections):
        if connection.target != name or connection.rule == "write":
            continue
        if k not in program.cells:
            program.cells[k] = cells_of(connection, size)
        cells: Cells = program.cells[k]
        marks = np.zeros((stop - start, cells.count), bool)
        # of each frame of the source the first sweep after its step
        seen = np.searchsorted(sweeps, plan.of[connection.source], side="right")
        low, high = np.searchsorted(seen, (start, stop))
        firing = firings[connection.source]
        first = firing.first[low : high + 1]
        mark(first, firing.address, seen[low:high] - start, cells.first, cells.reached, marks)
        touched |= marks[:, cells.of]
    return touched


@kernel
def mark(
    first: Ints, address: Array, seen: Ints, starts: Ints, reached: Ints, marks: NDArray[np.bool_]
) -> None:
    """Set the cells that the spikes of each frame reach, in the sweep *seen* that comes next."""
    for frame in range(len(seen)):
        row = marks[seen[frame]]
        for k in range(first[frame], first[frame + 1]):
            for c in range(starts[address[k]], starts[address[k] + 1]):
                row[reached[c]] = True


@kernel
def run_up(
    touched: NDArray[np.bool_],
    part: Array,
    steps: Ints,
    first: Ints,
    address: Array,
    found: NDArray[np.int32],
    totals: Ints,
) -> None:
    """Count the touched neurons of each part, in the order of addresses; *totals* [steps, parts].

    *found* gets the count up to each spike, those of ``address[first[frame] : first[frame + 1]]``, ascending.
    """
    for frame in range(len(touched)):
        whole = totals[steps[frame]]
        k, end = first[frame], first[frame + 1]
        for a in range(touched.shape[1]):
            whole[part[a]] += touched[frame, a]
            while k < end and address[k] == a:
                found[k] = whole[part[a]]
                k += 1
