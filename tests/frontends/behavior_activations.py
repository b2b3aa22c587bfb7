"""Activations without a state, as people write them: members of the one neuron's family, all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rng = np.random.Generator


class Step(nn.Module):
    """A comparison, written in one of many ways."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.th = float(rng.uniform(-0.5, 1.5))
        ways: tuple[Callable[[Tensor], Tensor], ...] = (
            lambda x: (x >= self.th).float(),
            lambda x: (x > self.th).type_as(x),
            lambda x: torch.heaviside(x - self.th, torch.tensor(0.0)),
            lambda x: torch.heaviside(x - self.th, torch.tensor(1.0)),
            lambda x: torch.where(x < self.th, torch.zeros_like(x), torch.ones_like(x)),
            lambda x: 1 - torch.le(x, self.th).to(x.dtype),
            lambda x: torch.ceil(torch.clamp(x - self.th, 0, 1)),
            lambda x: (torch.sigmoid(x - self.th) >= 0.5).double(),
        )
        self.way = ways[int(rng.integers(len(ways)))]

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x)


class Rounded(torch.autograd.Function):
    """Integers of a clipped input, with a gradient where it was not clipped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float, shift: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.most = most
        clipped = torch.clamp(x, 0, most)
        return torch.round(clipped) if shift < 0 else torch.floor(clipped + shift)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ((x > 0) & (x < ctx.most)), None, None


class Integers(nn.Module):
    """Clamp and round, half to even or half up, or clamp and floor."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.most, self.shift = int(rng.integers(2, 12)), float(rng.choice([-1.0, 0.5, 0.0]))
        self.norm = float(rng.choice([1.0, self.most]))

    def forward(self, x: Tensor) -> Tensor:
        counts: Tensor = Rounded.apply(x, self.most, self.shift)  # type: ignore[no-untyped-call]
        return counts / self.norm


class Staircase(nn.Module):
    """``lam*clip(floor(x*L/lam + 0.5)/L, 0, 1)`` with a learned height."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.lam = nn.Parameter(torch.tensor(float(rng.uniform(0.5, 4))))
        self.L = int(rng.choice([2, 4, 8, 16]))

    def forward(self, x: Tensor) -> Tensor:
        return self.lam * torch.clamp(torch.floor(x * self.L / self.lam + 0.5) / self.L, 0, 1)


class Relu6Rounded(nn.Module):
    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.share = float(rng.choice([0.5, 1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(F.relu6(x * self.share))


class Uneven(nn.Module):
    """A sum of comparisons with thresholds of their own."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        steps = np.sort(rng.uniform(-1, 4, int(rng.integers(2, 6))))
        self.register_buffer("steps", torch.tensor(steps).float())

    def forward(self, x: Tensor) -> Tensor:
        return sum((x >= s).float() for s in self.get_buffer("steps"))


class PowersOfTwo(nn.Module):
    """0, 1, 2, 4 and so on: two steps at one height."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.most = int(rng.integers(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        exponent = torch.floor(torch.log2(x.clamp(min=0.5))).clamp(max=self.most)
        return (x >= 1) * torch.pow(2.0, exponent)


class Endless(nn.Module):
    """A staircase without an end."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.step = float(rng.uniform(0.2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.floor(x / self.step)) * self.step


class Rectified(nn.Module):
    """No spikes at all: what is above a threshold that may be learned."""

    shape = (4, 3)

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(rng.normal(size=(4, 1))).float())

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > self.bias, x - self.bias, 0 * x)


class ThresholdMap(nn.Module):
    """A threshold for each channel of [C, H, W]."""

    shape = (4, 2, 3)

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.theta = torch.tensor(rng.uniform(0.1, 1, 4)).float()

    def forward(self, x: Tensor) -> Tensor:
        return (x >= self.theta.view(1, -1, 1, 1)).float()


ACTIVATIONS: tuple[Callable[[Rng], nn.Module], ...] = (
    *(Step, Integers, Staircase, Relu6Rounded, Uneven, PowersOfTwo, Endless, Rectified, ThresholdMap),
)
