"""Many channels: whole blocks of neighbors, runs of taps, potentials far below their thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc.ir import Array, Conv, Dense, Input, Kind, Neuron, Overflow, Reset, Reshape, SpikeGraph, wires
from snncc.simulator.machine.events import run_events
from snncc.simulator.slow.event_order import canonical
from snncc.simulator.slow.events import simulate_events
from tests.simulator.compare import assert_equal_events
from tests.simulator.event.hand import Hand, free_chip, graph_of, hand, iaf

NEURONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "negative drift": {"bias": np.array(-30_000)},
    "deep from the start": {"v_init": np.array(-70_000)},
    "deeper than 32 bits": {"v_init": np.array(-(1 << 33))},
    "high from the start": {"v_init": np.array(40_000)},
    "clamp": {"clamp_low": np.array(-20)},
    "clamp far below": {"clamp_low": np.array(-50_000), "bias": np.array(-20_000)},
    "clamp above some thresholds": {"clamp_low": np.array(20)},
    "saturate": {"v_bits": 9, "overflow": Overflow.SATURATE},
    "wrap": {"v_bits": 9, "overflow": Overflow.WRAP},
    "saturate low": {"v_bits": 17, "overflow": Overflow.SATURATE, "bias": np.array(-40_000)},
    "wrap low": {"v_bits": 18, "overflow": Overflow.WRAP, "bias": np.array(-50_000)},
    "to a value": {"reset": Reset.VALUE, "v_reset": np.array(-3)},
    "strict": {"strict": True},
}


def wide(
    fields: dict[str, Any], scale: int, stride: int, rng: np.random.Generator, alike: bool = False
) -> Hand:
    """Two convolutions of 20 and 40 channels, and dense layers of 70 and 5; *alike*: one threshold each."""

    def weights(*shape: int) -> Array:
        return rng.integers(-20, 26, shape) * scale

    def layer(name: str, source: str, low: int, size: int) -> Neuron:
        most = low + 1 if alike else 2 * low
        theta = rng.integers(low, most, size).reshape(size, *[1] * (2 if name in "ab" else 0))
        return Neuron(name=name, inputs=wires(source), parameters=iaf(theta * scale, **fields))

    side, padding = 4, (1, 1, 1, 1)
    after = -(-side // stride)
    graph = graph_of(
        Input(name="x", shape=(2, side, side), kind=Kind.SPIKE),
        Conv(name="x_a", inputs=wires("x"), weight=weights(20, 2, 3, 3), padding=padding),
        layer("a", "x_a", 15, 20),
        Conv(
            name="a_b",
            inputs=wires("a"),
            weight=weights(40, 20, 3, 3),
            stride=(stride, stride),
            padding=padding,
        ),
        layer("b", "a_b", 90, 40),
        Reshape(name="flat", inputs=wires("b"), shape=(40 * after * after,)),
        Dense(name="b_c", inputs=wires("flat"), weight=weights(70, 40 * after * after)),
        layer("c", "b_c", 150, 70),
        Dense(name="c_d", inputs=wires("c"), weight=weights(5, 70)),
        layer("d", "c_d", 60, 5),
    )
    return on_four_cores(graph, (rng.random((2, 2 * side * side)) < 0.15).astype(np.int64))


def on_four_cores(graph: SpikeGraph, x: Array) -> Hand:
    sizes = [(name, graph.edges[name].size) for name in "abcd"]
    parts = [(name, core, range(size)) for core, (name, size) in enumerate(sizes)]
    return hand(graph, free_chip(4), parts, x=x)


@pytest.mark.parametrize(("stride", "scale"), [(1, 1), (2, 9)])
@pytest.mark.parametrize("fields", NEURONS.values(), ids=NEURONS)
def test_wide(fields: dict[str, Any], stride: int, scale: int) -> None:
    """Weights of 8 bits, or of 32."""
    given = wide(fields, scale, stride, np.random.default_rng(7))
    assert_equal_events(canonical(*given), run_events(*given))


@pytest.mark.parametrize("name", ["plain", "negative drift", "deep from the start", "deeper than 32 bits"])
def test_wide_of_one_threshold(name: str) -> None:
    """All that fires in a block falls by the same."""
    given = wide(NEURONS[name], 1, 1, np.random.default_rng(7), alike=True)
    assert_equal_events(canonical(*given), run_events(*given))


@pytest.mark.parametrize("order", ["canonical", "timed"])
def test_potentials_that_rise_from_far_below(order: str) -> None:
    """They come to where others fire, and do not, before they do."""
    rng = np.random.default_rng(2)
    graph = graph_of(
        Input(name="x", shape=(200,), kind=Kind.SPIKE),
        Dense(name="x_a", inputs=wires("x"), weight=rng.integers(90, 128, (40, 200))),
        Neuron(name="a", inputs=wires("x_a"), parameters=iaf(20_000, v_init=np.array(-70_000))),
        Dense(name="a_b", inputs=wires("a"), weight=rng.integers(90, 128, (40, 40))),
        Neuron(name="b", inputs=wires("a_b"), parameters=iaf(50)),
    )
    one = hand(graph, free_chip(2), [("a", 0, range(40)), ("b", 1, range(40))], x=np.ones((6, 200), np.int64))
    run = run_events(*one, order)
    assert not run.spikes["a"][:3].any()
    assert run.spikes["a"].any()
    assert_equal_events(canonical(*one) if order == "canonical" else simulate_events(*one), run)


WINDOWS: dict[str, dict[str, Any]] = {
    "one tap": {"kernel": (1, 1)},
    "rows apart": {"dilation": (2, 1)},
    "columns apart": {"dilation": (1, 2)},
    "strides": {"stride": (3, 2), "kernel": (3, 5)},
    "strides over taps": {"stride": (3, 4), "kernel": (2, 3)},
    "strides and dilation": {"stride": (2, 1), "dilation": (3, 1)},
    "strides and dilation of one factor": {"stride": (2, 2), "dilation": (4, 1)},
    "groups": {"groups": 4},
}


@pytest.mark.parametrize("bias", [0, 3])
@pytest.mark.parametrize("order", ["canonical", "timed"])
@pytest.mark.parametrize("fields", WINDOWS.values(), ids=WINDOWS)
def test_windows(fields: dict[str, Any], order: str, bias: int) -> None:
    """Taps of all kinds; a bias makes populations fire in their ticks, too."""
    rng = np.random.default_rng(3)
    given: dict[str, Any] = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1} | fields
    kernel, stride, dilation = given["kernel"], given["stride"], given["dilation"]
    h, w = ((9 + 2 - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in range(2))
    graph = graph_of(
        Input(name="x", shape=(8, 9, 9), kind=Kind.SPIKE),
        Conv(
            name="x_a",
            inputs=wires("x"),
            weight=rng.integers(-9, 14, (36, 8 // given["groups"], *kernel)),
            stride=stride,
            padding=(1, 1, 1, 1),
            dilation=dilation,
            groups=given["groups"],
        ),
        Neuron(
            name="a",
            inputs=wires("x_a"),
            parameters=iaf(rng.integers(9, 30, (36, 1, 1)), bias=np.array(bias)),
        ),
        Reshape(name="flat", inputs=wires("a"), shape=(36 * h * w,)),
        Dense(name="a_b", inputs=wires("flat"), weight=rng.integers(-9, 12, (40, 36 * h * w))),
        Neuron(name="b", inputs=wires("a_b"), parameters=iaf(40, bias=np.array(bias))),
    )
    parts = [("a", 0, range(36 * h * w)), ("b", 1, range(40))]
    one = hand(graph, free_chip(2), parts, x=(rng.random((3, 8 * 81)) < 0.05).astype(np.int64))
    run = run_events(*one, order)
    assert run.spikes["a"].any()
    assert run.spikes["b"].any()
    assert_equal_events(canonical(*one) if order == "canonical" else simulate_events(*one), run)


@pytest.mark.parametrize("order", ["canonical", "timed"])
@pytest.mark.parametrize("theta", [12, "their own"])
@pytest.mark.parametrize("outs", [20, 450])
def test_windows_of_many_blocks(outs: int, theta: int | str, order: str) -> None:
    """A row of 70 blocks, and five of up to 71 each: more than the bits of a word."""
    rng, size = np.random.default_rng(5), 2240

    def thresholds(*shape: int) -> Array:
        return rng.integers(9, 30, shape) if theta == "their own" else np.full(shape, theta)

    graph = graph_of(
        Input(name="x", shape=(1, 5, 5), kind=Kind.SPIKE),
        Conv(
            name="x_a", inputs=wires("x"), weight=rng.integers(-9, 14, (outs, 1, 5, 5)), padding=(2, 2, 2, 2)
        ),
        Neuron(name="a", inputs=wires("x_a"), parameters=iaf(thresholds(outs, 1, 1))),
        Reshape(name="flat", inputs=wires("a"), shape=(25 * outs,)),
        Dense(name="a_b", inputs=wires("flat"), weight=rng.integers(-9, 10, (size, 25 * outs))),
        Neuron(name="b", inputs=wires("a_b"), parameters=iaf(thresholds(size))),
    )
    x = (rng.random((2, 25)) < (0.4 if outs < 100 else 0.04)).astype(np.int64)
    one = hand(graph, free_chip(2), [("a", 0, range(25 * outs)), ("b", 1, range(size))], x=x)
    run = run_events(*one, order)
    assert run.spikes["a"].any()
    assert run.spikes["b"].any()
    assert_equal_events(canonical(*one) if order == "canonical" else simulate_events(*one), run)


def test_something_fires() -> None:
    run = run_events(*wide({}, 1, 1, np.random.default_rng(7)))
    assert all(train.any() for train in run.spikes.values())


def test_timed() -> None:
    given = wide({}, 1, 1, np.random.default_rng(7))
    assert_equal_events(simulate_events(*given), run_events(*given, "timed"))


@pytest.mark.parametrize("joins", [False, True])
def test_more_spikes_in_a_timestep_than_eight_bits_count(joins: bool) -> None:
    """Also of a neuron that two populations feed, whose spikes are counted on another way."""
    sources = ("b_a", "x_a") if joins else ("b_a",)
    graph = graph_of(
        Input(name="x", shape=(300,), kind=Kind.SPIKE),
        Dense(name="x_b", inputs=wires("x"), weight=np.ones((2, 300), np.int64)),
        Neuron(name="b", inputs=wires("x_b"), parameters=iaf(1)),
        Dense(name="b_a", inputs=wires("b"), weight=np.array([[1, 0]])),
        *([Dense(name="x_a", inputs=wires("x"), weight=np.ones((1, 300), np.int64))] if joins else []),
        Neuron(name="a", inputs=wires(*sources), parameters=iaf(1)),
    )
    x = np.ones((2, 300), np.int64)
    x[1, 100:] = 0
    given = hand(graph, free_chip(2), [("b", 0, range(2)), ("a", 1, range(1))], x=x)
    for _ in range(2):  # the second run knows it from the start
        run = run_events(*given)
        assert run.spikes["b"].tolist() == [[300, 300], [100, 100]]
        assert run.spikes["a"].tolist() == ([[600], [200]] if joins else [[300], [100]])
        assert_equal_events(canonical(*given), run)
