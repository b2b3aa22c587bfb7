"""A membrane rectifier leaves where it provably changes no spike, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.errors import CannotLower, InvalidGraph
from snncc.ir import (
    Affine,
    Array,
    Dense,
    Emit,
    Encoding,
    Input,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Rectifier,
    SpikeGraph,
    dump,
    load_graph,
    save_graph,
    wires,
)
from snncc.passes import ElideRectifier, ExpandCounts, FoldBatchNorm, Into, Preserves, run_passes
from snncc.passes.rectifier import grid
from snncc.quantization import Quantize
from snncc.reference import run
from snncc.reference.neuron import passed, rectified
from tests.passes.compare import compare

SRIF = NeuronParameters(theta=np.array(0.5), rectifier=Rectifier.MPR)
rng = np.random.default_rng(0)
X = Input(name="x", shape=(8,))
FC = Dense(name="fc", inputs=wires("x"), weight=rng.normal(0.1, 1.0, (6, 8)))
GAIN = np.array([1.5, -0.75, 0.5, 2.0, -1.0, 1.0])
NORM = Affine(name="norm", inputs=wires("fc"), gain=GAIN, offset=np.linspace(-0.2, 0.6, 6), origin="net.bn")
N = Neuron(name="n", inputs=wires("norm"), parameters=SRIF, origin="net.srif (net.py:7)")
HEAD = Dense(name="head", inputs=wires("n"), weight=rng.normal(size=(3, 6)))
TAIL: tuple[Node, ...] = (HEAD, Output(name="y", inputs=wires("head"), over=Over.MEAN))
DATA = rng.normal(0.3, 1.0, (5, 200, 8))


def net(**changes: Any) -> SpikeGraph:
    graph = SpikeGraph((X, FC, NORM, replace(N, parameters=replace(SRIF, **changes)), *TAIL), timesteps=5)
    graph.verify()
    return graph


def parameters(graph: SpikeGraph) -> NeuronParameters:
    node = graph["n"]
    assert isinstance(node, Neuron)
    return node.parameters


def phi(u: Array) -> Array:
    return rectified(SRIF, np.asarray(u, np.float64))


def test_the_equation() -> None:
    assert phi(np.array([-7.0, 0.0, 0.5, 1.0, 8.0])).tolist() == [-1.0, 0.0, 0.5, 1.0, 2.0]
    assert phi(np.array([0.25])) == pytest.approx(0.5 - np.tanh(0.75) / (2 * np.tanh(1.5)))
    u = np.array([-1e6, 1e300])
    assert np.allclose(phi(u), [1 - (1 + 1e6) ** (1 / 3), 1e100], rtol=1e-12)


def test_spikes_of_a_million_potentials_are_the_same() -> None:
    u = np.random.default_rng(1).normal(0.5, 1.0, 1_000_000)
    near = 0.5 + np.random.default_rng(2).choice([-1e-12, 1e-12, 1e-16, 0.0], 1000)
    for strict in (False, True):
        p = replace(SRIF, strict=strict)
        for values in (u, near):
            assert np.array_equal(passed(p, phi(values), np.array(0.5)), passed(p, values, np.array(0.5)))


def test_only_the_comparison_is_rectified() -> None:
    # one neuron, one input that is nowhere near a fixed point: reset and emitted potential are u's own
    p = replace(SRIF, theta=np.array(1.5))
    graph = SpikeGraph(
        (
            Input(name="x", shape=(1,)),
            Neuron(name="n", inputs=wires("x"), parameters=p),
            Neuron(name="u", inputs=wires("x"), parameters=replace(p, emit=Emit.POTENTIAL)),
            Output(name="y", inputs=wires("u")),
        )
    )
    result = run(graph, np.array([3.0, 0.25, 0.25]).reshape(3, 1, 1), timesteps=3, record=["n"])
    record = result.records["n"]
    assert record.u_pre is not None
    assert record.u_post is not None
    assert record.u_pre.flatten().tolist() == [3.0, 3.25, 3.5]
    assert record.train.flatten().tolist() == [0, 0, 1]  # 3.5**(1/3) = 1.518
    assert record.u_post.flatten().tolist() == [3.0, 3.25, 2.5]
    assert result.outputs["y"].flatten().tolist() == [3.0, 3.25, 3.5]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strict": True},
        {"theta": np.full(6, 0.5)},
        {"rho": np.array(0.5)},
        {"leak": np.array(0.5), "v_init": np.array(0.25)},
        {"steps": np.array([0.5, 0.5]), "max_count": 2},
    ],
    ids=["plain", "strict", "per channel", "rho", "leak", "steps"],
)
def test_leaves_where_it_changes_nothing(changes: dict[str, Any]) -> None:
    graph = net(**changes)
    after = run_passes(graph, [ElideRectifier()])[-1].graph
    assert parameters(after) == replace(parameters(graph), rectifier=Rectifier.NONE)
    assert [node for node in after if node.name != "n"] == [node for node in graph if node.name != "n"]
    assert compare(graph, after, DATA, 5).is_none
    a, b = (run(g, DATA, timesteps=5, record=["n"]) for g in (graph, after))
    assert np.array_equal(a.records["n"].train, b.records["n"].train)
    assert ElideRectifier()(after) is not graph
    assert dump(ElideRectifier()(after)) == dump(after)


def test_the_gain_on_the_input_does_not_matter() -> None:
    # the threshold is in the units behind the gain, in which phi acts
    found = SpikeGraph((X, FC, replace(NORM, gain=np.array(40.0)), N, *TAIL), timesteps=5)
    assert parameters(ElideRectifier()(found)).rectifier is Rectifier.NONE


@pytest.mark.parametrize("theta", [0.6, 0.4, 1.0, 0.0, 2.0, -0.5, 0.5 + 1e-12, 0.5 - 1e-12])
@pytest.mark.parametrize("strict", [False, True])
def test_refuses_every_other_threshold(theta: float, strict: bool) -> None:
    with pytest.raises(CannotLower, match="changes spikes at the threshold") as error:
        ElideRectifier()(net(theta=np.array(theta), strict=strict))
    # the threshold that the hint gives fires alike
    other = float(error.value.hint.split("or theta = ")[1].split(" ")[0])
    u = np.concatenate([np.random.default_rng(3).normal(theta, 1.0, 100_000), grid(np.array(theta))])
    p = replace(SRIF, theta=np.array(theta), strict=strict)
    assert np.array_equal(passed(p, phi(u), p.theta), passed(p, u, np.array(other)))


def test_the_refusal_says_where_and_what_to_do() -> None:
    with pytest.raises(CannotLower) as error:
        snncc.compile(net(theta=np.array(0.6)), calibration=DATA)
    assert str(error.value) == (
        "n (Neuron, net.srif (net.py:7)): its membrane rectifier changes spikes at the threshold 0.6: "
        "at u_pre = 0.56104 phi(u_pre) = 0.600038991 >= 0.6 is true, u_pre >= 0.6 is false\n"
        "  hint: train with theta = 0.5, which the rectifier leaves where it is; or theta = "
        "0.56101567378675554 without the rectifier, which fires alike"
    )


def test_one_wrong_step_or_channel_is_enough() -> None:
    theta = np.full(6, 0.5)
    theta[4] = 0.75
    for changes in (
        {"theta": theta},
        {"max_count": 2},
        {"max_count": None},
        {"max_count": 2, "steps": np.array([0.5, 0.75])},
    ):
        with pytest.raises(CannotLower, match="changes spikes at the threshold"):
            ElideRectifier()(net(**changes))


def test_phased_counts_are_those_of_the_staircase() -> None:
    graph = net(max_count=3, rho=np.array(0.25))
    spikes = ExpandCounts(Encoding.SPIKES)(graph)
    graded = ExpandCounts(Encoding.GRADED)(graph)
    trains = [
        run(g, DATA, timesteps=5, record=["n"]).records["n"].train.sum(axis=2) for g in (spikes, graded)
    ]
    assert np.array_equal(*trains)
    assert set(np.unique(trains[0])) == {0, 1, 2, 3}


@pytest.mark.parametrize("precision", ["float", "integer"])
@pytest.mark.parametrize("fold", Into)
def test_the_pipeline_drops_it_before_it_folds(precision: str, fold: Into) -> None:
    program = snncc.compile(net(), calibration=DATA, precision=precision, fold=fold)
    names = [stage.name for stage in program.stages]
    assert names.index("elide-rectifier") < names.index("fold-batch-norm")
    assert all(n.parameters.rectifier is Rectifier.NONE for n in program.graph.neurons)
    assert not any(isinstance(node, Affine) for node in program.graph)
    proof = snncc.verify(program, None, DATA, samples=None)
    assert proof.holds
    assert all(check.output_error == 0 for check in proof.stages if check.name == "elide-rectifier")


def test_folding_leaves_the_threshold_of_a_rectified_neuron_alone() -> None:
    graph = net(theta=np.array(0.6))
    folded = FoldBatchNorm(Into.THRESHOLDS)(graph)
    assert parameters(folded) == parameters(graph)
    assert not any(isinstance(node, Affine) for node in folded)  # into the weights instead
    assert compare(graph, folded, DATA, 5).is_none


def test_quantization_refuses_it() -> None:
    with pytest.raises(CannotLower) as error:
        Quantize(calibration=DATA, timesteps=5)(FoldBatchNorm()(net()))
    assert str(error.value) == (
        "n (Neuron, net.srif (net.py:7)): has a rectifier (mpr), which integers lack\n"
        "  hint: run the pass elide-rectifier (snncc.passes.ElideRectifier) before"
    )


def test_where_it_may_stand() -> None:
    with pytest.raises(InvalidGraph, match="a streaming count takes no membrane rectifier"):
        net(max_count=2, encoding=Encoding.STREAM, ticks=2)
    neuron = replace(N, inputs=wires("x"), parameters=replace(SRIF, theta=np.array(1)))
    spikes = replace(X, low=0, high=9)
    graph = SpikeGraph((spikes, neuron, Output(name="y", inputs=wires("n"))), Numbers.INTEGER)
    with pytest.raises(InvalidGraph, match="a membrane rectifier belongs to float graphs"):
        graph.verify()


def test_file_and_dump(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    graph = net()
    save_graph(graph, tmp_path / "g.snn")
    again = load_graph(tmp_path / "g.snn")
    assert parameters(again) == parameters(graph)
    assert parameters(again).rectifier is Rectifier.MPR
    assert dump(again) == dump(graph)
    golden("rectifier", "\n".join(f"{s.name}\n{s.graph}" for s in run_passes(graph, [ElideRectifier()])))


def test_a_saved_program_keeps_the_promise_of_the_pass(tmp_path: Path) -> None:
    program = snncc.compile(net(), calibration=DATA)
    program.save(tmp_path / "p")
    again = snncc.load_program(tmp_path / "p")
    made = next(stage.made_by for stage in again.stages if stage.name == "elide-rectifier")
    assert made is not None
    assert made.preserves is Preserves.EXACT is ElideRectifier.preserves
    assert snncc.verify(again, None, DATA).holds
