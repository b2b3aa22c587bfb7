"""QCFS networks as integrate-and-fire neurons: exact where it should be, and different where it must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import snncc
from snncc.errors import BadInput
from snncc.nn import IF, QCFS, HSDNeuron, hsd_loss, qcfs_to_if, set_step_mode
from tests.nn.strategies import alive

L = 4


def over_time(neuron: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    """The outputs [T, ...] of a multi-step *neuron* for a constant input."""
    with torch.no_grad():
        out: Tensor = neuron(x.expand(timesteps, *x.shape))
    return out


def network(depth: int = 2, seed: int = 0) -> nn.Sequential:
    """*depth* layers of convolution, normalization and QCFS, and a linear head, for [B, 1, 6, 6]."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for k in range(depth):
        norm = nn.BatchNorm2d(6)
        nn.init.uniform_(norm.weight, 0.7, 1.3)
        nn.init.uniform_(norm.bias, -0.2, 0.8)
        layers += [nn.Conv2d(6 if k else 1, 6, 3, padding=1), norm, QCFS(L, 1.0 + 0.25 * k)]
    net = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 5))
    for _ in range(3):
        net(torch.randn(16, 1, 6, 6))
    return net.eval()


def spiking(net: nn.Sequential, variant: Any = "qcfs", **options: Any) -> nn.Sequential:
    """The converted network."""
    twin = qcfs_to_if(net, variant, **options)
    assert isinstance(twin, nn.Sequential)
    return twin


