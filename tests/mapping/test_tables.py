"""Address tables: executing them is the layer, and their bits are what a slow count says."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2, prod
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv2d

from snncc.errors import BadInput, CannotLower, InvalidGraph, SnnccError, UnknownName
from snncc.ir import Add, Array, Conv, Dense, Edge, Kind, Pool, Shape, Sparse
from snncc.ir.infer import edge_after
from snncc.mapping import (
    Explicit,
    Generated,
    Table,
    active,
    executed,
    explicit,
    explicit_memory,
    generated,
    smaller,
)
from snncc.nn import SparseConv2d
from snncc.reference.synapse import pooled_sum, weighted_sum
from tests.oracles import ssc

Node = Dense | Conv | Sparse | Pool
Rule = Literal["patch", "center"]


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


@given(cases)
def test_executing_a_table_is_the_weighted_sum(case: Case) -> None:
    x = case.counts()
    for table in case.tables:
        assert (table.shape, table.out) == (case.shape, case.out)
        sums = executed(table, x)
        assert sums.dtype == np.int64
        assert np.array_equal(sums, definition(case, x))
        assert np.array_equal(active(table, x), open_positions(case, x))
        assert np.array_equal(executed(table, x > 0), definition(case, x > 0))
        assert np.array_equal(executed(table, -x), -sums)


@given(cases)
def test_event_by_event(case: Case) -> None:
    """Two passes in Python's own loops, with nothing of the table but its two look-ups."""
    x = case.counts(1)[0].reshape(-1)
    for table in case.tables:
        events = [int(a) for a in np.flatnonzero(x)]
        is_open = [not table.mask.needs_center] * prod(table.out[-2:])
        for source in events if table.mask.needs_center else []:
            opened = int(table.opened(np.array([source]))[0])
            if opened >= 0:
                is_open[opened] = True
        sums = [0] * prod(table.out)
        for source in events:
            found = table.synapses(np.array([source]))
            assert not np.any(found.event)
            for target, weight in zip(found.target.tolist(), found.weight.tolist(), strict=True):
                if is_open[target % len(is_open)]:
                    sums[target] += int(x[source]) * int(table.weights[weight])
        whole = executed(table, x.reshape(1, *table.shape))
        assert whole.reshape(-1).tolist() == sums


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


class Square(NamedTuple):
    """A convolution as the oracles take it."""

    node: Conv
    shape: Shape
    weight: Tensor
    stride: int
    padding: int


@st.composite
def squares(draw: st.DrawFn) -> Square:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, k = draw(st.sampled_from((1, 2))), draw(st.sampled_from((1, 3, 5)))
    stride, padding = draw(st.sampled_from((1, 2))), draw(st.integers(0, 2))
    weight = rng.integers(-7, 8, (2 * groups, draw(st.integers(1, 2)), k, k))
    node = Conv(name="conv", weight=weight, stride=(stride, stride), padding=(padding,) * 4, groups=groups)
    sides = st.integers(max(3, k - 2 * padding), 5)
    shape = (groups * weight.shape[1], draw(sides), draw(sides))
    return Square(node, shape, torch.from_numpy(weight).double(), stride, padding)


