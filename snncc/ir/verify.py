"""The invariants of the spike graph, each with the sentence that a broken one prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from snncc.errors import InvalidGraph
from snncc.ir.arrays import Array, broadcasts
from snncc.ir.edges import Edge, Kind
from snncc.ir.infer import place
from snncc.ir.neuron import BiasTicks, Emit, Encoding, NeuronParameters, Order, Rectifier, Reset, ResetAt
from snncc.ir.nodes import (
    Affine,
    Input,
    Neuron,
    Node,
    Output,
    SideOperation,
    Synapse,
    Wire,
)

if TYPE_CHECKING:
    from snncc.ir.graph import SpikeGraph

MAX_SIGNALS = 2**31
"""A layer of more signals than this is a damaged file, not a network."""
INTEGER_FIELDS = ("weight", "bias", "gain", "offset", "value")
INTEGER_PARAMETERS = (
    *("theta", "rho", "steps", "leak", "leak_i", "bias", "v_reset", "v_init", "i_init"),
    *("clamp_low", "clamp_high"),
)


def verify(graph: SpikeGraph) -> None:
    """Raise `InvalidGraph` for the first broken invariant of *graph*."""
    if not graph.inputs:
        raise InvalidGraph(f"{graph.name}: has no input node")
    if not graph.outputs:
        raise InvalidGraph(f"{graph.name}: has no output node")
    if graph.timesteps < 1:
        raise InvalidGraph(f"{graph.name}: has {graph.timesteps} timesteps; at least one is needed")
    if graph.dt is not None and not 0 < graph.dt < np.inf:
        raise InvalidGraph(f"{graph.name}: a timestep of {graph.dt} s; it must be more than 0 and finite")
    by_name = graph.by_name
    for node in graph.nodes:
        if not node.name or node.name != node.name.strip() or "\n" in node.name:
            raise InvalidGraph(f"{node.name!r} is no name for a node")
        for wire in node.inputs:
            if isinstance(by_name.get(wire.source), Output):
                raise InvalidGraph(f"{place(node)}: reads the output {wire.source}; read what it reads")
        for problem in problems(node, is_integer=graph.is_integer):
            raise InvalidGraph(f"{place(node)}: {problem}")
    for name, edge in graph.edges.items():
        if not (np.all(np.isfinite(edge.scale)) and np.all(edge.scale > 0)):
            raise InvalidGraph(f"{place(by_name[name])}: its scale must be positive and finite")
        if not edge.size:
            raise InvalidGraph(f"{place(by_name[name])}: shape {edge.shape} must have positive sizes")
        if edge.size * edge.ticks > MAX_SIGNALS:
            raise InvalidGraph(f"{place(by_name[name])}: {edge} has more than {MAX_SIGNALS} signals")
    for node in graph.nodes:
        for wire in node.inputs:
            for problem in initial_problems(wire, graph.edges[wire.source], graph.is_integer):
                raise InvalidGraph(f"{place(node)}: the initial value {problem}")
    check_sequences(graph)


def problems(node: Node, *, is_integer: bool) -> Iterator[str]:
    """What is wrong with *node* by itself."""
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray):
            yield from array_problems(field.name, value, is_integer and field.name in INTEGER_FIELDS)
    match node:
        case Neuron():
            yield from neuron_problems(node.parameters, is_integer)
        case Synapse():
            if node.shift < 0 or (node.shift and not is_integer):
                yield f"shift {node.shift} must be >= 0, and 0 in a float graph"
            if not is_integer and np.any(node.weight_scale != 1):
                yield "has a weight scale, but the graph computes with floats"
            if np.any(node.weight_scale <= 0):
                yield "its weight scale must be positive"
            if node.delay is not None and np.any(node.delay < 0):
                yield f"has a synapse with delay {node.delay.min()}; delays are >= 0"
        case Affine():
            if np.any(node.gain_scale <= 0):
                yield "its gain scale must be positive"
            if (
                node.per_timestep
                and node.gain.ndim
                and node.offset.ndim
                and len(node.gain) != len(node.offset)
            ):
                yield f"gain and offset differ in their timesteps: {len(node.gain)} and {len(node.offset)}"
        case Input():
            if not node.shape or min(node.shape) < 1:
                yield f"shape {node.shape} must have positive sizes"
            if is_integer and node.kind is Kind.ANALOG and (node.low is None or node.high is None):
                yield "an analog input of an integer graph needs its range low..high"
            if node.low is not None and node.high is not None and node.low >= node.high:
                yield f"its range {node.low}..{node.high} is empty"
        case _:
            return


def initial_problems(wire: Wire, edge: Edge, is_integer: bool) -> Iterator[str]:
    """What is wrong with what *wire* carries before the first timestep."""
    value, where = wire.initial, f"of its wire from {wire.source}"
    if value is None:
        return
    if not broadcasts(value.shape, edge.shape):
        yield f"{value.shape} {where} does not broadcast to {edge.shape}"
    most = np.inf if edge.max_count is None else edge.max_count
    if edge.is_events and np.any((value != np.rint(value)) | (value < 0) | (value > most)):
        yield f"{where} must be a count 0..{edge.max_count}"
    yield from array_problems(where, value, is_integer and bool(np.any(value != np.rint(value))))


def array_problems(name: str, array: Array, needs_integer: bool) -> Iterator[str]:
    if array.dtype.kind not in "fiu":
        yield f"{name} holds {array.dtype}, not numbers"
    elif not np.all(np.isfinite(array)):
        yield f"{name} holds {int(np.sum(~np.isfinite(array)))} values that are not finite"
    elif needs_integer and array.dtype.kind not in "iu" and np.any(array != 0):
        yield f"{name} holds {array.dtype}, but the graph computes with integers"


def neuron_problems(p: NeuronParameters, is_integer: bool) -> Iterator[str]:
    """What is wrong with the parameters of a neuron."""
    for field in fields(p):
        value = getattr(p, field.name)
        if isinstance(value, np.ndarray):
            default = np.all((value == 0) | (value == 1))
            needs = is_integer and field.name in INTEGER_PARAMETERS and not default
            yield from array_problems(field.name, value, bool(needs))
    if p.steps is None and np.any(p.rho <= 0):
        yield "the reset amount rho must be positive"
    if p.steps is not None and np.any(np.diff(p.steps, axis=0) < 0):
        yield "its explicit steps must ascend"
    if np.any(p.scale <= 0):
        yield "its output scale must be positive"
    if np.any(p.leak < 0) or np.any(p.leak_i < 0):
        yield "a leak is a factor >= 0"
    if not is_integer and (p.leak_shift or p.leak_i_shift or p.v_bits or p.i_bits):
        yield "shifts and widths belong to integer graphs"
    if min(p.leak_shift, p.leak_i_shift, p.refractory) < 0:
        yield "shifts and the refractory count are >= 0"
    if any(bits is not None and not 2 <= bits <= 62 for bits in (p.v_bits, p.i_bits)):
        yield f"widths of 2 to 62 bits are possible, not v {p.v_bits}, i {p.i_bits}"
    if p.clamp_low is not None and p.clamp_high is not None and np.any(p.clamp_low > p.clamp_high):
        yield "its clamp is empty"
    if p.reset is Reset.SUBTRACT and p.emit is Emit.COUNT and p.max_count is None and p.steps is not None:
        yield "an unbounded staircase has no explicit steps"
    if p.encoding is not Encoding.UNDECIDED and (p.max_count is None or p.emit is not Emit.COUNT):
        yield f"only a bounded count can be encoded as {p.encoding}"
    if p.refractory and p.reset_at is not ResetAt.SAME:
        yield "a neuron that rests after a spike needs the reset of the same timestep, not of the next"
    if p.rectifier is not Rectifier.NONE and is_integer:
        yield "a membrane rectifier belongs to float graphs"
    if p.encoding is Encoding.STREAM:
        yield from stream_problems(p)
    elif p.ticks != 1:
        yield "only a streaming neuron says its ticks"


def stream_problems(p: NeuronParameters) -> Iterator[str]:
    """What keeps a neuron from firing while input still arrives."""
    if p.max_count is not None and p.ticks < p.max_count:
        yield f"streams {p.ticks} ticks, fewer than its max_count {p.max_count}"
    if p.reset is not Reset.SUBTRACT or p.reset_at is not ResetAt.SAME:
        yield "a streaming count needs the subtractive reset of the same timestep"
    if p.has_current or p.refractory or p.order is not Order.LEAK_FIRST or p.steps is not None:
        yield "a streaming count takes no current memory, refractory time, late leak or explicit steps"
    if p.rectifier is not Rectifier.NONE:
        yield "a streaming count takes no membrane rectifier"
    if p.bias_ticks not in BiasTicks:
        yield f"unknown way to give the bias: {p.bias_ticks}"


def check_sequences(graph: SpikeGraph) -> None:
    """Recurrent wires must not cross a node that reads the whole train of a sample."""
    for node in graph.nodes:
        if not isinstance(node, SideOperation) or not node.is_sequence:
            continue
        if reaches(graph, node.name, node.name):
            raise InvalidGraph(f"{place(node)}: reads whole trains, so it cannot be part of a loop")
        if node.inputs[0].delay:
            raise InvalidGraph(
                f"{place(node)}: reads a whole train, so its wire from {node.inputs[0].source} has no delay "
                f"(needs 0, has {node.inputs[0].delay})"
            )


def reaches(graph: SpikeGraph, start: str, goal: str) -> bool:
    """Whether a signal that leaves *start* can enter *goal*, at whatever delay."""
    seen: set[str] = set()
    front = list(graph.readers[start])
    while front:
        name = front.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            front += graph.readers[name]
    return False
