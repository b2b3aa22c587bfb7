"""The rules of section 2 of `MACHINE.md`, checked on the log alone: all was allowed, and nothing late."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings

from snncc.chips import Chip, LinkKind
from snncc.mapping.schedule import steps_of
from snncc.simulator.slow import Message, Record, simulate
from snncc.simulator.slow.routes import kind_of
from tests.simulator.machines import Program, is_link, programs

Pass = tuple[int, int]
"""The rank of the station before, and the instant of arrival."""


@dataclass(slots=True)
class Passed:
    """What passed one queue in one step: messages in the order in which they took slots and left."""

    arrivals: dict[int, Pass] = field(default_factory=dict)
    put: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    taken: list[tuple[int, Message]] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)


def steps_in(program: Program, log: list[Record]) -> Iterator[list[Record]]:
    """The log, cut by the steps in which its messages were sent."""
    placement = program.placement
    timesteps = len(next(iter(program.trains.values())))
    of = {
        sweep: k
        for k, sweeps in enumerate(steps_of(placement.network, placement.schedule, timesteps))
        for sweep in sweeps
    }
    cut: dict[int, list[Record]] = defaultdict(list)
    for record in log:
        m = record.message
        if m is not None:
            cut[of[m.population, m.timestep, m.tick]].append(record)
    yield from cut.values()


def replayed(records: list[Record], chip: Chip, stations: tuple[str, ...]) -> dict[str, Passed]:
    """What passed each queue."""
    queues: dict[str, Passed] = defaultdict(Passed)
    for now, station, what, message in records:
        if message is None or what == "waits":
            continue
        here = queues[station]
        if what == "finishes":
            here.finished.append(now)
            continue
        if what == "starts":
            here.left.append(now)
            here.taken.append((now, message))
        rank, arrival, following = stations.index(station), now, message.after.get(station, [])
        if what == "sends":
            following = [f"inject {station.removeprefix('neuron unit ')}"]
        elif is_link(station):
            arrival = now + kind_of(station, chip.fabric).latency
        for name in following:
            there = queues[name]
            there.put.append(now)
            there.arrivals[id(message)] = rank, arrival
            free = sum(left + chip.fabric.credit <= now for left in there.left)
            there.depths.append(len(there.put) - free)
    return queues


def check_order(here: Passed) -> None:
    """Messages leave in the order of arrival, then of rank; each after it has arrived."""
    keys = [here.arrivals[id(message)][::-1] for _, message in here.taken]
    assert keys == sorted(keys)
    assert all(arrival <= now for (now, _), (arrival, _) in zip(here.taken, keys, strict=True))
    assert len(here.taken) == len(here.arrivals)


def check_link(name: str, here: Passed, queues: dict[str, Passed], kind: LinkKind, credit: int) -> None:
    """Starts keep the interval, and each has a reason not to be earlier."""
    last: int | None = None
    for now, message in here.taken:
        reasons = {here.arrivals[id(message)][1]}
        if last is not None:
            assert now - last >= kind.interval
            reasons |= {last, last + kind.interval}
        for after in message.after[name]:
            reasons |= {left + credit for left in queues[after].left}
        assert now in reasons
        last = now


def check_unit(here: Passed) -> None:
    """One message at a time, the next as soon as it is there and the unit is free."""
    free = 0
    for (now, message), finished in zip(here.taken, here.finished, strict=True):
        assert now == max(free, here.arrivals[id(message)][1])
        free = finished


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
def test_rules(program: Program) -> None:
    chip, log = program.placement.chip, list[Record]()
    timing = simulate(program.placement, program.trains, log=log)
    depths: dict[str, Counter[int]] = defaultdict(Counter)
    for records in steps_in(program, log):
        queues = replayed(records, chip, timing.stations)
        for name in timing.stations:
            here = queues[name]
            depths[name].update(depth.bit_length() - 1 for depth in here.depths)
            if name.startswith(("neuron unit", "port")):
                continue
            check_order(here)
            if is_link(name):
                kind = kind_of(name, chip.fabric)
                check_link(name, here, queues, kind, chip.fabric.credit)
                capacity = kind.capacity
            else:
                check_unit(here)
                capacity = chip.cores[int(name.split()[-1])].in_queue
            assert capacity is None or max(here.depths, default=0) <= capacity
    for k, name in enumerate(timing.stations):
        assert {b: n for b, n in enumerate(timing.depths[k].tolist()) if n} == depths[name]
