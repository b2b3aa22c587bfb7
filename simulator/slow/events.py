"""The machine of the discipline `event` (MACHINE.md, 7), one instant after another."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

import numpy as np

from snncc.chips.model import Overflow
from snncc.errors import Deadlock
from snncc.ir import SpikeGraph
from snncc.mapping.placement import Placement
from snncc.simulator.event_check import check_events
from snncc.simulator.event_neurons import shift_of
from snncc.simulator.event_run import MOST_SPIKES, EventRun, Taken, checked_inputs, cycle_of
from snncc.simulator.slow.event_stations import (
    EventLink,
    EventPort,
    EventStation,
    EventUnit,
    Firing,
    Slots,
    Spike,
    Work,
    in_groups,
)
from snncc.simulator.slow.machine import binned, ignore, whole
from snncc.simulator.slow.potentials import Event, Potentials, outside
from snncc.simulator.slow.routes import kind_of, station_names, tree
from snncc.simulator.slow.spikes import Spikes
from snncc.simulator.slow.stations import Note, Record
from snncc.simulator.timing import EVENTS, Ints, Timing, check_time


def simulate_events(
    graph: SpikeGraph,
    placement: Placement,
    inputs: Mapping[str, Ints],
    *,
    period: int = 0,
    most: int = MOST_SPIKES,
    log: list[Record] | None = None,
) -> EventRun:
    """Run one sample, *inputs* [T, 1, size] of 0 and 1, in time; *log* receives everything that happens.

    Raises what `check_events` raises, `BadInput`, `StateOverflow`, `Deadlock`, and `Runaway` where one event
    causes more than *most* spikes.
    """
    check_events(graph, placement)
    trains = checked_inputs(placement.network, inputs)
    machine = EventMachine(graph, placement, trains, most, ignore if log is None else log.append)
    machine.port.begin(machine.timesteps(), period, placement.chip.port.event.time)
    machine.run_dry()
    return machine.result()


TICK = ""
"""In the place of a population, of a message that is a tick."""


class EventMachine:
    """All stations of a chip, and the potentials of its neurons."""

    def __init__(
        self, graph: SpikeGraph, placement: Placement, trains: Mapping[str, Ints], most: int, note: Note
    ) -> None:
        self.placement, self.trains, self.note = placement, trains, note
        self.chip, self.network = placement.chip, placement.network
        self.fabric, self.costs = self.chip.fabric, self.chip.operations
        self.length = len(next(iter(trains.values())))
        self.potentials = Potentials(graph, self.network, self.length, most)
        self.spikes = Spikes(placement)
        self.events = {name: [0] * (self.fabric.cores + 1) for name in EVENTS}
        self.taken = {name: [0] * self.fabric.cores for name in (*self.network.populations, TICK)}
        self.met = [[0] * self.fabric.cores for _ in self.network.connections]
        self.agenda: list[int] = []
        self.end = 0
        self.build()

    def build(self) -> None:
        """All stations and queues; of the neuron units only the port exists."""
        cores, names = self.fabric.cores, station_names(self.fabric)
        self.names, self.stations = names, list[EventStation]()
        self.links: dict[str, EventLink] = {}
        self.units: list[EventUnit] = []
        self.queues = {
            name: Slots(self.capacity(name), self.fabric.credit, self.wake) for name in names[cores + 1 :]
        }
        self.port = EventPort(names[cores], cores, self.queues["inject port"], self.note)
        self.stations.append(self.port)
        for rank, name in list(enumerate(names))[cores + 1 :]:
            if name.startswith("synapse unit"):
                self.units.append(self.event_unit(name, rank))
                self.stations.append(self.units[-1])
            else:
                drops = name.startswith("eject") and self.chip.overflow is Overflow.DROP
                kind, queue = kind_of(name, self.fabric), self.queues[name]
                self.links[name] = EventLink(name, rank, kind, queue, self.queues, self.note, drops=drops)
                self.stations.append(self.links[name])

    def event_unit(self, name: str, rank: int) -> EventUnit:
        core = int(name.split()[-1])

        def fire(firing: Firing) -> None:
            self.events["spike"][core] += 1
            now = self.port.begun - 1
            self.potentials.fired(firing.population, firing.address, now, firing.cause)

        out = self.queues[f"inject {core}"]
        return EventUnit(name, rank, self.queues[name], out, lambda m: self.work(m, core), fire, self.note)

    def capacity(self, name: str) -> int | None:
        """The slots of the queue in front of the station *name*; None: unbounded."""
        if name.startswith("synapse unit"):
            return self.chip.cores[int(name.split()[-1])].in_queue
        return kind_of(name, self.fabric).capacity

    def wake(self, instant: int) -> None:
        heapq.heappush(self.agenda, instant)

    def timesteps(self) -> list[list[Spike]]:
        """What the port sends in each timestep: ticks by core, then the input's spikes."""
        port = self.fabric.cores
        biased = [core for core in range(port) if any(True for _ in self.biased(core))]
        found = []
        for timestep in range(self.length):
            messages = [
                Spike(
                    TICK, 0, timestep, 0, port, (core,), tree(self.fabric, port, (core,)), (TICK, 0, timestep)
                )
                for core in biased
            ]
            for name, address in outside(self.trains, timestep):
                messages += self.messages(name, address, port, (name, address, timestep))
            found.append(messages)
        return found

    def biased(self, core: int) -> Iterator[tuple[str, int, int]]:
        """The neurons of *core* with a bias, in the order of parts, then addresses, and the bias."""
        for part in self.placement.parts:
            if part.core == core and part.population in self.potentials.neurons:
                bias = self.potentials.neurons[part.population].bias
                for address in part.addresses.tolist():
                    if bias[address]:
                        yield part.population, address, int(bias[address])

    def messages(self, name: str, address: int, sender: int, cause: Event) -> list[Spike]:
        """What a spike sends."""
        cores = tuple(self.spikes.arrivals(name, address))
        groups: list[tuple[int, ...]] = [(core,) for core in cores]
        if self.fabric.multicast:
            groups = [cores] if cores else []
        ways = [tree(self.fabric, sender, group) for group in groups]
        return [
            Spike(name, address, cause[-1], 0, sender, group, way, cause)
            for group, way in zip(groups, ways, strict=True)
        ]

    def work(self, message: Spike, core: int) -> Work:
        """What *message* takes on *core*."""
        self.events["message_in"][core] += 1
        self.taken[message.population][core] += 1
        time, slow = self.costs.message_in.time, self.chip.cores[core].slowdown
        for busy, firing in self.changes(message, core):
            time += busy
            if firing is None:
                continue
            yield slow * (time + self.costs.spike.time), firing
            time = 0
            for sent in self.messages(firing.population, firing.address, core, firing.cause):
                self.events["message_out"][core] += 1
                yield slow * self.costs.message_out.time, sent
        yield slow * time, None

    def changes(self, message: Spike, core: int) -> Iterator[tuple[int, Firing | None]]:
        """Times of work, and the neurons that have fired after each."""
        now = self.port.begun - 1
        if message.population == TICK:
            for name, address, bias in self.biased(core):
                self.events["access"][core] += 1
                self.events["update"][core] += 1
                yield self.costs.access.time + self.costs.update.time, None
                if self.potentials.event(name, address, bias, now):
                    yield 0, Firing(name, address, (name, address, message.timestep))
            return
        for number, connection in enumerate(self.network.connections):
            if connection.source != message.population:
                continue
            targets, weights = connection.synapses(message.address)
            cores = self.spikes.cores[connection.target]
            pairs = list(zip(targets.tolist(), weights.tolist(), strict=True))
            here = [(target, weight) for target, weight in pairs if cores[target] == core]
            for group in in_groups(here, self.costs.lanes):
                self.events[connection.kind][core] += len(group)
                self.met[number][core] += len(group)
                yield self.costs.synapse[connection.kind].time, None
                shift = shift_of(connection)
                fired = [
                    target
                    for target, weight in group
                    if self.potentials.event(connection.target, target, weight << shift, now)
                ]
                for target in fired:
                    yield 0, Firing(connection.target, target, message.cause)

    def run_dry(self) -> None:
        """At one instant after another let the station of lowest rank that can act, act."""
        now = 0
        while self.agenda:
            now = heapq.heappop(self.agenda)
            check_time(self.chip, now)
            while any(station.act(now) for station in self.stations):
                self.end = now
        if any(queue.messages for queue in self.queues.values()) or any(u.list for u in self.units):
            raise Deadlock(self.cycle(now))

    def cycle(self, now: int) -> list[str]:
        """The queues that wait for each other."""
        name_of = {id(queue): name for name, queue in self.queues.items()}
        blocked = {station.name: station.blocked_by(now) for station in self.stations}
        return cycle_of({name: name_of[id(q)] for name, q in blocked.items() if q is not None}, self.names)

    def result(self) -> EventRun:
        """What has been counted."""
        cores, port, queues = self.fabric.cores, self.port, list(self.queues.values())
        before, links = [0] * cores, [0] * len(self.links)
        self.events["port"][cores] = port.sent
        seen = [*([] for _ in range(cores + 1)), *(queue.seen for queue in queues)]
        timing = Timing(
            steps=whole([self.end]),
            barrier=0,
            stations=tuple(self.names),
            busy=whole([*before, port.busy, *links, *(unit.busy for unit in self.units)]),
            stalled=whole([*before, port.stalled, *links, *(unit.stalled for unit in self.units)]),
            messages=whole([*before, port.sent, *(queue.taken for queue in queues)]),
            deepest=whole([max(depths, default=0) for depths in seen]),
            depths=np.stack([binned(depths) for depths in seen]),
            counts=np.stack([whole(self.events[name]) for name in EVENTS]),
        )
        dropped = whole([self.links[f"eject {core}"].dropped for core in range(cores)])
        taken = Taken(np.array(list(self.taken.values())), np.array(self.met, np.int64).reshape(-1, cores))
        return self.potentials.run(dropped, timing, taken)
