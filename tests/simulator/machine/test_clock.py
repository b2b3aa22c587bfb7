"""Times that 64 bits do not hold are refused, and what is refused could really have come about."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from snncc.chips import LinkKind
from snncc.chips.model import Host
from snncc.errors import CannotLower
from snncc.mapping.placement import Schedule
from snncc.simulator.machine import Level, program_of, run_machine
from snncc.simulator.machine.events import run_events
from snncc.simulator.machine.longest import longest_timestep
from snncc.simulator.slow import simulate
from snncc.simulator.slow.events import simulate_events
from snncc.simulator.timing import LATEST
from tests.simulator.compare import differences
from tests.simulator.drawn_hosts import drawn_hosts
from tests.simulator.event.hand import Hand, dense, event_chip, graph_of, hand, iaf, neuron, spikes_in
from tests.simulator.machines import Program, programs
from tests.simulator.slow.test_by_hand import Program as Small
from tests.simulator.tiny import chip, fabric, network, operations, placed, population, trains
from tests.simulator.tiny import dense as dense_connection

EXAMPLES = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@EXAMPLES
@given(programs())
def test_no_run_takes_longer_than_its_bound(program: Program) -> None:
    compiled = program_of(program.placement)
    timesteps = len(next(iter(program.trains.values())))
    for level in Level:
        timing, _ = run_machine(compiled, program.trains, level)
        assert timing.total - timing.barrier * len(timing.steps) <= timesteps * longest_timestep(compiled)


def chain(time: int, link: int = 0) -> Small:
    """Three spikes into a core whose synapses take *time*, over a link of latency *link*."""
    on = chip(fabric(2, east_west=LinkKind(latency=link)), operations(synapse=time, access=1))
    net = network(
        [population("x", 3, 0), population("y", 1, 1, ticks=0)], [dense_connection("x", "y", [[1, 1, 1]])]
    )
    parts = [("x", 0, [0, 1, 2]), ("y", 1, [0])]
    return Small(placed(on, net, parts, Schedule.LAYERED), trains(x=[[[1, 1, 1]]]))


def test_times_just_short_of_the_limit_are_exact() -> None:
    program = chain(LATEST // 3 - 10)
    slow = simulate(program.placement, program.trains)
    assert slow.total > 0.99 * LATEST
    fast, _ = run_machine(program_of(program.placement), program.trains)
    assert not differences(fast, slow)


@pytest.mark.parametrize("program", [chain(LATEST // 3 + 1000), chain(1 << 62), chain(0, 1 << 62)])
def test_later_times_are_refused(program: Small) -> None:
    compiled = program_of(program.placement)
    for level in Level:
        with pytest.raises(
            CannotLower, match=r"tiny: a run may take up to .* times are counted to 4.61e\+18"
        ):
            run_machine(compiled, program.trains, level)
    with pytest.raises(CannotLower, match="times are counted to"):
        simulate(program.placement, program.trains)


def test_a_host_that_never_ends_is_refused() -> None:
    """1e-12 MAC/s: the first MAC takes 1e21 units."""
    slow = Host(macs_per_second=1e-12, energy_per_mac=1.0)
    seen = []

    @EXAMPLES
    @given(programs(drawn_hosts(), slow))
    def refuse(program: Program) -> None:
        tasks = program.placement.network.tasks
        timesteps = len(next(iter(program.trains.values())))
        seen.append(any(task.total(timesteps) for task in tasks.values()))
        if seen[-1]:
            with pytest.raises(CannotLower, match="times are counted to"):
                run_machine(program_of(program.placement), program.trains)

    refuse()
    assert any(seen)


def events(message_in: int) -> Hand:
    """Two spikes for one neuron, one in each of two timesteps."""
    graph = graph_of(spikes_in(1), dense("x", "a", [[1]]), neuron("a", iaf(9), "x"))
    on = event_chip(fabric(1), operations(message_in=message_in))
    return hand(graph, on, [("a", 0, [0])], x=[[1], [1]])


@pytest.mark.parametrize(("message_in", "period"), [(1 << 59, LATEST), (1, LATEST + 1), (1 << 62, 0)])
def test_self_timed_chips_as_well(message_in: int, period: int) -> None:
    given = events(message_in)
    with pytest.raises(CannotLower, match="times are counted to"):
        run_events(*given, "timed", period)
    with pytest.raises(CannotLower, match="times are counted to"):
        simulate_events(*given, period=period)
    fine = events(1 << 59)
    fast, slow = run_events(*fine, "timed", LATEST // 2), simulate_events(*fine, period=LATEST // 2)
    assert fast.timing is not None
    assert slow.timing is not None
    assert not differences(fast.timing, slow.timing)
    assert fast.timing.total > LATEST // 2
