"""E-SpikeFormer: the two published families, of the parts in `counting`.

Written from the published equations alone, without looking at the code of snncc.
Evaluation mode; no surrogate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from tests.oracles.counting import HEADS, SFA, Counting, Rounding, sdsa, sdsa_linear

# Constructor -> channels E0..E3 and parameters (1.3).
EFFICIENT: dict[str, tuple[tuple[int, int, int, int], int]] = {
    "t": ((24, 48, 96, 128), 2_702_048),
    "s": ((32, 64, 128, 192), 5_105_608),
    "m": ((48, 96, 192, 240), 10_023_112),
    "l": ((64, 128, 256, 360), 18_987_504),
}
# Width of `Large` -> channels of its three stages (1.3).
LARGE: dict[int, tuple[int, int, int]] = {512: (128, 256, 512), 768: (196, 384, 768)}


def conv_bn(
    before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Sequential:
    """Convolution with padding kernel // 2, and its batch normalization."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


Neuron = Callable[[], SFA]


class SepConvSpike(nn.Module):
    """SN, pw C->2C, BN, SN, dw k x k, BN, SN, pw 2C->C, BN."""

    def __init__(self, C: int, kernel: int, neuron: Neuron) -> None:
        super().__init__()
        self.spike1 = neuron()
        self.expand = conv_bn(C, 2 * C)
        self.spike2 = neuron()
        self.depthwise = conv_bn(2 * C, 2 * C, kernel, groups=2 * C)
        self.spike3 = neuron()
        self.reduce = conv_bn(2 * C, C)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(self.spike1(x))
        x = self.depthwise(self.spike2(x))
        return self.reduce(self.spike3(x))


class ConvPart(nn.Module):
    """SN, conv 3x3 C->4C, BN, SN, conv 3x3 4C->C, BN."""

    def __init__(self, C: int, neuron: Neuron, bias: bool = False) -> None:
        super().__init__()
        self.spike1 = neuron()
        self.conv1 = conv_bn(C, 4 * C, 3, bias=bias)
        self.spike2 = neuron()
        self.conv2 = conv_bn(4 * C, C, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.spike2(self.conv1(self.spike1(x))))


