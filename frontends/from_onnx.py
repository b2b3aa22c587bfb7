"""From an ONNX file to a spike graph: one rule for each operator.

The model is read as one timestep of samples that stand for themselves. Quantized activations become
stateless staircase neurons (`snncc.frontends.onnx_quantized`). See docs/onnx.md for what is covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from snncc.errors import BadFile, BadInput, CannotTrace, InvalidGraph
from snncc.frontends import onnx_linear, onnx_moves, onnx_quantized
from snncc.frontends.archive import shortened
from snncc.frontends.onnx_file import CODES, MAXIMUM_SIGNALS, Constant, Entry, OnnxModel, read_onnx
from snncc.frontends.onnx_signals import RESERVED, Codes, Reading, Refused, Signal, Value, Walk, refusal
from snncc.ir import Input, Kind, Layout, Output, Over, Presence, Shape, SpikeGraph, wires


def load_onnx(path: str | Path, input_shape: Shape | None = None) -> SpikeGraph:
    """The network in the ONNX file *path*.

    *input_shape* is that of one sample, needed where the file leaves it open. Raises `BadFile` for damage,
    `CannotTrace`, naming the node, for what has no image in the graph.
    """
    return read_graph(Path(path), input_shape)[1]


def read_graph(
    path: Path, input_shape: Shape | None = None
) -> tuple[OnnxModel, SpikeGraph, Mapping[str, Reading]]:
    """As `load_onnx`: what the file holds, its graph, and what of the model each neuron counts."""
    model = read_onnx(path)
    try:
        graph, readings = graph_of(model, input_shape)
        graph.verify()
    except InvalidGraph as problem:
        raise CannotTrace(f"{path}: {problem.message}", hint=problem.hint) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None
    return model, graph, readings


def graph_of(model: OnnxModel, input_shape: Shape | None) -> tuple[SpikeGraph, Mapping[str, Reading]]:
    """The graph of *model*, and what of the model its neurons count."""
    where = str(model.path)
    if len(model.inputs) != 1:
        names = ", ".join(entry.name for entry in model.inputs) or "none"
        raise CannotTrace(f"{where}: needs one input that is no weight, has {names}")
    walk = Walk(values=dict(model.constants))
    entry = model.inputs[0]
    walk.batch = entry.shape[0] if entry.shape else None
    walk.values[entry.name] = enter(walk, entry, where, input_shape)
    for call in model.calls:
        rule = RULES.get(call.operator)
        walk.call = call
        try:
            if rule is None:
                raise Refused("is not covered", f"covered are {', '.join(sorted(RULES))}")
            if len([name for name in call.outputs if name]) != 1:
                raise Refused("has several outputs", "export the model for inference")
            walk.values[call.outputs[0]] = rule(walk)
        except Refused as problem:
            raise refusal(where, call, problem) from None
    outputs = [output_of(walk, where, name, k, len(model.outputs)) for k, name in enumerate(model.outputs)]
    needed = set(RESERVED)
    for node in reversed([*walk.nodes, *outputs]):
        if isinstance(node, Output) or node.name in needed:
            needed |= {node.name, *(wire.source for wire in node.inputs)}
    nodes = [node for node in walk.nodes if node.name in needed]
    graph = SpikeGraph(
        (*nodes, *outputs), name=model.path.stem, timesteps=1, layout=Layout.B, notes=tuple(walk.notes)
    )
    return graph, {name: one for name, one in walk.readings.items() if name in needed}


def enter(walk: Walk, entry: Entry, where: str, given: Shape | None) -> Signal:
    """The input node."""
    sizes = entry.shape[1:]
    if given is not None:
        if len(given) != len(sizes) or any(
            n is not None and n != g for n, g in zip(sizes, given, strict=True)
        ):
            raise BadInput(f"{where}: takes samples of shape {written(sizes)}, not {given}")
        sizes = given
    shape = tuple(n for n in sizes if n is not None)
    if not shape or len(shape) < len(sizes):
        raise BadInput(
            f"{where}: needs the shape of one sample; its input {entry.name!r} says {written(sizes)}",
            hint="give input_shape=(1, 28, 28), or --input-shape 1,28,28",
        )
    if min(shape) < 1 or math.prod(shape) > MAXIMUM_SIGNALS:
        raise BadInput(f"{where}: takes samples of shape {shape}; at most {MAXIMUM_SIGNALS} numbers are read")
    if entry.kind in CODES:
        node = Input(
            name="input",
            shape=shape,
            kind=Kind.COUNT,
            presence=Presence.CONSTANT,
            max_count=CODES[entry.kind][1],
        )
    else:
        node = Input(name="input", shape=shape, presence=Presence.CONSTANT)
    return walk.add(node)


def written(sizes: tuple[int | None, ...]) -> str:
    return f"({', '.join('?' if n is None else str(n) for n in sizes)})"


def output_of(walk: Walk, where: str, name: str, number: int, count: int) -> Output:
    """The output node of the value *name*."""
    value = walk.values[name]
    try:
        if isinstance(value, Codes):
            one, zero = np.ones((), np.float32), np.zeros((), np.int64)
            value = onnx_quantized.dequantized(walk, value, one, zero, name)
        if isinstance(value, Constant):
            raise CannotTrace(f"{where}: its output {name!r} is a constant, nothing of the input reaches it")
        if not value.is_plain:
            value = walk.done(value)
    except Refused as problem:
        raise CannotTrace(f"{where}: output {name!r}: {problem.reason}", hint=problem.hint) from None
    full = "output" if count == 1 else f"output_{number}"
    return Output(name=full, inputs=wires(value.node), origin=f"output {name!r}", over=Over.MEAN)


def constant(walk: Walk) -> Value:
    value = walk.attribute("value", None)
    if isinstance(value, Constant):
        return value
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if name in walk.now.attributes:
            values = np.asarray(walk.now.attributes[name])
            return Constant(values, 1 if values.dtype.kind == "f" else 7)
    raise Refused("holds no dense numbers")


def relu(walk: Walk) -> Value:
    return limited(walk, 0.0, math.inf)


def clip(walk: Walk) -> Value:
    low = one_number(walk, 1, -math.inf)
    high = one_number(walk, 2, math.inf)
    value = walk.value(0)
    if not isinstance(value, Codes):
        return limited(walk, low, high)
    whole = value.quantizer
    bounds = (max(low, whole.low), min(high, whole.high))
    return onnx_quantized.clipped(value, int(bounds[0]), int(bounds[1]))


def one_number(walk: Walk, index: int, missing: float) -> float:
    if not walk.has(index):
        return missing
    values = walk.constant(index).values
    if values.size != 1:
        raise Refused(f"has limits of shape {values.shape}")
    return float(values.reshape(-1)[0])


def limited(walk: Walk, low: float, high: float) -> Signal:
    """The signal between *low* and *high*, on top of limits that it has already."""
    signal = walk.signal(0)
    if low > high:
        raise Refused(f"has limits {low:g} and {high:g}")
    new_low, new_high = (min(max(limit, low), high) for limit in (signal.low, signal.high))
    return replace(signal, low=new_low, high=new_high)


Rule = Callable[[Walk], Value]
RULES: Mapping[str, Rule] = {
    "Add": onnx_linear.add,
    "AveragePool": onnx_moves.average_pool,
    "BatchNormalization": onnx_linear.batch_normalization,
    "Clip": clip,
    "Concat": onnx_moves.concat,
    "Constant": constant,
    "Conv": onnx_linear.conv,
    "DequantizeLinear": onnx_quantized.dequantize_linear,
    "Div": onnx_linear.divide,
    "Dropout": onnx_moves.dropout,
    "Flatten": onnx_moves.flatten,
    "Gemm": onnx_linear.gemm,
    "GlobalAveragePool": onnx_moves.global_average_pool,
    "Identity": onnx_moves.identity,
    "MatMul": onnx_linear.matmul,
    "MaxPool": onnx_moves.max_pool,
    "Mul": onnx_linear.multiply,
    "Pad": onnx_moves.pad,
    "QuantizeLinear": onnx_quantized.quantize_linear,
    "ReduceMean": onnx_moves.reduce_mean,
    "Relu": relu,
    "Reshape": onnx_moves.reshape,
    "Squeeze": onnx_moves.squeeze,
    "Sub": onnx_linear.subtract,
    "Transpose": onnx_moves.transpose,
}
"""Every operator that is read, and the rule that reads it."""
