"""Running one sample by the discipline `event` (MACHINE.md, 7), fast."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snncc.errors import Runaway, UnknownName
from snncc.ir import SpikeGraph
from snncc.mapping.placement import Placement
from snncc.simulator.event_check import check_events
from snncc.simulator.event_run import MOST_SPIKES, EventRun, checked_inputs
from snncc.simulator.machine.event_cells import cells_of, overflow_of, report
from snncc.simulator.machine.event_kernel import NARROW, OVERFLOW, Cells, Fired
from snncc.simulator.machine.event_order_kernel import Outside, Stack, Trains, run_order
from snncc.simulator.machine.event_program import EventProgram, event_program
from snncc.simulator.timing import Ints

ORDERS = ("canonical", "timed")
PROGRAMS: WeakKeyDictionary[Placement, tuple[SpikeGraph, EventProgram]] = WeakKeyDictionary()
"""Graphs and programs of placements that are still alive."""
LOG = 1 << 12
"""Spikes that are counted together."""
WIDTHS = {1: (16, 32, 64), 4: (32, 64), 8: (64,)}
"""The bits in which potentials are tried to be kept, by the bytes of a weight."""


def run_events(
    graph: SpikeGraph,
    placement: Placement,
    inputs: Mapping[str, NDArray[np.generic]],
    order: str = "canonical",
    period: int = 0,
    *,
    most: int = MOST_SPIKES,
) -> EventRun:
    """Run one sample, *inputs* [T, 1, size] of 0 and 1 of each input population.

    *order*: ``canonical`` (depth first, without time) or ``timed``, in which timestep t begins at t x
    *period* or, if that is later, when all of timestep t - 1 has been sent. Raises `CannotLower` and
    `InvalidGraph` for what cannot run by events, `BadInput`, `UnknownName`, `StateOverflow`, `Deadlock`, and
    `Runaway` where one event from outside causes more than *most* spikes.
    """
    if order not in ORDERS:
        raise UnknownName("order", order, ORDERS)
    program = program_of(graph, placement)
    trains = checked_inputs(placement.network, inputs)
    for width in WIDTHS[program.synapses.weights.itemsize]:
        if order == "canonical":
            run = run_canonical(graph, placement, program, trains, most, width)
        else:
            from snncc.simulator.machine.event_machine import run_timed

            run = run_timed(graph, placement, program, trains, period, most, width)
        if run is not None:
            return run
    raise AssertionError("64 bits are enough")


def program_of(graph: SpikeGraph, placement: Placement) -> EventProgram:
    """The tables of *graph* on *placement*, checked and made once. Raises `CannotLower`, `InvalidGraph`."""
    known = PROGRAMS.get(placement)
    if known is None or known[0] is not graph:
        check_events(graph, placement)
        PROGRAMS[placement] = known = graph, event_program(graph, placement.network)
    return known[1]


def run_canonical(
    graph: SpikeGraph,
    placement: Placement,
    program: EventProgram,
    inputs: Mapping[str, Ints],
    most: int,
    width: int,
) -> EventRun | None:
    """As `run_events`; None where the potentials need to be wider than *width*."""
    cells = cells_of(program, np.zeros(program.slots.count, np.int64), width)
    outside, timesteps = outside_of(program, inputs), len(next(iter(inputs.values())))
    local, connection, last, following, end = (np.empty(most + 2, np.int64) for _ in range(5))
    stack = Stack(local, connection, last, following, end, program.slots.begins)
    room = most + program.fan_out + 1
    out = Fired(np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(1, np.int64))
    sizes = np.diff(program.slots.begins)
    counts = np.zeros(timesteps * program.slots.count, np.int64)
    log, length = np.empty(LOG, np.int64), np.zeros(1, np.int64)
    trains = Trains(timesteps * program.slots.begins[:-1], sizes, counts, program.address, log, length)
    sums = np.zeros((timesteps + 1, program.slots.count), np.int64)
    if not cells.fault[0]:
        run_order(cells, program.synapses, outside, stack, out, trains, sums, most)
    if not is_finished(graph, program, cells, most):
        return None
    dropped = np.zeros(placement.chip.fabric.cores, np.int64)
    spikes = {
        name: counts[begin : begin + timesteps * size].reshape(timesteps, size)
        for name, begin, size in zip(program.slots.names, trains.begin, sizes, strict=True)
    }
    return report(program, cells, spikes, sums, dropped, None)


def is_finished(graph: SpikeGraph, program: EventProgram, cells: Cells, most: int) -> bool:
    """Whether a run came to its end; False where it needs wider potentials. Raises what stopped it."""
    if not cells.fault[0]:
        return True
    if cells.fault[0] == NARROW and cells.d.dtype != np.int64:
        return False
    if cells.fault[0] in (OVERFLOW, NARROW):
        raise overflow_of(program, graph, cells)
    raise Runaway(*program.slots.place(int(cells.fault[1])), int(cells.fault[2]), most)


def outside_of(program: EventProgram, trains: Mapping[str, Ints]) -> Outside:
    """Biases and the input's spikes, by slot."""
    slots = program.slots.of
    biased = [(slots[name], of.bias) for name, of in program.neurons.items()]
    slot = np.concatenate([np.zeros(0, np.int64), *(at[bias != 0] for at, bias in biased)])
    bias = np.concatenate([np.zeros(0, np.int64), *(bias[bias != 0] for _, bias in biased)])
    train = np.concatenate(list(trains.values()), axis=1)
    sources = np.concatenate([slots[name] for name in trains])
    timestep, place = np.nonzero(train)
    first = np.searchsorted(timestep, np.arange(len(train) + 1))
    return Outside(slot, bias, first, sources[place])
