"""Running a model in float64 although it asks for float32.

``model.double()`` alone breaks many models: their surrogates and helpers create float32 tensors. Here the
types are changed operation by operation: what would be a shorter float becomes float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SHORT = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class FakeQuantize:
    """Which arguments of a fake quantizer are its scale (in float32 by definition), its axis, its switch."""

    scale: int = 1
    axis: int | None = None
    switch: int | None = None


FAKES = {
    "fake_quantize_per_tensor_affine_cachemask": FakeQuantize(),
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": FakeQuantize(switch=3),
    "_fake_quantize_learnable_per_tensor_affine": FakeQuantize(),
    "fake_quantize_per_channel_affine_cachemask": FakeQuantize(axis=3),
    "_fake_quantize_learnable_per_channel_affine": FakeQuantize(axis=3),
    "_fused_moving_avg_obs_fq_helper": FakeQuantize(scale=5, axis=10, switch=2),
}
"""Operations that round what they compute to float32, also of doubles."""


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
    fake = FAKES.get(func.__name__.partition(".")[0])
    if fake is not None and isinstance(scale := args[fake.scale], Tensor):
        args = (*args[: fake.scale], scale.float(), *args[fake.scale + 1 :])
    kwargs = {name: all_longer(value) for name, value in kwargs.items()}
    result = func(*args, **kwargs)
    if fake is not None:
        unround(fake, args, result[0] if isinstance(result, tuple) else result)
    return args, result if writes else all_longer(result)


def unround(fake: FakeQuantize, args: tuple[Any, ...], out: Tensor) -> None:
    """Make of *out*, codes times a scale in float32, the same in float64."""
    if fake.switch is not None and not int(args[fake.switch]):
        return
    scale = torch.as_tensor(args[fake.scale], dtype=torch.float64)
    if scale.numel() > 1 and fake.axis is not None:
        scale = scale.reshape([-1 if k == args[fake.axis] else 1 for k in range(out.ndim)])
    out.copy_((out / scale).round() * scale)
