"""Masked convolutions and normalizations: what is active, and what the rest must not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn import MaskedBatchNorm2d, SparseConv2d, set_mask
from tests.nn.strategies import drive

B, C, H, W = 3, 4, 8, 6
CONVS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_size": 3, "padding": 1},
    "stride 2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "depthwise 5x3": {"kernel_size": (5, 3), "padding": (2, 1), "groups": 4, "bias": False},
    "no padding": {"kernel_size": 3, "stride": (2, 1)},
    "wide padding": {"kernel_size": 1, "padding": 1, "groups": 2},
}
every = pytest.mark.parametrize("options", CONVS.values(), ids=CONVS.keys())


def spikes(batch: int = B) -> Tensor:
    return torch.from_numpy((drive(0, 0, 1, (batch, C, H, W)) < 0.15) * 1.0)


def keep_map(batch: int = B) -> Tensor:
    return torch.from_numpy(drive(1, 0, 1, (batch, 4, 3)) < 0.5)


def sparse(options: dict[str, Any], **more: Any) -> SparseConv2d:
    torch.manual_seed(0)
    return SparseConv2d(C, 8, **options, **more).double()


def ordinary(conv: SparseConv2d) -> nn.Conv2d:
    twin = nn.Conv2d(
        C,
        8,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.margins,
        groups=conv.groups,
        bias=conv.bias is not None,
    ).double()
    twin.load_state_dict(conv.state_dict())
    return twin


@every
def test_without_a_mask_it_is_a_convolution(options: dict[str, Any]) -> None:
    conv, x = sparse(options), spikes()
    assert torch.equal(conv(x), ordinary(conv)(x))
    assert conv.active(x) is None
    set_mask(conv, keep_map())
    assert not torch.equal(conv(x), ordinary(conv)(x))
    set_mask(conv, None)
    assert torch.equal(conv(x), ordinary(conv)(x))


@every
def test_patch_rule(options: dict[str, Any]) -> None:
    conv, x, keep = sparse(options), spikes(), keep_map()
    conv.set_mask(keep)
    out, full = conv(x), ordinary(conv)(x)
    for b, i, j in torch.cartesian_prod(*map(torch.arange, (B, *out.shape[2:]))).tolist():
        kept = bool(keep[b, i * 4 // out.shape[2], j * 3 // out.shape[3]])
        assert torch.equal(out[b, :, i, j], full[b, :, i, j] if kept else torch.zeros(8).double())
    nearest = nn.functional.interpolate(keep[:, None].double(), tuple(out.shape[2:]))
    active = conv.active(x)
    assert active is not None
    assert torch.equal(active, nearest.bool())


@every
@pytest.mark.parametrize("masked", [False, True])
def test_center_rule(options: dict[str, Any], masked: bool) -> None:
    conv, x, keep = sparse(options, rule="center"), spikes(), keep_map()
    if masked:
        conv.set_mask(keep)
    out, full = conv(x), ordinary(conv)(x)
    active = 0
    for b, i, j in torch.cartesian_prod(*map(torch.arange, (B, *out.shape[2:]))).tolist():
        y, z = (
            o * s - p + k // 2
            for o, s, p, k in zip((i, j), conv.stride, conv.margins, conv.kernel_size, strict=True)
        )
        here = 0 <= y < H and 0 <= z < W and bool((x[b, :, y, z] != 0).any())
        here = here and (not masked or bool(keep[b, i * 4 // out.shape[2], j * 3 // out.shape[3]]))
        active += here
        assert torch.equal(out[b, :, i, j], full[b, :, i, j] if here else torch.zeros(8).double())
    assert 0 < active < B * out.shape[2] * out.shape[3]


@pytest.mark.parametrize("rule", ["patch", "center"])
def test_every_timestep_has_the_mask_of_its_sample(rule: Any) -> None:
    conv, train = sparse(CONVS["3x3"], rule=rule), spikes(5 * B).unflatten(0, (5, B))  # type: ignore[no-untyped-call]
    conv.set_mask(keep_map())
    together = conv(train.flatten(0, 1)).unflatten(0, (5, B))
    for t in range(5):
        assert torch.allclose(together[t], conv(train[t]), rtol=0, atol=1e-14)
    conv.set_mask(keep_map()[1:2])
    assert torch.allclose(conv(train[0, 1:2]), together[0, 1:2], rtol=0, atol=1e-14)


def norm(**options: Any) -> MaskedBatchNorm2d:
    torch.manual_seed(0)
    module = MaskedBatchNorm2d(C, **options).double()
    nn.init.uniform_(module.weight, 0.7, 1.3)
    nn.init.uniform_(module.bias, -0.2, 0.8)
    return module


def values(seed: int = 2) -> Tensor:
    return torch.from_numpy(drive(seed, -2, 3, (B, C, H, W)))


def test_normalization_without_a_mask_is_the_ordinary_one() -> None:
    module, twin = norm(), nn.BatchNorm2d(C).double()
    twin.load_state_dict(module.state_dict())
    for seed in range(2):
        assert torch.equal(module(values(seed)), twin(values(seed)))
    assert torch.equal(module.eval()(values()), twin.eval()(values()))
    assert module.state_dict().keys() == twin.state_dict().keys()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_normalization_sees_active_positions_alone(momentum: float | None) -> None:
    module, x, keep = norm(momentum=momentum), values(), keep_map()
    module.set_mask(keep)
    on = nn.functional.interpolate(keep[:, None].double(), (H, W))[:, 0].bool()
    for evaluate in (False, True):
        module.train(not evaluate)
        out = module(x)
        for c in range(C):
            kept = x[:, c][on]
            if evaluate:
                mean, variance = float(module.running_mean[c]), float(module.running_var[c])  # type: ignore[index]
            else:
                mean, variance = float(kept.mean()), float(kept.var(unbiased=False))
                rate = momentum or 1.0
                assert float(module.running_mean[c]) == pytest.approx(rate * mean)  # type: ignore[index]
                running = (1 - rate) + rate * float(kept.var())
                assert float(module.running_var[c]) == pytest.approx(running)  # type: ignore[index]
            scaled = (kept - mean) / (variance + module.eps) ** 0.5
            expected = module.weight[c] * scaled + module.bias[c]
            assert torch.allclose(out[:, c][on], expected, rtol=0, atol=1e-12)
            assert bool((out[:, c][~on] == 0).all())
        garbage = torch.where(on[:, None], x, torch.full_like(x, 1e6))
        again = norm(momentum=momentum)
        again.load_state_dict(module.state_dict())
        again.set_mask(keep)
        assert torch.equal(again.train(not evaluate)(garbage), out)


def test_normalization_after_the_center_rule() -> None:
    conv, bn, x = sparse(CONVS["3x3"], rule="center"), MaskedBatchNorm2d(8).double(), spikes()
    active = conv.active(x)
    assert active is not None
    out = bn(conv(x), active)
    assert bool((out[~active.expand_as(out)] == 0).all())
    rows = out.permute(0, 2, 3, 1)[active[:, 0]]
    assert torch.allclose(rows.mean(0), torch.zeros(8).double(), atol=1e-12)


@pytest.mark.parametrize("rule", ["patch", "center"])
def test_gradients(rule: Any) -> None:
    conv, bn, x = sparse(CONVS["stride 2"], rule=rule), MaskedBatchNorm2d(8).double(), spikes()
    model = nn.Sequential(conv, bn)
    set_mask(model, keep_map())
    x.requires_grad_()
    (model(x) ** 3).sum().backward()
    for value in (x, *model.parameters()):
        assert value.grad is not None
        assert bool(value.grad.isfinite().all())
    assert conv.weight.grad is not None
    assert bool((conv.weight.grad != 0).any())


def test_the_mask_is_no_part_of_the_weights() -> None:
    conv = sparse(CONVS["3x3"])
    conv.set_mask(keep_map())
    assert conv.state_dict().keys() == ordinary(conv).state_dict().keys()


def masked(keep: Any, x: Tensor) -> Tensor:
    conv = SparseConv2d(C, 8, 3, padding=1)
    conv.set_mask(keep)
    out: Tensor = conv(x)
    return out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SparseConv2d(4, 4, 3, rule="edge"), "rule must be one of"),  # type: ignore[arg-type]
        (lambda: SparseConv2d(4, 4, 3, stride=3), "stride must be 1 or 2"),
        (lambda: SparseConv2d(4, 4, 2, rule="center"), "has no center"),
        (lambda: SparseConv2d(4, 6, 3, groups=4), "must be a multiple of groups"),
        (lambda: SparseConv2d(4, 4, 3, padding="same"), "padding must be"),  # type: ignore[arg-type]
        (lambda: SparseConv2d(4, 4, 0), "kernel_size must be"),
        (lambda: masked(None, torch.zeros(2, 3, 4, 4)), r"must be \[B, 4, H, W\]"),
        (lambda: masked(None, torch.zeros(2, 2, 4, 4, 4)), "flatten"),
        (lambda: masked(None, torch.zeros(2, 4, 4, 4).int()), "floating point"),
        (lambda: SparseConv2d(4, 4, 3)(torch.zeros(2, 4, 2, 4)), "too small for a kernel"),
        (lambda: masked(torch.ones(3, 2, 2), torch.zeros(2, 4, 4, 4)), "one of 3 samples, the input has 2"),
        (lambda: masked(torch.ones(3, 2), torch.zeros(3, 4, 4, 4)), "must have the shape"),
        (lambda: masked(torch.full((2, 2, 2), 0.5), torch.zeros(2, 4, 4, 4)), "nothing but 0 and 1"),
        (lambda: masked([[1]], torch.zeros(2, 4, 4, 4)), "must be a tensor"),
        (lambda: MaskedBatchNorm2d(0), "num_features must be"),
        (lambda: MaskedBatchNorm2d(4)(torch.zeros(1, 4, 1, 1)), "two active positions, there are 1"),
        (
            lambda: MaskedBatchNorm2d(4)(torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 2, 2).bool()),
            "two active positions, there are 0",
        ),
        (lambda: MaskedBatchNorm2d(4)(torch.zeros(1, 4, 2, 2), torch.ones(1, 2, 2)), "active must be bool"),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call()


def test_nothing_active_in_evaluation() -> None:
    module = norm().eval()
    module.set_mask(torch.zeros(B, 2, 2))
    assert not module(values()).any()
