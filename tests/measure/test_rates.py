"""Firing rates: what the definitions say of each other, a network counted by hand, and another's count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from neurobench.metrics.workload import ActivationSparsity
from neurobench.models import TorchModel
from torch import nn

import snncc
from snncc import SpikeGraph, measure, reference, simulator
from snncc.errors import BadInput, UnknownName
from snncc.ir import Emit, Input, Kind, Neuron, NeuronParameters, Output, wires
from snncc.measure import (
    average_rate,
    channel_rates,
    neuron_rates,
    spiking_layers,
    tick_rates,
    timestep_rates,
)
from snncc.nn import IF
from snncc.reference import Run
from tests.graphs import Case, graphs
from tests.measure.networks import HAND, driven, measured


def ran(case: Case) -> Run:
    names = [node.name for node in case.graph]
    return reference.run(case.graph, case.x, timesteps=case.timesteps, record=names, count=False)


@given(graphs())
def test_each_rate_is_the_mean_of_the_one_before(case: Case) -> None:
    layers = spiking_layers(case.graph)
    assume(layers)
    run = ran(case)
    assume(any(run.spikes[name].sum() for name in layers))  # a few of those drawn stay silent
    total = neurons = 0.0
    for name in layers:
        t_sfr, n_sfr = timestep_rates(case.graph, run, name), neuron_rates(case.graph, run, name)
        size, shape = case.graph.edges[name].size, case.graph.edges[name].shape
        assert n_sfr.shape == (case.timesteps, *shape)
        assert np.allclose(n_sfr.reshape(case.timesteps, -1).mean(axis=1), t_sfr, rtol=1e-12)
        for axis in (0, -1):
            c_sfr = channel_rates(case.graph, run, name, axis=axis)
            assert c_sfr.shape == (case.timesteps, shape[axis])
            assert np.allclose(c_sfr.mean(axis=1), t_sfr, rtol=1e-12)
        assert np.allclose(tick_rates(case.graph, run, name).sum(axis=1), t_sfr, rtol=1e-12)
        nasfr = average_rate(case.graph, run, name)
        assert nasfr == pytest.approx(float(t_sfr.mean()))
        assert nasfr == pytest.approx(float(n_sfr.mean()))
        total, neurons = total + nasfr * size, neurons + size
    assert average_rate(case.graph, run) == pytest.approx(total / neurons)
    whole = tick_rates(case.graph, run)
    assert whole.shape == (case.timesteps, max(case.graph.edges[name].ticks for name in layers))
    assert np.allclose(whole.sum(axis=1), timestep_rates(case.graph, run), rtol=1e-12)


@given(graphs())
def test_the_simulator_has_the_same_rates(case: Case) -> None:
    layers = spiking_layers(case.graph)
    assume(layers)
    run, fast = ran(case), simulator.run(case.graph, case.x, timesteps=case.timesteps, record=layers)
    for name in layers:
        assert np.array_equal(tick_rates(case.graph, run, name), tick_rates(case.graph, fast, name))
        assert np.array_equal(neuron_rates(case.graph, run, name), neuron_rates(case.graph, fast, name))


def test_by_hand() -> None:
    """u of sample 0: 1, .25 and .5, 1; of sample 1: 0, 1 and 2, 0 (of the 2, 1 stays, and 1 is taken)."""
    graph, run = driven(NeuronParameters(), HAND)
    assert run.records["n"].train[:, :, 0].tolist() == [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]
    assert neuron_rates(graph, run, "n").tolist() == [[0.5, 0.5], [0.5, 0.5]]
    graph, run = driven(NeuronParameters(max_count=2), HAND)
    assert neuron_rates(graph, run, "n").tolist() == [[0.5, 1.0], [0.5, 0.5]]
    assert channel_rates(graph, run, "n").tolist() == [[0.5, 1.0], [0.5, 0.5]]
    assert timestep_rates(graph, run, "n").tolist() == [0.75, 0.5]
    assert average_rate(graph, run) == 0.625


@pytest.mark.parametrize("which", ["sfa", "lif"])
@pytest.mark.parametrize("precision", ["integer", "float"])
def test_rates_of_a_program_equal_those_of_its_costs(which: str, precision: str) -> None:
    graph, result = measured(which, precision)
    table = {layer.name: layer for layer in result.counts.layers if layer.kind == "Neuron"}
    assert tuple(table) == spiking_layers(graph)
    for name, layer in table.items():
        assert average_rate(graph, result, name) == pytest.approx(layer.rate)
        assert average_rate(graph, result.run, name) == average_rate(graph, result, name)
    slots = sum(layer.neurons for layer in table.values()) * result.run.timesteps
    assert average_rate(graph, result) == pytest.approx(sum(layer.spikes for layer in table.values()) / slots)


def test_sfa_fires_its_ones_first() -> None:
    """NSFR does not increase from tick to tick, and its sum is the mean count of the graded encoding."""
    graph, result = measured("sfa")
    graded, counts = measured("sfa", encoding="graded")
    for name in (*spiking_layers(graph), None):
        rates = tick_rates(graph, result, name)
        assert rates.shape == (1, 4)
        assert np.all(np.diff(rates) <= 0)
        assert rates[0, 0] > rates[0, 3] > 0
        assert tick_rates(graded, counts, name).shape == (1, 1)
        assert np.allclose(rates.sum(axis=1), timestep_rates(graded, counts, name))
    assert neuron_rates(graded, counts, "last").max() > 1


def test_binary_rates_are_one_less_the_activation_sparsity_of_neurobench() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 6, 3), IF(0.4, step_mode="s"), nn.Flatten(), nn.Linear(150, 9), IF(0.3)]
    model = nn.Sequential(*layers, nn.Linear(9, 2)).eval()
    x = (torch.rand((5, 3, 2, 7, 7)) < 0.4).float()
    wrapped = TorchModel(model)
    wrapped.add_activation_module(snncc.nn.Neuron)
    wrapped.register_hooks()
    snncc.nn.reset(model)
    with torch.no_grad():
        for step in x:
            wrapped(step)
    sparsity = ActivationSparsity()(wrapped, None, (x[0], None))
    wrapped.cleanup_hooks()
    snncc.nn.reset(model)
    graph = snncc.trace(
        model, x[0], timesteps=5, layout="B", input_kind="spike", presence="sequence", over="mean"
    )
    program = snncc.compile(graph, precision="float")
    result = program.run(x.numpy())
    assert all(0.05 < average_rate(program.graph, result, name) < 0.9 for name in spiking_layers(graph))
    assert average_rate(program.graph, result) == pytest.approx(1 - sparsity, abs=1e-12)


def test_an_input_has_a_rate_but_is_no_part_of_the_network() -> None:
    x = np.random.default_rng(0).random((4, 5, 3)) < 0.3
    nodes = (
        Input(name="x", shape=(3,), kind=Kind.SPIKE),
        Neuron(name="n", inputs=wires("x")),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes)
    run = reference.run(graph, x, timesteps=4, record=["x"])
    assert 0 < average_rate(graph, run, "x") == pytest.approx(x.mean())
    assert np.allclose(neuron_rates(graph, run, "x"), x.mean(axis=1))
    assert spiking_layers(graph) == ("n",)
    assert average_rate(graph, run) == average_rate(graph, run, "n")


def test_what_cannot_be_measured_says_what_to_do() -> None:
    graph, result = measured("lif")
    bare = reference.run(graph, np.zeros((6, 1, 8)), timesteps=6)
    with pytest.raises(BadInput) as caught:
        neuron_rates(graph, bare, "n1")
    assert str(caught.value) == (
        "n1 (Neuron): was not recorded\n  hint: record it: program.run(x, record=['n1'])"
    )
    with pytest.raises(BadInput, match=r"n1 \(Neuron\): was not recorded"):
        channel_rates(graph, bare, "n1")
    with pytest.raises(BadInput) as caught:
        average_rate(graph, result, "fc2")
    assert str(caught.value) == (
        "fc2 (Dense): sends no spikes, so it has no firing rate; layers that do: n1, n2"
    )
    with pytest.raises(UnknownName, match="did you mean 'n1'"):
        average_rate(graph, result, "n11")
    with pytest.raises(BadInput, match=r"n1 .* has shape \(12,\), so no axis 1 of channels"):
        channel_rates(graph, result, "n1", axis=1)


def test_a_run_of_another_graph_is_refused() -> None:
    phased, result = measured("sfa")
    graded, counts = measured("sfa", encoding="graded")
    for graph, run in ((phased, counts), (graded, result), (measured("lif")[0], result)):
        with pytest.raises(BadInput, match="the run is not one of this graph") as caught:
            average_rate(graph, run)
        assert "program.graph" in str(caught.value)


def test_a_network_without_spikes_has_no_rate() -> None:
    graph, run = driven(NeuronParameters(emit=Emit.RELU), np.ones((3, 1, 2)))
    with pytest.raises(BadInput, match="no layer of neurons sends spikes"):
        average_rate(graph, run)
    with pytest.raises(BadInput, match="layers that do: none"):
        average_rate(graph, run, "n")


def test_measure_is_public_and_lazy() -> None:
    assert snncc.measure is measure
    assert "measure" in dir(snncc)
