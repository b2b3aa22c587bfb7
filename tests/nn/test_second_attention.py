"""Attention over whole trains against the second implementation in `tests.oracles`.

Spikes and counts are compared exactly, and wherever all numbers are dyadic everything is; else to 1e-12.
Weights go over by position. Every comparison first sees that something spikes, and something does not.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn

from snncc.nn import (
    TCSA,
    AdvancedSpatialAttention,
    SpatialAttention,
)
from snncc.nn.models import asa_3layer, asa_5layer
from snncc.nn.models.asa import Kind
from tests.nn.second import (
    alive,
    close,
    copy_by_position,
    draw,
    dyadic,
    events,
    normal,
    outputs,
    randomized,
)
from tests.oracles import asa


@pytest.mark.parametrize("lam", [0.5, 0.3])
@pytest.mark.parametrize("reduction", [None, 1, 2])
@torch.no_grad()
def test_asa(reduction: int | None, lam: float) -> None:
    """ASA-2 (no reduction), ASA-1; also where many importances tie: then the first are the largest."""
    T, B, C = 6, 3, 10
    module = AdvancedSpatialAttention(
        None if reduction is None else T, fc=reduction is not None, reduction=reduction or 1, lam=lam
    ).double()
    for k, weight in enumerate(module.fc):
        weight.copy_(dyadic(*weight.shape, low=-3, high=4, seed=k))
    for conv in (module.conv1, module.conv2):
        nn.init.normal_(conv.weight, generator=draw(3))
    matrices = tuple(module.fc)
    fc: Any = {0: None, 1: matrices[0] if matrices else None, 2: matrices}[len(matrices)]
    tied = dyadic(T, B, C, 4, 4, low=0, high=3, seed=4)
    assert len(set((tied.mean((3, 4)) + tied.amax((3, 4))).flatten().tolist())) < T * B * C
    for x in (tied, events(T, B, C, 4, 4), normal(T, B, C, 5, 3)):
        for alpha, gamma in ((0.5, 0.5), (0.25, -1.5)):
            module.alpha.fill_(alpha)
            module.gamma.fill_(gamma)
            mask = torch.stack(
                [
                    asa.asa_parts(
                        x[:, b], fc, alpha, gamma, module.conv1.weight, module.conv2.weight, lam
                    ).mask
                    for b in range(B)
                ],
                1,
            )
            assert alive(mask)
            assert torch.equal(module.important(x).double(), mask)
            wanted = asa.asa(x, fc, alpha, gamma, module.conv1.weight, module.conv2.weight, lam)
            assert close(module(x), wanted)
            assert not close(module(x), x)


@torch.no_grad()
def test_asa_as_a_module() -> None:
    x = normal(6, 3, 8, 5, 5)
    for fc in (True, False):
        one = AdvancedSpatialAttention(6 if fc else None, fc=fc).double()
        other = asa.ASA(6, fc).double()
        copy_by_position(one, other)
        assert close(one(x), other(x))


@pytest.mark.parametrize("kernel", [3, 7])
@torch.no_grad()
def test_sa(kernel: int) -> None:
    x = normal(4, 3, 8, 9, 6)
    one, other = SpatialAttention(kernel).double(), asa.SA(kernel).double()
    copy_by_position(one, other)
    assert close(one(x), other(x))
    assert not close(one(x), x / 2)


@torch.no_grad()
def test_tcsa() -> None:
    x = normal(8, 3, 12, 6, 5) * (1 + normal(8, 3, 12, 1, 1, seed=1))
    one, other = TCSA(8, 12).double(), asa.TCSA(8, 12).double()
    for parameter in one.parameters():
        nn.init.normal_(parameter, 0, 0.5, generator=draw(parameter.numel()))
    copy_by_position(one, other)
    assert close(one(x), other(x))
    assert float((one(x) - x / 8).abs().max()) > 0.1


@pytest.mark.parametrize("kind", get_args(Kind))
@torch.no_grad()
def test_three_layers(kind: Kind) -> None:
    T, B = 8, 2
    x = events(T, B, 2, 32, 32)
    torch.manual_seed(0)
    model = randomized(asa_3layer(kind, T, 5), x)
    other = asa.Net(kind, T, 5).double()
    copy_by_position(model, other)
    wanted = other.trains(x)
    assert alive(*wanted)
    out, trains = outputs(model, x, model.stages)
    assert len(trains) == len(wanted) == 5
    assert all(torch.equal(a, b) for a, b in zip(trains, wanted, strict=True))
    assert close(out, other(x))


@torch.no_grad()
def test_five_layers() -> None:
    T, B = 3, 1
    x = events(T, B, 2, 128, 128)
    torch.manual_seed(0)
    model = randomized(asa_5layer("ASA-1", T, 3), x)
    for k, stage in enumerate(model.stages):
        stage.neuron.w.fill_(0.3 * k)
    out, trains = outputs(model, x, model.stages)
    y = x
    for k, stage in enumerate(model.stages):
        y = torch.stack([stage.synapses(y_t) for y_t in y])
        if stage.attention is not None:
            attention = asa.ASA(T, True).double()
            copy_by_position(stage.attention, attention)
            y = attention(y)
        y = asa.plif(y, 0.3 * k)
        assert alive(y)
        assert torch.equal(trains[k], y)
    assert len(trains) == 7
    assert close(out, y.reshape(T, B, 3, 10).mean(3).mean(0))
