"""Running one sample by the discipline `event` (MACHINE.md, 7), fast."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from snncc.errors import Runaway, UnknownName
from snncc.ir import Array, SpikeGraph
from snncc.mapping.placement import Placement
from snncc.simulator.event_check import check_events
from snncc.simulator.event_run import MOST_SPIKES, EventRun, checked_inputs
from snncc.simulator.machine.event_cells import cells_of, fired_of, overflow_of, report
from snncc.simulator.machine.event_kernel import CROWDED, GOOD, NARROW, NONE, OVERFLOW, Cells
from snncc.simulator.machine.event_order_kernel import Outside, Stack, Streams, Trains, list_inputs, run_order
from snncc.simulator.machine.event_program import EventProgram, event_program
from snncc.simulator.machine.event_state import EventLog

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
    log: EventLog | None = None,
) -> EventRun:
    """Run one sample, *inputs* [T, 1, size] of 0 and 1 of each input population.

    *order*: ``canonical`` (depth first, without time) or ``timed``, in which timestep t begins at t x
    *period* or, if that is later, when all of timestep t - 1 has been sent; *log* receives what happens then,
    as far as it has room (`event_log`). Raises `CannotLower` and
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

            kept = event_log(0) if log is None else log
            run = run_timed(graph, placement, program, trains, period, most, width, kept)
        if run is not None:
            return run
    raise AssertionError("64 bits are enough")


def event_log(room: int) -> EventLog:
    """A log with *room* for so many happenings."""
    return EventLog(*(np.zeros(size, np.int64) for size in (1, room, room, room, room)))


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
    inputs: Mapping[str, Array],
    most: int,
    width: int,
) -> EventRun | None:
    """As `run_events`; None where the potentials need to be wider than *width*."""
    outside, timesteps = outside_of(program, inputs), len(next(iter(inputs.values())))
    local, connection, last, following, end = (np.empty(most + 2, np.int64) for _ in range(5))
    stack = Stack(local, connection, last, following, end, program.slots.begins)
    room = most + program.fan_out + 1
    out = fired_of(room)
    sums = np.zeros((timesteps + 1, program.summed), np.int64)
    for streamed in dict.fromkeys((program.streamed, frozenset[str]())):
        # What went wrong first is known only if nothing is streamed.
        cells = cells_of(program, None, width)
        trains = trains_of(program, timesteps)
        if not cells.fault[0]:
            streams = streams_of(program, streamed)
            run_order(cells, program.synapses, outside, streams, stack, out, trains, sums, most)
        if cells.fault[0] in (GOOD, NARROW, CROWDED):
            break
    if cells.fault[0] == CROWDED:
        program.counts.append(np.int32)
        return run_canonical(graph, placement, program, inputs, most, width)
    if not is_finished(graph, program, cells, most):
        return None
    dropped = np.zeros(placement.chip.fabric.cores, np.int64)
    spikes = {
        name: trains.counts[begin : begin + timesteps * size].reshape(timesteps, size)
        for name, begin, size in zip(program.slots.names, trains.begin, trains.size, strict=True)
    }
    return report(program, cells, spikes, sums, dropped)


def trains_of(program: EventProgram, timesteps: int) -> Trains:
    """No spikes yet."""
    begins = program.slots.begins
    counts = np.zeros(timesteps * program.slots.count, program.counts[-1])
    log, length = np.empty(LOG, np.int64), np.zeros(1, np.int64)
    return Trains(timesteps * begins[:-1], np.diff(begins), counts, program.address, log, length)


def streams_of(program: EventProgram, streamed: Collection[str]) -> Streams:
    """The populations *streamed*; of nothing has anything been sent."""
    names = program.slots.names
    fed = {c.target: (j, names.index(c.source)) for j, c in enumerate(program.connections)}
    into, source = np.array([fed[n] if n in streamed and n in fed else (NONE, NONE) for n in names]).T
    is_streamed = np.array([name in streamed for name in names])
    begin, middle, end = (np.zeros(len(names), np.int64) for _ in range(3))
    return Streams(into.copy(), source.copy(), is_streamed, begin, middle, end)


def is_finished(graph: SpikeGraph, program: EventProgram, cells: Cells, most: int) -> bool:
    """Whether a run came to its end; False where it needs wider potentials. Raises what stopped it."""
    if not cells.fault[0]:
        return True
    if cells.fault[0] == NARROW and cells.d.dtype != np.int64:
        return False
    if cells.fault[0] in (OVERFLOW, NARROW):
        raise overflow_of(program, graph, cells)
    raise Runaway(*program.slots.place(int(cells.fault[1])), int(cells.fault[2]), most)


def outside_of(program: EventProgram, trains: Mapping[str, Array]) -> Outside:
    """Biases and the input's spikes, by slot."""
    train = np.concatenate([train != 0 for train in trains.values()], axis=1)
    slots = np.concatenate([program.slots.of[name] for name in trains])
    ends = np.cumsum([train.shape[1] for train in trains.values()])
    first = np.empty(len(train) * len(ends) + 1, np.int64)
    source = np.empty(np.count_nonzero(train) + 1, np.int64)
    list_inputs(train, slots, ends, first, source)
    inputs = np.array([program.slots.names.index(name) for name in trains])
    return Outside(*program.biased, first, source, inputs)
