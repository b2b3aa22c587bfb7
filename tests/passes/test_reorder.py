"""Products of three matrices of counts: the cheaper order, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import DynamicSynapse, Input, Kind, Node, Output, SpikeGraph, wires
from snncc.passes import ReorderProducts
from snncc.reference import run

COUNTS = 4


def triple(m: int, k: int, n: int, p: int, *, left: bool, watched: bool = False) -> SpikeGraph:
    """(a b) c where *left*, else a (b c); where it is *watched*, the inner product is an output, too."""
    shapes = {"a": (2, m, k), "b": (2, k, n), "c": (2, n, p)}
    nodes: list[Node] = [
        Input(name=name, shape=shape, kind=Kind.COUNT, max_count=COUNTS) for name, shape in shapes.items()
    ]
    inner, outer = (("a", "b"), ("ab", "c")) if left else (("b", "c"), ("a", "ab"))
    nodes.append(DynamicSynapse(name="ab", inputs=wires(*inner)))
    nodes.append(DynamicSynapse(name="abc", inputs=wires(*outer), first=int(not left)))
    nodes.append(Output(name="y", inputs=wires("abc")))
    if watched:
        nodes.append(Output(name="z", inputs=wires("ab")))
    graph = SpikeGraph(tuple(nodes))
    graph.verify()
    return graph


size = st.integers(1, 6)


@given(size, size, size, size, st.booleans(), st.integers(0, 1 << 30))
@settings(max_examples=60)
def test_both_orders_are_equal_and_the_cheaper_one_is_taken(
    m: int, k: int, n: int, p: int, left: bool, seed: int
) -> None:
    graph = triple(m, k, n, p, left=left)
    after = ReorderProducts()(graph)
    after.verify()
    rng = np.random.default_rng(seed)
    x = {
        node.name: rng.integers(0, COUNTS + 1, (1, 2, *node.shape))
        for node in graph.nodes
        if isinstance(node, Input)
    }
    assert np.array_equal(run(graph, x, timesteps=1).output, run(after, x, timesteps=1).output)
    from_left, from_right = m * k * n + m * n * p, k * n * p + m * k * p
    is_left = after["ab"].inputs[0].source == "a"
    assert is_left == (from_left < from_right or (from_left == from_right and left))
    second = after["abc"]
    assert isinstance(second, DynamicSynapse)
    assert second.inputs[second.first].source == "ab"  # the inner product is complete first


@pytest.mark.parametrize("left", [True, False])
def test_a_product_that_is_read_elsewhere_stays(left: bool) -> None:
    sizes = (6, 1, 6, 1) if left else (1, 6, 1, 6)
    assert ReorderProducts()(triple(*sizes, left=left)).nodes != triple(*sizes, left=left).nodes
    graph = triple(*sizes, left=left, watched=True)
    assert ReorderProducts()(graph).nodes == graph.nodes
