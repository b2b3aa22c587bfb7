"""Membrane potentials in real units: distributions, their peaks, quantization errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc import SpikeGraph, reference
from snncc.errors import BadInput
from snncc.ir import Emit, Input, Neuron, NeuronParameters, Numbers, Output, Reset, wires
from snncc.measure import (
    average_rate,
    distribution,
    peak_to_threshold,
    potentials,
    quantization_error,
    spiking_layers,
)
from snncc.measure.membrane import Distribution
from snncc.reference import Record
from tests.graphs import Case, graphs
from tests.measure.networks import HAND, driven, measured

SRIF = NeuronParameters(theta=np.array(0.5), rho=np.array(1.0))


def test_by_hand() -> None:
    graph, run = driven(NeuronParameters(), HAND)
    u = potentials(graph, run, "n")
    assert u.tolist() == [[[1.0, 0.5], [0.0, 2.0]], [[0.25, 1.0], [1.0, 0.0]]]
    # Spikes are 1 0, 0 1, 0 1, 1 0; the errors 0 .5, 0 1, .25 0, 0 0.
    assert quantization_error(graph, run, "n") == pytest.approx((0.25 + 1 + 0.0625) / 8)
    assert quantization_error(graph, run, "n", spike=0.5) == pytest.approx(
        (0.25 + 0.25 + 0 + 2.25 + 0.0625 + 0.25 + 0.25 + 0) / 8
    )
    one = distribution(graph, run, "n", 0, bins=[-0.125, 0.125, 0.375, 0.625, 0.875, 1.125])
    assert one.counts.tolist() == [1, 1, 0, 0, 2]
    assert (one.thresholds, one.outside) == ((1.0, 1.0), 0)
    assert one.peak == pytest.approx((0 + 0.25 + 1) / 3)
    other = distribution(graph, run, "n", 1, bins=[0, 0.25, 1.5])
    assert (other.counts.tolist(), other.outside) == ([1, 2], 1)
    assert other.shares.tolist() == [0.25, 0.5]
    assert distribution(graph, run, "n", 0, timestep=0).counts.sum() == 2
    # Less the threshold: 0, -1, -.75, 0, in bins of 1/4 from -1: the last holds two, two others one.
    assert peak_to_threshold(graph, run, "n", 0, bins=4) == pytest.approx((-0.125 - 0.875 - 0.625) / 3)


def test_srif_has_the_error_of_its_equation() -> None:
    """H = u + c, o = [H >= 1/2], u = H - o: the error is H - o, which is what stays on the membrane."""
    x = np.random.default_rng(0).normal(0.3, 0.6, (20, 16, 9))
    graph, run = driven(SRIF, x)
    assert 0.1 < average_rate(graph, run) < 0.9
    u = errors = np.zeros(())
    total = []
    for current in x:
        h = u + current
        errors = h - (h >= 0.5)
        total.append(errors**2)
        u = errors
    assert quantization_error(graph, run, "n") == pytest.approx(float(np.mean(total)), rel=1e-12)
    u_post = run.records["n"].u_post
    assert u_post is not None
    assert quantization_error(graph, run, "n") == pytest.approx(float(np.mean(u_post**2)), rel=1e-12)


@pytest.mark.parametrize("spread", [1.0, 0.25])
def test_the_rectified_membrane_has_the_smaller_error(spread: float) -> None:
    """InfLoR's MPR pulls potentials to 0 and 1; its published direction: .611 to .054, .168 to .0365."""
    u = np.random.default_rng(0).normal(0, spread**0.5, (1, 4, 5000))
    memoryless = replace(SRIF, stateless=True)
    pulled = np.piecewise(
        u,
        [u > 1, u < 0],
        [np.cbrt, lambda s: 1 - np.cbrt(1 - s), lambda s: 0.5 + np.tanh(3 * (s - 0.5)) / (2 * np.tanh(1.5))],
    )
    before, after = (quantization_error(*driven(memoryless, x), "n") for x in (u, pulled))
    assert after < before / 3


