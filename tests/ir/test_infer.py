"""Which edge leaves each kind of node: shape, kind, bound, scale, ticks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Edge,
    Emit,
    Encoding,
    Gate,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Pad,
    Pool,
    Product,
    Reshape,
    SideOperation,
    Slice,
    Sparse,
    Transpose,
)
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit
from tests.ir.edges import ANALOG, analog, counts, spikes

FLOAT_CASES: list[tuple[Node, list[Edge], str]] = [
    (Dense(name="n", weight=np.ones((5, 3))), [spikes(7, 3, ticks=4, bound=4)], "analog 7x5 ticks=4"),
    (Dense(name="n", weight=np.ones((5, 3))), [counts(3, scale=0.25)], "analog 5"),
    (
        Conv(name="n", weight=np.ones((6, 1, 3, 2)), groups=2, stride=(2, 1)),
        [analog(2, 7, 5)],
        "analog 6x3x4",
    ),
    (Conv(name="n", weight=np.ones((1, 1, 3, 3)), padding=(2, 0, 1, 3)), [analog(1, 4, 4)], "analog 1x4x6"),
    (Conv(name="n", weight=np.ones((1, 1, 3, 3)), dilation=(2, 1)), [analog(1, 6, 4)], "analog 1x2x2"),
    (
        Sparse(name="n", weight=np.ones(2), pre=np.array([0, 5]), post=np.array([3, 0]), shape=(2, 2)),
        [spikes(6)],
        "analog 2x2",
    ),
    (Pool(name="n", kernel=(2, 3), stride=(2, 3)), [spikes(1, 4, 6)], "count(6) 1x2x2"),
    (
        Pool(name="n", kernel=(2, 2), stride=(2, 2)),
        [spikes(1, 4, 4, ticks=2, bound=2)],
        "count(8) 1x2x2 ticks=2",
    ),
    (
        Pool(name="n", kernel=(2, 2), stride=(2, 2), is_average=True),
        [counts(1, 4, 4)],
        "count(16) 1x2x2 x 0.25",
    ),
    (Pool(name="n", kernel=(2, 2), stride=(2, 2)), [counts(1, 4, 4, bound=None)], "count(unbounded) 1x2x2"),
    (Pool(name="n", kernel=(2, 2), stride=(1, 1), padding=(0, 1, 0, 1)), [analog(1, 3, 3)], "analog 1x3x3"),
    (MaxPool(name="n", kernel=(2, 2), stride=(2, 2)), [spikes(1, 4, 4)], "spike(1) 1x2x2"),
    (MaxPool(name="n", kernel=(2, 2), stride=(2, 2)), [counts(1, 4, 4, scale=0.5)], "count(4) 1x2x2 x 0.5"),
    (MaxPool(name="n", kernel=(2, 2), stride=(2, 2), dilation=(2, 2)), [analog(1, 5, 5)], "analog 1x2x2"),
    (Affine(name="n"), [spikes(3)], "analog 3"),
    (Pad(name="n", padding=(1, 2, 3, 0)), [spikes(2, 2, 2)], "spike(1) 2x5x5"),
    (Maximum(name="n"), [spikes(3), spikes(3)], "spike(1) 3"),
    (Maximum(name="n"), [spikes(3), counts(3)], "count(4) 3"),
    (Maximum(name="n"), [analog(3), spikes(3)], "analog 3"),
    (Mul(name="n"), [analog(2, 3, 3), spikes(2, 1, 1)], "analog 2x3x3"),
    (Add(name="n"), [spikes(3), counts(3)], "count(5) 3"),
    (Add(name="n"), [spikes(3), counts(3, bound=None)], "count(unbounded) 3"),
    (Add(name="n"), [spikes(3), spikes(3, scale=0.5)], "analog 3"),
    (Add(name="n"), [analog(3), spikes(3)], "analog 3"),
    (Reshape(name="n", shape=(2, 3)), [spikes(6)], "spike(1) 2x3"),
    (Transpose(name="n", axes=(2, 0, 1)), [counts(2, 3, 4)], "count(4) 4x2x3"),
    (Slice(name="n", axis=0, start=1, stop=6, step=2), [spikes(6)], "spike(1) 3"),
    (Concat(name="n", axis=1), [spikes(2, 3), spikes(2, 1)], "spike(1) 2x4"),
    (Concat(name="n", axis=0), [spikes(2), counts(2)], "count(4) 4"),
    (Concat(name="n", axis=0), [spikes(2), analog(2)], "analog 4"),
    (Neuron(name="n"), [analog(3)], "spike(1) 3"),
    (Neuron(name="n", parameters=NeuronParameters(max_count=4)), [analog(3)], "count(4) 3"),
    (Neuron(name="n", parameters=NeuronParameters(max_count=None)), [analog(3)], "count(unbounded) 3"),
    (
        Neuron(
            name="n", parameters=NeuronParameters(max_count=4, encoding=Encoding.SPIKES, scale=np.array(0.25))
        ),
        [analog(3)],
        "spike(4) 3 ticks=4 x 0.25",
    ),
    (
        Neuron(name="n", parameters=NeuronParameters(max_count=4, encoding=Encoding.GRADED)),
        [analog(3)],
        "count(4) 3",
    ),
    (
        Neuron(name="n", parameters=NeuronParameters(max_count=4, encoding=Encoding.STREAM, ticks=6)),
        [analog(3)],
        "spike(4) 3 ticks=6",
    ),
    (Neuron(name="n", parameters=NeuronParameters(emit=Emit.POTENTIAL)), [analog(3), spikes(3)], "analog 3"),
    (DynamicSynapse(name="n"), [counts(2, 3), counts(3, 5)], "count(48) 2x5"),
    (DynamicSynapse(name="n", transpose=(True, True)), [counts(3, 2), counts(5, 3)], "count(48) 2x5"),
    (DynamicSynapse(name="n", product=Product.ELEMENTWISE), [counts(3), spikes(3)], "count(4) 3"),
    (
        SideOperation(
            name="n",
            operation="temporal-attention",
            shape=(1,),
            is_sequence=True,
            constants={"shrink": np.ones((1, 4)), "grow": np.ones((4, 1))},
        ),
        [analog(9)],
        "analog 1",
    ),
    (Gate(name="n"), [counts(2, 3), spikes(3)], "count(4) 2x3"),
    (Output(name="n"), [spikes(3, ticks=4, bound=4, scale=0.25)], "spike(4) 3 x 0.25"),
]


@pytest.mark.parametrize(("node", "ins", "edge"), FLOAT_CASES)
def test_float_edges(node: Node, ins: list[Edge], edge: str) -> None:
    assert str(edge_after(node, ins, is_integer=False)) == edge


INTEGER_CASES: list[tuple[Node, list[Edge], str]] = [
    (
        Dense(name="n", weight=np.ones((5, 3), int), weight_scale=np.array(0.5), shift=2),
        [counts(3, scale=0.25)],
        "analog 5 x 0.03125",
    ),
    (
        Conv(name="n", weight=np.ones((2, 1, 1, 1), int), weight_scale=np.array([[[0.5]], [[2.0]]])),
        [spikes(1, 2, 2)],
        "analog 2x2x2 x float[2x1x1: 0.5..2]",
    ),
    (Affine(name="n", gain_scale=np.array(0.5)), [analog(3, scale=0.25)], "analog 3 x 0.125"),
    (Mul(name="n"), [analog(3, scale=0.25), counts(3, scale=0.5)], "analog 3 x 0.125"),
    (Add(name="n"), [analog(3, scale=0.25), analog(3, scale=0.25)], "analog 3 x 0.25"),
    (
        Pool(name="n", kernel=(1, 2), stride=(1, 2), is_average=True),
        [analog(1, 2, 2, scale=0.5)],
        "analog 1x2x1 x 0.25",
    ),
    (Concat(name="n", axis=0), [analog(1, scale=0.5), analog(2, scale=2.0)], "analog 3 x float[3: 0.5..2]"),
    (Slice(name="n", axis=0, start=1, stop=3), [analog(3, scale=[1.0, 2, 2])], "analog 2 x 2"),
    (Transpose(name="n", axes=(1, 0)), [analog(2, 3, scale=[1.0, 2, 3])], "analog 3x2 x float[3x2: 1..3]"),
    (
        Neuron(name="n", parameters=NeuronParameters(emit=Emit.RELU, scale=np.array(0.5))),
        [analog(3, scale=0.25)],
        "analog 3 x 0.125",
    ),
]


@pytest.mark.parametrize(("node", "ins", "edge"), INTEGER_CASES)
def test_integer_edges(node: Node, ins: list[Edge], edge: str) -> None:
    assert str(edge_after(node, ins, is_integer=True)) == edge


def test_moved_scales_follow_their_signals() -> None:
    ins = [analog(2, 3, scale=[1, 2, 3])]
    turned = edge_after(Transpose(name="n", axes=(1, 0)), ins, is_integer=True)
    assert turned.scale.tolist() == [[1, 1], [2, 2], [3, 3]]
    joined = edge_after(Concat(name="n", axis=1), [*ins, analog(2, 1, scale=5)], is_integer=True)
    assert joined.scale.tolist() == [[1, 2, 3, 5], [1, 2, 3, 5]]


def test_or_of_streams_may_fire_in_every_tick() -> None:
    # Found in review: the bound was that of one stream, but 1100 and 0011 make 1111.
    # Trains of streaming neurons are not monotone.
    stream = spikes(2, 2, 2, ticks=4, bound=2)
    assert edge_after(Maximum(name="n"), [stream, stream], is_integer=False).max_count == 4
    pooled = edge_after(MaxPool(name="n", kernel=(2, 2), stride=(2, 2)), [stream], is_integer=False)
    assert pooled.max_count == 4


def test_concat_of_unlike_channel_scales() -> None:
    # Found in review: comparing the scales raised a bare ValueError.
    left = Edge(ANALOG, (2, 1, 1), np.array([1.0, 2.0]).reshape(2, 1, 1))
    right = Edge(ANALOG, (3, 1, 1), np.array([3.0, 4.0, 5.0]).reshape(3, 1, 1))
    edge = edge_after(Concat(name="n", axis=0), [left, right], is_integer=True)
    assert edge.scale.reshape(-1).tolist() == [1, 2, 3, 4, 5]


def test_a_pad_keeps_a_scale_for_each_channel() -> None:
    # Found in review: a quantized convolution with a pad behind it could not be built.
    edge = Edge(ANALOG, (2, 3, 3), np.array([1.0, 2.0]).reshape(2, 1, 1))
    padded = edge_after(Pad(name="n", padding=(1, 1, 1, 1)), [edge], is_integer=True)
    assert padded.shape == (2, 5, 5)
    assert padded.scale.reshape(-1).tolist() == [1, 2]


@given(st.data())
def test_window_shapes_are_torchs(data: st.DataObject) -> None:
    def pair(low: int, high: int) -> tuple[int, int]:
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    kernel, stride, dilation, (h, w) = pair(1, 4), pair(1, 3), pair(1, 3), pair(1, 9)
    (top, bottom), (left, right) = pair(0, 2), pair(0, 2)
    node = Conv(
        name="n",
        weight=np.ones((1, 1, *kernel)),
        stride=stride,
        dilation=dilation,
        padding=(top, bottom, left, right),
    )
    try:
        image = torch.nn.functional.pad(torch.zeros(1, 1, h, w), (left, right, top, bottom))
        need = torch.nn.functional.conv2d(
            image, torch.ones(1, 1, *kernel), stride=stride, dilation=dilation
        ).shape
    except RuntimeError:
        with pytest.raises(Misfit, match="is larger than the map"):
            edge_after(node, [analog(1, h, w)], is_integer=False)
        return
    assert edge_after(node, [analog(1, h, w)], is_integer=False).shape == tuple(need[1:])
