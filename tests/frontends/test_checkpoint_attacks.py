"""`load_module`: nothing in a checkpoint runs, whoever wrote it."""

from __future__ import annotations

import contextlib
import os
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.errors import BadFile, BadInput
from snncc.frontends.checkpoints import load_module
from snncc.nn import LIF


class Touch:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def attacks(marker: Path) -> dict[str, Any]:
    code = f"open({str(marker)!r}, 'w').close()"
    linear: Any = nn.Linear(2, 2)
    hooked: Any = nn.Linear(2, 2)
    hooked._forward_hooks = OrderedDict({0: Touch(eval, code)})
    return {
        "system": Touch(os.system, f"touch {marker}"),
        "eval": Touch(eval, code),
        "exec": Touch(exec, code),
        "folder": Touch(os.mkdir, str(marker)),
        "inside": nn.Sequential(linear, nn.Module()).__dict__ | {"x": Touch(eval, code)},
        "hook": hooked,
        "state dict": OrderedDict(a=torch.ones(2), b=Touch(eval, code)),
        "rebuild": Touch(torch._tensor._rebuild_from_type_v2, eval, Tensor, (code,), {}),
    }


NAMES = tuple(attacks(Path()))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("with_factory", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_code_of_the_file_runs(
    name: str, old: bool, with_factory: bool, file: Path, factory: str, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    torch.save(attacks(marker)[name], file, _use_new_zipfile_serialization=not old)
    with pytest.raises((BadFile, BadInput)):
        load_module(file, factory=f"{factory}:small" if with_factory else None)
    assert not marker.exists()
    with contextlib.suppress(BadFile):
        load_module(file, trust=True)
    assert marker.exists(), "the attack itself must work"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol(protocol: int, file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    attack = Touch(os.system, f"touch {marker}")
    torch.save(attack, file, pickle_protocol=protocol)
    with pytest.raises(BadFile, match=r"(posix|nt)\.system"):
        load_module(file)
    with pytest.raises(BadFile):
        load_module(file, factory="nowhere:small")
    assert not marker.exists()


CALLS = {
    "constructor": b"\x80\x02ctorch.nn.modules.linear\nLinear\nK\x02K\x02\x86R.",
    "new with arguments": b"\x80\x02ctorch.nn.modules.linear\nLinear\nK\x02\x85\x81}b.",
    "no state": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.",
}


@pytest.mark.parametrize("name", CALLS)
def test_constructors_are_not_called(name: str, file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", CALLS[name])
        archive.writestr("model/version", "3")
        archive.writestr("model/byteorder", "little")
    with pytest.raises(BadFile, match=r"model is a torch.nn.modules.linear.Linear that no torch.save has"):
        load_module(file)


def tampered(**attributes: Any) -> nn.Module:
    module = nn.Sequential(nn.ReLU(), nn.ReLU())
    vars(module[1]).update(attributes)
    return module


def cyclic() -> nn.Module:
    module = nn.Sequential(nn.ReLU())
    module._modules["again"] = module
    return module


def hook(module: nn.Module) -> nn.Module:
    module._forward_hooks[0] = nn.Identity()
    return module


TAMPERED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "method": (lambda: tampered(forward=nn.Identity()), "model._modules.1 replaces 'forward'"),
    "method by a class": (lambda: tampered(extra_repr=nn.Identity), "replaces 'extra_repr'"),
    "dunder": (lambda: tampered(__deepcopy__=nn.Identity()), "replaces '__deepcopy__'"),
    "hook": (lambda: hook(nn.ReLU()), r"model has hooks, which are code \(_forward_hooks\)"),
    "class as a value": (lambda: tampered(extra=nn.Linear), "model._modules.1.extra is no data but 'torch"),
    "cycle": (cyclic, "model._modules.again contains itself"),
    "buffers": (lambda: tampered(_buffers=[1]), "model._modules.1 has no _buffers"),
    "no module": (lambda: tampered(_modules={"a": 3}), "model._modules.1.a is no Module"),
    "no state": (lambda: tampered(_modules=None), "has no _modules"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_modules(name: str, file: Path) -> None:
    make, text = TAMPERED[name]
    torch.save(make(), file)
    with pytest.raises(BadFile, match=text):
        load_module(file)


def test_a_module_without_its_attributes(file: Path) -> None:
    layer = nn.Linear(2, 2)
    del layer.in_features
    torch.save(layer, file)
    with pytest.raises(BadFile, match=r"holds a damaged module .AttributeError: .*in_features"):
        load_module(file)
    neuron = LIF()
    del neuron.leak
    torch.save(neuron, file)
    with pytest.raises(BadFile, match=r"holds a damaged module .AttributeError: .*leak"):
        load_module(file)


def test_trust_wraps_errors(file: Path) -> None:
    torch.save({"a": Touch(int, "x")}, file)
    with pytest.raises(BadFile, match="cannot be loaded: ValueError: invalid literal"):
        load_module(file, trust=True)
    torch.save({"a": Touch(sys.exit, 3)}, file)
    with pytest.raises(BadFile, match="cannot be loaded: SystemExit: 3"):
        load_module(file, trust=True)
