"""Networks quantized by onnxruntime's own tool: scales that it measured, whatever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnxruntime import quantization as untyped

import snncc
from snncc.ir import Array
from tests.frontends.onnx_networks import saved

quantization: Any = untyped


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The data of one calibration."""

    def __init__(self, x: Array) -> None:
        self.left = iter([{"x": x}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.left, None)


def residual_network(rng: np.random.Generator) -> Any:
    """conv, ReLU, conv, ReLU, conv + skip, ReLU, pool, dense: as trained, in float32."""
    nodes, tensors = [], []

    def tensor(name: str, *shape: int, about: float) -> str:
        values = (about * rng.normal(size=shape)).astype(np.float32)
        tensors.append(numpy_helper.from_array(values, name))
        return name

    def conv(source: str, name: str, inner: int, kernel: int) -> None:
        weight = tensor(f"{name}.w", 6, inner, kernel, kernel, about=1.4 / np.sqrt(inner) / kernel)
        inputs = [source, weight, tensor(f"{name}.b", 6, about=0.1)]
        nodes.append(helper.make_node("Conv", inputs, [name], name, pads=[kernel // 2] * 4))

    def relu(source: str, name: str) -> None:
        nodes.append(helper.make_node("Relu", [source], [name], name))

    conv("x", "c1", 2, 3)
    relu("c1", "r1")
    conv("r1", "c2", 6, 3)
    relu("c2", "r2")
    conv("r2", "c3", 6, 1)
    nodes.append(helper.make_node("Add", ["c3", "r1"], ["sum"], "sum"))
    relu("sum", "r3")
    nodes.append(helper.make_node("MaxPool", ["r3"], ["p"], "p", kernel_shape=[2, 2], strides=[2, 2]))
    nodes.append(helper.make_node("Flatten", ["p"], ["f"], "f"))
    inputs = ["f", tensor("d.w", 5, 96, about=0.1), tensor("d.b", 5, about=0.1)]
    nodes.append(helper.make_node("Gemm", inputs, ["y"], "d", transB=1))
    ends = [helper.make_tensor_value_info(n, 1, ["N", *s]) for n, s in (("x", (2, 8, 8)), ("y", (5,)))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("per_channel", [False, True])
def test_every_code_is_a_count(per_channel: bool, tmp_path: Path) -> None:
    """The two branches of the sum share no unit: they get weights wide enough to be exact."""
    x = np.random.default_rng(9).random((6, 2, 8, 8)).astype(np.float32)
    path = saved(residual_network(np.random.default_rng(per_channel)), tmp_path / "float.onnx")
    quantized = tmp_path / "quantized.onnx"
    quantization.quantize_static(
        *(str(path), str(quantized), Reader(x)),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    graph = snncc.load(quantized, input_shape=(2, 8, 8))
    program = snncc.compile(graph, calibration=x)
    assert [note.rpartition(": ")[2] for note in program.graph.notes] == ["exact"]
    proof = snncc.verify(program, quantized, x)
    proof.check()
    stages = {stage.name: stage for stage in proof.stages}
    assert sum(layer.compared for layer in stages["model -> trace"].layers) > 8000
    assert stages["model -> trace"].differing <= 1
    assert stages["quantize"].differing == 0
    counts = program.run(x).spikes
    assert all(spikes.mean() > 100 for spikes in counts.values())
