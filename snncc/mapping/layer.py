"""What a table is made of: a synapse node, checked against the shape that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import BadInput, CannotLower, InvalidGraph, UnknownName
from snncc.ir import Conv, Dense, Edge, Kind, Pool, Shape, Sparse, place
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit
from snncc.mapping.descriptor import Descriptor, Rows, Windows
from snncc.mapping.masks import NO_MASK, Ints, Mask

MAX_WEIGHT_BITS = 16
Rule = Literal["patch", "center"]
Node = Dense | Conv | Sparse | Pool


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A *node* that fits its input *shape*, its flat integer *weights* and their width in bits.

    *descriptor* is None for a node that has none (`Sparse`).
    """

    node: Node
    shape: Shape
    out: Shape
    descriptor: Descriptor | None
    weights: Ints
    weight_bits: int
    mask: Mask


def checked(node: Node, shape: Shape, keep: ArrayLike | None, rule: Rule, weight_bits: int | None) -> Layer:
    """The layer of *node*. Raises `InvalidGraph`, `CannotLower`, `BadInput`."""
    if not isinstance(node, Dense | Conv | Sparse | Pool):
        raise CannotLower(f"{place(node)}: an address table is made of a synapse or a pooling")
    if not shape or min(shape) < 1:
        raise BadInput(f"{place(node)}: the shape it reads must have positive sizes, not {shape}")
    weights = weights_of(node)
    try:
        out = edge_after(node, [Edge(Kind.COUNT, shape)], is_integer=True).shape
    except Misfit as problem:
        raise InvalidGraph(f"{place(node)}: {problem}") from None
    bits = bits_of(node, weights, weight_bits)
    return Layer(node, shape, out, descriptor_of(node, shape, out), weights, bits, mask_of(node, keep, rule))


def descriptor_of(node: Node, shape: Shape, out: Shape) -> Descriptor | None:
    match node:
        case Dense():
            return Rows(shape, out)
        case Conv():
            top, _, left, _ = node.padding
            kernel = (node.weight.shape[2], node.weight.shape[3])
            return Windows(shape, out, kernel, node.stride, (top, left), node.dilation, node.groups, False)
        case Pool():
            top, _, left, _ = node.padding
            maps = int(np.prod(shape[:-2]))
            return Windows(shape, out, node.kernel, node.stride, (top, left), (1, 1), maps, True)
        case Sparse():
            return None
        case _:
            assert_never(node)


def weights_of(node: Node) -> Ints:
    """The weights of *node* by weight address; a pooling has one."""
    if isinstance(node, Pool):
        return np.ones(1, np.int64)
    if node.delay is not None:
        raise CannotLower(
            f"{place(node)}: an address table has no delays, its synapses have up to {node.delay.max()}",
            hint="make one table for each delay",
        )
    arrays = {"weights": node.weight}
    if isinstance(node, Sparse):
        arrays |= {"source addresses": node.pre, "target addresses": node.post}
    for what, array in arrays.items():
        if array.dtype.kind not in "iu":
            raise CannotLower(
                f"{place(node)}: an address table needs integer {what}, has {array.dtype}",
                hint="quantize the graph first" if what == "weights" else "",
            )
    return node.weight.astype(np.int64).reshape(-1)


def bits_of(node: Node, weights: Ints, given: int | None) -> int:
    """The width of a weight: *given*, or what the weights need; unsigned if none is negative."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    need = max(1, high.bit_length()) if low >= 0 else max((-low - 1).bit_length(), high.bit_length()) + 1
    if given is None:
        have = MAX_WEIGHT_BITS
    elif type(given) is not int or not 1 <= given <= MAX_WEIGHT_BITS:
        raise BadInput(f"{place(node)}: weights have 1 to {MAX_WEIGHT_BITS} bits, not {given!r}")
    else:
        have = given
    if need > have:
        raise CannotLower(
            f"{place(node)}: its weights {low}..{high} need {need} bits, have {have}",
            hint="quantize the graph to fewer bits, or give more",
        )
    return given or need


def mask_of(node: Node, keep: ArrayLike | None, rule: Rule) -> Mask:
    """The mask of *node*. A map that keeps everything is none."""
    if rule not in get_args(Rule):
        raise UnknownName("rule", rule, get_args(Rule))
    if keep is None and rule == "patch":
        return NO_MASK
    if not isinstance(node, Conv):
        raise CannotLower(f"{place(node)}: a mask or a center needs a convolution")
    if rule == "center" and 0 in (n % 2 for n in node.weight.shape[2:]):
        kh, kw = node.weight.shape[2:]
        raise CannotLower(
            f"{place(node)}: the rule 'center' needs odd kernels, has {kh} x {kw}", hint="rule='patch'"
        )
    if keep is None:
        return Mask(None, True)
    kept = np.asarray(keep)
    if kept.ndim != 2 or 0 in kept.shape:
        raise BadInput(f"{place(node)}: its mask must have the shape [h, w], not {kept.shape}")
    if kept.dtype.kind not in "biuf" or not np.all((kept == 0) | (kept == 1)):
        raise BadInput(f"{place(node)}: its mask must be bool, or hold nothing but 0 and 1")
    return Mask(None if np.all(kept) else kept.astype(bool), rule == "center")
