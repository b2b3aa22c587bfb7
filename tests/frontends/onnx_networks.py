"""Random quantized ONNX networks, and what onnxruntime makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[Any]


@dataclass
class Net:
    """An ONNX model that grows node by node; each method returns the name of its result."""

    rng: np.random.Generator
    is_power: bool = True
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    codes: dict[str, tuple[str, int]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def tensor(self, values: Any) -> str:
        self.count += 1
        name = f"t{self.count}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator: str, inputs: list[str], shape: tuple[int, ...] = (), **attributes: Any) -> str:
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(
            helper.make_node(operator, inputs, [name], name=f"/{operator}_{self.count}", **attributes)
        )
        self.shapes[name] = shape
        return name

    def scale(self, about: float) -> float:
        """A scale near *about*: a power of two, or any float32."""
        if self.is_power:
            return float(2.0 ** np.round(np.log2(about)))
        return float(np.float32(about * self.rng.uniform(0.7, 1.4)))

    def weights(
        self, shape: tuple[int, ...], bits: int, about: float, *, by_channel: bool
    ) -> tuple[str, Floats]:
        """Quantized weights behind DequantizeLinear, and their scales."""
        top = 2 ** (bits - 1) - 1
        values = self.rng.integers(-top, top + 1, shape).astype(np.int8)
        count = shape[0] if by_channel else 1
        scales = np.array([self.scale(about / top * self.rng.choice([0.5, 1, 2])) for _ in range(count)])
        given = scales.astype(np.float32) if by_channel else np.float32(scales[0])
        zero = np.zeros(np.shape(given), np.int8)
        inputs = [self.tensor(values), self.tensor(given), self.tensor(zero)]
        attributes = {"axis": 0} if by_channel else {}
        return self.node("DequantizeLinear", inputs, shape, **attributes), scales

    def bias(self, source: str, scales: Floats, size: int, reach: float) -> str:
        """A bias of 32 bits at the scale of the sum."""
        units = np.broadcast_to(scales * self.scales[source], (size,)).astype(np.float32)
        values = np.rint(self.rng.uniform(-reach, reach, size) / units).astype(np.int32)
        return self.node("DequantizeLinear", [self.tensor(values), self.tensor(units)], axis=0)

    def quantized(
        self, source: str, bits: int, top: float, *, zero: int = 0, kind: Any = np.uint8, clip: str = ""
    ) -> str:
        """*source* as codes of *bits* that reach about *top*, and back."""
        scale = self.scale(top / (2**bits - 1))
        parameters = [self.tensor(np.float32(scale)), self.tensor(kind(zero))]
        if clip == "real":
            limits = [np.float32(0), np.float32(scale * (2**bits - 1))]
            source = self.node("Clip", [source, *map(self.tensor, limits)], self.shapes[source])
        code = self.node("QuantizeLinear", [source, *parameters], self.shapes[source])
        made = self.nodes[-1].name.strip("/")
        if clip == "codes":
            info = np.iinfo(kind)
            limits = [kind(max(zero, info.min)), kind(min(zero + 2**bits - 1, info.max))]
            code = self.node("Clip", [code, *map(self.tensor, limits)], self.shapes[source])
        self.codes[code] = (made, zero)
        result = self.node("DequantizeLinear", [code, *parameters], self.shapes[source])
        self.scales[result] = scale
        return result

    def conv(self, source: str, out: int, *, kernel: int = 3, bits: int = 8, groups: int = 1) -> str:
        channels, h, w = self.shapes[source]
        shape = (out, channels // groups, kernel, kernel)
        about = 2.0 / np.sqrt(np.prod(shape[1:]))
        by_channel = bool(self.rng.integers(2))
        weight, scales = self.weights(shape, bits, about, by_channel=by_channel)
        inputs = [source, weight]
        if self.rng.integers(2):
            inputs.append(self.bias(source, scales, out, 0.2))
        pads = [kernel // 2] * 4
        return self.node("Conv", inputs, (out, h, w), pads=pads, group=groups)

    def dense(self, source: str, out: int, *, bits: int = 8) -> str:
        (size,) = self.shapes[source]
        weight, scales = self.weights((out, size), bits, 2.0 / np.sqrt(size), by_channel=False)
        if self.rng.integers(2):
            inputs = [source, weight, self.bias(source, scales, out, 0.2)]
            return self.node("Gemm", inputs, (out,), transB=1)
        turned = self.node("Transpose", [weight], perm=[1, 0])
        return self.node("MatMul", [source, turned], (out,))

    def relu(self, source: str) -> str:
        return self.node("Relu", [source], self.shapes[source])

    def add(self, left: str, right: str) -> str:
        return self.node("Add", [left, right], self.shapes[left])

    def pool(self, source: str, operator: str) -> str:
        channels, h, w = self.shapes[source]
        shape = (channels, h // 2, w // 2)
        result = self.node(operator, [source], shape, kernel_shape=[2, 2], strides=[2, 2])
        self.scales[result] = self.scales[source] / (4 if operator == "AveragePool" else 1)
        return result

    def flatten(self, source: str) -> str:
        result = self.node("Flatten", [source], (int(np.prod(self.shapes[source])),))
        self.scales[result] = self.scales[source]
        return result

    def model(self, outputs: list[str], shape: tuple[int, ...], kind: int = TensorProto.FLOAT) -> Any:
        made = [
            helper.make_tensor_value_info(name, self.kind_of(name), ["N", *self.shapes[name]])
            for name in outputs
        ]
        graph = helper.make_graph(
            self.nodes, "net", [helper.make_tensor_value_info("x", kind, ["N", *shape])], made, self.tensors
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def kind_of(self, name: str) -> int:
        """The element type of the value *name*: codes have that of the zero point."""
        if name not in self.codes:
            return int(TensorProto.FLOAT)
        node = next(n for n in self.nodes if n.name.strip("/") == self.codes[name][0])
        return int(next(tensor.data_type for tensor in self.tensors if tensor.name == node.input[2]))


def net_of_codes() -> Any:
    """A convolution whose input and output are codes of 8 and 4 bits."""
    net = Net(np.random.default_rng(2))
    net.shapes["x"], net.scales["x"] = (2, 6, 6), 2.0**-8
    scale = [net.tensor(np.float32(2.0**-8)), net.tensor(np.uint8(0))]
    now = net.node("DequantizeLinear", ["x", *scale], net.shapes["x"])
    net.scales[now] = 2.0**-8
    net.quantized(net.conv(now, 4), 4, 2.0)
    return net.model([*net.codes], net.shapes["x"], TensorProto.UINT8)


def saved(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def session(model: Any, *, is_optimized: bool = False) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def random_net(
    seed: int, *, most_bits: int = 8, is_power: bool = True, has_sums: bool = True
) -> tuple[Any, Net]:
    """A network of convolutions, residual sums and pools, quantized to 2 to *most_bits* bits."""
    rng = np.random.default_rng(seed)
    net = Net(rng, is_power)

    def bits() -> int:
        return int(rng.integers(2, most_bits + 1))

    def activation(source: str, top: float) -> str:
        source = net.relu(source) if rng.integers(2) else source
        # int8 codes whose zero is the lowest are counts as well
        if rng.integers(4) == 0:
            return net.quantized(source, bits(), top, zero=-128, kind=np.int8, clip="codes")
        return net.quantized(source, bits(), top, clip=str(rng.choice(["real", "codes"])))

    net.shapes["x"] = (2, 8, 8)
    now = net.quantized("x", 8, 255 / 256)
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.choice([4, 6]))
        skip = now = activation(net.conv(now, width, bits=bits()), 2.0)
        if has_sums and rng.integers(2):
            branch = activation(net.conv(now, width, bits=bits(), groups=int(rng.choice([1, 2]))), 2.0)
            branch = net.conv(branch, width, kernel=1, bits=bits())
            now = activation(net.add(branch, skip), 3.0)
        if net.shapes[now][1] > 2:
            pooled = net.pool(now, str(rng.choice(["MaxPool", "AveragePool"])))
            now = activation(pooled, 2.0) if rng.integers(2) else pooled
    now = activation(net.dense(net.flatten(now), 12, bits=bits()), 2.0)
    logits = net.dense(now, 5)
    return net.model([logits, *net.codes], net.shapes["x"]), net
