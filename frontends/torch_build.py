"""Building the graph while a model runs: nodes, their names, and the moves between them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from snncc.errors import CannotTrace
from snncc.frontends.torch_codes import ADDRESS, CONSTANT, NODE_SHIFT, Grid, Mixed
from snncc.frontends.torch_frames import Frame
from snncc.frontends.torch_gather import Cut, Joined, Move, Permuted, Shaped, Tiled, moves
from snncc.ir import (
    Array,
    Concat,
    Edge,
    Input,
    Kind,
    Layout,
    Neuron,
    Node,
    Output,
    Over,
    Pad,
    Presence,
    Reshape,
    Shape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    Wire,
    wires,
)
from snncc.ir.arrays import same
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit

MAXIMUM_TABLE = 1 << 24


@dataclass(frozen=True, slots=True)
class Place:
    """Where the model is: the module's path, whether it has no children, and the user's source line."""

    path: str = ""
    is_leaf: bool = False
    line: str = ""

    def __str__(self) -> str:
        line = f" ({self.line})" if self.line else ""
        return f"{self.path or 'the model'}{line}"


@dataclass
class Builder:
    """The graph so far. *values* has the numbers of nodes that stand for a tensor, [rows, *shape]."""

    grid: Grid
    keeps_values: bool = True
    nodes: list[Node] = field(default_factory=list)
    edges: dict[str, Edge] = field(default_factory=dict)
    shapes: dict[int, Shape] = field(default_factory=dict)
    number: dict[str, int] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    constants: list[float] = field(default_factory=lambda: [0.0])
    moved: dict[tuple[Shape, bytes], str] = field(default_factory=dict)
    made: dict[tuple[object, ...], list[Node]] = field(default_factory=dict)
    same_as: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[int, Array]] = field(default_factory=dict)
    refusals: dict[str, CannotTrace] = field(default_factory=dict)
    """What is said of nodes that may be recorded, but must not remain."""
    multiples: dict[str, Any] = field(default_factory=dict)
    """What `snncc.frontends.torch_units` found out of nodes."""

    def add(self, node: Node) -> str:
        """Append *node*, and return its name. Raises `Mixed` where it cannot take its inputs.

        What the same line of the model computes again from the same numbers, as in a loop over time, is one
        node: then the name of the earlier one comes back, and stands for the new name.
        """
        node = replace(node, inputs=tuple(replace(w, source=self.actual(w.source)) for w in node.inputs))
        key = (type(node), node.origin, *(wire.source for wire in node.inputs))
        if not isinstance(node, Neuron) or node.parameters.stateless:
            for earlier in self.made.get(key, ()):
                if alike(earlier, node):
                    self.same_as[node.name] = earlier.name
                    return earlier.name
        self.same_as.pop(node.name, None)
        self.made.setdefault(key, []).append(node)
        try:
            edge = edge_after(node, [self.edges[wire.source] for wire in node.inputs], is_integer=False)
        except Misfit as problem:
            raise Mixed(f"cannot become a {type(node).__name__} node: {problem}") from None
        self.nodes.append(node)
        self.edges[node.name] = edge
        self.number[node.name] = len(self.nodes)
        self.shapes[len(self.nodes)] = edge.shape
        return node.name

    def node(self, name: str) -> Node:
        """The node *name*."""
        return self.nodes[self.number[self.actual(name)] - 1]

    def unused(self, wanted: str) -> str:
        """*wanted*, or a new name like it."""
        name, count = wanted, 1
        while name in self.edges or name in RESERVED:
            name, count = f"{wanted}_{count}", count + 1
        return name

    def actual(self, name: str) -> str:
        """The node that *name* stands for."""
        return self.same_as.get(name, name)

    def feed_back(self, name: str, wire: Wire) -> None:
        """Let node *name* read *wire*, too, which is delayed and comes from a later node."""
        index = self.number[name] - 1
        node = self.nodes[index]
        if any((one.source, one.delay) == (wire.source, wire.delay) for one in node.inputs):
            return  # in a later timestep of a loop
        self.nodes[index] = replace(node, inputs=(*node.inputs, wire))

    def reserve(self, node: Neuron, shape: Shape) -> str:
        """Append a neuron of *shape* whose inputs, all of them delayed, are known later (`feed_back`)."""
        edge = edge_after(replace(node, inputs=wires("")), [Edge(Kind.ANALOG, shape)], is_integer=False)
        self.nodes.append(node)
        self.edges[node.name] = edge
        self.number[node.name] = len(self.nodes)
        self.shapes[len(self.nodes)] = edge.shape
        return node.name

    def name(self, place: Place, operation: str, *, is_main: bool = True) -> str:
        """A new name: the module's path for the main operation of a leaf, else path and operation."""
        full = f"{place.path}.{operation}" if place.path else operation
        wanted = [place.path, full] if place.is_leaf and is_main and place.path else [full]
        for name in wanted:
            if name not in self.edges and name not in RESERVED:
                return name
        return self.unused(full)

    def keep(self, name: str, frame: Frame, tensor: Tensor) -> None:
        """Remember the numbers of node *name*, which *tensor* holds as *frame* says."""
        if not self.keeps_values:
            return
        values = frame.values(tensor).astype(np.float64)
        if frame.over is Over.LAST:
            values = np.tile(values, (self.grid.timesteps, *[1] * len(frame.shape)))
        if len(values) == self.grid.rows:
            self.values[name] = values
        elif len(self.grid_parts(name, frame, values)) == self.grid.timesteps:
            parts = self.parts[name]
            self.values[name] = np.concatenate([parts[t] for t in range(self.grid.timesteps)])

    def grid_parts(self, name: str, frame: Frame, values: Array) -> dict[int, Array]:
        """What is known of *name*, by timestep, with the *values* of one timestep of a loop."""
        parts = self.parts.setdefault(name, {})
        parts[int(frame.rows[0]) // self.grid.samples] = values
        return parts

    def input(self, shape: Shape, kind: Kind, presence: Presence) -> str:
        """The input node."""
        return self.add(Input(name="input", shape=shape, kind=kind, presence=presence))

    def wire(self, cells: Array, place: Place) -> str:
        """The name of a node whose output is what *cells* say, in their shape."""
        key = (cells.shape, hashlib.blake2b(cells.tobytes()).digest())
        if key not in self.moved:
            self.moved[key] = self.gathered(cells, place)
        return self.moved[key]

    def gathered(self, cells: Array, place: Place) -> str:
        numbers = cells >> NODE_SHIFT
        if np.any(numbers == CONSTANT):
            return self.padded(cells, place)
        owners = np.unique(numbers)
        if len(owners) > 1:
            return self.joined(cells, place)
        source = self.nodes[int(owners[0]) - 1].name
        wanted = cells & ADDRESS
        chain = moves(self.edges[source].shape, wanted)
        if chain is None:
            return self.table(source, wanted, place)
        return self.chain(source, chain, place)

    def chain(self, source: str, chain: Sequence[Move], place: Place) -> str:
        """Nodes for the moves of *chain*."""
        start = source
        for move in chain:
            if isinstance(move, Shaped):
                source = self.before_reshape(source)
                if self.edges[source].shape == move.shape:
                    continue
            inputs, origin = wires(source), str(place)
            match move:
                case Shaped():
                    name = self.name(place, "reshape", is_main=False)
                    node: Node = Reshape(name=name, inputs=inputs, origin=origin, shape=move.shape)
                case Cut():
                    name = self.name(place, "slice", is_main=False)
                    node = Slice(
                        name=name,
                        inputs=inputs,
                        origin=origin,
                        axis=move.axis,
                        start=move.start,
                        stop=move.stop,
                        step=move.step,
                    )
                case Permuted():
                    name = self.name(place, "transpose", is_main=False)
                    node = Transpose(name=name, inputs=inputs, origin=origin, axes=move.axes)
                case Tiled():
                    name = self.name(place, "repeat", is_main=False)
                    node = Concat(name=name, inputs=inputs * move.times, origin=origin, axis=move.axis)
                case Joined():
                    parts = [self.chain(start, part, place) for part in move.parts]
                    name = self.name(place, "concat", is_main=False)
                    node = Concat(name=name, inputs=wires(*parts), origin=origin, axis=move.axis)
            source = self.add(node)
        return source

    def before_reshape(self, source: str) -> str:
        """What *source* reads if it only reshapes, so that no reshape follows another."""
        node = self.node(source)
        return node.inputs[0].source if isinstance(node, Reshape) else source

    def joined(self, cells: Array, place: Place) -> str:
        """Numbers of several nodes: cut along an axis into parts that have one node each."""
        numbers = cells >> NODE_SHIFT
        for axis in range(cells.ndim):
            first = numbers.take([0], axis)
            if np.all(first == numbers):
                continue
            changes = np.any(
                np.diff(numbers, axis=axis) != 0, axis=tuple(k for k in range(cells.ndim) if k != axis)
            )
            parts = np.split(cells, np.flatnonzero(changes) + 1, axis)
            if len(parts) > 64:
                break
            sources = [self.wire(np.ascontiguousarray(part), place) for part in parts]
            name = self.name(place, "concat", is_main=False)
            return self.add(Concat(name=name, inputs=wires(*sources), origin=str(place), axis=axis))
        raise Mixed("interleaves several signals in an order that has no image in the IR")

    def padded(self, cells: Array, place: Place) -> str:
        """A block of data inside constants."""
        is_data = (cells >> NODE_SHIFT) != CONSTANT
        box = []
        for axis in range(cells.ndim):
            along = np.flatnonzero(is_data.any(axis=tuple(k for k in range(cells.ndim) if k != axis)))
            box.append(slice(int(along[0]), int(along[-1]) + 1))
        if not is_data[tuple(box)].all():
            raise Mixed("mixes data and constants in an order that has no image in the IR")
        inner = np.ascontiguousarray(cells[tuple(box)])
        values = {self.constants[int(k)] for k in np.unique(cells[~is_data] & ADDRESS)}
        if len(values) > 1:
            raise Mixed("pads with several different constants")
        source = self.wire(inner, place)
        shape = list(inner.shape)
        margins = [(b.start, n - b.stop) for b, n in zip(box, cells.shape, strict=True)]
        value = np.array(values.pop())
        if any(margins[k] != (0, 0) for k in (-2, -1)[-len(margins) :]) and len(shape) >= 2:
            source = self.pad(source, (*margins[-2], *margins[-1]), value, place)
            shape[-2] += sum(margins[-2])
            shape[-1] += sum(margins[-1])
            margins[-2:] = [(0, 0), (0, 0)]
        for axis, (before, after) in enumerate(margins):
            if before or after:
                tail = int(np.prod(shape[axis + 1 :]))
                source = self.reshaped(source, (int(np.prod(shape[:axis])), shape[axis] * tail), place)
                source = self.pad(source, (0, 0, before * tail, after * tail), value, place)
                shape[axis] += before + after
        return self.reshaped(source, tuple(shape), place)

    def pad(self, source: str, padding: tuple[int, int, int, int], value: Array, place: Place) -> str:
        node = Pad(
            name=self.name(place, "pad", is_main=False),
            inputs=wires(source),
            origin=str(place),
            padding=padding,
            value=value,
        )
        return self.add(node)

    def reshaped(self, source: str, shape: Shape, place: Place) -> str:
        """*source* under another shape."""
        if self.edges[source].shape == shape:
            return source
        return self.chain(source, [Shaped(shape)], place)

    def table(self, source: str, wanted: Array, place: Place) -> str:
        """Any gather, as synapses of weight one."""
        if wanted.size > MAXIMUM_TABLE:
            raise Mixed(f"moves {wanted.size} numbers in an order that has no image in the IR")
        node = Sparse(
            name=self.name(place, "gather", is_main=False),
            inputs=wires(source),
            origin=str(place),
            weight=np.ones(wanted.size),
            pre=wanted.reshape(-1),
            post=np.arange(wanted.size),
            shape=wanted.shape,
        )
        return self.add(node)

    def constant(self, value: float) -> int:
        """The code of a constant element."""
        if value not in self.constants:
            self.constants.append(value)
        return self.constants.index(value)

    def graph(self, name: str, timesteps: int, layout: Layout) -> SpikeGraph:
        """The graph, without nodes that reach no output."""
        by_name = {node.name: node for node in self.nodes}
        needed: set[str] = set()
        left = [node.name for node in self.nodes if isinstance(node, Input | Output)]
        while left:
            name = left.pop()
            if name not in needed:
                needed.add(name)
                left += [wire.source for wire in by_name[name].inputs]
        nodes = forward(node for node in self.nodes if node.name in needed)
        for node in nodes:
            if node.name in self.refusals:
                raise self.refusals[node.name]
        return SpikeGraph(nodes, name=name, timesteps=timesteps, layout=layout)


def forward(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """*nodes*, with those that only read later ones behind the first that they read, where it can be."""
    left = {node.name: node for node in nodes}
    done: dict[str, Node] = {}

    def is_ready(node: Node) -> bool:
        waits = {wire.source for wire in node.inputs if not wire.delay}
        known = not node.inputs or any(wire.source in done for wire in node.inputs)
        return known and waits <= done.keys()

    while left:
        ready = next((node for node in left.values() if is_ready(node)), next(iter(left.values())))
        done[ready.name] = left.pop(ready.name)
    return tuple(done.values())


def alike(left: Node, right: Node) -> bool:
    """Whether two nodes of one type are the same but for their names."""
    return all(
        alike_values(getattr(left, f.name), getattr(right, f.name)) for f in fields(left) if f.name != "name"
    )


def alike_values(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return same(left, right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(alike_values(left[key], right[key]) for key in left)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(alike_values, left, right))
    if isinstance(left, Wire) and isinstance(right, Wire):
        return (left.source, left.delay) == (right.source, right.delay) and left.initial is right.initial
    return type(left) is type(right) and bool(left == right)


RESERVED = ("input", "output")
