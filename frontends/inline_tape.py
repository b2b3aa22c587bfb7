"""What one execution of a model did, operation by operation: a tape, to find neurons without a module.

Every tensor at every time has a *value*, a number; an operation that writes gives new values to the tensor
and to all others that share its memory. The *key* of an operation is where the user wrote it: the module that
was running and the instruction in each function of the user's on the way, so that a loop repeats its keys.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from snncc.frontends.torch_build import Builder, Place
from snncc.frontends.torch_codes import Grid
from snncc.frontends.torch_known import is_neuron
from snncc.frontends.torch_record import CALL_MODEL, FRONTENDS, HERE, TORCH, Call, Recorder
from snncc.frontends.torch_sequences import found as sequence_modules

Key = tuple[object, ...]
LIKE = ("zeros_like", "ones_like", "empty_like", "full_like")
"""Factories that look at the shape of their argument alone."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor among the arguments of an operation, by its value."""

    value: int


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One operation: what it read and what it made, as values. *args* and *kwargs* hold `Ref` for tensors."""

    key: Key
    name: str
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[int, ...]
    also: tuple[int, ...]
    """Values that were overwritten with it, in tensors that share memory with what it wrote to."""
    place: Place

    @property
    def reads(self) -> list[int]:
        """The values of its tensor arguments, in order."""
        return [leaf.value for leaf in tree_iter((self.args, self.kwargs)) if isinstance(leaf, Ref)]


class Tape(Recorder):  # type: ignore[no-untyped-call]
    """Notes every operation of one execution; neuron modules are one operation each."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(Builder(grid, keeps_values=False), {}, lambda call: None)
        self.entries: list[Entry] = []
        self.values: Any = WeakTensorKeyDictionary()
        self.shapes: list[torch.Size] = []
        self.is_float: list[bool] = []
        self.depends: set[int] = set()
        self.constants: dict[int, Tensor] = {}
        """What constants were that operations read, by value."""

    def value(self, tensor: Tensor) -> int:
        """The present value of *tensor*."""
        if tensor not in self.values:
            self.values[tensor] = self.new(tensor)
        return int(self.values[tensor])

    def new(self, tensor: Tensor) -> int:
        """A new value, of the shape of *tensor*."""
        self.shapes.append(tensor.shape)
        self.is_float.append(tensor.is_floating_point())
        return len(self.shapes) - 1

    def follow(self, call: Call, name: str, *, shares: bool) -> None:
        """Note an operation that the model has executed."""

        def ref(leaf: Any) -> Any:
            return Ref(self.value(leaf)) if isinstance(leaf, Tensor) else leaf

        args, kwargs = tree_map(ref, call.args), tree_map(ref, call.kwargs)
        outs = [out for out in tree_iter(call.out) if isinstance(out, Tensor)]
        also = self.shared(call, outs) if call.func._schema.is_mutable else []
        before = tuple(self.value(tensor) for tensor in also)
        reads = [leaf.value for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Ref)]
        if not call.func._schema.is_mutable:
            self.keep_constants(call.args, call.kwargs)
        depends = name not in LIKE and any(value in self.depends for value in (*reads, *before))
        for tensor in (*outs, *also):
            self.values[tensor] = self.new(tensor)
            if depends:
                self.depends.add(self.values[tensor])
        made = tuple(int(self.values[tensor]) for tensor in (*outs, *also))
        key = key_of(self, name)
        self.entries.append(Entry(key, name, call.func, args, kwargs, made, before, call.place))

    def shared(self, call: Call, outs: list[Tensor]) -> list[Tensor]:
        """Other tensors whose memory a writing operation changed."""
        written = {id(out) for out in outs}
        storages = {out.untyped_storage().data_ptr() for out in outs}
        return [
            tensor
            for tensor in list(self.values.keys())
            if id(tensor) not in written and tensor.untyped_storage().data_ptr() in storages
        ]

    def keep_constants(self, *arguments: Any) -> None:
        """Keep what an operation reads that does not depend on the input."""
        for tensor in tree_iter(arguments):
            value = self.value(tensor) if isinstance(tensor, Tensor) else -1
            if value >= 0 and value not in self.depends and value not in self.constants:
                self.constants[value] = tensor.detach().clone()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func._schema.is_mutable and not self.inside_leaf:
            with self.leaf():
                self.keep_constants(args, kwargs or {})  # before they change
        return super().__torch_dispatch__(func, types, args, kwargs)

    def opaque(self, model: nn.Module) -> None:
        """Let neuron modules, and modules that read whole trains, be one operation each."""
        for path, module in model.named_modules():
            if is_neuron(module):
                self.patch(module, path)
        for path, module in sequence_modules(model):
            self.patch(module, path)

    def patch(self, module: nn.Module, path: str) -> None:
        original = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            place = self.place()
            with self.leaf():
                out = original(*args, **kwargs)
            if not self.inside_leaf:
                func = torch.ops.aten.clone.default
                self.follow(Call(self, func, args, kwargs, out, place), f"module {path}", shares=False)
            return out

        module.forward = forward


@lru_cache(maxsize=4096)
def is_users(path: str) -> bool:
    """Whether a file is neither ours nor torch's; code without a file is the user's."""
    real = os.path.realpath(path)
    return not real.startswith((HERE + os.sep, FRONTENDS + os.sep, TORCH + os.sep))


def key_of(recorder: Recorder, name: str) -> Key:
    """Where the user wrote the operation *name* that is being executed."""
    chain: list[object] = []
    frame = sys._getframe(1)
    while frame.f_code.co_name != CALL_MODEL:
        if is_users(frame.f_code.co_filename):
            chain += [frame.f_code, frame.f_lasti]
        assert frame.f_back is not None
        frame = frame.f_back
    path = recorder.modules[-1][0] if recorder.modules else ""
    return (name, path, *chain)
