"""Models from ``.pt`` and ``.pth`` files of `torch.save`, by default without running code from the file."""

from __future__ import annotations

import os
import pickletools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snncc.errors import BadFile, BadInput
from snncc.frontends.archive import ZIP, checked_path, entries, first_bytes, read, shortened
from snncc.frontends.factory import call_factory, load_weights
from snncc.frontends.inert import Revival, StandIn, allowed_paths, is_module, stand_in, state_of

SUFFIXES = (".pt", ".pth", ".ckpt")
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number, pickled
PICKLES_OF_LEGACY = 5

# What a pickle of tensors and containers calls. torch allows somewhat more by default.
HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)|builtins\.set|_codecs\.encode"
    r"|torch\.(Size|device|Tensor|\w+Storage|(bfloat|float|complex|u?int|bool)\d*|nn\.parameter\.Parameter)"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter|parameter_with_state)"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.storage\.(Untyped|Typed)Storage"
)
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
OLD_MODULE = (
    "whole modules in the format before PyTorch 1.6 hold source code; save the model again with torch.save, "
    "or its weights alone"
)
HOW_TO_SAVE = "torch.save(model.state_dict(), 'weights.pt')"
FACTORY = "--factory package.module:function, which names the function that builds the model"
TRUST = "--trust, for a file of your own, which runs whatever code is in the file"


def load_module(
    path: str | os.PathLike[str], *, factory: str | None = None, trust: bool = False
) -> nn.Module:
    """The model in the checkpoint *path*.

    The file holds a whole module, built from classes of torch.nn and snncc.nn alone, or a state dict,
    alone or as one entry of a dict. A state dict needs *factory*, ``package.module:function`` or
    ``file.py:function``, a function without arguments that returns the model. *trust* runs the code of
    the file, and takes modules of any class that can be imported. Raises `BadFile` for what is wrong with
    the file, `BadInput` for what is wrong with the factory, or where the two do not fit.
    """
    path = Path(path)
    size = checked_path(path, SUFFIXES, "checkpoints")
    pickles = pickles_of(path)
    module: nn.Module | None = None
    state: Mapping[str, Tensor] | None = None
    if trust:
        found = selected(unpickled(path, weights_only=False), path, factory)
        module, state = (found, None) if isinstance(found, nn.Module) else (None, found)
    else:
        foreign = foreign_globals(pickles, path)
        if foreign and factory is None:
            raise refusal(path, foreign)
        with only_allowed([*allowed_paths(), *foreign]):
            loaded = unpickled(path, weights_only=True, foreign=foreign)
        found = selected(loaded, path, factory)
        revival = Revival(path, size)
        if isinstance(found, StandIn):
            if factory is None:
                module = revival.module(found)
            else:
                state = revival.tensors(state_of(found))
        else:
            state = revival.tensors(found)
    if factory is None:
        if module is None:
            raise BadFile(
                f"{path}: holds {len(state or ())} tensors (a state dict), not the model that they belong to",
                hint=f"add {FACTORY}",
            )
        return module
    if state is None:
        assert module is not None
        state = module.state_dict()
    model = call_factory(factory)
    load_weights(model, state, where=str(path), factory=factory)
    return model


def pickles_of(path: Path) -> list[bytes]:
    """The pickles in *path*. Raises `BadFile` for a file that is no checkpoint of `torch.save`."""
    start = first_bytes(path, 512)
    if start.startswith(ZIP):
        names = entries(path)
        if "archive_format" in names or "serialized_exported_program.json" in names:
            raise BadFile(f"{path}: is an exported program", hint="give it a name that ends in .pt2")
        if "constants.pkl" in names:
            raise BadFile(
                f"{path}: is a TorchScript archive, in which the modules of the model are lost",
                hint=f"save the model that it was made from: {HOW_TO_SAVE}, or torch.export.save",
            )
        if "data.pkl" not in names:
            raise BadFile(f"{path}: is a zip archive, but no checkpoint of torch.save")
        return [read(path, names["data.pkl"])]
    if start.startswith(LEGACY):
        return legacy_pickles(path)
    if start[257:262] == b"ustar":
        raise BadFile(
            f"{path}: has the tar format of PyTorch before 0.1.10",
            hint="load it with torch.load(..., weights_only=False) and save it again with torch.save",
        )
    if start.startswith(b"\x80"):
        raise BadFile(f"{path}: is a pickle, but not one of torch.save", hint=HOW_TO_SAVE)
    raise BadFile(f"{path}: is no checkpoint of torch.save")


