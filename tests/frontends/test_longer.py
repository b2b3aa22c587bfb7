"""Runs that are longer than what was seen of a model when it was traced: they say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
import snncc.nn
from snncc.cli import main
from snncc.errors import CannotTrace
from snncc.ir import SpikeGraph

TRACED, LONGER = 8, 20
WORDS = "WARNING: runs for 20 timesteps; the model was traced with 8"


class Tired(nn.Module):
    """Sends weaker inputs on from its eleventh call on."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(3, 5), snncc.nn.LIF(0.5, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.lif(self.fc(x) * (1.0 if self.calls <= 10 else 0.25)) / 4


def data() -> np.ndarray:
    return np.random.default_rng(0).random((4, 3)).astype(np.float32) * 3


def graph() -> SpikeGraph:
    return snncc.trace(Tired(), data(), TRACED, "B", over="sum")


def test_a_longer_run_says_so() -> None:
    program = snncc.compile(graph(), input_range=(0, 3))
    assert 0 < program.run(data()).output.mean() < TRACED / 4
    assert program.run(data()).notes == ()
    assert program.run(data(), timesteps=3).notes == ()
    (note,) = program.run(data(), timesteps=LONGER).notes
    assert note.startswith(WORDS)
    report = snncc.evaluate(program, data(), np.zeros(4, int), timesteps=[TRACED, LONGER])
    assert [len(score.notes) for score in report.scores] == [0, 1]


def test_a_program_compiled_for_more_timesteps() -> None:
    """The model itself tells whether it goes on in the same way."""
    program = snncc.compile(graph(), input_range=(0, 3), timesteps=LONGER)
    assert program.run(data()).notes[0].startswith(WORDS)
    assert any(note.startswith(WORDS) for note in snncc.verify(program, None, data()).notes)
    with pytest.raises(CannotTrace, match="does something else in timestep 10 than in timestep 0"):
        snncc.verify(program, Tired(), data())


def test_a_file_and_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snncc.compile(graph(), input_range=(0, 3)).save(tmp_path / "out")
    np.savez(tmp_path / "x.npz", x=data())
    flags = ["simulate", str(tmp_path / "out"), "--input", str(tmp_path / "x.npz")]
    assert main(flags) == 0
    assert "WARNING" not in capsys.readouterr().out
    assert main([*flags, "--timesteps", str(LONGER)]) == 0
    assert WORDS in capsys.readouterr().out


def test_an_engine_of_others_says_so_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning comes before the engine is asked, whatever it does then."""

    def run_engine(self: snncc.Program, engine: str, x: np.ndarray, **options: object) -> object:
        return self.run(x, timesteps=options["timesteps"]).run  # type: ignore[arg-type]

    monkeypatch.setattr(snncc.Program, "run_engine", run_engine)
    snncc.compile(graph(), input_range=(0, 3)).save(tmp_path / "out")
    np.savez(tmp_path / "x.npz", x=data())
    flags = ["simulate", str(tmp_path / "out"), "--input", str(tmp_path / "x.npz"), "--engine", "lava"]
    assert main(flags) == 0
    assert capsys.readouterr().err == ""
    assert main([*flags, "--timesteps", str(LONGER)]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(WORDS)
    assert "4 samples on lava" in shown.out
