"""Surrogate gradients: an exact step forward, a smooth derivative backward.

The step is ``u >= theta`` (or ``u > theta`` if strict) on the numbers themselves. ``(u - theta) >= 0``
is another function wherever the difference rounds to zero: in arithmetic that flushes subnormal numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snncc.errors import BadInput


class _Step(torch.autograd.Function):
    """``u >= theta`` as 0/1 in the type of u; backward multiplies by the surrogate's derivative."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, theta: float | Tensor, strict: bool, surrogate: Surrogate) -> Tensor:
        ctx.surrogate = surrogate
        if isinstance(theta, Tensor):
            ctx.save_for_backward(u, theta)
        else:
            ctx.save_for_backward(u)
            ctx.theta = theta
        return (u > theta if strict else u >= theta).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        u, theta = ctx.saved_tensors if len(ctx.saved_tensors) == 2 else (ctx.saved_tensors[0], ctx.theta)
        inner = gradients[0] * ctx.surrogate.derivative(u - theta)
        outer = -inner.sum_to_size(theta.shape) if ctx.needs_input_grad[1] else None
        return inner, outer, None, None


@dataclass(frozen=True)
class Surrogate:
    """A step function with a derivative of one's choice; subclasses define `derivative`."""

    def derivative(self, distance: Tensor) -> Tensor:
        """The derivative that stands for the step's, at *distance* = u - theta."""
        raise NotImplementedError

    def __call__(self, u: Tensor, theta: float | Tensor, *, strict: bool = False) -> Tensor:
        """1 where u >= theta (u > theta if *strict*), else 0; theta broadcasts against u."""
        spikes: Tensor = _Step.apply(u, theta, strict, self)  # type: ignore[no-untyped-call]
        return spikes


@dataclass(frozen=True)
class ATan(Surrogate):
    """``alpha / 2 / (1 + (pi/2 * alpha * (u - theta))^2)`` (Fang et al., PLIF)."""

    alpha: float = 2.0

    def __post_init__(self) -> None:
        _positive(self, alpha=self.alpha)

    def derivative(self, distance: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * distance) ** 2)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """``alpha * s * (1 - s)`` with ``s = sigmoid(alpha * (u - theta))``."""

    alpha: float = 4.0

    def __post_init__(self) -> None:
        _positive(self, alpha=self.alpha)

    def derivative(self, distance: Tensor) -> Tensor:
        s = torch.sigmoid(self.alpha * distance)
        return self.alpha * s * (1 - s)


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """``1 / width`` where ``|u - theta| < width / 2``, else 0 (STBP)."""

    width: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, width=self.width)

    def derivative(self, distance: Tensor) -> Tensor:
        return (distance.abs() < self.width / 2).to(distance.dtype) / self.width


def _positive(surrogate: Surrogate, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise BadInput(f"{type(surrogate).__name__}: {name} must be positive and finite, not {value}")
