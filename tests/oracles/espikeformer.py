"""E-SpikeFormer: spike firing approximation, the two published families, V1 and V2 attention, RepConv.

Written from the published equations alone, without looking at the code of snncc.
Evaluation mode; no surrogate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rounding = Literal["floor", "even"]

HEADS = 8

# Constructor -> channels E0..E3 and parameters (1.3).
EFFICIENT: dict[str, tuple[tuple[int, int, int, int], int]] = {
    "t": ((24, 48, 96, 128), 2_702_048),
    "s": ((32, 64, 128, 192), 5_105_608),
    "m": ((48, 96, 192, 240), 10_023_112),
    "l": ((64, 128, 256, 360), 18_987_504),
}
# Width of `Large` -> channels of its three stages (1.3).
LARGE: dict[int, tuple[int, int, int]] = {512: (128, 256, 512), 768: (196, 384, 768)}


# --- The neuron (1.1) ---


def sfa(u: Tensor, max_count: int = 4, rounding: Rounding = "floor") -> Tensor:
    """Counts ``round(clip(u, 0, D))``; ties go up (``floor``) or to the even count (``even``)."""
    clipped = u.clamp(0, max_count)
    return (clipped + 0.5).floor() if rounding == "floor" else clipped.round()


def sfa_sequence(x: Tensor, max_count: int = 8, rounding: Rounding = "floor") -> Tensor:
    """Counts [T, ...] of the neuron with memory: ``u = h + x; n = SFA(u); h = u - n``, h not clipped."""
    h = torch.zeros_like(x[0])
    counts = []
    for x_t in x:
        u = h + x_t
        n = sfa(u, max_count, rounding)
        h = u - n
        counts.append(n)
    return torch.stack(counts)


def ilif(x: Tensor, max_count: int = 4, decay: float = 0.25, rounding: Rounding = "floor") -> Tensor:
    """Counts [T, ...] of I-LIF: ``mem_t = (mem_{t-1} - n_{t-1}) * decay + x_t``, mem_1 = x_1."""
    rest = torch.zeros_like(x[0])
    counts = []
    for x_t in x:
        mem = rest * decay + x_t
        n = sfa(mem, max_count, rounding)
        rest = mem - n
        counts.append(n)
    return torch.stack(counts)


def fire(v: Tensor, ticks: int, threshold: float = 0.5, reset: float = 1.0) -> tuple[Tensor, Tensor]:
    """The fire phase of IF-SR (Prop. 1): spikes [ticks, ...] without input, and what is left of v."""
    train = []
    for _ in range(ticks):
        s = (v >= threshold).to(v)
        v = v - reset * s
        train.append(s)
    return torch.stack(train), v


def stream(x: Tensor, flush: int, threshold: float = 0.5, reset: float = 1.0) -> Tensor:
    """Spikes [D + flush, ...] of an IF-SR that fires while x[D, ...] still arrives: not Prop. 1."""
    v = torch.zeros_like(x[0])
    train = []
    for x_d in [*x, *[torch.zeros_like(v)] * flush]:
        v = v + x_d
        s = (v >= threshold).to(v)
        v = v - reset * s
        train.append(s)
    return torch.stack(train)


class SFA(nn.Module):
    """Activation ``SFA(u; D) / norm``; norm is D unless given."""

    def __init__(self, max_count: int = 4, rounding: Rounding = "floor", norm: float | None = None) -> None:
        super().__init__()
        self.max_count = max_count
        self.rounding: Rounding = rounding
        self.norm = float(max_count) if norm is None else norm

    def count(self, u: Tensor) -> Tensor:
        """The integer counts, in the type of *u*."""
        return sfa(u, self.max_count, self.rounding)

    def forward(self, u: Tensor) -> Tensor:
        return self.count(u) / self.norm


class Counting(nn.Module):
    """A network whose spiking layers are its `SFA` modules."""

    def counts(self, x: Tensor) -> list[Tensor]:
        """Integer counts of all spiking layers, in order of execution."""
        found: list[Tensor] = []

        def note(neuron: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(neuron, SFA)
            found.append(neuron.count(args[0]))

        hooks = [m.register_forward_hook(note) for m in self.modules() if isinstance(m, SFA)]
        try:
            self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return found


# --- Attention of counts (1.2, 1.5) ---


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, C, N] -> [B, heads, N, C / heads]; a head is a run of neighboring channels."""
    B, C, N = x.shape
    return x.reshape(B, heads, C // heads, N).transpose(2, 3)


def join_heads(x: Tensor) -> Tensor:
    """[B, heads, N, d] -> [B, heads * d, N]."""
    B, heads, N, d = x.shape
    return x.transpose(2, 3).reshape(B, heads * d, N)


def sdsa(q: Tensor, k: Tensor, v: Tensor, scale: float, heads: int = HEADS) -> Tensor:
    """``(q k^T) v * scale`` per head, without softmax; q, k [B, C, N], v [B, C_v, N] -> [B, C_v, N]."""
    Q, K, V = (split_heads(x, heads) for x in (q, k, v))
    return join_heads((Q @ K.transpose(2, 3)) @ V * scale)


def sdsa_linear(q: Tensor, k: Tensor, v: Tensor, scale: float, heads: int = HEADS) -> Tensor:
    """``q (k^T v) * scale``: `sdsa` in the other order."""
    Q, K, V = (split_heads(x, heads) for x in (q, k, v))
    return join_heads(Q @ (K.transpose(2, 3) @ V) * scale)


def sdsa_phases(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head by spikes: trains q, k [D, N, dk] and v [D, N, dv] -> sums [N, dv] (phases K, V, Q)."""
    _, N, dk = k.shape
    dv = v.shape[2]
    C = k.new_zeros(N, dk)
    for d, n, i in k.nonzero().tolist():
        C[n, i] += k[d, n, i]
    KV = k.new_zeros(dk, dv)
    for _, n, j in v.nonzero().tolist():
        KV[:, j] += C[n, :]
    out = k.new_zeros(N, dv)
    for _, n, i in q.nonzero().tolist():
        out[n, :] += KV[i, :]
    return out


# --- E-SpikeFormer, Base (1.2) ---


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


# --- E-SpikeFormer, Large (1.2) ---


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


# --- V1 and V2: binary spikes, attention (1.2) ---


def lif(x: Tensor, threshold: float = 1.0, tau: float = 2.0, v_reset: float = 0.0) -> Tensor:
    """Spikes of [T, ...]: ``H = V + (X - (V - Vr)) / tau; S = [H >= Vth]; V = H (1 - S) + Vr S``."""
    v = torch.full_like(x[0], v_reset)
    train = []
    for x_t in x:
        h = v + (x_t - (v - v_reset)) / tau
        s = (h >= threshold).to(x)
        v = h * (1 - s) + v_reset * s
        train.append(s)
    return torch.stack(train)


def v1_attention(q: Tensor, k: Tensor, v: Tensor, threshold: float = 0.5, tau: float = 2.0) -> Tensor:
    """Binary q, k, v [T, B, C, N] -> spikes: ``q (.) LIF(sum_tokens(k (.) v))``, the sum per channel."""
    mask = lif((k * v).sum(3, keepdim=True), threshold, tau)
    return q * mask


def v2_attention(q: Tensor, k: Tensor, v: Tensor, scale: float = 0.125, heads: int = HEADS) -> Tensor:
    """Binary q, k, v [T, B, C, N] -> ``q (k^T v) * scale`` per timestep and head, before the neuron."""
    return torch.stack([sdsa_linear(*qkv, scale, heads) for qkv in zip(q, k, v, strict=True)])


def v2_attention_spikes(q: Tensor, k: Tensor, v: Tensor, tau: float = 2.0, heads: int = HEADS) -> Tensor:
    """`v2_attention` and its neuron, a `lif` of threshold 0.5."""
    return lif(v2_attention(q, k, v, heads=heads), 0.5, tau)


# --- V2: RepConv (1.2) ---


def affine(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and offset per channel of *bn* in evaluation."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    g = bn.weight / (bn.running_var + bn.eps).sqrt()
    return g, bn.bias - g * bn.running_mean


class RepConv(nn.Module):
    """1x1, BN, pad 1 with the BN's image of zero, dw 3x3 without padding, 1x1, BN; no biases."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.p1 = nn.Conv2d(before, before, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.d = nn.Conv2d(before, before, 3, groups=before, bias=False)
        self.p2 = nn.Conv2d(before, after, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        _, zero = affine(self.bn1)
        padded = zero[None, :, None, None].expand(B, C, H + 2, W + 2).clone()
        padded[:, :, 1:-1, 1:-1] = self.bn1(self.p1(x))
        return self.bn2(self.p2(self.d(padded)))


def repconv_folded(module: RepConv) -> tuple[Tensor, Tensor]:
    """Weight [after, before, 3, 3] and bias of the one zero-padded convolution that equals *module*.

    ``K = g2 P2 (D (.) (g1 P1))``; the bias is the offset of the first BN, carried on, and that of the second.
    """
    g1, b1 = affine(module.bn1)
    g2, b2 = affine(module.bn2)
    P1 = g1[:, None] * module.p1.weight[:, :, 0, 0]  # [middle, before]
    P2 = g2[:, None] * module.p2.weight[:, :, 0, 0]  # [after, middle]
    D = module.d.weight[:, 0]  # [middle, 3, 3]
    K = torch.einsum("om,mhw,mi->oihw", P2, D, P1)
    return K, P2 @ (D.sum((1, 2)) * b1) + b2


def repconv_dense(x: Tensor, module: RepConv) -> Tensor:
    """*module* as one convolution."""
    return F.conv2d(x, *repconv_folded(module), padding=1)
