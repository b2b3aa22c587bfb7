"""Razor SNN: temporal embeddings that weigh events and prune frames, and its neurons.

Written from the published equations alone, without looking at the code of snncc.
Time first: x [T, B, ...]; no authors' code is known.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

THRESHOLD = 0.4
EMBEDDINGS = 4

Leak = Literal["gate", "exponential"]


def gain(x: Tensor, B: Tensor, w: Tensor) -> Tensor:
    """``G = sum_e sigmoid((w (.) B) X)`` in (0, E) of one sample x [T, ...] -> [...]; B [E, T], w [E]."""
    X = x.flatten(1)
    maps = torch.sigmoid((w[:, None] * B) @ X)
    return maps.sum(0).reshape(x.shape[1:])


class Razored(NamedTuple):
    """One sample: gain G [...], weighed X^ [T, ...], scores S [T], mask m [T], pruned X~ [T, ...]."""

    gain: Tensor
    weighed: Tensor
    score: Tensor
    mask: Tensor
    pruned: Tensor


def razor(x: Tensor, B: Tensor, w: Tensor, threshold: float = THRESHOLD) -> Razored:
    """``X^[t] = G X[t]; S[t] = max X^[t]; m[t] = [S[t] >= threshold]; X~[t] = m[t] X^[t]`` of x [T, ...]."""
    G = gain(x, B, w)
    weighed = x * G
    score = weighed.flatten(1).amax(1)
    mask = (score >= threshold).to(x)
    pruned = torch.stack([m * frame for m, frame in zip(mask, weighed, strict=True)])
    return Razored(G, weighed, score, mask, pruned)


class Razor(nn.Module):
    """The module of one layer with planted embeddings and weights: x [T, B, ...] -> x [T, B, ...].

    Every sample for itself. In training mode the weighed input goes on, in evaluation the pruned one.
    *w* stands for ``softmax(conv-based module(X))``, whose shape is not known: one weight per embedding.
    """

    def __init__(self, B: Tensor, w: Tensor | None = None, threshold: float = THRESHOLD) -> None:
        super().__init__()
        E = len(B)
        self.B = nn.Parameter(B.clone())
        self.w: Tensor
        self.register_buffer("w", torch.full((E,), 1 / E, dtype=B.dtype) if w is None else w.clone())
        self.threshold = threshold
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        samples = [razor(x[:, b], self.B, self.w, self.threshold) for b in range(x.shape[1])]
        return torch.stack([s.weighed if self.training else s.pruned for s in samples], 1)

    def masks(self, x: Tensor) -> Tensor:
        """Which frames stay, [T, B]."""
        return torch.stack(
            [razor(x[:, b], self.B, self.w, self.threshold).mask for b in range(x.shape[1])], 1
        )


def keep_factor(spike: Tensor, tau: float, leak: Leak) -> Tensor:
    """What a step leaves of u: ``tau (1 - s)`` (``gate``) or the literal Eq. 4, ``tau exp(-s / tau)``."""
    if leak == "gate":
        return tau * (1 - spike)
    return torch.where(spike > 0, tau * math.exp(-1 / tau), tau)


def lif(a: Tensor, threshold: float = 0.3, tau: float = 0.3, leak: Leak = "gate") -> Tensor:
    """Spikes [T, ...] of ``u_t = u_{t-1} h(o_{t-1}) + a_t; o = [u >= threshold]``."""
    return neuron(a, threshold, tau, leak)[0]


def liaf(a: Tensor, threshold: float = 0.3, tau: float = 0.3, leak: Leak = "gate") -> Tensor:
    """`lif` that emits ``ReLU(u)``; its reset still uses the spike."""
    return neuron(a, threshold, tau, leak)[1].relu()


def neuron(a: Tensor, threshold: float, tau: float, leak: Leak) -> tuple[Tensor, Tensor]:
    """Spikes and potentials before the reset, [T, ...]."""
    u = torch.zeros_like(a[0])
    o = torch.zeros_like(a[0])
    spikes, before = [], []
    for a_t in a:
        u = u * keep_factor(o, tau, leak) + a_t
        o = (u >= threshold).to(a)
        spikes.append(o)
        before.append(u)
    return torch.stack(spikes), torch.stack(before)
