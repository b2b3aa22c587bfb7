"""Neurons with a state as people write them: all of them are members of the one neuron's family."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Rng = np.random.Generator


class Heaviside(torch.autograd.Function):
    """A spike with a rectangular surrogate, in float32 whatever comes in."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.width = width
        return (x >= 0).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() < ctx.width / 2).float() / ctx.width, None


def fire(x: Tensor) -> Tensor:
    spikes: Tensor = Heaviside.apply(x, 1.0)  # type: ignore[no-untyped-call]
    return spikes


class MemTimesBeta(nn.Module):
    """The state as an attribute, made at the first call; the reset detached."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.beta, self.threshold = float(rng.uniform(0.2, 0.99)), float(rng.uniform(0.3, 2))
        self.hard = bool(rng.random() < 0.5)
        self.mem: Tensor | None = None

    def reset(self) -> None:
        self.mem = None

    def forward(self, x: Tensor) -> Tensor:
        if self.mem is None:
            self.mem = torch.zeros_like(x)
        mem = self.mem * self.beta + x
        spikes = fire(mem - self.threshold)
        gone = spikes.detach()
        self.mem = mem * (1 - gone) if self.hard else mem - gone * self.threshold
        return spikes


class Buffers(nn.Module):
    """The state in a buffer, changed in place; a threshold, a leak and a reset value as buffers."""

    v: Tensor
    threshold: Tensor
    leak: Tensor
    rest: Tensor

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.register_buffer("v", torch.zeros(1))
        self.register_buffer("threshold", torch.tensor(float(rng.uniform(0.5, 1.5))))
        self.register_buffer("leak", torch.tensor(float(rng.uniform(0.1, 1))))
        self.register_buffer("rest", torch.tensor(float(rng.uniform(-0.4, 0.2))))

    def reset(self) -> None:
        self.v = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        v = self.v.expand_as(x).clone()
        v.mul_(self.leak).add_(x)
        spikes = v.gt(self.threshold)
        v[spikes] = self.rest
        self.v = v
        return spikes.to(x.dtype)


class TauDecaysInput(nn.Module):
    """``v + (x - (v - v_reset))/tau``, from v_reset on."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.tau, self.v_threshold = float(rng.uniform(1.1, 5)), float(rng.uniform(0.4, 1.5))
        self.v_reset = float(rng.choice([0.0, -0.25, 0.1]))
        self.soft = bool(rng.random() < 0.3)
        self.v: Any = self.v_reset

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + (x - (self.v - self.v_reset)) / self.tau
        spike = torch.heaviside(self.v - self.v_threshold, torch.ones((), dtype=self.v.dtype))
        self.v = (
            self.v - spike * self.v_threshold if self.soft else (1.0 - spike) * self.v + spike * self.v_reset
        )
        return spike


class TauKeepsInput(nn.Module):
    """``v - (v - v_reset)/tau + x``, starting at 0 although it rests elsewhere."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.tau, self.v_reset = float(rng.uniform(1.5, 8)), float(rng.uniform(-0.5, 0.3))
        self.state: dict[str, Any] = {"v": 0.0}

    def forward(self, x: Tensor) -> Tensor:
        v = self.state["v"]
        v = v - (v - self.v_reset) / self.tau + x
        out = (v >= 1.0).to(x)
        self.state["v"] = torch.where(out > 0, torch.full_like(v, self.v_reset), v)
        return out


class Plif(nn.Module):
    """A learned leak behind a sigmoid."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(float(rng.normal())))
        self.v: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + (x - self.v) * self.w.sigmoid()
        s = fire(self.v - 1.0)
        self.v = self.v * (1.0 - s)
        return s


class ExponentialDecay(nn.Module):
    """A decay of a time constant, the input weighed with what is missing to 1."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.dt, self.tau_m = 1.0, float(rng.uniform(2, 20))
        self.alpha = math.exp(-self.dt / self.tau_m)
        self.vth = float(rng.uniform(0.1, 0.6))
        self.membrane = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        self.membrane = self.alpha * self.membrane + (1 - self.alpha) * x
        z = (self.membrane > self.vth).float()
        self.membrane = self.membrane - z * self.vth
        return z


class IntegrateFirst(nn.Module):
    """The leak acts on the input, too."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.k, self.theta = float(rng.uniform(0.3, 0.95)), float(rng.uniform(0.4, 1.2))
        self.u: Any = 0

    def forward(self, x: Tensor) -> Tensor:
        self.u = self.k * (self.u + x)
        s = torch.relu(torch.sign(self.u - self.theta))
        self.u = torch.where(s.bool(), torch.zeros_like(self.u), self.u)
        return s


