"""ONNX files: read within limits, checked, and turned into plain values.

Nothing that a file says is allocated before the file is known to hold it, and no other file is opened:
weights in external data are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from snncc.errors import BadFile, CannotTrace
from snncc.frontends.archive import checked_path, shortened
from snncc.ir import Array

MAXIMUM_BYTES = 1 << 31  # of protocol buffers, on which the format stands
MAXIMUM_SIGNALS = 1 << 28
"""Tensors with more numbers than this are no network that this compiler is for."""
OPSETS = (13, 25)
"""The versions of the standard operators that are read, first and last."""
STANDARD = ("", "ai.onnx")
CODES: Mapping[int, tuple[int, int]] = {
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT2: (0, 3),
    TensorProto.INT2: (-2, 1),
}
"""Types of quantized numbers: the smallest and the largest of each."""
REALS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of known numbers. *kind* is ONNX's element type, *step* a divisor of all of *values*."""

    values: Array
    kind: int = TensorProto.FLOAT
    step: Array | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An input of the model: element type, and its axes (None: any size)."""

    name: str
    kind: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One node: its operator on named values."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name or self.outputs[0]!r} ({self.operator})"


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """What a file holds."""

    path: Path
    inputs: tuple[Entry, ...]
    outputs: tuple[str, ...]
    calls: tuple[Call, ...]
    constants: Mapping[str, Constant]


def read_onnx(path: Path) -> OnnxModel:
    """The model in *path*. Raises `BadFile` for damage, `CannotTrace` for what is not covered."""
    size = checked_path(path, (".onnx",), "ONNX models")
    if size > MAXIMUM_BYTES:
        raise BadFile(f"{path}: has {size} bytes; an ONNX file has at most {MAXIMUM_BYTES}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as problem:
        raise BadFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except Exception as problem:  # protobuf has several, of several modules
        raise BadFile(f"{path}: is no ONNX model, or damaged ({shortened(problem)})") from None
    try:
        return model_of(path, model)
    except (LookupError, TypeError, ValueError, AttributeError, UnicodeError) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None


def model_of(path: Path, model: Any) -> OnnxModel:
    graph = model.graph
    check_opset(path, model)
    tensors = list(graph.initializer)
    tensors += [a.t for node in graph.node for a in node.attribute if a.type == AttributeProto.TENSOR]
    for tensor in tensors:
        check_tensor(path, tensor)
    if graph.sparse_initializer:
        raise CannotTrace(f"{path}: has sparse initializers", hint="export the model with dense weights")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as problem:
        raise BadFile(f"{path}: is no valid ONNX model ({shortened(problem)})") from None
    constants = {tensor.name: constant_of(tensor) for tensor in graph.initializer}
    inputs = tuple(entry_of(path, value) for value in graph.input if value.name not in constants)
    return OnnxModel(
        path=path,
        inputs=inputs,
        outputs=tuple(value.name for value in graph.output),
        calls=tuple(call_of(path, node) for node in graph.node),
        constants=constants,
    )


def check_opset(path: Path, model: Any) -> None:
    versions = [one.version for one in model.opset_import if one.domain in STANDARD]
    first, last = OPSETS
    if len(versions) != 1 or not first <= versions[0] <= last:
        have = ", ".join(map(str, versions)) or "none"
        raise CannotTrace(
            f"{path}: is written in opset {have}; snncc reads {first} to {last}",
            hint="convert it with onnx.version_converter, or export with another opset_version",
        )
    if model.functions:
        raise CannotTrace(
            f"{path}: has functions of its own ({model.functions[0].name})",
            hint="inline them with onnx.inliner.inline_local_functions",
        )


def check_tensor(path: Path, tensor: Any) -> None:
    """Raise unless *tensor* is dense, in the file itself, and holds what its shape claims."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise CannotTrace(
            f"{path}: keeps {tensor.name!r} in another file, which snncc does not open",
            hint="save the model in one file: onnx.save(onnx.load(path), path)",
        )
    count = 1
    for size in tensor.dims:
        count *= size
        if size < 0 or count > MAXIMUM_SIGNALS:
            raise BadFile(f"{path}: {tensor.name!r} claims the shape {tuple(tensor.dims)}")
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    have = 8 * len(tensor.raw_data) + 32 * sum(map(len, fields))
    if have < 2 * count:
        raise BadFile(
            f"{path}: {tensor.name!r} claims the shape {tuple(tensor.dims)}, more than its data holds"
        )


def constant_of(tensor: Any) -> Constant:
    """The numbers of *tensor*: reals as float32 or float64, the others as int64."""
    values = np.asarray(numpy_helper.to_array(tensor))
    if tensor.data_type in CODES:
        values = values.astype(np.int64)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{tensor.name!r} holds {values.dtype}, no numbers")
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise ValueError(f"{tensor.name!r} holds infinite numbers, or none at all (NaN)")
    return Constant(values, tensor.data_type)


def entry_of(path: Path, value: Any) -> Entry:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise CannotTrace(f"{path}: its input {value.name!r} is no tensor of known rank")
    if kind.elem_type not in REALS and kind.elem_type not in (TensorProto.UINT8, TensorProto.UINT4):
        raise CannotTrace(
            f"{path}: its input {value.name!r} holds {TensorProto.DataType.Name(kind.elem_type)}; "
            "snncc reads FLOAT, DOUBLE, FLOAT16, UINT8 and UINT4"
        )
    sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in kind.shape.dim]
    return Entry(value.name, kind.elem_type, tuple(sizes))


def call_of(path: Path, node: Any) -> Call:
    names = [node.name, node.op_type, node.domain, *node.input, *node.output]
    if not all(isinstance(name, str) for name in names):  # what is no UTF-8 comes as bytes
        raise ValueError(f"the names of a node are no text: {names}")
    call = Call(node.name, node.op_type, tuple(node.input), tuple(node.output), attributes_of(node.attribute))
    if node.domain not in STANDARD:
        raise CannotTrace(
            f"{path}: {call} belongs to the operators {node.domain!r}, not to the standard ones",
            hint="export without optimizations of a runtime: snncc reads the QuantizeLinear form",
        )
    return call


def attributes_of(attributes: Sequence[Any]) -> dict[str, Any]:
    """The attributes by name; texts as str, tensors as `Constant`."""
    result: dict[str, Any] = {}
    for one in attributes:
        value = onnx.helper.get_attribute_value(one)
        if isinstance(value, bytes):
            value = value.decode()
        elif one.type == AttributeProto.TENSOR:
            value = constant_of(value)
        elif one.type in (AttributeProto.INTS, AttributeProto.FLOATS):
            value = tuple(value)
        result[one.name] = value
    return result
