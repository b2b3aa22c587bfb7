"""Synapses as matrix products: the same sums, where they pay and are exact."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from snncc.ir import Conv, Dense, wires
from snncc.simulator import dense_synapse
from snncc.simulator.dense_synapse import ONE_THREAD, Floats, controller
from snncc.simulator.synapse_table import SynapseTable, synapse_tables


@st.composite
def convolutions(draw: st.DrawFn) -> SynapseTable:
    """A convolution of any size, stride, dilation and padding that leaves a map."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    channels, outs = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    size, kernel, stride, dilation = (
        draw(part) for part in (st.tuples(*[st.integers(3, 9)] * 2), pairs, pairs, pairs)
    )
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    top, seed = draw(st.sampled_from([1, 127, 2**20, 2**40])), draw(st.integers(0, 2**32 - 1))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    wide = [size[0] + padding[0] + padding[1], size[1] + padding[2] + padding[3]]
    assume(all(w >= s for w, s in zip(wide, spans, strict=True)))
    weight = np.random.default_rng(seed).integers(-top, top + 1, (outs, channels, *kernel))
    node = Conv(name="c", inputs=wires("x"), weight=weight, stride=stride, dilation=dilation, padding=padding)
    out = [(w - s) // t + 1 for w, s, t in zip(wide, spans, stride, strict=True)]
    return synapse_tables(node, (channels, *size), (outs, *out))[0]


@given(convolutions(), st.integers(0, 2**32 - 1))
def test_a_convolution_as_a_product_is_the_convolution(table: SynapseTable, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-255, 256, (3, *table.shape))
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


def threads() -> int:
    """How many threads a matrix product of NumPy takes."""
    return int(next(one["num_threads"] for one in controller().info() if one["user_api"] == "blas"))


def test_a_product_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for it: also a layer that its kernel could not hold, which no plan foresees."""
    node = Dense(name="d", inputs=wires("x"), weight=np.ones((300, 300), np.int64))
    matrix, seen, arranged = synapse_tables(node, (300,), (300,))[0].matrix, [], dense_synapse.arranged

    def watched(node: Dense | Conv) -> Floats:
        seen.append(threads())
        return arranged(node)

    monkeypatch.setattr(dense_synapse, "arranged", watched)
    assert matrix is not None
    with controller().limit(limits=2, user_api="blas"):
        assert matrix.product(np.ones((3, 300), np.int64)) is not None
        assert threads() == 2
    assert seen == [1]


def test_the_last_that_multiplies_gives_the_threads_back() -> None:
    """Runs side by side, one of which begins before and ends before the other."""
    with controller().limit(limits=2, user_api="blas"):
        one, other = ExitStack(), ExitStack()
        one.enter_context(ONE_THREAD)
        other.enter_context(ONE_THREAD)
        one.close()
        assert threads() == 1
        other.close()
        assert threads() == 2
