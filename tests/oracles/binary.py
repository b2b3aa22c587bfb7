"""Neurons and attention of the Spike-driven Transformers V1 and V2: binary spikes; RepConv (1.2).

Written from the published equations alone, without looking at the code of snncc.
Evaluation mode; no surrogate gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.oracles.counting import HEADS, sdsa_linear


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
