"""Models given to the command line: what is opened, what is refused, and what never runs."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from snncc.cli import main
from snncc.nn import SFA

SHAPE = ("--input-shape", "1,6,6", "--layout", "B")


def net() -> nn.Sequential:
    """Also the factory of the tests."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), SFA(4), nn.Flatten(), nn.Linear(64, 5)).eval()


class Foreign(nn.Module):
    """A class of the user's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


class Leaks(nn.Module):
    """A neuron of the user's that nobody registered."""

    def __init__(self, adapts: float = 0.0) -> None:
        super().__init__()
        self.adapts, self.theta = adapts, 0.5
        self.v = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = 0.75 * self.v + x
        spikes = (u >= self.theta).float()
        self.v = u - spikes * 0.5
        self.theta += self.adapts
        return spikes


def leaky() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), Leaks(), nn.Flatten(), nn.Linear(32, 5)).eval()


def adaptive() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), Leaks(0.01), nn.Flatten(), nn.Linear(32, 5)).eval()


class Malicious:
    """Unpickling it would touch a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.marker,))  # type: ignore[return-value]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("what", ["state dict", "module", "exported"])
def test_each_kind_of_file_compiles_and_verifies(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).uniform(0, 2, (8, 1, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    model, flags = tmp_path / "model.pt", list[str]()
    if what == "state dict":
        torch.save(net().state_dict(), model)
        flags = ["--factory", f"{__file__}:net"]
    elif what == "module":
        torch.save(net(), model)
    else:
        model = tmp_path / "model.pt2"
        batch = {0: torch.export.Dim("batch")}
        torch.export.save(torch.export.export(net(), (torch.from_numpy(x),), dynamic_shapes=(batch,)), model)
    out = tmp_path / "out"
    compiled = call(capsys, "compile", model, *flags, *SHAPE, "--calibration", tmp_path / "x.npz", "-o", out)
    assert compiled[0] == 0, compiled[2]
    code, printed, errors = call(
        capsys, "verify", out, "--model", model, *flags, "--input", tmp_path / "x.npz"
    )
    assert code == 0, errors
    assert "model -> trace (equal in float64): equal" in printed
    other = net()
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    torch.save(other, tmp_path / "other.pt")
    code, _, errors = call(
        capsys, "verify", out, "--model", tmp_path / "other.pt", "--input", tmp_path / "x.npz"
    )
    assert code == 1
    assert "the model is not the one that the graph was traced from" in errors


def test_a_neuron_that_nobody_registered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recognized with evidence, compiled and verified; or refused with a counterexample."""
    model, data, out = tmp_path / "model.pt", tmp_path / "x.npz", tmp_path / "out"
    torch.save(leaky().state_dict(), model)
    x = np.random.default_rng(0).uniform(0, 2, (4, 1, 6, 6)).astype(np.float32)
    np.savez(data, x=x, y=np.zeros(4, np.int64))
    flags = ("--factory", f"{__file__}:leaky")
    words = "1: Leaks recognized by its behavior: theta 0.5, rho 0.5, leak 0.75, reset subtract; "
    code, printed, errors = call(capsys, "check", model, *flags, *SHAPE, "--timesteps", "4")
    assert code == 0, errors
    assert printed.startswith(words)
    assert "1020000 inputs in 55" in printed
    assert ", 0 near ties\n" in printed
    code, printed, errors = call(
        *(capsys, "compile", model, *flags, *SHAPE, "--timesteps", "4", "--calibration", data, "-o", out)
    )
    assert code == 0, errors
    assert printed.startswith(words)
    code, printed, errors = call(capsys, "verify", out, "--model", model, *flags, "--input", data)
    assert code == 0, errors
    code, _, errors = call(
        *(capsys, "check", model, "--factory", f"{__file__}:adaptive", *SHAPE, "--timesteps", "4")
    )
    assert code == 1
    assert "1: Leaks is no member of the one neuron's family; the closest (" in errors
    assert "first differs on the inputs [" in errors


def test_a_malicious_pickle_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marker, model = tmp_path / "touched", tmp_path / "model.pt"
    for save in (torch_zip, plain_pickle):
        save(Malicious(marker), model)
        code, _, errors = call(capsys, "compile", model, *SHAPE, "-o", tmp_path / "out")
        assert code == 1
        assert "Path" in errors or "is a pickle, but not one of torch.save" in errors
        assert not marker.exists()


def torch_zip(value: object, path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(io.BytesIO(buffer.getvalue())) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            is_pickle = entry.filename.endswith("data.pkl")
            target.writestr(entry.filename, pickle.dumps(value, 2) if is_pickle else source.read(entry))


def plain_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, 2))


def test_a_foreign_class_is_named_with_both_ways_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(nn.Sequential(Foreign()), tmp_path / "model.pt")
    code, _, errors = call(capsys, "compile", tmp_path / "model.pt", *SHAPE, "-o", tmp_path / "out")
    assert code == 1
    assert "Foreign" in errors
    assert "--factory" in errors
    assert "--trust" in errors


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "--input-shape"),
        (("--input-shape", "1,6"), "fails on an input of shape"),
        (("--input-shape", "0,6,6"), "shape"),
        (("--input-shape", "1,6,6", "--layout", "TB", "--timesteps", "3"), "shape"),
    ],
)
def test_wrong_shapes_and_layouts_say_so(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(net(), tmp_path / "model.pt")
    code, _, errors = call(
        capsys, "compile", tmp_path / "model.pt", *flags, "--precision", "float", "-o", tmp_path / "out"
    )
    assert code == 1, errors
    assert words in errors
    assert not (tmp_path / "out").exists()
