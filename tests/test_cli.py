"""The command line: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snncc.cli import COMMANDS, main
from snncc.ir import save_graph
from tests.api.networks import images, sfa_graph
from tests.joules import joules


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    save_graph(sfa_graph(), folder / "model.snn")
    np.savez(folder / "x.npz", x=images(), y=np.arange(24) % 5)
    np.savez(folder / "unlabeled.npz", x=images())
    compiled = main(
        ["compile", f"{folder}/model.snn", "--calibration", f"{folder}/x.npz", "-o", f"{folder}/out"]
    )
    assert compiled == 0
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_compile_says_what_each_pass_preserves(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, out = files / "model.snn", files / "x.npz", files / "again"
    code, printed, errors = call(capsys, "compile", model, "--calibration", data, "-o", out)
    assert (code, errors) == (0, "")
    assert "pass fold-batch-norm: exact" in printed
    assert "pass quantize: approximate" in printed
    code, printed, _ = call(capsys, "compile", model, "--calibration", data, "-o", out, "--json")
    passes = {one["name"]: one["preserves"] for one in json.loads(printed)["passes"]}
    assert passes["expand-counts"] == "exact"


def test_simulate_prints_costs_and_writes_a_report(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, outputs = files / "r.html", files / "y.npz"
    arguments = ("simulate", files / "out", "--input", files / "x.npz")
    code, printed, _ = call(capsys, *arguments, "--report", report, "--save-output", outputs)
    assert code == 0
    assert "paper accounting: 4.6 pJ/MAC, 0.9 pJ/AC" in printed
    html = report.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "http" not in html, "the report loads nothing from outside"
    assert np.load(outputs)["y"].shape == (24, 5)
    code, printed, _ = call(capsys, *arguments, "--json")
    total = json.loads(printed)["counts"]["total"]
    assert total["ac"] > 0
    assert total["energy"] == joules(4.6e-12 * total["mac"] + 0.9e-12 * total["ac"])


def test_verify_evaluate_check(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = call(capsys, "verify", files / "out", "--input", files / "x.npz")
    assert code == 0
    assert printed.strip().endswith("verify: the proof holds on 24 samples")
    code, printed, _ = call(capsys, "verify", files / "out", "--input", files / "x.npz", "--json")
    assert json.loads(printed)["holds"] is True
    code, printed, _ = call(
        capsys, "evaluate", files / "out", "--input", files / "x.npz", "--timesteps", "1,2"
    )
    assert code == 0
    assert len([line for line in printed.splitlines() if "/24" in line]) == 2
    code, printed, _ = call(capsys, "check", files / "model.snn")
    assert (code, printed) == (0, "fits sim\n")


def test_targets_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"loihi", "sim"} <= {line.split()[0] for line in call(capsys, "targets")[1].splitlines()}
    found = json.loads(call(capsys, "targets", "--json")[1])
    assert found["targets"]["sim"]
    assert "mesh" in found["chips"]
    assert "approximate" in call(capsys, "passes")[1]
    assert {row["name"] for row in json.loads(call(capsys, "passes", "--json")[1])} >= {"quantize"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compile", "{f}/none.snn", "-o", "{f}/o"], "none.snn: cannot be read: No such file"),
        (["compile", "{f}/model.xyz", "-o", "{f}/o"], "unknown kind of file '.xyz'; known: .snn"),
        (["compile", "{f}/model.snn", "-o", "{f}/o"], "--calibration x.npz"),
        (["compile", "{f}/model.snn", "--precision", "float", "-o", "{f}/x.npz"], "is no snncc program"),
        (["compile", "{f}/model.snn", "--target", "loihj", "-o", "{f}/o"], "unknown target 'loihj'"),
        (["simulate", "{f}/none", "--input", "{f}/x.npz"], "is no program folder"),
        (["simulate", "{f}/out", "--input", "{f}/none.npz"], "none.npz: cannot be read: No such file"),
        (["simulate", "{f}/out", "--input", "{f}/model.snn"], "is no readable .npz"),
        (["simulate", "{f}/out", "--input", "{f}/x.npz", "--report", "{f}/no/r.html"], "cannot be written"),
        (["evaluate", "{f}/out", "--input", "{f}/unlabeled.npz"], "needs labels 'y'"),
        (["evaluate", "{f}/out", "--input", "{f}/x.npz", "--timesteps", "0"], "needs timesteps >= 1"),
        (["verify", "{f}/out", "--input", "{f}/x.npz", "--samples", "0"], "at least one sample"),
    ],
)
def test_errors_go_to_stderr_with_code_1(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, printed, errors = call(capsys, *(a.format(f=files) for a in arguments))
    assert code == 1
    assert printed == ""
    assert errors.startswith("error: ")
    assert words in errors
    code, printed, _ = call(capsys, *(a.format(f=files) for a in arguments), "--json")
    assert code == 1
    assert json.loads(printed)["error"]


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["compile"], ["compile", "m.snn", "-o", "o", "--weight-bits", "x"]]
)
def test_a_wrong_command_line_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_pickle_in_a_data_file_is_not_run(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(files / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    code, _, errors = call(capsys, "simulate", files / "out", "--input", files / "objects.npz")
    assert code == 1
    assert "is no readable .npz" in errors


def test_a_pipe_that_closes_early_is_no_traceback(files: Path) -> None:
    command = f"{sys.executable} -m snncc simulate {files}/out --input {files}/x.npz | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stderr == "", "no progress bar in a pipe"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_too_little_memory_is_said(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_much(_: object) -> int:
        raise MemoryError("Unable to allocate 8.00 TiB for an array")

    monkeypatch.setitem(COMMANDS, "targets", (lambda _: None, too_much, "none"))
    assert main(["targets", *flags]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: not enough memory: Unable to allocate 8.00 TiB")
    assert "hint: take fewer samples" in err
    assert not flags or "not enough memory" in json.loads(out)["error"]
