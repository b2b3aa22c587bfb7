"""InfLoR: the soft-reset neuron SRIF, its membrane potential rectifier, tdBN, and the hard-reset IF.

Written from the published equations alone, without looking at the code of snncc.
Trains have time first: [T, ...].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

THRESHOLD = 0.5
# The paper's example: inputs in units of the threshold, 3 spikes of SRIF and 4 of the hard-reset IF.
EXAMPLE = (1.5, 1.2, 1.5, 0.9, 1.4)
EXAMPLE_SRIF = (1, 0, 1, 1, 0)
EXAMPLE_IF = (1, 1, 1, 0, 1)


class Trace(NamedTuple):
    """What a neuron did: spikes o, potentials before the reset H, and after it u; each [T, ...]."""

    spikes: Tensor
    before: Tensor
    after: Tensor


def example() -> Tensor:
    """The input of the paper's example, [5]."""
    return torch.tensor(EXAMPLE, dtype=torch.float64) * THRESHOLD


def rectify(s: Tensor) -> Tensor:
    """The rectifier phi: ``s^(1/3)`` above 1, ``1 - (1 - s)^(1/3)`` below 0, a scaled tanh between."""
    above = s.clamp(min=1) ** (1 / 3)
    below = 1 - (1 - s.clamp(max=0)) ** (1 / 3)
    middle = 0.5 + torch.tanh(3 * (s - 0.5)) / (2 * torch.tanh(torch.tensor(1.5, dtype=s.dtype)))
    return torch.where(s > 1, above, torch.where(s < 0, below, middle))


def srif(
    c: Tensor,
    rectified: bool = False,
    threshold: float = THRESHOLD,
    reset: float = 1.0,
    leak: float = 1.0,
    v0: float = 0.0,
    strict: bool = False,
) -> Trace:
    """``H = leak u + c; o = [phi(H) >= threshold]; u = H - reset o``; no lower bound of u.

    The reset takes H, not phi(H). *strict* fires on ``>``: the authors' code, where the paper's choice
    at equality is lost. *leak* is 1 in the paper.
    """
    u = torch.full_like(c[0], v0)
    spikes, before, after = [], [], []
    for c_t in c:
        h = leak * u + c_t
        seen = rectify(h) if rectified else h
        o = (seen > threshold if strict else seen >= threshold).to(c)
        u = h - reset * o
        spikes.append(o)
        before.append(h)
        after.append(u)
    return Trace(torch.stack(spikes), torch.stack(before), torch.stack(after))


def hard_if(c: Tensor, threshold: float = THRESHOLD, v_reset: float = 0.0, strict: bool = False) -> Trace:
    """``H = u + c; o = [H >= threshold]; u = v_reset where o, else H``."""
    u = torch.zeros_like(c[0])
    spikes, before, after = [], [], []
    for c_t in c:
        h = u + c_t
        o = (h > threshold if strict else h >= threshold).to(c)
        u = h * (1 - o) + v_reset * o
        spikes.append(o)
        before.append(h)
        after.append(u)
    return Trace(torch.stack(spikes), torch.stack(before), torch.stack(after))


def accumulate(c: Tensor) -> Tensor:
    """The output layer: membrane potentials [T, ...] of neurons that never fire."""
    return c.cumsum(0)


def quantization_error(potential: Tensor, spikes: Tensor) -> Tensor:
    """Mean of ``(u - o)^2``."""
    return ((potential - spikes) ** 2).mean()


class Norm(NamedTuple):
    """tdBN in evaluation; one number per channel, but *alpha* and *threshold* for the network."""

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    var: Tensor
    alpha: float = 1.0
    threshold: float = THRESHOLD
    eps: float = 1e-5


def tdbn(x: Tensor, norm: Norm) -> Tensor:
    """``gamma alpha Vth (x - mean) / sqrt(var + eps) + beta`` of x [T, B, C, H, W]."""
    g, b = tdbn_affine(norm)
    return x * g[:, None, None] + b[:, None, None]


def tdbn_affine(norm: Norm) -> tuple[Tensor, Tensor]:
    """Factor and offset per channel to which *norm* folds."""
    g = norm.gamma * norm.alpha * norm.threshold / (norm.var + norm.eps).sqrt()
    return g, norm.beta - g * norm.mean


def tdbn_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance per channel over T, B, H, W of x [T, B, C, H, W]."""
    mean = x.mean((0, 1, 3, 4))
    return mean, ((x - mean[:, None, None]) ** 2).mean((0, 1, 3, 4))
