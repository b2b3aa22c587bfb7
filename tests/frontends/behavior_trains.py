"""More members of the family: numbers of each channel or neuron, reals that are sent, whole trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.frontends.behavior_members import Rng, fire


class PerChannel(nn.Module):
    """A threshold and a leak for each channel of [C, H, W]."""

    shape = (3, 2, 2)

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(rng.uniform(0.4, 1.2, (1, 3, 1, 1))).float())
        self.leak = nn.Parameter(torch.tensor(rng.uniform(0.3, 0.9, (3, 1, 1))).float())
        self.v: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.leak * self.v + x
        s = fire(self.v - self.theta)
        self.v = self.v - s * self.theta
        return s


class PerNeuron(nn.Module):
    """A leak for each neuron of [N], squashed; state in a buffer that is made late."""

    shape = (5,)
    v: Tensor | None

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(rng.normal(size=5)).float())
        self.register_buffer("v", None)

    def forward(self, x: Tensor) -> Tensor:
        v: Any = torch.zeros_like(x) if self.v is None else self.v
        v = v * torch.sigmoid(self.logit) + x
        s = (v >= 0.8).float()
        self.v = v * (s == 0)
        return s


class Analog(nn.Module):
    """Sends its rectified potential; spikes only reset it."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.decay, self.theta = float(rng.uniform(0.2, 0.9)), float(rng.uniform(0.3, 1.2))
        self.h: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        u = self.decay * self.h + x
        self.h = u * (u < self.theta)
        return torch.relu(u)


class Readout(nn.Module):
    """A leaky integrator that sends its potential."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.leak = float(rng.uniform(0.5, 1))
        self.share = bool(rng.random() < 0.5)
        self.m: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.m = self.leak * self.m + ((1.01 - self.leak) * x if self.share else x)
        return self.m


class WholeTrain(nn.Module):
    """[T, B, ...] in one call, a loop over time, the result stacked."""

    time_axis = 0

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.decay, self.vth = float(rng.uniform(0.2, 0.9)), float(rng.uniform(0.5, 1.2))

    def forward(self, x: Tensor) -> Tensor:
        steps, batch = x.shape[:2]
        flat = x.reshape(steps, batch, -1)
        mem = torch.zeros_like(flat[0])
        out = []
        for t in range(steps):
            mem = self.decay * mem + flat[t]
            spike = fire(mem - self.vth)
            mem = (1 - spike) * mem
            out.append(spike)
        return torch.stack(out).view_as(x)


class BatchFirst(nn.Module):
    """[B, T, ...] in one call, written step by step into a tensor of zeros."""

    time_axis = 1

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.tau, self.thresh = float(rng.uniform(0.2, 0.9)), float(rng.uniform(0.5, 1.2))

    def forward(self, x: Tensor) -> Tensor:
        u = torch.zeros(x.shape[:1] + x.shape[2:], device=x.device)
        out = torch.zeros(x.shape, device=x.device)
        for step in range(x.shape[1]):
            u = self.tau * u * (1 - out[:, max(step - 1, 0)]) + x[:, step]
            out[:, step] = (u > self.thresh).float()
        return out


TRAINS: tuple[Callable[[Rng], nn.Module], ...] = (
    *(PerChannel, PerNeuron, Analog, Readout, WholeTrain, BatchFirst),
)
