"""Data that does not fit is refused in words that name the input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.errors import BadInput
from snncc.ir import Array, Input, Kind, Numbers, Output, Presence, SpikeGraph, wires
from snncc.reference import enter, run

ANALOG = Input(name="image", shape=(2, 3), origin="x")
SPIKES = Input(name="events", shape=(2,), kind=Kind.SPIKE)
COUNTS = Input(name="tallies", shape=(2,), kind=Kind.COUNT, max_count=3)


def graph(*inputs: Input, numbers: Numbers = Numbers.FLOAT) -> SpikeGraph:
    return SpikeGraph((*inputs, Output(name="y", inputs=wires(inputs[0].name))), numbers, "net")


NAN = np.ones((4, 2, 2, 3))
NAN[1, 0, 1, 2] = np.nan
NAN[3, 0, 0, 0] = np.inf

BAD: list[tuple[SpikeGraph, Any, int, str]] = [
    (graph(ANALOG), np.ones((4, 2, 2, 3)), 0, "a run has at least one timestep, not 0"),
    (
        graph(ANALOG),
        np.ones((4, 2, 3)),
        4,
        r"image \(Input, x\): needs data \[T, B, \*shape\] = T x B x 2 x 3, has shape \(4, 2, 3\)",
    ),
    (graph(ANALOG), np.ones((4, 2, 3, 2)), 4, r"has shape \(4, 2, 3, 2\)"),
    (
        graph(replace(ANALOG, presence=Presence.CONSTANT)),
        np.ones((4, 2, 2, 3)),
        4,
        r"needs data \[B, \*shape\] = B x 2 x 3, has shape \(4, 2, 2, 3\)",
    ),
    (graph(ANALOG), np.ones((3, 2, 2, 3)), 4, "needs 4 timesteps, has 3"),
    (graph(ANALOG), np.ones((4, 0, 2, 3)), 4, r"the data is empty: shape \(4, 0, 2, 3\)"),
    (graph(ANALOG), NAN, 4, r"2 values are NaN or infinite, the first at index \(1, 0, 1, 2\)"),
    (graph(ANALOG), np.full((4, 2, 2, 3), "a"), 4, "needs numbers, has an array of <U1"),
    (graph(ANALOG), np.ones((4, 2, 2, 3), complex), 4, "needs numbers, has an array of complex128"),
    (graph(ANALOG), np.full((4, 2, 2, 3), None), 4, "needs numbers, has an array of object"),
    (
        graph(SPIKES),
        np.full((1, 1, 2), 2),
        1,
        r"events \(Input\): carries spikes, so its data must be 0 or 1",
    ),
    (graph(SPIKES), np.array([[[1, 0.5]]]), 1, r"must be 0 or 1, but index \(0, 0, 1\) holds 0.5"),
    (graph(SPIKES), np.array([[[1, -1]]]), 1, r"index \(0, 0, 1\) holds -1"),
    (
        graph(COUNTS),
        np.array([[[1, 4]]]),
        1,
        r"carries counts, so its data must be integers 0\.\.3, but index",
    ),
    (graph(replace(COUNTS, max_count=None)), np.array([[[1, -4]]]), 1, r"must be integers 0\.\., but"),
    (graph(ANALOG, SPIKES), np.ones((1, 1, 2, 3)), 1, "net has inputs image, events; give a dict"),
    (graph(ANALOG, SPIKES), {"image": 1}, 1, "net has inputs image, events; the data has image"),
    (graph(ANALOG), {"imge": np.ones((1, 1, 2, 3))}, 1, "net has inputs image; the data has imge"),
    (
        graph(ANALOG, SPIKES),
        {"image": np.ones((1, 3, 2, 3)), "events": np.ones((1, 2, 2))},
        1,
        r"inputs differ in their number of samples: \[2, 3\]",
    ),
]


@pytest.mark.parametrize(("net", "x", "timesteps", "message"), BAD)
def test_bad_data(net: SpikeGraph, x: Any, timesteps: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        run(net, x, timesteps=timesteps)


def test_real_values_for_spikes_come_with_a_hint() -> None:
    with pytest.raises(BadInput) as error:
        run(graph(SPIKES), np.full((1, 1, 2), 0.5), timesteps=1)
    assert error.value.hint == "trace with input_kind='analog' (or --input-kind analog) for real-valued data"


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("numbers", Numbers)
def test_every_kind_of_number_is_taken(dtype: type, numbers: Numbers) -> None:
    x: Array = np.array([[[0, 1]], [[1, 1]]]).astype(dtype)
    entered = enter(graph(SPIKES, numbers=numbers), x, 2)["events"]
    assert entered.dtype == (np.int64 if numbers is Numbers.INTEGER else np.float64)
    assert entered.tolist() == [[[0, 1]], [[1, 1]]]


def test_lists_are_data() -> None:
    assert run(graph(SPIKES), [[[0, 1]]], timesteps=1).output.tolist() == [[[0, 1]]]


def test_integer_graphs_quantize_their_input() -> None:
    node = replace(ANALOG, shape=(6,), scale=np.array(0.25), low=-2, high=7)
    x = np.array([[[-9.0, -0.49, 0.124, 0.125, 0.375, 9.0]]])  # halves go to the even number
    assert enter(graph(node, numbers=Numbers.INTEGER), x, 1)["image"].tolist() == [[[-2, -2, 0, 0, 2, 7]]]


def test_float_graphs_carry_reals() -> None:
    node = replace(ANALOG, shape=(2,), scale=np.array(0.25))
    assert run(graph(node), np.array([[[0.3, -7.0]]]), timesteps=1).output.tolist() == [[[0.3, -7.0]]]


def test_the_users_array_stays_as_it_is() -> None:
    x = np.array([[[0.3, -7.0, 1.0]]] * 2).reshape(2, 1, 3)
    kept = x.copy()
    p = Input(name="x", shape=(3,))
    run(graph(p), x, timesteps=2)
    assert np.array_equal(x, kept)
    assert x.flags.writeable
