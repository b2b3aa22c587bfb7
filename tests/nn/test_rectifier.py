"""SRIF with the membrane rectifier, and tdBN: PyTorch, reference executor, and what is compiled."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import BadInput
from snncc.ir import Affine, Rectifier
from snncc.ir.neuron import NeuronParameters
from snncc.nn import IF, SRIF, ThresholdDependentBatchNorm, tdBN
from snncc.nn.rectifier import rectified
from snncc.reference.neuron import rectified as defined
from tests.nn.strategies import alive, drive

T, B = 4, 8


class Net(nn.Module):
    """Two layers of SRIF behind tdBN, and a linear head, for [T, B, 1, 6, 6]."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, padding=1), tdBN(6)
        self.fire = SRIF(step_mode="m", **options)
        self.conv2, self.norm2 = nn.Conv2d(6, 4, 3), tdBN(4, alpha=0.5**0.5)
        self.fire2 = SRIF(step_mode="m", **options)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:2]
        x = self.fire(self.norm(self.conv(x.flatten(0, 1)).unflatten(0, lead)))
        x = self.fire2(self.norm2(self.conv2(x.flatten(0, 1)).unflatten(0, lead)))
        return self.head(x.flatten(2)).mean(0)


def trained(**options: Any) -> Net:
    """A network with sane statistics, and a negative gamma in each normalization."""
    torch.manual_seed(0)
    net = Net(**options)
    for norm in (net.norm, net.norm2):
        nn.init.uniform_(norm.weight, 0.7, 1.3)
        nn.init.uniform_(norm.bias, -0.2, 0.8)
        norm.weight.data[1] *= -1
    for _ in range(3):
        net(torch.rand(T, B, 1, 6, 6))
    return net.eval()


