"""E-SpikeFormer: sizes, a second implementation, and the compiled network, exact in every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import BadInput
from snncc.ir import DynamicSynapse
from snncc.nn import SFA
from snncc.nn.models import (
    ESpikeFormer,
    espikeformer_l,
    espikeformer_m,
    espikeformer_s,
    espikeformer_t,
)
from tests.oracles.espikeformer import Efficient

SMALL = (16, 16, 32, 32)
SIDE = 32


def livened(model: nn.Module, x: Tensor) -> nn.Module:
    """Random but sane statistics, under which every layer spikes."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.8)
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(x)
    return model.eval()


@pytest.fixture(scope="module", params=["floor", "even"])
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, str]:
    torch.manual_seed(2)
    x = torch.randn(4, 3, SIDE, SIDE)
    return livened(ESpikeFormer(SMALL, 10, rounding=request.param), x), x[:2], request.param


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (espikeformer_t, 2_702_048),
        (espikeformer_s, 5_105_608),
        (espikeformer_m, 10_023_112),
        (espikeformer_l, 18_987_504),
    ],
)
def test_published_sizes(make: Callable[..., ESpikeFormer], size: int) -> None:
    with torch.device("meta"):
        model = make()
    assert sum(p.numel() for p in model.parameters()) == size
    assert sum(isinstance(module, SFA) for module in model.modules()) == 105


def test_equals_a_second_implementation(network: tuple[nn.Module, Tensor, str]) -> None:
    model, x, rounding = network
    other = Efficient(SMALL, 10, rounding=rounding).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for one, two in zip(
            [*model.parameters(), *model.buffers()], [*other.parameters(), *other.buffers()], strict=True
        ):
            two.copy_(one)
    model = model.double()
    counts: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, SFA):
            module.register_forward_hook(lambda m, _, out: counts.append(out * m.norm))
    with torch.no_grad():
        logits = model(x.double())
        assert torch.allclose(logits, other(x.double()), rtol=0, atol=1e-10)
        need = other.counts(x.double())
    assert len(need) == len(counts) == 105
    assert all(bool(count.any()) for count in counts)
    assert all(
        torch.equal(a.round().reshape(-1), b.to(a).reshape(-1)) for a, b in zip(counts, need, strict=True)
    )


@pytest.mark.parametrize("encoding", ["spikes", "graded"])
def test_compiled_it_differs_in_no_count(network: tuple[nn.Module, Tensor, str], encoding: str) -> None:
    model, x, rounding = network
    graph = snncc.trace(model, x, timesteps=1, layout="B")
    assert sum(isinstance(node, DynamicSynapse) for node in graph.nodes) == 16
    program = snncc.compile(graph, precision="float", encoding=encoding)
    rates = [layer.rate for layer in program.run(x).counts.layers if layer.neurons]
    assert len(rates) == 105
    assert min(rates) > 0
    proof = snncc.verify(program, model, x)
    proof.check()
    assert all(stage.differing == 0 for stage in proof.stages)
    assert all(stage.output_error < 1e-12 for stage in proof.stages)
    ties = sum(layer.ties for layer in proof.stages[-1].layers)
    assert ties > 0 if rounding == "even" else ties == 0


def test_in_integers_the_simulator_equals_the_reference(network: tuple[nn.Module, Tensor, str]) -> None:
    model, x, _ = network
    program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="B"), calibration=x)
    proof = snncc.verify(program, model, x)
    proof.check()
    result = program.run(x)
    costs: Any = {layer.name: layer for layer in result.counts.layers}
    products = [costs[n.name] for n in program.graph.nodes if isinstance(n, DynamicSynapse)]
    assert all(layer.ac > 0 and layer.mac == 0 for layer in products)
    assert not any(result.run.saturations.values())


def test_fewer_spikes_in_every_later_tick(network: tuple[nn.Module, Tensor, str]) -> None:
    """A train is 1..1 0..0, so the rate of a tick is the share of counts that reach it."""
    model, x, _ = network
    program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="B"), precision="float")
    for spikes in program.run(x).spikes.values():
        assert np.all(np.diff(spikes, axis=2) <= 0)


def test_bad_input() -> None:
    with pytest.raises(BadInput, match=r"takes \[B, channels, height, width\]"):
        ESpikeFormer(SMALL, 10)(torch.zeros(3, SIDE, SIDE))
    with pytest.raises(BadInput, match="30 channels are not divisible by 8 heads"):
        ESpikeFormer((16, 16, 30, 32), 10)
