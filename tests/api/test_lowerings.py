"""What `verify` says of each way to lower: QCFS phased and streaming, SFA with both rounding rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import snncc
from snncc.api import Claim, StageCheck
from snncc.api.program import Program
from snncc.ir import Array
from snncc.nn import QCFS, SFA


def stack(
    depth: int, neuron: type[nn.Module], *arguments: float, grid: float = 0.0, **options: object
) -> nn.Module:
    """*depth* spiking layers with batch normalization; a gamma of each is negative."""
    torch.manual_seed(depth)
    layers: list[nn.Module] = []
    width = 3
    for _ in range(depth):
        layers += [
            nn.Conv2d(width, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            neuron(*arguments, **options),
        ]
        width = 8
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 5 * 5, 6)).eval()
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.3)
                module.weight[0] *= -1
                module.bias.uniform_(-0.2, 0.8)
            if isinstance(module, nn.Conv2d):
                module.weight *= 1.5
        if grid:
            for parameter in model.parameters():
                parameter.copy_(torch.round(parameter / grid) * grid)
            for module in model:
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 0.0
    return model


def data(grid: float = 0.0) -> Array:
    x = np.random.default_rng(0).uniform(0, 2, (12, 3, 5, 5))
    return np.round(x / grid) * grid if grid else x


def expansion(program: Program, model: nn.Module, x: Array) -> StageCheck:
    proof = snncc.verify(program, model, x)
    proof.check()
    rates = {layer.name: layer.rate for layer in program.run(x).counts.layers if layer.neurons}
    assert all(rate > 0.05 for rate in rates.values()), rates
    return next(stage for stage in proof.stages if stage.name == "expand-counts")


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("encoding", ["spikes", "graded"])
def test_qcfs_is_exact_at_every_depth_when_phased(depth: int, encoding: str) -> None:
    model = stack(depth, QCFS, 4, 2.0)
    graph = snncc.trace(model, data(), layout="B")
    stage = expansion(snncc.compile(graph, encoding=encoding, precision="float"), model, data())
    assert stage.claim is Claim.EXACT
    assert stage.differing == 0
    assert "(exact): equal" in str(stage)


@pytest.mark.parametrize("bias", ["spread", "v0"])
def test_a_streamed_qcfs_network_is_exact_for_one_layer_only(bias: str) -> None:
    for depth in (1, 3):
        model = stack(depth, QCFS, 4, 2.0)
        graph = snncc.trace(model, data(), layout="B")
        program = snncc.compile(graph, encoding="stream", bias=bias, precision="float")
        stage = expansion(program, model, data())
        assert stage.claim is Claim.APPROXIMATE
        assert stage.layers[0].differing == 0
        assert [layer.differing > 0 for layer in stage.layers[1:]] == [True] * (depth - 1)
        assert f"measured: {stage.differing} of" in str(stage)


def test_a_stream_with_flush_ticks_takes_longer() -> None:
    model = stack(2, SFA, 4)
    graph = snncc.trace(model, data(), layout="B")
    ticks = [
        snncc.compile(graph, encoding="stream", flush=flush, precision="float").run(data()).latency.ticks
        for flush in (0, 3)
    ]
    assert ticks == [4, 7]


def test_half_to_even_is_kept_exactly_and_its_ties_are_counted() -> None:
    model = stack(2, SFA, 4, grid=1 / 4, rounding="even")
    x = data(grid=1 / 4)
    graph = snncc.trace(model, x, layout="B")
    program = snncc.compile(graph, precision="float")
    proof = snncc.verify(program, model, x)
    proof.check()
    traced = proof.stages[0]
    ties = sum(layer.ties for layer in traced.layers)
    assert ties > 50, "the network under test meets ties"
    assert f"{ties} exact half-to-even ties" in str(traced)
    integer = snncc.verify(snncc.compile(graph, calibration=x), model, x)
    integer.check()


def test_half_up_differs_at_ties_alone_and_must_be_asked_for() -> None:
    model = stack(1, SFA, 4, grid=1 / 4, rounding="even")
    x = data(grid=1 / 4)
    graph = snncc.trace(model, x, layout="B")
    program = snncc.compile(graph, rounding="half-up", precision="float")
    proof = snncc.verify(program, model, x)
    stage = next(stage for stage in proof.stages if stage.name == "round-half-up")
    assert stage.claim is Claim.APPROXIMATE
    before = program.stages[1].graph
    run = snncc.reference.run(before, x, timesteps=1, record=["2"])
    u = run.records["2"].u_pre
    assert u is not None
    up, even = np.floor(np.clip(u, 0, 4) + 0.5), np.rint(np.clip(u, 0, 4))
    assert stage.differing == int((up != even).sum()) > 0
    assert all(s.name != "round-half-up" for s in snncc.compile(graph, precision="float").stages)