def test_a_hard_reset_measures_against_zero_and_one() -> None:
    """QE of ASA-SNN: S is 0 or 1, whatever the threshold is."""
    p = NeuronParameters(theta=np.array(0.3), leak=np.array(0.3), reset=Reset.VALUE)
    x = np.random.default_rng(1).normal(0.2, 0.3, (8, 4, 6))
    graph, run = driven(p, x)
    assert 0.1 < average_rate(graph, run) < 0.9
    u = potentials(graph, run, "n")
    assert quantization_error(graph, run, "n") == pytest.approx(float(np.mean((u - (u >= 0.3)) ** 2)))


def test_sfa_inside_its_range_errs_by_half_a_step_at_most() -> None:
    """The rounding error of a uniform potential: a variance of 1/12 of a step squared."""
    p = NeuronParameters(theta=np.array(0.5), max_count=4, scale=np.array(0.25), stateless=True)
    graph, run = driven(p, np.random.default_rng(2).uniform(0, 4, (3, 50, 100)))
    assert average_rate(graph, run) == pytest.approx(2, abs=0.05)
    assert quantization_error(graph, run, "n") == pytest.approx(1 / 12, rel=0.05)


@pytest.mark.parametrize("which", ["sfa", "lif"])
def test_integers_measure_in_the_units_of_the_float_network(which: str) -> None:
    floats, integers = measured(which, "float"), measured(which, weight_bits=16, input_bits=12)
    assert integers[0].is_integer
    assert not floats[0].is_integer
    first = spiking_layers(integers[0])[0]  # later ones differ by spikes that lay near the threshold
    u, v = potentials(*floats, first), potentials(*integers, first)
    raw = integers[1].records[first].u_pre
    assert raw is not None
    assert raw.dtype.kind == "i"
    assert np.abs(raw).max() > 100 * np.abs(u).max()
    assert np.median(np.abs(u - v)) < 0.01 * np.std(u)
    for name in spiking_layers(integers[0]):
        errors = [quantization_error(*one, name) for one in (floats, integers)]
        assert errors[1] == pytest.approx(errors[0], rel=0.1, abs=0.02)
        thresholds = [distribution(*one, name).thresholds for one in (floats, integers)]
        assert thresholds[0] is not None
        assert thresholds[1] == pytest.approx(thresholds[0], rel=0.01)
    edges = np.linspace(-3, 3, 13).tolist()
    shares = [distribution(*one, first, 2, bins=edges).shares for one in (floats, integers)]
    assert np.abs(shares[0] - shares[1]).max() < 0.06
    ptd = [peak_to_threshold(*one, first, bins=edges) for one in (floats, integers)]
    assert ptd[0] == pytest.approx(ptd[1], abs=0.3)


@given(graphs(), st.integers(1, 120))
def test_a_distribution_counts_every_potential_once(case: Case, bins: int) -> None:
    neurons = [node.name for node in case.graph.neurons]
    run = reference.run(case.graph, case.x, timesteps=case.timesteps, record=neurons, count=False)
    for name in neurons:
        u = potentials(case.graph, run, name)
        whole = distribution(case.graph, run, name, bins=bins)
        assert whole.outside == 0
        assert whole.counts.sum() == u.size
        assert len(whole.counts) <= bins
        assert whole.edges[0] <= u.min() <= u.max() <= whole.edges[-1]
        channels = range(case.graph.edges[name].shape[0])
        edges = whole.edges.tolist()
        parts = [distribution(case.graph, run, name, k, bins=edges).counts for k in channels]
        assert np.array_equal(np.sum(parts, axis=0), whole.counts)


