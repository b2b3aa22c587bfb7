"""Models from the user's own function, and weights put into them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from snncc.errors import BadInput, UnknownName
from snncc.frontends.archive import shortened
from snncc.frontends.cells import held_states

SHOWN = 8
USAGE = "--factory takes package.module:function or file.py:function"


def call_factory(spec: str) -> nn.Module:
    """The model that the function *spec*, ``package.module:function`` or ``file.py:function``, returns.

    Modules are looked for in the current directory, too. Raises `BadInput` where there is no such
    function, where it raises, and where it returns no module.
    """
    module_name, colon, name = spec.rpartition(":")
    if not colon or not module_name or not name:
        raise BadInput(f"factory {spec!r}: is no module and function with a colon between", hint=USAGE)
    with importable(os.getcwd()):
        function: Any = imported(module_name, spec)
        for part in name.split("."):
            if not hasattr(function, part):
                known = [
                    k
                    for k, v in getattr(function, "__dict__", {}).items()
                    if callable(v) and not k.startswith("_")
                ]
                raise UnknownName(f"function of {module_name}", part, known)
            function = getattr(function, part)
        if not callable(function):
            raise BadInput(f"factory {spec!r}: {name} is no function but {type(function).__name__}")
        try:
            model = function()
        except (Exception, SystemExit) as problem:
            raise BadInput(f"factory {spec!r} raised {blame(problem)}") from problem
    if not isinstance(model, nn.Module):
        raise BadInput(f"factory {spec!r} returned {type(model).__name__}, not a torch.nn.Module")
    return model


def imported(name: str, spec: str) -> ModuleType:
    """The module *name*, or the one in the file *name*."""
    is_file = name.endswith(".py")
    try:
        return from_file(Path(name), spec) if is_file else importlib.import_module(name)
    except BadInput:
        raise
    except (Exception, SystemExit) as problem:
        missing = problem.name if isinstance(problem, ModuleNotFoundError) else None
        if missing and not is_file and f"{name}.".startswith(f"{missing}."):
            hint = f"it must be installed or in the current directory; {USAGE}"
            raise BadInput(f"factory {spec!r}: there is no module {missing!r}", hint=hint) from None
        raise BadInput(f"factory {spec!r}: importing {name} raised {blame(problem)}") from problem


def from_file(path: Path, spec: str) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"factory {spec!r}: there is no file {str(path)!r}", hint=USAGE)
    loader = importlib.util.spec_from_file_location(f"snncc_factory_{path.stem}", path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[loader.name] = module  # dataclasses and pickles of its classes look there
    with importable(str(path.resolve().parent)):
        loader.loader.exec_module(module)
    return module


@contextmanager
def importable(folder: str) -> Iterator[None]:
    """Inside, modules in *folder* can be imported."""
    before = list(sys.path)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def blame(problem: BaseException) -> str:
    """The error and the line of the user's that raised it."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{shortened(problem)}"
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if not f.filename.startswith("<")]
    frames = [f for f in frames if f.filename != __file__] or frames
    return f"{shortened(problem)} ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})"


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, where: str, factory: str) -> None:
    """Put *state*, from the file *where*, into *model*, which *factory* has built.

    A prefix that all names in the file share, as DataParallel and Lightning add one, is taken off where
    the names then are exactly the model's. What neurons held when the file was written is not taken over.
    Raises `BadInput` with everything that does not fit.
    """
    want = model.state_dict()
    prefix = common_prefix(state, want)
    if prefix:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    kept = {name: want[name] for name in held_states(model) if name in want and name in state}
    state = {**state, **kept}
    try:
        model.load_state_dict(state, strict=True)
    except Exception as problem:
        listed = differences(want, state) or [shortened(problem)]
        raise BadInput("\n  ".join([f"{where}: does not fit the model of {factory!r}", *listed])) from None


def common_prefix(state: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> str:
    """What to take off all names in *state* to get the names in *want*; empty if there is no such thing."""
    if set(state) == set(want) or len(state) != len(want) or not want:
        return ""
    some = min(want)
    candidates = {name.removesuffix(some) for name in state if name.endswith(f".{some}")}
    fitting = [p for p in candidates if set(state) == {f"{p}{name}" for name in want}]
    return fitting[0] if len(fitting) == 1 else ""


def differences(want: Mapping[str, Tensor], have: Mapping[str, Tensor]) -> list[str]:
    """One line for each kind of difference."""
    shapes = [
        f"{name} {tuple(have[name].shape)} instead of {tuple(want[name].shape)}"
        for name in want
        if name in have and have[name].shape != want[name].shape
    ]
    kinds = {
        "missing in the file": [name for name in want if name not in have],
        "unknown to the model": [name for name in have if name not in want],
        "other shapes": shapes,
    }
    return [f"{kind}: {', '.join(shortlist(names))}" for kind, names in kinds.items() if names]


def shortlist(names: list[str]) -> list[str]:
    more = len(names) - SHOWN
    return [*names[:SHOWN], f"and {more} more"] if more > 0 else names
