"""Files of others: nir 1.0.4 (installed), nir 1.0.8 (recorded), Sinabs; and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

import snncc
from snncc.cli import main
from snncc.errors import BadInput
from snncc.ir import Dense, Reset, save_graph
from tests.frontends.nir_files import RECORDED, load, outputs
from tests.frontends.nir_networks import HARD, data, layer


def test_a_file_of_nir_1_0_8() -> None:
    """Affine, CubaLIF with v_reset (0, 0.25), Linear back: written with dt = 1e-4 in mind."""
    graph = load(RECORDED)
    rng = np.random.default_rng(0)
    x = rng.normal(0.4, 1, (20, 4, 3))
    weight = np.array([[0.5, -0.25, 1], [1, 0.5, -0.75]])
    rec = np.array([[0, -0.5], [0.75, 0]])
    tau_syn, tau_mem = (float(np.float32(value)) for value in (4e-4, 8e-4))
    i, v, z, expected = (*(np.zeros((4, 2)) for _ in range(3)), [])
    for drive in x:
        i = i + 1e-4 / tau_syn * (4 * (drive @ weight.T + [0.125, 0] + z @ rec.T) - i)
        v = v + 1e-4 / tau_mem * (8 * i - v)
        z = (v > [1, 1.5]).astype(float)
        v = np.where(z > 0, [0, 0.25], v)
        expected.append(z)
    assert 0.05 < np.mean(expected) < 0.95
    np.testing.assert_array_equal(outputs(graph, x), expected)
    with pytest.raises(BadInput, match=r"v_reset = .*, which contradicts 'subtract'"):
        load(RECORDED, reset="subtract")


def test_a_file_of_nir_1_0_4(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weight, theta = rng.normal(0.3, 0.5, (4, 3)), rng.uniform(0.5, 1, 4)
    nodes = {
        "in": nir.Input(np.array([3])),
        "fc": nir.Linear(weight),
        "lif": nir.LIF(tau=np.full(4, 5e-4), r=np.full(4, 5.0), v_leak=np.zeros(4), v_threshold=theta),
        "out": nir.Output(np.array([4])),
    }
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "out")]
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes, edges))
    with pytest.raises(BadInput, match=r"of NIR version 1\.0\.4, does not say how the potential is reset"):
        load(tmp_path / "n.nir")
    graph = load(tmp_path / "n.nir", reset="subtract")
    dense = graph["fc"]
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(dense.weight, weight)
    x = rng.normal(0.5, 1, (20, 2, 3))
    v, expected = np.zeros((2, 4)), []
    for drive in x:
        v = 0.8 * v + drive @ weight.T
        expected.append(v > theta)
        v = v - (v > theta) * theta
    assert np.any(expected)
    np.testing.assert_array_equal(outputs(graph, x), expected)


SPIKINGJELLY = [0, 1028, 64, 260, 1105, 0, 4, 1344, 20, 1025, 68, 1024, 324, 1040, 69]
SPIKINGJELLY += [1024, 68, 256, 1108, 1, 1092, 0, 1348, 16, 1029, 64, 1028, 320, 1044, 1]
"""Spikes of each timestep, 3 samples of 4 neurons, as the bits of a number."""


def test_a_network_of_spikingjelly() -> None:
    """Written by SpikingJelly 2.0.0 through nir 1.0.8, beside the spikes that it computed.

    Conv2d, IFNode, AvgPool2d, Flatten, Linear, LIFNode(tau=4), with dt = 1e-4 and hard resets.
    """
    x = (3 * np.random.default_rng(0).random((30, 3, 1, 4, 4))).astype(np.float32)
    graph = snncc.load(RECORDED.with_name("nir_spikingjelly.nir"), dt=1e-4, timesteps=30)
    spikes = outputs(graph, x.astype(np.float64)).reshape(30, 12)
    assert (spikes @ (1 << np.arange(12))).tolist() == SPIKINGJELLY


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")
def test_a_network_of_sinabs(tmp_path: Path) -> None:
    """IAFSqueeze subtracts and counts in timesteps: dt = 1. Its several spikes in a timestep NIR loses."""
    from sinabs.layers import IAFSqueeze
    from sinabs.nir import to_nir

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 8), IAFSqueeze(batch_size=1), torch.nn.Linear(8, 5), IAFSqueeze(batch_size=1)
    )
    x = torch.rand(30, 6)
    nir.write(tmp_path / "s.nir", to_nir(net, x))
    graph = snncc.load(tmp_path / "s.nir", reset="subtract", dt=1.0, timesteps=30)
    for one in net:
        if isinstance(one, IAFSqueeze):
            one.reset_states()
    with torch.no_grad():
        theirs = net(x).numpy()
    assert theirs.sum() > 0
    assert theirs.max() == 1
    np.testing.assert_array_equal(outputs(graph, x.numpy().astype(np.float64)[:, None])[:, 0], theirs)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft = layer(snncc.ir.NeuronParameters())
    save_graph(soft, tmp_path / "g.snn")
    file, out = tmp_path / "g.nir", tmp_path / "out"
    code, _, err = call(capsys, "export", tmp_path / "g.snn", "-o", file)
    assert code == 1
    assert not file.exists()
    assert "NIR cannot say 1 part" in err
    assert "reset: subtract" in err
    assert "--lossy" in err
    code, text, _ = call(capsys, "export", tmp_path / "g.snn", "-o", file, "--lossy", "--dt", "1e-3")
    assert code == 0
    assert text.splitlines()[0].startswith("lost to others: lif (Neuron, model.py:7): reset: subtract")
    assert text.splitlines()[-1] == f"exported as NIR 1.0.8, a timestep of 0.001 s (--dt): {file}"
    np.savez(tmp_path / "x.npz", x=data())
    code, text, _ = call(capsys, "compile", file, "--calibration", tmp_path / "x.npz", "-o", out)
    assert code == 0
    assert "1 neuron layers" in text
    code, text, _ = call(capsys, "export", out, "-o", file, "--lossy", "--json")
    assert code == 0
    said = json.loads(text)
    assert (len(said["losses"]), said["dt"], said["network_dt"]) == (1, 1e-3, 1e-3)
    steps = {"": "of 0.001 s, as it was read", "1e-4": "of 0.0001 s (--dt); it was read with 0.001 s, so"}
    for dt, line in steps.items():
        code, text, _ = call(capsys, "export", out, "-o", file, "--lossy", *(["--dt", dt] if dt else []))
        assert (code, line in text.splitlines()[-1]) == (0, True), text
    assert snncc.load(file).neurons[0].parameters.reset is Reset.SUBTRACT
    assert call(capsys, "check", file)[0] == 0


def test_command_line_asks_for_the_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {
        "in": nir.Input(np.array([2])),
        "if": nir.IF(r=np.full(2, 1e4), v_threshold=np.ones(2)),
        "out": nir.Output(np.array([2])),
    }
    file, np_file = tmp_path / "n.nir", tmp_path / "x.npz"
    nir.write(file, nir.NIRGraph(nodes, [("in", "if"), ("if", "out")]))
    np.savez(np_file, x=data()[:, :, :2])
    common = ("compile", file, "--calibration", np_file, "-o", tmp_path / "out", "--precision", "float")
    assert "--timesteps" in call(capsys, *common)[2]
    assert "--dt 1e-4" in call(capsys, *common, "--timesteps", 25)[2]
    assert "--reset subtract" in call(capsys, *common, "--timesteps", 25, "--dt", 1e-4)[2]
    code, _, err = call(capsys, *common, "--timesteps", 25, "--dt", 1e-4, "--reset", "zero")
    assert code == 0, err
    program = snncc.load_program(tmp_path / "out")
    v, expected = np.zeros((3, 2)), []
    for drive in data()[:, :, :2]:
        v = v + drive
        expected.append(v > 1)
        v = np.where(v > 1, 0, v)
    np.testing.assert_array_equal(program.run(data()[:, :, :2]).output, expected)


def test_only_networks_that_nir_knows_are_models(tmp_path: Path) -> None:
    snncc.save_nir(layer(HARD), tmp_path / "g.nir")
    with pytest.raises(BadInput, match="holds a graph, not a PyTorch model"):
        snncc.load_model(tmp_path / "g.nir")
