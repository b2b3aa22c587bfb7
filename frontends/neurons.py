"""Neuron classes of the user's own: how their modules tell the parameters of the one neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

Describe = Callable[[Any], Mapping[str, object]]

_REGISTERED: dict[type, Describe] = {}


def register_neuron(cls: type[nn.Module], describe: Describe) -> None:
    """Take every module of class *cls* (or of a subclass) for a neuron that *describe* explains.

    *describe* gets the module and returns the parameters that are not at their default, named as in
    `snncc.ir.NeuronParameters` (theta, rho, steps, strict, max_count, leak, leak_i, order, reset, v_reset,
    v_init, stateless, scale, emit, bias, ...), and ``input_gain``, a factor on the input, or ``tie``
    "even", a staircase that rounds half to even. Arrays broadcast against the neuron's shape without batch
    and time. A module with ``step_mode == "m"`` takes [T, B, ...] in one call, any other [B, ...] in one
    call a timestep. A ``reset()`` method, where there is one, must bring back the initial state.
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_neuron takes a class, not {cls!r}")
    _REGISTERED[cls] = describe


def registered(module: nn.Module) -> Describe | None:
    """How the class of *module*, or the nearest of its bases, was registered."""
    for cls in type(module).__mro__:
        if cls in _REGISTERED:
            return _REGISTERED[cls]
    return None
