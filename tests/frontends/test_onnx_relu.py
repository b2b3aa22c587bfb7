"""Plain ReLU networks from ONNX: exact in floats, and as counts with an error that is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import snncc
from snncc.backends.target import DoesNotFit
from snncc.cli import main
from snncc.errors import BadInput
from snncc.ir import Array
from snncc.passes import CountRectifiers
from tests.frontends.onnx_networks import Net, saved, session


def digits(path: Path) -> tuple[Path, Array, Array, Array]:
    """A small trained ReLU network, test images and labels, and the runtime's logits."""
    data = load_digits()
    x, y = (data.data / 16).astype(np.float32), data.target
    trained = MLPClassifier((48, 32), max_iter=30, random_state=0, tol=1.0, n_iter_no_change=30).fit(
        x[:1200], y[:1200]
    )
    net = Net(np.random.default_rng(0))
    now = "x"
    for k, (weight, bias) in enumerate(zip(trained.coefs_, trained.intercepts_, strict=True)):
        tensors = [net.tensor(weight.astype(np.float32)), net.tensor(bias.astype(np.float32))]
        now = net.node("Gemm", [now, *tensors], (weight.shape[1],))
        now = now if k == 2 else net.relu(now)
    model = net.model([now], (64,))
    (logits,) = session(model).run(None, {"x": x[1200:]})
    return saved(model, path / "net.onnx"), x, y, logits


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_relu_becomes_counts(tmp_path: Path) -> None:
    path, x, y, logits = digits(tmp_path)
    graph = snncc.load(path)
    exact = snncc.compile(graph, precision="float").run(x[1200:]).output
    assert np.allclose(exact, logits, atol=1e-4)
    with pytest.raises(DoesNotFit, match="--relu-levels 15"):
        snncc.compile(graph, calibration=x[:200])
    with pytest.raises(BadInput, match="to make it count needs calibration data"):
        snncc.compile(graph, relu_levels=15, input_range=(0, 1))
    with pytest.raises(BadInput, match="counts of 1 to 255 levels, not 0"):
        CountRectifiers(0)
    errors, scores = [], []
    for levels in (2, 4, 15):
        program = snncc.compile(graph, relu_levels=levels, calibration=x[:300])
        result = program.run(x[1200:])
        assert result.counts.total("spikes") > 0
        assert any(line.startswith("count-rectifiers") for line in program.measured), program.measured
        assert "predictions changed" in program.measured[-1]
        assert all(node.parameters.max_count == levels for node in program.graph.neurons)
        errors.append(float(np.sqrt(np.mean((result.output - logits) ** 2))))
        scores.append(float(np.mean(result.output.argmax(1) == y[1200:])))
    ours = float(np.mean(logits.argmax(1) == y[1200:]))
    assert ours > 0.85
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.1 * np.std(logits)
    assert scores[2] > ours - 0.01
    assert scores[1] > ours - 0.05


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_relu_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, x, *_ = digits(tmp_path)
    np.savez(tmp_path / "x.npz", x=x[:100])
    arguments = ["compile", str(path), "--calibration", str(tmp_path / "x.npz"), "-o", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "--relu-levels 15" in capsys.readouterr().err
    assert main([*arguments, "--relu-levels", "4"]) == 0
    assert "count-rectifiers" in capsys.readouterr().out
    assert snncc.load_program(tmp_path / "out").run(x[:9]).output.shape == (9, 10)