X = np.random.default_rng(0).normal(size=(12, 1, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
@pytest.mark.parametrize("lam", [1.0, 3.3, torch.tensor([0.5, 1.0, 2.7])])
def test_one_layer_with_constant_input_is_exact(levels: int, lam: float | Tensor) -> None:
    module = QCFS(levels, lam).double()
    x = torch.from_numpy(np.random.default_rng(levels).normal(0.7, 2.0, (30_000, 3)))
    need = module(x).detach()
    height = module.lam.detach()
    need_counts = torch.round(need * levels / height)
    assert alive(need_counts.numpy())
    spikes = over_time(qcfs_to_if(module, "hsd", step_mode="m"), x, levels)
    assert bool(((spikes == 0) | (spikes == 1)).all())
    assert torch.equal(spikes.sum(0), need_counts)
    scaled = over_time(qcfs_to_if(module, "qcfs", step_mode="m"), x, levels)
    assert torch.equal(scaled, (scaled > 0) * height)
    assert torch.equal((scaled > 0).sum(0), need_counts)
    assert torch.allclose(scaled.mean(0), need, rtol=1e-12)


def test_the_comparisons_differ_on_exact_ties_alone() -> None:
    # dyadic numbers: every sum is exact, so a tie is one
    lam, levels = 2.0, 4
    x = torch.from_numpy(np.random.default_rng(0).integers(-32, 96, 20_000) / 32).double().unsqueeze(1)
    module = QCFS(levels, lam).double()
    loose = over_time(qcfs_to_if(module, step_mode="m"), x, levels) / lam
    strict = over_time(qcfs_to_if(module, "hsd", step_mode="m"), x, levels)
    v, tied = torch.full_like(x, lam / 2), torch.zeros_like(x, dtype=torch.bool)
    for s in loose:
        tied |= (v + x) == lam
        v = v + x - s * lam
    differs = (loose != strict).any(0)
    assert bool(tied.any())
    assert torch.equal(differs, tied)
    counts = torch.round(module(x).detach() * levels / lam)
    assert torch.equal(loose.sum(0), counts)
    # what a strict neuron loses: the last spike, where the staircase itself lies on a tie
    lost = counts != strict.sum(0)
    assert torch.equal(
        lost, ((x * levels / lam + 0.5) % 1 == 0) & (counts > 0) & (x < lam + lam / (2 * levels))
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_phased_it_is_exact_at_every_depth(depth: int) -> None:
    net = network(depth)
    graph = snncc.trace(net, X, layout="B")
    program = snncc.compile(graph, encoding="spikes", precision="float")
    proof = snncc.verify(program, net, X)
    assert proof.holds, str(proof)
    assert all(n.parameters.fire_ticks == L for n in program.graph.neurons)
    with torch.no_grad():
        need = net.double()(torch.from_numpy(X).double()).numpy()
    assert np.allclose(program.run(X).output, need, rtol=1e-9, atol=1e-9)


def streaming_error(depth: int) -> float:
    """The share of counts of the last layer that differ when the converted network runs for L timesteps."""
    net = network(depth).double()
    x = torch.from_numpy(X).double()
    twin = spiking(net)
    layer = 3 * depth  # up to and with the last QCFS
    last = net[layer - 1]
    assert isinstance(last, QCFS)
    lam = last.lam.detach()
    with torch.no_grad():
        need = net[:layer](x) * L / lam
        have = torch.stack([twin[:layer](x) for _ in range(L)]).sum(0) / lam
    assert alive(need.round().numpy())
    return float((need.round() != have.round()).double().mean())


def test_streaming_differs_behind_the_first_layer() -> None:
    assert streaming_error(1) == 0.0
    measured = [streaming_error(depth) for depth in (2, 3)]
    assert all(0.002 < error < 0.5 for error in measured), measured


@pytest.mark.parametrize("variant", ["qcfs", "hsd"])
@pytest.mark.parametrize("precision", ["float", "integer"])
def test_converted_networks_are_compiled(variant: Any, precision: str) -> None:
    net = qcfs_to_if(network(), variant)
    graph = snncc.trace(net, X, layout="B", timesteps=L)
    assert [n.parameters.strict for n in graph.neurons] == [variant == "hsd"] * 2
    program = snncc.compile(graph, calibration=X, precision=precision)
    proof = snncc.verify(program, net, X)
    assert proof.holds, str(proof)
    records = program.run(X, record=[n.name for n in graph.neurons]).records
    assert all(alive(record.train) for record in records.values())


class Train(nn.Module):
    """The network over whole trains [T, B, ...], its neurons in multi-step mode; the mean of the logits."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            is_neuron = isinstance(layer, IF | HSDNeuron)
            x = layer(x) if is_neuron else layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return x.mean(0)


@pytest.mark.parametrize("variant", ["qcfs", "hsd"])
def test_trains_are_compiled(variant: Any) -> None:
    net = Train(spiking(network(), variant, step_mode="m"))
    x = np.random.default_rng(1).normal(size=(L, 6, 1, 6, 6)).astype(np.float32)
    program = snncc.compile(snncc.trace(net, x, layout="TB"), calibration=x)
    proof = snncc.verify(program, net, x)
    assert proof.holds, str(proof)


def test_the_model_is_left_alone() -> None:
    net = network()
    before = [type(m) for m in net.modules()]
    twin = spiking(net)
    assert [type(m) for m in net.modules()] == before
    assert sum(isinstance(m, IF) for m in twin.modules()) == 2
    assert not any(isinstance(m, QCFS) for m in twin.modules())
    first, copied = net[0], twin[0]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(copied, nn.Conv2d)
    copied.weight.data.zero_()
    assert bool(first.weight.any())
    assert all(m.step_mode == "m" for m in qcfs_to_if(net, step_mode="m").modules() if isinstance(m, IF))


def test_each_place_gets_a_neuron_of_its_own() -> None:
    shared = QCFS(L, 2.0)
    net = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    twin = qcfs_to_if(net)
    assert isinstance(twin, nn.ModuleDict)
    neurons = [m for m in twin.modules() if isinstance(m, IF)]
    assert len(neurons) == 2
    assert isinstance(qcfs_to_if(shared), IF)


def test_refuses() -> None:
    with pytest.raises(BadInput, match="Linear holds no QCFS"):
        qcfs_to_if(nn.Linear(2, 2))
    with pytest.raises(BadInput, match=r"variant must be one of \('qcfs', 'hsd'\), not 'rate'"):
        qcfs_to_if(QCFS(), "rate")  # type: ignore[arg-type]
    negative = QCFS()
    negative.lam.data.fill_(-1.0)
    with pytest.raises(BadInput, match="lam must be positive"):
        qcfs_to_if(negative)


def test_the_neuron_of_hsd_learns_its_height() -> None:
    neuron = qcfs_to_if(QCFS(L, 2.0), "hsd")
    assert isinstance(neuron, HSDNeuron)
    assert [name for name, _ in neuron.named_parameters()] == ["lam"]
    set_step_mode(neuron, "m")
    neuron(torch.full((L, 3), 0.9)).sum().backward()
    assert neuron.lam.grad is not None
    assert float(neuron.lam.grad) != 0


def test_the_loss_is_its_equation() -> None:
    torch.manual_seed(0)
    student = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    labels, tau = torch.tensor([0, 6, 2, 2, 5]), 2.5
    need = functional.cross_entropy(student.mean(0), labels)
    for one in student:
        for b in range(5):
            p, q = (torch.softmax(z / tau, 0) for z in (teacher[b], one[b]))
            need = need + tau**2 * (p * (p.log() - q.log())).sum() / 15
    loss = hsd_loss(student, teacher, labels, tau)
    assert loss.item() == pytest.approx(need.item(), rel=1e-12)
    loss.backward()  # type: ignore[no-untyped-call]
    assert teacher.grad is None
    assert student.grad is not None
    same = teacher.detach().expand(3, -1, -1)
    only = functional.cross_entropy(same[0], labels)
    assert hsd_loss(same, teacher, labels, tau).item() == pytest.approx(only.item())
    assert math.isfinite(hsd_loss(1e4 * same, -1e4 * teacher, labels, 1.0).item())


def test_the_loss_refuses() -> None:
    student, teacher, labels = torch.zeros(3, 5, 7), torch.zeros(5, 7), torch.zeros(5, dtype=torch.long)
    for wrong in ((teacher, teacher, labels), (student, student, labels), (student, teacher, labels[:4])):
        with pytest.raises(BadInput, match="needs student"):
            hsd_loss(*wrong, 1.0)
    with pytest.raises(BadInput, match="tau must be positive"):
        hsd_loss(student, teacher, labels, 0.0)
