"""The fast machine is the slow one, in every number."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings

from snncc import simulator
from snncc.chips import Chip
from snncc.mapping import Placement
from snncc.mapping.network import Role
from snncc.simulator.firing import firing_of_train
from snncc.simulator.machine import Level, class_counts, energy_of, program_of, run_machine
from snncc.simulator.slow import Record, simulate
from snncc.simulator.timing import Timing
from tests.joules import joules
from tests.simulator.compare import differences
from tests.simulator.machines import Program, forks, programs, sent, shares, stalls

FULL = os.environ.get("SNNCC_HYPOTHESIS") == "all"
PROGRAMS = 400 if FULL else 60


class Seen:
    """How many of the programs stall, share a link, fork."""

    drawn = stall = share = fork = spiking = 0


@settings(max_examples=PROGRAMS, suppress_health_check=list(HealthCheck), derandomize=not FULL)
@given(programs())
def check_equal(program: Program) -> None:
    log: list[Record] = []
    slow = simulate(program.placement, program.trains, log=log)
    compiled = program_of(program.placement)
    fast, _ = run_machine(compiled, program.trains)
    assert not differences(fast, slow)
    Seen.drawn += 1
    Seen.stall += stalls(log)
    Seen.share += shares(log)
    Seen.fork += forks(log)
    Seen.spiking += any(t.any() for t in program.trains.values())
    fired = {name: np.count_nonzero(train, axis=(0, 1)) for name, train in program.trains.items()}
    energy = energy_of(compiled, fast, class_counts(compiled, fired))
    assert energy.events == joules(slow_energy(program.placement, slow))
    assert sum(energy.layers.values()) == joules(energy.events)
    links = sum(energy.kinds[kind] for kind in ("inject", "east_west", "north_south", "eject"))
    assert energy.cores.sum() + links == joules(energy.events)


def slow_energy(placement: Placement, timing: Timing) -> float:
    """The energy of all events, from the chip's numbers one by one."""
    chip: Chip = placement.chip
    o = chip.operations
    picojoules = 0.0
    single = ("access", "update", "spike", "message_out", "message_in")
    for name, counts in timing.events.items():
        if name == "port":
            one = chip.port.event.energy
        elif name == "host":
            one = chip.host.energy_per_mac if chip.host else 0.0
        else:
            one = getattr(o, name).energy if name in single else chip.synapse(name).energy
        picojoules += one * int(counts.sum())
    for name, carried in zip(timing.stations, timing.messages.tolist(), strict=True):
        word = name.split()[0]
        kind = {"east": "east_west", "west": "east_west", "cross": "east_west"}.get(word, word)
        kind = {"south": "north_south", "north": "north_south"}.get(kind, kind)
        if kind in ("inject", "eject", "east_west", "north_south"):
            picojoules += getattr(chip.fabric, kind).energy * carried
    return picojoules * 1e-12


def test_fast_machine_equals_the_slow_one() -> None:
    for name in ("drawn", "stall", "share", "fork", "spiking"):
        setattr(Seen, name, 0)
    check_equal()
    assert Seen.drawn >= 50
    assert Seen.spiking >= 0.9 * Seen.drawn
    assert Seen.stall >= 0.3 * Seen.drawn
    assert Seen.share >= 0.3 * Seen.drawn
    assert Seen.fork >= 0.2 * Seen.drawn


@settings(max_examples=PROGRAMS // 2, suppress_health_check=list(HealthCheck))
@given(programs())
def test_spikes_of_the_simulator_are_those_of_the_reference(program: Program) -> None:
    """What the machine replays is the same at the functional level: no level has spikes of its own."""
    names = [p.name for p in program.placement.network.populations.values() if p.role is not Role.READOUT]
    timesteps = len(next(iter(program.trains.values())))
    run = simulator.run(program.graph, program.x, timesteps=timesteps, record=names, firing=names)
    for name in names:
        train = program.trains[name]
        assert np.array_equal(sent(program.graph, name, run.records[name].train), train)
        replayed, expected = run.firings[name][0], firing_of_train(train)
        assert np.array_equal(replayed.first, expected.first)
        assert np.array_equal(replayed.address, expected.address)


@settings(max_examples=PROGRAMS // 2, suppress_health_check=list(HealthCheck))
@given(programs())
def test_levels_agree_on_everything_but_time(program: Program) -> None:
    compiled = program_of(program.placement)
    cycle, analytic, reserved = (run_machine(compiled, program.trains, level)[0] for level in ORDER)
    for other in (analytic, reserved):
        assert np.array_equal(cycle.messages, other.messages)
        assert np.array_equal(cycle.busy, other.busy)
        assert all(np.array_equal(cycle.events[name], other.events[name]) for name in cycle.events)
    assert (analytic.steps <= cycle.steps).all()
    assert (analytic.steps <= reserved.steps).all()


ORDER = (Level.CYCLE, Level.ANALYTIC, Level.RESERVED)


@settings(max_examples=PROGRAMS // 2, suppress_health_check=list(HealthCheck))
@given(programs())
def test_unbounded_queues_take_the_way_without_back_pressure(program: Program) -> None:
    """Both ways through a step give the same: with so many slots that none fills, and with none."""
    chip = program.placement.chip
    fabric = chip.fabric
    kinds = ("inject", "east_west", "north_south", "eject")
    results = []
    for slots in (None, 10**9):
        links = {kind: replace(getattr(fabric, kind), capacity=slots) for kind in kinds}
        cores = tuple(replace(core, in_queue=slots) for core in chip.cores)
        free = replace(chip, fabric=replace(fabric, credit=1, **links), cores=cores)
        placement = replace(program.placement, chip=free)
        results.append(run_machine(program_of(placement), program.trains)[0])
    assert not differences(*results)
    assert not results[0].stalled.any()