@given(st.integers(-50, 50), st.integers(1, 400), st.integers(1, 60), st.floats(0.01, 3))
def test_bins_of_integers_hold_whole_steps(low: int, span: int, bins: int, scale: float) -> None:
    """Each integer once gives a flat histogram but for the last bin: no comb from bins against steps."""
    u = np.arange(low, low + span)[None, None]
    nodes = (
        Input(name="x", shape=(span,), scale=np.array(scale), low=-500, high=500),
        Neuron(name="n", inputs=wires("x"), parameters=NeuronParameters(theta=np.array(3), rho=np.array(3))),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    run = reference.run(graph, u * scale, timesteps=1, record=["n"])
    one = distribution(graph, run, "n", bins=bins)
    assert set(one.counts[:-1].tolist()) <= {one.counts[0]}
    assert 0 < one.counts[-1] <= one.counts[0]
    assert len(one.counts) <= bins
    assert one.edges[0] == pytest.approx((low - 0.5) * scale)
    assert one.thresholds == pytest.approx((3 * scale, 3 * scale))


def test_the_peak_is_found_where_it_was_put() -> None:
    x = np.random.default_rng(3).normal(-0.75, 0.1, (4, 40, 50))
    theta = np.where(np.arange(50) < 25, 0.5, 1.5)
    graph, run = driven(NeuronParameters(theta=theta, stateless=True), x + theta)
    assert distribution(graph, run, "n").thresholds == (0.5, 1.5)
    assert peak_to_threshold(graph, run, "n") == pytest.approx(-0.75, abs=0.1)
    still, one = driven(NeuronParameters(), np.full((1, 1, 2), 0.25))
    assert peak_to_threshold(still, one, "n", bins=1001) == pytest.approx(
        -0.75, abs=1e-3
    )  # one bin, not three


def test_the_threshold_of_a_staircase_is_its_first_step() -> None:
    p = NeuronParameters(steps=np.array([0.25, 1.0, 4.0]), max_count=3)
    assert distribution(*driven(p, HAND), "n").thresholds == (0.25, 0.25)


def test_what_cannot_fire_has_no_threshold() -> None:
    graph, run = driven(NeuronParameters(emit=Emit.POTENTIAL, reset=Reset.NONE), HAND)
    assert distribution(graph, run, "n").thresholds is None
    with pytest.raises(BadInput, match=r"n \(Neuron\): cannot fire"):
        peak_to_threshold(graph, run, "n")
    with pytest.raises(BadInput, match="sends real numbers, which are no quantization"):
        quantization_error(graph, run, "n")
    liaf = driven(NeuronParameters(emit=Emit.RELU, reset=Reset.VALUE), HAND)
    assert distribution(*liaf, "n").thresholds == (1.0, 1.0)


def test_what_cannot_be_measured_says_what_to_do() -> None:
    graph, result = measured("lif")
    bare = reference.run(graph, np.zeros((6, 1, 8)), timesteps=6, record=["fc1"])
    for measure in (potentials, distribution, peak_to_threshold, quantization_error):
        with pytest.raises(BadInput) as caught:
            measure(graph, bare, "n2")
        assert str(caught.value) == (
            "n2 (Neuron): was not recorded\n  hint: record it: program.run(x, record=['n2'])"
        )
    with pytest.raises(BadInput) as caught:
        potentials(graph, bare, "fc1")
    assert str(caught.value) == "fc1 (Dense): has no membrane potential; layers of neurons: n1, n2"
    with pytest.raises(BadInput, match="has 12 channels, so there is no channel 12"):
        distribution(graph, result, "n1", 12)
    with pytest.raises(BadInput, match="ran for 6 timesteps, so there is no timestep 6"):
        distribution(graph, result, "n1", timestep=6)
    with pytest.raises(BadInput, match="at least one bin, not 0"):
        distribution(graph, result, "n1", bins=0)
    with pytest.raises(BadInput, match="two or more ascending numbers"):
        distribution(graph, result, "n1", bins=[1.0, 0.0])
    with pytest.raises(BadInput, match="no potential lies within the bins"):
        peak_to_threshold(graph, result, "n1", bins=[1000.0, 1001.0])
    with pytest.raises(BadInput, match=r"value of a spike \(3,\) does not broadcast to \(12,\)"):
        quantization_error(graph, result, "n1", spike=[1, 2, 3])


def test_potentials_of_integers_under_a_float_graph_are_refused() -> None:
    """They would be taken for real numbers, which they are not."""
    (floats, _), (_, integers) = measured("lif", "float"), measured("lif")
    with pytest.raises(BadInput, match="the run is not one of this graph"):
        potentials(floats, integers, "n1")


def test_a_record_without_potentials_is_refused() -> None:
    graph, run = driven(SRIF, HAND)
    bare = replace(run, records={"n": Record(run.records["n"].train)})
    with pytest.raises(BadInput, match="has a train, but no potentials"):
        potentials(graph, bare, "n")


def test_shares_and_centers() -> None:
    one = Distribution("n", None, np.array([1, 2]), np.array([0.0, 1.0, 2.0]), (1.0, 1.0), outside=1)
    assert one.shares.tolist() == [0.25, 0.5]
    assert one.centers.tolist() == [0.5, 1.5]
    assert one.peak == 1.0
