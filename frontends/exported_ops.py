"""The operations that an exported program may call: aten's on tensors, snncc's neuron, sizes' arithmetic."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import torch

from snncc.errors import CannotTrace
from snncc.nn.export import OPERATION

Function = Callable[..., Any]

NEURON = f"torch.ops.{OPERATION.replace('::', '.')}.default"

LARGEST_SIZE = 1 << 62


def limited(function: Function) -> Function:
    """*function* on numbers only, with a result that may be a size."""

    def checked(*args: Any) -> Any:
        if not all(isinstance(value, int | float) for value in args):
            raise TypeError(f"{args} are no numbers")
        result = function(*args)
        if abs(result) > LARGEST_SIZE:
            raise ValueError(f"{result} is no size")
        return result

    return checked


def expect(condition: object, message: str = "", **_: object) -> None:
    """``aten._assert_scalar``."""
    if not condition:
        raise CannotTrace(f"the exported program does not take this input: {message}")


def nothing(*_: object, **__: object) -> None:
    """Checks of types and ranges that torch has put in; other operations fail where they do not hold."""


PYTHON: dict[str, Function] = {
    "torch.ops.aten._assert_scalar.default": expect,
    "torch.ops.aten._assert_tensor_metadata.default": nothing,
    "torch.ops.aten.sym_constrain_range.default": nothing,
    "torch.ops.aten.sym_constrain_range_for_size.default": nothing,
    "torch.sym_float": limited(float),
    "torch.sym_int": limited(int),
    "torch.sym_max": limited(max),
    "torch.sym_min": limited(min),
    "torch.sym_not": limited(operator.not_),
    **{
        f"_operator.{name}": limited(getattr(operator, name))
        for name in (
            "add",
            "and_",
            "eq",
            "floordiv",
            "ge",
            "gt",
            "le",
            "lt",
            "mod",
            "mul",
            "ne",
            "neg",
            "or_",
        )
    },
    "_operator.sub": limited(operator.sub),
    "_operator.truediv": limited(operator.truediv),
}

# aten::from_file and aten::save reach the file system. Of those that begin with an underscore, which are
# torch's own business, the ones that programs are known to hold.
FILES = ("from_file", "save")
INTERNAL = (
    "__and__",
    "__or__",
    "__xor__",
    "_adaptive_avg_pool2d",
    "_log_softmax",
    "_native_batch_norm_legit_no_training",
    "_prelu_kernel",
    "_safe_softmax",
    "_softmax",
    "_to_copy",
    "_unsafe_view",
)
HARMLESS = re.compile(r"((Optional|List)\[)*(Tensor|int|SymInt|float|bool|number|str|Device|Generator)\]*")
TARGET = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)", re.ASCII)


def function_named(target: str, where: str) -> Function:
    """What *target* calls. Raises `CannotTrace` unless it only computes tensors from tensors."""
    if target in PYTHON:
        return PYTHON[target]
    if target == NEURON:
        return torch.ops.snncc.neuron.default
    parts = TARGET.fullmatch(target)
    if parts and (not parts[1].startswith("_") or parts[1] in INTERNAL) and parts[1] not in FILES:
        function = getattr(getattr(torch.ops.aten, parts[1], None), parts[2], None)
        if isinstance(function, torch._ops.OpOverload) and is_harmless(function):
            return function
    at = f" at {where}" if where else ""
    raise CannotTrace(f"calls {target}{at}, which snncc does not run", hint=HINTS.get(target, ""))


def is_harmless(function: Any) -> bool:
    """Whether *function* takes tensors and numbers, and returns tensors or a size."""
    schema = function._schema
    returns = [str(item.type) for item in schema.returns]
    types = [str(item.type) for item in schema.arguments] + returns
    gives = any("Tensor" in kind for kind in returns) or schema.name.startswith("aten::sym_")
    return gives and all(HARMLESS.fullmatch(kind) for kind in types)


HINTS = {
    "torch.ops.higher_order.wrap_with_set_grad_enabled": "leave torch.no_grad() out of the model's forward",
}
