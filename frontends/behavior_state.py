"""The state that a module is found with: whether an earlier call may have left it, and whether it matters.

A network starts every sample from the initial state. A module of the user's own that keeps its state in
attributes is found with whatever is there; nobody but its own ``reset()`` knows what was there at first. What
is found is taken for the initial state where a call cannot have left it: it is zero, a number of the module's
own, of another kind than what a call leaves (a number where a call leaves a tensor), or what ``reset()``
brings back. Anything else must not matter, or the module is refused.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.behavior_probe import Probe, noise
from snncc.frontends.cells import call_reset
from snncc.ir import Array, Shape

STEPS = 8
"""Timesteps after which a state is looked at again."""
FACTORS = (0, -1000, 1000)
"""What does not matter may be so many times larger."""
OF_TORCH = frozenset(vars(nn.Module())) | {"forward"}
"""Attributes of a module that are no state of the user's."""
State = dict[tuple[str, str], Any]
"""Snapshots by the path of a part and the name of its attribute or buffer."""


def state_of(module: nn.Module) -> State:
    """Whatever a module may remember: a copy of its tensors, its numbers, and what its containers hold."""
    return {
        (path, name): snapshot(value)
        for path, part in module.named_modules()
        for name, value in (vars(part) | part._buffers).items()
        if name not in OF_TORCH
    }


def snapshot(value: Any) -> Any:
    """A copy of what can be compared: tensors, numbers, containers of them; the identity of anything else."""
    match value:
        case Tensor():
            return value.detach().clone()
        case np.ndarray() if value.dtype.kind in "fiub":
            return torch.from_numpy(np.array(value))
        case dict():
            return {key: snapshot(one) for key, one in value.items()}
        case list() | tuple() | deque():
            return [snapshot(one) for one in value]
        case bool() | int() | float() | str() | None:
            return value
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {f.name: snapshot(getattr(value, f.name)) for f in fields(value)}
        case _:
            return id(value)


def same(left: Any, right: Any) -> bool:
    """Whether two snapshots are alike."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.shape == right.shape and torch.equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and bool(left == right)


def changes(before: State, after: State) -> bool:
    """Whether anything is remembered."""
    return before.keys() != after.keys() or any(not same(before[k], after[k]) for k in before)


def left_by_calls(
    module: nn.Module, shape: Shape, samples: int, time_axis: int | None, where: str
) -> CannotTrace | None:
    """The refusal of a *module* that, reset if it can be, holds what an earlier call may have left; or None.

    It takes [*samples*, *shape*], or with a *time_axis* whole trains.
    """
    fresh = copy.deepcopy(module).double().eval()
    call_reset(fresh)
    x = noise(np.random.default_rng(5), (STEPS, samples, *shape))
    used, before = copy.deepcopy(fresh), state_of(fresh)
    probe = Probe(fresh, shape, time_axis, (True,) * len(shape), where)
    try:
        probe.drive(used, x)
    except CannotTrace:
        return None  # which is said elsewhere
    after = state_of(used)
    call_reset(used)
    again = state_of(used)
    own = [value for key, value in before.items() if key in after and same(value, after[key])]
    own += [parameter.detach() for parameter in fresh.parameters()]
    left = {
        key: value
        for key, value in before.items()
        if key in after
        and left_over(value, after[key], own)
        and not is_reset(value, again.get(key), after[key])
    }
    if not left or all(same_answers(probe, replaced(probe, left, factor), x) for factor in FACTORS):
        return None
    return CannotTrace(
        f"{where}: {type(module).__name__} is found with {', '.join(said(*one) for one in left.items())}, "
        "which an earlier call may have left: what it starts from is not known",
        hint="reset it before it is traced or saved (and detach what is saved), or give it a reset() method "
        "without arguments, which is called",
    )


def batches(module: nn.Module, where: str) -> Iterator[str]:
    """What to say of states in *module* that have an axis for the samples of an earlier call."""
    for key, value in state_of(module).items():
        if isinstance(value, Tensor) and value.ndim > 1 and len(value) > 1 and is_set(value):
            yield (
                f"{where} holds {named(key)} of shape {tuple(value.shape)}: if an earlier call left it, "
                "reset it before it is traced or saved"
            )


def is_reset(value: Any, again: Any, after: Any) -> bool:
    """Whether reset() brings *value* back, after calls that changed it."""
    return same(value, again) and not same(value, after)


def left_over(before: Any, after: Any, own: list[Any]) -> bool:
    """Whether calls may leave what was found *before*: they change it into another of its kind.

    Zero, and what the module holds in another place (*own*), is an initial state.
    """
    match before, after:
        case dict(), dict():
            return any(left_over(before[key], after[key], own) for key in before.keys() & after.keys())
        case list(), list():
            grown = len(before) != len(after) and any(is_set(one) for one in before)
            return grown or any(left_over(a, b, own) for a, b in zip(before, after, strict=False))
        case Tensor(), Tensor():
            changed = before.ndim == after.ndim and not same(before, after)
            return changed and is_set(before) and not any(equals(one, before) for one in own)
        case (int() | float(), int() | float()):
            is_number = not isinstance(before, bool)
            return is_number and before != after and before != 0 and not any(equals(v, before) for v in own)
    return False


def is_set(value: Any) -> bool:
    """Whether *value* holds a number that is not zero."""
    return any(bool(torch.as_tensor(one).any()) for one in numbers(value))


def equals(own: Any, value: Any) -> bool:
    """Whether *value* is the number or the tensor *own*, spread over its shape."""
    if not isinstance(own, Tensor | int | float) or isinstance(own, bool):
        return False
    one, other = (torch.as_tensor(v, dtype=torch.float64) for v in (own, value))
    try:
        return one.numel() > 0 and bool((one.expand(other.shape) == other).all())
    except RuntimeError:
        return False


def numbers(value: Any) -> Iterator[Any]:
    """The tensors and numbers in a snapshot."""
    match value:
        case Tensor() | int() | float():
            yield value
        case dict():
            for one in value.values():
                yield from numbers(one)
        case list():
            for one in value:
                yield from numbers(one)


def said(key: tuple[str, str], value: Any) -> str:
    """A state in words."""
    found = [torch.as_tensor(one).double().reshape(-1) for one in numbers(value)]
    every = torch.cat([one for one in found if one.numel()])
    low, high = float(every.min()), float(every.max())
    return f"{named(key)} = {low:.6g}" if low == high else f"{named(key)} from {low:.6g} to {high:.6g}"


def named(key: tuple[str, str]) -> str:
    """A state as the user wrote it."""
    return ".".join(part for part in key if part)


def same_answers(one: Probe, other: Probe, x: Array) -> bool:
    return np.array_equal(one.call(x), other.call(x), equal_nan=True)


def replaced(probe: Probe, left: State, factor: float) -> Probe:
    """*probe* of a module that differs in that the numbers of its states *left* are so many times larger."""
    twin = copy.deepcopy(probe.module)
    for path, name in left:
        part = twin.get_submodule(path)
        setattr(part, name, times(getattr(part, name), factor))
    return replace(probe, module=twin)


def times(value: Any, factor: float) -> Any:
    """*value* with every number in it multiplied."""
    match value:
        case bool():
            return value
        case Tensor():
            return (value * factor).to(value.dtype)
        case np.ndarray() | int() | float():
            return value * factor
        case dict():
            return type(value)((key, times(one, factor)) for key, one in value.items())
        case list() | deque():
            return type(value)(times(one, factor) for one in value)
        case tuple():
            parts = [times(one, factor) for one in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: times(getattr(value, f.name), factor) for f in fields(value)})
        case _:
            return value