X = np.random.default_rng(0).random((T, B, 1, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("rectifier", [False, True])
def test_the_example_of_the_paper(rectifier: bool) -> None:
    x = 0.5 * torch.tensor([1.5, 1.2, 1.5, 0.9, 1.4]).reshape(5, 1, 1)
    assert SRIF(rectifier=rectifier, step_mode="m")(x).flatten().tolist() == [1, 0, 1, 1, 0]
    assert IF(0.5, reset="zero", step_mode="m")(x).flatten().tolist() == [1, 1, 1, 0, 1]


def test_torch_and_the_reference_executor_agree() -> None:
    u = np.concatenate([drive(0, -4, 5, (200_000,)), [0.0, 0.5, 1.0, -7.0, 8.0]])
    need = defined(NeuronParameters(rectifier=Rectifier.MPR), u)
    assert np.allclose(rectified(torch.from_numpy(u)).numpy(), need, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("strict", [False, True])
def test_a_million_spikes_are_the_same_with_and_without(dtype: torch.dtype, strict: bool) -> None:
    x = torch.from_numpy(np.random.default_rng(1).normal(0.4, 0.8, (10, 100_000))).to(dtype)
    x[0, :100] = 0.5
    with_, without = (SRIF(rectifier=r, strict=strict, step_mode="m")(x.unsqueeze(1)) for r in (True, False))
    assert alive(without.numpy())
    assert torch.equal(with_, without)


def test_potentials_approach_the_spikes() -> None:
    u = torch.cat(
        [torch.linspace(-4, 5, 900_001, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)]
    )
    s = (u >= 0.5).double()
    assert bool(((rectified(u) - s).abs() <= (u - s).abs() + 1e-15).all())
    assert bool((rectified(u[:-1]).diff() > 0).all())


@pytest.mark.parametrize(("spread", "least"), [(1.0, 5.0), (0.25, 4.0)])
def test_the_quantization_error_falls(spread: float, least: float) -> None:
    u = torch.from_numpy(np.random.default_rng(0).normal(0.0, spread**0.5, 100_000))
    s = (u >= 0.5).double()
    before, after = (((v - s) ** 2).mean().item() for v in (u, rectified(u)))
    assert before > least * after


def test_gradients_flow_through_phi_and_stay_finite() -> None:
    u = torch.tensor([-3.0, 0.0, 0.2, 0.5, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(rectified(u).sum(), u)
    eps = 1e-6
    middle = ((rectified(u + eps) - rectified(u - eps)) / (2 * eps)).detach()
    smooth = [0, 2, 3, 5]  # at 0 and 1 the slope has a step
    assert torch.allclose(slope[smooth], middle[smooth], rtol=1e-6)
    assert bool(torch.isfinite(slope).all())
    neuron = SRIF(rectifier=True)
    x = u.detach().reshape(1, -1).requires_grad_()
    (got,) = torch.autograd.grad(neuron(x).sum(), x)
    want = neuron.surrogate.derivative(rectified(u.detach()) - 0.5) * slope
    assert torch.allclose(got.flatten(), want)


def test_says_so() -> None:
    module = SRIF(rectifier=True)
    fields = {"theta": 0.5, "rho": 1.0, "max_count": 1, "reset": "subtract"}
    assert module.describe() == {**fields, "rectifier": "mpr"}
    assert SRIF().describe() == fields
    assert "rectifier" in repr(module)
    assert "rectifier" not in repr(SRIF())
    assert pickle.loads(pickle.dumps(module)).rectifier is True
    assert copy.deepcopy(module).describe() == module.describe()
    old = SRIF()
    del old.__dict__["rectifier"]  # pickled by a version that had none
    assert old.describe() == fields


@pytest.mark.parametrize("precision", ["float", "integer"])
def test_a_network_is_compiled_and_verified(precision: str) -> None:
    net = trained(rectifier=True)
    graph = snncc.trace(net, X, layout="TB")
    assert [n.parameters.rectifier for n in graph.neurons] == [Rectifier.MPR] * 2
    program = snncc.compile(graph, calibration=X, precision=precision)
    proof = snncc.verify(program, net, X)
    assert proof.holds, str(proof)
    assert all(stage.output_error < 1e-12 for stage in proof.stages if stage.name != "quantize")
    assert [n.parameters.rectifier for n in program.graph.neurons] == [Rectifier.NONE] * 2
    assert not any(isinstance(node, Affine) for node in program.graph)
    record = program.run(X, record=["fire", "fire2"]).records
    assert all(alive(record[name].train) for name in ("fire", "fire2"))


def test_torch_export_keeps_it(tmp_path: Path) -> None:
    net = trained(rectifier=True)
    x = torch.from_numpy(X)
    exported = torch.export.export(net, (x,), dynamic_shapes=({1: torch.export.Dim("batch", min=1, max=64)},))
    assert torch.equal(exported.module()(x), net(x))
    torch.export.save(exported, tmp_path / "net.pt2")
    graph = snncc.load(tmp_path / "net.pt2", input_shape=(1, 6, 6), timesteps=T, layout="TB")
    assert [n.parameters.rectifier for n in graph.neurons] == [Rectifier.MPR] * 2
    proof = snncc.verify(snncc.compile(graph, calibration=X), net, X)
    assert proof.holds, str(proof)


class Single(nn.Module):
    """One timestep a call: tdBN of [B, C, H, W] and a neuron that keeps its state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fire = nn.Conv2d(1, 3, 3), tdBN(3), SRIF(rectifier=True)
        self.head = nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.fire(self.norm(self.conv(x))).flatten(1))


def test_one_timestep_a_call() -> None:
    torch.manual_seed(1)
    net = Single()
    net.norm(torch.randn(64, 3, 4, 4) + 1)
    nn.init.uniform_(net.norm.bias, 0.0, 0.5)
    net.eval()
    x = X[0]
    program = snncc.compile(snncc.trace(net, x, layout="B", timesteps=6), precision="float")
    proof = snncc.verify(program, net, x)
    assert proof.holds, str(proof)
    assert alive(program.run(x, record=["fire"]).records["fire"].train)


def test_tdbn_is_its_equation() -> None:
    torch.manual_seed(2)
    norm = ThresholdDependentBatchNorm(3, theta=0.75, alpha=0.5, eps=1e-3, momentum=0.25).double()
    nn.init.uniform_(norm.weight, -1, 1)
    nn.init.uniform_(norm.bias)
    x = torch.randn(5, 4, 3, 6, 7, dtype=torch.float64) * 2 + 1
    axes = (0, 1, 3, 4)

    def by_hand(mean: Tensor, var: Tensor) -> Tensor:
        gain = norm.weight * 0.5 * 0.75 / (var + 1e-3).sqrt()
        return (x - mean[:, None, None]) * gain[:, None, None] + norm.bias[:, None, None]

    mean = x.mean(axes)
    assert torch.allclose(norm(x), by_hand(mean, x.var(axes, correction=0)), rtol=1e-12)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(norm.running_mean, 0.25 * mean)
    assert torch.allclose(norm.running_var, 0.75 + 0.25 * x.var(axes))
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == 1
    norm.eval()
    need = by_hand(norm.running_mean, norm.running_var)
    assert torch.allclose(norm(x), need, rtol=1e-12)
    assert torch.allclose(norm(x[0]), need[0], rtol=1e-12)
    assert torch.allclose(norm.train()(x.flatten(0, 1)).unflatten(0, (5, 4)), norm(x))


def test_tdbn_refuses() -> None:
    norm = tdBN(3)
    for shape in [(4, 3), (2, 4, 6, 6), (2, 4, 6, 6, 3), (3, 6, 6)]:
        with pytest.raises(BadInput, match=r"needs an input \[T, B, 3, H, W\] or \[B, 3, H, W\]"):
            norm(torch.zeros(shape))
    with pytest.raises(BadInput, match="theta must be positive and finite, not 0"):
        tdBN(3, theta=0.0)
    with pytest.raises(BadInput, match="alpha must be positive and finite"):
        tdBN(3, alpha=float("nan"))
    assert "theta=0.5, alpha=1" in repr(norm)
    assert set(norm.state_dict()) == set(nn.BatchNorm2d(3).state_dict())
