"""Tables of spike sparse convolution against other programs of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv2d

from snncc.ir import Array, Conv, Shape
from snncc.mapping import Table, active, executed, explicit, generated
from snncc.nn import SparseConv2d
from tests.oracles import ssc

Rule = Literal["patch", "center"]


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
