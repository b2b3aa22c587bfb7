"""Random networks quantized with torch's own tools, and what torch itself makes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao import quantization as untyped

from snncc.frontends.torch_record import Recorder
from snncc.ir import Array

quantization: Any = untyped
QAT = (quantization.FakeQuantize, quantization.FusedMovingAvgObsFakeQuantize)


def activations(bits: int, kind: str, cls: Any = quantization.FakeQuantize) -> Any:
    """A fake quantizer of *bits*: "unsigned", "signed" (zero in the middle), or "affine" (any zero)."""
    low, high, dtype = 0, 2**bits - 1, torch.quint8
    scheme = torch.per_tensor_affine
    if kind == "signed":
        low, high, dtype = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, torch.qint8
        scheme = torch.per_tensor_symmetric
    return cls.with_args(
        observer=quantization.MovingAverageMinMaxObserver,
        quant_min=low,
        quant_max=high,
        dtype=dtype,
        qscheme=scheme,
    )


def weights(bits: int, *, by_channel: bool) -> Any:
    """A fake quantizer of signed weights of *bits*."""
    top = 2 ** (bits - 1) - 1
    observer = (
        quantization.MovingAveragePerChannelMinMaxObserver if by_channel else quantization.MinMaxObserver
    )
    scheme = torch.per_channel_symmetric if by_channel else torch.per_tensor_symmetric
    axis = {"ch_axis": 0} if by_channel else {}
    return quantization.FakeQuantize.with_args(
        observer=observer, quant_min=-top, quant_max=top, dtype=torch.qint8, qscheme=scheme, **axis
    )


class Block(nn.Module):
    """A convolution, and a branch beside it that is added."""

    def __init__(self, channels: int, out: int, *, has_norm: bool, has_sum: bool, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(out) if has_norm else nn.Identity()
        self.relu = nn.ReLU()
        self.has_sum = has_sum
        self.branch = nn.Conv2d(out, out, 1, bias=bias)
        self.sum = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        if not self.has_sum:
            return x
        out: Tensor = self.sum.add_relu(self.branch(x), x)
        return out


class Net(nn.Module):
    """Blocks, pools between them, and a dense head."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.enter = quantization.QuantStub()
        channels, size = 2, 8
        parts: list[nn.Module] = []
        for _ in range(int(rng.integers(1, 4))):
            out = int(rng.choice([4, 6]))
            chosen = {name: bool(rng.integers(2)) for name in ("has_norm", "has_sum", "bias")}
            parts.append(Block(channels, out, **chosen))
            channels = out
            if size > 2:
                parts.append(nn.MaxPool2d(2) if rng.integers(2) else nn.AvgPool2d(2))
                size //= 2
        self.body = nn.Sequential(*parts)
        self.hidden, self.relu = nn.Linear(channels * size * size, 12), nn.ReLU()
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.enter(x)).flatten(1)
        out: Tensor = self.head(self.relu(self.hidden(x)))
        return out


def fused(model: Net) -> nn.Module:
    """*model* with its convolutions, normalizations and rectifiers as one module each."""
    pairs = [["hidden", "relu"]]
    for k, part in enumerate(model.body):
        if isinstance(part, Block):
            names = ["conv", "norm", "relu"] if isinstance(part.norm, nn.BatchNorm2d) else ["conv"]
            if len(names) > 1:
                pairs.append([f"body.{k}.{name}" for name in names])
    done: nn.Module = quantization.fuse_modules_qat(model, pairs)
    return done


def random_net(
    seed: int, *, kind: str = "unsigned", is_power: bool = True, is_plain: bool = False
) -> nn.Module:
    """A network with random bits, calibrated; its scales powers of two, if asked for."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model: Any = Net(rng).train()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.mul_(2)
                if part.bias is not None:
                    part.bias.uniform_(-0.3, 0.3)
    model = model if is_plain else fused(model)
    cls = QAT[int(rng.integers(2))]
    model.qconfig = quantization.QConfig(
        activations(8, "affine", cls), weights(8, by_channel=bool(rng.integers(2)))
    )
    for name, part in model.named_modules():
        if name and not isinstance(part, quantization.QuantStub):
            bits = int(rng.integers(2, 9))
            part.qconfig = quantization.QConfig(
                activations(bits, kind, cls),
                weights(max(3, int(rng.integers(2, 9))), by_channel=bool(rng.integers(2))),
            )
    prepared: Any = quantization.prepare_qat(model)
    for _ in range(3):
        prepared(torch.rand(16, 2, 8, 8))
    prepared.eval().apply(quantization.disable_observer)
    for part in prepared.modules():
        if isinstance(part, quantization.FakeQuantizeBase) and is_power:
            set_scale(part, 2.0 ** part.scale.log2().round())
    return prepared


def set_scale(part: Any, scale: Tensor) -> None:
    """Give a fake quantizer another *scale*; a fused one computes it from the range that was observed."""
    part.scale.copy_(scale)
    if isinstance(part, quantization.FusedMovingAvgObsFakeQuantize):
        zero, observer = int(part.zero_point), part.activation_post_process
        observer.min_val.copy_((part.quant_min - zero) * scale[0])
        observer.max_val.copy_((part.quant_max - zero) * scale[0])


def fakes(model: nn.Module) -> dict[str, Any]:
    """The fake quantizers of activations by path."""
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, quantization.FakeQuantizeBase) and not name.endswith("weight_fake_quant")
    }


def codes_of(model: nn.Module, x: Tensor, *, in_float64: bool) -> tuple[Mapping[str, Array], Array]:
    """What torch's own forward makes of *x*: the codes of every fake quantizer, and the output."""
    twin = copy.deepcopy(model)
    found: dict[str, Array] = {}

    def keep(name: str) -> Any:
        def hook(part: Any, _given: Any, out: Tensor) -> None:
            found[name] = (out.double() / part.scale.double()).round().numpy() + int(part.zero_point)

        return hook

    for name, part in fakes(twin).items():
        part.register_forward_hook(keep(name))
    with torch.no_grad():
        if not in_float64:
            return found, twin(x).double().numpy()
        with Recorder.silent():
            out = twin.double()(x.double()).numpy()
    return found, out
