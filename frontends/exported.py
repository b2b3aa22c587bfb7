"""Models from ``.pt2`` files of `torch.export.save`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snncc.errors import BadFile, BadInput, CannotTrace
from snncc.frontends.archive import shortened
from snncc.frontends.exported_arguments import Ref
from snncc.frontends.exported_file import STATEFUL, Axis, Program, Step, read_program
from snncc.frontends.exported_place import at
from snncc.frontends.torch_run import ModelFails
from snncc.nn import Neuron
from snncc.nn.export import rebuild

NEURON = torch.ops.snncc.neuron.default


def load_exported(path: str | os.PathLike[str]) -> ExportedModule:
    """The model in the exported program *path*; no code from the file runs.

    Raises `BadFile` for what is wrong with the file, and `CannotTrace` for what an exported program may
    be but cannot become a spike graph.
    """
    program = read_program(Path(path))
    try:
        return ExportedModule(program, str(path))
    except (LookupError, TypeError, ValueError, AttributeError) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None
    except BadInput as problem:
        raise BadFile(f"{path}: is damaged ({problem.message})") from None
    except CannotTrace as problem:
        raise CannotTrace(f"{path}: {problem.message}", hint=problem.hint) from None


def described(arguments: Sequence[Any]) -> dict[str, object]:
    """What `snncc.nn.Neuron.describe` says of the neuron in a call ``snncc::neuron(*arguments)``."""
    _, tensors, description, step_mode = arguments
    return rebuild(tensors, description, step_mode).describe()


class Part(nn.Module):
    """Stands for a module of the model that was exported: runs its operations and has its tensors."""

    def forward(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return function(*args, **kwargs)


class ExportedModule(nn.Module):
    """Runs an exported program operation by operation.

    Its submodules, parameters and buffers have the names that they had in the model that was exported:
    the neurons are neurons again, everything else is a `Part`. `forward` raises `ModelFails`, a
    `CannotTrace`, for inputs of sizes that the program was not exported for, and `CannotTrace` where an
    operation changes a weight.
    """

    def __init__(self, program: Program, where: str) -> None:
        super().__init__()
        self._program, self._where = replace(program, tensors={}), where
        self._neurons = {
            number: self._add_neuron(step, program)
            for number, step in enumerate(program.steps)
            if step.function is NEURON
        }
        for step in program.steps:
            if step.path:
                self._part(step.path)
        for name, tensor in program.tensors.items():
            path, _, last = name.rpartition(".")
            owner = self._part(path)
            if not (isinstance(owner, Neuron) and hasattr(owner, last)):
                owner.register_buffer(last, tensor)
        for name in program.weights.values():
            if not isinstance(attribute(self, name), Tensor):
                raise ValueError(f"{name!r} is no name of a tensor")
        self.eval()

    @property
    def axes(self) -> tuple[tuple[Axis, ...], ...]:
        """The axes of each input: which sizes the program takes."""
        return tuple(self._program.inputs.values())

    def forward(self, *inputs: Tensor) -> Any:
        program = self._program
        self._check(inputs)
        weights = {name: attribute(self, full) for name, full in program.weights.items()}
        before = {name: tensor._version for name, tensor in weights.items()}
        values: dict[str, Any] = {**weights, **dict(zip(program.inputs, inputs, strict=True))}
        for number, step in enumerate(program.steps):
            with at(step.path, step.line):
                self._run(number, step, values)
        for name, version in before.items():
            if weights[name]._version != version:
                full = program.weights[name]
                raise CannotTrace(f"{self._where}: changes {full} as it runs", hint=STATEFUL)
        return resolved(program.output, values)

    def _run(self, number: int, step: Step, values: dict[str, Any]) -> None:
        """Do *step*, and put what it returns into *values*."""
        args, kwargs = resolved(step.args, values), resolved(step.kwargs, values)
        if number in self._neurons:
            result = self.get_submodule(self._neurons[number])(args[0])
        elif step.path and isinstance(part := self.get_submodule(step.path), Part):
            result = part(step.function, args, kwargs)
        else:
            result = step.function(*args, **kwargs)
        results = (result,) if len(step.outputs) == 1 else result or ()
        for names, item in zip(step.outputs, results, strict=True):
            pairs = [(names, item)] if isinstance(names, str) else zip(names, item, strict=True)
            values.update(pairs)

    def _add_neuron(self, step: Step, program: Program) -> str:
        """Make the neuron of *step* a submodule; return its path."""
        _, tensors, description, step_mode = step.args
        if any(ref.name not in program.weights for ref in tensors):
            raise CannotTrace(f"computes the parameters of the neuron {step.path or step.outputs}")
        known = [program.tensors[program.weights[ref.name]] for ref in tensors]
        neuron = rebuild(known, description, step_mode)
        path, count = step.path or "neuron", 1
        while (found := existing(self, path)) is not None:
            if isinstance(found, Neuron) and same_neuron(found, neuron):
                return path  # the module was called more than once
            count += 1
            path = f"{step.path or 'neuron'}_{count}"
        owner, _, last = path.rpartition(".")
        self._part(owner).add_module(last, neuron)
        return path

    def _part(self, path: str) -> nn.Module:
        """The submodule *path*, made where it is not there yet."""
        owner: nn.Module = self
        for name in path.split(".") if path else ():
            if name not in owner._modules:
                owner.add_module(name, Part())
            owner = owner.get_submodule(name)
        return owner

    def _check(self, inputs: Sequence[Tensor]) -> None:
        """Raise `ModelFails` unless the program was exported for *inputs* of these sizes."""
        wanted = self._program.inputs
        if len(inputs) != len(wanted):
            raise BadInput(f"{self._where}: takes {len(wanted)} inputs, not {len(inputs)}")
        for (name, axes), tensor in zip(wanted.items(), inputs, strict=True):
            shape = tuple(tensor.shape)
            if len(shape) != len(axes):
                raise BadInput(f"{self._where}: input {name} has {len(axes)} axes, not those of {shape}")
            wrong = [k for k, (a, n) in enumerate(zip(axes, shape, strict=True)) if not a.low <= n <= a.high]
            if wrong:
                raise ModelFails(
                    f"{self._where}: was exported for an input {name} of shape {shown(axes)}; "
                    f"it was called with {shape} (axis {', '.join(map(str, wrong))} differs)",
                    hint="snncc needs another batch size to tell the axes apart; leave the batch axis free: "
                    "torch.export.export(model, (x,), dynamic_shapes="
                    f"({{{wrong[0]}: torch.export.Dim('batch')}},))",
                )
        sizes = {name: tuple(tensor.shape) for name, tensor in zip(wanted, inputs, strict=True)}
        for guard in self._program.guards:
            if not guard.holds(sizes):
                raise ModelFails(f"{self._where}: was exported for inputs with {guard.text} only")


def existing(module: nn.Module, path: str) -> nn.Module | None:
    """The submodule *path* of *module*, if there is one."""
    return dict(module.named_modules()).get(path)


def attribute(module: nn.Module, path: str) -> Tensor:
    """The parameter or buffer *path* of *module*."""
    owner, _, name = path.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), name)
    return tensor


def same_neuron(left: Neuron, right: Neuron) -> bool:
    """Whether two neurons are the same in class, options and tensors."""
    mine, other = left.state_dict(), right.state_dict()
    equal = mine.keys() == other.keys() and all(torch.equal(mine[k], other[k]) for k in mine)
    return type(left) is type(right) and repr(left) == repr(right) and equal


def shown(axes: Sequence[Axis]) -> str:
    """``(4, any, 3)``."""
    return f"({', '.join(str(a.low) if a.is_fixed else 'any' for a in axes)})"


def resolved(item: Any, values: Mapping[str, Any]) -> Any:
    """*item* with values in place of references."""
    if isinstance(item, Ref):
        return values[item.name]
    if isinstance(item, list | tuple):
        return type(item)(resolved(part, values) for part in item)
    if isinstance(item, Mapping):
        return {name: resolved(part, values) for name, part in item.items()}
    return item
