"""A compiled network as an ONNX model: its dense equivalent, counts in place of spikes.

One timestep of a network without memory: every neuron is the sum of the steps that its input passes, so the
model needs one run where the chip needs ticks. Numbers of an integer graph are whole and below 2^24, so
float32 holds them, and every runtime gets the same counts in whatever order it adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snncc.errors import BadFile, CannotLower
from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    Emit,
    Encoding,
    Input,
    Kind,
    MaxPool,
    Neuron,
    Node,
    Output,
    Pad,
    Pool,
    Reshape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    place,
)
from snncc.quantization.currents import Interval, swept

OPSET = 21
WHOLE = 1 << 24
"""Whole numbers up to here are exact in float32."""


def save_onnx(graph: SpikeGraph, path: str | Path) -> None:
    """Write the dense equivalent of the integer *graph* to *path*.

    The model takes ``x`` [N, ...] in float64 (what `Program.run` takes) and yields the outputs by name.
    Raises `CannotLower` for what has no dense equivalent, `BadFile` where nothing can be written.
    """
    model = model_of(graph)
    try:
        Path(path).write_bytes(model.SerializeToString())
    except OSError as problem:
        raise BadFile(f"{path}: cannot be written: {problem.strerror or problem}") from None


def model_of(graph: SpikeGraph) -> Any:
    """The ONNX model of *graph*."""
    check(graph)
    writer = Writer(graph)
    for node in graph.nodes:
        WRITE[type(node)](writer, node)
    inputs = [info(node.name, node.shape) for node in graph.inputs]
    outputs = [info(node.name, graph.edges[node.name].shape) for node in graph.outputs]
    made = helper.make_graph(writer.nodes, graph.name, inputs, outputs, writer.tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def info(name: str, shape: tuple[int, ...]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", *shape])


def check(graph: SpikeGraph) -> None:
    """Raise `CannotLower` unless *graph* has a dense equivalent."""
    if not graph.is_integer:
        raise CannotLower(
            f"{graph.name}: only integer graphs are exported", hint="compile with precision='integer'"
        )
    if graph.timesteps != 1:
        raise CannotLower(f"{graph.name}: has {graph.timesteps} timesteps; a dense equivalent has one")
    for node in graph.nodes:
        if type(node) not in WRITE:
            raise CannotLower(f"{place(node)}: has no dense equivalent in ONNX")
        if any(wire.delay for wire in node.inputs):
            raise CannotLower(f"{place(node)}: reads an earlier timestep, which a dense equivalent has not")
        if isinstance(node, Neuron):
            check_neuron(node)
    signals: dict[str, Interval] = {}
    ranges = {node.name: (float(node.low or 0), float(node.high or 0)) for node in graph.inputs}
    swept(graph, ranges, signals)
    for node in graph.nodes:
        most = largest_sum(graph, node, signals)
        if most > WHOLE:
            raise CannotLower(
                f"{place(node)}: may reach {most:.4g}; float32 holds whole numbers up to {WHOLE}",
                hint="compile with fewer weight_bits or input_bits",
            )


def largest_sum(graph: SpikeGraph, node: Node, signals: Mapping[str, Interval]) -> float:
    """What no sum in *node* exceeds, in whatever order it adds: zero is in the range of all that it adds."""
    low, high = signals[node.name]
    most = float(max(-np.min(low), np.max(high)))
    if isinstance(node, Dense | Conv | Sparse) and node.bias is not None:
        most += float(np.abs(node.bias).max(initial=0))
    return most


def check_neuron(node: Neuron) -> None:
    p = node.parameters
    if not p.stateless or p.emit is not Emit.COUNT or p.max_count is None:
        raise CannotLower(f"{place(node)}: keeps a state, or sends no bounded count")
    if p.encoding is Encoding.STREAM:
        raise CannotLower(f"{place(node)}: streams, which is no function of its input alone")


@dataclass
class Writer:
    """The ONNX nodes so far."""

    graph: SpikeGraph
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)

    def tensor(self, values: Array, kind: Any = np.float32) -> str:
        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values).astype(kind), name))
        return name

    def add(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        name = name or f"{operator.lower()}_{len(self.nodes)}.inner"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def scale(self, name: str) -> Array:
        return self.graph.edges[name].scale


def value(node: Node, index: int = 0) -> str:
    """The ONNX name of what *node* reads."""
    return f"{node.inputs[index].source}.value"


def write_input(writer: Writer, node: Node) -> None:
    if not isinstance(node, Input):
        raise AssertionError(node.name)
    now = node.name
    if node.kind is Kind.ANALOG:
        now = writer.add("Div", [now, writer.tensor(node.scale, np.float64)])
        now = writer.add("Round", [now])
        limits = [writer.tensor(np.asarray(limit), np.float64) for limit in (node.low, node.high)]
        now = writer.add("Clip", [now, *limits])
    writer.add("Cast", [now], f"{node.name}.value", to=TensorProto.FLOAT)


def write_output(writer: Writer, node: Node) -> None:
    now = writer.add("Cast", [value(node)], to=TensorProto.DOUBLE)
    writer.add("Mul", [now, writer.tensor(writer.scale(node.name), np.float64)], node.name)


def with_bias(writer: Writer, node: Dense | Conv | Sparse, now: str) -> None:
    now = writer.add("Mul", [now, writer.tensor(np.asarray(2.0**node.shift))])
    bias = np.zeros(()) if node.bias is None else node.bias
    writer.add("Add", [now, writer.tensor(bias)], f"{node.name}.value")


def write_dense(writer: Writer, node: Node) -> None:
    if not isinstance(node, Dense):
        raise AssertionError(node.name)
    with_bias(writer, node, writer.add("MatMul", [value(node), writer.tensor(node.weight.T)]))


def write_sparse(writer: Writer, node: Node) -> None:
    if not isinstance(node, Sparse):
        raise AssertionError(node.name)
    source = writer.graph.edges[node.inputs[0].source]
    size = int(np.prod(node.shape))
    if source.size * size > WHOLE:
        raise CannotLower(f"{place(node)}: its table would be a matrix of {source.size * size} numbers")
    matrix = np.zeros((source.size, size))
    np.add.at(matrix, (node.pre, node.post), node.weight)
    flat = writer.add("Flatten", [value(node)], axis=1)
    product = writer.add("MatMul", [flat, writer.tensor(matrix)])
    shape = writer.tensor(np.array([-1, *node.shape]), np.int64)
    with_bias(writer, node, writer.add("Reshape", [product, shape]))


def write_conv(writer: Writer, node: Node) -> None:
    if not isinstance(node, Conv):
        raise AssertionError(node.name)
    top, bottom, left, right = node.padding
    now = writer.add(
        "Conv",
        [value(node), writer.tensor(node.weight)],
        strides=node.stride,
        pads=[top, left, bottom, right],
        dilations=node.dilation,
        group=node.groups,
    )
    with_bias(writer, node, now)


def write_pool(writer: Writer, node: Node) -> None:
    """The sum over windows, as a convolution of ones: carried numbers of an average are sums as well."""
    if not isinstance(node, Pool):
        raise AssertionError(node.name)
    channels = writer.graph.edges[node.name].shape[0]
    top, bottom, left, right = node.padding
    writer.add(
        "Conv",
        [value(node), writer.tensor(np.ones((channels, 1, *node.kernel)))],
        f"{node.name}.value",
        strides=node.stride,
        pads=[top, left, bottom, right],
        group=channels,
    )


def write_max_pool(writer: Writer, node: Node) -> None:
    if not isinstance(node, MaxPool):
        raise AssertionError(node.name)
    top, bottom, left, right = node.padding
    writer.add(
        "MaxPool",
        [value(node)],
        f"{node.name}.value",
        kernel_shape=node.kernel,
        strides=node.stride,
        pads=[top, left, bottom, right],
        dilations=node.dilation,
    )


def write_affine(writer: Writer, node: Node) -> None:
    if not isinstance(node, Affine):
        raise AssertionError(node.name)
    if node.per_timestep:
        raise CannotLower(f"{place(node)}: differs between timesteps")
    now = writer.add("Mul", [value(node), writer.tensor(node.gain)])
    writer.add("Add", [now, writer.tensor(node.offset)], f"{node.name}.value")


def write_pad(writer: Writer, node: Node) -> None:
    if not isinstance(node, Pad):
        raise AssertionError(node.name)
    if node.value.ndim:
        raise CannotLower(f"{place(node)}: pads channels with numbers of their own")
    top, bottom, left, right = node.padding
    rank = len(writer.graph.edges[node.name].shape) + 1
    pads = [*[0] * (rank - 2), top, left, *[0] * (rank - 2), bottom, right]
    inputs = [value(node), writer.tensor(np.array(pads), np.int64), writer.tensor(node.value)]
    writer.add("Pad", inputs, f"{node.name}.value")


def write_add(writer: Writer, node: Node) -> None:
    writer.add("Sum", [value(node, k) for k in range(len(node.inputs))], f"{node.name}.value")


def write_reshape(writer: Writer, node: Node) -> None:
    if not isinstance(node, Reshape):
        raise AssertionError(node.name)
    shape = writer.tensor(np.array([-1, *node.shape]), np.int64)
    writer.add("Reshape", [value(node), shape], f"{node.name}.value")


def write_transpose(writer: Writer, node: Node) -> None:
    if not isinstance(node, Transpose):
        raise AssertionError(node.name)
    perm = [0, *(axis + 1 for axis in node.axes)]
    writer.add("Transpose", [value(node)], f"{node.name}.value", perm=perm)


def write_concat(writer: Writer, node: Node) -> None:
    if not isinstance(node, Concat):
        raise AssertionError(node.name)
    names = [value(node, k) for k in range(len(node.inputs))]
    writer.add("Concat", names, f"{node.name}.value", axis=node.axis + 1)


def write_slice(writer: Writer, node: Node) -> None:
    if not isinstance(node, Slice):
        raise AssertionError(node.name)
    numbers = (node.start, node.stop, node.axis + 1, node.step)
    tensors = [writer.tensor(np.array([number]), np.int64) for number in numbers]
    writer.add("Slice", [value(node), *tensors], f"{node.name}.value")


def write_neuron(writer: Writer, node: Node) -> None:
    """The number of steps that the input passes, each compared on an axis of its own."""
    if not isinstance(node, Neuron):
        raise AssertionError(node.name)
    p = node.parameters
    shape = writer.graph.edges[node.name].shape
    now = value(node)
    if len(node.inputs) > 1:
        now = writer.add("Sum", [value(node, k) for k in range(len(node.inputs))])
    now = writer.add("Add", [now, writer.tensor(p.bias)])
    if p.v_bits is not None and 2 ** (p.v_bits - 1) < WHOLE:
        limit = 2 ** (p.v_bits - 1)
        now = writer.add(
            "Clip", [now, writer.tensor(np.asarray(-limit)), writer.tensor(np.asarray(limit - 1))]
        )
    steps = p.step_values()
    steps = steps.reshape(len(steps), *[1] * (len(shape) - steps.ndim + 1), *steps.shape[1:])
    wide = writer.add("Unsqueeze", [now, writer.tensor(np.array([1]), np.int64)])
    passed = writer.add("Greater" if p.strict else "GreaterOrEqual", [wide, writer.tensor(steps)])
    ones = writer.add("Cast", [passed], to=TensorProto.FLOAT)
    axis = writer.tensor(np.array([1]), np.int64)
    writer.add("ReduceSum", [ones, axis], f"{node.name}.value", keepdims=0)


WRITE: Mapping[type[Node], Callable[[Writer, Node], None]] = {
    Input: write_input,
    Dense: write_dense,
    Conv: write_conv,
    Sparse: write_sparse,
    Pool: write_pool,
    MaxPool: write_max_pool,
    Affine: write_affine,
    Pad: write_pad,
    Add: write_add,
    Reshape: write_reshape,
    Transpose: write_transpose,
    Concat: write_concat,
    Slice: write_slice,
    Neuron: write_neuron,
    Output: write_output,
}
"""Every node that has a dense equivalent, and how it is written."""
