"""What fails in snncc while a model runs is not said to be the model's, and the other way round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snncc
import snncc.nn
from snncc.cli import main
from snncc.errors import CannotTrace, Defect
from snncc.frontends import torch_neurons
from snncc.frontends.torch_operations import HANDLERS

X = torch.rand(4, 3)


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), snncc.nn.LIF(0.5, 0.5), nn.Linear(5, 2))


def broken(*_: object, **__: object) -> Any:
    raise KeyError("of ours")


def test_a_handler_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HANDLERS, "addmm", broken)
    with pytest.raises(Defect, match=r"^0: snncc fails to record addmm: KeyError: 'of ours'\n") as caught:
        snncc.trace(model(), X, 5, "B")
    assert "a defect of snncc, not of the model" in caught.value.hint
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_neuron_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_neurons, "parameters_of", broken)
    with pytest.raises(Defect, match=r"^1: snncc fails to record this neuron: KeyError: 'of ours'"):
        snncc.trace(model(), X, 5, "B")


def test_the_command_line_shows_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(model(), tmp_path / "model.pt")
    flags = ["check", str(tmp_path / "model.pt"), "--input-shape", "3", "--timesteps", "5", "--layout", "B"]
    assert main(flags) == 0
    capsys.readouterr()
    monkeypatch.setitem(HANDLERS, "addmm", broken)
    assert main(flags) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: 0: snncc fails to record addmm")
    assert "Traceback" not in shown
    assert "the model fails" not in shown


class Wrong(nn.Module):
    """Adds what has another shape, in a line of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(7)


def test_a_mistake_of_the_model_is_the_model_s() -> None:
    with pytest.raises(
        CannotTrace, match=r"^the model fails on an input of shape .* at test_defects.py:\d+: "
    ):
        snncc.trace(nn.Sequential(model(), Wrong()), X, 5, "B")
