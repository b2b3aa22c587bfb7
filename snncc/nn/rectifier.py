"""The membrane potential rectifier of InfLoR-SNN."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rectified(u: Tensor) -> Tensor:
    """phi(u): potentials drawn toward the spikes that they become, |phi(u) - s| <= |u - s|.

    ::

        phi(u) = 1 - (1 - u)^(1/3)                             u < 0
                 1/2 + tanh(3*(u - 1/2)) / (2*tanh(3/2))       0 <= u <= 1
                 u^(1/3)                                       u > 1

    for s = [u >= 1/2]. Continuous and strictly monotone; its fixed points are 0, 1/2 and 1. (Guo et al.,
    "Reducing information loss for spiking neural networks", ECCV 2022; the constants are those of the
    authors' code.)
    """
    # clamped, as the gradient of a root at 0 is infinite, and infinity times the 0 of the other branch is NaN
    inside = 0.5 + torch.tanh(3 * (u.clamp(0, 1) - 0.5)) / (2 * math.tanh(1.5))
    above, below = u.clamp(min=1) ** (1 / 3), 1 - (1 - u).clamp(min=1) ** (1 / 3)
    return torch.where(u > 1, above, torch.where(u < 0, below, inside))
