"""Encoders: from values to trains [T, B, ...] that a spiking network reads.

Random ones own their generator: they do not touch torch's global one, and the same seed gives the same
spikes on every device and for every floating type. All raise `BadInput` for NaN and infinity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from snncc.errors import BadInput


class DirectEncoder(nn.Module):
    """The input repeated: [B, ...] becomes [T, B, ...], a view in which every timestep is the same."""

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        self.timesteps = _timesteps(self, timesteps)

    def forward(self, x: Tensor) -> Tensor:
        _check_finite(self, x)
        return x.unsqueeze(0).expand(self.timesteps, *x.shape)

    def extra_repr(self) -> str:
        return f"timesteps={self.timesteps}"


class RateEncoder(nn.Module):
    """Independent spikes of probability ``clip(x, 0, 1)`` in every timestep.

    Successive calls draw on from one sequence; `rewind` starts it again from *seed*. (`snncc.nn.reset`
    leaves it alone: otherwise every batch of a training would see the same noise.) With clip=False, an
    input outside [0, 1] raises `BadInput`.
    """

    def __init__(self, timesteps: int, seed: int = 0, *, clip: bool = True) -> None:
        super().__init__()
        self.timesteps = _timesteps(self, timesteps)
        self.seed = seed
        self.clip = clip
        self.generator = torch.Generator()
        self.rewind()

    def rewind(self) -> None:
        """Start the sequence of random numbers again."""
        self.generator.manual_seed(self.seed)

    def forward(self, x: Tensor) -> Tensor:
        _check_finite(self, x)
        if not self.clip:
            _check_unit(self, x)
        # drawn in float64 on the CPU, whatever x is: the spikes depend on the seed alone
        noise = torch.rand((self.timesteps, *x.shape), generator=self.generator, dtype=torch.float64)
        return (noise.to(x.device) < x).to(x.dtype)

    def extra_repr(self) -> str:
        return f"timesteps={self.timesteps}, seed={self.seed}"


class LatencyEncoder(nn.Module):
    """At most one spike per input in [0, 1], the earlier the larger it is; zero never spikes.

    The spike falls into timestep::

        floor((T - 1)*(1 - x) + 0.5)                  tau None: linear
        floor(tau*log(x / (x - threshold)))           else: when an RC neuron with time constant tau,
                                                      in timesteps, charged by x crosses the threshold

    In the second form inputs of at most *threshold*, and those that would spike after T, never spike.
    An input outside [0, 1] raises `BadInput`.
    """

    def __init__(self, timesteps: int, *, tau: float | None = None, threshold: float = 0.01) -> None:
        super().__init__()
        self.timesteps = _timesteps(self, timesteps)
        if tau is not None and not (math.isfinite(tau) and tau > 0):
            raise BadInput(f"LatencyEncoder: tau must be positive and finite, not {tau}")
        if not 0 < threshold < 1:
            raise BadInput(f"LatencyEncoder: threshold must be in (0, 1), not {threshold}")
        self.tau = tau
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        _check_finite(self, x)
        _check_unit(self, x)
        if self.tau is None:
            fires = x > 0
            when = torch.floor((self.timesteps - 1) * (1 - x) + 0.5)
        else:
            fires = x > self.threshold
            charged = torch.where(fires, x, torch.ones_like(x))
            when = torch.floor(self.tau * torch.log(charged / (charged - self.threshold)))
        steps = torch.arange(self.timesteps, device=x.device, dtype=x.dtype)
        return (fires & (when == steps.reshape(-1, *[1] * x.ndim))).to(x.dtype)

    def extra_repr(self) -> str:
        curve = "linear" if self.tau is None else f"tau={self.tau:g}, threshold={self.threshold:g}"
        return f"timesteps={self.timesteps}, {curve}"


class DeltaEncoder(nn.Module):
    """Events of a sequence, as an event camera makes them: [T, B, C, ...] becomes [T, B, 2*C, ...].

    Every input has a reference, at first its value at t = 0. In each timestep it sends at most one
    event: ON (channels 0..C-1) if ``x - reference >= threshold``, OFF (channels C..2*C-1) if
    ``reference - x >= threshold``; the reference then moves by *threshold* towards x. With off=False
    only ON events leave, in C channels. *threshold* is in units of x.
    """

    def __init__(self, threshold: float, *, off: bool = True) -> None:
        super().__init__()
        if not (math.isfinite(threshold) and threshold > 0):
            raise BadInput(f"DeltaEncoder: threshold must be positive and finite, not {threshold}")
        self.threshold = threshold
        self.off = off

    def forward(self, x: Tensor) -> Tensor:
        _check_finite(self, x)
        if x.ndim < 3 or not len(x):
            raise BadInput(
                f"DeltaEncoder: the input must be a sequence [T, B, C, ...], not of shape {tuple(x.shape)}"
            )
        reference, events = x[0], []
        for x_t in x.unbind(0):
            on = (x_t - reference >= self.threshold).to(x.dtype)
            off = (reference - x_t >= self.threshold).to(x.dtype)
            reference = reference + self.threshold * (on - off)
            events.append(torch.cat([on, off], dim=1) if self.off else on)
        return torch.stack(events)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}" + ", off=False" * (not self.off)


def _timesteps(module: nn.Module, timesteps: object) -> int:
    if isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1:
        raise BadInput(f"{type(module).__name__}: timesteps must be at least 1, not {timesteps!r}")
    return timesteps


def _check_finite(module: nn.Module, x: Tensor) -> None:
    name = type(module).__name__
    if not x.is_floating_point():
        raise BadInput(f"{name}: the input must be floating point, not {x.dtype}", hint="x.float()")
    if wrong := int((~torch.isfinite(x)).sum()):
        raise BadInput(f"{name}: {wrong} of {x.numel()} inputs are NaN or infinite")


def _check_unit(module: nn.Module, x: Tensor) -> None:
    outside = int(((x < 0) | (x > 1)).sum())
    if outside:
        raise BadInput(
            f"{type(module).__name__}: {outside} of {x.numel()} inputs are outside [0, 1] "
            f"(from {float(x.min()):g} to {float(x.max()):g})",
            hint="scale the input to [0, 1] first",
        )
