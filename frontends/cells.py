"""Cells: what a front end must know of a neuron module beside the parameters of its neuron.

A plain neuron takes one tensor and returns one. Modules of the frameworks differ: they take [B, T, ...], they
return their state beside the spikes, they are given that state again, they feed their spikes back to
themselves. A `Cell` says so for a class of modules, and everything else in the front end asks the cell.

Cells come from, in this order: classes that the user registered (`snncc.register_neuron`), `snncc.nn`, the
framework that a module's class belongs to, and what the module does (`snncc.frontends.behavior`). A
framework's module here is imported when a model uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.neurons import Describe, registered
from snncc.nn import Neuron as NeuronModule

FRAMEWORKS: Mapping[str, str] = {
    "norse": "snncc.frontends.framework_norse",
    "sinabs": "snncc.frontends.framework_sinabs",
    "snntorch": "snncc.frontends.framework_snntorch",
    "spikingjelly": "snncc.frontends.framework_spikingjelly",
}
"""The module that knows a framework, by the package of the framework's classes."""


class Time(StrEnum):
    """How the timesteps come to a module."""

    STEP = "[B, ...] in one call a timestep"
    TRAIN = "[T, B, ...]"
    BATCHES = "[B, T, ...]"
    SQUEEZED = "[B*T, ...]"


class Unsupported(Exception):
    """A class or an option that is not the one neuron; becomes a `CannotTrace` with the module's path."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Call:
    """The input of one call, and the states that it was given."""

    x: Any
    states: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """The output of one call, and the states that it returned."""

    out: Any
    states: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What carries the spikes of a neuron back to it in the next timestep.

    Where *starts* is set it acts on the silence before the first timestep, too: its bias arrives at once.
    """

    module: nn.Module
    starts: bool


def by_step_mode(module: Any) -> Time:
    """As snncc.nn and SpikingJelly say it."""
    return Time.TRAIN if getattr(module, "step_mode", "s") == "m" else Time.STEP


def call_reset(module: Any) -> None:
    """Bring back the initial state, where the module can without being told more."""
    reset = getattr(module, "reset", None)
    if not callable(reset):
        return
    try:
        signature(reset).bind()
    except (TypeError, ValueError):
        return
    try:
        reset()
    except Exception as problem:
        raise CannotTrace(
            f"{type(module).__name__}.reset() fails: {type(problem).__name__}: {problem}",
            hint="neurons are reset before tracing: let reset() work before the first call, too",
        ) from problem


def first_argument(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """One input and no states."""
    return Call(args[0] if args else next(iter(kwargs.values()), None))


def only_output(module: Any, out: Any) -> Result:
    """One output and no states."""
    return Result(out)


def no_states(module: Any) -> Mapping[str, Mapping[str, object]]:
    """No state can be read as data."""
    return {}


def nothing_held(module: Any) -> Mapping[str, Tensor]:
    """No state is known that the module keeps between calls."""
    return {}


def nothing_before(module: Any) -> nn.Module | None:
    """The input enters as it is."""
    return None


def no_recurrence(module: Any) -> Recurrence | None:
    """Nothing is fed back."""
    return None


@dataclass(frozen=True, slots=True)
class Cell:
    """How modules of one class are used.

    *describe* gives the parameters as in `snncc.register_neuron`; *reads*, for every state that the module
    returns and that a neuron without spikes can compute, the parameters of that neuron; *initial* the
    parameter that a state given before the first timestep becomes. A cell that *forgets* starts anew in
    each call that is not given its state. *held* are the states that the module keeps as buffers of its
    state dict, *holds* gives those that must still be what they were when the next call comes. *before* is
    a layer of the module's own through which its input enters.
    """

    describe: Describe
    time: Callable[[Any], Time] = by_step_mode
    reset: Callable[[Any], None] = call_reset
    call: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Call] = first_argument
    result: Callable[[Any, Any], Result] = only_output
    reads: Callable[[Any], Mapping[str, Mapping[str, object]]] = no_states
    initial: Mapping[str, str] = field(default_factory=dict)
    recurrence: Callable[[Any], Recurrence | None] = no_recurrence
    forgets: bool = False
    held: tuple[str, ...] = ()
    holds: Callable[[Any], Mapping[str, Tensor]] = nothing_held
    before: Callable[[Any], nn.Module | None] = nothing_before


