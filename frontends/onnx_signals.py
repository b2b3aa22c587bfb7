"""What an ONNX value is while the graph is built, and the graph so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snncc.errors import CannotTrace
from snncc.frontends.onnx_file import MAXIMUM_SIGNALS, Call, Constant
from snncc.frontends.staircase import Quantizer
from snncc.ir import (
    Affine,
    Array,
    Edge,
    Emit,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Reshape,
    Shape,
    Transpose,
    wires,
)
from snncc.ir.arrays import simplest
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit


class Refused(Exception):
    """A rule cannot take its node: why, and what to do about it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


@dataclass(frozen=True, slots=True)
class Term:
    """A quantized signal as the runtime has it: *low* to *high* times *scale*, rounded to float32."""

    scale: float
    low: int
    high: int

    def values(self) -> Array:
        """All of them, in float32."""
        multiples = np.arange(self.low, self.high + 1).astype(np.float32)
        return np.asarray(multiples * np.float32(self.scale))

    def exact(self) -> Array:
        """All of them, unrounded."""
        return np.arange(self.low, self.high + 1) * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """``clip(node + offset, low, high)``: what *node* of the graph sends, and what is still to be done to it.

    The numbers of *node* are whole multiples of *unit*, which broadcasts to *shape* (None: of nothing), and
    never below *least*.
    """

    node: str
    shape: Shape
    unit: Array | None = None
    offset: Array = field(default_factory=lambda: np.zeros(()))
    low: float = -math.inf
    high: float = math.inf
    least: float = -math.inf
    terms: tuple[Term, ...] = ()
    """Where it is the sum of two quantized signals, those."""

    @property
    def is_plain(self) -> bool:
        """Whether nothing is left to be done."""
        return not np.any(self.offset) and self.low <= self.least and math.isinf(self.high)

    @property
    def one_unit(self) -> Array | None:
        """The unit, where all numbers share one."""
        unit = None if self.unit is None else simplest(self.unit)
        return unit if unit is not None and unit.ndim == 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes of a quantized signal, before DequantizeLinear gives them their meaning.

    *made_by* is the node that quantizes.
    """

    source: Signal
    quantizer: Quantizer
    made_by: Call


Value = Constant | Signal | Codes


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Where a runtime yields what a neuron counts: the ONNX value *name* is ``(n + shift) scale``."""

    name: str
    scale: Array
    shift: Array


