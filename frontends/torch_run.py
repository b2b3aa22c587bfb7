"""Running a copy of the user's model: prepared, called, and its outputs by name."""

from __future__ import annotations

import copy
import random
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace, Defect
from snncc.frontends.cells import cell_of, copies, running
from snncc.frontends.torch_quantized import check_quantizers, of_observers
from snncc.frontends.torch_record import shown_file


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` wrapped, or *model*."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.Module) else model


def copied(model: nn.Module) -> nn.Module:
    """A copy of *model* on the CPU, in evaluation mode, its neurons reset."""
    model = unwrapped(model)
    check_quantizers(model)
    memo = detached(model)
    try:
        copies(model, memo)
        twin = copy.deepcopy(model, memo)
    except Exception as problem:
        raise CannotTrace(
            f"{type(model).__name__} cannot be copied: {problem}",
            hint="tracing works on a copy, so that the model stays as it is",
        ) from problem
    twin = twin.cpu().eval()
    idle = of_observers(twin)
    for name, tensor in [*twin.named_parameters(), *twin.named_buffers()]:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all() and id(tensor) not in idle:
            raise CannotTrace(f"{name} holds NaN or infinite numbers")
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    for path, module in twin.named_modules():
        if module.training:
            raise CannotTrace(
                f"{path or type(module).__name__} stays in training mode after model.eval()",
                hint="a module that overrides train() must let eval() through: dropout and batch "
                "normalization are compiled as they act in evaluation mode",
            )
        if cell := cell_of(module):
            cell.reset(module)
    return twin


def detached(model: nn.Module) -> dict[int, Any]:
    """A memo for deepcopy, which refuses tensors that belong to a gradient's graph (a kept state)."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in [*vars(module).values(), *module._buffers.values()]:
            for tensor in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(tensor, Tensor) and not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return memo


@contextmanager
def untouched() -> Iterator[None]:
    """Leave the global random generators as they are."""
    state, numpy_state, own = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(own)


class ModelFails(CannotTrace):
    """The user's model raised an error of its own."""


def call_model_of_the_user(model: nn.Module, x: Tensor) -> Any:
    """Call *model*; what it raises becomes a `ModelFails` with its own words and the user's line."""
    try:
        with torch.no_grad(), running(model):
            return model(x)
    except (CannotTrace, Defect):
        raise
    except Exception as problem:
        line = line_of(problem)
        raise ModelFails(
            f"the model fails on an input of shape {tuple(x.shape)}{f' at {line}' if line else ''}: "
            f"{type(problem).__name__}: {problem}"
        ) from problem


def line_of(problem: BaseException) -> str:
    """The innermost line of the user's in the traceback of *problem*."""
    for entry in reversed(traceback.extract_tb(problem.__traceback__)):
        if file := shown_file(entry.filename):
            return f"{file}:{entry.lineno}"
    return ""


def named_outputs(out: Any) -> dict[str, Tensor]:
    """The tensors that a model returned, by the names of the output nodes."""
    if isinstance(out, Tensor):
        return {"output": out}
    named: dict[str, Any] = {}
    if isinstance(out, Mapping):
        named = {str(key): value for key, value in out.items()}
    elif isinstance(out, Sequence) and not isinstance(out, str):
        names = [f"output.{k}" for k in range(len(out))] if len(out) > 1 else ["output"]
        named = dict(zip(names, out, strict=True))
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if not named or len(tensors) != len(named):
        raise CannotTrace(
            f"the model returns {type(out).__name__}, not tensors",
            hint="return a tensor, or a flat tuple or dict of tensors",
        )
    return tensors
