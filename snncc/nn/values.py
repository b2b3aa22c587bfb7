"""The parameters of a neuron: a plain float, or a tensor that broadcasts against the neuron's shape.

A float stays a Python float, so that it is the same number in a float32 and in a float64 run. A tensor
becomes a buffer of the module and follows its type and device; a `torch.nn.Parameter` is learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snncc.errors import BadInput

Value = float | Tensor
Plain = float | NDArray[np.float64]

# The fields of the compiler's one neuron that `describe` leaves out when they say nothing.
# theta, rho, max_count and reset are always given.
DEFAULTS: Mapping[str, object] = {
    "strict": False,
    "rectifier": "none",
    "leak": 1.0,
    "leak_i": 0.0,
    "order": "leak-first",
    "v_reset": 0.0,
    "v_init": 0.0,
    "stateless": False,
    "scale": 1.0,
    "emit": "count",
    "tie": "up",
    "input_gain": 1.0,
    "bias": 0.0,
}


def keep(
    module: nn.Module, name: str, value: object, *, low: float | None = None, high: float | None = None
) -> None:
    """Make *value* the attribute *name* of *module*; raise `BadInput` unless finite and in [low, high]."""
    where = f"{type(module).__name__}: {name}"
    if not isinstance(value, (int, float, Tensor)) or isinstance(value, bool):
        raise BadInput(f"{where} must be a number or a tensor, not {type(value).__name__}")
    numbers = np.asarray(plain(value))
    if not np.all(np.isfinite(numbers)):
        raise BadInput(f"{where} must be finite")
    if (low is not None and np.any(numbers < low)) or (high is not None and np.any(numbers > high)):
        limits = f"in [{low:g}, {high:g}]" if high is not None else f"at least {low:g}"
        raise BadInput(f"{where} must be {limits}, not {_shown(numbers)}")
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    elif isinstance(value, Tensor):
        module.register_buffer(name, _floating(value))
    else:
        setattr(module, name, float(value))


def learned(value: Value) -> nn.Parameter:
    """A new parameter that starts at *value*."""
    return nn.Parameter(_floating(torch.as_tensor(value)))


def like(value: Value, x: Tensor) -> Value:
    """*value* in the type of *x*, so that a parameter never changes the type of the computation."""
    return value.to(x.dtype) if isinstance(value, Tensor) else value


def plain(value: Value) -> Plain:
    """*value* as a Python float, or as a float64 array."""
    if not isinstance(value, Tensor):
        return float(value)
    array = value.detach().to(device="cpu", dtype=torch.float64).numpy().copy()
    return float(array) if array.ndim == 0 else array


def check_broadcast(module: nn.Module, names: Iterable[str], x: Tensor) -> None:
    """Raise `BadInput` unless every parameter broadcasts against one sample of *x* [B, ...]."""
    sample = tuple(x.shape[1:])
    for name in names:
        value = getattr(module, name)
        if not isinstance(value, Tensor):
            continue
        try:
            fits = np.broadcast_shapes(tuple(value.shape), sample) == sample
        except ValueError:
            fits = False
        if not fits:
            raise BadInput(
                f"{type(module).__name__}: {name} has shape {tuple(value.shape)}, which does not broadcast "
                f"against the neuron's shape {sample}",
                hint="one value per channel of an image has shape (C, 1, 1)",
            )


def without_defaults(fields: Mapping[str, object]) -> dict[str, object]:
    """*fields* without those that hold the default of the compiler's one neuron."""
    return {
        name: value
        for name, value in fields.items()
        if name not in DEFAULTS or not np.array_equal(np.asarray(value), np.asarray(DEFAULTS[name]))
    }


def _floating(value: Tensor) -> Tensor:
    copy = value.detach().clone()
    return copy if copy.is_floating_point() else copy.to(torch.get_default_dtype())


def _shown(numbers: NDArray[np.float64]) -> str:
    return f"{numbers:g}" if numbers.ndim == 0 else f"{numbers.min():g} to {numbers.max():g}"
