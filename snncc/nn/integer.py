"""Neurons that stand for many spikes in training: integer activations (SFA) and staircases (QCFS)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.neuron import Neuron, State, StepMode
from snncc.nn.values import Value, keep, learned, like, plain, without_defaults

Rounding = Literal["floor", "even"]


class _Count(torch.autograd.Function):
    """round(clip(u, 0, D)); the gradient is 1 where 0 <= u <= D, else 0."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, max_count: int, rounding: Rounding) -> Tensor:
        ctx.save_for_backward(u)
        ctx.max_count = max_count
        clipped = u.clamp(0, max_count)
        return torch.round(clipped) if rounding == "even" else torch.floor(clipped + 0.5)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (u,) = ctx.saved_tensors
        return gradients[0] * ((u >= 0) & (u <= ctx.max_count)), None, None


class _Floor(torch.autograd.Function):
    """floor(z), with the gradient passed straight through."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return torch.floor(z)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients


class SFA(Neuron):
    """Spike firing approximation: an integer activation 0..D that becomes D spikes on a chip.

    ::

        u   = h + x                      h = 0 before the first timestep, and always without carry
        n   = floor(clip(u, 0, D) + 0.5)      rounding "floor"
              round_half_even(clip(u, 0, D))           "even"
        out = n / norm                   norm None: D
        h   = (u - n)*decay              with carry

    D = *max_count* >= 1. The two rules differ on exact ties only. decay=1 is the multi-timestep SFA,
    decay=0.25 with norm=1 and detach_reset the I-LIF of SpikeYOLO. The gradient of n is 1 in [0, D], 0
    elsewhere. Potentials are in units of one spike. Raises `BadInput` for options that contradict each
    other. ("Scaling spike-driven Transformer", section on SFA and its proposition 1.)
    """

    norm: float
    decay: Value

    def __init__(
        self,
        max_count: int = 4,
        *,
        norm: float | None = None,
        rounding: Rounding = "floor",
        carry: bool = False,
        decay: Value = 1.0,
        detach_reset: bool = False,
        step_mode: StepMode = "s",
    ) -> None:
        super().__init__(
            states=("h",) if carry else (), values=("decay",) if carry else (), step_mode=step_mode
        )
        self.max_count = _whole("SFA: max_count", max_count)
        keep(self, "norm", max_count if norm is None else norm)
        if not self.norm > 0:
            raise BadInput(f"SFA: norm must be positive, not {self.norm:g}")
        if rounding not in get_args(Rounding):
            raise BadInput(f"SFA: rounding must be one of {get_args(Rounding)}, not {rounding!r}")
        keep(self, "decay", decay, low=0.0, high=1.0)
        if not carry and (isinstance(decay, Tensor) or decay != 1.0 or detach_reset):
            raise BadInput("SFA: decay and detach_reset have no effect without carry", hint="carry=True")
        self.rounding: Rounding = rounding
        self.carry = carry
        self.detach_reset = detach_reset

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        u = state[0] + x if self.carry else x
        n: Tensor = _Count.apply(u, self.max_count, self.rounding)  # type: ignore[no-untyped-call]
        out = n / self.norm
        if not self.carry:
            return out, ()
        return out, ((u - (n.detach() if self.detach_reset else n)) * like(self.decay, x),)

    def describe(self) -> dict[str, object]:
        return without_defaults(
            {
                "theta": 0.5,
                "rho": 1.0,
                "max_count": self.max_count,
                "reset": "subtract",
                "scale": 1 / self.norm,
                "stateless": not self.carry,
                "leak": plain(self.decay),
                "tie": "even" if self.rounding == "even" else "up",
            }
        )

    def extra_repr(self) -> str:
        own = f"max_count={self.max_count}, norm={self.norm:g}, rounding={self.rounding!r}"
        return ", ".join([own, *["carry"] * self.carry, super().extra_repr()])


class QCFS(Neuron):
    """Quantization clip-floor-shift activation: a staircase of L steps up to a learned height lam.

    ``out = lam*clip(floor(x*L/lam + 0.5)/L, 0, 1)``; the gradient passes straight through the floor, to
    x and to lam. *levels* L >= 1; *lam* > 0 is a float or a tensor that broadcasts against the neuron's
    shape, in units of x. No state. (Bu et al., QCFS.)
    """

    lam: nn.Parameter

    def __init__(self, levels: int = 8, lam: Value = 8.0, *, step_mode: StepMode = "s") -> None:
        super().__init__(states=(), values=("lam",), step_mode=step_mode)
        self.levels = _whole("QCFS: levels", levels)
        keep(self, "lam", learned(lam))
        self._check_lam()

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        lam = self.lam.to(x.dtype)
        steps: Tensor = _Floor.apply(x * self.levels / lam + 0.5)  # type: ignore[no-untyped-call]
        return lam * (steps / self.levels).clamp(0, 1), ()

    def describe(self) -> dict[str, object]:
        self._check_lam()
        lam = plain(self.lam)
        step = lam / self.levels
        return without_defaults(
            {
                "theta": lam / (2 * self.levels),
                "rho": step,
                "max_count": self.levels,
                "reset": "subtract",
                "scale": step,
                "stateless": True,
            }
        )

    def extra_repr(self) -> str:
        return f"levels={self.levels}, {super().extra_repr()}"

    def _check_lam(self) -> None:
        if not bool((self.lam > 0).all()):
            raise BadInput(
                "QCFS: lam must be positive", hint="a smaller learning rate or weight decay for lam"
            )


def _whole(what: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise BadInput(f"{what} must be a whole number of at least 1, not {number!r}")
    return number
