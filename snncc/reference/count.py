"""How many operations an execution costs, counted from the definition.

An AC is one accumulation into one target caused by one spike through one existing synapse; a zero inside a
kernel is an existing synapse (``ac_nonzero`` leaves such out), a tap that falls outside the map is not. A MAC
is a nonzero analog or graded number times an existing synapse (``mac_dense``: any number, zero or not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Edge,
    Emit,
    Encoding,
    Gate,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    Node,
    Pad,
    Pool,
    Product,
    Reshape,
    SideOperation,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    edges_into,
)
from snncc.reference.nodes import as_matrices, per_tick
from snncc.reference.side import side_macs
from snncc.reference.synapse import pooled_sum, weighted_sum, with_unit_weights

Counts = NDArray[np.int64]
STRUCTURAL = (Add, Concat, Gate, Maximum, MaxPool, Pad, Pool, Reshape, Slice, Transpose)


@dataclass(frozen=True, slots=True)
class Operations:
    """Operations of one node for each sample, int64 [B]; *synapses* is how many synapses exist.

    Dense counts are what the node would cost if nothing were skipped. *received* is the sum of the spikes
    and counts that arrived (of an analog input: how many numbers were not zero).
    """

    synapses: int
    received: Counts
    ac: Counts
    ac_nonzero: Counts
    mac: Counts
    mac_nonzero: Counts
    mac_dense: Counts

    def plus(self, other: Operations) -> Operations:
        """The sum of two timesteps."""
        return Operations(
            self.synapses,
            self.received + other.received,
            self.ac + other.ac,
            self.ac_nonzero + other.ac_nonzero,
            self.mac + other.mac,
            self.mac_nonzero + other.mac_nonzero,
            self.mac_dense + other.mac_dense,
        )


def carries_spikes(graph: SpikeGraph) -> Mapping[str, bool]:
    """Which nodes send spikes, one message each, so that a synapse behind them costs an AC a spike.

    Neurons whose count is graded (or not encoded yet) and analog signals cost MACs. Pooling, joining and
    moving spikes leaves them spikes.
    """
    table: dict[str, bool] = {}
    for node in graph.nodes:
        edge = graph.edges[node.name]
        if isinstance(node, Input):
            table[node.name] = edge.kind is Kind.SPIKE
        elif isinstance(node, Neuron):
            p = node.parameters
            unary = p.max_count == 1 or p.encoding in (Encoding.SPIKES, Encoding.STREAM)
            table[node.name] = p.emit is Emit.COUNT and unary
        elif isinstance(node, STRUCTURAL):
            signals = node.inputs[:1] if isinstance(node, Gate) else node.inputs  # a mask costs nothing
            table[node.name] = edge.is_events and all(table.get(w.source, False) for w in signals)
        else:
            table[node.name] = False
    return table


def is_counted(node: Node) -> bool:
    """Whether operations of *node* are counted: synapses, and the gains that stayed."""
    return isinstance(node, Dense | Conv | Sparse | Pool | Mul | DynamicSynapse) or (
        isinstance(node, Affine) and bool(np.any(node.gain != 1))
    )


def operations(node: Node, xs: Sequence[Array], ins: Edge, out: Edge, *, is_spiking: bool) -> Operations:
    """What one timestep of *node* costs when *xs* [B, ticks, *shape], the first on edge *ins*, enter it."""
    batch = len(xs[0])
    none = np.zeros(batch, np.int64)
    if isinstance(node, Affine | Mul):
        active = np.all([np.broadcast_to(x.sum(axis=1) != 0, (batch, *out.shape)) for x in xs], axis=0)
        nonzero = per_sample(active)
        return Operations(out.size, nonzero, none, none, nonzero, nonzero, np.full(batch, out.size, np.int64))
    if isinstance(node, DynamicSynapse):
        return dynamic_operations(node, xs, out, is_spiking=is_spiking)
    x = xs[0]
    synapses = int(reached(node, np.ones((1, 1, *x.shape[2:]), np.int64), out, only_nonzero=False)[0])
    if is_spiking:
        spikes = x.astype(np.int64)
        every, nonzero = (reached(node, spikes, out, only_nonzero=flag) for flag in (False, True))
        return Operations(synapses, per_sample(spikes), every, nonzero, none, none, none)
    active = (x != 0).astype(np.int64)
    dense = np.full(batch, synapses * x.shape[1], np.int64)
    received = per_sample(x.astype(np.int64) if ins.is_events else active)
    mac, nonzero = (reached(node, active, out, only_nonzero=flag) for flag in (False, True))
    return Operations(synapses, received, none, none, mac, nonzero, dense)


def side_operations(node: SideOperation, timesteps: int, ins: Edge, batch: int) -> Operations:
    """The MACs of a side operation on a train of *timesteps*, whatever it holds."""
    made, _ = side_macs(node, timesteps, ins.shape)
    none, count = np.zeros(batch, np.int64), np.full(batch, made, np.int64)
    return Operations(0, none, none, none, count, count, count)


def dynamic_operations(
    node: DynamicSynapse, xs: Sequence[Array], out: Edge, *, is_spiking: bool
) -> Operations:
    """Every spike of the operand that comes second adds a row of the complete one: an AC an entry.

    What comes second as a graded number costs a MAC an entry instead.
    """
    counts = [x.sum(axis=1).astype(np.int64) for x in xs]
    complete, second = (counts[0] != 0).astype(np.int64), counts[1]
    if node.first:
        complete, second = (counts[1] != 0).astype(np.int64), counts[0]
    if not is_spiking:
        second = (second != 0).astype(np.int64)
    none, ones = np.zeros(len(second), np.int64), np.ones_like

    def met(one: Array, other: Array) -> Counts:
        left, right = (other, one) if node.first else (one, other)
        if node.product is Product.ELEMENTWISE:
            return per_sample(np.broadcast_to(left * right, (len(one), *out.shape)))
        return per_sample(np.matmul(*as_matrices(node, left, right)))

    every, nonzero = met(ones(complete), second), met(complete, second)
    pairs = met(ones(complete), ones(second))
    received, synapses = per_sample(second), int(pairs[0])
    if is_spiking:
        return Operations(synapses, received, every, nonzero, none, none, none)
    return Operations(synapses, received, none, none, every, nonzero, pairs)


def reached(node: Node, x: Array, out: Edge, *, only_nonzero: bool) -> Counts:
    """How many (number, synapse) pairs *x* meets, for each sample: the node with every weight one."""
    match node:
        case Dense() | Conv() | Sparse():
            unit = with_unit_weights(node, only_nonzero=only_nonzero)
            return per_sample(per_tick(x, lambda flat: weighted_sum(unit, flat, out.shape)))
        case Pool():
            return per_sample(per_tick(x, lambda flat: pooled_sum(node, flat, out.shape)))
        case _:
            raise AssertionError(f"{node.name} has no synapses")


def per_sample(x: Array) -> Counts:
    return x.reshape(len(x), -1).sum(axis=1, dtype=np.int64)


def inputs_spike(graph: SpikeGraph, node: Node, spiking: Mapping[str, bool]) -> bool:
    """Whether everything that enters *node* are spikes; of a dynamic synapse, what comes second."""
    if isinstance(node, DynamicSynapse):
        return spiking[node.inputs[1 - node.first].source]
    return all(spiking[wire.source] for wire in node.inputs) and all(
        edge.is_events for edge in edges_into(node, graph.edges)
    )
