"""Every stateless node against PyTorch in float64, and against explicit matrices in integers."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.errors import InvalidGraph
from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Node,
    Numbers,
    Output,
    Pad,
    Pool,
    Reshape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    wires,
)
from snncc.reference import run

seeds = st.integers(0, 2**32 - 1)


def through(
    node: Node, *xs: Array, integer: bool = False, scales: tuple[float, ...] = (), **entry: Any
) -> Array:
    """What *node* makes of analog inputs *xs* [B, *shape] in one timestep."""
    limit: dict[str, Any] = {"low": -(1 << 40), "high": 1 << 40} if integer else {}
    inputs = [
        Input(name=w.source, shape=x.shape[1:], scale=np.array(scale), **limit | entry)
        for w, x, scale in zip(node.inputs, xs, scales or (1.0,) * len(xs), strict=True)
    ]
    numbers = Numbers.INTEGER if integer else Numbers.FLOAT
    graph = SpikeGraph((*inputs, node, Output(name="y", inputs=wires(node.name))), numbers)
    graph.verify()
    result = run(graph, {i.name: x[None] for i, x in zip(inputs, xs, strict=True)}, timesteps=1)
    return result.output[0]


def close(have: Array, need: torch.Tensor) -> bool:
    return have.shape == tuple(need.shape) and np.allclose(have, need.numpy(), rtol=1e-12, atol=1e-12)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int, int], tuple[int, ...]]:
    """Options, the input's shape, and the weight's shape, of a convolution that fits."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    groups = draw(st.integers(1, 3))
    kernel, stride, dilation = pair(1, 3), pair(1, 3), pair(1, 2)
    padding = (*pair(0, 2), *pair(0, 2))
    h, w = (d * (k - 1) + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilation, strict=True))
    channels = groups * draw(st.integers(1, 2))
    weight = (groups * draw(st.integers(1, 2)), channels // groups, *kernel)
    options = {"groups": groups, "stride": stride, "dilation": dilation, "padding": padding}
    return options, (channels, h, w), weight


@given(convolutions(), seeds)
def test_convolution_is_torchs(drawn: Any, seed: int) -> None:
    options, shape, weight_shape = drawn
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(2, *shape)), rng.normal(size=weight_shape)
    bias = rng.normal(size=weight_shape[0])
    node = Conv(name="n", inputs=wires("x"), weight=weight, bias=bias[:, None, None], **options)
    top, bottom, left, right = options["padding"]
    padded = F.pad(torch.from_numpy(x), (left, right, top, bottom))
    rest = {key: options[key] for key in ("groups", "stride", "dilation")}
    assert close(through(node, x), F.conv2d(padded, torch.from_numpy(weight), torch.from_numpy(bias), **rest))


def as_matrix(node: Conv, shape: tuple[int, int, int], out: tuple[int, int, int]) -> Array:
    """The convolution as an explicit matrix [out, in], one synapse at a time."""
    matrix = np.zeros((*out, *shape), np.int64)
    per_out, per_in = out[0] // node.groups, shape[0] // node.groups
    for o, y, x, c, ky, kx in product(*map(range, out), range(per_in), *map(range, node.weight.shape[2:])):
        row = y * node.stride[0] + ky * node.dilation[0] - node.padding[0]
        column = x * node.stride[1] + kx * node.dilation[1] - node.padding[2]
        if 0 <= row < shape[1] and 0 <= column < shape[2]:
            matrix[o, y, x, o // per_out * per_in + c, row, column] += node.weight[o, c, ky, kx]
    return matrix.reshape(int(np.prod(out)), -1)


@given(convolutions(), seeds)
def test_integer_convolution_is_its_matrix(drawn: Any, seed: int) -> None:
    options, shape, weight_shape = drawn
    rng = np.random.default_rng(seed)
    # Large enough that floats of 53 bits would round.
    x = rng.integers(-(2**39), 2**39, (2, *shape))
    weight = rng.integers(-(2**15), 2**15, weight_shape)
    bias = rng.integers(-9, 9, (weight_shape[0], 1, 1))
    node = Conv(name="n", inputs=wires("x"), weight=weight, bias=bias, shift=1, **options)
    graph = SpikeGraph(
        (
            Input(name="x", shape=shape, low=-(1 << 40), high=1 << 40),
            node,
            Output(name="y", inputs=wires("n")),
        ),
        Numbers.INTEGER,
    )
    train = run(graph, x[None], timesteps=1, record=["n"]).records["n"].train[0, :, 0]
    out = graph.edges["n"].shape
    matrix = as_matrix(node, shape, (out[0], out[1], out[2]))
    need = [
        [sum(int(m) * int(v) for m, v in zip(row, one.reshape(-1), strict=True)) for row in matrix]
        for one in x
    ]
    assert np.array_equal(train, np.array(need).reshape(2, *out) * 2 + bias)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_dense_is_torchs(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, *shape)), rng.normal(size=(4, 5)), rng.normal(size=4)
    node = Dense(name="n", inputs=wires("x"), weight=weight, bias=bias)
    assert close(through(node, x), F.linear(*map(torch.from_numpy, (x, weight, bias))))


