"""Neurons without a module: graph and PyTorch send the same spikes; what is no neuron is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import CannotTrace
from snncc.frontends.from_torch import observe, trace
from snncc.ir import Emit, Over, ResetAt, SpikeGraph
from snncc.reference import run
from tests.frontends.frameworks import assert_same_spikes, drive, louder, own
from tests.frontends.inline_networks import (
    STEPS,
    Held,
    Looped,
    Mixture,
    Presented,
    Recurrent,
    SpyTorch,
    spike_fn,
)


def generator(seed: int) -> torch.Generator:
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", STEPS)
def test_code_of_a_loop_is_a_neuron(name: str) -> None:
    seed = list(STEPS).index(name)
    x = drive(generator(seed), 4, 7) * 2
    beta, theta = (float(v) for v in torch.rand(2) * 0.4 + 0.5)
    assert_same_spikes(louder(Looped(STEPS[name], beta, theta), 3.0), x, "BT")


@pytest.mark.parametrize("reads", ["spikes", "max", "sum", "last"])
@pytest.mark.parametrize("is_recurrent", [False, True])
def test_the_networks_of_spytorch(reads: str, is_recurrent: bool) -> None:
    x = drive(generator(3), 4, 7)
    same(SpyTorch(reads, is_recurrent=is_recurrent, tau_mem=7.0), x)


def test_the_parameters_of_spytorch() -> None:
    """Current and potential have the decays of the code; its spikes come two timesteps after their input."""
    model = SpyTorch("spikes")
    graph = trace(model, drive(generator(4), 4, 7).transpose(0, 1), layout="BT")
    (neuron,) = graph.neurons
    p = neuron.parameters
    assert [float(v) for v in (p.leak_i, p.leak, p.theta)] == [model.alpha, model.beta, 1.0]
    assert p.strict
    assert p.reset_at is ResetAt.NEXT
    assert [wire.delay for wire in neuron.inputs] == [2, 3]
    assert len(graph.notes) == 1
    assert "the neuron of this loop recognized by its behavior" in graph.notes[0]
    assert "inline_networks.py:" in graph.notes[0]


def test_spytorch_in_integers() -> None:
    """Both currents of the neuron pass a reshape of einsum, the recurrent one backwards, on one grid."""
    model, x = SpyTorch("spikes"), drive(generator(4), 4, 7).transpose(0, 1)
    program = snncc.compile(trace(model, x, layout="BT"), calibration=x.numpy())
    assert program.graph.is_integer
    proof = snncc.verify(program, model, x.numpy())
    proof.check()
    assert proof.stages[-1].differing == 0
    assert all(spikes.any() for spikes in program.run(x.numpy()).run.spikes.values())


def test_data_that_is_observed_again() -> None:
    """What a compiled network is compared with: the model itself on other data, in float64."""
    model, x = SpyTorch("spikes"), drive(generator(11), 3, 7)
    graph = trace(model, x[:8].transpose(0, 1), layout="BT")
    graph = replace(graph, timesteps=len(x))
    seen = observe(model, graph, x.double().numpy())
    have = run(graph, x.double().numpy(), timesteps=len(x)).outputs["output"]
    assert have.any()
    assert np.array_equal(seen.outputs["output"], have)


def test_recurrent_weights_with_a_bias_and_a_readout() -> None:
    graph = same(louder(Recurrent(), 2.0), drive(generator(5), 4, 7))
    assert [neuron.parameters.emit for neuron in graph.neurons] == [Emit.COUNT, Emit.POTENTIAL]
    assert [wire.delay for wire in graph.neurons[0].inputs] == [0, 1]


def test_a_network_of_many_kinds_of_layers() -> None:
    model = louder(Mixture(), 3.0)
    graph = same(model, drive(generator(6), 3, 8, 8) * 2)
    assert len(graph.neurons) == 3
    assert graph.outputs[0].over is Over.SUM


def test_a_model_that_is_called_timestep_by_timestep() -> None:
    assert_same_spikes(louder(Held(), 3.0), drive(generator(7), 3, 7) * 2, "B")


def test_a_constant_input_that_the_model_presents() -> None:
    generator(8)
    model, x = louder(Presented(60), 3.0), torch.rand(3, 7) * 2
    graph = trace(model, x, timesteps=60, layout="B")
    have = run(graph, x.double().numpy(), timesteps=60).outputs["output"]
    (need,) = own(copy.deepcopy(model), x, lambda twin, data: twin(data))
    assert 0 < need.sum() < 60 * need.size
    assert np.array_equal(have, need)


def same(model: nn.Module, x: Tensor) -> SpikeGraph:
    """Compare on *x* [T, B, ...], also what is reduced over time; every neuron that spikes must."""
    graph = trace(model, x[:8].transpose(0, 1), layout="BT")
    result = run(graph, x.double().numpy(), timesteps=len(x), record=[one.name for one in graph.neurons])
    (need,) = own(copy.deepcopy(model), x, lambda twin, data: twin(data.transpose(0, 1)))
    have = result.outputs["output"]
    need = need.swapaxes(0, 1) if graph.outputs[0].over is Over.SEQUENCE else need
    assert have.shape == need.shape
    if (is_real := graph.neurons[-1].parameters.emit is Emit.POTENTIAL) and need.any():
        np.testing.assert_allclose(have, need, rtol=1e-9, atol=1e-9)
    assert is_real or np.array_equal(have, need)
    for neuron in graph.neurons:
        if neuron.parameters.emit is Emit.COUNT:
            train = result.records[neuron.name].train
            assert 0 < (train != 0).mean() < 1, neuron.name
    return graph


class Wrong(nn.Module):
    """A loop of which *part* says what happens to potential and current in timestep t."""

    def __init__(self, part: Callable[..., Any]) -> None:
        super().__init__()
        self.fc, self.part = nn.Linear(7, 9), part

    def forward(self, x: Tensor) -> Any:
        return self.part(self.fc(x), torch.zeros(len(x), 9))


def adaptive(x: Tensor, mem: Tensor) -> Tensor:
    theta, out = torch.ones_like(mem), []
    for t in range(x.shape[1]):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > theta).float()
        mem, theta = mem * (1 - spk), 0.95 * theta + 0.05 + 0.2 * spk
        out.append(spk)
    return torch.stack(out, 1)


def timed(x: Tensor, mem: Tensor) -> Tensor:
    out = []
    for t in range(x.shape[1]):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > 1 + t).float()
        mem = mem * (1 - spk)
        out.append(spk)
    return torch.stack(out, 1)


def first_is_other(x: Tensor, mem: Tensor) -> Tensor:
    out = []
    for t in range(x.shape[1]):
        mem = 0.9 * mem + x[:, t] if t else 2 * x[:, t]
        spk = (mem > 1).float()
        mem = mem * (1 - spk)
        out.append(spk)
    return torch.stack(out, 1)


def both_leave(x: Tensor, mem: Tensor) -> tuple[Tensor, Tensor]:
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > 1).float()
        mem = mem * (1 - spk)
        spikes.append(spk)
        potentials.append(mem)
    return torch.stack(spikes, 1), torch.stack(potentials, 1)


def backwards(x: Tensor, mem: Tensor) -> Tensor:
    out = []
    for t in reversed(range(x.shape[1])):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > 1).float()
        mem = mem * (1 - spk)
        out.append(spk)
    return torch.stack(out, 1)


def neighbors(x: Tensor, mem: Tensor) -> Tensor:
    out = []
    for t in range(x.shape[1]):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > 1).float()
        mem = mem * (1 - spk.amax(1, keepdim=True))
        out.append(spk)
    return torch.stack(out, 1)


def two_entrances(x: Tensor, mem: Tensor) -> Tensor:
    out, syn, spk = [], torch.zeros_like(mem), torch.zeros_like(mem)
    for t in range(x.shape[1]):
        syn = 0.5 * syn + x[:, t]
        mem = 0.9 * mem + syn + torch.roll(spk, 1, 1)
        spk = (mem > 1).float()
        mem = mem * (1 - spk)
        out.append(spk)
    return torch.stack(out, 1)


def starts_charged(x: Tensor, mem: Tensor) -> Tensor:
    out = []
    mem = mem + torch.tensor([[0.0]] * (len(mem) - 1) + [[0.5]])
    for t in range(x.shape[1]):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > 1).float()
        mem = mem * (1 - spk)
        out.append(spk)
    return torch.stack(out, 1)


def every_other(x: Tensor, mem: Tensor) -> Tensor:
    out = []
    for t in range(0, x.shape[1], 2):
        mem = 0.9 * mem + x[:, t]
        spk = (mem > 1).float()
        mem = mem * (1 - spk)
        out.append(spk)
    return torch.stack(out, 1)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (adaptive, "is no member of the one neuron's family; the closest"),
        (timed, "compares or rounds a signal"),
        (first_is_other, "which it did not do in other timesteps"),
        (both_leave, "2 of its numbers are used elsewhere"),
        (backwards, "reads timestep 7 of its input in timestep 0"),
        (neighbors, "compares or rounds a signal"),
        (two_entrances, "its 2 inputs do not enter it as one sum"),
        (starts_charged, "differs between samples"),
        (every_other, "compares or rounds a signal"),
    ],
)
def test_what_is_no_neuron_is_refused_by_its_line(part: Callable[..., Any], words: str) -> None:
    x = drive(generator(9), 3, 7).transpose(0, 1)
    with pytest.raises(CannotTrace, match=words) as caught:
        trace(Wrong(part), x[:, :8], layout="BT")
    first = part.__code__.co_firstlineno
    lines = range(first, first + 13)
    assert any(f"test_inline_neurons.py:{line})" in str(caught.value) for line in lines), caught.value
    assert caught.value.hint


def test_a_constant_current_before_a_late_spike_is_refused() -> None:
    """The input comes a timestep later, the constant within the neuron does not."""

    def part(x: Tensor, mem: Tensor) -> Tensor:
        out = []
        for t in range(x.shape[1]):
            spk = spike_fn(mem - 1)
            mem = 0.9 * mem * (1 - spk) + x[:, t] + 0.3 * torch.ones_like(mem)
            out.append(spk)
        return torch.stack(out, 1)

    x = drive(generator(10), 3, 7).transpose(0, 1)
    with pytest.raises(CannotTrace, match="timesteps later, and it does not rest until then"):
        trace(Wrong(part), x[:, :8], layout="BT")
