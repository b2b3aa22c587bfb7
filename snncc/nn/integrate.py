"""What a neuron does that sends at most one spike per timestep, and the two without a leak: IF and SRIF.

All of them, and those of `snncc.nn.leaky`, end a timestep in the same way, after their own equation has
given the potential u::

    s   = [u >= theta]                     ([u > theta] if strict)
    out = scale*s
    v   = u - s*reset_amount               reset "subtract"
          u*(1 - s)                              "zero"
          u*(1 - s) + v_reset*s                  "value"
          u                                      "none"

Potentials, thresholds and inputs share one unit, whatever it is; time is in timesteps.
"""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack, get_args

import numpy as np
from torch import Tensor

from snncc.errors import BadInput
from snncc.nn.neuron import Neuron, State, StepMode
from snncc.nn.rectifier import rectified
from snncc.nn.surrogate import ATan, Surrogate
from snncc.nn.values import Value, keep, like, plain, without_defaults

DEFAULT_SURROGATE = ATan()

ResetKind = Literal["subtract", "zero", "value", "none"]


class CommonOptions(TypedDict, total=False):
    """The options that all these neurons share; `IF` explains them."""

    reset: ResetKind
    v_reset: Value
    v_init: Value
    strict: bool
    scale: Value
    detach_reset: bool
    surrogate: Surrogate
    step_mode: StepMode


class FireOptions(CommonOptions, total=False):
    """The options of all neurons but `SRIF`, whose reset amount has another default."""

    reset_amount: Value | None


class IF(Neuron):
    """Integrate and fire: ``u = v + x``, then fire and reset as this module says.

    *theta*, *reset_amount*, *v_reset*, *v_init* and *scale* are floats or tensors that broadcast against
    the neuron's shape without batch, such as (C, 1, 1). *reset_amount* (None: theta) is what "subtract"
    takes away, *v_reset* where "value" goes, *v_init* the potential before the first timestep.
    *detach_reset* keeps gradients from flowing through the spike into the reset. Raises `BadInput` for
    options that contradict each other or would have no effect, and for inputs of the wrong shape.
    """

    theta: Value
    reset_amount: Value | None
    v_reset: Value
    v_init: Value
    scale: Value

    # v_reset is part of the equation of some neurons, whatever their reset does
    _integrates_v_reset = False

    def __init__(
        self,
        theta: Value = 1.0,
        *,
        reset: ResetKind = "subtract",
        reset_amount: Value | None = None,
        v_reset: Value = 0.0,
        v_init: Value = 0.0,
        strict: bool = False,
        scale: Value = 1.0,
        detach_reset: bool = False,
        surrogate: Surrogate = DEFAULT_SURROGATE,
        step_mode: StepMode = "s",
    ) -> None:
        amount = () if reset_amount is None else ("reset_amount",)
        values = ("theta", "v_reset", "v_init", "scale", *amount)
        super().__init__(states=self._names(), values=values, step_mode=step_mode)
        if reset not in get_args(ResetKind):
            raise BadInput(
                f"{type(self).__name__}: reset must be one of {get_args(ResetKind)}, not {reset!r}"
            )
        keep(self, "theta", theta)
        keep(self, "v_reset", v_reset)
        keep(self, "v_init", v_init)
        keep(self, "scale", scale)
        if reset_amount is None:
            self.reset_amount = None
        else:
            keep(self, "reset_amount", reset_amount)
        self.reset_kind: ResetKind = reset
        self.strict = strict
        self.detach_reset = detach_reset
        self.surrogate = surrogate
        self._refuse_idle_options()

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return ("v",)

    def initial(self, x: Tensor) -> State:
        *others, zero = super().initial(x)
        return (*others, zero + like(self.v_init, x))

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (v,) = state
        out, v = self.fire(self.charge(x, v))
        return out, (v,)

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """The potential u before firing."""
        return v + x

    def fire(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The output for the potential *u*, and the potential after the reset."""
        s = self.surrogate(self.compared(u), like(self.theta, u), strict=self.strict)
        return self.emit(u, s), self._after_reset(u, s.detach() if self.detach_reset else s)

    def compared(self, u: Tensor) -> Tensor:
        """What is compared with theta at the potential *u*."""
        return u

    def emit(self, u: Tensor, s: Tensor) -> Tensor:
        """What is sent for the spikes *s* at the potential *u*."""
        return self._scaled(s)

    def describe(self) -> dict[str, object]:
        return without_defaults(self._fields())

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, reset={self.reset_kind!r}" + ", strict" * self.strict

    def _fields(self) -> dict[str, object]:
        theta = plain(self.theta)
        fields: dict[str, object] = {"theta": theta, "max_count": 1, "strict": self.strict}
        match self.reset_kind:
            case "subtract":
                rho = theta if self.reset_amount is None else plain(self.reset_amount)
                fields |= {"reset": "subtract", "rho": rho}
            case "zero":
                fields |= {"reset": "value", "v_reset": 0.0}
            case "value":
                fields |= {"reset": "value", "v_reset": plain(self.v_reset)}
            case "none":
                fields |= {"reset": "none"}
        return fields | {"v_init": plain(self.v_init), "scale": plain(self.scale)}

    def _scaled(self, out: Tensor) -> Tensor:
        unit = not isinstance(self.scale, Tensor) and self.scale == 1.0
        return out if unit else like(self.scale, out) * out

    def _after_reset(self, u: Tensor, s: Tensor) -> Tensor:
        match self.reset_kind:
            case "subtract":
                return u - s * like(self.theta if self.reset_amount is None else self.reset_amount, u)
            case "zero":
                return u * (1 - s)
            case "value":
                return u * (1 - s) + like(self.v_reset, u) * s
            case "none":
                return u

    def _refuse_idle_options(self) -> None:
        name = type(self).__name__
        if self.reset_amount is not None and self.reset_kind != "subtract":
            raise BadInput(f"{name}: reset_amount has no effect under reset={self.reset_kind!r}")
        used = self.reset_kind == "value" or self._integrates_v_reset
        if not used and np.any(np.asarray(plain(self.v_reset)) != 0):
            hint = "reset='value' goes to v_reset"
            raise BadInput(f"{name}: v_reset has no effect under reset={self.reset_kind!r}", hint=hint)


class SRIF(IF):
    """Soft-reset IF that fires at half of what it then subtracts: an `IF` by other defaults (InfLoR-SNN).

    ``u = v + x; s = [u >= 0.5]; v = u - s``. With *rectifier* the spikes are ``s = [phi(u) >= 0.5]`` and
    gradients flow through phi (`snncc.nn.rectifier.rectified`), while the reset still takes u. At the
    threshold 0.5 the spikes are the same with and without it, which the compiler checks before it drops
    phi; at another one they are not, and it refuses.
    """

    # of modules that were pickled before there was one
    rectifier: bool = False

    def __init__(
        self,
        theta: Value = 0.5,
        reset_amount: Value = 1.0,
        *,
        rectifier: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(theta, reset_amount=reset_amount, **options)
        self.rectifier = rectifier

    def compared(self, u: Tensor) -> Tensor:
        return rectified(u) if self.rectifier else u

    def extra_repr(self) -> str:
        return super().extra_repr() + ", rectifier" * self.rectifier

    def _fields(self) -> dict[str, object]:
        return super()._fields() | {"rectifier": "mpr" if self.rectifier else "none"}