@dataclass
class Walk:
    """The graph so far, and the ONNX values by name."""

    nodes: list[Node] = field(default_factory=list)
    edges: dict[str, Edge] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    batch: int | None = None
    call: Call | None = None
    made: dict[Any, Signal] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    """By neuron."""
    notes: list[str] = field(default_factory=list)

    def term(self, signal: Signal) -> Term | None:
        """*signal* as one of a sum, where it is what a quantizer sends, perhaps moved."""
        name = signal.node
        table = {node.name: node for node in self.nodes}
        while isinstance(table[name], Reshape | Transpose | MaxPool):
            name = table[name].inputs[0].source
        reading, edge = self.readings.get(name), self.edges[name]
        if (
            reading is None
            or reading.scale.ndim
            or edge.max_count is None
            or np.any(reading.shift != reading.shift.flat[0])
        ):
            return None
        scale, low = float(reading.scale), int(reading.shift.flat[0])
        is_whole = (
            np.all(signal.offset == scale * low) and signal.low <= signal.least and math.isinf(signal.high)
        )
        return Term(scale, low, low + edge.max_count) if is_whole else None

    def value(self, index: int) -> Value:
        """Input *index* of the current node."""
        name = self.now.inputs[index] if index < len(self.now.inputs) else ""
        if not name:
            raise Refused(f"has no input {index}")
        return self.values[name]

    def has(self, index: int) -> bool:
        """Whether the optional input *index* of the current node is there."""
        return index < len(self.now.inputs) and bool(self.now.inputs[index])

    def constant(self, index: int) -> Constant:
        """Input *index*, which must be known when the model is read."""
        value = self.value(index)
        if not isinstance(value, Constant):
            raise Refused(f"its input {self.now.inputs[index]!r} is computed; it must be a constant")
        return value

    def signal(self, index: int) -> Signal:
        """Input *index*, which must be a signal."""
        value = self.value(index)
        if isinstance(value, Codes):
            raise Refused(
                "works on integer codes",
                "put DequantizeLinear before it: only Clip may stand between QuantizeLinear and it",
            )
        if isinstance(value, Constant):
            raise Refused(f"its input {self.now.inputs[index]!r} is a constant, not a signal")
        return value

    def plain(self, index: int) -> Signal:
        """Input *index* as the output of a node, with its offset and its limits done."""
        signal = self.signal(index)
        if not signal.is_plain:
            signal = self.done(signal)
            self.values[self.now.inputs[index]] = signal
        return signal

    def done(self, signal: Signal) -> Signal:
        """*signal* with its offset and its limits as nodes of the graph."""
        if np.any(signal.offset):
            gained = self.add(
                Affine(name=self.name("offset"), inputs=wires(signal.node), offset=signal.offset)
            )
            unit = signal.unit
            if unit is not None and np.any(signal.offset != np.rint(signal.offset / unit) * unit):
                unit = None
            least = signal.least + float(np.min(signal.offset))
            signal = replace(gained, unit=unit, low=signal.low, high=signal.high, least=least)
        if signal.low <= signal.least and math.isinf(signal.high):
            return replace(signal, low=-math.inf)
        if signal.low != 0 or not math.isinf(signal.high):
            raise Refused(
                f"reads a signal between {signal.low:g} and {signal.high:g} that no QuantizeLinear follows",
                "quantize the activations; of unquantized ones only Relu is read",
            )
        p = NeuronParameters(stateless=True, emit=Emit.RELU, max_count=None)
        after = self.add(Neuron(name=self.name("relu"), inputs=wires(signal.node), parameters=p))
        return replace(after, unit=signal.unit, least=0.0)

    @property
    def now(self) -> Call:
        """The node that is being read."""
        if self.call is None:
            raise AssertionError("no node is being read")
        return self.call

    def attribute(self, name: str, default: Any) -> Any:
        """Attribute *name* of the current node."""
        return self.now.attributes.get(name, default)

    def name(self, suffix: str = "", call: Call | None = None) -> str:
        """A new name for a node of the graph, after *call* or the current node."""
        call = self.now if call is None else call
        base = (call.name or call.outputs[0]).strip("/").replace("/", ".") or call.operator.lower()
        base = f"{base}.{suffix}" if suffix else base
        found, count = base, 1
        while found in self.edges or found in RESERVED:
            count += 1
            found = f"{base}_{count}"
        return found

    def add(self, node: Node, call: Call | None = None) -> Signal:
        """Append *node*, made of *call* or the current node; what it sends.

        Raises `Refused` where it cannot take its inputs.
        """
        call = self.call if call is None else call
        node = replace(node, origin="" if call is None else str(call))
        try:
            edge = edge_after(node, [self.edges[wire.source] for wire in node.inputs], is_integer=False)
        except Misfit as problem:
            raise Refused(f"cannot become a {type(node).__name__} node: {problem}") from None
        if math.prod(edge.shape) > MAXIMUM_SIGNALS:
            raise Refused(f"yields {math.prod(edge.shape)} numbers; snncc reads at most {MAXIMUM_SIGNALS}")
        self.nodes.append(node)
        self.edges[node.name] = edge
        return Signal(node.name, edge.shape)


RESERVED = ("input", "output")


def per_sample(constant: Array, rank: int) -> Array:
    """*constant*, which meets a signal of *rank* axes and a batch axis, without an axis for the batch."""
    if constant.ndim > rank + 1 or (constant.ndim == rank + 1 and constant.shape[0] != 1):
        raise Refused(
            f"a constant of shape {constant.shape} differs between samples, or adds axes",
            "give constants at most one axis for each of the signal, and size 1 on the batch axis",
        )
    return constant[0] if constant.ndim == rank + 1 else constant


def sample_axis(axis: int, rank: int) -> int:
    """ONNX's *axis*, which counts the batch, as an axis of one sample with *rank* axes."""
    axis = axis + rank + 1 if axis < 0 else axis
    if axis == 0:
        raise Refused("works along the batch axis", "every sample must stand for itself")
    if not 0 < axis <= rank:
        raise Refused(f"has no axis {axis}: a sample has {rank} axes behind the batch axis")
    return axis - 1


def refusal(where: str, call: Call, problem: Refused) -> CannotTrace:
    """The error of a node that no rule can take."""
    return CannotTrace(f"{where}: {call}: {problem.reason}", hint=problem.hint)
