"""What holds of every program on the machine, whatever its numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

from snncc.chips import Chip, Cost, LinkKind, Topology, Touch
from snncc.chips.model import Operations, Port
from snncc.errors import BadInput
from snncc.mapping.schedule import steps_of
from snncc.simulator.slow import Record, simulate
from snncc.simulator.slow.machine import Machine, ignore
from snncc.simulator.timing import Ints, Timing
from tests.simulator.machines import Program, forks, programs, shares, stalls
from tests.simulator.tiny import KINDS, chip, dense, fabric, network, operations, placed, population, trains

SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.data_too_large]
MANY = settings(max_examples=60, deadline=None, suppress_health_check=SLOW_DRAWS)


def run(program: Program) -> tuple[Timing, list[Record]]:
    log: list[Record] = []
    return simulate(program.placement, program.trains, log=log), log


def by_station(timing: Timing, what: str) -> dict[str, int]:
    return dict(zip(timing.stations, getattr(timing, what).tolist(), strict=True))


def test_programs_are_interesting() -> None:
    """Of the drawn programs many stall, share links, and fork."""
    seen: Counter[str] = Counter()

    def draw(program: Program) -> None:
        timing, log = run(program)
        seen.update(["all"])
        seen.update(test.__name__ for test in (stalls, shares, forks) if test(log))
        seen.update(["neuron units wait"] if timing.stalled.any() else [])
        seen.update(name for name, counts in timing.events.items() if counts.any())

    # Many short runs: in a long one hypothesis varies what it has drawn before.
    few = settings(max_examples=10, database=None, deadline=None, suppress_health_check=SLOW_DRAWS)
    for number in range(10):
        seed(number)(few(given(programs())(draw)))()
    assert seen["all"] >= 100
    assert seen["stalls"] >= 0.3 * seen["all"]
    assert seen["shares"] >= 0.3 * seen["all"]
    assert seen["forks"] >= 0.2 * seen["all"]
    assert min(seen[name] for name in ("neuron units wait", "update", "port", *KINDS)) >= 0.1 * seen["all"]


@MANY
@given(programs())
def test_every_message_arrives_once(program: Program) -> None:
    """At each of its cores, and nowhere else; no station sees it twice."""
    _, log = run(program)
    finished: dict[int, list[str]] = defaultdict(list)
    started: Counter[tuple[int, str]] = Counter()
    sent = {}
    for record in log:
        key = id(record.message)
        if record.what == "sends":
            assert record.message is not None
            assert key not in sent
            sent[key] = [f"synapse unit {core}" for core in record.message.cores]
        elif record.what == "starts":
            started[key, record.station] += 1
        elif record.what == "finishes":
            finished[key].append(record.station)
    assert {key: sorted(stations) for key, stations in finished.items()} == {
        key: sorted(stations) for key, stations in sent.items()
    }
    assert set(started.values()) <= {1}


@MANY
@given(programs())
def test_flow(program: Program) -> None:
    """What enters a router leaves it: once, or where messages fork at least once."""
    fabric, (timing, _) = program.placement.chip.fabric, run(program)
    messages = by_station(timing, "messages")
    for core in range(fabric.cores):
        assert messages[f"eject {core}"] == messages[f"synapse unit {core}"]
        assert messages[f"eject {core}"] == timing.events["message_in"][core]
        assert messages[f"inject {core}"] == messages[f"neuron unit {core}"]
        assert messages[f"inject {core}"] == timing.events["message_out"][core]
    assert messages["inject port"] == messages["port"] == timing.events["port"][-1]
    for entering, leaving in routers(program.placement.chip):
        inwards, outwards = (sum(messages.get(name, 0) for name in names) for names in (entering, leaving))
        assert inwards <= outwards if fabric.multicast else inwards == outwards


def routers(of: Chip) -> list[tuple[list[str], list[str]]]:
    """The links into and out of the router of each tile; a crossbar is one router."""
    fabric = of.fabric
    if fabric.topology is Topology.CROSSBAR:
        cores = range(fabric.cores)
        return [(["inject port", *(f"inject {c}" for c in cores)], [f"eject {c}" for c in cores])]
    found = []
    for tile in range(fabric.columns * fabric.rows):
        x, y = tile % fabric.columns, tile // fabric.columns
        cores = range(tile * fabric.cores_per_tile, (tile + 1) * fabric.cores_per_tile)
        entering = [f"inject {core}" for core in cores] + (["inject port"] if tile == 0 else [])
        entering += [f"east {tile - 1}"] if x else []
        entering += [f"west {tile + 1}"] if x < fabric.columns - 1 else []
        entering += [f"south {tile - fabric.columns}"] if y else []
        entering += [f"north {tile + fabric.columns}"]
        ways = [f"{way} {tile}" for way in ("east", "west", "south", "north")]
        found.append((entering, [*ways, *(f"eject {core}" for core in cores)]))
    return found


@MANY
@given(programs())
def test_events(program: Program) -> None:
    """The sums of all events are those of the network and its trains."""
    timing, _ = run(program)
    placement, net = program.placement, program.placement.network
    events = {name: int(counts.sum()) for name, counts in timing.events.items()}
    held = [p for p in net.populations.values() if not placement.is_at_port(p.name)]
    timesteps = len(next(iter(program.trains.values())))
    assert events["access"] == timesteps * sum(p.steps * p.size for p in held)
    assert events["spike"] == sum(int((program.trains[p.name] != 0).sum()) for p in held if p.ticks)
    active = timesteps * sum(p.steps * p.size for p in held if p.is_active)
    every = placement.chip.touch is Touch.ALL
    assert (events["access"] if every else active) <= events["update"] <= events["access"]
    expected: Counter[str] = Counter()
    for connection in net.connections:
        kind = "mac" if net.populations[connection.source].payload_bits else connection.kind
        for address in np.nonzero(program.trains[connection.source])[2].tolist():
            expected[kind] += len(connection.synapses(address)[0])
    assert {kind: events[kind] for kind in KINDS} == {kind: expected[kind] for kind in KINDS}


@MANY
@given(programs())
def test_depths(program: Program) -> None:
    """Each message sees one depth, within the slots of its queue."""
    timing, _ = run(program)
    fabric, cores = program.placement.chip.fabric, program.placement.chip.cores
    slots: dict[str, int | None] = {
        **dict.fromkeys(("east", "west", "cross"), fabric.east_west.capacity),
        **dict.fromkeys(("south", "north"), fabric.north_south.capacity),
        "inject": fabric.inject.capacity,
        "eject": fabric.eject.capacity,
    }
    assert all(
        np.diff(timing.depths.sum(axis=1)[fabric.cores + 1 :] - timing.messages[fabric.cores + 1 :]) == 0
    )
    for k, name in enumerate(timing.stations):
        if name.startswith(("neuron", "port")):
            assert timing.deepest[k] == 0
            continue
        what, _, core = name.rpartition(" ")
        most = cores[int(core)].in_queue if what == "synapse unit" else slots[name.split()[0]]
        assert most is None or timing.deepest[k] <= most
        assert np.flatnonzero(timing.depths[k]).max(initial=-1) == int(timing.deepest[k]).bit_length() - 1


@MANY
@given(programs())
def test_doubled_times(program: Program) -> None:
    """A machine of half the speed takes twice the time, and does the same."""
    slow, _ = run(
        replace(program, placement=replace(program.placement, chip=scaled(program.placement.chip, 2)))
    )
    timing, _ = run(program)
    for name in ("steps", "barrier", "busy", "stalled", "total"):
        assert np.array_equal(2 * np.asarray(getattr(timing, name)), getattr(slow, name)), name
    for name in ("messages", "deepest", "depths"):
        assert np.array_equal(getattr(timing, name), getattr(slow, name)), name
    assert all(np.array_equal(timing.events[name], slow.events[name]) for name in timing.events)


def scaled(of: Chip, factor: int) -> Chip:
    """A chip whose times are all longer."""

    def link(kind: LinkKind) -> LinkKind:
        return replace(kind, interval=factor * kind.interval, latency=factor * kind.latency)

    fabric = replace(
        of.fabric,
        inject=link(of.fabric.inject),
        east_west=link(of.fabric.east_west),
        north_south=link(of.fabric.north_south),
        eject=link(of.fabric.eject),
        credit=factor * of.fabric.credit,
    )
    return replace(
        of,
        fabric=fabric,
        operations=scaled_operations(of.operations, factor, [f.name for f in fields(Operations)]),
        barrier=tuple((tiles, factor * time) for tiles, time in of.barrier),
        port=Port(Cost(factor * of.port.event.time)),
    )


def scaled_operations(of: Operations, factor: int, names: list[str]) -> Operations:
    """*of* with other times for the fields in *names*."""
    changed: dict[str, Any] = {}
    for name in names:
        cost = getattr(of, name, None)
        if isinstance(cost, Cost):
            changed[name] = Cost(factor * cost.time)
    if "synapse" in names:
        changed["synapse"] = {kind: Cost(factor * cost.time) for kind, cost in of.synapse.items()}
    return replace(of, **changed)


def free(program: Program, names: list[str]) -> Program:
    """*program* on a chip without bounds, whose links and the operations in *names* take no time."""
    of, link = program.placement.chip, LinkKind()
    fabric = replace(of.fabric, inject=link, east_west=link, north_south=link, eject=link, credit=0)
    cores = tuple(replace(core, in_queue=None) for core in of.cores)
    work = scaled_operations(of.operations, 0, names)
    port = Port(Cost(0)) if "port" in names else of.port
    placement = replace(
        program.placement, chip=replace(of, fabric=fabric, cores=cores, operations=work, port=port)
    )
    return replace(program, placement=placement)


def busy(machine: Machine) -> tuple[Ints, Ints]:
    """Time at work so far, of the neuron units and of the synapse units."""
    units, synapse_units = machine.units, machine.synapse_units
    return np.array([unit.busy for unit in units]), np.array([unit.busy for unit in synapse_units])


SENDING = ["access", "update", "spike", "message_out", "port"]
RECEIVING = ["message_in", "synapse"]


@pytest.mark.parametrize("names", [SENDING, RECEIVING, []])
def test_free_links(names: list[str]) -> None:
    """Without waiting a step takes the analytic time; if all units work, at least that, at most its sum."""

    @MANY
    @given(programs())
    def check(program: Program) -> None:
        made = free(program, names)
        machine = Machine(made.placement, made.trains, ignore)
        timesteps = len(next(iter(made.trains.values())))
        before = busy(machine)
        for sweeps in steps_of(made.placement.network, made.placement.schedule, timesteps):
            machine.step(sweeps)
            longest = [int((b - a).max()) for a, b in zip(before, busy(machine), strict=True)]
            before = busy(machine)
            assert max(longest) <= machine.times[-1] <= sum(longest)
            assert not names or machine.times[-1] == max(longest)

    check()


@MANY
@given(programs())
def test_log_changes_nothing(program: Program) -> None:
    timing, _ = run(program)
    again = simulate(program.placement, program.trains)
    assert all(np.array_equal(getattr(timing, f), getattr(again, f)) for f in ("steps", "stalled", "depths"))


def test_wrong_trains_are_refused() -> None:
    net = network([population("x", 1, 0), population("y", 1, 1, ticks=0)], [dense("x", "y", [[1]])])
    placement = placed(chip(fabric(), operations()), net, [("x", 0, [0]), ("y", 0, [0])])
    with pytest.raises(BadInput, match="x: no train"):
        simulate(placement, {})


def test_a_deadlock_would_be_told() -> None:
    """None can be; so a queue is broken on purpose."""
    net = network([population("x", 2, 0), population("y", 1, 1, ticks=0)], [dense("x", "y", [[1, 1]])])
    placement = placed(chip(fabric(), operations()), net, [("x", 0, [0, 1]), ("y", 0, [0])])
    machine = Machine(placement, trains(x=[[[1, 1]]]), ignore)
    machine.queues["eject 0"].capacity, machine.queues["synapse unit 0"].capacity = 1, 0
    with pytest.raises(AssertionError) as caught:
        machine.step((("x", 0, 0),))
    full, left = "['eject 0', 'synapse unit 0']", "{'inject 0': 1, 'eject 0': 1}"
    assert str(caught.value) == (
        f"deadlock: full are {full}, messages are left in {left}, neuron units wait: []"
    )
