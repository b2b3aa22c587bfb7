"""Making the address tables of a node, and choosing the smaller one."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import CannotLower
from snncc.ir import Shape, Sparse, place
from snncc.mapping.descriptor import Descriptor, Synapses
from snncc.mapping.layer import Layer, Node, Rule, checked
from snncc.mapping.tables import Explicit, Generated, Memory, Table, explicit_size

CHUNK = 1 << 20
"""Synapses that are expanded at once."""


def generated(
    node: Node,
    shape: Shape,
    *,
    keep: ArrayLike | None = None,
    rule: Rule = "patch",
    weight_bits: int | None = None,
) -> Generated:
    """The generated table of *node*, which reads *shape* (per sample and timestep).

    *keep* [h, w] (bool or 0/1) is a keep map of a convolution, of one sample and scaled to its output as
    `snncc.nn.set_mask` says; *rule* as `snncc.nn.SparseConv2d`. *weight_bits*: 1 to 16, by default the
    fewest that hold the weights (two's complement; unsigned if none is negative).

    Raises `InvalidGraph` where the node does not take the shape; `CannotLower` for real weights, delays,
    too many bits, a `Sparse` node (it has no descriptor), a mask of something else than a convolution, an
    even kernel with the rule "center"; `BadInput` for a bad map, rule or width.
    """
    layer = checked(node, shape, keep, rule, weight_bits)
    if layer.descriptor is None:
        raise CannotLower(
            f"{place(node)}: no descriptor generates the {layer.weights.size} entries of a sparse table",
            hint="an explicit table holds them",
        )
    return _generated(layer, layer.descriptor)


def explicit(
    node: Node,
    shape: Shape,
    *,
    keep: ArrayLike | None = None,
    rule: Rule = "patch",
    weight_bits: int | None = None,
) -> Explicit:
    """The explicit table of *node*; arguments and errors as `generated`, but `Sparse` nodes are taken."""
    return _explicit(checked(node, shape, keep, rule, weight_bits))


def explicit_memory(
    node: Node,
    shape: Shape,
    *,
    keep: ArrayLike | None = None,
    rule: Rule = "patch",
    weight_bits: int | None = None,
) -> Memory:
    """The memory of the explicit table, without making it."""
    return _explicit_memory(checked(node, shape, keep, rule, weight_bits))


def smaller(
    node: Node,
    shape: Shape,
    *,
    keep: ArrayLike | None = None,
    rule: Rule = "patch",
    weight_bits: int | None = None,
) -> Table:
    """The table of fewer bits; the generated one where both have as many. Arguments as `generated`."""
    layer = checked(node, shape, keep, rule, weight_bits)
    if layer.descriptor is not None:
        table = _generated(layer, layer.descriptor)
        if table.memory.bits <= _explicit_memory(layer).bits:
            return table
    return _explicit(layer)


def _generated(layer: Layer, descriptor: Descriptor) -> Generated:
    return Generated(layer.node.name, descriptor, layer.weights, layer.weight_bits, layer.mask)


def _explicit(layer: Layer) -> Explicit:
    sources = prod(layer.shape)
    source, target, weight = _entries(layer, sources)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=sources))])
    weights, addresses = np.unique(layer.weights[weight], return_inverse=True)
    openings = None
    if layer.mask.needs_center and layer.descriptor is not None:
        openings = layer.descriptor.opened(np.arange(prod(layer.shape[-2:])), layer.mask)
    return Explicit(
        *(layer.node.name, layer.shape, layer.out, pointers, target, addresses.reshape(-1)),
        *(weights, layer.weight_bits, layer.mask, openings),
    )


def _entries(layer: Layer, sources: int) -> Synapses:
    """All synapses of nonzero weight by source, with their addresses in the node's weights."""
    parts: list[Synapses] = []
    if isinstance(layer.node, Sparse):
        order = np.argsort(layer.node.pre, kind="stable")
        pre, post = (end[order].astype(np.int64) for end in (layer.node.pre, layer.node.post))
        parts = [Synapses(pre, post, order)]
    elif layer.descriptor is not None:
        step = max(1, CHUNK // layer.descriptor.fan_out)
        for start in range(0, sources, step):
            some = np.arange(start, min(start + step, sources))
            event, target, weight = layer.descriptor.synapses(some, layer.mask)
            parts.append(Synapses(some[event], target, weight))
    used = [layer.weights[part.weight] != 0 for part in parts]
    columns = zip(*parts, strict=True)
    return Synapses(
        *(np.concatenate([a[u] for a, u in zip(column, used, strict=True)]) for column in columns)
    )


def _explicit_memory(layer: Layer) -> Memory:
    uses = (
        np.ones(layer.weights.size, np.int64)
        if layer.descriptor is None
        else layer.descriptor.uses(layer.mask)
    )
    is_used = (layer.weights != 0) & (uses > 0)
    sizes = int(uses[is_used].sum()), len(np.unique(layer.weights[is_used]))
    return explicit_size(layer.shape, layer.out, *sizes, layer.weight_bits, layer.mask)
