"""Spike firing approximation and attention of counts (1.1, 1.2, 1.5).

Written from the published equations alone, without looking at the code of snncc.
Evaluation mode; no surrogate gradients.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Rounding = Literal["floor", "even"]

HEADS = 8


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
