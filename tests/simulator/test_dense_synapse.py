"""Synapses as matrix products: the same sums, where they pay and are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from snncc.ir import Conv, Dense, wires
from snncc.simulator import dense_synapse
from snncc.simulator.dense_synapse import controller, one_thread
from snncc.simulator.synapse_table import SynapseTable, synapse_tables

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def conv_table(
    channels: int,
    outs: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
    top: int,
    rng: np.random.Generator,
) -> SynapseTable:
    weight = rng.integers(-top, top + 1, (outs, channels, *kernel))
    node = Conv(
        name="c",
        inputs=wires("x"),
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=1,
    )
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    wide = [size[0] + padding[0] + padding[1], size[1] + padding[2] + padding[3]]
    assume(all(w >= s for w, s in zip(wide, spans, strict=True)))
    out = [(w - s) // t + 1 for w, s, t in zip(wide, spans, stride, strict=True)]
    return synapse_tables(node, (channels, *size), (outs, *out))[0]


@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    PAIRS,
    PAIRS,
    PAIRS,
    st.tuples(*[st.integers(0, 2)] * 4),
    st.sampled_from([1, 127, 2**20, 2**40]),
    st.integers(0, 2**32 - 1),
)
def test_a_convolution_as_a_product_is_the_convolution(
    channels: int,
    outs: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
    top: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    table = conv_table(channels, outs, size, kernel, stride, dilation, padding, top, rng)
    x = rng.integers(-255, 256, (3, channels, *size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_synapse, "WORTH", 0)
        patch.setattr(dense_synapse, "BREAK_EVEN", {np.float32: 0.0, np.float64: 0.0})
        patch.setattr(dense_synapse, "BLOCK_BYTES", 1 << 9)
        assert table.matrix is not None
        found = table.matrix.product(x)
    assert found is not None
    np.testing.assert_array_equal(found, table.scattered(x))


@pytest.mark.parametrize(("top", "kind"), [(127, np.float32), (2**30, np.float64), (2**40, None)])
def test_the_float_holds_every_sum(top: int, kind: type | None) -> None:
    node = Dense(name="d", inputs=wires("x"), weight=np.full((300, 300), top))
    table = synapse_tables(node, (300,), (300,))[0]
    x = np.full((3, 300), 255)
    assert table.matrix is not None
    assert table.matrix.exact_kind(255) is kind
    found = table.matrix.product(x)
    assert (found is None) == (kind is None)
    np.testing.assert_array_equal(table.summed(x), np.full((3, 300), 300 * 255 * top))


def test_what_fires_rarely_is_added_event_by_event() -> None:
    node = Dense(name="d", inputs=wires("x"), weight=np.ones((300, 300), np.int64))
    table = synapse_tables(node, (300,), (300,))[0]
    x = (np.random.default_rng(0).random((3, 300)) < 0.1).astype(np.int64)
    assert table.matrix is not None
    assert table.matrix.product(x) is None
    assert table.matrix.product(1 - x) is not None
    assert x.sum() > 0


def test_a_run_multiplies_on_its_own_thread_alone() -> None:
    def threads() -> int:
        return int(next(one["num_threads"] for one in controller().info() if one["user_api"] == "blas"))

    with controller().limit(limits=2, user_api="blas"):
        with one_thread():
            assert threads() == 1
        assert threads() == 2
