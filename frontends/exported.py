"""Models from ``.pt2`` files of `torch.export.save`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snncc.errors import BadFile, BadInput, CannotTrace
from snncc.frontends.archive import shortened
from snncc.frontends.exported_arguments import Ref
from snncc.frontends.exported_file import STATEFUL, Axis, Program, Step, read_program
from snncc.nn.export import rebuild

NEURON = torch.ops.snncc.neuron.default
_PLACE: ContextVar[tuple[str, str]] = ContextVar("place", default=("", ""))


def load_exported(path: str | os.PathLike[str]) -> ExportedModule:
    """The model in the exported program *path*; no code from the file runs.

    Raises `BadFile` for what is wrong with the file, and `CannotTrace` for what an exported program may
    be but cannot become a spike graph.
    """
    program = read_program(Path(path))
    try:
        return ExportedModule(program, str(path))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None


def described(arguments: Sequence[Any]) -> dict[str, object]:
    """What `snncc.nn.Neuron.describe` says of the neuron in a call ``snncc::neuron(*arguments)``."""
    _, tensors, description, step_mode = arguments
    return rebuild(tensors, description, step_mode).describe()


def current_place() -> tuple[str, str]:
    """The module path and source line, ``file.py:12``, of the step of an `ExportedModule` that runs now."""
    return _PLACE.get()


class ExportedModule(nn.Module):
    """Runs an exported program operation by operation.

    `weights` has the parameters and buffers of the model that was exported, under their names. `forward`
    raises `CannotTrace` for inputs of sizes that the program was not exported for, and where an operation
    changes a weight.
    """

    def __init__(self, program: Program, where: str) -> None:
        super().__init__()
        self.program, self.where = program, where
        self.eval()
        self.weights = nn.Module()
        for name, tensor in program.tensors.items():
            *path, last = name.split(".")
            owner = self.weights
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            owner.register_buffer(last, tensor)

    @property
    def axes(self) -> tuple[tuple[Axis, ...], ...]:
        """The axes of each input: which sizes the program takes."""
        return tuple(self.program.inputs.values())

    def forward(self, *inputs: Tensor) -> Any:
        self.check(inputs)
        values: dict[str, Any] = dict(zip(self.program.inputs, inputs, strict=True))
        values |= {name: self.weights.get_buffer(full) for name, full in self.program.weights.items()}
        weights = [values[name] for name in self.program.weights]
        before = [tensor._version for tensor in weights]
        for step in self.program.steps:
            self.run(step, values)
        for full, tensor, version in zip(self.program.weights.values(), weights, before, strict=True):
            if tensor._version != version:
                raise CannotTrace(f"{self.where}: changes {full} as it runs", hint=STATEFUL)
        return resolved(self.program.output, values)

    def run(self, step: Step, values: dict[str, Any]) -> None:
        """Do *step*, and put what it returns into *values*."""
        args = resolved(step.args, values)
        kwargs = {name: resolved(item, values) for name, item in step.kwargs.items()}
        with at(step):
            result = step.function(*args, **kwargs)
        if not step.outputs:
            return
        results = (result,) if len(step.outputs) == 1 else result
        for names, item in zip(step.outputs, results, strict=True):
            if isinstance(names, str):
                values[names] = item
            else:
                values |= dict(zip(names, item, strict=True))

    def check(self, inputs: Sequence[Tensor]) -> None:
        """Raise `CannotTrace` unless the program was exported for *inputs* of these sizes."""
        if len(inputs) != len(self.program.inputs):
            raise BadInput(f"{self.where}: takes {len(self.program.inputs)} inputs, not {len(inputs)}")
        for (name, axes), tensor in zip(self.program.inputs.items(), inputs, strict=True):
            shape = tuple(tensor.shape)
            if len(shape) != len(axes):
                raise BadInput(f"{self.where}: input {name} has {len(axes)} axes, not those of {shape}")
            wrong = [k for k, (a, n) in enumerate(zip(axes, shape, strict=True)) if not a.low <= n <= a.high]
            if wrong:
                raise CannotTrace(
                    f"{self.where}: was exported for an input {name} of shape {shown(axes)}; "
                    f"it was called with {shape} (axis {', '.join(map(str, wrong))} differs)",
                    hint="snncc needs another batch size to tell the axes apart; leave the batch axis free: "
                    "torch.export.export(model, (x,), dynamic_shapes="
                    f"({{{wrong[0]}: torch.export.Dim('batch')}},))",
                )
        sizes: Mapping[str, tuple[int, ...]] = {
            name: tuple(tensor.shape) for name, tensor in zip(self.program.inputs, inputs, strict=True)
        }
        for guard in self.program.guards:
            if not guard.holds(sizes):
                raise CannotTrace(f"{self.where}: was exported for inputs with {guard.text} only")


def shown(axes: Sequence[Axis]) -> str:
    """``(4, any, 3)``."""
    return f"({', '.join(str(a.low) if a.is_fixed else 'any' for a in axes)})"


def resolved(item: Any, values: Mapping[str, Any]) -> Any:
    """*item* with values in place of references."""
    if isinstance(item, Ref):
        return values[item.name]
    if isinstance(item, list | tuple):
        return type(item)(resolved(part, values) for part in item)
    if isinstance(item, dict):
        return {name: resolved(part, values) for name, part in item.items()}
    return item


@contextmanager
def at(step: Step) -> Iterator[None]:
    """Inside, `current_place` is that of *step*."""
    token = _PLACE.set((step.path, step.line))
    try:
        yield
    finally:
        _PLACE.reset(token)
