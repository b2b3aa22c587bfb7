"""Running a model in float64 although it asks for float32.

``model.double()`` alone breaks many models: their surrogates and helpers create float32 tensors. Here the
types are changed operation by operation: what would be a shorter float becomes float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SHORT = (torch.float32, torch.float16, torch.bfloat16)


def is_short(value: object) -> bool:
    """Whether *value* is a tensor of floats that are not float64."""
    return isinstance(value, Tensor) and value.dtype in SHORT


def longer(value: Any) -> Any:
    """*value* with float64 in place of shorter floats."""
    if is_short(value):
        return value.double()
    return torch.float64 if isinstance(value, torch.dtype) and value in SHORT else value


def all_longer(values: Any) -> Any:
    """*values*, as operations take and return them, with float64 in place of shorter floats."""
    if type(values) in (list, tuple):
        return type(values)([all_longer(value) for value in values])
    if isinstance(values, tuple):  # a named one
        return type(values)(*[all_longer(value) for value in values])
    return longer(values)


def run_in_float64(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, writes: bool
) -> tuple[tuple[Any, ...], Any]:
    """Arguments and result of *func* in float64; *writes* says that it changes or shares its arguments."""
    if not writes:
        args = all_longer(args)
    kwargs = {name: all_longer(value) for name, value in kwargs.items()}
    result = func(*args, **kwargs)
    return args, result if writes else all_longer(result)
