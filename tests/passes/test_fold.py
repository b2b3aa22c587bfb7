"""Folding affine nodes changes no spike and leaves none that could go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from snncc.ir import (
    Array,
    Conv,
    Dense,
    Emit,
    Neuron,
    NeuronParameters,
    Numbers,
    Output,
    Reset,
    Sparse,
    SpikeGraph,
    wires,
)
from snncc.passes import FoldBatchNorm, Into, Preserves, run_passes
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs
from tests.passes.compare import compare
from tests.passes.folding import CONV, GAIN, NORM, OFFSET, N, T, X, affines, data, net


@pytest.mark.parametrize("into", Into)
def test_random_networks(into: Into) -> None:
    found, ties, dead = [], 0, []

    @settings(max_examples=40, database=None)
    @given(float_graphs())
    def check(case: FloatCase) -> None:
        nonlocal ties
        folded = run_passes(case.graph, [FoldBatchNorm(into)])[-1].graph
        difference = compare(case.graph, folded, case.x, case.timesteps)
        assert difference.differ == 0
        assert difference.output <= 1e-9
        ties += difference.ties
        found.append(difference)
        dead.append(difference.alive == difference.counts)
        left = affines(folded)
        # A gain on what a neuron sent, behind a pool, has no weights before it; what follows decides.
        assert all(left_over(folded, name) for name in left), (left, str(folded))

    check()
    assert sum(d.alive for d in found) > 0.1 * sum(d.counts for d in found)
    assert np.mean([d.alive > 0 for d in found]) > 0.9
    assert not all(dead)
    assert ties < 0.001 * sum(d.counts for d in found)


def left_over(graph: SpikeGraph, name: str) -> bool:
    """Whether no synapse is beside the affine *name*, neither alone before it nor alone behind it."""
    source = graph.by_name[graph.by_name[name].inputs[0].source]
    behind = [graph.by_name[r] for r in graph.readers[name]]
    before = isinstance(source, Dense | Conv | Sparse) and len(graph.readers[source.name]) == 1
    after = len(behind) == 1 and isinstance(behind[0], Dense | Conv | Sparse)
    return not before and not after


@pytest.mark.parametrize("into", Into)
@pytest.mark.parametrize("bias", [None, 0.3 * OFFSET])
def test_batch_norm_behind_a_convolution(into: Into, bias: Array | None) -> None:
    graph = net(X, replace(CONV, bias=bias), NORM, N)
    folded = FoldBatchNorm(into)(graph)
    folded.verify()
    assert affines(folded) == []
    difference = compare(graph, folded, data(), T)
    assert difference.is_none, difference
    conv, neuron = folded["conv"], folded["n"]
    assert isinstance(conv, Conv)
    assert isinstance(neuron, Neuron)
    if into is Into.WEIGHTS:
        assert neuron.parameters == N.parameters
        assert np.allclose(conv.weight, CONV.weight * GAIN[:, None])
    else:
        # Weights keep their size: negative gains flip them, a zero gain empties them.
        assert np.array_equal(conv.weight, CONV.weight * np.sign(GAIN)[:, None])
        assert np.allclose(neuron.parameters.rho, 0.7 / np.where(GAIN == 0, 1, np.abs(GAIN)))


PARAMETERS: dict[str, Any] = {
    "everything": NeuronParameters(
        theta=np.array(0.8),
        rho=np.array(0.5),
        max_count=3,
        leak=np.array(0.5),
        leak_i=np.array(0.25),
        bias=np.array(0.1),
        v_init=np.array(0.3),
        i_init=np.array(-0.2),
        clamp_low=np.array(-0.5),
        clamp_high=np.array(1.5),
        scale=np.array(0.5),
        refractory=1,
    ),
    "hard": NeuronParameters(reset=Reset.VALUE, v_reset=np.array(-0.25), leak=np.array(0.75), strict=True),
    "channels": NeuronParameters(theta=0.5 + np.arange(4).reshape(4, 1, 1), rho=np.array(0.7)),
    "steps": NeuronParameters(max_count=3, steps=np.array([0.3, 0.5, 2.0]), rho=np.array(0.4)),
    "steps of channels": NeuronParameters(
        max_count=2, steps=np.array([[0.3], [0.9]])[..., None, None] + np.arange(4).reshape(1, 4, 1, 1) / 5
    ),
    "as many steps as channels": NeuronParameters(max_count=4, steps=np.array([0.2, 0.6, 0.9, 2.5])),
}


@pytest.mark.parametrize("into", Into)
@pytest.mark.parametrize("p", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_every_parameter_scales(p: NeuronParameters, into: Into) -> None:
    # Found in review: with one staircase and a gain for each channel, the axis of steps met that of channels.
    graph = net(X, CONV, NORM, replace(N, parameters=p))
    folded = FoldBatchNorm(into)(graph)
    folded.verify()
    assert affines(folded) == []
    difference = compare(graph, folded, data(), T)
    assert difference.is_none, difference


@pytest.mark.parametrize("emit", [Emit.RELU, Emit.POTENTIAL])
@pytest.mark.parametrize("into", Into)
def test_neurons_that_send_reals(emit: Emit, into: Into) -> None:
    graph = net(X, CONV, NORM, replace(N, parameters=NeuronParameters(emit=emit, scale=np.array(0.5))))
    folded = FoldBatchNorm(into)(graph)
    assert affines(folded) == []
    before, after = (run(g, data(), timesteps=T).output for g in (graph, folded))
    assert np.allclose(before, after, rtol=1e-12, atol=1e-12)
    assert before.any()


def test_integer_graphs_stay_as_they_are() -> None:
    graph = SpikeGraph((replace(X, low=0, high=9), Output(name="y", inputs=wires("x"))), Numbers.INTEGER)
    assert FoldBatchNorm()(graph) is graph


def test_declares_what_it_is() -> None:
    assert FoldBatchNorm.preserves is Preserves.EXACT
    assert repr(FoldBatchNorm(Into.THRESHOLDS)) == "FoldBatchNorm(into=<Into.THRESHOLDS: 'thresholds'>)"


def test_the_graph_it_got_is_untouched() -> None:
    graph = net(X, CONV, NORM, N)
    before = str(graph)
    FoldBatchNorm()(graph)
    assert str(graph) == before
