"""The recorder: a dispatch mode that sees every aten operation of one execution of a model.

At this level modules, functions, methods and operators have collapsed into one small set of operations.
Operations on constants are executed and stay constants; of the others each has a handler that adds nodes
to the graph or moves codes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

import snncc
from snncc.errors import CannotTrace
from snncc.frontends.defects import ours
from snncc.frontends.exported_place import current_place
from snncc.frontends.torch_build import Builder, Place
from snncc.frontends.torch_codes import NODE_SHIFT, Grid, Layout, Mixed, Signal, layout_of
from snncc.frontends.torch_float64 import run_in_float64
from snncc.frontends.torch_frames import Frame, frame_of_layout, frame_of_source

HERE = os.path.dirname(os.path.realpath(snncc.__file__))
FRONTENDS = os.path.dirname(os.path.realpath(__file__))
TORCH = os.path.dirname(os.path.realpath(torch.__file__))
KEEPS = ("detach", "detach_", "clone", "alias", "_to_copy")
FACTORIES = ("zeros", "new_zeros", "zeros_like", "empty", "new_empty", "empty_like", "new_empty_strided")


@dataclass(frozen=True, slots=True)
class Call:
    """One operation that was executed: its arguments and its result, in float64."""

    recorder: Recorder
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    place: Place

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or name."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)


Handler = Callable[[Call], None]


@dataclass(frozen=True, slots=True)
class State:
    """What a tensor is that a neuron module returned: its state *name*, after its call number *call*."""

    path: str
    name: str
    call: int


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the tensors that depend on the input, through one execution of a model."""

    def __init__(
        self, builder: Builder, handlers: dict[str, Handler], refuse: Callable[[Call], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.turns: dict[str, int] = {}
        self.looped: dict[tuple[str, str], str] = {}
        self.uses: dict[str, int] = {}
        self.started: dict[str, dict[str, Any]] = {}
        self.states: Any = WeakTensorKeyDictionary()
        self.builder, self.handlers, self.refuse = builder, handlers, refuse
        self.signals: Any = WeakTensorKeyDictionary()
        self.blank: Any = WeakTensorKeyDictionary()
        self.earlier: Any = WeakTensorKeyDictionary()
        self.sums: dict[int, tuple[tuple[int, ...], Tensor, Tensor]] = {}
        self.modules: list[tuple[str, bool]] = []
        self.inside_leaf = 0
        self.is_writing = False
        self.takes: Callable[[Call, str], bool] = lambda call, name: False
        """Whether an operation is a part of something else, and was dealt with."""

    @classmethod
    def silent(cls) -> Recorder:
        """A recorder that records nothing: operations only run in float64."""
        recorder = cls(Builder(Grid(1, 1)), {}, lambda call: None)
        recorder.inside_leaf = 1
        return recorder

    # what a tensor is

    def signal(self, value: object) -> Signal | None:
        """The signal that *value* carries; None for everything that does not depend on the input."""
        if not isinstance(value, Tensor):
            return None
        found: Signal | None = self.signals.get(value)
        if found is None:
            blank: Signal | None = self.blank.get(value)
            if blank is not None and bool((blank.codes >> NODE_SHIFT).any()):
                return blank
        return found

    def state(self, value: object) -> State | None:
        """Which state of which neuron module *value* is."""
        return self.states.get(value) if isinstance(value, Tensor) else None

    def set(self, tensor: Tensor, signal: Signal, place: Place) -> None:
        """Let *tensor* carry *signal*; where it already carries one, all its views see the change."""
        old = self.signal(tensor)
        if old is not None:
            old.codes.copy_(signal.codes)
            old.over = signal.over
            return
        if tensor in self.blank:
            self.blank[tensor].codes.copy_(signal.codes)
            self.blank[tensor].over = signal.over
            return
        if self.is_writing and tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes():
            raise CannotTrace(
                f"{place}: writes a signal into a part of a constant tensor",
                hint="build the tensor with torch.cat or torch.stack",
            )
        self.signals[tensor] = signal

    def frame(self, signal: Signal) -> Frame:
        """How the tensor of *signal* becomes one signal of the IR, in the order that moves least."""
        frame = frame_of_source(signal, self.builder.shapes, self.builder.grid)
        return (
            frame if frame is not None else frame_of_layout(layout_of(signal.codes), signal.over, self.grid)
        )

    def layout(self, signal: Signal) -> tuple[Layout, Frame]:
        """What the axes of the tensor of *signal* hold, and the frame in the tensor's own order."""
        layout = layout_of(signal.codes)
        return layout, frame_of_layout(layout, signal.over, self.grid)

    @property
    def grid(self) -> Grid:
        """Timesteps and samples."""
        return self.builder.grid

    def source(self, signal: Signal, frame: Frame, like: torch.Size, place: Place) -> str:
        """The node that has what *signal* carries, in the shape of *frame*."""
        if signal.over is not frame.over:
            raise Mixed("combines a signal that was reduced over time with one that was not")
        return self.builder.wire(frame.cells(signal.codes, like), place)

    def emit(self, tensor: Tensor, frame: Frame, name: str, place: Place) -> None:
        """*tensor* holds the output of node *name* as *frame* says."""
        name = self.builder.actual(name)
        codes = frame.codes(self.builder.number[name], tensor.shape)
        self.set(tensor, Signal(codes, frame.over), place)
        self.builder.keep(name, frame, tensor)

    # where the model is

    def place(self) -> Place:
        """The innermost module, and the user's source line."""
        path, is_leaf = self.modules[-1] if self.modules else ("", False)
        return Place(path, is_leaf, user_line() or current_place()[1])

    def watch(self, model: nn.Module) -> None:
        """Follow which module of *model* (a copy) is running."""
        for path, module in model.named_modules():
            is_leaf = not any(True for _ in module.children())

            def enter(_module: nn.Module, _args: Any, entry: tuple[str, bool] = (path, is_leaf)) -> None:
                self.modules.append(entry)

            def leave(_module: nn.Module, _args: Any, _out: Any) -> None:
                if self.modules:
                    self.modules.pop()

            module.register_forward_pre_hook(enter, prepend=True)
            module.register_forward_hook(leave, always_call=True)

    @contextmanager
    def leaf(self) -> Iterator[None]:
        """Inside, operations are executed in float64 but not recorded."""
        self.inside_leaf += 1
        try:
            yield
        finally:
            self.inside_leaf -= 1

    def next_call(self, builder: Builder) -> None:
        """Forget all signals: the model is about to be called for another timestep."""
        self.builder = builder
        self.turns.clear()
        self.looped.clear()
        self.sums.clear()
        self.modules.clear()
        for tensor in list(self.signals.keys()):
            self.earlier[tensor] = True
        self.signals = WeakTensorKeyDictionary()
        self.blank = WeakTensorKeyDictionary()

    # what happens at each operation

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and func._can_decompose():
            # In inference mode, and only there, operations arrive before torch has taken them apart.
            with self:
                return func.decompose(*args, **kwargs)
        name = str(func._overloadpacket.__name__)
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise CannotTrace(f"{self.place()}: {randomness(name, self.modules)}", hint=RANDOM_HINT)
        mutable = func._schema.is_mutable
        shares = any(r.alias_info is not None for r in func._schema.returns)
        args, out = run_in_float64(func, args, kwargs, writes=mutable or shares)
        if not self.inside_leaf:
            with ours(self.place(), name):
                self.follow(Call(self, func, args, kwargs, out, self.place()), name, shares=shares)
        return out

    def follow(self, call: Call, name: str, *, shares: bool) -> None:
        """Record what an operation, which the model has executed, did to the signals."""
        if self.takes(call, name):
            return
        func, args, kwargs, out = call.func, call.args, call.kwargs, call.out
        inputs = [*tree_iter(args), *tree_iter(kwargs)]
        if self.hands_on_state(name, inputs, out):
            return
        reads = name not in FACTORIES
        if reads and any(isinstance(value, Tensor) and value in self.earlier for value in inputs):
            raise CannotTrace(
                f"{self.place()}: keeps a tensor from one timestep to the next outside of a neuron",
                hint="of what a loop hands on, only neurons are supported that do the same in every timestep",
            )
        if any(self.signal(value) is not None for value in inputs):
            self.handle(call, name)
        else:
            self.constant(name, func, args, kwargs, out, mutable=func._schema.is_mutable, shares=shares)

    def hands_on_state(self, name: str, inputs: list[Any], out: Any) -> bool:
        """Whether an operation leaves a state of a neuron what it is; raises where it reads a hidden one."""
        states = [state for value in inputs if (state := self.state(value)) is not None]
        if not states or name in FACTORIES:
            return False
        if name in KEEPS and isinstance(out, Tensor):
            self.states[out] = states[0]
            return self.signal(inputs[0]) is None
        if all(self.signal(value) is not None for value in inputs if self.state(value) is not None):
            return False
        if any(value in self.earlier for value in inputs if self.state(value) is not None):
            return False
        raise CannotTrace(
            f"{self.place()}: {name} uses {states[0].name}, a state that {states[0].path} returned, as data",
            hint="what leaves a neuron is its spikes; hand its state back to it, and to nothing else",
        )

    def handle(self, call: Call, name: str) -> None:
        """Record an operation that has a traced argument."""
        self.is_writing = call.func._schema.is_mutable
        handler = self.handlers.get(name) or self.handlers.get(name.removesuffix("_"))
        try:
            if handler is None:
                self.refuse(call)
            else:
                handler(call)
        except Mixed as problem:
            raise problem.at(f"{call.place}: {name}:") from None

    def constant(
        self,
        name: str,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        *,
        mutable: bool = False,
        shares: bool = False,
    ) -> None:
        """Keep codes of buffers that are still blank, so that signals can be written into parts of them."""
        if name in FACTORIES and isinstance(out, Tensor) and out.is_floating_point():
            self.blank[out] = Signal(torch.zeros(out.shape, dtype=torch.int64))
        elif any(isinstance(value, Tensor) and value in self.blank for value in tree_iter(args)):
            if mutable:
                storages = {v.untyped_storage().data_ptr() for v in tree_iter(args) if isinstance(v, Tensor)}
                for tensor in list(self.blank.keys()):
                    if tensor.untyped_storage().data_ptr() in storages:
                        del self.blank[tensor]
            elif isinstance(out, Tensor) and shares:
                moved = func(*tree_map(self.codes_or_same, args), **kwargs)
                self.blank[out] = Signal(moved)

    def codes_or_same(self, value: Any) -> Any:
        """The codes of a blank buffer; other values as they are."""
        return self.blank[value].codes if isinstance(value, Tensor) and value in self.blank else value


RANDOM_HINT = "what is compiled must be deterministic; encode inputs at random before the model"


def randomness(name: str, modules: list[tuple[str, bool]]) -> str:
    """What to say about a random operation."""
    if name in ("bernoulli_", "native_dropout", "bernoulli", "alpha_dropout", "feature_dropout"):
        return f"draws random numbers ({name}) in evaluation mode, as dropout left in training mode does"
    return f"draws random numbers ({name}) in its forward"


@lru_cache(maxsize=4096)
def shown_file(path: str) -> str:
    """The base name of a file of the user's; empty for ours, torch's, and code without a file."""
    real = os.path.realpath(path)
    ours = real.startswith((HERE + os.sep, FRONTENDS + os.sep, TORCH + os.sep))
    return "" if ours or path.startswith("<") else os.path.basename(real)


def user_line() -> str:
    """``file.py:12`` of the innermost frame that is neither ours nor torch's, inside the model's call."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == CALL_MODEL:
            return ""
        if file := shown_file(code.co_filename):
            return f"{file}:{frame.f_lineno}"
        assert frame.f_back is not None
        frame = frame.f_back
    return ""


CALL_MODEL = "call_model_of_the_user"
