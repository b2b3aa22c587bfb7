"""The comparison with SANA-FE: one network where its environment exists, and what needs no SANA-FE at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import sanafe
from benchmarks.sanafe_cases import CASES, CHIP, Case, chain, memory, network, placement, routes, sparse
from benchmarks.sanafe_compared import NINE_DIGITS, compared
from benchmarks.sanafe_oracle import HOW_TO, VARIABLE, architecture, decoded, interpreter, their_core, told
from benchmarks.sanafe_ours import hops, ours
from snncc import reference
from snncc.chips import load_chip
from snncc.ir import Dense, SpikeGraph, Wire
from snncc.mapping import Schedule, network_of
from snncc.simulator.machine import Level, program_of, run_machine

SMALL = (chain, routes, memory)


@pytest.mark.parametrize("make", [chain, memory])
def test_equal_to_sanafe(make: Callable[[], Case]) -> None:
    python = interpreter()
    if python is None:
        pytest.skip(f"{VARIABLE}={os.environ.get(VARIABLE)}: {HOW_TO}")
    found = compared(make(), python)
    assert found.spikes > 500
    assert not found.differing_spikes
    assert not found.differing_messages
    assert all(theirs == mine for theirs, mine in found.counts.values())
    assert found.energy_error < NINE_DIGITS
    assert found.simple_error < NINE_DIGITS
    assert found.is_equal


@pytest.mark.parametrize("make", SMALL)
def test_trains_are_those_of_the_reference(make: Callable[[], Case]) -> None:
    case, mine = make(), ours(make())
    run = reference.run(case.graph, case.x, timesteps=case.timesteps, record=list(mine.trains), count=False)
    for name, train in mine.trains.items():
        expected = np.asarray(run.records[name].train)[:, 0].reshape(train.shape)
        np.testing.assert_array_equal(train, expected)


@pytest.mark.parametrize("make", SMALL)
def test_analytic_by_its_definition(make: Callable[[], Case]) -> None:
    mine = ours(make())
    np.testing.assert_array_equal(mine.timing(Level.ANALYTIC).steps, mine.by_hand())


def test_more_stages_take_no_less_time() -> None:
    found = ours(sparse()).staged()
    stages = [found[name] for name in ("analytic", "latency", "interval", "cycle")]
    assert stages == sorted(stages)
    assert stages[0] < stages[-1]


def test_messages_are_those_of_the_machine() -> None:
    mine = ours(routes())
    timing, ways = mine.timing(Level.CYCLE), mine.ways()
    links = ("east_west", "north_south")
    carried = sum(
        n for n, kind in zip(timing.messages, mine.program.stations.kinds, strict=True) if kind in links
    )
    assert len(ways) == timing.events["message_out"].sum()
    assert sum(int(str(way[-1])) for way in ways) == carried


def test_only_plain_neurons_are_awake() -> None:
    assert ours(memory()).awake.sum() > 0
    assert ours(routes()).awake.sum() == 0


def undelayed(graph: SpikeGraph) -> SpikeGraph:
    nodes = [
        replace(node, inputs=(Wire(node.inputs[0].source),)) if isinstance(node, Dense) else node
        for node in graph.nodes
    ]
    return graph.with_nodes(nodes)


def test_steps_of_a_network_without_delays_are_the_same_shifted() -> None:
    """Timestep t at depth l is chip step t + l; where all are swept, the steps take the same time."""
    case, mine = chain(), ours(chain())
    placed = mine.placement
    natural = network_of(undelayed(case.graph))
    names = natural.senders
    run = reference.run(undelayed(case.graph), case.x, timesteps=case.timesteps, record=names, count=False)
    trains = {}
    for name in names:
        depth = natural.populations[name].depth
        trains[name] = np.asarray(run.records[name].train)[:, 0]
        late = mine.trains[name]
        np.testing.assert_array_equal(
            late[depth:], trains[name].reshape(late.shape)[: case.timesteps - depth]
        )
    deepest = max(p.depth for p in natural.populations.values())
    assert deepest == 4
    program = program_of(replace(placed, network=natural, schedule=Schedule.PIPELINED))
    steps = run_machine(program, trains, Level.CYCLE)[0].steps
    expected = mine.timing(Level.CYCLE).steps
    np.testing.assert_array_equal(steps[deepest : case.timesteps], expected[deepest:])


def test_all_networks_are_late_by_one_timestep() -> None:
    for name, make in CASES.items():
        whole = network(make().graph)
        assert {connection.delay for connection in whole.connections} == {1}, name


def test_tiles_by_columns() -> None:
    chip = load_chip(CHIP)
    assert [their_core(chip, core) for core in (0, 3, 4, 32, 127)] == [0, 3, 16, 4, 127]
    assert sorted(their_core(chip, core) for core in range(128)) == list(range(128))
    assert hops(chip, 0, 127) == 10


def test_architecture_has_the_numbers_of_the_chip_file() -> None:
    text = architecture(load_chip(CHIP), {5: 16})
    assert text.count("input[") == 1
    for part in (
        "width: 8, height: 4,\n    link_buffer_size: 16",
        "{1: 6e-07, 2: 1e-06, 4: 1.4e-06, 29: 1.8e-06}",
        'name: "input[0..15]"',
        "model: leaky_integrate_fire, energy_access_neuron: 5.12e-11, latency_access_neuron: 6e-09",
        "name: out, attributes: {energy_message_out: 1.11e-10, latency_message_out: 5.1e-09}",
    ):
        assert part in normal(text)


def normal(text: str) -> str:
    """*text* with each number as short as nine digits allow."""
    parts = []
    for word in text.split(" "):
        bare = word.rstrip(",}]\n")
        try:
            parts.append(f"{float(bare):.9g}" + word[len(bare) :] if "." in bare or "e-" in bare else word)
        except ValueError:
            parts.append(word)
    return " ".join(parts)


def test_counts_come_out_of_energies() -> None:
    perf = {
        "soma_energy": [3 + 5 * 2.0**17 + 7 * 2.0**34, 1.0],
        "network_energy": [2 + 4 * 2.0**20 + 6 * 2.0**40, 0.0],
        "synapse_energy": [9 * 2.0**20, 2.0**40],
    }
    counts = {"access": 4, "update": 5, "spike": 7, "east_west": 2, "north_south": 4, "message_in": 6}
    assert decoded(perf) == {**counts, "conv": 0, "dense": 9, "sparse": 1}


def test_the_network_can_be_handed_over() -> None:
    case = memory()
    given = told(case, placement(case))
    assert json.loads(json.dumps(given)) == given
    assert [len(group["trains"][0]) for group in given["groups"] if "trains" in group] == [case.timesteps]


def test_without_sanafe_the_script_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.argv", ["sanafe"])
    assert sanafe.main() == 1
    assert "pip install sanafe==2.2.9" in capsys.readouterr().err
