"""The memory of address tables: counted bit by bit, and where one form becomes smaller than the other."""

from __future__ import annotations

from math import ceil, log2, prod

import numpy as np
import pytest
from hypothesis import given

from snncc.ir import Conv, Dense, Pool, Shape, Sparse
from snncc.mapping import Explicit, Generated, executed, explicit, explicit_memory, generated, smaller
from tests.mapping.table_cases import Case, Node, cases, convs, definition, open_positions


def bits(values: int) -> int:
    return ceil(log2(values)) if values > 1 else 0


def brute_bits(case: Case) -> int:
    """Bits of the explicit table, by asking for each source alone which targets it moves."""
    entries, weights = 0, set()
    node, sources = case.node, prod(case.shape)
    kept = np.ones(case.out, bool)
    if "keep" in case.options:
        only_keep = Case(node, case.shape, {"keep": case.options["keep"]}, case.rng)
        kept = open_positions(only_keep, np.zeros((1, *case.shape), int))[0]
    if isinstance(node, Sparse):
        entries, weights = int(np.count_nonzero(node.weight)), set(node.weight[node.weight != 0].tolist())
    else:
        for source in range(sources):
            x = np.zeros((1, sources), np.int64)
            x[0, source] = 1
            moved = definition(Case(node, case.shape, {}, case.rng), x.reshape(1, *case.shape))[0] * kept
            entries += int(np.count_nonzero(moved))
            weights |= set(moved[moved != 0].tolist())
    if isinstance(node, Pool):
        width = 1
    else:
        low, high = int(node.weight.min(initial=0)), int(node.weight.max(initial=0))
        widths = range(1, 17)
        width = next(
            b for b in widths if (0 if low >= 0 else -(2 ** (b - 1))) <= low and high < 2 ** (b - (low < 0))
        )
    total = (sources + 1) * bits(entries + 1)
    total += entries * (bits(prod(case.out)) + bits(len(weights))) + len(weights) * width
    if case.options.get("rule") == "center":
        positions = prod(case.out[1:])
        total += prod(case.shape[1:]) * bits(positions + 1) + positions
    return total


@given(cases)
def test_memory_of_explicit_tables(case: Case) -> None:
    table = explicit(case.node, case.shape, **case.options)
    assert table.memory.bits == brute_bits(case)
    assert explicit_memory(case.node, case.shape, **case.options) == table.memory
    assert len(np.unique(table.weights)) == len(table.weights)
    assert 0 not in table.weights


@given(cases)
def test_smaller_is_the_one_of_fewer_bits(case: Case) -> None:
    tables = case.tables
    best = smaller(case.node, case.shape, **case.options)
    assert best.memory.bits == min(table.memory.bits for table in tables)
    x = case.counts()
    assert np.array_equal(executed(best, x), definition(case, x))


