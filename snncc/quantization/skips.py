"""Signals that have a scale of their own: who takes them as they are, and what brings them to a grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    Emit,
    Input,
    Mul,
    Neuron,
    Node,
    SideOperation,
    Sparse,
    SpikeGraph,
    Wire,
    wires,
)

GAIN_BITS = 20
"""Bits that the gains of an attention take together where several follow one another."""


def with_weighted_skips(graph: SpikeGraph) -> SpikeGraph:
    """Put a synapse of weight one where spikes, counts or inputs enter a sum of reals or a neuron directly.

    Such a signal has its own fixed scale; the synapse brings it onto the grid of the sum. One synaptic
    operation a spike, as on any chip.
    """
    nodes: list[Node] = []
    fixed = fixed_signals(graph)
    for node in graph.nodes:
        is_sum = isinstance(node, Add | Concat) and not graph.edges[node.name].is_events
        reads_itself = isinstance(node, Neuron) and (
            compares_counts(node, graph) or reads_product(node, graph)
        )
        takes = (isinstance(node, Neuron) and not reads_itself) or is_sum
        inputs: list[Wire] = []
        for k, wire in enumerate(node.inputs):
            if takes and wire.source in fixed:
                name = f"{node.name}.skip{k}" if len(node.inputs) > 1 else f"{node.name}.skip"
                synapse = replace(
                    identity_synapse(name, graph.edges[wire.source].shape), inputs=(wire,), origin=node.origin
                )
                nodes.append(synapse)
                inputs += wires(name)
            else:
                inputs.append(wire)
        nodes.append(replace(node, inputs=tuple(inputs)))
    return graph.with_nodes(nodes)


def compares_counts(node: Neuron, graph: SpikeGraph) -> bool:
    """Whether *node* can compare the counts that it reads with whole thresholds, exactly, as they are.

    So does a neuron without memory behind an attention: its staircase is the first count that passes each
    step. One with a memory would subtract amounts that are no whole counts.
    """
    p, edges = node.parameters, [graph.edges[wire.source] for wire in node.inputs]
    is_one_scale = all(e.is_events and e.scale.ndim == 0 and e.scale == edges[0].scale for e in edges)
    has_memory = not p.stateless or any(np.any(a != 0) for a in (p.bias, p.v_init, p.i_init))
    return is_one_scale and not has_memory and p.emit is Emit.COUNT and p.max_count is not None


def reads_product(node: Neuron, graph: SpikeGraph) -> bool:
    """Whether *node* reads nothing but a product with a gain, whose own grid is fine enough for it."""
    if len(node.inputs) != 1:
        return False
    source = graph.by_name[node.inputs[0].source]
    return isinstance(source, Mul)


def gains_in_a_row(graph: SpikeGraph, node: SideOperation) -> int:
    """How many products follow one another where *node* yields a factor."""
    products = [graph.by_name[name] for name in graph.readers[node.name]]
    count = 1
    while products:
        product = products.pop()
        if not isinstance(product, Mul):
            continue
        before = graph.by_name[product.inputs[0].source]
        behind = [graph.by_name[name] for name in graph.readers[product.name]]
        length = 1 + steps_through(graph, before, up=True)
        length += max((steps_through(graph, one, up=False) for one in behind), default=0)
        count = max(count, length)
    return count


def steps_through(graph: SpikeGraph, node: Node, *, up: bool) -> int:
    """Products from *node* on, one feeding the next."""
    count = 0
    while isinstance(node, Mul):
        count += 1
        if up:
            node = graph.by_name[node.inputs[0].source]
        else:
            readers = [graph.by_name[name] for name in graph.readers[node.name]]
            node = next((one for one in readers if isinstance(one, Mul)), readers[0])
    return count


def fixed_signals(graph: SpikeGraph) -> set[str]:
    """Nodes whose scale is given: events, inputs and products, and what is only moved or pooled from them.

    A sum of reals has the grid of the synapses that are put before it.
    """
    fixed: set[str] = set()
    for node in graph.nodes:
        edge = graph.edges[node.name]
        chosen = isinstance(node, Dense | Conv | Sparse | Affine | Add | Concat)
        given = isinstance(node, Input | Mul | SideOperation) or all(w.source in fixed for w in node.inputs)
        if edge.is_events or (given and not chosen):
            fixed.add(node.name)
    return fixed


def identity_synapse(name: str, shape: tuple[int, ...]) -> Conv | Sparse:
    """A synapse of weight one from each signal to itself."""
    if len(shape) == 3:
        return Conv(name=name, weight=np.ones((shape[0], 1, 1, 1)), groups=shape[0], is_added=True)
    size = int(np.prod(shape))
    return Sparse(
        name=name, weight=np.ones(size), pre=np.arange(size), post=np.arange(size), shape=shape, is_added=True
    )
