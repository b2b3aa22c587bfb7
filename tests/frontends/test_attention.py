"""Attention between counts: the forms of the spike-driven transformers, traced, compiled, verified."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import CannotTrace
from snncc.ir import Affine, Array, DynamicSynapse, Neuron, Product
from snncc.nn import LIF, SFA

CHANNELS, HEADS, SIDE = 24, 2, 5


def projection(neuron: nn.Module, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(CHANNELS, out, 1, bias=False), nn.BatchNorm2d(out), neuron)


class Integer(nn.Module):
    """The third version, in one of its two orders."""

    def __init__(self, order: str, rounding: str = "floor") -> None:
        super().__init__()
        self.order = order

        def neuron() -> SFA:
            return SFA(4, rounding=rounding)  # type: ignore[arg-type]

        self.neuron, self.last = neuron(), neuron()
        self.q, self.k = projection(neuron(), CHANNELS), projection(neuron(), CHANNELS)
        self.v = projection(neuron(), 4 * CHANNELS)
        self.out = nn.Sequential(nn.Conv2d(4 * CHANNELS, CHANNELS, 1, bias=False), nn.BatchNorm2d(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(x)
        q, k, v = (p(s).flatten(2).unflatten(1, (HEADS, -1)).mT for p in (self.q, self.k, self.v))
        scale = 2 / sqrt(CHANNELS / HEADS)
        y = (q @ k.mT) @ v * scale if self.order == "qk" else q @ (k.mT @ v) * scale
        y = self.last(y.mT.flatten(1, 2).unflatten(-1, (SIDE, SIDE)))
        out: Tensor = x + self.out(y)
        return out


class Binary(nn.Module):
    """The second version (products of spikes) and the first (mask of sums over tokens), over timesteps."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version
        self.neuron = LIF(0.5, 0.7, reset="value", step_mode="m")
        self.q, self.k, self.v = (nn.Conv2d(CHANNELS, CHANNELS, 1) for _ in range(3))
        self.sq, self.sk, self.sv = (LIF(0.5, 0.4, reset="value", step_mode="m") for _ in range(3))
        self.last = LIF(0.5, 0.5, reset="value", step_mode="m")
        self.head = nn.Linear(CHANNELS, 4)

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:2]
        s = self.neuron(x).flatten(0, 1)
        q, k, v = (
            n(c(s).unflatten(0, lead)).flatten(3)
            for c, n in ((self.q, self.sq), (self.k, self.sk), (self.v, self.sv))
        )  # [T, B, C, N]
        if self.version == 1:
            mask = self.last((k * v).sum(-1, keepdim=True))
            y = q * mask
        else:
            q, k, v = (part.unflatten(2, (HEADS, -1)).mT for part in (q, k, v))
            y = self.last((q @ (k.mT @ v) * 0.125).mT.flatten(2, 3))
        out: Tensor = self.head(y.mean(-1)).mean(0)
        return out


