"""Of which unit the numbers that a node sends are whole multiples, and what is added to them.

Behind quantized weights and activations a sum is a whole number of units plus its bias. A quantizer needs to
know, so that its steps lie between what can be: then no rounding can move a count, in floats or in integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from snncc.frontends.staircase import common_unit, whole
from snncc.frontends.torch_build import Builder
from snncc.ir import Add, Affine, Array, Conv, Dense, MaxPool, Node, Pool, Reshape, Shape, Transpose
from snncc.ir.arrays import simplest
from snncc.quantization.owned import coarsest

MOST_WEIGHTS = 1 << 8
"""Multiples of a step that weights of 8 bits may be."""
FEW = 64
NOTHING = np.zeros(())


@dataclass(frozen=True, slots=True, eq=False)
class Multiples:
    """Whole multiples of *unit* (None: of nothing) plus *offset*; both broadcast to the signal's shape."""

    unit: Array | None
    offset: Array

    @property
    def plain(self) -> Array | None:
        """The one unit of all numbers, where the offset is a multiple of it."""
        if self.unit is None or (unit := simplest(self.unit)).ndim or whole(self.offset, unit) is None:
            return None
        return unit


UNKNOWN = Multiples(None, NOTHING)


def multiples_of(builder: Builder, name: str) -> Multiples:
    """The grid of what node *name* sends."""
    edge = builder.edges[name]
    if edge.is_events:
        return Multiples(np.asarray(edge.scale), NOTHING)
    node = builder.node(name)
    inputs = [multiples_of(builder, wire.source) for wire in node.inputs if not wire.delay]
    if len(inputs) != len(node.inputs) or not inputs or any(one.unit is None for one in inputs):
        return UNKNOWN
    match node:
        case Conv():
            return weighted(node.weight, node.bias, inputs[0], (-1, 1, 1))
        case Dense():
            return weighted(node.weight, node.bias, inputs[0], (-1,))
        case Affine() if not node.per_timestep and np.all(node.gain != 0):
            unit = np.abs(node.gain) * inputs[0].unit
            return kept(unit, node.gain * inputs[0].offset + node.offset)
        case Add():
            unit = common_unit([one.unit for one in inputs])
            return UNKNOWN if unit is None else kept(unit, sum((one.offset for one in inputs), NOTHING))
        case _:
            return moved(node, inputs[0], builder.edges[node.inputs[0].source].shape, edge.shape)


def kept(unit: Array, offset: Array) -> Multiples:
    """A grid whose offset is none where it was meant to be a multiple of the unit."""
    return Multiples(simplest(unit), NOTHING if whole(offset, unit) is not None else simplest(offset))


def weighted(weight: Array, bias: Array | None, source: Multiples, shape: tuple[int, ...]) -> Multiples:
    """The grid of sums of products, a unit for each channel."""
    unit = source.plain
    step = None if unit is None else step_of(weight)
    if unit is None or step is None:
        return UNKNOWN
    return kept(unit * step.reshape(shape), NOTHING if bias is None else np.asarray(bias))


def step_of(weight: Array) -> Array | None:
    """For each target the step of which all of its weights are multiples; None where there is none."""
    rows, nothing = weight.reshape(len(weight), -1), np.zeros((len(weight), 1))
    if coarsest(rows[:, :FEW], nothing, MOST_WEIGHTS - 1) is None:
        return None  # quickly, for weights that are not quantized
    step = coarsest(rows, nothing, MOST_WEIGHTS - 1)
    if step is None:
        return None
    used = step[np.isfinite(step)]
    return np.where(np.isfinite(step), step, used.min() if used.size else 1.0)


def moved(node: Node, source: Multiples, before: Shape, after: Shape) -> Multiples:
    """The grid behind a node that pools or moves numbers."""
    unit = source.unit
    assert unit is not None
    is_whole = not np.any(source.offset)
    match node:
        case Pool() if is_whole or not any(node.padding):
            size = math.prod(node.kernel)
            channelwise = is_channelwise(unit) and is_channelwise(source.offset)
            if not channelwise:
                return UNKNOWN
            return (
                Multiples(unit / size, source.offset)
                if node.is_average
                else Multiples(unit, source.offset * size)
            )
        case MaxPool() if is_channelwise(unit) and is_channelwise(source.offset):
            return source
        case Reshape() | Transpose():
            wide = [np.broadcast_to(values, before) for values in (unit, source.offset)]
            if isinstance(node, Reshape):
                wide = [values.reshape(after) for values in wide]
            else:
                wide = [values.transpose(node.axes) for values in wide]
            return Multiples(simplest(wide[0]), simplest(wide[1]))
        case _:
            return UNKNOWN


def is_channelwise(values: Array) -> bool:
    """Whether *values* are the same over height and width."""
    return values.ndim < 1 or values.shape[-2:] == (1, 1)


def without_offset(builder: Builder, name: str) -> str:
    """A node that sends what *name* does without the offset of its grid."""
    grid = multiples_of(builder, name)
    if not np.any(grid.offset):
        return name
    node = builder.node(name)
    match node:
        case Conv() | Dense():
            return twin(builder, replace(node, bias=None))
        case Affine():
            node = replace(node, offset=NOTHING)
    inputs = tuple(replace(wire, source=without_offset(builder, wire.source)) for wire in node.inputs)
    return twin(builder, replace(node, inputs=inputs))


def twin(builder: Builder, node: Node) -> str:
    """The name of another *node* like one of the graph."""
    return builder.add(replace(node, name=builder.unused(f"{node.name}.sum")))
