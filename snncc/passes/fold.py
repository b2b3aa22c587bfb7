"""Fold batch normalization, and every other affine node, into weights or into thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

import numpy as np

from snncc.ir import (
    Affine,
    Array,
    Conv,
    Dense,
    Emit,
    Neuron,
    NeuronParameters,
    Node,
    Pool,
    Rectifier,
    Reshape,
    Shape,
    Sparse,
    SpikeGraph,
    Transpose,
)
from snncc.passes.pipeline import Preserves
from snncc.passes.rewrite import only_reader, only_source, without
from snncc.passes.rounding import half_to_even_steps, rounds_half_to_even
from snncc.reference.synapse import weighted_sum

Weighted = Dense | Conv | Sparse


class Into(StrEnum):
    """Where an affine node goes."""

    WEIGHTS = "weights"
    THRESHOLDS = "thresholds"


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """Fold affine nodes *into* the weights around them, or the thresholds behind them.

    Into weights: an affine behind a synapse that nothing else reads scales its rows and its bias; one before
    a synapse scales its columns, its offset becomes a bias (per position where padding makes it differ).
    Into thresholds: where the affine feeds nothing but one neuron, threshold, reset amount, reset value,
    initial state, clamp and bias are divided by its gain, per channel; a negative gain first flips the
    channel's weights, a zero gain empties them. What cannot go where it was asked goes into the weights; the
    scale of a product of counts (an attention) always goes into thresholds, and so does one number for a
    whole layer that no weights can take (on a residual stream); what has no place stays.
    """

    into: Into = Into.WEIGHTS
    name: ClassVar[str] = "fold-batch-norm"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        steps: list[Step] = [merge_affines]
        if self.into is Into.THRESHOLDS:
            steps.append(into_threshold)
        steps += [behind_pool, into_rows, into_columns, of_events, behind_move, of_layer]
        if graph.is_integer:
            return graph
        while True:
            for node in graph.nodes:
                if not isinstance(node, Affine) or node.per_timestep:
                    continue
                changed = next((new for step in steps if (new := step(graph, node)) is not None), None)
                if changed is not None:
                    graph = changed
                    break
            else:
                return graph


Step = Callable[[SpikeGraph, Affine], SpikeGraph | None]


def replaced(graph: SpikeGraph, gone: Node, *new: Node) -> SpikeGraph:
    """*graph* without the node *gone*, its readers reading its source, and with *new* nodes for old names."""
    table = {node.name: node for node in new}
    nodes = [table.get(node.name, node) for node in graph.nodes]
    return graph.with_nodes(without(nodes, {gone.name: gone.inputs[0].source}))


def merge_affines(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """Two affine nodes in a row become one."""
    source = only_source(graph, node)
    if not isinstance(source, Affine) or source.per_timestep:
        return None
    merged = replace(
        source,
        gain=source.gain * node.gain,
        offset=source.offset * node.gain + node.offset,
        origin=node.origin,
    )
    return replaced(graph, node, merged)


def behind_pool(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """An affine behind an unpadded pool moves before it, toward a synapse: both are linear in a channel."""
    pool = only_source(graph, node)
    if not isinstance(pool, Pool) or any(pool.padding) or not leads_from_synapse(graph, pool):
        return None
    if not (is_per_channel(node.gain) and is_per_channel(node.offset)):
        return None
    window = 1 if pool.is_average else pool.kernel[0] * pool.kernel[1]
    moved = replace(node, inputs=pool.inputs, offset=node.offset / window)
    pool_after = replace(pool, inputs=(replace(node.inputs[0], source=node.name),))
    nodes: list[Node] = []
    for one in graph.nodes:
        if one.name == pool.name:
            nodes += [moved, pool_after]
        elif one.name != node.name:
            inputs = tuple(replace(w, source=pool.name) if w.source == node.name else w for w in one.inputs)
            nodes.append(replace(one, inputs=inputs))
    return graph.with_nodes(nodes)


def of_events(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """An affine between counts and a neuron (the scale of an attention) can go into thresholds only."""
    is_first = graph.edges[node.inputs[0].source].is_events
    return into_threshold(graph, node) if is_first else None


def of_layer(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """One gain and one offset for a whole layer leave it one threshold, and one bias."""
    return into_threshold(graph, node) if node.gain.size == node.offset.size == 1 else None


def behind_move(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """One factor for all signals moves behind a reshape or a transpose, toward what can take it."""
    move = only_reader(graph, node.name)
    if not isinstance(move, Reshape | Transpose) or node.gain.size > 1 or node.offset.size > 1:
        return None
    after = replace(
        node,
        inputs=(replace(node.inputs[0], source=move.name, delay=0),),
        gain=node.gain.reshape(()),
        offset=node.offset.reshape(()),
    )
    nodes: list[Node] = []
    for one in graph.nodes:
        if one.name == move.name:
            nodes += [replace(move, inputs=node.inputs), after]
        elif one.name != node.name:
            inputs = tuple(replace(w, source=node.name) if w.source == move.name else w for w in one.inputs)
            nodes.append(replace(one, inputs=inputs))
    return graph.with_nodes(nodes)


def leads_from_synapse(graph: SpikeGraph, pool: Pool) -> bool:
    """Whether only unpadded pools and affines lie between *pool* and a synapse that can take a gain."""
    source = only_source(graph, pool)
    while (isinstance(source, Pool) and not any(source.padding)) or (
        isinstance(source, Affine) and not source.per_timestep
    ):
        source = only_source(graph, source)
    return isinstance(source, Weighted)


def is_per_channel(array: Array) -> bool:
    """Whether *array* is one number, or one for each map."""
    return (array.ndim < 2 and array.size == 1) or (array.ndim >= 2 and array.shape[-2:] == (1, 1))


def into_rows(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """An affine behind a synapse scales its rows and its bias, where its gain is one number a row."""
    synapse = only_source(graph, node)
    if not isinstance(synapse, Weighted):
        return None
    shape = graph.edges[synapse.name].shape
    gain = row_factor(synapse, node.gain, shape)
    if gain is None:
        return None
    bias = (0.0 if synapse.bias is None else synapse.bias) * node.gain + node.offset
    return replaced(graph, node, replace(synapse, weight=gain * synapse.weight, bias=np.asarray(bias)))


def row_factor(synapse: Weighted, gain: Array, shape: Shape) -> Array | None:
    """*gain* broadcast to the weight, or None where it differs inside a row."""
    match synapse:
        case Dense():
            row = leading_constant(gain, len(shape), axis=len(shape) - 1)
            return None if row is None else spread(row, synapse.weight.shape)
        case Conv():
            row = leading_constant(gain, len(shape), axis=0)
            return None if row is None else spread(row, synapse.weight.shape)
        case Sparse():
            return np.broadcast_to(gain, shape).reshape(-1)[synapse.post]


def leading_constant(array: Array, rank: int, axis: int) -> Array | None:
    """*array* as one number for each index of *axis*, or one number; None where it varies elsewhere."""
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    varies = [k for k, size in enumerate(full.shape) if size > 1]
    return full.reshape(-1) if varies in ([], [axis]) else None


def spread(row: Array, shape: Shape) -> Array:
    """One factor for each index of the first axis of *shape*."""
    return row.reshape(-1, *(1,) * (len(shape) - 1))


def into_columns(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """An affine before a synapse that alone reads it scales its columns; its offset becomes a bias."""
    synapse = only_reader(graph, node.name)
    if not isinstance(synapse, Weighted) or node.inputs[0].delay or synapse.delay is not None:
        return None
    shape, out = graph.edges[node.name].shape, graph.edges[synapse.name].shape
    weight = column_scaled(synapse, node.gain, shape)
    if weight is None:
        return None
    offset = np.broadcast_to(node.offset, shape).astype(np.float64)[None]
    bias = weighted_sum(synapse, offset, out)[0] + (0.0 if synapse.bias is None else synapse.bias)
    return replaced(graph, node, replace(synapse, weight=weight, bias=simplified(bias, synapse)))


def column_scaled(synapse: Weighted, gain: Array, shape: Shape) -> Array | None:
    match synapse:
        case Dense():
            column = leading_constant(gain, len(shape), axis=len(shape) - 1)
            return None if column is None else synapse.weight * column
        case Conv():
            channel = leading_constant(gain, len(shape), axis=0)
            if channel is None:
                return None
            out, per_group = synapse.weight.shape[:2]
            table = np.broadcast_to(channel, (shape[0],)).reshape(synapse.groups, 1, per_group, 1, 1)
            grouped = synapse.weight.reshape(synapse.groups, -1, *synapse.weight.shape[1:])
            return (grouped * table).reshape(out, *synapse.weight.shape[1:])
        case Sparse():
            return synapse.weight * np.broadcast_to(gain, shape).reshape(-1)[synapse.pre]


def simplified(bias: Array, synapse: Weighted) -> Array:
    """One number a channel where a convolution's bias does not vary inside its maps."""
    if isinstance(synapse, Conv) and np.all(bias == bias[:, :1, :1]):
        return bias[:, :1, :1]
    return bias