OWN = Cell(lambda module: module.describe())
RECOGNIZED = "_snncc_recognized"
"""The attribute that holds the cell of a module (of a copy) that was recognized by its behavior."""


def cell_of(module: nn.Module) -> Cell | None:
    """The cell of *module*; None for what is no neuron."""
    if describe := registered(module):
        return Cell(describe)
    if isinstance(module, NeuronModule):
        return OWN
    framework = framework_of(module)
    cell = None if framework is None else framework.cell(module)
    return cell or vars(module).get(RECOGNIZED)


def framework_of(module: nn.Module) -> Any:
    """The module of ours that knows the framework of *module*'s class; None where there is none."""
    for cls in type(module).__mro__:
        if name := FRAMEWORKS.get(cls.__module__.partition(".")[0]):
            return import_module(name)
    return None


def held_states(model: nn.Module) -> list[str]:
    """Names in the state dict of *model* that are states of its neurons, not what was learned."""
    names: list[str] = []
    for path, module in model.named_modules():
        if (cell := cell_of(module)) is not None:
            names += [f"{path}.{name}" if path else name for name in cell.held]
    return names


def supported(framework: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What of a *framework* is taken, with which options; and what is refused, and why. Imports it."""
    known = import_module(FRAMEWORKS[framework])
    return known.SUPPORTED, known.REFUSED


def copies(model: nn.Module, memo: dict[int, Any]) -> None:
    """Copy into *memo* those modules of *model* which their framework itself cannot copy."""
    for module in model.modules():
        framework = framework_of(module)
        if hasattr(framework, "copied") and (twin := framework.copied(module, memo)) is not None:
            memo[id(module)] = twin


def prepare(model: nn.Module, samples: int, timesteps: int) -> None:
    """Let modules of *model* (a copy) take other numbers of samples and timesteps than they were made for."""
    for module in model.modules():
        framework = framework_of(module)
        if framework is not None:
            framework.prepare(module, samples, timesteps, is_root=module is model)


@contextmanager
def running(model: nn.Module) -> Iterator[None]:
    """What frameworks keep outside of modules is about *model* (a copy) inside, and as it was afterwards."""
    used = {
        framework.__name__: framework for module in model.modules() if (framework := framework_of(module))
    }
    with ExitStack() as stack:
        for framework in used.values():
            stack.enter_context(getattr(framework, "running", nullcontext)(model))
        yield


def nearest(table: Mapping[type, Cell], module: nn.Module) -> Cell | None:
    """The cell in *table* of the class of *module* or of its nearest base.

    None where a class between the two changes what the module computes.
    """
    for cls in type(module).__mro__:
        if cls in table:
            return table[cls]
        if any(callable(value) and name not in HARMLESS for name, value in vars(cls).items()):
            return None
    return None


HARMLESS = ("__init__", "__repr__", "extra_repr")


def values(tensor: Any) -> Any:
    """A parameter of a module as a NumPy array in float64."""
    return tensor.detach().cpu().double().numpy() if isinstance(tensor, Tensor) else tensor


def is_step_at_zero(function: Callable[[Tensor], Tensor]) -> str:
    """How *function* compares with zero: ">" or ">=", or "" where it is no step from 0 to 1."""
    x = Tensor([-1e30, -3.0, -1.0, -0.1, -1e-30, 0.0, 1e-30, 0.1, 1.0, 3.0, 1e30])
    found = [float(value) for value in function(x).detach().reshape(-1)]
    for sign, at_zero in ((">", 0.0), (">=", 1.0)):
        if found == [0.0] * 5 + [at_zero] + [1.0] * 5:
            return sign
    return ""


def constant_current(current: Any, leak_i: Any) -> dict[str, Any]:
    """The description of a *current* that flows into the potential in every timestep.

    The bias of the one neuron passes the synaptic current, which has a memory: there it starts where the bias
    keeps it.
    """
    leak_i = np.asarray(leak_i, np.float64)
    found = {"bias": np.asarray((1 - leak_i) * current)}
    return found | ({"i_init": np.asarray(current * np.ones_like(leak_i))} if np.any(leak_i != 0) else {})
