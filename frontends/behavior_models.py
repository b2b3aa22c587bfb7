"""The modules of a model that are neurons although nobody said so: found, probed, and made cells.

A module is probed when it is of a class of the user's own, holds no layers, and does something that cannot
be recorded as plain operations: it compares, rounds, keeps a state, or walks over time. What is recognized
becomes a `Cell` on a copy of the model. What is not stays as it is, and the recording goes on without it;
where that fails at the module, the refusal of the probe is what the user reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snncc.errors import CannotTrace
from snncc.frontends.behavior import Recognized, recognize
from snncc.frontends.behavior_probe import prepared
from snncc.frontends.behavior_state import batches, changes, left_by_calls, state_of
from snncc.frontends.cells import RECOGNIZED, Cell, Time, call_reset, cell_of, prepare
from snncc.frontends.torch_known import STATE_HINT
from snncc.frontends.torch_operations import HANDLERS
from snncc.frontends.torch_options import Options
from snncc.frontends.torch_quantized import LIMITS
from snncc.frontends.torch_record import Recorder
from snncc.frontends.torch_refusals import NEURON, REFUSED
from snncc.frontends.torch_run import ModelFails, call_model_of_the_user, copied
from snncc.ir import Shape

Sized = Callable[[int, int], Tensor]
"""The user's example with so many samples and timesteps."""
SAMPLES, TIMESTEPS = 2, 4
OVER_TIME = ("select", "unbind", "slice", "index")
"""Operations that take a train apart."""
FOREIGN = ("torch", "snncc")
"""Packages whose classes are recorded as they are."""
RESULTS = ("relu", "potential")
HANDED_HINT = (
    "a neuron that is given its state and returns it is not probed: keep the state in an attribute that "
    "reset() sets to 0.0, take the input alone and return the spikes alone; what it does is then recognized"
)
First = tuple[Shape, frozenset[str], bool]
"""What a module was given first, what it did, whether its state changed."""


@dataclass(slots=True)
class Found:
    """What became of the modules of a model that were probed."""

    notes: list[str] = field(default_factory=list)
    refused: dict[str, CannotTrace] = field(default_factory=dict)
    left: list[CannotTrace] = field(default_factory=list)
    """What to say of those with a state of unknown origin, if they are recorded as plain operations."""
    held: list[str] = field(default_factory=list)
    """States that may be why the model does not run with other numbers of samples."""
    handed: set[str] = field(default_factory=set)
    """Modules that take more than their input: a state, as most do."""

    def explained(self, problem: CannotTrace) -> CannotTrace:
        """*problem*, or the refusal of the neuron at which it arose; each names the other."""
        for said in self.held:
            problem.add_note(said)
        if problem.hint == NEURON and any(is_at(problem, path) for path in self.handed):
            problem.hint = HANDED_HINT
        for path, refusal in self.refused.items():
            if is_at(problem, path):
                if problem.hint == NEURON:
                    refusal.add_note(f"as plain operations: {problem.message}")
                    return refusal
                problem.add_note(f"as a neuron: {refusal.message}")
        return problem


def is_at(problem: CannotTrace, path: str) -> bool:
    """Whether *problem* arose in the module *path*."""
    start = path or "the model"
    return problem.message.startswith((f"{start} (", f"{start}:", f"{start}."))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a module was given: the *shape* of a sample and timestep, where time is, what it did."""

    shape: Shape
    time: Time
    samples: int
    operations: frozenset[str]
    keeps: bool

    @property
    def axis(self) -> int | None:
        """The axis of the timesteps in what it is given, if there is one."""
        return {Time.TRAIN: 0, Time.BATCHES: 1}.get(self.time)

    @property
    def is_plain(self) -> bool:
        """Whether its operations can be recorded one by one."""
        names = {name.removesuffix("_") for name in self.operations} | self.operations
        walks = self.time is not Time.STEP and not names.isdisjoint(OVER_TIME)
        return not self.keeps and not walks and names.isdisjoint(set(REFUSED) - set(HANDLERS) | set(LIMITS))


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func._overloadpacket.__name__))
        return func(*args, **(kwargs or {}))


def with_recognized(model: nn.Module, sized: Sized, chosen: Options) -> tuple[nn.Module, Found]:
    """*model*, or a copy in which modules that were recognized are cells, and what was found."""
    found = Found()
    names = [path for path, _ in candidates(model)]
    if not names:
        return model, found
    fresh = copied(model)
    for path in names:
        module = fresh.get_submodule(path)
        call_reset(module)
        if len(signature(module.forward).parameters) > 1:
            found.handed.add(path)
    try:
        seen = observed(fresh, names, sized, chosen)
    except CannotTrace:  # the recording will say the same, in its place
        for path in names:
            module = fresh.get_submodule(path)
            found.held += batches(module, path or type(module).__name__)
        return model, found
    twin = copied(model)
    done: list[str] = []
    for path, module in candidates(twin):
        if path not in seen or seen[path].is_plain or any(inside(path, one) for one in done):
            continue
        was, where = seen[path], path or type(module).__name__
        left = left_by_calls(module, was.shape, was.samples, was.axis, where)
        try:
            one = recognized(module, where, was)
        except CannotTrace as refusal:
            found.refused[path] = refusal
            found.left += [] if left is None else [left]
            continue
        if left is not None:
            raise left
        if one is not None:
            done.append(path)
            found.notes.append(str(one))
    return (twin, found) if done else (model, found)


def inside(path: str, outer: str) -> bool:
    return path != outer and (not outer or path.startswith(f"{outer}."))


def candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules of the user's own classes without layers inside, the outer ones first; no part of a cell."""
    parts_of_cells = {
        part for cell in model.modules() if cell_of(cell) is not None for part in cell.modules()
    }
    for path, module in model.named_modules():
        if type(module).__module__.partition(".")[0] in FOREIGN or module in parts_of_cells:
            continue
        parts = [part for part in module.modules() if part is not module]
        if not any(cell_of(part) or part._parameters for part in parts):
            yield path, module


