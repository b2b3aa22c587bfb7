"""The timed order of events (MACHINE.md, 7), fast: the station of lowest rank that can act, acts."""

from __future__ import annotations

from snncc.simulator.jit import kernel
from snncc.simulator.machine.blocked_kernel import look, next_station
from snncc.simulator.machine.event_inline import inlined
from snncc.simulator.machine.event_kernel import (
    GOOD,
    LATE,
    MORE,
    POPULATION,
    RUNAWAY,
    STUCK,
    TO,
    WORK,
    deliver,
    event,
    note_sums,
)
from snncc.simulator.machine.event_room import (
    NONE,
    Room,
    append,
    await_slot,
    first_of,
    has_slot,
    leave,
    put,
    release,
    take,
)
from snncc.simulator.machine.event_state import (
    BEGINS,
    BEGUN,
    DROPS,
    END,
    FINISHES,
    FINISHING,
    FIRES,
    FIRING,
    IDLE,
    NEXT,
    READY,
    SENDING,
    SENDS,
    STARTS,
    EventLog,
    Machine,
)
from snncc.simulator.machine.step_kernel import NEVER
from snncc.simulator.timing import LATEST


@inlined
def note(log: EventLog, station: int, time: int, what: int, slot: int) -> None:
    """Something has happened."""
    n = log.used[0]
    if n < len(log.time):
        log.station[n], log.time[n], log.what[n], log.slot[n] = station, time, what, slot
        log.used[0] = n + 1


@inlined
def act_port(m: Machine, room: Room, time: int) -> None:
    """The port begins a timestep, or sends a message."""
    w, clock, sent, port = m.wiring, m.clock, m.sent, m.wiring.units - 1
    begun, n = clock[BEGUN], clock[NEXT]
    if n == sent.start[begun]:
        if begun == len(sent.start) - 1:
            return
        if time < begun * m.costs.period:
            look(m.moment, port, begun * m.costs.period)
            return
        if begun:
            note_sums(m.cells, m.begins, m.sums, begun)
        note(m.log, port, time, BEGINS, begun)
        clock[BEGUN] = begun = begun + 1
    else:
        if clock[READY] > time:
            look(m.moment, port, clock[READY])
            return
        node = sent.port_root[n]
        q = w.station[node]
        if not has_slot(w, m.costs.credit, room, m.moment, q, time):
            await_slot(m.costs.credit, room, m.moment, port, w.edge[node], q)
            return
        put(w, room, m.moment, m.tally, node, time, sent.port_source[n], sent.port_cause[n])
        note(m.log, port, time, SENDS, sent.port_source[n])
        m.tally.stalled[port] += time - clock[READY]
        m.tally.messages[port] += 1
        clock[NEXT] = n = n + 1
    clock[END] = time
    if n < sent.start[begun]:
        m.tally.busy[port] += m.costs.port
        clock[READY] = time + m.costs.port
        look(m.moment, port, clock[READY])
    else:
        look(m.moment, port, time)


@inlined
def act_link(m: Machine, room: Room, s: int, time: int) -> None:
    """A link starts one message."""
    w, now, credit = m.wiring, m.moment, m.costs.credit
    e = first_of(w, room, s)
    if e == NONE:
        return
    k = room.head[e]
    due = max(room.time[k], now.free[s])
    if due > time:
        look(now, s, due)
        return
    node, source, cause, latency = room.node[k], room.source[k], room.cause[k], w.latency[s]
    low, high = w.first_child[node], w.first_child[node + 1]
    first_unit, is_lost = len(w.interval) - (w.units - 1), False
    for n in range(low, high):
        q = w.station[w.child[n]]
        if not has_slot(w, credit, room, now, q, time):
            if not m.costs.drops or q < first_unit:
                await_slot(credit, room, now, s, w.edge[w.child[n]], q)
                return
            is_lost = True
            m.counts.dropped[q - first_unit] += 1
    leave(w, credit, room, now, m.tally, s, e, time, first_unit)
    note(m.log, s, time, DROPS if is_lost else STARTS, source)
    if not is_lost:
        for n in range(low, high):
            put(w, room, now, m.tally, w.child[n], time + latency, source, cause)
    now.free[s] = time + w.interval[s]
    m.clock[END] = time
    look(now, s, time)


@inlined
def add_firing(m: Machine, room: Room, core: int, work: int, slot: int, cause: int) -> None:
    """A neuron fires after so much *work* since the firing before."""
    append(room, m.units.head, m.units.tail, core, take(room, work, slot, NONE, cause))


@inlined
def work_tick(m: Machine, room: Room, core: int, cause: int) -> None:
    """All neurons with a bias take it."""
    biases, time = m.biases, m.costs.message_in
    for k in range(biases.first[core], biases.first[core + 1]):
        time += m.costs.bias
        m.counts.biases[core] += 1
        if event(m.cells, biases.slot[k], biases.bias[k]):
            add_firing(m, room, core, time, biases.slot[k], cause + biases.number[k])
            time = 0
    m.units.rest[core] = time