def test_integer_dense_is_a_sum_of_python_integers() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-(2**39), 2**39, (1, 5)), rng.integers(-(2**15), 2**15, (4, 5))
    node = Dense(name="n", inputs=wires("x"), weight=weight.astype(np.int16), bias=np.arange(4), shift=3)
    graph = SpikeGraph(
        (
            Input(name="x", shape=(5,), low=-(1 << 40), high=1 << 40),
            node,
            Output(name="y", inputs=wires("n")),
        ),
        Numbers.INTEGER,
    )
    train = run(graph, x[None], timesteps=1, record=["n"]).records["n"].train
    need = [
        8 * sum(int(w) * int(v) for w, v in zip(row, x[0], strict=True)) + k for k, row in enumerate(weight)
    ]
    assert train.reshape(-1).tolist() == need


@pytest.mark.parametrize("integer", [False, True])
def test_sparse_adds_entry_by_entry(integer: bool) -> None:
    rng = np.random.default_rng(0)
    pre, post = rng.integers(0, 6, 30), rng.integers(0, 4, 30)
    assert len({*zip(pre.tolist(), post.tolist(), strict=True)}) < 30  # some pairs occur twice
    weight, x = rng.integers(-5, 6, 30), rng.integers(-5, 6, (2, 2, 3))
    node = Sparse(
        name="n", inputs=wires("x"), pre=pre, post=post, weight=weight * (1 if integer else 0.5), shape=(2, 2)
    )
    need = np.zeros((2, 4))
    for p, q, w in zip(pre, post, node.weight, strict=True):
        need[:, q] += w * x.reshape(2, 6)[:, p]
    assert np.array_equal(through(node, x, integer=integer), need.reshape(2, 2, 2))


@settings(max_examples=30)
@given(st.tuples(*[st.integers(1, 3)] * 4), st.tuples(*[st.integers(0, 1)] * 4), st.booleans(), seeds)
def test_pools_are_torchs(sizes: Any, padding: Any, is_average: bool, seed: int) -> None:
    kernel, stride = sizes[:2], sizes[2:]
    x = np.random.default_rng(seed).normal(size=(2, 3, 5, 4))
    node = Pool(
        name="n", inputs=wires("x"), kernel=kernel, stride=stride, padding=padding, is_average=is_average
    )
    top, bottom, left, right = padding
    need = F.avg_pool2d(F.pad(torch.from_numpy(x), (left, right, top, bottom)), kernel, stride)
    assert close(through(node, x), need if is_average else need * kernel[0] * kernel[1])


