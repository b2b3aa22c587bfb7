"""Neurons that forget: LIF, LIAF, PLIF and CUBA-LIF. They fire and reset as `snncc.nn.integrate` says."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.integrate import IF, FireOptions
from snncc.nn.neuron import State
from snncc.nn.values import Value, keep, learned, like, plain


class LIF(IF):
    """Leaky integrate and fire, with *leak* in [0, 1] (1: no leak)::

        u = leak*v + x                                      TET, "Inherent redundancy in SNNs"
        u = v + (x - (v - v_reset))*(1 - leak)              if decay_input: SpikingJelly, leak = 1 - 1/tau

    The other options are those of `IF`. SpikingJelly starts at v_reset: give it as *v_init*, too.
    """

    leak: Value

    def __init__(
        self,
        leak: Value = 0.5,
        theta: Value = 1.0,
        *,
        decay_input: bool = False,
        **options: Unpack[FireOptions],
    ) -> None:
        self._integrates_v_reset = decay_input
        super().__init__(theta, **options)
        keep(self, "leak", leak, low=0.0, high=1.0)
        self._values = ("leak", *self._values)
        self.decay_input = decay_input

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        leak = like(self.leak, x)
        if self.decay_input:
            return v + (x - (v - like(self.v_reset, x))) * (1 - leak)
        return leak * v + x

    def extra_repr(self) -> str:
        return super().extra_repr() + ", decay_input" * self.decay_input

    def _fields(self) -> dict[str, object]:
        leak = plain(self.leak)
        fields = super()._fields() | {"leak": leak}
        if self.decay_input:
            fields |= {"input_gain": 1 - leak, "bias": (1 - leak) * plain(self.v_reset)}
        return fields


class LIAF(LIF):
    """Analog fire: a `LIF` that sends ``scale*max(u, 0)``; its spikes only reset (LIAF-Net)."""

    def emit(self, u: Tensor, s: Tensor) -> Tensor:
        return self._scaled(torch.relu(u))

    def _fields(self) -> dict[str, object]:
        return super()._fields() | {"emit": "relu"}


class PLIF(IF):
    """Parametric LIF: ``u = v + (x - (v - v_reset))*sigmoid(w)`` with w learned (Fang et al., PLIF).

    The leak is 1 - sigmoid(w). Give it as *init_leak* in (0, 1), or give *w* itself, one number or a
    tensor that broadcasts. The paper resets hard: reset="zero". The other options are those of `IF`.
    """

    w: nn.Parameter
    _integrates_v_reset = True

    def __init__(
        self,
        init_leak: float = 0.5,
        theta: Value = 1.0,
        *,
        w: Value | None = None,
        **options: Unpack[FireOptions],
    ) -> None:
        super().__init__(theta, **options)
        if not 0 < init_leak < 1:
            raise BadInput(f"PLIF: init_leak must be in (0, 1), not {init_leak:g}")
        start = math.log((1 - init_leak) / init_leak) if w is None else w
        keep(self, "w", learned(start))
        self._values = ("w", *self._values)

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        return v + (x - (v - like(self.v_reset, x))) * torch.sigmoid(self.w.to(x.dtype))

    def _fields(self) -> dict[str, object]:
        gain = plain(torch.sigmoid(self.w.detach().double()))
        return super()._fields() | {"leak": 1 - gain, "input_gain": gain, "bias": gain * plain(self.v_reset)}


class CubaLIF(IF):
    """Current-based LIF: ``i = leak_i*i + x; u = leak*v + i``, both leaks in [0, 1], i = 0 at first.

    The state is (i, v). The other options are those of `IF`.
    """

    leak_i: Value
    leak: Value

    def __init__(
        self,
        leak_i: Value = 0.5,
        leak: Value = 0.5,
        theta: Value = 1.0,
        **options: Unpack[FireOptions],
    ) -> None:
        super().__init__(theta, **options)
        keep(self, "leak_i", leak_i, low=0.0, high=1.0)
        keep(self, "leak", leak, low=0.0, high=1.0)
        self._values = ("leak_i", "leak", *self._values)

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return ("i", "v")

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        i, v = state
        i = like(self.leak_i, x) * i + x
        out, v = self.fire(like(self.leak, x) * v + i)
        return out, (i, v)

    def _fields(self) -> dict[str, object]:
        return super()._fields() | {"leak_i": plain(self.leak_i), "leak": plain(self.leak)}
