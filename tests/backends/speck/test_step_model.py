"""The model `step`: what is emitted, run by sinabs, against our integer graph, spike by spike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snncc
from tests.backends.speck.networks import chain, data, drawn, emitted

SEEDS = range(40)


def test_drawn_networks_differ_in_what_matters() -> None:
    """Among the networks drawn there are those that could go wrong in every way."""
    graphs = [drawn(seed) for seed in SEEDS]
    kinds = {type(node).__name__ for graph in graphs for node in graph.nodes}
    assert kinds >= {"Pool", "Add", "Dense", "Reshape"}
    neurons = [node.parameters for graph in graphs for node in graph.neurons]
    assert {p.reset.value for p in neurons} == {"subtract", "value"}
    assert {p.max_count for p in neurons} == {1, None}
    assert any(p.clamp_low is not None for p in neurons)
    assert any(p.v_init.ndim for p in neurons)
    assert any(p.theta.ndim for p in neurons)


@pytest.mark.parametrize("seed", SEEDS)
def test_sinabs_gives_the_spikes_and_potentials_of_the_integer_graph(seed: int, tmp_path: Path) -> None:
    graph = drawn(seed)
    program = snncc.compile(graph, target="speck")
    names = [node.name for node in graph.neurons]
    x = data(graph, seed)
    mine = program.run(x, record=names)
    program.target.emit(program.graph, tmp_path)
    theirs = emitted(tmp_path).run(x.reshape(*x.shape[:2], *graph.inputs[0].shape), True)
    assert sum(int(mine.spikes[name].sum()) for name in names) > 50
    assert max(int(mine.records[name].train.max()) for name in names) >= 1
    for name in names:
        train, potential = mine.records[name].train[:, :, 0], mine.records[name].u_post
        np.testing.assert_array_equal(theirs[f"spikes/{name}"].reshape(train.shape), train, err_msg=name)
        assert potential is not None
        np.testing.assert_array_equal(
            theirs[f"potentials/{name}"].reshape(train.shape), potential, err_msg=name
        )


@pytest.mark.parametrize("seed", [0, 4])
def test_run_engine_gives_a_run(seed: int) -> None:
    graph = drawn(seed)
    program = snncc.compile(graph, target="speck")
    names = [node.name for node in graph.neurons]
    x = data(graph, seed)
    mine, theirs = program.run(x, record=names), program.run_engine("sinabs", x, record=names)
    np.testing.assert_array_equal(theirs.output, mine.output)
    assert mine.output.any()
    assert theirs.spikes.keys() == mine.spikes.keys()
    for name, count in mine.spikes.items():
        np.testing.assert_array_equal(theirs.spikes[name], count)
        np.testing.assert_array_equal(theirs.active[name], mine.run.active[name])
    for name in names:
        np.testing.assert_array_equal(theirs.records[name].train, mine.records[name].train)
        np.testing.assert_array_equal(theirs.records[name].u_post, mine.records[name].u_post)


def test_a_program_runs_from_its_folder(tmp_path: Path) -> None:
    graph = chain()
    x = data(graph, 1)
    program = snncc.compile(graph, target="speck")
    program.save(tmp_path / "out")
    again = snncc.load_program(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "speck").iterdir()} == {
        *("network.py", "weights.npz", "config.json", "deploy.py", "cores.txt", "README.md")
    }
    expected = program.run(x).output
    assert expected.any()
    np.testing.assert_array_equal(again.run_engine("sinabs", x).output, expected)


@pytest.mark.parametrize("seed", range(6))
def test_verification_holds(seed: int) -> None:
    graph = drawn(seed)
    proof = snncc.verify(snncc.compile(graph, target="speck"), None, data(graph, seed))
    assert proof.holds
    proof.check()
    names = [stage.name for stage in proof.stages]
    assert names[-4:-1] == ["multi-spike", "bound-potentials", "discretize"]
    assert not proof.stages[-3].differing  # no potential of these comes near the lowest
