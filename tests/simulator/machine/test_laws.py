"""Laws that every run on the machine obeys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snncc.chips import Chip, Cost, LinkKind
from snncc.mapping import Part, Placement
from snncc.mapping.network import Role
from snncc.simulator.machine import Level, program_of, run_machine
from snncc.simulator.slow import simulate
from snncc.simulator.timing import Timing
from tests.simulator import tiny
from tests.simulator.compare import differences
from tests.simulator.machines import Program, programs

KINDS = ("inject", "east_west", "north_south", "eject")


def with_links(chip: Chip, change: dict[str, Any]) -> Chip:
    return replace(chip, fabric=replace(chip.fabric, **change))


def timed(placement: Placement, program: Program, level: Level = Level.CYCLE) -> Timing:
    return run_machine(program_of(placement), program.trains, level)[0]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(programs())
def test_every_message_arrives(program: Program) -> None:
    """What is sent is carried by one inject link, and worked off once by each destination."""
    timing = timed(program.placement, program)
    cores = program.placement.chip.fabric.cores
    sent = int(timing.events["message_out"].sum() + timing.events["port"].sum())
    by_name = dict(zip(timing.stations, timing.messages.tolist(), strict=True))
    assert sum(n for name, n in by_name.items() if name.startswith("inject")) == sent
    ejected = sum(n for name, n in by_name.items() if name.startswith("eject"))
    assert ejected == int(timing.events["message_in"].sum()) == int(timing.messages[-cores:].sum())
    assert np.array_equal(timing.depths.sum(axis=1)[cores + 1 :], timing.messages[cores + 1 :])
    if not program.placement.chip.fabric.multicast:
        assert ejected == sent


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(programs(), st.booleans())
def test_free_links_give_the_analytic_time(program: Program, sends_at_once: bool) -> None:
    """With links that take no time, no bounds, and units that never wait for each other.

    They do not where neuron units send everything at once, and where synapse units have nothing to do.
    """
    free = LinkKind(0, 0, 0.0, None)
    chip = with_links(program.placement.chip, dict.fromkeys(KINDS, free))
    chip = replace(chip, cores=tuple(replace(core, in_queue=None) for core in chip.cores))
    o = chip.operations
    if sends_at_once:
        o = replace(o, access=Cost(), update=Cost(), spike=Cost(), message_out=Cost())
        chip = replace(chip, operations=o, port=replace(chip.port, event=Cost()))
    else:
        chip = replace(
            chip, operations=replace(o, message_in=Cost(), synapse=dict.fromkeys(o.synapse, Cost()))
        )
    placement = replace(program.placement, chip=chip)
    cycle, analytic = timed(placement, program), timed(placement, program, Level.ANALYTIC)
    assert np.array_equal(cycle.steps, analytic.steps)
    assert not cycle.stalled.any()


def longer(draw: st.DrawFn, chip: Chip) -> Chip:
    """*chip* with one latency or interval raised."""
    kind = draw(st.sampled_from(KINDS))
    link: LinkKind = getattr(chip.fabric, kind)
    field, more = draw(st.sampled_from(["interval", "latency"])), draw(st.integers(1, 9))
    return with_links(chip, {kind: replace(link, **{field: getattr(link, field) + more})})


@st.composite
def slower_programs(draw: st.DrawFn) -> tuple[Program, Chip]:
    """A program, and its chip with one link slower."""
    program = draw(programs())
    return program, longer(draw, program.placement.chip)


def on_one_sender_each(program: Program) -> Placement | None:
    """*program* with every core fed by one other core at most; None where its network cannot be placed so."""
    placement = program.placement
    network = placement.network
    chip = placement.chip
    home: dict[str, int] = {}
    for name, population in network.populations.items():
        if placement.is_at_port(name):
            continue
        home[name] = len(home)
        if population.role is Role.NEURON and home[name] >= chip.fabric.cores:
            return None
    if len(home) > chip.fabric.cores:
        return None
    for name in home:
        feeding = {home.get(c.source, chip.fabric.cores) for c in network.into(name)}
        if len(feeding) > 1:
            return None
    parts = tuple(Part(name, core, np.arange(network.populations[name].size)) for name, core in home.items())
    return replace(placement, parts=parts)


def has_one_sender_each(program: Program, placement: Placement) -> bool:
    """Whether no link is entered from two stations."""
    wiring = program_of(placement).wiring
    return bool((np.diff(wiring.first_edge) <= 1).all())


def test_the_scheduling_anomaly_of_the_page() -> None:
    """MACHINE.md, 5.1: a step of 114 becomes one of 111 when a latency rises from 1 to 4."""
    times = []
    for latency in (1, 4):
        east = LinkKind(interval=10, latency=latency)
        chip = tiny.chip(tiny.fabric(4, east_west=east), tiny.operations(synapse=1, access=1))
        populations = [tiny.population("a", 1, 0), tiny.population("b", 3, 0)]
        populations += [tiny.population("c", 1, 1), tiny.population("d", 100, 1)]
        connections = [tiny.dense("a", "c", [[1]]), tiny.dense("b", "d", np.ones((100, 3)))]
        parts = [(p.name, core, range(p.size)) for core, p in enumerate(populations)]
        placement = tiny.placed(chip, tiny.network(populations, connections), parts)
        trains = tiny.trains(a=[[[1]]], b=[[[0, 0, 1]]], c=[[[0]]], d=np.zeros((1, 1, 100)))
        timing, _ = run_machine(program_of(placement), trains)
        assert not differences(timing, simulate(placement, trains))
        times.append(timing.steps.tolist())
    assert times == [[114, 100], [111, 100]]


@dataclass(slots=True)
class Count:
    """Programs in which one link was made slower: those whose orders are *fixed*, or *arbitrated*."""

    fixed: int = 0
    arbitrated: int = 0
    anomalies: int = 0
    """Of the latter, those that then took less time."""


def counted(programs: int) -> Count:
    """So many random programs; fails where an order is fixed, and the time falls nevertheless."""
    count = Count()

    @settings(max_examples=programs, suppress_health_check=list(HealthCheck), database=None, deadline=None)
    @given(slower_programs())
    def check(drawn: tuple[Program, Chip]) -> None:
        program, slower = drawn
        placement = on_one_sender_each(program) or program.placement
        before = timed(placement, program).total
        after = timed(replace(placement, chip=slower), program).total
        if has_one_sender_each(program, placement):
            count.fixed += 1
            assert after >= before
        else:
            count.arbitrated += 1
            count.anomalies += after < before

    check()
    return count


def test_time_never_falls_with_a_latency_where_orders_are_fixed() -> None:
    """With arbitration it can: a scheduling anomaly, MACHINE.md explains one (benchmarks/anomalies.py)."""
    count = counted(150)
    assert count.fixed >= 10
    assert count.arbitrated >= 10