class ResetNext(nn.Module):
    """The reset of a spike comes with the next timestep: by subtraction, or to zero with the input."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(float(rng.uniform(0.5, 0.99))))
        self.threshold = float(rng.uniform(0.5, 1.5))
        self.to_zero = bool(rng.random() < 0.5)
        self.mem = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        reset = (self.mem > self.threshold).float()
        base = self.beta * self.mem + x
        self.mem = base - reset * base if self.to_zero else base - reset * self.threshold
        return (self.mem > self.threshold).float()


class ResetBeforeInput(nn.Module):
    """The old potential is gated by the old spike, then the input comes: ``mem*decay*(1 - spike) + x``."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.decay, self.thresh = float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.3, 1))
        self.mem: Any = 0.0
        self.spike: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.mem = self.mem * self.decay * (1.0 - self.spike) + x
        self.spike = self.mem.gt(self.thresh).float()
        return self.spike


class Synaptic(nn.Module):
    """A current with a leak of its own."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.alpha, self.beta = float(rng.uniform(0.2, 0.9)), float(rng.uniform(0.2, 0.95))
        self.hard = bool(rng.random() < 0.5)
        self.syn: Any = 0.0
        self.mem: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.syn = self.alpha * self.syn + x
        self.mem = self.beta * self.mem + self.syn
        s = fire(self.mem - 1)
        self.mem = self.mem * (1 - s) if self.hard else self.mem - s
        return s


class Refractory(nn.Module):
    """Rests for some timesteps after a spike, deaf and still."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.period, self.beta = int(rng.integers(1, 5)), float(rng.uniform(0.3, 1))
        self.soft = bool(rng.random() < 0.5)
        self.v, self.wait = torch.zeros(()), torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        awake = self.wait == 0
        v = torch.where(awake, self.beta * self.v + x, self.v)
        s = (awake & (v >= 1)).float()
        self.wait = torch.where(s > 0, float(self.period) + 0 * v, (self.wait - 1).clamp(min=0))
        self.v = v - s if self.soft else v * (1 - s)
        return s


class Clamped(nn.Module):
    """The potential stays between two bounds."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.beta, self.low = float(rng.uniform(0.5, 1)), float(rng.choice([0.0, -0.5, -2.0]))
        self.high = float(rng.choice([2.0, 10.0, 1e9]))
        self.v = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        v = self.beta * self.v + x
        s = (v >= 1.0).float()
        self.v = (v - s * 1.0).clamp(self.low, self.high)
        return s


class ClampedReset(nn.Module):
    """A hard reset, and no potential below a bound."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.beta, self.low = float(rng.uniform(0.5, 1)), float(rng.choice([0.0, -1.0]))
        self.v = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        v = self.beta * self.v + x
        s = (v >= 0.75).float()
        self.v = torch.maximum(v.masked_fill(s > 0, 0.0), torch.tensor(self.low))
        return s


class Graded(nn.Module):
    """Several spikes at once, the rest carried on: floor or unbounded, divided by the count or not."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.most = int(rng.choice([2, 4, 8]))
        self.decay, self.norm = float(rng.choice([1.0, 0.5, 0.25])), bool(rng.random() < 0.5)
        self.shift = float(rng.choice([0.0, 0.5]))
        self.rest: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        u = self.rest + x
        n = torch.floor(u.clamp(0, self.most) + self.shift).clamp(max=self.most)
        self.rest = (u - n) * self.decay
        return n / self.most if self.norm else n


class ManySpikes(nn.Module):
    """As many spikes as fit into the potential."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.vt, self.beta = float(rng.uniform(0.3, 2)), float(rng.uniform(0.3, 1))
        self.v: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.beta * self.v + x
        n = torch.div(torch.relu(self.v), self.vt, rounding_mode="floor")
        self.v = self.v - n * self.vt
        return n


class Offset(nn.Module):
    """A constant current, an initial potential, an amplitude of its spikes, a reset amount of its own."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.current, self.start = float(rng.uniform(-0.1, 0.2)), float(rng.uniform(0, 0.5))
        self.leak, self.amount = float(rng.choice([1.0, 0.9, 0.5])), float(rng.uniform(0.5, 1.5))
        self.amplitude = float(rng.uniform(0.2, 3))
        self.p: list[Any] = [self.start]

    def forward(self, x: Tensor) -> Tensor:
        u = self.leak * self.p[-1] + x + self.current
        s = (u >= 1.0).double()
        self.p.append(u - s * self.amount)
        return s * self.amplitude


class NoReset(nn.Module):
    """Fires as long as it is above, and never resets."""

    def __init__(self, rng: Rng) -> None:
        super().__init__()
        self.leak = float(rng.uniform(0.2, 0.95))
        self.acc: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.acc = x + self.leak * self.acc
        return (self.acc > 0.5).float()


MEMBERS: tuple[Callable[[Rng], nn.Module], ...] = (
    *(
        MemTimesBeta,
        Buffers,
        TauDecaysInput,
        TauKeepsInput,
        Plif,
        ExponentialDecay,
        IntegrateFirst,
        ResetNext,
    ),
    *(ResetBeforeInput, Synaptic, Refractory, Clamped, ClampedReset, Graded, ManySpikes, Offset, NoReset),
)
