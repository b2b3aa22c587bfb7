"""Every operation that the torch front end takes, alone, against PyTorch in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.from_torch import trace
from snncc.ir import Affine, Conv, MaxPool, Pool, Reshape, Sparse
from tests.frontends.torch_networks import Apply, assert_traced, lively, noise

GENERATOR = torch.Generator().manual_seed(1)
IMAGE = noise(GENERATOR, 4, 4, 9, 8, low=-1)
VECTOR = noise(GENERATOR, 4, 6, low=-1)
TOKENS = noise(GENERATOR, 4, 5, 6, low=-1)
LINE = noise(GENERATOR, 4, 4, 9, low=-1)
EVEN = torch.arange(4.0)
MATRIX = noise(GENERATOR, 3, 6, low=-1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "plain": (lambda: nn.Conv2d(4, 6, 3), IMAGE),
    "stride, padding, dilation": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=(1, 2), dilation=2), IMAGE),
    "groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), IMAGE),
    "depthwise, no bias": (lambda: nn.Conv2d(4, 8, 3, groups=4, bias=False), IMAGE),
    "padding same, even kernel": (lambda: nn.Conv2d(4, 4, (4, 2), padding="same"), IMAGE),
    "padding same, dilated": (lambda: nn.Conv2d(4, 4, (3, 5), padding="same", dilation=(1, 2)), IMAGE),
    "padding reflect": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), IMAGE),
    "padding replicate": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"), IMAGE),
    "padding circular": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), IMAGE),
    "one dimension": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), LINE),
    "one dimension, same": (lambda: nn.Conv1d(4, 4, 4, padding="same"), LINE),
    "functional": (
        lambda: Apply(lambda x, c: F.conv2d(x, c.weight, c.bias, padding=1), nn.Conv2d(4, 2, 3)),
        IMAGE,
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str) -> None:
    make, x = CONVOLUTIONS[name]
    graph = assert_traced(make(), x)
    assert sum(isinstance(node, Conv) for node in graph) == 1


LINEAR: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "vector": (lambda: nn.Linear(6, 3), VECTOR),
    "tokens": (lambda: nn.Linear(6, 3), TOKENS),
    "tokens, no bias": (lambda: nn.Linear(6, 3, bias=False), TOKENS),
    "four axes": (lambda: nn.Linear(8, 3), IMAGE),
    "transposed": (lambda: Apply(lambda x, f: f(x.transpose(1, 2)).transpose(1, 2), nn.Linear(5, 3)), TOKENS),
    "channels last": (
        lambda: Apply(lambda x, f: f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(4, 5)),
        IMAGE,
    ),
    "matrix from the left": (lambda: Apply(lambda x: torch.ones(3, 5).to(x) @ x), TOKENS),
    "matrix from the right": (lambda: Apply(lambda x: x @ MATRIX.to(x).T), TOKENS),
    "matrix times vector": (lambda: Apply(lambda x: x @ MATRIX.to(x)[0]), TOKENS),
    "einsum over the last axis": (
        lambda: Apply(lambda x: torch.einsum("bnc,oc->bno", x, MATRIX.to(x))),
        TOKENS,
    ),
    "einsum over the middle axis": (
        lambda: Apply(lambda x: torch.einsum("bnc,on->boc", x, MATRIX.to(x)[:, :5])),
        TOKENS,
    ),
    "einsum over channels": (
        lambda: Apply(lambda x: torch.einsum("bchw,oc->bohw", x, MATRIX.to(x)[:, :4])),
        IMAGE,
    ),
    "addmm with factors": (
        lambda: Apply(lambda x: torch.addmm(MATRIX.to(x)[:, 0], x, MATRIX.to(x).T, beta=2, alpha=3)),
        VECTOR,
    ),
    "flattened image": (lambda: Apply(lambda x, f: f(x.flatten(1)), nn.Linear(288, 3)), IMAGE),
    "tokens of an image": (
        lambda: Apply(lambda x, f: f(x.flatten(2).transpose(1, 2) + EVEN), nn.Linear(4, 3)),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    make, x = LINEAR[name]
    assert_traced(make(), x)


def channels(values: Any) -> Tensor:
    return torch.as_tensor(values).view(1, 4, 1, 1)


ARITHMETIC: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "batch norm 2d": (lambda: lively(nn.BatchNorm2d(4), GENERATOR, negative=True), IMAGE),
    "batch norm 1d": (lambda: lively(nn.BatchNorm1d(6), GENERATOR, negative=True), VECTOR),
    "batch norm of lines": (lambda: lively(nn.BatchNorm1d(4), GENERATOR), LINE),
    "batch norm without affine": (lambda: nn.BatchNorm2d(4, affine=False), IMAGE),
    "batch norm by hand": (
        lambda: Apply(
            lambda x: (x - channels(EVEN.to(x))) / torch.sqrt(channels(EVEN.to(x)) + 1e-5 + 1) * 2 + 0.3
        ),
        IMAGE,
    ),
    "residual": (lambda: Apply(lambda x, f: x + f(x), nn.Linear(6, 6)), VECTOR),
    "residual with factor": (
        lambda: Apply(lambda x, f: torch.add(x, f(x), alpha=0.5), nn.Linear(6, 6)),
        VECTOR,
    ),
    "difference of signals": (lambda: Apply(lambda x, f: x - f(x), nn.Linear(6, 6)), VECTOR),
    "constants": (lambda: Apply(lambda x: 1 - (x * 2 + 3) / torch.arange(1.0, 7.0)), VECTOR),
    "negation": (lambda: Apply(lambda x: -x), VECTOR),
    "constant on tokens": (lambda: Apply(lambda x: x + torch.arange(5.0).view(5, 1)), TOKENS),
    "product of signals": (lambda: Apply(lambda x: x * (x + 1)), VECTOR),
    "gain per channel": (lambda: Apply(lambda x: x * x.mean((2, 3), keepdim=True)), IMAGE),
    "less its mean": (lambda: Apply(lambda x: x - x.mean((2, 3), keepdim=True)), IMAGE),
    "maximum of signals": (lambda: Apply(lambda x, f: torch.maximum(x, f(x)), nn.Linear(6, 6)), VECTOR),
    "in place": (lambda: Apply(lambda x, f: f(x).add_(x).mul_(2).sub_(1), nn.Linear(6, 6)), VECTOR),
    "in place, through a view": (lambda: Apply(in_place_through_view), IMAGE),
    "identities": (lambda: Apply(lambda x: (x * 1.0 + 0) / 1), VECTOR),
}


def in_place_through_view(x: Tensor) -> Tensor:
    y = x * 2
    y.view(y.shape[0], -1).add_(1)
    y[:, :, 2:4] *= 3
    return y * 3


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name: str) -> None:
    make, x = ARITHMETIC[name]
    assert_traced(make(), x)


def test_batch_norm_is_one_affine_node() -> None:
    graph = assert_traced(lively(nn.BatchNorm2d(4), GENERATOR), IMAGE)
    assert [type(node) for node in graph][1:-1] == [Affine]
    affine = graph.nodes[1]
    assert isinstance(affine, Affine)
    assert affine.gain.shape == (4, 1, 1)


def test_identities_add_no_node() -> None:
    graph = assert_traced(Apply(lambda x: (x * 1.0 + 0).clone().contiguous()), VECTOR)
    assert [node.name for node in graph] == ["input", "output"]


def shifted(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :2] = x[:, 2:]
    return out + x


MOVES: dict[str, tuple[Callable[..., Any], Tensor]] = {
    "cat": (lambda x: torch.cat([x, 2 * x], 1), IMAGE),
    "cat along the width": (lambda x: torch.cat([x, 2 * x], 3), IMAGE),
    "stack": (lambda x: torch.stack([x, 2 * x], 1), VECTOR),
    "chunk": (lambda x: x.chunk(2, 1)[1] - x.chunk(2, 1)[0], IMAGE),
    "split": (lambda x: x.split([1, 3], 1)[1] * 2, IMAGE),
    "slice with steps": (lambda x: x[:, 1:, ::2, 1:5] * 2, IMAGE),
    "select": (lambda x: x[:, 1] * 2, IMAGE),
    "narrow": (lambda x: x.narrow(2, 1, 5) * 2, IMAGE),
    "index": (lambda x: x[:, [0, 2, 3]] * 2, IMAGE),
    "roll": (lambda x: x.roll(1, -1) * 2, IMAGE),
    "flip": (lambda x: x.flip(3) * 2, IMAGE),
    "expand": (lambda x: x[:, :1].expand(-1, 3, -1, -1) * 2, IMAGE),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), IMAGE),
    "unflatten": (lambda x: x.unflatten(1, (2, 2)).flatten(2) * 2, IMAGE),
    "squeeze and unsqueeze": (lambda x: (x[:, :1].squeeze(1) * 2).unsqueeze(1), IMAGE),
    "movedim": (lambda x: x.movedim(1, 3) * 2, IMAGE),
    "pixel shuffle": (lambda x: F.pixel_shuffle(x, 2) * 2, IMAGE),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x[:, :, :8], 2) * 2, IMAGE),
    "channel shuffle": (lambda x: F.channel_shuffle(x, 2) * 2, IMAGE),
    "nearest upsampling": (lambda x: F.interpolate(x, scale_factor=2) * 2, IMAGE),
    "nearest, uneven": (lambda x: F.interpolate(x, size=(13, 11)) * 2, IMAGE),
    "overlapping patches": (lambda x: x.unfold(2, 3, 2) * 2, IMAGE),
    "zero padding": (lambda x: F.pad(x, (1, 2, 0, 1)) * 2, IMAGE),
    "padding with a value": (lambda x: F.pad(x, (1, 2, 0, 1), value=0.5) * 2, IMAGE),
    "padding of channels": (lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)) * 2, IMAGE),
    "cropping": (lambda x: F.pad(x, (-1, 0, 0, -1)) * 2, IMAGE),
    "cat with zeros": (lambda x: torch.cat([x, torch.zeros(x.shape[0], 2, 9, 8)], 1) * 2, IMAGE),
    "written into zeros": (shifted, IMAGE),
    "unpacked shape": (lambda x: x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1) * 2, IMAGE),
    "heads": (lambda x: x.reshape(x.shape[0], 5, 2, 3).permute(0, 2, 1, 3) * 2, TOKENS),
    "type and device": (lambda x: x.float().to(x.device).type_as(x) * 2, VECTOR),
    "nothing": (lambda x: x, VECTOR),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str) -> None:
    function, x = MOVES[name]
    assert_traced(Apply(function), x)


POOLS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "average": (lambda: nn.AvgPool2d(2), IMAGE),
    "average, padded": (lambda: nn.AvgPool2d(3, 2, 1), IMAGE),
    "average, padding not counted": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "average, ceil": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "average, ceil, not counted": (
        lambda: nn.AvgPool2d((2, 3), 3, (1, 0), True, count_include_pad=False),
        IMAGE,
    ),
    "average, divisor": (lambda: nn.AvgPool2d(3, divisor_override=2), IMAGE),
    "average of lines": (lambda: nn.AvgPool1d(2, padding=1), LINE),
    "maximum": (lambda: nn.MaxPool2d(3, 2, 1), IMAGE),
    "maximum, ceil": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "maximum, dilated": (lambda: nn.MaxPool2d(2, 1, dilation=2), IMAGE),
    "maximum of lines": (lambda: nn.MaxPool1d(2, padding=1), LINE),
    "global average": (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    "adaptive average": (lambda: nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "adaptive average, uneven": (lambda: nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "adaptive average of lines": (lambda: nn.AdaptiveAvgPool1d(4), LINE),
    "adaptive maximum": (lambda: nn.AdaptiveMaxPool2d((3, 2)), IMAGE),
    "global maximum": (lambda: nn.AdaptiveMaxPool2d(1), IMAGE),
    "average, three axes": (lambda: nn.AvgPool3d((1, 2, 2)), IMAGE),
    "average, three axes, padded": (lambda: nn.AvgPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), IMAGE),
    "maximum, three axes": (lambda: nn.MaxPool3d((1, 3, 2), (1, 2, 2), dilation=(1, 2, 1)), IMAGE),
    "adaptive average, three axes": (lambda: nn.AdaptiveAvgPool3d((None, 1, 1)), IMAGE),
    "adaptive maximum, three axes": (lambda: nn.AdaptiveMaxPool3d((4, 3, 2)), IMAGE),
    "mean of a map": (lambda: Apply(lambda x: x.mean((2, 3))), IMAGE),
    "mean of channels": (lambda: Apply(lambda x: x.mean(1)), IMAGE),
    "mean of apart axes": (lambda: Apply(lambda x: x.mean((1, 3))), IMAGE),
    "mean of channels and rows": (lambda: Apply(lambda x: x.mean((1, 2), keepdim=True)), IMAGE),
    "sum of everything": (lambda: Apply(lambda x: x.sum((1, 2, 3))), IMAGE),
    "sum of tokens": (lambda: Apply(lambda x: x.sum(1)), TOKENS),
    "mean of transposed tokens": (lambda: Apply(lambda x: x.transpose(1, 2).mean(1)), TOKENS),
    "maximum of a map": (lambda: Apply(lambda x: x.amax((2, 3))), IMAGE),
    "maximum of rows": (lambda: Apply(lambda x: x.max(2)[0]), IMAGE),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools(name: str) -> None:
    make, x = POOLS[name]
    graph = assert_traced(make(), x)
    assert any(isinstance(node, Pool | MaxPool | Sparse) for node in graph)


@pytest.mark.parametrize("pool", [nn.AvgPool3d(2), nn.MaxPool3d((2, 1, 1)), nn.AdaptiveAvgPool3d((2, 1, 1))])
def test_pools_over_three_axes_are_refused(pool: nn.Module) -> None:
    with pytest.raises(CannotTrace, match="pools over three axes") as caught:
        trace(nn.Sequential(nn.Unflatten(1, (1, 4)), pool), IMAGE)
    assert "height and width alone" in caught.value.hint


def test_no_reshape_follows_another() -> None:
    model = Apply(lambda x: x.mean((2, 3)).view(-1, 2, 2).flatten(1) * 2)
    graph = assert_traced(model, IMAGE)
    for node in graph:
        if isinstance(node, Reshape):
            assert not isinstance(graph[node.inputs[0].source], Reshape)


def test_several_outputs() -> None:
    pair = assert_traced(Apply(lambda x, f: (f(x), x * 2), nn.Linear(6, 2)), VECTOR)
    assert [node.name for node in pair.outputs] == ["output.0", "output.1"]
    table = assert_traced(Apply(lambda x, f: {"scores": f(x), "twice": x * 2}, nn.Linear(6, 2)), VECTOR)
    assert [node.name for node in table.outputs] == ["scores", "twice"]


def test_dropout_leaves() -> None:
    graph = assert_traced(nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 2)), VECTOR)
    assert [node.name for node in graph] == ["input", "0", "2", "output"]
