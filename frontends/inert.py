"""Whole modules from a checkpoint, without running anything that the file says.

A checkpoint is a pickle: a program that calls what it names. torch's own safe reader calls the classes
that are allowed with whatever arguments the file has, so that allowing a module class would let a file
run its constructor, replace its methods and add hooks. Here the reader is given stand-ins, classes that
only remember what the file wanted (`StandIn`). What is then in memory is inert data; from it modules of
known classes are made (`Revival`), attribute by attribute, where every value is plain data, a tensor or
another such module.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import snncc.nn
from snncc.errors import BadFile
from snncc.frontends.archive import shortened
from snncc.nn import Neuron, Surrogate

PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    torch.Size,
    torch.dtype,
    torch.device,
    torch.layout,
)
DICTS = (dict, OrderedDict, Counter)
LISTS = (list, tuple, set)
GENERATOR = "torch._C.Generator"
# what modules of torch.nn keep as attributes that are functions
FUNCTIONS = {
    "torch.nn.functional.relu": torch.nn.functional.relu,
    "torch.nn.functional.gelu": torch.nn.functional.gelu,
}
HOOKS = frozenset(
    name for name, value in vars(nn.Module()).items() if "hook" in name and isinstance(value, dict)
)
SLACK = 1 << 28  # an expanded tensor may be this many bytes larger than what the file holds of it


class StandIn:
    """What stands for an object in a checkpoint: the arguments and the state that the file has for it."""

    path: ClassVar[str] = ""
    arguments: tuple[object, ...]
    state: object

    def __new__(cls, *arguments: object) -> StandIn:
        self = super().__new__(cls)
        self.arguments, self.state = arguments, None
        return self

    def __setstate__(self, state: object) -> None:
        self.state = state


def stand_in(path: str) -> type[StandIn]:
    """A class that stands for the class or function *path*."""
    return type("StandIn", (StandIn,), {"path": path})


@cache
def known_classes() -> Mapping[str, type]:
    """The classes of which modules are made: those of torch.nn.modules and snncc.nn, by path."""
    classes: list[type] = [torch.nn.modules.linear.NonDynamicallyQuantizableLinear]
    classes += [getattr(torch.nn.modules, name) for name in torch.nn.modules.__all__]
    for info in pkgutil.walk_packages(snncc.nn.__path__, "snncc.nn."):
        classes += [
            value
            for value in vars(importlib.import_module(info.name)).values()
            if inspect.isclass(value) and value.__module__ == info.name
        ]
    return {
        f"{cls.__module__}.{cls.__qualname__}": cls
        for cls in classes
        if inspect.isclass(cls) and issubclass(cls, nn.Module | Surrogate)
    }


def allowed_paths() -> Iterable[str]:
    """Everything that a stand-in may become."""
    return (*known_classes(), *FUNCTIONS, GENERATOR)


def is_module(item: object) -> bool:
    """Whether *item* is a module, or stands for one that can be made."""
    if isinstance(item, StandIn):
        return issubclass(known_classes().get(item.path, object), nn.Module)
    return isinstance(item, nn.Module)


def state_of(item: StandIn, prefix: str = "") -> dict[str, Tensor]:
    """The parameters and persistent buffers of what looks like a module, of whatever class."""
    state = item.state if isinstance(item.state, dict) else {}
    groups = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
    parameters, buffers, modules = (group if isinstance(group, dict) else {} for group in groups)
    dropped = state.get("_non_persistent_buffers_set")
    kept = {k: v for k, v in buffers.items() if not (isinstance(dropped, set) and k in dropped)}
    result = {f"{prefix}{k}": v for k, v in {**parameters, **kept}.items() if isinstance(v, Tensor)}
    for name, child in modules.items():
        if isinstance(child, StandIn):
            result |= state_of(child, f"{prefix}{name}.")
    return result


class Revival:
    """Makes modules from stand-ins. Raises `BadFile` for whatever is more than data."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.storages: dict[int, int] = {}
        self.made: dict[int, object] = {}
        self.open: set[int] = set()

    def module(self, item: object) -> nn.Module:
        """The module that *item* stands for."""
        try:
            module = self.value(item, "model")
            if not isinstance(module, nn.Module):
                raise self.refusal("model", f"is no module but {type(module).__name__}")
            repr(module)  # looks at what the classes need
        except BadFile:
            raise
        except Exception as problem:
            raise BadFile(f"{self.path}: holds a damaged module ({shortened(problem)})") from None
        return module

    def tensors(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """*state*, whose tensors are ordinary ones."""
        for name, tensor in state.items():
            self.tensor(tensor, name)
        return state

    def refusal(self, where: str, what: str) -> BadFile:
        return BadFile(f"{self.path}: {where} {what}")

    def value(self, item: object, where: str) -> object:
        """What *item*, found at *where*, stands for."""
        kind = type(item)
        if kind in PLAIN:
            return item
        if isinstance(item, Tensor):
            return self.tensor(item, where)
        if isinstance(item, dict) and kind in DICTS:
            pairs = [(self.value(k, where), self.value(v, f"{where}.{k}")) for k, v in item.items()]
            return kind(pairs) if kind is not Counter else Counter(dict(pairs))
        if isinstance(item, list | tuple | set) and kind in LISTS:
            return kind([self.value(v, f"{where}.{k}") for k, v in enumerate(item)])
        if isinstance(item, StandIn):
            return self.once(item, where)
        if isinstance(item, type) and issubclass(item, StandIn) and item.path in FUNCTIONS:
            return FUNCTIONS[item.path]
        raise self.refusal(where, f"is no data but {getattr(item, 'path', kind.__name__)!r}")

    def tensor(self, tensor: Tensor, where: str) -> Tensor:
        """*tensor* itself, if it is an ordinary one on the CPU."""
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
            raise self.refusal(where, f"is an unusual tensor ({type(tensor).__name__}, {tensor.layout})")
        if tensor.device.type != "cpu" or tensor.is_quantized:
            raise self.refusal(where, f"is a tensor on {tensor.device}, {tensor.dtype}")
        storage = tensor.untyped_storage()
        claimed = tensor.numel() * tensor.element_size()
        self.storages[storage.data_ptr()] = storage.nbytes()
        # torch makes a storage larger, with arbitrary numbers, where a tensor claims more than it has
        if claimed > storage.nbytes() + SLACK or sum(self.storages.values()) > self.size:
            raise self.refusal(where, f"claims the shape {tuple(tensor.shape)}, more than the file holds")
        vars(tensor).clear()
        return tensor

    def once(self, item: StandIn, where: str) -> object:
        """What *item* stands for, the same object each time."""
        if id(item) in self.open:
            raise self.refusal(where, "contains itself")
        if id(item) not in self.made:
            self.open.add(id(item))
            self.made[id(item)] = self.new(item, where)
            self.open.discard(id(item))
        return self.made[id(item)]

    def new(self, item: StandIn, where: str) -> object:
        """The generator, surrogate or module that *item* stands for."""
        if item.path == GENERATOR:
            return self.generator(item, where)
        cls = known_classes().get(item.path)
        if cls is None or item.arguments or not isinstance(item.state, dict):
            raise self.refusal(where, f"is a {item.path} that no torch.save has written")
        if issubclass(cls, Surrogate):
            surrogate: object = cls(**self.attributes(cls, item.state, where))
            return surrogate
        module: Any = cls.__new__(cls)
        attributes = self.attributes(cls, item.state, where)
        self.check_module(attributes, where)
        module.__setstate__(attributes)
        if isinstance(module, Neuron):
            module.describe()
        return module

    def attributes(self, cls: type, state: dict[Any, Any], where: str) -> dict[str, Any]:
        """The attributes in *state*, none of which replaces a method."""
        for name in state:
            static = inspect.getattr_static(cls, name, None) if isinstance(name, str) else None
            if (
                not isinstance(name, str)
                or name.startswith("__")
                or callable(static)
                or isinstance(static, property)
            ):
                raise self.refusal(where, f"replaces {name!r}, which is part of its class")
        return {name: self.value(value, f"{where}.{name}") for name, value in state.items()}

    def check_module(self, attributes: dict[str, Any], where: str) -> None:
        hooks = [name for name in attributes if name in HOOKS and attributes[name]]
        if hooks:
            raise self.refusal(where, f"has hooks, which are code ({', '.join(hooks)})")
        kinds = {"_parameters": nn.Parameter, "_buffers": Tensor, "_modules": nn.Module}
        for group, kind in kinds.items():
            members = attributes.get(group)
            if not isinstance(members, dict):
                raise self.refusal(where, f"has no {group}")
            for name, member in members.items():
                if not isinstance(name, str) or not (member is None or isinstance(member, kind)):
                    raise self.refusal(f"{where}.{name}", f"is no {kind.__name__}")

    def generator(self, item: StandIn, where: str) -> torch.Generator:
        state = item.state[-1] if isinstance(item.state, tuple) and item.state else None
        if item.arguments != (torch.device("cpu"),) or not isinstance(state, Tensor):
            raise self.refusal(where, "is a damaged generator of random numbers")
        return torch.Generator().set_state(self.tensor(state, where))
