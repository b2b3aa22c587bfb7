"""Random synapse nodes with masks and rules, and what they compute by definition."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from snncc.ir import Array, Conv, Dense, Edge, Kind, Pool, Shape, Sparse
from snncc.ir.infer import edge_after
from snncc.mapping import Table, explicit, generated
from snncc.reference.synapse import pooled_sum, weighted_sum

Node = Dense | Conv | Sparse | Pool


class Case(NamedTuple):
    node: Node
    shape: Shape
    options: dict[str, Any]
    rng: np.random.Generator

    @property
    def out(self) -> Shape:
        return edge_after(self.node, [Edge(Kind.COUNT, self.shape)], is_integer=True).shape

    @property
    def tables(self) -> list[Table]:
        """Every table that the node has."""
        written = explicit(self.node, self.shape, **self.options)
        if isinstance(self.node, Sparse):
            return [written]
        return [written, generated(self.node, self.shape, **self.options)]

    def counts(self, timesteps: int = 3) -> Array:
        """Mostly silence, some spikes, a few counts."""
        size = (timesteps, *self.shape)
        return self.rng.integers(1, 5, size) * (self.rng.random(size) < self.rng.choice([0.05, 0.3, 1.0]))


def random_weights(rng: np.random.Generator, *shape: int) -> Array:
    """Integers of some width, some zero."""
    reach = int(rng.choice([1, 3, 127, 30000]))
    return rng.integers(-reach * rng.integers(0, 2), reach + 1, shape) * (rng.random(shape) < 0.8)


@st.composite
def convs(draw: st.DrawFn) -> Case:
    """Convolutions with and without masks, with every rule that their kernel allows."""
    small, rng = st.integers(0, 2), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, ins, outs = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(small, small, small, small))
    sizes = [
        draw(st.integers(max(1, d * (k - 1) + 1 - p), 9))
        for d, k, p in zip(dilation, kernel, (sum(padding[:2]), sum(padding[2:])), strict=True)
    ]
    node = Conv(
        name="conv",
        weight=random_weights(rng, groups * outs, ins, *kernel),
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["keep"] = rng.random(draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))) < 0.5
    if draw(st.booleans()) and kernel[0] % 2 and kernel[1] % 2:
        options["rule"] = "center"
    return Case(node, (groups * ins, *sizes), options, rng)


@st.composite
def others(draw: st.DrawFn) -> Case:
    """Dense layers, sparse tables, pooling."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lead = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    kind = draw(st.sampled_from(("dense", "sparse", "pool")))
    if kind == "dense":
        ins, outs = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        return Case(Dense(name="dense", weight=random_weights(rng, outs, ins)), (*lead, ins), {}, rng)
    if kind == "sparse":
        shape, out = (*lead, draw(st.integers(1, 9))), (draw(st.integers(1, 3)), draw(st.integers(1, 5)))
        n = draw(st.integers(0, 20))  # the same pair may come twice
        pre, post = rng.integers(0, prod(shape), n), rng.integers(0, prod(out), n)
        table = Sparse(name="sparse", weight=random_weights(rng, n), pre=pre, post=post, shape=out)
        return Case(table, shape, {}, rng)
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    sides = draw(st.tuples(st.integers(3, 7), st.integers(3, 7)))
    return Case(Pool(name="pool", kernel=kernel, stride=stride, padding=padding), (*lead, *sides), {}, rng)


cases = st.one_of(convs(), others())


def open_positions(case: Case, x: Array) -> Array:
    """Which targets may receive, position by position: bool [N, *out]."""
    kept = np.ones((len(x), *case.out), bool)
    if not case.options:
        return kept
    node, keep = case.node, case.options.get("keep")
    assert isinstance(node, Conv)
    _, oh, ow = case.out
    (sy, sx), (dy, dx) = node.stride, node.dilation
    for i in range(oh):
        for j in range(ow):
            if keep is not None and not keep[i * len(keep) // oh, j * len(keep[0]) // ow]:
                kept[:, :, i, j] = False
            if case.options.get("rule") == "center":
                y = i * sy - node.padding[0] + node.weight.shape[2] // 2 * dy
                z = j * sx - node.padding[2] + node.weight.shape[3] // 2 * dx
                inside = 0 <= y < case.shape[1] and 0 <= z < case.shape[2]
                for n in range(len(x)):
                    if not (inside and any(x[n, :, y, z])):
                        kept[n, :, i, j] = False
    return kept


def definition(case: Case, x: Array) -> Array:
    """The whole sum times the mask."""
    x = x.astype(np.int64)
    whole = (
        pooled_sum(case.node, x, case.out)
        if isinstance(case.node, Pool)
        else weighted_sum(case.node, x, case.out)
    )
    return whole * open_positions(case, x)
