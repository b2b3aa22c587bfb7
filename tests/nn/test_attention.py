"""Attention modules against their equations, sample by sample and index by index."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.errors import BadInput, UnknownName
from snncc.nn import (
    TCSA,
    AdvancedSpatialAttention,
    ChannelAttention,
    SpatialAttention,
    TemporalAttention,
)
from tests.nn.strategies import Array, drive

T, B, C, H, W = 6, 3, 4, 5, 4
LAYERS = [(60, 64, 32, 32), (60, 128, 16, 16), (60, 128, 8, 8)]  # of asa_3layer

MAKERS: dict[str, Callable[[], nn.Module]] = {
    "ASA-1": lambda: AdvancedSpatialAttention(T),
    "ASA-1 reduced": lambda: AdvancedSpatialAttention(T, reduction=2, lam=0.34),
    "ASA-2": lambda: AdvancedSpatialAttention(None, fc=False, lam=0.7),
    "SA": lambda: SpatialAttention(3),
    "SA over the train": lambda: SpatialAttention(over="train", rectify=True),
    "temporal": lambda: TemporalAttention(T, 2),
    "channel": lambda: ChannelAttention(C, 2),
    "TCSA": lambda: TCSA(T, C, t_ratio=3, c_ratio=2, kernel_size=3, rectify=True),
}
every = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS.keys())


def made(maker: Callable[[], nn.Module]) -> Any:
    torch.manual_seed(0)
    return maker().double()


def train(seed: int = 0, batch: int = B) -> Tensor:
    return torch.from_numpy(drive(seed, -1, 2, (T, batch, C, H, W)))


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def conv_map(maps: Any, kernel: Any) -> Array:
    """A convolution of *maps* [2, H, W] to one map, zeros outside."""
    half = kernel.shape[-1] // 2
    out = np.zeros(maps.shape[1:])
    for i, j in np.ndindex(*maps.shape[1:]):
        for m, a, b in np.ndindex(kernel.shape):
            y, x = i + a - half, j + b - half
            if 0 <= y < out.shape[0] and 0 <= x < out.shape[1]:
                out[i, j] += kernel[m, a, b] * maps[m, y, x]
    return out


def top(values: Array, k: int) -> set[int]:
    return set(sorted(range(len(values)), key=lambda i: (-values[i], i))[:k])


def asa_mask(x: Array, alpha: float, gamma: float, fc: list[Array], lam: float) -> Array:
    """M1 of one sample [T, C, H, W]."""
    steps, channels = x.shape[:2]
    m = np.zeros((steps, channels))
    for t, c in np.ndindex(m.shape):
        mean, peak = x[t, c].mean(), x[t, c].max()
        m[t, c] = 0.5 * (mean + peak) + alpha * mean + gamma * peak
    for k, weight in enumerate(fc):
        m = weight @ (np.maximum(m, 0) if k else m)
    mask = np.zeros((steps, channels))
    for t, c in np.ndindex(mask.shape):
        by_channel = c in top(m[t], math.floor(lam * channels))
        by_time = t in top(m[:, c], math.floor(lam * steps))
        mask[t, c] = by_channel != by_time
    return mask


def asa(x: Array, module: AdvancedSpatialAttention) -> tuple[Array, Array]:
    fc = [weight.detach().numpy() for weight in module.fc]
    mask = asa_mask(x, module.alpha.item(), module.gamma.item(), fc, module.lam)
    out = np.zeros_like(x)
    for conv, own, share in ((module.conv1, mask, module.lam), (module.conv2, 1 - mask, 1 - module.lam)):
        part = x * own[:, :, None, None]
        maps = np.stack([part.mean((0, 1)) / share, part.max((0, 1))])
        out += sigmoid(conv_map(maps, conv.weight.detach().numpy()[0])) * part
    return out, mask


def spatial(x: Array, module: SpatialAttention) -> Array:
    kernel, out = module.conv.weight.detach().numpy()[0], np.zeros_like(x)
    for t in range(len(x)):
        seen = x[t] if module.over == "timestep" else x.reshape(-1, *x.shape[2:])
        out[t] = x[t] * sigmoid(conv_map(np.stack([seen.mean(0), seen.max(0)]), kernel))
    return np.maximum(out, 0) if module.rectify else out


def excited(mean: Array, peak: Array, module: TemporalAttention | ChannelAttention) -> Array:
    down, up = (layer.weight.detach().numpy() for layer in (module.shrink, module.grow))
    return sigmoid(up @ np.maximum(down @ mean, 0) + up @ np.maximum(down @ peak, 0))


def defined(x: Array, module: nn.Module) -> Array:
    """The output for one sample [T, C, H, W]."""
    match module:
        case AdvancedSpatialAttention():
            return asa(x, module)[0]
        case SpatialAttention():
            return spatial(x, module)
        case TemporalAttention():
            gain = excited(x.mean((1, 2, 3)), x.max((1, 2, 3)), module)
            return x * gain[:, None, None, None]
        case ChannelAttention():
            gain = excited(x.mean((0, 2, 3)), x.max((0, 2, 3)), module)
            return x * gain[:, None, None]
        case TCSA(temporal=first, channel=second, spatial=third):
            return defined(defined(defined(x, first), second), third)
    raise AssertionError(module)


@every
def test_equations(maker: Callable[[], nn.Module]) -> None:
    module, x = made(maker), train()
    out = module(x)
    assert out.shape == x.shape
    for b in range(B):
        expected = defined(x[:, b].numpy(), module)
        assert np.allclose(out[:, b].detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["ASA-1", "ASA-1 reduced", "ASA-2"])
@pytest.mark.parametrize("seed", range(3))
def test_selection(name: str, seed: int) -> None:
    module, x = made(MAKERS[name]), train(seed)
    mask = module.important(x)
    assert 0 < int(mask.sum()) < mask.numel()
    for b in range(B):
        assert np.array_equal(mask[:, b].numpy(), asa(x[:, b].numpy(), module)[1])


@every
def test_a_sample_does_not_see_its_batch(maker: Callable[[], nn.Module]) -> None:
    module, x = made(maker), train()
    together = module(x)
    other = module(torch.cat([100 * train(1), x[:, 1:2]], dim=1))
    for b in range(B):
        alone = module(x[:, b : b + 1])
        assert torch.allclose(alone[:, 0], together[:, b], rtol=0, atol=1e-13)
    assert torch.allclose(other[:, B], together[:, 1], rtol=0, atol=1e-13)


def test_selections_of_a_batch_are_not_merged() -> None:
    # float32, many samples, and timesteps and channels that tie
    torch.manual_seed(0)
    module = AdvancedSpatialAttention(T)
    x = train(batch=16).float().round()
    x[2], x[:, :, 3] = x[1], x[:, :, 0]
    together = module.important(x)
    assert len({tuple(mask.flatten().tolist()) for mask in together.unbind(1)}) > 1
    for b in range(16):
        assert torch.equal(module.important(x[:, b : b + 1])[:, 0], together[:, b])


def test_ties_go_to_the_lowest_index() -> None:
    module = AdvancedSpatialAttention(None, fc=False)
    mask = module.important(torch.zeros(4, 2, 6, 3, 3))
    expected = torch.tensor([[(c < 3) != (t < 2) for c in range(6)] for t in range(4)])
    assert torch.equal(mask, expected[:, None].expand(4, 2, 6))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_of_the_input_stays(maker: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    assert maker()(train().to(dtype)).dtype == dtype


@every
def test_gradients(maker: Callable[[], nn.Module]) -> None:
    module, x = made(maker), train().requires_grad_()
    (module(x) * train(1)).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert bool((x.grad != 0).any())
    for name, parameter in module.named_parameters():
        if name in ("alpha", "gamma") or name.startswith("fc"):
            assert parameter.grad is None, "the selection is a step"
        else:
            assert bool(parameter.grad.isfinite().all()), name
            assert bool((parameter.grad != 0).any()), name


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters() -> None:
    assert count(AdvancedSpatialAttention(60)) == 3600 + 2 + 36
    assert count(AdvancedSpatialAttention(60, reduction=4)) == 2 * 60 * 15 + 2 + 36
    assert count(AdvancedSpatialAttention(None, fc=False)) == 2 + 36
    assert count(SpatialAttention()) == 98
    assert count(TCSA(60, 128)) == 2 * 60 * 15 + 2 * 128 * 32 + 98


def test_macs() -> None:
    def total(make: Callable[[int], Any], accounting: str) -> int:
        return sum(make(shape[1]).macs(shape, accounting) for shape in LAYERS)

    with torch.device("meta"):
        assert total(lambda c: SpatialAttention(), "paper") == 14_292_480
        assert total(lambda c: SpatialAttention(), "full") == 14_292_480
        assert total(lambda c: AdvancedSpatialAttention(60), "paper") == 2_603_520
        assert total(lambda c: AdvancedSpatialAttention(60), "full") == 6_389_760 + 48_384 + 1_152_000
        assert total(lambda c: AdvancedSpatialAttention(None, fc=False), "paper") == 1_451_520
        assert total(lambda c: AdvancedSpatialAttention(None, fc=False), "full") == 6_389_760 + 48_384
        assert total(lambda c: TCSA(60, c), "full") == total(lambda c: TCSA(60, c), "paper") == 27_119_664
        reduced = AdvancedSpatialAttention(60, reduction=4)
    assert reduced.macs((60, 2, 3, 3)) == 60 * 9 * 2 + 36 * 9 + 2 * (2 * 60 * 15)
    assert reduced.macs((60, 5, 2, 3, 3)) == 5 * reduced.macs((60, 2, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AdvancedSpatialAttention(None), "needs the number of timesteps"),
        (lambda: AdvancedSpatialAttention(0), "timesteps must be a whole number"),
        (lambda: AdvancedSpatialAttention(4, lam=1.0), r"lam must be in \(0, 1\)"),
        (lambda: AdvancedSpatialAttention(4, reduction=5), "at least the ratio"),
        (lambda: AdvancedSpatialAttention(4, fc=False, reduction=2), "no effect without the fc"),
        (lambda: AdvancedSpatialAttention(4, kernel_size=2), "must be odd"),
        (lambda: SpatialAttention(4), "must be odd"),
        (lambda: SpatialAttention(over="time"), "over must be"),  # type: ignore[arg-type]
        (lambda: TCSA(2, 8), "at least the ratio"),
        (lambda: TCSA(8, 2), "at least the ratio"),
        (lambda: AdvancedSpatialAttention(4)(torch.zeros(3, 1, 2, 4, 4)), "built for 4 timesteps"),
        (lambda: AdvancedSpatialAttention(4)(torch.zeros(4, 2, 4, 4)), r"a train \[T, B, C, H, W\]"),
        (lambda: AdvancedSpatialAttention(4)(torch.zeros(4, 0, 2, 4, 4)), r"a train \[T, B, C, H, W\]"),
        (lambda: SpatialAttention()(torch.zeros(4, 1, 2, 4, 4).int()), "floating point"),
        (lambda: TCSA(4, 4)(torch.zeros(4, 1, 8, 4, 4)), "built for 4 channels"),
        (lambda: SpatialAttention().macs((1, 2, 3)), "the shape must be"),
        (lambda: AdvancedSpatialAttention(4).macs((5, 2, 3, 3)), "built for 4 timesteps"),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call()


def test_unknown_accounting() -> None:
    with pytest.raises(UnknownName, match=r"unknown accounting 'papers'; known: full, paper"):
        SpatialAttention().macs((1, 2, 3, 4), "papers")  # type: ignore[arg-type]