def drawn(case: Square, seed: int) -> tuple[Array, Tensor, Tensor]:
    """Counts [2, *shape], the same for torch, a keep map for all [1, 2, 3]."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 4, (2, *case.shape)) * (rng.random((2, *case.shape)) < 0.3)
    return x, torch.from_numpy(x).double(), torch.from_numpy(rng.random((1, 2, 3)) < 0.5)


def tables(node: Conv, shape: Shape, **options: Any) -> list[Table]:
    return [explicit(node, shape, **options), generated(node, shape, **options)]


@given(squares(), st.integers(0, 2**32 - 1))
def test_equals_the_oracles(case: Square, seed: int) -> None:
    x, spikes, keep = drawn(case, seed)
    groups = case.node.groups
    patch = ssc.masked_conv(
        spikes, case.weight, keep.repeat(2, 1, 1), None, case.stride, case.padding, groups
    )
    center = ssc.center_conv(spikes, case.weight, None, case.stride, case.padding, groups)
    whole = conv2d(spikes, case.weight, None, case.stride, case.padding, 1, groups)
    kept = ssc.upsample(keep, *whole.shape[2:])[:, None]
    expected: list[tuple[dict[str, Any], Tensor]] = [
        ({"keep": keep[0].numpy()}, patch),
        ({"keep": keep[0].numpy()}, whole * kept),
        ({"rule": "center"}, center),
        ({"keep": keep[0].numpy(), "rule": "center"}, center * kept),
    ]
    for options, sums in expected:
        for table in tables(case.node, case.shape, **options):
            assert np.array_equal(executed(table, x), sums.numpy())


@given(squares(), st.integers(0, 2**32 - 1), st.sampled_from(("patch", "center")), st.booleans())
def test_equals_the_module(case: Square, seed: int, rule: Rule, is_masked: bool) -> None:
    """`SparseConv2d` in float64 with a bias, which `active` says where to add."""
    x, spikes, keep = drawn(case, seed)
    outs, groups = len(case.weight), case.node.groups
    module = SparseConv2d(
        *(case.shape[0], outs, case.weight.shape[-1], case.stride, case.padding), groups=groups, rule=rule
    ).double()
    bias = torch.arange(1.0, outs + 1).double()
    module.load_state_dict({"weight": case.weight, "bias": bias})
    options: dict[str, Any] = {"rule": rule}
    if is_masked:
        module.set_mask(keep)
        options["keep"] = keep[0].numpy()
    with torch.no_grad():
        result = module(spikes).numpy()
    for table in tables(case.node, case.shape, **options):
        there = active(table, x) * bias.numpy()[:, None, None]
        assert np.array_equal(executed(table, x) + there, result)


def test_center_opens_in_every_channel_and_only_now() -> None:
    """A spike of the other group opens the position; one of the timestep before does not."""
    node = Conv(name="conv", weight=np.ones((2, 1, 3, 3), int), padding=(1,) * 4, groups=2)
    x = np.zeros((2, 2, 3, 3), int)
    x[0, 0, 0, 0] = x[0, 1, 1, 1] = 1  # the center of (1, 1) spikes in channel 1 alone
    x[1, 0, 0, 0] = 1
    for table in tables(node, (2, 3, 3), rule="center"):
        sums = executed(table, x)
        assert sums[0, 0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
        assert sums[1, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
        assert sums[0, 1].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_wide_sums_are_exact_or_refused() -> None:
    node = Dense(name="wide", weight=np.full((1, 4), -32768))
    count = 2**63 // (4 * 32768) - 1
    for table in (explicit(node, (4,)), generated(node, (4,))):
        assert table.weight_bits == 16
        assert executed(table, np.full((1, 4), count)).tolist() == [[-4 * 32768 * count]]
        for many in (np.full((1, 4), count + 1), np.full((1, 4), 2**63, np.uint64)):
            with pytest.raises(BadInput, match=r"wide: counts up to .* can leave the 64 bits of a sum"):
                executed(table, many)


def test_many_events_are_expanded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snncc.mapping.execute.CHUNK", 5)
    monkeypatch.setattr("snncc.mapping.lower.CHUNK", 5)
    case = Case(Conv(name="c", weight=np.ones((3, 2, 3, 3), int)), (2, 6, 6), {}, np.random.default_rng(0))
    x = case.counts()
    for table in case.tables:
        assert np.array_equal(executed(table, x), definition(case, x))


CONV = Conv(name="features.3", origin="model.py:41", weight=np.full((4, 2, 3, 2), -5))
DENSE = Dense(name="head", weight=np.array([[1, -2], [3, 100]]))
SPARSE = Sparse(name="links", weight=np.ones(1, int), pre=np.zeros(1, int), post=np.zeros(1, int), shape=(1,))
REFUSED: dict[str, tuple[Callable[[], object], type[SnnccError], str]] = {
    "shape": (
        lambda: generated(CONV, (3, 8, 8)),
        InvalidGraph,
        r"features.3 \(Conv, model.py:41\): weight .* takes 2 channels, not 3",
    ),
    "no size": (lambda: explicit(DENSE, (0, 2)), BadInput, "head .* must have positive sizes"),
    "dense shape": (lambda: explicit(DENSE, (3,)), InvalidGraph, r"head \(Dense\): weight \(2, 2\) does not"),
    "addresses": (
        lambda: explicit(
            Sparse(
                name="links", weight=np.ones(1, int), pre=np.array([4]), post=np.zeros(1, int), shape=(1,)
            ),
            (4,),
        ),
        InvalidGraph,
        "links .* pre addresses 4..4 leave 0..3",
    ),
    "real addresses": (
        lambda: explicit(
            Sparse(name="links", weight=np.ones(1, int), pre=np.zeros(1), post=np.zeros(1, int), shape=(1,)),
            (4,),
        ),
        CannotLower,
        "links .* needs integer source addresses, has float64",
    ),
    "reals": (
        lambda: smaller(Dense(name="head", weight=np.ones((2, 2))), (2,)),
        CannotLower,
        r"head \(Dense\): an address table needs integer weights, has float64\n  hint: quantize",
    ),
    "delays": (
        lambda: explicit(Dense(name="late", weight=DENSE.weight, delay=np.array([[0, 1], [2, 3]])), (2,)),
        CannotLower,
        "late .* no delays, its synapses have up to 3",
    ),
    "too narrow": (
        lambda: generated(DENSE, (2,), weight_bits=7),
        CannotLower,
        r"head \(Dense\): its weights -2..100 need 8 bits, have 7",
    ),
    "too wide": (
        lambda: explicit(Dense(name="head", weight=np.array([[65536]])), (1,)),
        CannotLower,
        "need 17 bits, have 16",
    ),
    "no width": (lambda: generated(DENSE, (2,), weight_bits=0), BadInput, "1 to 16 bits, not 0"),
    "bool width": (lambda: generated(DENSE, (2,), weight_bits=True), BadInput, "1 to 16 bits, not True"),
    "sparse descriptor": (
        lambda: generated(SPARSE, (1,)),
        CannotLower,
        r"links \(Sparse\): no descriptor generates the 1 entries",
    ),
    "mask of a dense layer": (
        lambda: explicit(DENSE, (2,), keep=np.ones((1, 1))),
        CannotLower,
        "head .* a mask or a center needs a convolution",
    ),
    "even kernel": (
        lambda: explicit(CONV, (2, 8, 8), rule="center"),
        CannotLower,
        "features.3 .* needs odd kernels, has 3 x 2",
    ),
    "mask axes": (
        lambda: explicit(CONV, (2, 8, 8), keep=np.ones((1, 8, 8))),
        BadInput,
        r"features.3 .* must have the shape \[h, w\], not \(1, 8, 8\)",
    ),
    "mask values": (lambda: explicit(CONV, (2, 8, 8), keep=[[2]]), BadInput, "nothing but 0 and 1"),
    "rule": (
        lambda: explicit(CONV, (2, 8, 8), rule="centre"),  # type: ignore[arg-type]
        UnknownName,
        "unknown rule 'centre'; known: center, patch",
    ),
    "no synapse": (
        lambda: explicit(Add(name="sum"), (2,)),  # type: ignore[arg-type]
        CannotLower,
        r"sum \(Add\): an address table is made of",
    ),
    "real spikes": (
        lambda: executed(generated(DENSE, (2,)), np.ones((1, 2))),
        BadInput,
        "head: a table takes spikes or counts, not float64",
    ),
    "spikes of another shape": (
        lambda: active(generated(CONV, (2, 8, 8)), np.ones((1, 2, 8), int)),
        BadInput,
        r"features.3: needs counts of shape \[N, 2, 8, 8\], has \[1, 2, 8\]",
    ),
}


@pytest.mark.parametrize(("act", "kind", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(act: Callable[[], object], kind: type[SnnccError], message: str) -> None:
    with pytest.raises(kind, match=message):
        act()


def test_tables_are_sealed() -> None:
    written = explicit(CONV, (2, 5, 5))
    for array in (written.targets, written.weights, generated(CONV, (2, 5, 5)).weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
