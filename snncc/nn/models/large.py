"""The large family of E-SpikeFormer: pairs of pointwise layers for projections, layer scale, two heads.

Takes [B, 3, H, W]; the tokens stay the positions of a map. What it shares with the efficient family is in
`snncc.nn.models.espikeformer`. Source: Yao et al., "Scaling spike-driven Transformer with efficient spike
firing approximation training", and the authors' published code (Model_Large).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.attention import whole
from snncc.nn.integer import SFA, Rounding
from snncc.nn.models.espikeformer import HEADS, Downsample, SpikingConv

SCALE = 0.125
LAYER_SCALE = 1e-6


class LayerScale(nn.Module):
    """One learned factor for each channel of [B, C, H, W]; it folds into the convolution before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels, 1, 1), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class LargeConvBlock(nn.Module):
    """``x + conv3x3(conv3x3(x))`` over four times the channels, a neuron before each, with biases."""

    def __init__(self, channels: int, *, max_count: int, rounding: Rounding) -> None:
        super().__init__()
        wide = 4 * channels
        self.wide = SpikingConv(SFA(max_count, rounding=rounding), nn.Conv2d(channels, wide, 3, padding=1))
        self.narrow = SpikingConv(SFA(max_count, rounding=rounding), nn.Conv2d(wide, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.narrow(self.wide(x))
        return y


class LargeAttention(nn.Module):
    """Spike-driven self-attention on a map [B, C, H, W], added to nothing.

    ::

        s = SN(x) ;  q, k, v = SN(P s) of C channels each ;  8 heads
        y = q (k^T v) * 0.125                            integers, in this order
        out = P SN(y)

    where every P is 1 x 1 to 1.5C, BN, 1 x 1 to C, BN, BN: one matrix and a bias once it is folded. Expanded
    into spikes, k must be complete before v is applied, and both before q: see `snncc.ir.DynamicSynapse`.
    """

    def __init__(self, channels: int, *, max_count: int, rounding: Rounding) -> None:
        super().__init__()
        if channels % HEADS:
            raise BadInput(f"LargeAttention: {channels} channels are not divisible by {HEADS} heads")

        def neuron() -> SFA:
            return SFA(max_count, rounding=rounding)

        def projection() -> nn.Sequential:
            return nn.Sequential(*pointwise(channels, channels * 3 // 2, channels), nn.BatchNorm2d(channels))

        self.neuron = neuron()
        self.q, self.q_neuron = projection(), neuron()
        self.k, self.k_neuron = projection(), neuron()
        self.v, self.v_neuron = projection(), neuron()
        self.sum_neuron = neuron()
        self.out = projection()

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(x)
        counts = self.q_neuron(self.q(s)), self.k_neuron(self.k(s)), self.v_neuron(self.v(s))
        # [B, heads, channels of a head, N]: (q k^T v)^T = (k^T v)^T q^T leaves the tokens where they are
        q, k, v = (part.flatten(2).unflatten(1, (HEADS, -1)) for part in counts)
        y = (k @ v.transpose(-1, -2)).transpose(-1, -2) @ q * SCALE
        out: Tensor = self.out(self.sum_neuron(y.flatten(1, 2).unflatten(-1, tuple(x.shape[-2:]))))
        return out


class LargeBlock(nn.Module):
    """``x + mixed(x)`` where *mixing*, then ``x + scale1*attention(x)``, ``x + scale2*mlp(x)``."""

    def __init__(self, channels: int, *, mixing: bool, max_count: int, rounding: Rounding) -> None:
        super().__init__()

        def neuron() -> SFA:
            return SFA(max_count, rounding=rounding)

        mixed = nn.Sequential(neuron(), *pointwise(channels, channels, channels))
        self.mixed = mixed if mixing else None
        self.attention = LargeAttention(channels, max_count=max_count, rounding=rounding)
        self.scale1 = LayerScale(channels)
        self.mlp = nn.Sequential(
            SpikingConv(neuron(), nn.Conv2d(channels, 4 * channels, 1)),
            SpikingConv(neuron(), nn.Conv2d(4 * channels, channels, 1)),
        )
        self.scale2 = LayerScale(channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.mixed is not None:
            x = x + self.mixed(x)
        x = x + self.scale1(self.attention(x))
        y: Tensor = x + self.scale2(self.mlp(x))
        return y


class LargeESpikeFormer(nn.Module):
    """The large family: [B, *in_channels*, H, W] -> logits [B, *classes*]; H and W are multiples of 16.

    *channels* are those of the two convolutional stages and of the *depth* blocks, the last divisible by 8.
    With *mixing* every block begins with two pointwise layers of its own. One head reads the mean of the
    residual stream over the map, no neuron between; with *kd* a second one, which was trained by
    distillation, reads the counts of that mean. Evaluation gives the average of both, training the pair.
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        classes: int = 1000,
        *,
        depth: int = 12,
        mixing: bool = True,
        kd: bool = True,
        in_channels: int = 3,
        max_count: int = 4,
        rounding: Rounding = "floor",
    ) -> None:
        super().__init__()
        e0, e1, e2 = channels
        whole("LargeESpikeFormer: depth", depth)

        def down(a: int, b: int, *, first: bool = False) -> Downsample:
            return Downsample(a, b, max_count=max_count, rounding=rounding, first=first, stride=2)

        def conv(size: int) -> LargeConvBlock:
            return LargeConvBlock(size, max_count=max_count, rounding=rounding)

        def block() -> LargeBlock:
            return LargeBlock(e2, mixing=mixing, max_count=max_count, rounding=rounding)

        self.stages = nn.Sequential(
            nn.Sequential(down(in_channels, e0 // 2, first=True), conv(e0 // 2)),
            nn.Sequential(down(e0 // 2, e0), conv(e0)),
            nn.Sequential(down(e0, e1), conv(e1), conv(e1)),
            nn.Sequential(down(e1, e2), *(block() for _ in range(depth))),
        )
        self.head = nn.Linear(e2, classes)
        self.kd_neuron = SFA(max_count, norm=1.0, rounding=rounding) if kd else None
        self.kd_head = nn.Linear(e2, classes) if kd else None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if x.ndim != 4:
            raise BadInput(f"LargeESpikeFormer: takes [B, channels, height, width], not {tuple(x.shape)}")
        mean = self.stages(x).mean((2, 3))
        logits: Tensor = self.head(mean)
        if self.kd_neuron is None or self.kd_head is None:
            return logits
        distilled: Tensor = self.kd_head(self.kd_neuron(mean))
        if self.training:
            return logits, distilled
        # both halved before the sum: there the compiler folds the factor into the weights of the heads
        return logits / 2 + distilled / 2


def espikeformer_512(kd: bool = True, classes: int = 1000, **options: object) -> LargeESpikeFormer:
    """83,015,952 parameters, the paper's 83 M; 82,502,952 without *kd*. Blocks with mixing."""
    return LargeESpikeFormer((128, 256, 512), classes, kd=kd, **options)  # type: ignore[arg-type]


def espikeformer_768(kd: bool = True, classes: int = 1000, **options: object) -> LargeESpikeFormer:
    """171,740,714 parameters (the paper says 173 M); 170,971,714 without *kd*. Blocks without mixing."""
    settings: dict[str, object] = {"mixing": False} | options
    return LargeESpikeFormer((196, 384, 768), classes, kd=kd, **settings)  # type: ignore[arg-type]


def pointwise(*channels: int) -> list[nn.Module]:
    """1 x 1 convolutions without bias, each with its batch normalization."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)]
    return layers
