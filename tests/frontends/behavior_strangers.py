"""Modules outside of the one neuron's family: dynamics, noise, neighbors, memory of other kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Rng = np.random.Generator


class Stranger(nn.Module):
    """One number of its own, a potential, and whatever a stranger keeps beside."""

    u: Any

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.k = float(rng.uniform(0.1, 0.9))
        self.size = float(rng.choice([1.0, 0.1, 0.01]))
        self.v: Any = 0.0
        self.w: Any = 0.0
        self.t = 0

    def fired(self, x: Tensor, threshold: Any = 1.0) -> Tensor:
        """A leaky step with a soft reset."""
        self.v = self.k * self.v + x
        s = (self.v >= threshold).float()
        self.v = self.v - s
        return s


class AdaptiveThreshold(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        s = self.fired(x, 1 + self.size * self.w)
        self.w = 0.9 * self.w + s
        return s


class AdaptiveCurrent(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        s = self.fired(x - self.size * self.w)
        self.w = 0.8 * self.w + s
        return s


class Noisy(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return self.fired(x + self.size * torch.randn_like(x))


class CountedNoise(Stranger):
    """Noise from a generator outside of PyTorch, another in every call."""

    made = np.random.default_rng(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fired(x + self.size * torch.from_numpy(self.made.normal(size=tuple(x.shape))))


class Quadratic(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        v = self.v + self.size * self.v * (self.v - 0.5) + x
        s = (v >= 1).float()
        self.v = torch.where(s > 0, 0 * v, v.clamp(-50, 50))
        return s


class Exponential(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        v = self.k * self.v + x + self.size * torch.exp((self.v + 0 * x - 1).clamp(max=5))
        s = (v >= 1).float()
        self.v = v * (1 - s)
        return s


class Saturating(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        v = torch.tanh(self.k * torch.as_tensor(self.v)) / self.k + x
        s = (v >= 1).float()
        self.v = v * (1 - s)
        return s


class NormalizedOverNeurons(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return self.fired((x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1))


class BatchMates(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return self.fired(x + self.size * x.mean(dim=0, keepdim=True))


class WinnerTakesAll(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        s = self.fired(x)
        return s * (x == x.amax(dim=-1, keepdim=True))


class SlidingThreshold(Stranger):
    """The threshold rises with the timestep."""

    def forward(self, x: Tensor) -> Tensor:
        self.t += 1
        return self.fired(x, 1 + self.size * self.t)


class LateChange(Stranger):
    """Does something else from the tenth timestep on."""

    def forward(self, x: Tensor) -> Tensor:
        self.t += 1
        return self.fired(x, 1.0 if self.t < 10 else 1 + self.size)


class Ternary(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        self.v = self.k * self.v + x
        s = (self.v >= 1).float() - (self.v <= -1).float()
        self.v = self.v - s
        return s


class Negative(Stranger):
    """Oscillates: its leak is negative."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = -self.k * self.v + x
        s = (self.v >= 1).float()
        self.v = self.v * (1 - s)
        return s


class PartialReset(Stranger):
    """A spike takes a share of the potential."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = 0.9 * self.v + x
        s = (self.v >= 1).float()
        self.v = self.v * (1 - (1 - self.k) * s)
        return s


class Gated(Stranger):
    """Its leak depends on the input."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = torch.sigmoid(self.size * x) * self.v + x
        s = (self.v >= 1).float()
        self.v = self.v * (1 - s)
        return s


class Delayed(Stranger):
    """Sends what it fired in the timestep before."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.w + 0 * x
        self.w = self.fired(x)
        return out


class Limited(Stranger):
    """Fires three times and never again."""

    def forward(self, x: Tensor) -> Tensor:
        s = self.fired(x) * (self.w < 3 * torch.ones_like(x))
        self.w = self.w + s
        return s


class EverySecond(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        self.t += 1
        return self.fired(x) * (self.t % 2)


class IntegratesWhileResting(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        v = self.k * self.v + x
        s = ((v >= 1) & (torch.as_tensor(self.w) <= 0)).float()
        self.w = 2 * s + (self.w - 1) * (1 - s)
        self.v = v - s
        return s


class Hysteresis(Stranger):
    """Easier to excite after a spike."""

    def forward(self, x: Tensor) -> Tensor:
        s = self.fired(x, 1 - self.size * self.w)
        self.w = s
        return s


class TwoCurrents(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        self.w = (0.5 * self.w + x) if self.t else x
        self.u = (0.8 * self.u + x) if self.t else x
        self.t += 1
        return self.fired(self.w - self.size * self.u)


class Band(Stranger):
    """Fires between two thresholds only."""

    def forward(self, x: Tensor) -> Tensor:
        return ((x >= self.k) & (x < self.k + 100)).float()


class Absolute(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return (x.abs() >= self.k).float()


class Bounded(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, 6 * self.k)


class Leaky(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.size * x)


class Sigmoid(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x * self.k)


class Silent(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


class Constant(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * x + self.k


class Shrinks(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return self.fired(x)[..., :1]


class Pair(Stranger):
    def forward(self, x: Tensor) -> Any:
        return self.fired(x), self.v


class NotANumber(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.log(x) > self.k).float() / (x > -1)


STRANGERS: tuple[Callable[[Rng], nn.Module], ...] = (
    *(AdaptiveThreshold, AdaptiveCurrent, Noisy, CountedNoise, Quadratic, Exponential, Saturating),
    *(NormalizedOverNeurons, BatchMates, WinnerTakesAll, SlidingThreshold, LateChange, Ternary, Negative),
    *(PartialReset, Gated, Delayed, Limited, EverySecond, IntegratesWhileResting, Hysteresis, TwoCurrents),
    *(Band, Absolute, Bounded, Leaky, Sigmoid, Silent, Constant, Shrinks, Pair, NotANumber),
)
