"""`--factory`: the function that builds the model, and weights that do not fit it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from snncc.errors import BadInput, UnknownName
from snncc.frontends.checkpoints import load_module


def test_weights_that_do_not_fit(file: Path, factory: str) -> None:
    torch.save({"0.weight": torch.ones(2, 4), "1.bias": torch.ones(2)}, file)
    with pytest.raises(BadInput) as caught:
        load_module(file, factory=f"{factory}:small")
    assert str(caught.value) == (
        f"{file}: does not fit the model of '{factory}:small'\n"
        "  missing in the file: 0.bias\n"
        "  unknown to the model: 1.bias\n"
        "  other shapes: 0.weight (2, 4) instead of (2, 3)"
    )
    torch.save({f"layer{k}": torch.ones(1) for k in range(20)}, file)
    with pytest.raises(BadInput, match=r"unknown to the model: layer0, .*, layer7, and 12 more"):
        load_module(file, factory=f"{factory}:small")


FACTORIES = {
    "broken": r"factory '.*:broken' raised KeyError: 'first' \(build.py:7\)",
    "quits": r"factory '.*:quits' raised SystemExit: usage: build.py \(build.py:9\)",
    "number": "factory '.*:number' returned int, not a torch.nn.Module",
    "needs": r"factory '.*:needs' raised TypeError: needs\(\) missing 1 required positional argument",
    "constant": "factory '.*:constant': constant is no function but int",
}


@pytest.mark.parametrize("name", FACTORIES)
def test_bad_factories(name: str, file: Path, factory: str) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), file)
    with pytest.raises(BadInput, match=FACTORIES[name]):
        load_module(file, factory=f"{factory}:{name}")


def test_factories_that_are_not_there(file: Path, factory: str, tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), file)
    with pytest.raises(UnknownName, match=r"unknown function of .* 'smal'; known: .*small") as caught:
        load_module(file, factory=f"{factory}:smal")
    assert caught.value.hint == "did you mean 'small'?"
    for spec, text in {
        "small": "factory 'small': is no module and function with a colon between",
        "nowhere.at_all:small": "factory 'nowhere.at_all:small': there is no module 'nowhere'",
        "nowhere.py:small": "factory 'nowhere.py:small': there is no file 'nowhere.py'",
    }.items():
        with pytest.raises(BadInput, match=text) as wrong:
            load_module(file, factory=spec)
        assert "--factory takes package.module:function or file.py:function" in wrong.value.hint
    broken = tmp_path / "broken.py"
    broken.write_text("import torch\n1 / 0\n")
    with pytest.raises(BadInput, match=r"importing .* raised ZeroDivisionError: .* \(broken.py:2\)"):
        load_module(file, factory=f"{broken}:small")
    broken.write_text("import nothing_of_this_name\n")
    with pytest.raises(BadInput, match=r"importing .* ModuleNotFoundError: .*nothing_of_this_name"):
        load_module(file, factory=f"{broken}:small")
    broken.write_text("def small(:\n")
    with pytest.raises(BadInput, match=r"importing .* raised SyntaxError: .*broken.py, line 1"):
        load_module(file, factory=f"{broken}:small")


def test_factory_in_the_current_directory(file: Path, factory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.Sequential(nn.Linear(3, 2)).state_dict(), file)
    monkeypatch.chdir(file.parent)
    before = list(sys.path)
    monkeypatch.delitem(sys.modules, "build", raising=False)
    assert isinstance(load_module("model.pt", factory="build:small"), nn.Sequential)
    assert isinstance(load_module("model.pt", factory="build.py:small"), nn.Sequential)
    assert sys.path == before
    sys.modules.pop("build", None)