class ConvBlock(nn.Module):
    """``x += SepConvSpike_7(x); x += ConvPart(x)``."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.sep = SepConvSpike(C, 7, neuron)
        self.conv = ConvPart(C, neuron)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.sep(x)
        return x + self.conv(x)


class ESDSA(nn.Module):
    """``s = SN x; q, k, v = SN(BN(W s)); BN(Wo SN((q k^T) v * 2 / sqrt(dk)))``; v has 4C channels."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.channels = C
        self.scale = 2 / (C // HEADS) ** 0.5
        self.spike = neuron()
        self.q = conv_bn(C, C)
        self.q_spike = neuron()
        self.k = conv_bn(C, C)
        self.k_spike = neuron()
        self.v = conv_bn(C, 4 * C)
        self.v_spike = neuron()
        self.attention_spike = neuron()
        self.proj = conv_bn(4 * C, C)

    def forward(self, x: Tensor) -> Tensor:
        B, _, H, W = x.shape
        s = self.spike(x)
        q = self.q_spike(self.q(s)).flatten(2)
        k = self.k_spike(self.k(s)).flatten(2)
        v = self.v_spike(self.v(s)).flatten(2)
        y = sdsa(q, k, v, self.scale).reshape(B, -1, H, W)
        return self.proj(self.attention_spike(y))


class MLP(nn.Module):
    """SN, 1x1 C->4C with bias, BN, SN, 1x1 4C->C with bias, BN."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.spike1 = neuron()
        self.fc1 = conv_bn(C, 4 * C, bias=True)
        self.spike2 = neuron()
        self.fc2 = conv_bn(4 * C, C, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.spike2(self.fc1(self.spike1(x))))


class TBlock(nn.Module):
    """``x += SepConvSpike_3(x); x += ESDSA(x); x += MLP(x)``."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.sep = SepConvSpike(C, 3, neuron)
        self.attention = ESDSA(C, neuron)
        self.mlp = MLP(C, neuron)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.sep(x)
        x = x + self.attention(x)
        return x + self.mlp(x)


def first_down(before: int, after: int) -> nn.Sequential:
    """Conv 7x7 stride 2 with bias, BN: the analog image has no neuron."""
    return conv_bn(before, after, 7, 2, bias=True)


def down(before: int, after: int, neuron: Neuron, stride: int = 2) -> nn.Sequential:
    """SN, conv 3x3 with bias, BN."""
    return nn.Sequential(neuron(), *conv_bn(before, after, 3, stride, bias=True))


class Efficient(Counting):
    """E-SpikeFormer Base: 105 spiking layers at every width. x [B, in_channels, H, W] -> logits [B, classes].

    Parameters and buffers are in the order of execution. The model starts in evaluation mode.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        classes: int = 1000,
        in_channels: int = 3,
        max_count: int = 4,
        rounding: Rounding = "floor",
    ) -> None:
        super().__init__()
        E0, E1, E2, E3 = channels

        def neuron() -> SFA:
            return SFA(max_count, rounding)

        self.body = nn.Sequential(
            first_down(in_channels, E0 // 2),
            ConvBlock(E0 // 2, neuron),
            down(E0 // 2, E0, neuron),
            ConvBlock(E0, neuron),
            down(E0, E1, neuron),
            *(ConvBlock(E1, neuron) for _ in range(2)),
            down(E1, E2, neuron),
            *(TBlock(E2, neuron) for _ in range(6)),
            down(E2, E3, neuron, stride=1),
            *(TBlock(E3, neuron) for _ in range(2)),
        )
        self.head_spike = SFA(max_count, rounding, norm=1)
        self.head = nn.Linear(E3, classes)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.head_spike(self.body(x).mean((2, 3))))


def pointwise(*channels: int) -> nn.Sequential:
    """1x1 convolutions of tokens [B, C, N] without bias, each with its batch normalization."""
    return nn.Sequential(
        *(m for a, b in pairwise(channels) for m in (nn.Conv1d(a, b, 1, bias=False), nn.BatchNorm1d(b)))
    )


def large_linear(C: int) -> nn.Sequential:
    """ "RepConv" of Large: 1x1 C->1.5C, BN, 1x1 ->C, BN, and another BN."""
    return nn.Sequential(*pointwise(C, C * 3 // 2, C), nn.BatchNorm1d(C))


class LargeConvBlock(nn.Module):
    """``x += ConvPart(x)``, its convolutions with bias."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.conv = ConvPart(C, neuron, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class LargeESDSA(nn.Module):
    """`ESDSA` of tokens [B, C, N] with q, k, v, proj = `large_linear`, dv = dk, scale 0.125."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.spike = neuron()
        self.q = large_linear(C)
        self.q_spike = neuron()
        self.k = large_linear(C)
        self.k_spike = neuron()
        self.v = large_linear(C)
        self.v_spike = neuron()
        self.attention_spike = neuron()
        self.proj = large_linear(C)

    def forward(self, x: Tensor) -> Tensor:
        s = self.spike(x)
        q, k, v = self.q_spike(self.q(s)), self.k_spike(self.k(s)), self.v_spike(self.v(s))
        return self.proj(self.attention_spike(sdsa_linear(q, k, v, 0.125)))


class LargeMLP(nn.Module):
    """`MLP` of tokens [B, C, N]."""

    def __init__(self, C: int, neuron: Neuron) -> None:
        super().__init__()
        self.spike1 = neuron()
        self.fc1 = nn.Sequential(nn.Conv1d(C, 4 * C, 1), nn.BatchNorm1d(4 * C))
        self.spike2 = neuron()
        self.fc2 = nn.Sequential(nn.Conv1d(4 * C, C, 1), nn.BatchNorm1d(C))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.spike2(self.fc1(self.spike1(x))))


class LayerScale(nn.Module):
    """One factor per channel of tokens [B, C, N]."""

    def __init__(self, C: int, initial: float = 1e-6) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((C,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor[:, None]


class LargeTBlock(nn.Module):
    """``[x += RepConv2(SN x);] x += ls1 * ESDSA(x); x += ls2 * MLP(x)``."""

    def __init__(self, C: int, rep: bool, neuron: Neuron) -> None:
        super().__init__()
        self.rep = nn.Sequential(neuron(), *pointwise(C, C, C)) if rep else None
        self.attention = LargeESDSA(C, neuron)
        self.scale1 = LayerScale(C)
        self.mlp = LargeMLP(C, neuron)
        self.scale2 = LayerScale(C)

    def forward(self, x: Tensor) -> Tensor:
        if self.rep is not None:
            x = x + self.rep(x)
        x = x + self.scale1(self.attention(x))
        return x + self.scale2(self.mlp(x))


class Large(Counting):
    """E-SpikeFormer Large: convolution stages, 12 transformer blocks of 1-D tokens, one or two heads.

    *rep*: the blocks begin with RepConv2 (``choice == "base"``); by default as the parameter counts of
    1.3 require, with 512 channels and not with 768. *kd*: logits are the mean of the heads of the
    stream's mean and of its counts.
    """

    def __init__(
        self,
        dim: int = 512,
        kd: bool = True,
        classes: int = 1000,
        in_channels: int = 3,
        max_count: int = 4,
        rounding: Rounding = "floor",
        rep: bool | None = None,
        depth: int = 12,
    ) -> None:
        super().__init__()
        E0, E1, E2 = LARGE[dim]
        has_rep = dim == 512 if rep is None else rep

        def neuron() -> SFA:
            return SFA(max_count, rounding)

        self.stages = nn.Sequential(
            first_down(in_channels, E0 // 2),
            LargeConvBlock(E0 // 2, neuron),
            down(E0 // 2, E0, neuron),
            LargeConvBlock(E0, neuron),
            down(E0, E1, neuron),
            *(LargeConvBlock(E1, neuron) for _ in range(2)),
            down(E1, E2, neuron),
        )
        self.blocks = nn.Sequential(*(LargeTBlock(E2, has_rep, neuron) for _ in range(depth)))
        self.head = nn.Linear(E2, classes)
        self.kd_spike = SFA(max_count, rounding, norm=1) if kd else None
        self.kd_head = nn.Linear(E2, classes) if kd else None
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        mean = self.blocks(self.stages(x).flatten(2)).mean(2)
        logits: Tensor = self.head(mean)
        if self.kd_spike is None or self.kd_head is None:
            return logits
        return (logits + self.kd_head(self.kd_spike(mean))) / 2