def livened(model: nn.Module, x: Tensor) -> nn.Module:
    """*model* with statistics under which every layer spikes."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 1.5)
            module.momentum = None
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.uniform_(module.bias, 0.1, 0.4)
    model.train()
    with torch.no_grad():
        model(x)
        snncc.nn.reset(model)
    return model.eval()


def verified(model: nn.Module, graph: snncc.ir.SpikeGraph, x: Array, precision: str, encoding: str) -> None:
    program = snncc.compile(graph, calibration=x, precision=precision, encoding=encoding)
    counts = program.run(x).counts.layers
    assert all(0.02 < layer.rate < 3.9 for layer in counts if layer.neurons), counts
    proof = snncc.verify(program, model, x)
    proof.check()
    exact = [stage for stage in proof.stages if stage.claim != "approximate"]
    assert [stage.differing for stage in exact] == [0] * len(exact), str(proof)


@pytest.mark.parametrize("encoding", ["spikes", "graded"])
@pytest.mark.parametrize("precision", ["float", "integer"])
@pytest.mark.parametrize("order", ["qk", "kv"])
def test_integer_attention_is_exact(order: str, precision: str, encoding: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, CHANNELS, SIDE, SIDE) * 2
    model = livened(Integer(order), x)
    graph = snncc.trace(model, x, timesteps=1, layout="B")
    assert sum(isinstance(node, DynamicSynapse) for node in graph.nodes) == 2
    verified(model, graph, x.numpy(), precision, encoding)


def test_the_scale_becomes_a_staircase_of_whole_counts() -> None:
    """``ceil((j - 1/2) D^3 / s)``: no integer threshold and multiples of it would do."""
    torch.manual_seed(0)
    x = torch.randn(3, CHANNELS, SIDE, SIDE) * 2
    model = livened(Integer("kv"), x)
    program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="B"), calibration=x.numpy())
    last = next(n for n in program.graph.neurons if n.name == "last")
    exact = [int(np.ceil((j - 0.5) * 4**3 * sqrt(CHANNELS / HEADS) / 2)) for j in range(1, 5)]
    assert last.parameters.steps is not None
    assert last.parameters.steps.reshape(-1).tolist() == exact
    assert len({b - a for a, b in pairwise(exact)}) > 1
    assert not any(isinstance(node, Affine) for node in program.graph.nodes)


def test_half_to_even_ties_of_an_attention_are_kept() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, CHANNELS, SIDE, SIDE) * 2
    model = livened(Integer("kv", "even"), x)
    verified(model, snncc.trace(model, x, timesteps=1, layout="B"), x.numpy(), "integer", "spikes")


@pytest.mark.parametrize("precision", ["float", "integer"])
@pytest.mark.parametrize("version", [1, 2])
def test_binary_attention_over_timesteps(version: int, precision: str) -> None:
    torch.manual_seed(1)
    x = torch.randn(4, 3, CHANNELS, SIDE, SIDE) + 0.5
    model = livened(Binary(version), x)
    graph = snncc.trace(model, x, layout="TB")
    products = [node for node in graph.nodes if isinstance(node, DynamicSynapse)]
    assert [p.product for p in products] == [Product.ELEMENTWISE if version == 1 else Product.MATMUL] * 2
    verified(model, graph, x.numpy(), precision, "spikes")


def test_both_orders_compile_to_the_cheaper_one() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, CHANNELS, SIDE, SIDE) * 2
    graphs = []
    for order in ("qk", "kv"):
        torch.manual_seed(0)
        model = livened(Integer(order), x)
        program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="B"), calibration=x.numpy())
        graphs.append(sorted(program.graph.edges[n.name].shape for n in program.graph if is_product(n)))
    assert graphs[0] == graphs[1]


def is_product(node: object) -> bool:
    return isinstance(node, DynamicSynapse)


def test_a_stream_is_refused() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, CHANNELS, SIDE, SIDE)
    graph = snncc.trace(Integer("kv").eval(), x, timesteps=1, layout="B")
    with pytest.raises(snncc.SnnccError, match="streaming: needs one operand complete"):
        snncc.compile(graph, calibration=x.numpy(), encoding="stream")


def test_a_product_of_reals_is_refused_with_the_way_out() -> None:
    class Early(Integer):
        def forward(self, x: Tensor) -> Tensor:
            s = self.neuron(x).flatten(2)
            out: Tensor = (s * 0.3) @ s.mT
            return out

    with pytest.raises(CannotTrace, match="one is no spikes or counts") as caught:
        snncc.trace(Early("kv").eval(), torch.randn(2, CHANNELS, SIDE, SIDE), timesteps=1, layout="B")
    assert "constant factors behind it" in caught.value.hint


def test_neurons_stay_neurons() -> None:
    x = torch.randn(2, CHANNELS, SIDE, SIDE)
    graph = snncc.trace(Integer("kv").eval(), x, timesteps=1, layout="B")
    assert [n.name for n in graph.nodes if isinstance(n, Neuron)] == ["neuron", "q.2", "k.2", "v.2", "last"]
