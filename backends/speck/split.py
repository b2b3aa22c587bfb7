"""One layer on two cores: half of its features on each, joined again by channel where they arrive."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np

from snncc.backends.speck import limits
from snncc.backends.speck.cores import contests, feasible
from snncc.backends.speck.layers import Layer, destinations, layers_of
from snncc.backends.speck.limits import Words, words_of
from snncc.ir import Array, Concat, Conv, Dense, Neuron, Node, SpikeGraph, wires
from snncc.passes import Preserves


@dataclass(frozen=True, slots=True)
class SplitCores:
    """Split layers by features over two cores each: those that no core holds, and where layers compete.

    A layer that competes with others for too few cores is split only if its halves fit other cores and the
    layers before it have a destination left.
    """

    name: ClassVar[str] = "split-cores"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        for layer in layers_of(graph):
            if not on(words(layer)) and len(layer.weight) > 1:
                graph = split(graph, layer)
        while (one := competing(graph)) is not None:
            graph = split(graph, one)
        return graph


def words(layer: Layer, parts: int = 1) -> Words:
    """The memory of the largest of so many parts of a layer."""
    features = -(-len(layer.weight) // parts)
    kernel, neurons = (features, *layer.weight.shape[1:]), (features, *layer.out_shape[1:])
    return words_of(kernel, neurons, has_bias=layer.bias is not None)


def on(need: Words) -> list[int]:
    """The cores that hold it."""
    return feasible([need], limits.cores())[0]


def competing(graph: SpikeGraph) -> Layer | None:
    """The first layer of too many for their cores that splitting helps."""
    layers = layers_of(graph)
    held = [on(words(layer)) for layer in layers]
    rest = [k for k, cores in enumerate(held) if cores]
    for contest in contests([held[k] for k in rest]):
        for layer in (layers[rest[k]] for k in contest.layers):
            has_room = all(len(tuple(destinations(graph, s.name))) < limits.FAN_OUT for s in layer.sources)
            if len(layer.weight) > 1 and has_room and set(on(words(layer, 2))) - set(contest.cores):
                return layer
    return None


def split(graph: SpikeGraph, layer: Layer) -> SpikeGraph:
    """*graph* with *layer* in two halves; a node of the layer's name and shape joins them."""
    nodes: list[Node] = []
    count, axes = len(layer.weight), len(graph.edges[layer.name].shape)
    parts = (slice(0, -(-count // 2)), slice(-(-count // 2), count))
    for node in graph.nodes:
        if node.name == layer.synapse.name:
            continue
        if node.name != layer.name:
            nodes.append(node)
            continue
        for k, part in enumerate(parts):
            synapse = half(layer.synapse, f"{layer.synapse.name}/{k}", part, count, axes)
            neuron = half(layer.neuron, f"{layer.name}/{k}", part, count, axes)
            nodes += [synapse, replace(neuron, inputs=wires(synapse.name))]
        names = [f"{layer.name}/{k}" for k in range(len(parts))]
        nodes.append(Concat(name=layer.name, inputs=wires(*names), axis=0, origin=layer.neuron.origin))
    return graph.with_nodes(nodes)


def half(node: Node, name: str, part: slice, count: int, axes: int) -> Node:
    """The features *part* of a synapse or neuron node with *count* features, the first of *axes* axes."""

    def cut(array: Array) -> Array:
        return array[part] if array.ndim == axes and len(array) == count else array

    match node:
        case Conv() | Dense():
            bias = None if node.bias is None else cut(node.bias)
            return replace(
                node, name=name, weight=node.weight[part], bias=bias, weight_scale=cut(node.weight_scale)
            )
        case Neuron():
            p = node.parameters
            arrays = {f.name: a for f in fields(p) if isinstance(a := getattr(p, f.name), np.ndarray)}
            changed = {what: cut(array) for what, array in arrays.items()}
            return replace(node, name=name, parameters=replace(p, **changed))  # type: ignore[arg-type]
        case _:
            raise AssertionError(f"{node.name} has no features")
