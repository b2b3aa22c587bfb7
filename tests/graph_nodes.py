"""One random node of each kind, to append to a graph that grows (`tests.graphs`)."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Gate,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Node,
    Pad,
    Pool,
    Product,
    Reshape,
    Shape,
    Slice,
    Sparse,
    Transpose,
)

if TYPE_CHECKING:
    from tests.graphs import Growing


def synapse_options(g: Growing, source: str, weight: Array, out: Shape) -> dict[str, Any]:
    """What all synapses have."""
    bias_shape = g.pick([(), out, (out[0], *([1] * (len(out) - 1)))])
    shift = g.pick([0, 0, 2])
    return {
        "inputs": (g.wire(source),),
        "weight": weight,
        "bias": g.pick([None, g.rng.integers(-9, 10, bias_shape)]),
        "shift": shift,
        # one scale for all branches, so that they can be joined
        "weight_scale": np.array(0.5 * 2.0**shift / float(g.edges[source].scale.flat[0])),
        "delay": g.pick([None, None, None, g.rng.integers(0, 3, weight.shape)]),
    }


def dense(g: Growing) -> Node | None:
    source = g.source()
    shape = g.edges[source].shape
    weight = g.weights(g.pick([4, 7, 12]), shape[-1])
    out = (*shape[:-1], len(weight))
    return Dense(name=g.name("dense"), **synapse_options(g, source, weight, out))


def conv(g: Growing) -> Node | None:
    source = g.source()
    shape = g.edges[source].shape
    if len(shape) != 3:
        return dense(g)
    groups = g.pick([1, 1, shape[0]])
    kernel = g.pick([(1, 1), (3, 3), (3, 2), (2, 3)])
    weight = g.weights(groups * g.pick([1, 2, 3]), shape[0] // groups, *kernel)
    padding = g.pick([(1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 1, 2), (2, 0, 1, 1)])
    return Conv(
        name=g.name("conv"),
        groups=groups,
        stride=g.pick([(1, 1), (2, 2), (1, 2)]),
        padding=padding,
        dilation=g.pick([(1, 1), (1, 1), (2, 1)]),
        **synapse_options(g, source, weight, (len(weight), 1, 1)) | {"bias": bias_of(g, len(weight))},
    )


def bias_of(g: Growing, channels: int) -> Array | None:
    return g.pick([None, g.rng.integers(-9, 10, ()), g.rng.integers(-9, 10, (channels, 1, 1))])


def sparse(g: Growing) -> Node | None:
    source = g.source()
    shape = g.pick([(6,), (2, 3, 3), g.edges[source].shape])
    node = g.synapse(source, shape, 0.5, g.name("sparse"))
    assert isinstance(node, Sparse)
    return replace(node, **synapse_options(g, source, node.weight, shape))


def pool(g: Growing) -> Node | None:
    return Pool(
        name=g.name("pool"),
        inputs=(g.wire(g.source()),),
        kernel=g.pick([(2, 2), (3, 2)]),
        stride=g.pick([(2, 2), (1, 1), (2, 1)]),
        padding=g.pick([(0, 0, 0, 0), (1, 0, 0, 1)]),
        is_average=g.chance(0.5),
    )


def max_pool(g: Growing) -> Node | None:
    return MaxPool(
        name=g.name("maxpool"),
        inputs=(g.wire(g.source()),),
        kernel=g.pick([(2, 2), (3, 2)]),
        stride=g.pick([(2, 2), (1, 1), (2, 1)]),
        padding=g.pick([(0, 0, 0, 0), (1, 0, 0, 1)]),
        dilation=g.pick([(1, 1), (1, 2)]),
    )


def affine(g: Growing) -> Node | None:
    source = g.source()
    shape = g.edges[source].shape
    lead = g.pick([(), (g.timesteps,)])
    shapes = [(*lead, *shape), (*lead, shape[0], *([1] * (len(shape) - 1)))]
    return Affine(
        name=g.name("affine"),
        inputs=(g.wire(source),),
        gain=g.rng.integers(1, 4, g.pick(shapes)) * g.pick([-1, 1, 1]),
        offset=g.rng.integers(-5, 9, g.pick(shapes)),
        gain_scale=np.array(0.5),
        per_timestep=bool(lead),
    )


def pad(g: Growing) -> Node | None:
    source = g.source()
    edge = g.edges[source]
    channels = (edge.shape[0], 1, 1)
    is_zero = edge.is_events or len(edge.shape) != 3
    value = np.zeros((), np.int64) if is_zero else g.rng.integers(-3, 4, channels)
    return Pad(name=g.name("pad"), inputs=(g.wire(source),), padding=(1, 0, 2, 1), value=value)


def maximum(g: Growing) -> Node | None:
    source = g.source()
    other = g.pick(g.twins(source))
    return Maximum(name=g.name("maximum"), inputs=(g.wire(source), g.wire(other)))


def mul(g: Growing) -> Node | None:
    source = g.source()
    rank = len(g.edges[source].shape)
    others = [name for name, edge in g.edges.items() if len(edge.shape) == rank]
    return Mul(name=g.name("mul"), inputs=(g.wire(source), g.wire(g.pick(others))))


def product(g: Growing) -> Node | None:
    """A dynamic synapse: a product of matrices, of a signal with itself or another, or elementwise."""
    events = [name for name, edge in g.edges.items() if edge.is_events and edge.scale.ndim == 0]
    if not events:
        return None
    source = g.pick(events)
    first = g.integer(0, 1)
    shape = g.edges[source].shape
    if len(shape) > 1 and g.chance(0.6):
        others = [name for name in events if g.edges[name].shape == shape]
        transpose = g.pick([(False, True), (True, False)])
        return DynamicSynapse(
            name=g.name("product"),
            inputs=(g.wire(source), g.wire(g.pick(others))),
            transpose=transpose,
            first=first,
        )
    others = [name for name in events if len(g.edges[name].shape) == len(shape)]
    return DynamicSynapse(
        name=g.name("product"),
        inputs=(g.wire(source), g.wire(g.pick(others))),
        product=Product.ELEMENTWISE,
        first=first,
    )


def gate(g: Growing) -> Node | None:
    source = g.source()
    rank = len(g.edges[source].shape)
    masks = [
        name
        for name, edge in g.edges.items()
        if edge.kind is Kind.SPIKE and edge.max_count == 1 and len(edge.shape) == rank
    ]
    return Gate(name=g.name("gate"), inputs=(g.wire(source), g.wire(g.pick(masks)))) if masks else None


def add(g: Growing) -> Node | None:
    source = g.source()
    others = [g.pick(g.twins(source)) for _ in range(g.integer(1, 2))]
    return Add(name=g.name("add"), inputs=tuple(g.wire(name) for name in (source, *others)))


def reshape(g: Growing) -> Node | None:
    source = g.source()
    shape = g.edges[source].shape
    flat = (prod(shape),)
    return Reshape(
        name=g.name("reshape"), inputs=(g.wire(source),), shape=g.pick([flat, (*shape, 1)[-3:], flat])
    )


def transpose(g: Growing) -> Node | None:
    source = g.source()
    axes = list(range(len(g.edges[source].shape)))
    return Transpose(name=g.name("transpose"), inputs=(g.wire(source),), axes=tuple(axes[1:] + axes[:1]))


def concat(g: Growing) -> Node | None:
    source = g.source()
    rank = len(g.edges[source].shape)
    others = [name for name, edge in g.edges.items() if len(edge.shape) == rank]
    wires = (g.wire(g.pick(others)), g.wire(source))
    return Concat(name=g.name("concat"), inputs=wires, axis=g.integer(0, rank - 1))


def cut(g: Growing) -> Node | None:
    source = g.source()
    shape = g.edges[source].shape
    axis = g.integer(0, len(shape) - 1)
    stop = max(1, shape[axis] - g.integer(0, 1))
    start = min(g.integer(0, 1), stop - 1)
    step = g.integer(1, 2)
    return Slice(name=g.name("slice"), inputs=(g.wire(source),), axis=axis, start=start, stop=stop, step=step)


SYNAPSES = (conv, conv, dense, sparse)
SIGNAL_NODES = (
    *(pool, max_pool, affine, pad, maximum, mul, add, add),
    *(reshape, transpose, concat, cut, conv, dense, product, gate),
)
