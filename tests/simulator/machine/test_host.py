"""A host beside the cores: side operations and gates between the steps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from snncc import reference, simulator
from snncc.chips.model import Host
from snncc.errors import CannotLower
from snncc.ir import SideOperation
from snncc.mapping import Role, Schedule
from snncc.mapping.schedule import steps_of
from snncc.simulator.firing import firing_of_train
from snncc.simulator.machine import Level, class_counts, energy_of, program_of, run_machine
from snncc.simulator.slow import simulate
from tests.joules import joules
from tests.simulator.compare import differences
from tests.simulator.drawn_hosts import drawn_hosts
from tests.simulator.drawn_networks import Drawn
from tests.simulator.machine.test_against_slow import FULL, PROGRAMS, slow_energy
from tests.simulator.machines import Program, programs


def has_side(drawn: Drawn) -> bool:
    """Whether there is something for a host to do."""
    return any(isinstance(node, SideOperation) for node in drawn.graph.nodes)


HOST = Host(macs_per_second=7e9, energy_per_mac=2.5)
HOSTED = programs(drawn_hosts().filter(has_side), HOST)
ANY = list(HealthCheck)


class Seen:
    """What the programs had."""

    drawn = hosted = staged = told = 0


@settings(max_examples=PROGRAMS, suppress_health_check=ANY, derandomize=not FULL)
@given(HOSTED)
def check_equal(program: Program) -> None:
    network = program.placement.network
    slow = simulate(program.placement, program.trains)
    compiled = program_of(program.placement)
    fast, _ = run_machine(compiled, program.trains)
    assert not differences(fast, slow)
    fired = {name: np.count_nonzero(train, axis=(0, 1)) for name, train in program.trains.items()}
    energy = energy_of(compiled, fast, class_counts(compiled, fired))
    assert energy.events == joules(slow_energy(program.placement, slow))
    assert sum(energy.layers.values()) == joules(energy.events)
    assert energy.kinds["host"] == joules(2.5e-12 * int(fast.events["host"].sum()))
    by_name = dict(zip(fast.stations, fast.messages.tolist(), strict=True))
    Seen.drawn += 1
    Seen.hosted += network.has_host
    Seen.staged += any(p.stage for p in network.populations.values())
    Seen.told += by_name.get("eject host", 0) > 0


def test_fast_machine_with_a_host_equals_the_slow_one() -> None:
    for name in ("drawn", "hosted", "staged", "told"):
        setattr(Seen, name, 0)
    check_equal()
    assert Seen.drawn >= 50
    assert Seen.hosted == Seen.drawn
    assert Seen.staged >= 0.4 * Seen.drawn
    assert Seen.told >= 0.4 * Seen.drawn


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(HOSTED)
def test_the_host_makes_the_operations_of_the_reference(program: Program) -> None:
    """As many MACs as its nodes cost, each once; side operations as the reference counts them."""
    network, timesteps = program.placement.network, len(next(iter(program.trains.values())))
    run = reference.run(program.graph, program.x, timesteps=timesteps)
    fast, _ = run_machine(program_of(program.placement), program.trains)
    nodes = [one for task in network.tasks.values() for one in task.nodes]
    assert len({one.node.name for one in nodes}) == len(nodes)
    assert fast.events["host"].sum() == sum(one.macs(timesteps) for one in nodes)
    for one in nodes:
        if one.node.name in run.operations:
            assert one.macs(timesteps) == run.operations[one.node.name].mac_dense[0]


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(HOSTED)
def test_spikes_of_the_simulator_are_those_of_the_reference(program: Program) -> None:
    names = program.placement.network.senders
    timesteps = len(next(iter(program.trains.values())))
    run = simulator.run(program.graph, program.x, timesteps=timesteps, firing=names)
    for name in names:
        expected = firing_of_train(program.trains[name])
        (found,) = run.firings[name]
        assert np.array_equal(found.first, expected.first)
        assert np.array_equal(found.address, expected.address)


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(HOSTED)
def test_levels_agree_on_everything_but_time(program: Program) -> None:
    compiled = program_of(program.placement)
    order = (Level.CYCLE, Level.ANALYTIC, Level.RESERVED)
    cycle, analytic, reserved = (run_machine(compiled, program.trains, level)[0] for level in order)
    for other in (analytic, reserved):
        assert np.array_equal(cycle.messages, other.messages)
        assert np.array_equal(cycle.busy, other.busy)
        assert all(np.array_equal(cycle.events[name], other.events[name]) for name in cycle.events)
    assert (analytic.steps <= cycle.steps).all()
    assert (analytic.steps <= reserved.steps).all()


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(HOSTED)
def test_nothing_is_sent_before_it_is_known(program: Program) -> None:
    """In the order of the steps every population comes after all that it reads, whole trains included."""
    network, timesteps = program.placement.network, len(next(iter(program.trains.values())))
    at: dict[tuple[str, int], list[int]] = {}
    for number, sweeps in enumerate(steps_of(network, program.placement.schedule, timesteps)):
        for name, t, _ in sweeps:
            at.setdefault((name, t), []).append(number)
    for connection in network.connections:
        for t in range(connection.delay, timesteps):
            before = at[connection.source, t - connection.delay]
            if network.populations[connection.source].role is not Role.READOUT and t >= connection.delay:
                assert max(before) < min(at[connection.target, t]) or connection.delay
    stages = {name: p.stage for name, p in network.populations.items()}
    for one, stage in stages.items():
        for other, later in stages.items():
            if stage < later:
                assert max(at[one, timesteps - 1]) < min(at[other, 0])


@settings(max_examples=20, suppress_health_check=ANY)
@given(HOSTED)
def test_a_slower_host_takes_as_much_longer(program: Program) -> None:
    """Where the cores and links take no time, the time is that of the host, step by step."""
    placement = program.placement
    network, timesteps = placement.network, len(next(iter(program.trains.values())))
    for rate in (1e9, 0.3e9):
        chip = replace(placement.chip, host=Host(rate, 1.0))
        fast, _ = run_machine(program_of(replace(placement, chip=chip)), program.trains, Level.ANALYTIC)
        expected = []
        for sweeps in steps_of(network, placement.schedule, timesteps):
            macs = sum(
                network.tasks[name].macs(t, timesteps)
                for name, t, tick in sweeps
                if name in network.tasks and not tick
            )
            expected.append(ceil(macs / (Fraction(str(rate)) / 10**9)))
        assert (fast.steps >= expected).all()
        if network.has_host:
            sums = dict(zip(fast.stations, fast.busy.tolist(), strict=True))
            received = int(fast.events["message_in"][-1]) * chip.operations.message_in.time
            assert sums["host"] == sum(expected) + received


@settings(max_examples=20, suppress_health_check=ANY)
@given(HOSTED)
def test_without_a_host_or_pipelined_it_is_refused(program: Program) -> None:
    placement = program.placement
    if not placement.network.has_host:
        return
    assert placement.schedule is Schedule.LAYERED
    with pytest.raises(CannotLower, match="a host must compute it, tiny has none") as caught:
        simulate(replace(placement, chip=replace(placement.chip, host=None)), program.trains)
    assert "attention='static'" in caught.value.hint
    with pytest.raises(CannotLower, match="cannot be pipelined"):
        program_of(replace(placement, schedule=Schedule.PIPELINED))
