"""The timed order of events: tables for its kernel, and what it counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snncc.chips.model import Overflow
from snncc.errors import Deadlock, Runaway
from snncc.ir import SpikeGraph
from snncc.mapping.placement import Placement
from snncc.simulator.event_run import EventRun, Taken, cycle_of
from snncc.simulator.machine.event_cells import cells_of, fired_of, overflow_of, report
from snncc.simulator.machine.event_kernel import GOOD, LATE, MORE, NARROW, RUNAWAY, STUCK, WORK
from snncc.simulator.machine.event_program import KINDS, EventProgram
from snncc.simulator.machine.event_room import NONE, Room
from snncc.simulator.machine.event_routes import Ways, biases_of, sent_of, ways_of
from snncc.simulator.machine.event_state import BEGUN, END, NEXT, Costs, Counts, EventLog, Machine, Units
from snncc.simulator.machine.event_timed_kernel import run_timed as run_kernel
from snncc.simulator.machine.longest import check_event_times
from snncc.simulator.machine.machine import moment_of
from snncc.simulator.machine.program import slowdowns
from snncc.simulator.machine.tallies import tally_of
from snncc.simulator.timing import EVENTS, Ints, Timing, check_time

START = 1 << 10
"""Records at the beginning; there are twice as many whenever they do not suffice."""


def run_timed(
    graph: SpikeGraph,
    placement: Placement,
    program: EventProgram,
    trains: Mapping[str, Ints],
    period: int,
    most: int,
    width: int,
    log: EventLog,
) -> EventRun | None:
    """As `snncc.simulator.machine.run_events`; None where the potentials need more bits than *width*."""
    ways, timesteps = ways_of(placement, program), len(next(iter(trains.values())))
    check_event_times(placement, program.fan_out, len(program.biased[0]), period, timesteps)
    log.used[0] = 0
    machine = machine_of(placement, program, ways, trains, (period, most), width, log)
    need = program.fan_out + len(machine.biases.slot) + placement.chip.fabric.cores + 4
    room = room_of(machine, need)
    if machine.cells.fault[0]:
        return None
    while (how := run_kernel(machine, room, need)) == MORE:
        room = enlarged(room)
    if how == GOOD:
        counts, timing = machine.counts, timing_of(machine, ways)
        taken = taken_of(program, counts)
        return report(program, machine.cells, machine.spikes, machine.sums, counts.dropped, timing, taken)
    if how == LATE:
        check_time(placement.chip, int(machine.clock[END]))
    if how == STUCK:
        raise Deadlock(cycle_of(blocked(machine, room, ways), ways.stations.names))
    if how == RUNAWAY:
        raise Runaway(*cause_of(int(machine.cells.fault[1]), program, machine, trains), most)
    if how == NARROW and width < 64:
        return None
    raise overflow_of(program, graph, machine.cells)


def machine_of(
    placement: Placement,
    program: EventProgram,
    ways: Ways,
    trains: Mapping[str, Ints],
    limits: tuple[int, int],
    width: int,
    log: EventLog,
) -> Machine:
    """Everything before the first instant; *limits*: the period, and the most spikes of one event."""
    cores, slots = placement.chip.fabric.cores, program.slots
    timesteps = len(next(iter(trains.values())))
    home = np.zeros(slots.count, np.int64)
    for name in slots.names:
        home[slots.of[name]] = placement.core_of(name)
    biases = biases_of(placement, program)
    sent, events = sent_of(placement, program, ways, biases, trains)
    stations, moment = ways.stations.size, moment_of(ways.wiring)
    for zeros in (moment.free, moment.used, moment.waits):
        zeros[:] = 0
    moment.place[:] = -1
    moment.size[0] = 1  # the port looks first
    moment.heap[0], moment.place[cores], moment.wake[cores] = cores, 0, 0
    room = program.fan_out + 1
    changed, fired, messages, dropped = (np.zeros(cores, np.int64) for _ in range(4))
    arrived = np.zeros((cores, len(slots.names) + 1), np.int64)
    work, caused = np.zeros((cores, len(program.connections)), np.int64), np.zeros(events, np.int32)
    counts = Counts(work, arrived, changed, fired, messages, dropped, caused)
    return Machine(
        wiring=ways.wiring,
        costs=costs_of(placement, *limits),
        cells=cells_of(program, home, width),
        synapses=program.synapses,
        sent=sent,
        biases=biases,
        units=units_of(placement, program),
        counts=counts,
        moment=moment,
        tally=tally_of(stations),
        out=fired_of(room),
        clock=np.zeros(4, np.int64),
        spikes=np.zeros((timesteps, slots.count), np.int32),
        sums=np.zeros((timesteps + 1, program.summed), np.int64),
        begins=slots.begins,
        log=log,
    )


def costs_of(placement: Placement, period: int, most: int) -> Costs:
    """The times of the chip."""
    chip = placement.chip
    o = chip.operations
    return Costs(
        message_in=o.message_in.time,
        bias=o.access.time + o.update.time,
        spike=o.spike.time,
        message_out=o.message_out.time,
        port=chip.port.event.time,
        synapse=np.array([o.synapse[kind].time if kind in o.synapse else 0 for kind in KINDS], np.int64),
        lanes=o.lanes,
        credit=chip.fabric.credit,
        period=period,
        drops=chip.overflow is Overflow.DROP,
        most=most,
    )


def units_of(placement: Placement, program: EventProgram) -> Units:
    """Event units without work."""
    cores, names = placement.chip.fabric.cores, program.slots.names
    alone = np.full((len(names), cores), -1)
    for part in placement.parts:
        size = placement.network.populations[part.population].size
        of = [p.addresses for p in placement.parts_of(part.population) if p.core == part.core]
        alone[names.index(part.population), part.core] = sum(map(len, of)) == size
    state, due, rest, message, last, slot, cause, source = (np.zeros(cores, np.int64) for _ in range(8))
    head, tail = np.full(cores, -1), np.full(cores, -1)
    slow = slowdowns(placement.chip)
    return Units(state, due, rest, message, last, slot, cause, source, head, tail, alone, slow)


def room_of(machine: Machine, need: int) -> Room:
    """Records, all free."""
    edges, stations = len(machine.wiring.before), len(machine.wiring.interval)
    count = max(START, 2 * need)
    following = np.append(np.arange(1, count), NONE)
    time, node, source, cause = (np.zeros(count, np.int64) for _ in range(4))
    head, tail = np.full(edges, NONE), np.full(edges, NONE)
    back, end = np.full(stations, NONE), np.full(stations, NONE)
    return Room(following, time, node, source, cause, np.array([0, count]), head, tail, back, end)


def enlarged(room: Room) -> Room:
    """Twice as many records."""
    have = len(room.following)
    following = np.concatenate([room.following, np.arange(have + 1, 2 * have), room.free[:1]])
    time, node, source, cause = (np.concatenate([part, np.zeros_like(part)]) for part in room[1:5])
    free = np.array([have, room.free[1] + have])
    head, tail, back, end = room[6:]
    return Room(following, time, node, source, cause, free, head, tail, back, end)


def cause_of(
    number: int, program: EventProgram, machine: Machine, trains: Mapping[str, Ints]
) -> tuple[str, int, int]:
    """Population, address and timestep of an event from outside."""
    timesteps, biases = len(machine.spikes), len(machine.biases.slot)
    if number < timesteps * biases:
        timestep, at = divmod(number, biases)
        slot = int(machine.biases.slot[machine.biases.number == at][0])
        return *program.slots.place(slot), timestep
    places = [
        (name, int(address), int(timestep))
        for timestep in range(timesteps)
        for name, train in trains.items()
        for address in np.flatnonzero(train[timestep])
    ]
    return places[number - timesteps * biases]


def blocked(machine: Machine, room: Room, ways: Ways) -> dict[str, str]:
    """For each blocked station the one whose full queue it waits for."""
    w, names, units = machine.wiring, ways.stations.names, machine.units
    cores, clock, sent = len(units.state), machine.clock, machine.sent
    used, found = machine.moment.used.copy(), dict[str, str]()
    for q in range(len(names)):
        k = room.back[q]
        while k >= 0:  # by now these slots are free
            used[q] -= 1
            k = room.following[k]
    if clock[NEXT] < sent.start[clock[BEGUN]]:
        found[names[cores]] = names[w.station[sent.port_root[clock[NEXT]]]]
    for s in range(cores + 1, len(names) - cores):
        waiting = [
            (room.time[room.head[e]], e)
            for e in range(w.first_edge[s], w.first_edge[s + 1])
            if room.head[e] >= 0
        ]
        if waiting:
            node = room.node[room.head[min(waiting)[1]]]
            children = [w.station[child] for child in w.child[w.first_child[node] : w.first_child[node + 1]]]
            found[names[s]] = next(names[q] for q in children if used[q] >= w.capacity[q])
    for core in np.flatnonzero(units.state).tolist():
        root = sent.root[units.message[core]]
        found[names[len(names) - cores + core]] = names[w.station[root]]
    return found


def taken_of(program: EventProgram, counts: Counts) -> Taken:
    """What event units worked off, in the order of the network."""
    order = {id(connection): k for k, connection in enumerate(program.connections)}
    met = counts.work.T[[order[id(connection)] for connection in program.network.connections]]
    return Taken(counts.arrived.T.copy(), met)


def timing_of(machine: Machine, ways: Ways) -> Timing:
    """What was counted."""
    counts, tally = machine.counts, machine.tally
    cores, kind_of = len(counts.arrived), machine.synapses.numbers[:, WORK]
    nothing = np.zeros(cores + 1, np.int64)
    at_port = nothing.copy()
    at_port[cores] = tally.messages[cores]
    events = {
        "access": counts.biases,
        "update": counts.biases,
        "spike": counts.fired,
        "message_out": counts.sent,
        "message_in": counts.arrived.sum(axis=1),
        "port": at_port,
        **{name: counts.work[:, kind_of == kind].sum(axis=1) for kind, name in enumerate(KINDS)},
        "mac": nothing,
        "write": nothing,
        "read": nothing,
        "host": nothing,
    }
    padded = np.array([np.concatenate([events[name], nothing[len(events[name]) :]]) for name in EVENTS])
    return Timing(machine.clock[END : END + 1].copy(), 0, ways.stations.names, *tally, padded)
