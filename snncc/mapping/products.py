"""Products of two trains on cores: one operand is written, the other reads it (MACHINE.md, 1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from math import prod

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import DynamicSynapse, Product, Shape, Sparse, place
from snncc.reference.nodes import as_matrices

WRITE, READ = "write", "read"


def link(node: DynamicSynapse, operand: int, shapes: tuple[Shape, Shape], out: Shape) -> Sparse:
    """For each number of an *operand* (0 or 1) the numbers of the product that it takes part in."""
    numbers = [np.arange(prod(shape), dtype=np.int32).reshape(shape) for shape in shapes]
    targets = np.arange(prod(out), dtype=np.int32).reshape(out)
    if node.product is Product.ELEMENTWISE:
        pre, post = np.broadcast_arrays(numbers[operand], targets)
    else:
        left, right = as_matrices(node, *numbers)
        source = (left[..., :, None, :], right.swapaxes(-1, -2)[..., None, :, :])[operand]
        pre, post = np.broadcast_arrays(source, targets[..., None])  # [..., rows, columns, inner]
    ones = np.ones(pre.size, np.int8)
    name = f"{node.name} ({(READ, WRITE)[operand == node.first]})"
    return Sparse(name=name, inputs=(), pre=pre.reshape(-1), post=post.reshape(-1), shape=out, weight=ones)


def settle(
    depths: MutableMapping[str, int], order: Iterable[tuple[str, str]], nodes: Mapping[str, DynamicSynapse]
) -> None:
    """Make *depths* so large that of each pair in *order* the second comes after the first.

    *nodes* has the product for whose sake a pair is there, by its second. Raises `CannotLower` for a loop.
    """
    pairs, names = list(order), ""
    for _ in range(len(depths) + 1):
        late = [(a, b) for a, b in pairs if depths[b] <= depths[a]]
        if not late:
            return
        for a, b in late:
            depths[b] = max(depths[b], depths[a] + 1)
            names = b if b in nodes else names
    node = nodes[names] if names else next(iter(nodes.values()))
    raise CannotLower(
        f"{place(node)}: one operand must be complete before the other is sent, but depends on it",
        hint="simulate without a chip",
    )