@given(convs())
def test_masked_tables_are_smaller(case: Case) -> None:
    """A map that keeps less never costs an entry more; center costs openings and flags, no entry less."""
    plain = explicit(case.node, case.shape).memory
    keep = case.options.get("keep", np.eye(2))
    masked = explicit(case.node, case.shape, keep=keep)
    assert masked.memory.bits <= plain.bits
    entries = [len(explicit(case.node, case.shape, keep=k).targets) for k in (keep, None)]
    if entries[0] < entries[1]:
        assert masked.memory.bits < plain.bits
    _, oh, ow = case.out
    positions = set((masked.targets % (oh * ow)).tolist())
    kept = [
        i * ow + j for i in range(oh) for j in range(ow) if keep[i * len(keep) // oh, j * len(keep[0]) // ow]
    ]
    assert positions <= set(kept)
    nothing = explicit(case.node, case.shape, keep=np.zeros((1, 1)))
    assert nothing.memory.bits == 0
    everything = generated(case.node, case.shape, keep=np.ones((3, 2)))
    assert everything.memory == generated(case.node, case.shape).memory


def test_memory_of_generated_tables() -> None:
    """Two maps of 5 x 6 to four of 3 x 3, kernel 3 x 3, 72 weights of 4 bits (-3..4), field by field."""
    weight = np.arange(72).reshape(4, 2, 3, 3) % 8 - 3
    node = Conv(name="conv", weight=weight, stride=(2, 2), padding=(1, 1, 1, 0))
    table = generated(node, (2, 5, 6))
    sizes = {"maps_in": 2, "maps_out": 3, "in": 3 + 3, "out": 2 + 2, "kernel": 2 + 2, "stride": 2 + 2}
    small = {"padding": 1 + 1, "dilation": 1 + 1, "groups": 1, "is_shared": 1, "mask": 1 + 1, "rule": 1}
    assert table.out == (4, 3, 3)
    assert table.memory.descriptor == sum((sizes | small).values())
    assert (table.memory.weights, table.memory.mask, table.memory.flags) == (72 * 4, 0, 0)
    assert table.memory.bits == table.memory.descriptor + 72 * 4
    masked = generated(node, (2, 5, 6), keep=[[1, 0], [0, 1]], rule="center", weight_bits=8)
    assert masked.memory.descriptor == table.memory.descriptor + 2
    assert (masked.memory.weights, masked.memory.mask, masked.memory.flags) == (72 * 8, 4, 9)


def test_memory_at_the_edges() -> None:
    """16 positions and "none" are 17 things; weights that see only padding are not stored."""
    square = Conv(name="conv", weight=np.ones((1, 1, 3, 3), int), padding=(1,) * 4)
    assert explicit_memory(square, (1, 4, 4), rule="center").opening == 16 * 5
    lone = Conv(name="conv", weight=np.arange(1, 10).reshape(1, 1, 3, 3), padding=(1,) * 4)
    assert explicit_memory(lone, (1, 1, 1)).weights == 4
    assert explicit(lone, (1, 1, 1)).weights.tolist() == [5]
    assert explicit(lone, (1, 1, 1)).memory == explicit_memory(lone, (1, 1, 1))


def test_generated_wins_for_convolutions() -> None:
    rng = np.random.default_rng(0)
    for stride, groups in ((1, 1), (2, 1), (1, 8)):
        weight = rng.integers(-127, 128, (16, 8 // groups, 3, 3))
        node = Conv(name="conv", weight=weight, stride=(stride, stride), padding=(1,) * 4, groups=groups)
        table = smaller(node, (8, 12, 12))
        assert isinstance(table, Generated)
        assert 20 * table.memory.bits < explicit_memory(node, (8, 12, 12)).bits


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_crossover(kind: str) -> None:
    """The fewer weights are left, the better the explicit table: from some number on it is the smaller."""
    rng = np.random.default_rng(0)
    size: tuple[int, ...] = (64, 64) if kind == "dense" else (64, 64, 3, 3)
    order = rng.permutation(prod(size))
    wins = []
    for share in (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.001):
        weight = rng.integers(1, 128, prod(size)) * rng.choice([-1, 1], prod(size))
        weight[order[int(share * prod(size)) :]] = 0
        node: Node
        shape: Shape
        if kind == "dense":
            node, shape = Dense(name="d", weight=weight.reshape(size)), (64,)
        else:
            node, shape = Conv(name="c", weight=weight.reshape(size), padding=(1,) * 4), (64, 4, 4)
        wins.append(isinstance(smaller(node, shape, weight_bits=8), Explicit))
    assert wins == sorted(wins)
    assert (wins[0], wins[-1]) == (False, True)


def test_crossover_by_mask() -> None:
    """Few kept positions: writing their entries out is less than all weights of a wide layer."""
    node = Conv(name="conv", weight=np.ones((32, 8, 3, 3), int) * 5, padding=(1,) * 4)
    one = np.zeros((6, 6))
    one[2, 3] = 1
    kinds = [type(smaller(node, (8, 6, 6), keep=keep, weight_bits=16)) for keep in (None, one)]
    assert kinds == [Generated, Explicit]