@inlined
def work_spike(m: Machine, room: Room, core: int, source: int, cause: int) -> None:
    """All synapses of a spike into *core*."""
    c, s, units, costs = m.cells, m.synapses, m.units, m.costs
    p, time = c.own[source, POPULATION], costs.message_in
    for j in range(s.begin[p], s.begin[p + 1]):
        alone = units.alone[s.numbers[j, TO], core]
        if alone < 0:
            continue
        top = deliver(c, s, j, source - m.begins[p], NONE if alone else core, m.out, 0)
        kind, count = s.numbers[j, WORK], m.out.count[0]
        m.counts.work[core, j] += count
        done = 0
        for n in range(top):
            groups = m.out.index[n] // costs.lanes + 1
            add_firing(m, room, core, time + (groups - done) * costs.synapse[kind], m.out.slot[n], cause)
            time, done = 0, groups
        time += ((count + costs.lanes - 1) // costs.lanes - done) * costs.synapse[kind]
    units.rest[core] = time


@inlined
def go_on(m: Machine, room: Room, s: int, core: int, time: int) -> None:
    """The unit's next busy time begins."""
    units, costs = m.units, m.costs
    if units.message[core] < units.last[core]:
        units.state[core], length = SENDING, costs.message_out
    elif units.head[core] != NONE:
        k = units.head[core]
        units.head[core] = room.following[k]
        units.state[core], length = FIRING, room.time[k] + costs.spike
        units.slot[core], units.cause[core] = room.node[k], room.cause[k]
        release(room, k)
    else:
        units.state[core], length = FINISHING, units.rest[core]
    length *= units.slowdown[core]
    m.tally.busy[s] += length
    units.due[core] = time + length
    look(m.moment, s, time + length)


@inlined
def start_unit(m: Machine, room: Room, s: int, core: int, time: int) -> None:
    """An event unit takes the first message of its queue, if it has arrived."""
    e = first_of(m.wiring, room, s)
    if e == NONE:
        return
    k = room.head[e]
    if room.time[k] > time:
        look(m.moment, s, room.time[k])
        return
    source, cause = room.source[k], room.cause[k]
    leave(m.wiring, m.costs.credit, room, m.moment, m.tally, s, e, time, s - core)
    m.clock[END], m.units.source[core] = time, source
    note(m.log, s, time, STARTS, source)
    if source < 0:
        m.counts.arrived[core, -1] += 1
        work_tick(m, room, core, cause)
    else:
        m.counts.arrived[core, m.cells.own[source, POPULATION]] += 1
        work_spike(m, room, core, source, cause)
    go_on(m, room, s, core, time)


@inlined
def act_unit(m: Machine, room: Room, s: int, core: int, time: int) -> bool:
    """An event unit does one thing; False: a loop excites itself."""
    units, counts, w = m.units, m.counts, m.wiring
    state = units.state[core]
    if state == IDLE:
        start_unit(m, room, s, core, time)
        return True
    if units.due[core] > time:
        look(m.moment, s, units.due[core])
        return True
    if state == FIRING:
        slot, cause = units.slot[core], units.cause[core]
        m.spikes[m.clock[BEGUN] - 1, slot] += 1
        counts.fired[core] += 1
        note(m.log, s, time, FIRES, slot)
        counts.caused[cause] += 1
        if counts.caused[cause] > m.costs.most:
            m.cells.fault[0], m.cells.fault[1] = RUNAWAY, cause
            return False
        units.message[core], units.last[core] = m.sent.first[slot], m.sent.last[slot]
    elif state == SENDING:
        node = m.sent.root[units.message[core]]
        q = w.station[node]
        if not has_slot(w, m.costs.credit, room, m.moment, q, time):
            await_slot(m.costs.credit, room, m.moment, s, w.edge[node], q)
            return True
        put(w, room, m.moment, m.tally, node, time, units.slot[core], units.cause[core])
        note(m.log, s, time, SENDS, units.slot[core])
        m.tally.stalled[s] += time - units.due[core]
        counts.sent[core] += 1
        units.message[core] += 1
    m.clock[END] = time
    if state == FINISHING:
        units.state[core] = IDLE
        note(m.log, s, time, FINISHES, units.source[core])
        look(m.moment, s, time)
    else:
        go_on(m, room, s, core, time)
    return True


@inlined
def is_stuck(m: Machine, room: Room) -> bool:
    """Whether anything is left."""
    for e in range(len(room.head)):
        if room.head[e] != NONE:
            return True
    for core in range(len(m.units.state)):
        if m.units.state[core] != IDLE:
            return True
    return m.clock[NEXT] < m.sent.start[m.clock[BEGUN]]


@kernel
def run_timed(m: Machine, room: Room, need: int) -> int:
    """Run until nothing is left; `MORE`: until fewer than *need* records are free. Says how it ended."""
    w, now = m.wiring, m.moment
    first_unit = len(w.interval) - (w.units - 1)
    while now.size[0]:
        if room.free[1] < need:
            return MORE
        s = next_station(now)
        time = now.wake[s]
        now.wake[s] = NEVER
        if time > LATEST:
            m.clock[END] = time
            return LATE
        if s == w.units - 1:
            act_port(m, room, time)
        elif s < first_unit:
            act_link(m, room, s, time)
        else:
            act_unit(m, room, s, s - first_unit, time)
        if m.cells.fault[0]:
            return m.cells.fault[0]
    note_sums(m.cells, m.begins, m.sums, m.clock[BEGUN])
    return STUCK if is_stuck(m, room) else GOOD
