"""The tables of section 6 of `MACHINE.md`: worked out by hand from its text, row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import snncc.simulator
from snncc.chips import CoreLimits, Cost, LinkKind, Topology
from snncc.chips.model import Accumulator, Host, Port
from snncc.ir import Mul, Sparse, wires
from snncc.mapping.hosted import HostNode, Task
from snncc.mapping.network import Connection, Population, Role
from snncc.mapping.placement import Placement, Schedule
from snncc.simulator.machine import program_of, run_machine
from snncc.simulator.slow import Record, simulate
from snncc.simulator.timing import Ints, Timing
from tests.simulator.compare import differences
from tests.simulator.tiny import (
    chip,
    dense,
    fabric,
    network,
    one_to_one,
    operations,
    placed,
    population,
    trains,
)

PAGE = Path(snncc.simulator.__file__).parent / "MACHINE.md"
Row = tuple[int, str, str, str]
LAYERED = Schedule.LAYERED


class Program(NamedTuple):
    placement: Placement
    trains: Mapping[str, Ints]


def chain() -> Program:
    links = fabric(2, inject=LinkKind(2, 1), east_west=LinkKind(2, 3), eject=LinkKind(1, 1))
    work = operations(lanes=2, synapse=1, access=1, update=2, spike=3, message_out=1, message_in=2)
    net = network([population("x", 2, 0), population("a", 3, 1)], [dense("x", "a", [[1, 1]] * 3)])
    on = chip(links, work, barrier=((1, 5), (2, 7)))
    parts = [("x", 0, [0, 1]), ("a", 1, [0, 1, 2])]
    return Program(placed(on, net, parts, LAYERED), trains(x=[[[1, 1]]], a=[[[1, 0, 0]]]))


def full_queue() -> Program:
    links = fabric(
        2,
        credit=2,
        inject=LinkKind(4, 1, capacity=1),
        east_west=LinkKind(1, 1),
        eject=LinkKind(1, 1),
    )
    work = operations(synapse=1, access=1, update=1, message_out=1, message_in=1)
    net = network([population("x", 3, 0), population("y", 1, 1, ticks=0)], [dense("x", "y", [[1, 1, 1]])])
    parts = [("x", 0, [0, 1, 2]), ("y", 1, [0])]
    return Program(placed(chip(links, work, barrier=((1, 3),)), net, parts, LAYERED), trains(x=[[[1, 1, 1]]]))


def shared_link() -> Program:
    links = fabric(
        *(2, 1, 2),
        inject=LinkKind(1, 1),
        east_west=LinkKind(3, 2, capacity=2),
        eject=LinkKind(1, 0),
    )
    work = operations(synapse=2, access=1, spike=1, message_out=1, message_in=3)
    populations = [population("x", 3, 0), population("y", 2, 1, ticks=0)]
    net = network(populations, [one_to_one("x", "y", [0, 1, 0])])
    parts = [("x", 0, [0]), ("x", 1, [1, 2]), ("y", 2, [0]), ("y", 3, [1])]
    return Program(placed(chip(links, work, in_queue=1), net, parts, LAYERED), trains(x=[[[1, 1, 1]]]))


def fork() -> Program:
    links = fabric(
        *(2, 1, 2),
        multicast=True,
        inject=LinkKind(1, 1),
        east_west=LinkKind(1, 1),
        eject=LinkKind(1, 1, capacity=1),
    )
    work = operations(synapse=3, update=1, message_out=1, message_in=1)
    populations = [population("x", 3, 0), population("y", 3, 1, ticks=0)]
    net = network(populations, [dense("x", "y", [[1, 1, 1]] * 3)])
    parts = [("x", 0, [0, 1, 2]), ("y", 1, [0, 1]), ("y", 2, [2])]
    return Program(placed(chip(links, work, in_queue=1), net, parts, LAYERED), trains(x=[[[1, 1, 1]]]))


def ticks() -> Program:
    links = fabric(
        2,
        topology=Topology.CROSSBAR,
        inject=LinkKind(1, 1),
        east_west=LinkKind(1, 2),
        eject=LinkKind(1, 1),
    )
    work = operations(synapse=2, access=1, update=2, spike=1, message_out=1, message_in=1)
    populations = [population("x", 2, 0), population("a", 2, 1, ticks=2), population("y", 1, 2, ticks=0)]
    connections = [one_to_one("x", "a", [0, 1]), one_to_one("a", "a", [1, -1], 1), dense("a", "y", [[1, 1]])]
    on = chip(links, work, port=2, barrier=((2, 4),))
    parts = [("a", 0, [0, 1]), ("y", 1, [0])]
    return Program(
        placed(on, network(populations, connections), parts, LAYERED),
        trains(x=[[[1, 0]]], a=[[[1, 0], [0, 1]]]),
    )


PAIR = fabric(2, inject=LinkKind(1, 1), east_west=LinkKind(1, 2), eject=LinkKind(1, 1))


def numbers(name: str, size: int, depth: int, role: Role) -> Population:
    """What sends numbers."""
    return replace(population(name, size, depth, payload_bits=8), role=role)


def hosted() -> Program:
    work = operations(synapse=1, access=1, update=1, message_out=1, message_in=1)
    work = replace(work, synapse=dict(work.synapse) | {"mac": Cost(time=2)})
    populations = [
        *(population("x", 2, 0), numbers("t", 2, 1, Role.TAP), numbers("g", 2, 2, Role.HOST)),
        population("y", 2, 3, ticks=0),
    ]
    net = network(populations, [dense("x", "t", [[1, 1]] * 2), one_to_one("g", "y", [0, 1])])
    task = Task((HostNode(Mul(name="g", inputs=wires("t", "t")), (2,), (2,), False),))
    net = replace(net, tasks={"g": task}, to_host={"t": np.array([True, True])})
    host = Host(macs_per_second=0.8e9, energy_per_mac=1.0)
    on = replace(chip(PAIR, work, barrier=((1, 5),), host=host), port=Port(Cost(time=2)))
    parts = [("x", 0, [0, 1]), ("t", 1, [0, 1]), ("y", 1, [0, 1])]
    return Program(placed(on, net, parts, LAYERED), trains(x=[[[1, 1]]], t=[[[2, 0]]], g=[[[4, 0]]]))


def operand(source: str, rule: str, pre: list[int], post: list[int], size: int) -> Connection:
    """Which numbers of the product p the numbers of *source* take part in."""
    ones, shape, out = np.ones(len(pre), np.int64), (size,), (2,)
    node = Sparse(name=rule, inputs=(), pre=np.array(pre), post=np.array(post), weight=ones, shape=out)
    reads = np.arange(size)[:, None]
    return Connection(source, "p", node, shape, out, reads, np.arange(2), 0, size, rule=rule, entry_bits=1)


def product() -> Program:
    work = operations(lanes=2, synapse=1, access=1, update=1, message_out=1, message_in=1)
    populations = [
        *(population("k", 4, 0), population("q", 2, 1), numbers("p", 2, 2, Role.PRODUCT)),
        population("y", 1, 3, ticks=0),
    ]
    writes = operand("k", "write", [0, 1, 2, 3], [0, 1, 0, 1], 4)
    reads = operand("q", "read", [0, 0, 1, 1], [0, 1, 0, 1], 2)
    net = network(populations, [writes, reads, dense("p", "y", [[1, 1]])])
    memory = Accumulator(64, write=Cost(time=1), read=Cost(time=2))
    on = chip(PAIR, work, barrier=((1, 5),), accumulator=memory)
    parts = [("k", 0, [0, 1, 2, 3]), ("q", 0, [0, 1]), ("p", 1, [0, 1]), ("y", 0, [0])]
    spikes = trains(k=[[[1, 0, 0, 1]]], q=[[[1, 0]]], p=[[[1, 0]]])
    return Program(placed(on, net, parts, LAYERED), spikes)


PROGRAMS = {
    "6.1": chain,
    "6.2": full_queue,
    "6.3": shared_link,
    "6.4": fork,
    "6.5": ticks,
    "6.6": hosted,
    "6.7": product,
}


def table(section: str) -> list[Row]:
    """The rows of one table of the page."""
    text = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (chosen,) = (part for part in text if part.startswith(section))
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in chosen.splitlines() if line[:1] == "|"
    ]
    return [(int(instant), station, what, message) for instant, station, what, message in cells[2:]]


def row(record: Record, host: int) -> Row:
    """One line of the log; *host* is the number of the host."""
    message = record.message
    cores = ", ".join("host" if c == host else str(c) for c in message.cores) if message else ""
    name = f"{message.population}{message.address} to {cores}" if message else ""
    return record.instant, record.station, record.what, name


def simulated(section: str) -> tuple[list[Row], Timing]:
    """What the machine does, without units that have nothing to sweep."""
    program, log = PROGRAMS[section](), list[Record]()
    timing = simulate(program.placement, program.trains, log=log)
    begins = [0]
    for step in timing.steps.tolist()[:-1]:
        begins.append(begins[-1] + step + timing.barrier)
    host = program.placement.chip.fabric.cores
    return [row(r, host) for r in log if r.what != "done" or r.instant not in begins], timing


@pytest.mark.parametrize("section", PROGRAMS)
def test_every_row(section: str) -> None:
    rows, _ = simulated(section)
    expected = table(section)
    assert len(expected) > 10
    assert rows == expected


def of(timing: Timing, what: str) -> dict[str, int]:
    """The numbers of the stations that have any."""
    numbers = getattr(timing, what).tolist()
    return {name: n for name, n in zip(timing.stations, numbers, strict=True) if n}


def events(timing: Timing) -> dict[str, list[int]]:
    return {name: counts.tolist() for name, counts in timing.events.items() if counts.any()}


def test_numbers_of_the_chain() -> None:
    _, timing = simulated("6.1")
    assert (timing.steps.tolist(), timing.barrier, timing.total) == ([19, 12], 7, 45)
    assert of(timing, "busy") == {"neuron unit 0": 10, "neuron unit 1": 12, "synapse unit 1": 8}
    assert not of(timing, "stalled")
    passed = ("neuron unit 0", "inject 0", "east 0", "eject 1", "synapse unit 1")
    assert of(timing, "messages") == dict.fromkeys(passed, 2)
    assert of(timing, "deepest") == dict.fromkeys(passed[1:], 1)
    assert timing.stations == (
        *("neuron unit 0", "neuron unit 1", "port", "inject 0", "inject 1", "inject port"),
        *("east 0", "west 1", "eject 0", "eject 1", "synapse unit 0", "synapse unit 1"),
    )
    assert events(timing) == {
        "access": [2, 3, 0],
        "update": [0, 3, 0],
        "spike": [2, 1, 0],
        "message_out": [2, 0, 0],
        "message_in": [0, 2, 0],
        "dense": [0, 6, 0],
    }


def test_numbers_of_the_full_queue() -> None:
    _, timing = simulated("6.2")
    assert (timing.steps.tolist(), timing.barrier, timing.total) == ([15, 2], 3, 23)
    assert of(timing, "busy") == {"neuron unit 0": 6, "neuron unit 1": 2, "synapse unit 1": 6}
    assert of(timing, "stalled") == {"neuron unit 0": 2}
    assert of(timing, "deepest")["inject 0"] == 1


def test_numbers_of_the_shared_link() -> None:
    _, timing = simulated("6.3")
    assert (timing.steps.tolist(), timing.total) == ([17, 1], 18)
    east = timing.stations.index("east 0")
    assert timing.depths[east].tolist()[:3] == [1, 2, 0]
    assert (timing.deepest[east], timing.messages[east]) == (2, 3)
    assert not of(timing, "stalled")


def test_numbers_of_the_fork() -> None:
    _, timing = simulated("6.4")
    assert (timing.steps.tolist(), timing.total) == ([24, 2], 26)
    sent = ("neuron unit 0", "inject 0", "east 0", "eject 1", "eject 2", "synapse unit 1", "synapse unit 2")
    assert of(timing, "messages") == dict.fromkeys(sent, 3)
    assert of(timing, "busy") == {
        "neuron unit 0": 3,
        "neuron unit 1": 2,
        "neuron unit 2": 1,
        "synapse unit 1": 21,
        "synapse unit 2": 12,
    }
    assert not of(timing, "stalled")
    assert of(timing, "deepest")["inject 0"] == 2
    assert events(timing)["dense"] == [0, 6, 3, 0, 0]


def test_numbers_of_the_ticks() -> None:
    _, timing = simulated("6.5")
    assert (timing.steps.tolist(), timing.barrier, timing.total) == ([9, 13, 13, 3], 4, 54)
    assert events(timing) == {
        "access": [4, 1, 0],
        "update": [2, 1, 0],
        "spike": [2, 0, 0],
        "message_out": [3, 0, 0],
        "message_in": [2, 2, 0],
        "port": [0, 0, 1],
        "dense": [0, 2, 0],
        "sparse": [2, 0, 0],
    }
    assert timing.stations == (
        *("neuron unit 0", "neuron unit 1", "port", "inject 0", "inject 1", "inject port"),
        *("cross 0 1", "cross 1 0", "cross port 0", "cross port 1"),
        *("eject 0", "eject 1", "synapse unit 0", "synapse unit 1"),
    )


def test_numbers_of_the_host() -> None:
    _, timing = simulated("6.6")
    assert (timing.steps.tolist(), timing.total) == ([12, 8, 12, 3], 55)
    assert of(timing, "busy") == {
        "neuron unit 0": 4,
        "neuron unit 1": 5 + 3,
        "port": 2,
        "synapse unit 1": 3 + 3 + 3,
        "host": 3 + 1,
    }
    assert events(timing) == {
        "access": [2, 4, 0],
        "update": [0, 3, 0],
        "spike": [2, 1, 0],
        "message_out": [2, 1, 0],
        "message_in": [0, 3, 1],
        "port": [0, 0, 1],
        "dense": [0, 4, 0],
        "mac": [0, 1, 0],
        "host": [0, 0, 2],
    }


def test_numbers_of_the_product() -> None:
    _, timing = simulated("6.7")
    assert (timing.steps.tolist(), timing.total) == ([12, 9, 9, 2], 52)
    assert of(timing, "busy") == {
        "neuron unit 0": 6 + 3 + 2,
        "neuron unit 1": 5,
        "synapse unit 0": 2,
        "synapse unit 1": 2 + 2 + 3,
    }
    assert events(timing) == {
        "access": [4 + 2 + 1, 2, 0],
        "update": [1, 2, 0],
        "spike": [3, 1, 0],
        "message_out": [3, 1, 0],
        "message_in": [1, 3, 0],
        "mac": [1, 0, 0],
        "write": [0, 2, 0],
        "read": [0, 2, 0],
    }


def test_a_slow_core_takes_longer() -> None:
    """The chain of 6.1, where the second core is slow: its arrivals work 3 x 4, its three visits 3 x 12."""
    program = chain()
    on = program.placement.chip
    placement = replace(program.placement, chip=replace(on, cores=(on.cores[0], CoreLimits(slowdown=3))))
    timing = simulate(placement, program.trains)
    assert (timing.steps.tolist(), timing.total) == ([10 + 12 + 12, 36], 34 + 7 + 36 + 7)
    assert of(timing, "busy") == {"neuron unit 0": 10, "neuron unit 1": 36, "synapse unit 1": 24}
    assert not differences(run_machine(program_of(placement), program.trains)[0], timing)


@pytest.mark.parametrize("section", PROGRAMS)
def test_the_fast_machine_as_well(section: str) -> None:
    program = PROGRAMS[section]()
    fast, _ = run_machine(program_of(program.placement), program.trains)
    assert not differences(fast, simulate(program.placement, program.trains))
