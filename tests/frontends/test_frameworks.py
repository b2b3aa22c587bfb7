"""All frameworks: their tutorials' models through one command, what is imported, what is documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snncc.cli import main
from snncc.frontends.cells import FRAMEWORKS, supported
from tests.frontends import tutorials

FLAGS = {
    "norse": ["--layout", "TB", "--timesteps", "6", "--precision", "float"],
    "sinabs": ["--layout", "BT", "--timesteps", "6", "--target", "speck", "--input-kind", "spike"],
    "snntorch": ["--layout", "B", "--timesteps", "10", "--input-range", "0,1"],
    "snntorch_potentials": ["--layout", "B", "--timesteps", "10", "--precision", "float"],
    "spikingjelly": ["--layout", "B", "--timesteps", "4", "--input-range", "0,1"],
}
TITLES = {
    "norse": "Norse 1.1",
    "sinabs": "sinabs 3.1",
    "snntorch": "snnTorch 1.0",
    "spikingjelly": "SpikingJelly 2.0",
}
PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"


def test_every_framework_has_a_tutorial() -> None:
    assert set(FRAMEWORKS) <= set(FLAGS)


@pytest.mark.parametrize("framework", FLAGS)
def test_a_model_of_the_tutorial_compiles(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out, data = tmp_path / "model.pt", tmp_path / "out", tmp_path / "x.npz"
    factory = f"{tutorials.__file__}:{framework}_model"
    torch.save(getattr(tutorials, f"{framework}_model")().state_dict(), weights)
    flags = ["--factory", factory, "--input-shape", "1,8,8", *FLAGS[framework]]
    code = main(["compile", str(weights), *flags, "-o", str(out)])
    assert code == 0, capsys.readouterr().err
    rows = (5,) if "B" in FLAGS[framework] else (5, 6) if "BT" in FLAGS[framework] else (6, 5)
    x = np.random.default_rng(0).random((*rows, 1, 8, 8))
    np.savez(data, x=(x > 0.5) if framework == "sinabs" else x)
    code = main(["verify", str(out), "--model", str(weights), "--factory", factory, "--input", str(data)])
    words = capsys.readouterr()
    assert code == 0, words.out + words.err


LOOK = """
import sys, torch, snncc, snncc.frontends.from_torch
from torch import nn
def imported():
    return sorted({name.partition(".")[0] for name in sys.modules} & set(FRAMEWORKS))
from snncc.frontends.cells import FRAMEWORKS
snncc.trace(nn.Sequential(nn.Linear(3, 2), snncc.nn.IF(1.0)), torch.rand(2, 3), 4, "B")
print(imported())
import snntorch
snncc.trace(nn.Sequential(snntorch.Leaky(0.9, init_hidden=True)), torch.rand(2, 3), 4, "B")
print(imported())
"""


def test_no_framework_is_imported_that_the_model_does_not_use() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "['snntorch']"], done.stderr


def table() -> str:
    """What the page says of the frameworks, from the code."""
    lines = ["| framework | taken | options |", "|---|---|---|"]
    for framework in FRAMEWORKS:
        taken, _ = supported(framework)
        lines += [f"| {TITLES[framework]} | {name} | {what} |" for name, what in taken.items()]
    lines += ["", "| framework | refused | why |", "|---|---|---|"]
    for framework in FRAMEWORKS:
        _, refused = supported(framework)
        lines += [f"| {TITLES[framework]} | {name} | {why} |" for name, why in refused.items()]
    return "\n".join(lines)


def test_the_page_says_what_the_code_does() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("with the code -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == table()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_class_is_documented(framework: str) -> None:
    taken, refused = supported(framework)
    module = sys.modules[FRAMEWORKS[framework]]
    names = {name for key in taken for name in key.split(", ")}
    assert {cls.__name__ for cls in module.CELLS} <= names
    assert not names & set(refused)
