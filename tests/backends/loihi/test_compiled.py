"""Compiled networks: our simulator in Loihi's integers gives what Lava gives, live and as recorded.

    SNNCC_LAVA_PYTHON=... python -m tests.backends.loihi.test_compiled

records the runs anew: for each an integer graph, its input, and the trains and potentials of Lava.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.backends.loihi.limits import STATE_MOST, STEP_SHIFT, THRESHOLD_MOST, UNIT
from snncc.backends.loihi.lower import lower
from snncc.backends.loihi.passes import counts_units, is_stock
from snncc.backends.loihi.target import Loihi
from snncc.ir import Array, load_graph, save_graph
from snncc.passes import Stage
from snncc.quantization import current_bounds
from snncc.reference import Run
from tests.backends.loihi.graphs import KINDS, Case, case
from tests.backends.loihi.live import lava_python

FOLDER = Path(__file__).parent / "compiled"
RECORDED = range(len(KINDS))
LIVE = range(100, 150)


def compiled(one: Case) -> snncc.Program:
    return snncc.compile(
        one.graph, target="loihi", calibration=one.x, stretch=one.stretch, encoding=one.encoding.value
    )


def names(program: snncc.Program) -> list[str]:
    return [node.name for node in program.graph.neurons]


def outcome(run: Run) -> dict[str, Array]:
    """Trains, potentials after the reset, and outputs."""
    found: dict[str, Array] = {}
    for name, record in run.records.items():
        assert record.u_post is not None
        found[f"train.{name}"], found[f"v.{name}"] = record.train, record.u_post
    return found | {f"out.{name}": value for name, value in run.outputs.items()}


def assert_equal(need: dict[str, Array], have: dict[str, Array]) -> None:
    assert need.keys() == have.keys()
    for name, value in need.items():
        assert value.shape == have[name].shape, name
        assert np.array_equal(value, have[name]), name


def assert_lively(run: Run) -> None:
    for name, record in run.records.items():
        assert 0.02 < record.train.astype(bool).mean() < 1 or name.endswith("always"), name


@pytest.mark.parametrize("number", RECORDED)
def test_recorded_runs_of_lava(number: int) -> None:
    graph = load_graph(FOLDER / f"{number}.snn")
    with np.load(FOLDER / f"{number}.npz") as file:
        need = {name: file[name] for name in file.files}
    x = need.pop("x")
    run = snncc.Program(Loihi(), (Stage(None, graph),)).run(x, record=[n.name for n in graph.neurons]).run
    assert_lively(run)
    have = outcome(run)
    assert_equal(need, {name: have[name].astype(need[name].dtype) for name in have})


@pytest.mark.parametrize("number", [*range(40, 60), 125, 135])
def test_numbers_fit_their_registers(number: int) -> None:
    graph = compiled(case(number)).graph
    ranges = {node.name: (node.low or 0.0, node.high or 0.0) for node in graph.inputs}
    for node in graph.neurons:
        p = node.parameters
        low, high = current_bounds(graph, ranges)[node.name]
        kept = float(np.max(p.leak_i)) / 2**p.leak_i_shift
        assert max(-low.min(), high.max()) / (1 - kept) <= STATE_MOST
        assert p.theta.size == p.rho.size == 1
        assert 0 <= int(p.theta) <= THRESHOLD_MOST * UNIT
        if is_stock(p):
            assert int(p.theta) % UNIT == 0
            assert counts_units(p) or p.strict
    program = lower(graph, case(number).stretch)
    for key, value in program.arrays.items():
        if key.split(".")[-1] in ("weight", "data") and key.startswith("c"):
            assert not (value % 2).any()
            assert -256 <= value.min(initial=0) <= value.max(initial=0) <= 254
        if key.endswith(".bias_mant"):
            assert np.abs(value).max() < 2**12
    assert all(0 <= c["weight_exp"] <= 7 for c in program.structure["connections"])
    assert all(node.shift >= STEP_SHIFT for node in graph.nodes if hasattr(node, "shift"))


@pytest.mark.slow
@pytest.mark.parametrize("number", LIVE)
def test_live_lava_equals_our_simulator(number: int) -> None:
    python = lava_python()
    one = case(number)
    program = compiled(one)
    run = program.run(one.x, record=names(program)).run
    assert_lively(run)
    structure = lower(program.graph, one.stretch).structure
    per_sample = structure["timesteps"] * structure["frame"] + structure["depth"]
    assert per_sample * one.x.shape[1] >= 200
    lava = program.run_engine("lava", one.x, record=names(program), python=python)
    assert_equal(outcome(run), outcome(lava))


def record(number: int) -> None:
    """Run one network on Lava and keep it."""
    one = case(number)
    program = compiled(one)
    run = program.run_engine("lava", one.x, record=names(program), python=lava_python())
    arrays = outcome(run) | {"x": one.x}
    save_graph(program.graph, FOLDER / f"{number}.snn")
    small = {
        name: value.astype(np.int8 if name.startswith("train") or name == "x" else np.int32)
        if name.startswith(("train", "v")) or (name == "x" and np.array_equal(value, np.rint(value)))
        else value
        for name, value in arrays.items()
    }
    np.savez_compressed(FOLDER / f"{number}.npz", **small)  # type: ignore[arg-type]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for one in RECORDED:
        record(one)