@settings(max_examples=30)
@given(st.tuples(*[st.integers(1, 3)] * 6), st.tuples(*[st.integers(0, 1)] * 4), seeds)
def test_max_pool_is_torchs(sizes: Any, padding: Any, seed: int) -> None:
    kernel, stride, dilation = sizes[:2], sizes[2:4], sizes[4:]
    x = -np.random.default_rng(seed).exponential(size=(2, 3, 6, 6))  # padding never wins, not even here
    node = MaxPool(
        name="n", inputs=wires("x"), kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
    top, bottom, left, right = padding
    if max(padding[:2]) > dilation[0] * (kernel[0] - 1) or max(padding[2:]) > dilation[1] * (kernel[1] - 1):
        with pytest.raises(InvalidGraph, match="holds whole windows"):
            through(node, x)
        return
    padded = F.pad(torch.from_numpy(x), (left, right, top, bottom), value=-torch.inf)
    try:
        need = F.max_pool2d(padded, kernel, stride, dilation=dilation)
    except RuntimeError:
        with pytest.raises(InvalidGraph, match="is larger than the map"):
            through(node, x)
        return
    have = through(node, x)
    assert close(np.where(np.isfinite(have), have, 0), torch.where(torch.isfinite(need), need, 0.0))


rng_x = np.random.default_rng(5).normal(size=(2, 2, 3, 4))
other = np.random.default_rng(6).normal(size=(2, 2, 3, 4))
gain = np.array([[[2.0]], [[-3.0]]])
SIMPLE: list[tuple[Node, tuple[Array, ...], Array]] = [
    (Affine(name="n", inputs=wires("a"), gain=gain, offset=gain + 1), (rng_x,), rng_x * gain + gain + 1),
    (
        Pad(name="n", inputs=wires("a"), padding=(1, 0, 2, 1), value=gain),
        (rng_x,),
        np.stack(
            [np.pad(rng_x[:, c], [(0, 0), (1, 0), (2, 1)], constant_values=v) for c, v in enumerate((2, -3))],
            1,
        ),
    ),
    (Maximum(name="n", inputs=wires("a", "b")), (rng_x, other), np.maximum(rng_x, other)),
    (Mul(name="n", inputs=wires("a", "b")), (rng_x, other[:, :, :1, :1]), rng_x * other[:, :, :1, :1]),
    (Add(name="n", inputs=wires("a", "b")), (rng_x, other), rng_x + other),
    (Reshape(name="n", inputs=wires("a"), shape=(4, 6)), (rng_x,), rng_x.reshape(2, 4, 6)),
    (Transpose(name="n", inputs=wires("a"), axes=(2, 0, 1)), (rng_x,), rng_x.transpose(0, 3, 1, 2)),
    (Concat(name="n", inputs=wires("a", "b"), axis=1), (rng_x, other), np.concatenate([rng_x, other], 2)),
    (Slice(name="n", inputs=wires("a"), axis=2, start=1, stop=4, step=2), (rng_x,), rng_x[..., 1:4:2]),
]


@pytest.mark.parametrize(("node", "xs", "need"), SIMPLE, ids=[type(n).__name__ for n, _, _ in SIMPLE])
def test_other_nodes(node: Node, xs: tuple[Array, ...], need: Array) -> None:
    assert np.array_equal(through(node, *xs), need)


@pytest.mark.parametrize("kind", [Kind.ANALOG, Kind.COUNT])
def test_scaled_signals_are_computed_with_at_their_real_value(kind: Kind) -> None:
    x = np.array([[[[1, 2], [3, 0]]]])
    carried = x * 0.25 if kind is Kind.ANALOG else x
    weight = np.array([[2.0, 4.0]])
    dense = through(Dense(name="n", inputs=wires("a"), weight=weight), carried, scales=(0.25,), kind=kind)
    assert dense.reshape(-1).tolist() == [2.5, 1.5]
    pool = Pool(name="n", inputs=wires("a"), kernel=(2, 2), stride=(2, 2), is_average=True)
    assert through(pool, carried, scales=(0.25,), kind=kind).item() == 6 * 0.25 / 4
    top = MaxPool(name="n", inputs=wires("a"), kernel=(2, 2), stride=(2, 2))
    assert through(top, carried, scales=(0.25,), kind=kind).item() == 0.75
    shifted = Affine(name="n", inputs=wires("a"), gain=np.array(2.0), offset=np.array(1.0))
    assert through(shifted, carried, scales=(0.25,), kind=kind).reshape(-1).tolist() == [1.5, 2, 2.5, 1]


def test_a_table_for_each_timestep() -> None:
    table = np.array([[1.0], [2.0], [3.0]])
    node = Affine(name="n", inputs=wires("x"), gain=table, offset=table * 10, per_timestep=True)
    graph = SpikeGraph((Input(name="x", shape=(2,)), node, Output(name="y", inputs=wires("n"))), timesteps=3)
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    out = run(graph, x, timesteps=3).output
    assert np.array_equal(out, x * table[:, None] + 10 * table[:, None])
