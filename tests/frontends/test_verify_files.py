"""`verify` with an ONNX or a NIR file as the model: onnxruntime, or the file read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import snncc
from snncc.api import Claim
from snncc.cli import main
from snncc.errors import BadFile, BadInput, MissingDependency, NotEqual
from snncc.frontends import onnx_quantized, staircase
from snncc.ir import Array
from tests.frontends.nir_files import chain, unit
from tests.frontends.nir_networks import WEIGHT, N, T, data
from tests.frontends.onnx_networks import Net, net_of_codes, random_net, saved


def compiled(seed: int, folder: Path, *, is_power: bool = True) -> tuple[snncc.Program, Path, Array]:
    model, net = random_net(seed, is_power=is_power)
    scale = np.float32(next(iter(net.scales.values())))
    x = np.random.default_rng(1).integers(0, 256, (3, *net.shapes["x"])).astype(np.float32) * scale
    path = saved(model, folder / "net.onnx")
    return snncc.compile(snncc.load(path), calibration=x), path, x


@pytest.mark.parametrize("seed", range(4))
def test_onnxruntime_is_the_model(seed: int, tmp_path: Path) -> None:
    """Every neuron layer is compared on what the runtime itself sent, and then the outputs."""
    program, path, x = compiled(seed, tmp_path, is_power=seed % 2 == 0)
    proof = snncc.verify(program, path, x)
    proof.check()
    first = proof.stages[0]
    assert (first.name, first.claim) == ("model -> trace", Claim.EQUAL_IN_FLOAT32)
    graph = program.stages[0].graph
    assert {layer.layer for layer in first.layers} == {node.name for node in (*graph.neurons, *graph.outputs)}
    assert sum(layer.compared for layer in first.layers) > 1000
    assert first.differing == 0
    assert first.note == "onnxruntime without optimizations"
    assert sum(layer.mean_error for layer in first.layers[: len(graph.neurons)]) == 0


def test_an_error_of_the_front_end_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A staircase half a code too late, in reading and in verifying."""

    def late(code: staircase.Code, quantizer: staircase.Quantizer, *signal: Any) -> tuple[int, Array]:
        least, steps = staircase.staircase(code, quantizer, *signal)
        return least, steps + quantizer.scale / 2

    monkeypatch.setattr(onnx_quantized, "staircase", late)
    program, path, x = compiled(1, tmp_path)
    proof = snncc.verify(program, path, x)
    assert not proof.stages[0].holds
    assert proof.first is not None
    assert proof.first.origin.endswith("(QuantizeLinear)")
    with pytest.raises(NotEqual, match="model -> trace is not equal but for rounding in float32"):
        proof.check()


def test_another_file_is_named(tmp_path: Path) -> None:
    program, path, x = compiled(1, tmp_path)
    model = onnx.load_model_from_string(path.read_bytes())
    weight = next(
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1
    )
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed.flat[0] ^= 1
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    other = saved(model, tmp_path / "other.onnx")
    with pytest.raises(NotEqual, match=r"other\.onnx is not the one that the graph was traced from"):
        snncc.verify(program, other, x)


def test_models_of_one_sample_and_of_codes(tmp_path: Path) -> None:
    """A batch that the file fixes, and an input of 8 bits; the codes themselves are an output."""
    model = net_of_codes()
    for size in (1, 3):
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = size
        path = saved(model, tmp_path / f"{size}.onnx")
        x = np.random.default_rng(1).integers(0, 256, (5, 2, 6, 6)).astype(np.uint8)
        proof = snncc.verify(snncc.compile(snncc.load(path)), str(path), x)
        proof.check()
        assert (proof.samples, proof.stages[0].differing, proof.stages[0].output_error) == (5, 0, 0)


@pytest.mark.parametrize("levels", [None, 4])
def test_plain_rectifiers_are_compared_by_their_outputs(levels: int | None, tmp_path: Path) -> None:
    rng, net, now = np.random.default_rng(0), Net(np.random.default_rng(0)), "x"
    for k, (inner, outer) in enumerate([(16, 12), (12, 8), (8, 3)]):
        weight = (rng.normal(0, 1, (inner, outer)) / np.sqrt(inner)).astype(np.float32)
        tensors = [net.tensor(weight), net.tensor(rng.normal(0, 0.1, outer).astype(np.float32))]
        now = net.node("Gemm", [now, *tensors], (outer,))
        now = now if k == 2 else net.relu(now)
    path = saved(net.model([now], (16,)), tmp_path / "net.onnx")
    x = rng.random((6, 16))
    how: dict[str, Any] = {"precision": "float"} if levels is None else {"relu_levels": levels}
    program = snncc.compile(snncc.load(path), calibration=x, timesteps=2, **how)
    proof = snncc.verify(program, path, x)
    proof.check()
    assert [layer.layer for layer in proof.stages[0].layers] == ["output"]
    assert 0 < proof.stages[0].output_error < 1e-5
    assert program.run(x).output.std() > 0.01


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, path, x = compiled(1, tmp_path)
    monkeypatch.setattr("snncc.frontends.onnx_observe.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="onnxruntime is not installed") as caught:
        snncc.verify(program, path, x)
    assert "pip install 'snncc[onnxruntime]'" in str(caught.value)


def lif(path: Path, *, theta: float = 0.75) -> Path:
    """A layer whose file, of NIR before 1.0.6, says no reset, no step and no timesteps."""
    fields = {"tau": [3e-3], "r": [3.0], "v_leak": [0.0], "v_threshold": [theta]}
    one = unit("LIF", **{name: np.array(value * N) for name, value in fields.items()})
    return chain(path, [N], unit("Linear", weight=WEIGHT), one, out=[N], version="1.0.4")


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_nir_file_is_read_again(reset: str, tmp_path: Path) -> None:
    path, other = lif(tmp_path / "a.nir"), lif(tmp_path / "b.nir", theta=0.8)
    graph = snncc.load(path, reset=reset, dt=1e-3, timesteps=T, over="sum")
    program = snncc.compile(graph, calibration=data())
    assert program.run(data()).spikes["b"].sum() > 10
    proof = snncc.verify(program, path, data())
    proof.check()
    assert proof.stages[0].note == "read again; the reference executor ran it"
    assert sum(layer.compared for layer in proof.stages[0].layers) >= T * N
    with pytest.raises(
        NotEqual, match=r"^b \(NIR LIF\): .*b\.nir is not the one that the graph was traced from"
    ):
        snncc.verify(program, other, data())
    with pytest.raises(BadInput, match=r"a model to compare with is a PyTorch module, \.onnx or \.nir"):
        snncc.verify(program, tmp_path / "a.snn", data())


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, path, x = compiled(2, tmp_path)
    program.save(tmp_path / "out")
    np.savez(tmp_path / "x.npz", x=x)
    call = ["verify", str(tmp_path / "out"), "--input", str(tmp_path / "x.npz"), "--model"]
    assert main([*call, str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["stages"][0]["claim"]) == (True, "equal but for rounding in float32")
    assert main([*call, str(path)]) == 0
    assert "model -> trace" in capsys.readouterr().out
    assert main([*call, str(tmp_path / "out" / "0-trace.snn")]) == 1
    assert "holds a graph, not a PyTorch model" in capsys.readouterr().err
    (tmp_path / "damaged.onnx").write_bytes(path.read_bytes()[:200])
    assert main([*call, str(tmp_path / "damaged.onnx")]) == 1
    assert "damaged.onnx: is no ONNX model, or damaged" in capsys.readouterr().err
    with pytest.raises(BadFile):
        snncc.verify(program, tmp_path / "damaged.onnx", x)
