"""Products of two trains in writable memory of the cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from snncc import reference, simulator
from snncc.chips import Cost
from snncc.chips.model import Accumulator
from snncc.errors import CannotLower
from snncc.mapping import Role, Schedule
from snncc.mapping.schedule import steps_of
from snncc.simulator.firing import firing_of_train
from snncc.simulator.machine import Level, class_counts, energy_of, program_of, run_machine
from snncc.simulator.slow import simulate
from tests.joules import joules
from tests.simulator.compare import differences
from tests.simulator.drawn_products import drawn_products
from tests.simulator.machine.test_against_slow import FULL, PROGRAMS, slow_energy
from tests.simulator.machines import Program, programs

ANY = list(HealthCheck)
MEMORY = Accumulator(1 << 20, write=Cost(3, 1.5), read=Cost(2, 0.7))
MULTIPLIED = programs(drawn_products(), None, MEMORY)


class Seen:
    """What the programs had."""

    drawn = multiplied = chained = read = 0


@settings(max_examples=PROGRAMS, suppress_health_check=ANY, derandomize=not FULL)
@given(MULTIPLIED)
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
    products = {name for name, p in network.populations.items() if p.role is Role.PRODUCT}
    Seen.drawn += 1
    Seen.multiplied += bool(products)
    Seen.chained += any(c.rule and c.source in products for c in network.connections)
    Seen.read += bool(fast.events["read"].sum() and fast.events["write"].sum())


def test_fast_machine_with_products_equals_the_slow_one() -> None:
    for name in ("drawn", "multiplied", "chained", "read"):
        setattr(Seen, name, 0)
    check_equal()
    assert Seen.drawn >= 50
    assert Seen.multiplied >= 0.6 * Seen.drawn
    assert Seen.chained >= 0.05 * Seen.drawn
    assert Seen.read >= 0.4 * Seen.drawn


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(MULTIPLIED)
def test_reads_are_the_operations_of_the_reference(program: Program) -> None:
    """What the second operand reads is what the reference counts, spread over the cores."""
    network, timesteps = program.placement.network, len(next(iter(program.trains.values())))
    run = reference.run(program.graph, program.x, timesteps=timesteps)
    fast, _ = run_machine(program_of(program.placement), program.trains)
    products = [name for name, p in network.populations.items() if p.role is Role.PRODUCT]
    done = sum(int((run.operations[name].ac + run.operations[name].mac)[0]) for name in products)
    assert fast.events["read"].sum() == done


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(MULTIPLIED)
def test_what_is_written_and_read_gives_the_product(program: Program) -> None:
    """The entries times the numbers that read them, added up where they land, are what the product sends."""
    network = program.placement.network
    for name, population in network.populations.items():
        if population.role is not Role.PRODUCT:
            continue
        (out,) = {c.out for c in network.into(name)}
        total = np.zeros((len(program.trains[name]), *out), np.int64)
        operands = {}
        for rule in ("write", "read"):
            found = [c for c in network.into(name) if c.rule == rule]
            given = 0
            for connection in found:
                sums = program.trains[connection.source].sum(axis=1)
                padded = np.concatenate([sums, np.zeros((len(sums), 1), np.int64)], axis=1)
                given = given + padded[:, connection.reads].sum(axis=2)
            operands[rule] = given, found[0].node
        (written, writing), (reading, read) = operands["write"], operands["read"]
        assert writing is not None
        assert read is not None
        flat = total.reshape(len(total), -1)
        assert np.array_equal(writing.post, read.post)  # type: ignore[union-attr]
        terms = written[:, writing.pre] * reading[:, read.pre]  # type: ignore[union-attr,index]
        for t in range(len(flat)):
            np.add.at(flat[t], read.post, terms[t])  # type: ignore[union-attr]
        assert np.array_equal(flat, program.trains[name][:, 0])


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(MULTIPLIED)
def test_one_operand_is_complete_before_the_other_is_sent(program: Program) -> None:
    network, timesteps = program.placement.network, len(next(iter(program.trains.values())))
    at: dict[tuple[str, int], list[int]] = {}
    for number, sweeps in enumerate(steps_of(network, program.placement.schedule, timesteps)):
        for name, t, _ in sweeps:
            at.setdefault((name, t), []).append(number)
    for name, population in network.populations.items():
        if population.role is Role.PRODUCT:
            written, read = (
                {c.source for c in network.into(name) if c.rule == rule} for rule in ("write", "read")
            )
            for t in range(timesteps):
                assert max(n for one in written for n in at[one, t]) < min(
                    n for one in read for n in at[one, t]
                )
                assert max(n for one in read for n in at[one, t]) < min(at[name, t])


@settings(max_examples=PROGRAMS // 2, suppress_health_check=ANY)
@given(MULTIPLIED)
def test_levels_and_spikes_agree(program: Program) -> None:
    compiled, names = program_of(program.placement), program.placement.network.senders
    cycle, analytic = (
        run_machine(compiled, program.trains, level)[0] for level in (Level.CYCLE, Level.ANALYTIC)
    )
    assert np.array_equal(cycle.messages, analytic.messages)
    assert np.array_equal(cycle.busy, analytic.busy)
    assert (analytic.steps <= cycle.steps).all()
    run = simulator.run(program.graph, program.x, timesteps=len(program.trains[names[0]]), firing=names)
    for name in names:
        expected = firing_of_train(program.trains[name])
        assert np.array_equal(run.firings[name][0].address, expected.address)


@settings(max_examples=20, suppress_health_check=ANY)
@given(MULTIPLIED)
def test_without_memory_or_pipelined_it_is_refused(program: Program) -> None:
    placement = program.placement
    if not any(p.role is Role.PRODUCT for p in placement.network.populations.values()):
        return
    assert placement.schedule is Schedule.LAYERED
    with pytest.raises(CannotLower, match="needs writable memory, tiny has none"):
        simulate(replace(placement, chip=replace(placement.chip, accumulator=None)), program.trains)
    with pytest.raises(CannotLower, match="cannot be pipelined"):
        program_of(replace(placement, schedule=Schedule.PIPELINED))
