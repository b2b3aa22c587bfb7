"""Masked convolution and VGG against the second implementation in `tests.oracles`.

Spikes and counts are compared exactly, and wherever all numbers are dyadic everything is; else to 1e-12.
Weights go over by position. Every comparison first sees that something spikes, and something does not.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn

from snncc.nn import (
    IF,
    QCFS,
    SFA,
    HSDNeuron,
    MaskedBatchNorm2d,
    SparseConv2d,
    qcfs_to_if,
    set_mask,
)
from snncc.nn.masked import Rule
from snncc.nn.models import vgg_snn
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
from tests.oracles import counting, hsd, ssc


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (3, 0), (5, 2)])
@torch.no_grad()
def test_sparse_convolution(stride: int, groups: int, kernel: int, padding: int) -> None:
    """Both rules, integers: exact. Where there are two timesteps, both have the same map."""
    T, B, C, O = 2, 2, 4, 8  # noqa: E741
    x = events(T * B, C, 6, 5, rate=0.15)
    keep = events(B, 3, 5, rate=0.5, seed=1)
    maps = keep.repeat(T, 1, 1)
    options: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups}
    made = {rule: SparseConv2d(C, O, kernel, rule=rule, **options).double() for rule in get_args(Rule)}
    for conv in made.values():
        conv.weight.copy_(dyadic(*conv.weight.shape, low=-4, high=5, seed=2))
        assert conv.bias is not None
        conv.bias.copy_(dyadic(O, low=1, high=5, seed=3))
    weight, bias = made["patch"].weight, made["patch"].bias
    patch = ssc.masked_conv(x, weight, maps, bias, **options)
    center = ssc.center_conv(x, weight, bias, **options)
    assert alive(patch, center)
    assert torch.equal(made["center"](x), center)
    for conv in made.values():
        set_mask(conv, keep)
    assert torch.equal(made["patch"](x), patch)
    assert torch.equal(made["center"](x), center * ssc.upsample(maps, *patch.shape[2:])[:, None])


@torch.no_grad()
def test_masked_stage() -> None:
    """Image, convolution, normalization in training and in evaluation, counts."""
    B = 3
    image, keep = normal(B, 3, 12, 12), events(B, 3, 3, rate=0.5, seed=1)
    conv, norm, neuron = SparseConv2d(3, 6, 3, 2, 1).double(), MaskedBatchNorm2d(6).double(), SFA(4, norm=1)
    nn.init.uniform_(norm.weight, 0.7, 1.3, generator=draw(2))
    nn.init.uniform_(norm.bias, 0.5, 1.5, generator=draw(3))
    stage = nn.Sequential(conv, norm, neuron)
    set_mask(stage, keep)
    x = ssc.masked_image(image, keep)
    y = ssc.masked_conv(x, conv.weight, keep, conv.bias, 2)
    assert close(conv(x), y)
    mean, var = ssc.masked_statistics(y, keep)
    count = int(ssc.upsample(keep, 6, 6).sum())
    factor = norm.weight / torch.sqrt(var + norm.eps)
    trained = ssc.masked_norm(y, keep, factor, norm.bias - factor * mean)
    assert alive(trained, counting.sfa(trained))
    assert close(norm(y), trained)
    running = (0.1 * mean, 0.9 + 0.1 * var * count / (count - 1))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert close(norm.running_mean, running[0])
    assert close(norm.running_var, running[1])
    stage.eval()
    factor = norm.weight / torch.sqrt(running[1] + norm.eps)
    wanted = ssc.masked_norm(y, keep, factor, norm.bias - factor * running[0])
    assert close(norm(conv(x)), wanted)
    assert alive(counting.sfa(wanted))
    assert torch.equal(stage(x), counting.sfa(wanted))


@torch.no_grad()
def test_vgg() -> None:
    """The network of QCFS, and both networks of neurons that it becomes, neuron by neuron."""
    T, L = 3, 4
    x = events(T, 1, 2, 48, 48)
    torch.manual_seed(0)
    model = vgg_snn(neuron=lambda: QCFS(L, 1.0), output="train")
    for k, step in enumerate(m for m in model.modules() if isinstance(m, QCFS)):
        step.lam.fill_(0.8 + 0.1 * k)
    randomized(model, x, bias=(-0.2, 0.8))
    other = hsd.VGG(L).double()
    copy_by_position(model, other)

    steps = [m for m in model.modules() if isinstance(m, QCFS)]
    logits, activations = outputs(model, x, steps)
    y, wanted = x[0], []
    for layer in other.features:
        y = layer(y)
        if isinstance(layer, hsd.Qcfs):
            wanted.append(y)
    assert alive(*wanted)
    assert all(close(a[0], b) for a, b in zip(activations, wanted, strict=True))
    assert close(logits[0], other(x[0]))

    kinds: tuple[hsd.Kind, ...] = ("qcfs", "hsd")
    for kind in kinds:
        *trains, last = other.trains(x, kind)
        assert alive(*trains)
        converted = qcfs_to_if(model, kind, step_mode="m")
        neurons = [m for m in converted.modules() if isinstance(m, IF if kind == "qcfs" else HSDNeuron)]
        logits, found = outputs(converted, x, neurons)
        assert len(found) == len(trains) == 8
        assert all(torch.equal(a != 0, b != 0) for a, b in zip(found, trains, strict=True))
        assert all(close(a, b) for a, b in zip(found, trains, strict=True))
        assert close(logits, last)
        converted.output = "mean"  # type: ignore[assignment]
        assert close(converted(x), last.mean(0))