def recognized(module: nn.Module, where: str, seen: Seen) -> Recognized | None:
    """What *module* is, made a cell of it; None for what sends reals and keeps nothing."""
    axis = seen.axis
    one = recognize(module, seen.shape, time_axis=axis, where=where, samples=seen.samples)
    told = dict(one.description)
    is_stateless = bool(told.get("stateless", False))
    if is_stateless and told.get("emit") in RESULTS:
        return None
    forgets = axis is not None and (
        prepared(module, seen.shape, time_axis=axis, samples=seen.samples).repeats()
    )
    if axis is not None and is_stateless and not forgets:
        raise CannotTrace(
            f"{where}: keeps a state from call to call, but receives all timesteps at once", hint=STATE_HINT
        )
    setattr(module, RECOGNIZED, Cell(lambda _: told, time=lambda _: seen.time, forgets=forgets))
    return one


def observed(model: nn.Module, names: list[str], sized: Sized, chosen: Options) -> dict[str, Seen]:
    """What the modules *names* are given, from runs with other numbers of samples and timesteps."""
    base = run(model, names, sized(SAMPLES, TIMESTEPS), chosen)
    more = run(model, names, sized(SAMPLES + 1, TIMESTEPS), chosen)
    longer: dict[str, First] = {}
    if chosen.has_time:
        try:
            longer = run(model, names, sized(SAMPLES, TIMESTEPS + 1), chosen)
        except ModelFails:
            longer = {}
    seen = {}
    for path, (shape, *_) in base.items():
        did = base[path][1:]
        if path not in more or len(more[path][0]) != len(shape):
            continue
        batch = [k for k, (a, b) in enumerate(zip(shape, more[path][0], strict=True)) if a != b]
        steps = chosen.timesteps if not chosen.has_time else TIMESTEPS
        if path in longer and len(longer[path][0]) == len(shape):
            times = [k for k, (a, b) in enumerate(zip(shape, longer[path][0], strict=True)) if a != b]
        else:
            times = [0] if batch == [1] and shape[0] == steps else []
        match batch, times:
            case ([0], [] | [0]):
                seen[path] = Seen(shape[1:], Time.STEP, shape[0], *did)
            case ([1], [0]):
                seen[path] = Seen(shape[2:], Time.TRAIN, shape[1], *did)
            case ([0], [1]):
                seen[path] = Seen(shape[2:], Time.BATCHES, shape[0], *did)
    return seen


def run(model: nn.Module, names: list[str], x: Tensor, chosen: Options) -> dict[str, First]:
    """The shape of what each of *names* is given first, its operations, and whether its state changes."""
    twin = copied(model).double()
    given = chosen.at_call(x.double(), 0)
    grid = chosen.grid(given)
    prepare(twin, grid.samples, grid.timesteps)
    seen: dict[str, First] = {}
    for path in names:
        watch(twin.get_submodule(path), path, seen)
    with Recorder.silent():
        call_model_of_the_user(twin, given)
    return seen


def watch(module: nn.Module, path: str, seen: dict[str, First]) -> None:
    """Let *seen* know what *module* is given in its first call, and what it does."""
    original = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        x = args[0] if args else next(iter(kwargs.values()), None)
        if path in seen or not isinstance(x, Tensor) or len(args) + len(kwargs) != 1:
            return original(*args, **kwargs)
        before = state_of(module)
        with Watch() as operations:
            out = original(*args, **kwargs)
        if isinstance(out, Tensor) and out.shape == x.shape:
            keeps = changes(before, state_of(module))
            seen[path] = tuple(x.shape), frozenset(operations.names), keeps
        return out

    module.forward = forward
