"""What can reach a neuron in one timestep, from the weights alone: intervals, sign by sign.

The bound is sharp where every neuron and input can take its extremes independently: positive weights meet the
largest numbers, negative ones the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from snncc.ir import (
    Affine,
    Array,
    Conv,
    Dense,
    Edge,
    Input,
    Kind,
    Neuron,
    Node,
    SideOperation,
    Sparse,
    SpikeGraph,
    edges_into,
)
from snncc.ir.arrays import sealed
from snncc.reference.nodes import evaluate
from snncc.reference.side import SIDES

Interval = tuple[Array, Array]


def current_bounds(graph: SpikeGraph, inputs: Mapping[str, tuple[float, float]]) -> dict[str, Interval]:
    """For each neuron the least and the largest sum of its inputs in one timestep, with its bias and without.

    (A chip may add it later than the sum, which then must fit alone.)

    Carried numbers in an integer graph, real values in a float graph, shaped as the neuron. *inputs* has the
    range of each analog input, in the same numbers. Infinite where a count without a bound enters.
    """
    signals: dict[str, Interval] = {}
    unknown = -1
    while True:
        found = swept(graph, inputs, signals)
        left = sum(int(np.isinf(high).sum()) for _, high in found.values())
        if left in (0, unknown):
            return found
        # What a backward wire carries is known now: neurons bound it.
        unknown = left


def swept(
    graph: SpikeGraph, inputs: Mapping[str, tuple[float, float]], signals: dict[str, Interval]
) -> dict[str, Interval]:
    """One walk over the graph, which brings *signals* up to date."""
    found: dict[str, Interval] = {}
    for node in graph.nodes:
        ins = edges_into(node, graph.edges)
        xs = [
            signals[w.source] if w.source in signals else emitted(e, graph.is_integer)
            for w, e in zip(node.inputs, ins, strict=True)
        ]
        out = graph.edges[node.name]
        if isinstance(node, Neuron):
            low, high = (np.sum(np.broadcast_arrays(*side), axis=0) for side in zip(*xs, strict=True))
            bias = node.parameters.bias
            found[node.name] = (low + np.minimum(bias, 0), high + np.maximum(bias, 0))
        signals[node.name] = interval(node, xs, ins, out, inputs, graph.is_integer)
    return found


def emitted(edge: Edge, is_integer: bool) -> Interval:
    """What an edge of events carries over all ticks of a timestep; anything where that is not bounded."""
    if not edge.is_events or edge.max_count is None:
        low = 0.0 if edge.is_events else -np.inf
        return np.full(edge.shape, low), np.full(edge.shape, np.inf)
    scale = np.ones(()) if is_integer else edge.scale
    return np.zeros(edge.shape), np.broadcast_to(float(edge.max_count) * scale, edge.shape)


def interval(
    node: Node,
    xs: list[Interval],
    ins: list[Edge],
    out: Edge,
    inputs: Mapping[str, tuple[float, float]],
    is_integer: bool,
) -> Interval:
    """What can leave *node* in one timestep."""
    if isinstance(node, Input) and node.kind is Kind.ANALOG:
        least, most = inputs[node.name]
        return np.full(out.shape, min(least, 0.0)), np.full(out.shape, max(most, 0.0))
    if out.is_events and (isinstance(node, Neuron | Input) or out.max_count is not None):
        return emitted(out, is_integer)
    if isinstance(node, SideOperation):
        most = SIDES[node.operation].largest(node.constants)
        return np.zeros(out.shape), np.full(out.shape, most / (out.scale if is_integer else 1))
    if isinstance(node, Neuron):
        return np.full(out.shape, -np.inf), np.full(out.shape, np.inf)
    lows, highs = [low for low, _ in xs], [high for _, high in xs]
    positive, negative = halves(node)
    if negative is None:
        return applied(positive, lows, ins, out, is_integer), applied(positive, highs, ins, out, is_integer)
    high = applied(positive, highs, ins, out, is_integer) + applied(negative, lows, ins, out, is_integer)
    low = applied(positive, lows, ins, out, is_integer) + applied(negative, highs, ins, out, is_integer)
    # Zero times infinity is not a number: nothing is known then.
    return np.nan_to_num(low, nan=-np.inf), np.nan_to_num(high, nan=np.inf)


def halves(node: Node) -> tuple[Node, Node | None]:
    """*node* with its positive weights (and its constants), and with its negative ones."""
    match node:
        case Dense() | Conv() | Sparse():
            weight = node.weight * 2.0**node.shift
            plain = replace(node, delay=None, shift=0)
            negative = replace(plain, weight=sealed(np.minimum(weight, 0)), bias=None)
            return replace(plain, weight=sealed(np.maximum(weight, 0))), negative
        case Affine() if node.per_timestep:
            gain, offset = (a if a.ndim else a[None] for a in (node.gain, node.offset))
            most = replace(node, gain=np.maximum(gain, 0).max(0), offset=offset.max(0), per_timestep=False)
            least = replace(node, gain=np.minimum(gain, 0).min(0), offset=np.zeros(()), per_timestep=False)
            return most, least
        case Affine():
            least = replace(node, gain=np.minimum(node.gain, 0), offset=np.zeros(()))
            return replace(node, gain=np.maximum(node.gain, 0)), least
        case _:
            return node, None


def applied(node: Node, xs: list[Array], ins: list[Edge], out: Edge, is_integer: bool) -> Array:
    """*node* on one timestep of all ticks together, in the numbers of the graph."""
    one_tick = [replace(edge, ticks=1) for edge in ins]
    to_carried = [1.0 if is_integer else edge.scale for edge in ins]
    carried = [(x / scale)[None, None] for x, scale in zip(xs, to_carried, strict=True)]
    with np.errstate(invalid="ignore"):
        value = evaluate(node, carried, one_tick, replace(out, ticks=1), 0, is_integer=is_integer)[0, 0]
    return value * (1.0 if is_integer else out.scale)
