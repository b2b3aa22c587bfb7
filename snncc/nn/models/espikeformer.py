"""E-SpikeFormer (Spike-driven Transformer V3): integer activations in training, spikes on a chip.

The efficient family (t, s, m, l) takes [B, 3, H, W] and returns logits [B, classes]. Convolutional stages,
then transformer blocks whose attention is a product of counts, without softmax; all blocks add to a residual
stream, which every neuron reads and none resets. Source: Yao et al., "Scaling spike-driven Transformer
with efficient spike firing approximation training", and the authors' published code.
"""

from __future__ import annotations

from math import sqrt

from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.integer import SFA, Rounding

HEADS = 8


class SpikingConv(nn.Sequential):
    """A neuron, a convolution that keeps the size of the map, and batch normalization."""

    def __init__(self, neuron: nn.Module, conv: nn.Conv2d) -> None:
        super().__init__(neuron, conv, nn.BatchNorm2d(conv.out_channels))


class Downsample(nn.Module):
    """The step from one stage to the next; the first one, *first*, takes the analog image."""

    def __init__(
        self, channels: int, out: int, *, max_count: int, rounding: Rounding, first: bool, stride: int
    ):
        super().__init__()
        self.neuron = None if first else SFA(max_count, rounding=rounding)
        size = 7 if first else 3
        self.conv = nn.Conv2d(channels, out, size, stride=stride, padding=size // 2)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x if self.neuron is None else self.neuron(x)))
        return y


class SeparableConv(nn.Sequential):
    """Pointwise to twice the channels, depthwise of *size*, pointwise back; a neuron before each."""

    def __init__(self, channels: int, size: int, *, max_count: int, rounding: Rounding) -> None:
        wide = 2 * channels

        def neuron() -> SFA:
            return SFA(max_count, rounding=rounding)

        super().__init__(
            SpikingConv(neuron(), nn.Conv2d(channels, wide, 1, bias=False)),
            SpikingConv(neuron(), nn.Conv2d(wide, wide, size, padding=size // 2, groups=wide, bias=False)),
            SpikingConv(neuron(), nn.Conv2d(wide, channels, 1, bias=False)),
        )


class ConvBlock(nn.Module):
    """``x + separable(x)``, then ``x + conv3x3(conv3x3(x))`` over four times the channels."""

    def __init__(self, channels: int, *, max_count: int, rounding: Rounding) -> None:
        super().__init__()
        self.separable = SeparableConv(channels, 7, max_count=max_count, rounding=rounding)
        self.wide = SpikingConv(
            SFA(max_count, rounding=rounding), nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        )
        self.narrow = SpikingConv(
            SFA(max_count, rounding=rounding), nn.Conv2d(4 * channels, channels, 3, padding=1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.separable(x)
        y: Tensor = x + self.narrow(self.wide(x))
        return y


class SpikeAttention(nn.Module):
    """Efficient spike-driven self-attention on a map [B, C, H, W], added to nothing.

    ::

        s = SN(x) ;  q, k = SN(BN(W s)) of C channels,  v of 4C ;  8 heads
        y = q (k^T v) * 2/sqrt(C/8)                     integers, in the cheap order
        out = BN(W SN(y))

    Expanded into spikes, k must be complete before v is applied, and both before q: see
    `snncc.ir.DynamicSynapse`.
    """

    def __init__(self, channels: int, *, max_count: int, rounding: Rounding) -> None:
        super().__init__()
        if channels % HEADS:
            raise BadInput(f"SpikeAttention: {channels} channels are not divisible by {HEADS} heads")
        self.scale = 2 / sqrt(channels // HEADS)

        def projection(out: int) -> nn.Sequential:
            neuron = SFA(max_count, rounding=rounding)
            return nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), neuron)

        self.neuron = SFA(max_count, rounding=rounding)
        self.q, self.k, self.v = projection(channels), projection(channels), projection(4 * channels)
        self.out = SpikingConv(
            SFA(max_count, rounding=rounding), nn.Conv2d(4 * channels, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(x)
        # [B, heads, channels of a head, N]: (q k^T v)^T = (k^T v)^T q^T leaves the tokens where they are
        q, k, v = (part(s).flatten(2).unflatten(1, (HEADS, -1)) for part in (self.q, self.k, self.v))
        y = (k @ v.transpose(-1, -2)).transpose(-1, -2) @ q * self.scale
        out: Tensor = self.out(y.flatten(1, 2).unflatten(-1, tuple(x.shape[-2:])))
        return out


class TransformerBlock(nn.Module):
    """``x + separable(x)``, ``x + attention(x)``, ``x + mlp(x)``."""

    def __init__(self, channels: int, *, max_count: int, rounding: Rounding) -> None:
        super().__init__()
        self.separable = SeparableConv(channels, 3, max_count=max_count, rounding=rounding)
        self.attention = SpikeAttention(channels, max_count=max_count, rounding=rounding)
        self.mlp = nn.Sequential(
            SpikingConv(SFA(max_count, rounding=rounding), nn.Conv2d(channels, 4 * channels, 1)),
            SpikingConv(SFA(max_count, rounding=rounding), nn.Conv2d(4 * channels, channels, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.separable(x)
        x = x + self.attention(x)
        y: Tensor = x + self.mlp(x)
        return y


class ESpikeFormer(nn.Module):
    """The efficient family: [B, *in_channels*, H, W] -> logits [B, *classes*].

    *channels* are those of the four stages, each divisible by 8 where there is attention. 105 spiking layers
    with counts up to *max_count*; the last neuron, before the head, sends counts that are not divided by it.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        classes: int = 1000,
        *,
        in_channels: int = 3,
        max_count: int = 4,
        rounding: Rounding = "floor",
    ) -> None:
        super().__init__()
        e0, e1, e2, e3 = channels

        def down(a: int, b: int, *, first: bool = False, stride: int = 2) -> Downsample:
            return Downsample(a, b, max_count=max_count, rounding=rounding, first=first, stride=stride)

        def conv(size: int) -> ConvBlock:
            return ConvBlock(size, max_count=max_count, rounding=rounding)

        def transformer(size: int) -> TransformerBlock:
            return TransformerBlock(size, max_count=max_count, rounding=rounding)

        self.stages = nn.Sequential(
            nn.Sequential(down(in_channels, e0 // 2, first=True), conv(e0 // 2)),
            nn.Sequential(down(e0 // 2, e0), conv(e0)),
            nn.Sequential(down(e0, e1), conv(e1), conv(e1)),
            nn.Sequential(down(e1, e2), *(transformer(e2) for _ in range(6))),
            nn.Sequential(down(e2, e3, stride=1), *(transformer(e3) for _ in range(2))),
        )
        self.neuron = SFA(max_count, norm=1.0, rounding=rounding)
        self.head = nn.Linear(e3, classes)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise BadInput(f"ESpikeFormer: takes [B, channels, height, width], not {tuple(x.shape)}")
        logits: Tensor = self.head(self.neuron(self.stages(x).mean((2, 3))))
        return logits


def espikeformer_t(classes: int = 1000, **options: object) -> ESpikeFormer:
    """2,702,048 parameters (unpublished size of the published code)."""
    return ESpikeFormer((24, 48, 96, 128), classes, **options)  # type: ignore[arg-type]


def espikeformer_s(classes: int = 1000, **options: object) -> ESpikeFormer:
    """5,105,608 parameters: the paper's 5.1 M."""
    return ESpikeFormer((32, 64, 128, 192), classes, **options)  # type: ignore[arg-type]


def espikeformer_m(classes: int = 1000, **options: object) -> ESpikeFormer:
    """10,023,112 parameters: the paper's 10.0 M."""
    return ESpikeFormer((48, 96, 192, 240), classes, **options)  # type: ignore[arg-type]


def espikeformer_l(classes: int = 1000, **options: object) -> ESpikeFormer:
    """18,987,504 parameters: the paper's 19.0 M."""
    return ESpikeFormer((64, 128, 256, 360), classes, **options)  # type: ignore[arg-type]