def into_threshold(graph: SpikeGraph, node: Affine) -> SpikeGraph | None:
    """An affine that feeds nothing but one neuron goes into that neuron's thresholds and bias."""
    neuron = only_reader(graph, node.name)
    if not isinstance(neuron, Neuron) or len(neuron.inputs) != 1 or node.inputs[0].delay:
        return None
    if neuron.parameters.rectifier is not Rectifier.NONE:
        return None  # phi is curved: it belongs to the units in which the network was trained
    new: list[Node] = []
    gain = node.gain
    if np.any(gain <= 0):
        synapse = only_source(graph, node)
        if not isinstance(synapse, Weighted):
            return None
        shape = graph.edges[synapse.name].shape
        sign = np.sign(gain)
        factor = row_factor(synapse, sign, shape)
        if factor is None:
            return None
        bias = None if synapse.bias is None else synapse.bias * sign
        new.append(replace(synapse, weight=factor * synapse.weight, bias=bias))
        gain = np.where(gain == 0, 1.0, np.abs(gain))
    parameters = divided(neuron.parameters, gain, node.offset)
    return replaced(graph, node, replace(neuron, parameters=parameters), *new)


def divided(p: NeuronParameters, gain: Array, offset: Array) -> NeuronParameters:
    """*p* for an input that is not multiplied by the positive *gain* and shifted by *offset* any more."""
    rho, steps = p.rho / gain, p.steps_over(gain)
    if steps is not None and rounds_half_to_even(p):
        # Dividing blurs what sets a tie apart from the step beside it.
        steps = half_to_even_steps(rho, len(steps))
    return replace(
        p,
        theta=p.theta / gain,
        rho=rho,
        steps=steps,
        bias=(p.bias + offset) / gain,
        v_reset=p.v_reset / gain,
        v_init=p.v_init / gain,
        i_init=p.i_init / gain,
        clamp_low=None if p.clamp_low is None else p.clamp_low / gain,
        clamp_high=None if p.clamp_high is None else p.clamp_high / gain,
        scale=p.scale if p.emit is Emit.COUNT else p.scale * gain,
    )
