"""A graph as layers of the chip: one core is a convolution, its neurons, and pooling towards destinations.

Nothing here refuses a graph; `snncc.backends.speck.obstacles` says what does not fit. `layers_of` takes
graphs, float or integer, in which nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Array,
    Concat,
    Conv,
    Dense,
    Input,
    Neuron,
    Node,
    Pool,
    Reshape,
    Shape,
    SpikeGraph,
    place,
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where spikes come from: a layer or the input, summed over squares of *pool* x *pool* on the way.

    Its first channel arrives as channel *first*.
    """

    name: str
    pool: int
    first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One core's worth: *name* is the neuron's.

    *weight* [F, C, ky, kx] and *bias* [F] are those of the graph; a dense layer is a convolution whose
    kernel is the whole map. *stride* and *padding* are (y, x).
    """

    name: str
    sources: tuple[Source, ...]
    synapse: Conv | Dense
    neuron: Neuron
    in_shape: Shape
    out_shape: Shape
    weight: Array
    bias: Array | None
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def origin(self) -> str:
        """How a diagnostic names the layer."""
        return place(self.synapse)


def map_shape(shape: Shape) -> Shape:
    """*shape* as (channels, height, width): a vector has maps of one pixel.

    >>> map_shape((10,)), map_shape((2, 8, 8))
    ((10, 1, 1), (2, 8, 8))
    """
    return shape if len(shape) == 3 else (int(np.prod(shape)), 1, 1)


def shape_before_flatten(graph: SpikeGraph, name: str) -> Shape:
    """The shape of the spikes that the node *name* hands on, before any reshaping."""
    node = graph.by_name[name]
    while isinstance(node, Reshape):
        node = graph.by_name[node.inputs[0].source]
    if isinstance(node, Add):
        return shape_before_flatten(graph, node.inputs[0].source)
    return graph.edges[node.name].shape


def entry_shape(graph: SpikeGraph, node: Conv | Dense) -> Shape:
    """The map (channels, height, width) that enters a synapse node."""
    source = node.inputs[0].source
    shape = graph.edges[source].shape
    return map_shape(shape_before_flatten(graph, source) if isinstance(node, Dense) else shape)


def kernel_shape(graph: SpikeGraph, node: Conv | Dense) -> Shape:
    """The shape [F, C, ky, kx] of the kernel that does what *node* does, without groups."""
    channels, height, width = entry_shape(graph, node)
    if isinstance(node, Dense):
        return (node.weight.shape[0], channels, height, width)
    return (node.weight.shape[0], channels, *node.weight.shape[2:])


def channels_of(bias: Array, shape: Shape) -> Array | None:
    """*bias*, which broadcasts to *shape*, as one number a channel; None where it differs inside a map."""
    full = np.broadcast_to(bias, shape).reshape(map_shape(shape)[0], -1)
    return full[:, 0] if np.all(full == full[:, :1]) else None


def sources_of(graph: SpikeGraph, name: str, pool: int = 1, first: int = 0) -> Iterator[Source]:
    """Where the spikes that the node *name* hands on come from. Raises `CannotLower`."""
    node = graph.by_name[name]
    match node:
        case Neuron() | Input():
            yield Source(name, pool, first)
        case Reshape():
            yield from sources_of(graph, node.inputs[0].source, pool, first)
        case Pool():
            yield from sources_of(graph, node.inputs[0].source, pool * node.kernel[0], first)
        case Add():
            for wire in node.inputs:
                yield from sources_of(graph, wire.source, pool, first)
        case Concat():
            for wire in node.inputs:
                yield from sources_of(graph, wire.source, pool, first)
                first += graph.edges[wire.source].shape[0]
        case _:
            raise CannotLower(f"{place(node)}: has no place between two cores of Speck")


def destinations(graph: SpikeGraph, name: str) -> Iterator[str]:
    """The synapse nodes that the spikes of *name* reach, one entry for each way."""
    for reader in graph.readers[name]:
        node: Node = graph.by_name[reader]
        if isinstance(node, Conv | Dense):
            yield reader
        elif isinstance(node, Reshape | Pool | Add | Concat):
            yield from destinations(graph, reader)


def layers_of(graph: SpikeGraph) -> tuple[Layer, ...]:
    """The layers, in topological order. Raises `CannotLower` where the graph is not made of layers."""
    return tuple(layer_of(graph, node) for node in graph.neurons)


def layer_of(graph: SpikeGraph, node: Neuron) -> Layer:
    """The layer whose neurons are *node*."""
    synapse = graph.by_name[node.inputs[0].source]
    if not isinstance(synapse, Conv | Dense):
        raise CannotLower(f"{place(node)}: has no convolution before it, as a core of Speck does")
    shape = graph.edges[node.name].shape
    bias = None if synapse.bias is None else channels_of(synapse.bias, shape)
    stride, padding = (1, 1), (0, 0)
    if isinstance(synapse, Conv):
        stride, padding = synapse.stride, (synapse.padding[0], synapse.padding[2])
    return Layer(
        name=node.name,
        sources=tuple(sources_of(graph, synapse.inputs[0].source)),
        synapse=synapse,
        neuron=node,
        in_shape=entry_shape(graph, synapse),
        out_shape=map_shape(shape),
        weight=synapse.weight.reshape(kernel_shape(graph, synapse)),
        bias=bias,
        stride=stride,
        padding=padding,
    )
