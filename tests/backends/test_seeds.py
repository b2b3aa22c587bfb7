"""The five papers' networks on both chips: compiled and equal, or refused with all that is in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import snncc
from snncc.backends.target import DoesNotFit, Problem
from snncc.ir import Array, Kind, SpikeGraph
from snncc.reference import run
from tests.backends.seed_networks import CASES, Obstacle, Remedy, traced

TARGETS = ("loihi", "speck")
FILES = {"loihi": {"run.py", "network.json"}, "speck": {"network.py", "config.json", "deploy.py"}}
both = pytest.mark.parametrize("target", TARGETS)
every = pytest.mark.parametrize("name", CASES)


def key(problem: Problem) -> Obstacle:
    """The (first) layer that a problem names, and what it is."""
    return problem.where.partition(" ")[0].rstrip(","), problem.what.partition(":")[0]


def obstacles(graph: SpikeGraph, target: str, x: Tensor) -> list[Obstacle]:
    """What compiling meets; `check` says the same."""
    refused: DoesNotFit | None = None
    try:
        snncc.compile(graph, target=target, calibration=data_for(graph, x.numpy()))
    except DoesNotFit as error:
        refused = error
    if refused is None:
        return []
    assert snncc.check(graph, target) == list(refused.problems)
    for problem in refused.problems:
        assert problem.need, problem
        assert problem.have, problem
        assert problem.hint, problem
        assert str(problem) in str(refused)
    return [key(problem) for problem in refused.problems]


def remedies(name: str, target: str) -> list[Remedy]:
    return [one for one in CASES[name].remedies if one.against[target]]


def data_for(graph: SpikeGraph, x: Array) -> Array:
    return (x > 0).astype(np.float64) if graph.inputs[0].kind is Kind.SPIKE else x


def assert_runs(graph: SpikeGraph, target: str, x: Array, folder: Path) -> snncc.Program:
    """*graph* compiles, spikes as the reference says, and is emitted."""
    x = data_for(graph, x)
    program = snncc.compile(graph, target=target, calibration=x)
    names = [node.name for node in program.graph.neurons]
    have = program.run(x, record=names, threads=1)
    need = run(program.graph, x, timesteps=program.timesteps, record=names, count=False)
    for name in names:
        train = have.records[name].train
        assert np.array_equal(train, need.records[name].train), name
        assert 0 < np.count_nonzero(train) < train.size, name
    assert np.array_equal(have.output, need.output)
    program.save(folder / "program")
    assert {path.name for path in (folder / "program" / target).iterdir()} >= FILES[target]
    return program


@both
@every
def test_compiles_or_every_obstacle_is_named(name: str, target: str, tmp_path: Path) -> None:
    model, x, graph = traced(name)
    found = obstacles(graph, target, x)
    assert len(found) == len(set(found))
    assert set(found) == {one for each in remedies(name, target) for one in each.against[target]}
    if not found:
        program = assert_runs(graph, target, x.numpy(), tmp_path)
        snncc.verify(program, model, x.numpy(), samples=2).check()


@both
@every
def test_each_obstacle_is_there(name: str, target: str) -> None:
    """Each remedy takes away what it is against, and nothing else."""
    _, x, graph = traced(name)
    found = set(obstacles(graph, target, x))
    for one in remedies(name, target):
        left = one.edit(graph)
        left.verify()
        assert set(obstacles(left, target, x)) == found - one.against[target], one.against[target]


@both
@every
def test_without_its_obstacles_it_compiles(name: str, target: str, tmp_path: Path) -> None:
    _, x, graph = traced(name)
    for one in remedies(name, target):
        graph = one.edit(graph)
    graph.verify()
    assert obstacles(graph, target, x) == []
    assert_runs(graph, target, x.numpy(), tmp_path)


def test_check_says_what_it_assumes() -> None:
    """Registers depend on the range of the image, which `check` is not told."""
    _, _, graph = traced("E-SpikeFormer")
    for one in remedies("E-SpikeFormer", "loihi"):
        graph = one.edit(graph)
    found = snncc.check(graph, "loihi")
    assert found
    assert all("this is for inputs of 0 to 1" in problem.hint for problem in found)