def legacy_pickles(path: Path) -> list[bytes]:
    """The pickles at the start of a file in the format before PyTorch 1.6; tensors follow them."""
    result = []
    try:
        with path.open("rb") as file:
            for _ in range(PICKLES_OF_LEGACY):
                start = file.tell()
                for _ in pickletools.genops(file):
                    pass
                end = file.tell()
                file.seek(start)
                result.append(file.read(end - start))
    except (OSError, ValueError, IndexError) as problem:
        raise BadFile(f"{path}: is truncated or damaged: {problem}") from None
    return result


def foreign_globals(pickles: Iterable[bytes], path: Path) -> list[str]:
    """What the *pickles* would call beyond tensors, containers and the classes that we know; runs nothing."""
    allowed = set(allowed_paths())
    try:
        names = {name for data in pickles for name in globals_of(data)}
    except (ValueError, IndexError, UnicodeDecodeError) as problem:
        raise BadFile(f"{path}: is truncated or damaged: {problem}") from None
    return sorted(name for name in names if name not in allowed and not HARMLESS.fullmatch(name))


def globals_of(data: bytes) -> Iterator[str]:
    """Every ``module.name`` that the pickle *data* looks up."""
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(BytesIO(data)):
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield f"{PYTHON_2.get(module, module)}.{name}"
        elif opcode.name == "STACK_GLOBAL":  # of newer protocols: the two strings before it, mostly
            yield ".".join(strings[-2:])
        elif isinstance(argument, str):
            strings.append(argument)


@contextmanager
def only_allowed(paths: Iterable[str]) -> Iterator[None]:
    """Inside, torch's safe reader takes stand-ins for *paths*, and nothing that a user has allowed."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals([(stand_in(path), path) for path in paths]):
            yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def unpickled(path: Path, *, weights_only: bool, foreign: Iterable[str] = ()) -> Any:
    """What `torch.load` returns. Raises `BadFile` for every error in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=weights_only)
    except (Exception, SystemExit) as problem:
        if foreign:
            raise refusal(path, foreign) from None
        reason = re.search(r"WeightsUnpickler error:\s*(.+)", str(problem))
        what = f"{path}: cannot be loaded: {reason[1] if reason else shortened(problem)}"
        hint = OLD_MODULE if reason and "Only persistent_load of storage" in reason[1] else ""
        raise BadFile(what, hint=hint) from (None if weights_only else problem)


def refusal(path: Path, foreign: Iterable[str]) -> BadFile:
    """The error for a file that needs more than torch.nn and snncc.nn."""
    return BadFile(
        f"{path}: needs classes or functions beyond torch.nn and snncc.nn, which snncc does not run: "
        + ", ".join(foreign),
        hint=f"save the weights alone, {HOW_TO_SAVE}, and add {FACTORY}; or add {TRUST}",
    )


def selected(loaded: object, path: Path, factory: str | None) -> Any:
    """The module or state dict in *loaded*, itself or its only entry of that kind."""
    if is_wanted(loaded, factory):
        return loaded
    items = loaded.items() if isinstance(loaded, Mapping) else ()
    found = {str(key): item for key, item in items if is_wanted(item, factory)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise BadInput(
            f"{path}: holds several models or state dicts: {', '.join(map(repr, found))}",
            hint="save the one that you mean in a file of its own: "
            f"torch.save(torch.load('{path.name}')[{next(iter(found))!r}], 'weights.pt')",
        )
    keys = f" with the entries {', '.join(repr(key) for key, _ in list(items)[:8])}" if items else ""
    kind = "an object" if isinstance(loaded, StandIn) else f"a {type(loaded).__name__}"
    raise BadFile(f"{path}: holds {kind}{keys}, but no model and no state dict", hint=HOW_TO_SAVE)


def is_wanted(item: object, factory: str | None) -> bool:
    """Whether *item* is a module or a state dict; with a *factory*, modules of unknown classes count."""
    if is_module(item):
        return True
    if isinstance(item, StandIn):
        return factory is not None and isinstance(item.state, dict) and "_parameters" in item.state
    if not isinstance(item, dict) or not item:
        return False
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in item.items())
