"""Which edge leaves a node, from its parameters and the edges that enter it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from snncc.errors import InvalidGraph
from snncc.ir.arrays import Array, Shape, broadcasts, sealed, simplest
from snncc.ir.edges import Edge, Kind
from snncc.ir.neuron import Emit, Encoding, NeuronParameters
from snncc.ir.nodes import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Gate,
    Input,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    Node,
    Output,
    Pad,
    Pool,
    Product,
    Reshape,
    SideOperation,
    Slice,
    Sparse,
    Transpose,
)
from snncc.ir.rules import (
    Misfit,
    bound_of,
    conv_shape,
    equal_shapes,
    moved,
    scales_agree,
    uniform,
    window_shape,
)
from snncc.ir.sides import side_problems


def infer_edges(nodes: Sequence[Node], *, is_integer: bool) -> dict[str, Edge]:
    """The edge that leaves each node.

    A delayed wire may point backwards: such an edge is taken from the node's own declaration, which only
    neurons and inputs have, by a second look once it is known.
    """
    edges: dict[str, Edge] = {}
    known = {node.name for node in nodes}
    for node in nodes:
        missing = [wire.source for wire in node.inputs if wire.source not in known]
        if missing:
            raise InvalidGraph(f"{place(node)}: reads {missing[0]!r}, which is no node")
    for node in nodes:
        late = [wire.source for wire in node.inputs if wire.source not in edges]
        for wire in node.inputs:
            if wire.source not in edges and wire.delay == 0:
                raise InvalidGraph(
                    f"{place(node)}: reads {wire.source!r}, which comes later; nodes are in topological "
                    "order and only a wire with delay >= 1 points backwards"
                )
        ready = [edges[wire.source] for wire in node.inputs if wire.source in edges]
        try:
            # A backward wire joins a sum whose other operands say what the sum is.
            edges[node.name] = edge_after(node, ready, is_integer=is_integer, is_partial=bool(late))
        except Misfit as problem:
            raise InvalidGraph(f"{place(node)}: {problem}") from None
    for node in nodes:
        try:
            complete = edge_after(node, [edges[w.source] for w in node.inputs], is_integer=is_integer)
        except Misfit as problem:
            raise InvalidGraph(f"{place(node)}: {problem}") from None
        if complete != edges[node.name]:
            raise InvalidGraph(
                f"{place(node)}: its backward wire changes its edge from {edges[node.name]} to {complete}; "
                "feed the recurrent signal through a synapse into a neuron"
            )
    return edges


def place(node: Node) -> str:
    """How a diagnostic names *node*: name, kind, origin."""
    origin = f", {node.origin}" if node.origin else ""
    return f"{node.name} ({type(node).__name__}{origin})"


def edge_after(node: Node, ins: Sequence[Edge], *, is_integer: bool, is_partial: bool = False) -> Edge:
    """The edge that leaves *node* when *ins* enter it. Raises `Misfit`."""
    arity(node, ins, is_partial)
    match node:
        case Input():
            bound = 1 if node.kind is Kind.SPIKE else node.max_count
            return Edge(node.kind, node.shape, node.scale, bound if node.kind is not Kind.ANALOG else None)
        case Dense() | Conv() | Sparse():
            return after_synapse(node, ins[0], is_integer)
        case Pool():
            return after_pool(node, ins[0])
        case MaxPool():
            reach = [d * (k - 1) for d, k in zip(node.dilation, node.kernel, strict=True)]
            if max(node.padding[:2]) > reach[0] or max(node.padding[2:]) > reach[1]:
                raise Misfit(f"the padding {node.padding} holds whole windows of {node.kernel}")
            shape = window_shape(ins[0].shape, node.kernel, node.stride, node.padding, node.dilation)
            return after_max(ins, shape)
        case Affine():
            return after_affine(node, ins[0], is_integer)
        case Pad():
            top, bottom, left, right = node.padding
            if len(ins[0].shape) < 2 or min(node.padding) < 0:
                raise Misfit(f"cannot pad shape {ins[0].shape} by {node.padding}")
            *rest, h, w = ins[0].shape
            shape = (*rest, h + top + bottom, w + left + right)
            if np.any(node.value != 0) and ins[0].is_events:
                raise Misfit("spikes and counts are padded with zeros only; pad after the synapse")
            return Edge(ins[0].kind, shape, map_scale(ins[0]), ins[0].max_count, ins[0].ticks)
        case Maximum():
            equal_shapes(ins)
            return after_max(ins, ins[0].shape)
        case Mul():
            shape = common_shape(ins)
            scale = np.prod([uniform(e, "a product") for e in ins]) if is_integer else sealed(1.0)
            return Edge(Kind.ANALOG, shape, sealed(scale))
        case Add():
            return after_add(ins, is_integer)
        case Reshape():
            if int(np.prod(node.shape)) != ins[0].size or min(node.shape, default=1) < 1:
                raise Misfit(f"cannot give {ins[0].size} signals {ins[0].shape} the shape {node.shape}")
            return moved(ins[0], node.shape, lambda scale: scale.reshape(node.shape))
        case Transpose():
            if sorted(node.axes) != list(range(len(ins[0].shape))):
                raise Misfit(f"axes {node.axes} are no permutation of the axes of {ins[0].shape}")
            shape = tuple(ins[0].shape[axis] for axis in node.axes)
            return moved(ins[0], shape, lambda scale: scale.transpose(node.axes))
        case Slice():
            return after_slice(node, ins[0])
        case Concat():
            return after_concat(node, ins, is_integer)
        case Neuron():
            return after_neuron(node.parameters, ins, is_integer)
        case DynamicSynapse():
            return after_dynamic(node, ins)
        case SideOperation():
            for problem in side_problems(node, ins[0].shape):
                raise Misfit(problem)
            return Edge(node.kind, node.shape, node.scale, 1 if node.kind is Kind.SPIKE else None)
        case Gate():
            value, mask = ins
            if mask.kind is not Kind.SPIKE or mask.max_count != 1 or not broadcasts(mask.shape, value.shape):
                raise Misfit(f"the mask must be spike(1) that broadcasts to {value.shape}, not {mask}")
            return value
        case Output():
            return Edge(ins[0].kind, ins[0].shape, ins[0].scale, ins[0].max_count)
        case _:
            assert_never(node)


TWO_OR_MORE = (Add, Concat, Neuron)


def arity(node: Node, ins: Sequence[Edge], is_partial: bool) -> None:
    need = (
        0 if isinstance(node, Input) else 2 if isinstance(node, Maximum | Mul | DynamicSynapse | Gate) else 1
    )
    if isinstance(node, TWO_OR_MORE) and ins:
        return
    if is_partial:
        raise Misfit("a backward wire must end at an add or a neuron that has a forward input too")
    if len(ins) != need:
        raise Misfit(f"takes {need} input{'s' * (need != 1)}, has {len(ins)}")


def after_synapse(node: Dense | Conv | Sparse, edge: Edge, is_integer: bool) -> Edge:
    match node:
        case Dense():
            if node.weight.ndim != 2 or edge.shape[-1:] != node.weight.shape[1:]:
                raise Misfit(f"weight {node.weight.shape} does not take an input of shape {edge.shape}")
            shape: Shape = (*edge.shape[:-1], node.weight.shape[0])
        case Conv():
            shape = conv_shape(node, edge.shape)
        case Sparse():
            shape = node.shape
            limits = (("pre", node.pre, edge.size), ("post", node.post, int(np.prod(shape))))
            for what, table, size in limits:
                if table.shape != node.weight.shape or table.ndim != 1:
                    raise Misfit(
                        f"the table has {node.weight.shape} weights and {table.shape} {what} entries"
                    )
                if table.size and not (table.min() >= 0 and table.max() < size):
                    raise Misfit(f"{what} addresses {table.min()}..{table.max()} leave 0..{size - 1}")
    if node.bias is not None and not broadcasts(node.bias.shape, shape):
        raise Misfit(f"bias {node.bias.shape} does not broadcast to {shape}")
    if node.delay is not None and (
        node.delay.shape != node.weight.shape or node.delay.dtype.kind not in "iu"
    ):
        raise Misfit(f"delays {node.delay.shape} must be integers shaped like the weight {node.weight.shape}")
    if not is_integer:
        return Edge(Kind.ANALOG, shape, ticks=edge.ticks)
    scale = node.weight_scale * uniform(edge, "a synapse") / 2.0**node.shift
    if not broadcasts(scale.shape, shape):
        raise Misfit(f"weight scale {node.weight_scale.shape} does not broadcast to {shape}")
    return Edge(Kind.ANALOG, shape, scale, ticks=edge.ticks)


def after_pool(node: Pool, edge: Edge) -> Edge:
    shape = window_shape(edge.shape, node.kernel, node.stride, node.padding)
    window = node.kernel[0] * node.kernel[1]
    scale = map_scale(edge) / (window if node.is_average else 1)
    kind = Kind.COUNT if edge.is_events else Kind.ANALOG
    bound = None if edge.max_count is None else edge.max_count * window
    return Edge(kind, shape, scale, bound, edge.ticks)


def map_scale(edge: Edge) -> Array:
    """Pooling and padding take a scale per channel, but not one that differs inside a map."""
    scale = simplest(edge.scale)
    if scale.ndim and any(n != 1 for n in scale.shape[-2:]):
        full = np.broadcast_to(scale, edge.shape)
        scale = full[..., :1, :1]
        if np.any(full != scale):
            raise Misfit("pooling and padding need one scale inside each channel")
    return scale


def after_max(ins: Sequence[Edge], shape: Shape) -> Edge:
    if not scales_agree(ins):
        raise Misfit("a maximum needs inputs of one scale")
    scale = map_scale(ins[0]) if shape != ins[0].shape else ins[0].scale
    if all(e.kind is Kind.SPIKE for e in ins):
        ticks = max(e.ticks for e in ins)  # streams are not monotone: their OR may hold in every tick
        return Edge(Kind.SPIKE, shape, scale, ticks, ticks)
    if all(e.is_events for e in ins):
        return Edge(Kind.COUNT, shape, scale, bound_of(ins))
    return Edge(Kind.ANALOG, shape, scale)


def after_affine(node: Affine, edge: Edge, is_integer: bool) -> Edge:
    for what, array in (("gain", node.gain), ("offset", node.offset)):
        shape = array.shape[1:] if node.per_timestep and array.ndim else array.shape
        if not broadcasts(shape, edge.shape):
            raise Misfit(f"{what} {array.shape} does not broadcast to {edge.shape}")
    scale = node.gain_scale * edge.scale if is_integer else sealed(1.0)
    return Edge(Kind.ANALOG, edge.shape, scale, ticks=edge.ticks)


def after_add(ins: Sequence[Edge], is_integer: bool) -> Edge:
    equal_shapes(ins)
    ticks = max(e.ticks for e in ins)
    agree = scales_agree(ins)
    if all(e.is_events for e in ins) and agree:
        bounds = [e.max_count for e in ins]
        total = None if None in bounds else sum(b for b in bounds if b is not None)
        return Edge(Kind.COUNT, ins[0].shape, ins[0].scale, total, ticks)
    if not is_integer:
        return Edge(Kind.ANALOG, ins[0].shape, ticks=ticks)
    if not agree:
        raise Misfit("an integer sum needs inputs of one scale")
    return Edge(Kind.ANALOG, ins[0].shape, ins[0].scale, ticks=ticks)


def after_slice(node: Slice, edge: Edge) -> Edge:
    shape = edge.shape
    if not (
        0 <= node.axis < len(shape) and 0 <= node.start < node.stop <= shape[node.axis] and node.step > 0
    ):
        raise Misfit(f"[{node.start}:{node.stop}:{node.step}] on axis {node.axis} leaves {shape}")
    index = [slice(None)] * len(shape)
    index[node.axis] = slice(node.start, node.stop, node.step)
    kept = len(range(node.start, node.stop, node.step))
    after = (*shape[: node.axis], kept, *shape[node.axis + 1 :])
    return moved(edge, after, lambda scale: scale[tuple(index)])


def after_concat(node: Concat, ins: Sequence[Edge], is_integer: bool) -> Edge:
    rank = len(ins[0].shape)
    rests = {e.shape[: node.axis] + e.shape[node.axis + 1 :] for e in ins}
    if not 0 <= node.axis < rank or len(rests) > 1 or any(len(e.shape) != rank for e in ins):
        raise Misfit(f"cannot join {', '.join(str(e.shape) for e in ins)} along axis {node.axis}")
    total = sum(e.shape[node.axis] for e in ins)
    shape = (*ins[0].shape[: node.axis], total, *ins[0].shape[node.axis + 1 :])
    ticks = max(e.ticks for e in ins)
    scale = ins[0].scale
    if any(e.scale.ndim for e in ins) or not scales_agree(ins):
        scale = np.concatenate([np.broadcast_to(e.scale, e.shape) for e in ins], node.axis)
    if all(e.kind is Kind.SPIKE for e in ins):
        return Edge(Kind.SPIKE, shape, simplest(scale), bound_of(ins), ticks)
    if all(e.is_events for e in ins):
        return Edge(Kind.COUNT, shape, simplest(scale), bound_of(ins), ticks)
    return Edge(Kind.ANALOG, shape, simplest(scale) if is_integer else sealed(1.0), ticks=ticks)


def after_neuron(p: NeuronParameters, ins: Sequence[Edge], is_integer: bool) -> Edge:
    equal_shapes(ins)
    if is_integer and not scales_agree(ins):
        raise Misfit("an integer neuron needs inputs of one scale")
    shape = ins[0].shape
    for what in ("theta", "rho", "leak", "leak_i", "bias", "v_reset", "v_init", "i_init", "scale"):
        if not broadcasts(getattr(p, what).shape, shape):
            raise Misfit(f"{what} {getattr(p, what).shape} does not broadcast to {shape}")
    for what, array in (("clamp_low", p.clamp_low), ("clamp_high", p.clamp_high)):
        if array is not None and not broadcasts(array.shape, shape):
            raise Misfit(f"{what} {array.shape} does not broadcast to {shape}")
    if p.steps is not None and not broadcasts(p.steps.shape[1:], shape):
        raise Misfit(f"steps {p.steps.shape} does not broadcast to {(len(p.steps), *shape)}")
    ticks = max(e.ticks for e in ins)
    if p.encoding is Encoding.STREAM and p.ticks < ticks:
        raise Misfit(f"streams {p.ticks} ticks but receives {ticks}")
    if p.emit is not Emit.COUNT:
        scale = p.scale * ins[0].scale if is_integer else sealed(1.0)
        return Edge(Kind.ANALOG, shape, scale)
    if p.max_count == 1 or p.encoding in (Encoding.SPIKES, Encoding.STREAM):
        return Edge(Kind.SPIKE, shape, p.scale, p.max_count, p.fire_ticks)
    return Edge(Kind.COUNT, shape, p.scale, p.max_count)


def common_shape(ins: Sequence[Edge]) -> Shape:
    """The shape to which two signals of as many axes broadcast."""
    shapes = " and ".join(str(e.shape) for e in ins)
    if len({len(e.shape) for e in ins}) > 1:
        raise Misfit(f"shapes {shapes} differ in their number of axes; reshape one")
    try:
        return np.broadcast_shapes(*(e.shape for e in ins))
    except ValueError:
        raise Misfit(f"shapes {shapes} do not broadcast") from None


def after_dynamic(node: DynamicSynapse, ins: Sequence[Edge]) -> Edge:
    left, right = ins
    if not (left.is_events and right.is_events):
        raise Misfit(f"multiplies spikes or counts, not {left.kind} by {right.kind}")
    scale = sealed(uniform(left, "a dynamic synapse") * uniform(right, "a dynamic synapse"))
    bound = None if left.max_count is None or right.max_count is None else left.max_count * right.max_count
    if node.product is Product.ELEMENTWISE:
        return Edge(Kind.COUNT, common_shape(ins), scale, bound)
    a, b = (
        (*e.shape[:-2], e.shape[-1], e.shape[-2]) if flip and len(e.shape) > 1 else e.shape
        for e, flip in zip(ins, node.transpose, strict=True)
    )
    if len(a) < 2 or len(a) != len(b) or a[:-2] != b[:-2] or a[-1] != b[-2]:
        raise Misfit(f"cannot multiply matrices {a} and {b}")
    return Edge(Kind.COUNT, (*a[:-1], b[-1]), scale, None if bound is None else bound * a[-1])


def edges_into(node: Node, edges: Mapping[str, Edge]) -> list[Edge]:
    """The edges that enter *node*."""
    return [edges[wire.source] for wire in node.inputs]
