"""The machine of `MACHINE.md`, one instant after another."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

import numpy as np

from snncc.mapping.placement import Placement
from snncc.mapping.schedule import Sweep, check_schedule, checked_trains, steps_of
from snncc.simulator.slow.lists import Lists
from snncc.simulator.slow.routes import HOST, kind_of, station_names
from snncc.simulator.slow.stations import Link, NeuronUnit, Note, Queue, Record, Station, SynapseUnit
from snncc.simulator.timing import BINS, EVENTS, Ints, Timing, check_time


def simulate(placement: Placement, trains: Mapping[str, Ints], *, log: list[Record] | None = None) -> Timing:
    """How long one sample takes. *trains* are [T, ticks, size] of each input and each neuron.

    *log* receives everything that happens, in order; its instants count from the beginning of the first
    step. Raises `CannotLower` or `InvalidGraph` for what the chip cannot run, `BadInput` for wrong trains.
    """
    check_schedule(placement)
    checked = checked_trains(placement.network, trains)
    timesteps = len(next(iter(checked.values())))
    machine = Machine(placement, checked, ignore if log is None else log.append)
    for sweeps in steps_of(placement.network, placement.schedule, timesteps):
        machine.step(sweeps)
    return machine.timing()


def ignore(_: Record) -> None:
    """Nobody wants the log."""


class Machine:
    """All stations of a chip, and what is known between two steps."""

    def __init__(self, placement: Placement, trains: Mapping[str, Ints], note: Note) -> None:
        self.chip, self.fabric, self.note = placement.chip, placement.chip.fabric, note
        self.lists = Lists(placement, trains)
        self.has_host = bool(placement.network.tasks)
        self.barrier = self.chip.barrier_time(placement.tiles)
        self.agenda: list[int] = []
        self.clock = 0
        self.times: list[int] = []
        self.queues: dict[str, Queue] = {}
        self.units: list[NeuronUnit] = []
        self.links: list[Link] = []
        self.synapse_units: list[SynapseUnit] = []
        self.build()

    def build(self) -> None:
        """All stations and queues."""
        cores = self.fabric.cores
        names = station_names(self.fabric, has_host=self.has_host)
        for name in names[cores + 1 :]:
            self.queues[name] = Queue(self.capacity(name), self.fabric.credit, self.wake)
        for rank, name in enumerate(names):
            if rank <= cores:
                queue = self.queues[names[rank + cores + 1]]
                self.units.append(NeuronUnit(name, rank, queue, self.note, self.wake))
            elif name == HOST or name.startswith("synapse unit"):
                self.add_synapse_unit(name, rank)
            else:
                kind, queue = kind_of(name, self.fabric), self.queues[name]
                self.links.append(Link(name, rank, kind, queue, self.queues, self.note))
        self.stations: list[Station] = [*self.units, *self.links, *self.synapse_units]

    def add_synapse_unit(self, name: str, rank: int) -> None:
        core = self.fabric.cores if name == HOST else int(name.split()[-1])
        unit = SynapseUnit(
            name,
            rank,
            self.queues[name],
            work=lambda message: self.lists.arrive(message, core),
            finish=lambda message: self.lists.touch(message, core),
            note=self.note,
        )
        self.synapse_units.append(unit)

    def capacity(self, name: str) -> int | None:
        """The slots of the queue in front of the station *name*; None: unbounded."""
        if name == HOST:
            return None
        if name.startswith("synapse unit"):
            return self.chip.cores[int(name.split()[-1])].in_queue
        return kind_of(name, self.fabric).capacity

    def wake(self, instant: int) -> None:
        heapq.heappush(self.agenda, instant)

    def step(self, sweeps: Iterable[Sweep]) -> None:
        """Sweep, and work off all that is sent."""
        begin, sweeps = self.clock, tuple(sweeps)
        for queue in self.queues.values():
            queue.begin()
        for link in self.links:
            link.begin()
        # All lists are made before anything arrives: no sweep sees a message of its own step.
        lists = [list(self.lists.work(core, sweeps)) for core in range(len(self.units))]
        for unit, work in zip(self.units, lists, strict=True):
            unit.begin(begin, work)
        self.run_dry()
        ends = [unit.ready for unit in self.units] + [unit.free for unit in self.synapse_units]
        end = max(begin, *ends)
        self.times.append(end - begin)
        self.clock = end + self.barrier
        check_time(self.chip, self.clock)

    def run_dry(self) -> None:
        """Let all stations act at one instant after another, until nothing is left to do."""
        while self.agenda:
            now = heapq.heappop(self.agenda)
            while self.agenda and self.agenda[0] == now:
                heapq.heappop(self.agenda)
            for station in self.stations:
                station.act(now)
        if any(queue.messages for queue in self.queues.values()) or any(unit.list for unit in self.units):
            raise AssertionError(self.deadlock())

    def deadlock(self) -> str:
        """What is left, which the text says cannot be."""
        left = {name: len(queue.messages) for name, queue in self.queues.items() if queue.messages}
        waiting = [unit.name for unit in self.units if unit.list]
        bounded = {name: q for name, q in self.queues.items() if q.capacity is not None}
        full = [name for name, queue in bounded.items() if len(queue.messages) >= (queue.capacity or 0)]
        return f"deadlock: full are {full}, messages are left in {left}, neuron units wait: {waiting}"

    def timing(self) -> Timing:
        """What has been counted."""
        units, queues = self.units, list(self.queues.values())
        no_links = [0] * len(self.links)
        seen = [*([] for _ in units), *(queue.seen for queue in queues)]
        busy = [u.busy for u in units] + no_links + [u.busy for u in self.synapse_units]
        if self.has_host:  # what the host computes before the port sends is the host's work
            busy[self.fabric.cores] -= self.lists.computed
            busy[-1] += self.lists.computed
        return Timing(
            steps=whole(self.times),
            barrier=self.barrier,
            stations=tuple(station.name for station in self.stations),
            busy=whole(busy),
            stalled=whole([unit.stalled for unit in units] + [0] * len(queues)),
            messages=whole([unit.sent for unit in units] + [queue.taken for queue in queues]),
            deepest=whole([max(depths, default=0) for depths in seen]),
            depths=np.stack([binned(depths) for depths in seen]),
            counts=np.stack([whole(self.lists.events[name]) for name in EVENTS]),
        )


def whole(numbers: Iterable[int]) -> Ints:
    return np.array(list(numbers), np.int64)


def binned(depths: Iterable[int]) -> Ints:
    """How often depths have 1, 2, 3, ... binary digits."""
    bins = [0] * BINS
    for depth in depths:
        bins[len(f"{depth:b}") - 1] += 1
    return whole(bins)
