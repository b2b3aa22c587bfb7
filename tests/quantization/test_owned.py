"""Weights that lie on a grid keep it: integers are the network's own."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir import Add, Conv, Dense, Input, Kind, Neuron, NeuronParameters, Node, Output, SpikeGraph, wires
from snncc.quantization import Quantize
from snncc.quantization.owned import nearest


def stairs(unit: float, count: int) -> NeuronParameters:
    steps = (np.arange(1, count + 1) - 0.5) * unit
    return NeuronParameters(
        steps=steps, max_count=count, stateless=True, theta=steps[0], rho=np.asarray(unit)
    )


def graph_of(*nodes: Node) -> SpikeGraph:
    graph = SpikeGraph(nodes)
    graph.verify()
    return graph


@pytest.mark.parametrize("scale", [0.25, 0.1, 1 / 3])
def test_whole_weights_stay_whole(scale: float) -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(-90, 91, (5, 4))
    whole[0] = [-128, 127, 3, 0]
    rows = scale * np.array([1, 3, 1, 2, 1])
    bias = rng.integers(-500, 500, 5)
    graph = graph_of(
        Input(name="x", shape=(4,), kind=Kind.COUNT, max_count=3),
        Dense(name="w", inputs=wires("x"), weight=whole * rows[:, None], bias=bias * rows),
        Neuron(name="n", inputs=wires("w"), parameters=stairs(7 * scale, 6)),
        Output(name="o", inputs=wires("n")),
    )
    node = Quantize(timesteps=1)(graph)["w"]
    assert isinstance(node, Dense)
    common = np.gcd.reduce(np.concatenate([whole, bias[:, None]], axis=1), axis=1)
    assert node.bias is not None
    factor = np.abs(whole).max(axis=1) // np.abs(node.weight).max(axis=1)
    assert np.all(common % factor == 0)
    assert np.array_equal(node.weight * factor[:, None], whole)
    assert np.array_equal(node.bias * factor, bias)


def test_branches_share_a_grid() -> None:
    """A skip of weight one beside a fine branch becomes a shift; off the grid it comes as near as it can."""
    rng = np.random.default_rng(1)
    fine = rng.integers(-127, 128, (2, 2, 1, 1)) * 2.0**-9
    fine[:, 0] = 127 * 2.0**-9
    for scale, bits, near in ((1.0, 8, 1e-9), (np.pi / 3, 8, 1e-2), (np.pi / 3, 16, 1e-5)):
        graph = graph_of(
            Input(name="x", shape=(2, 3, 3), kind=Kind.COUNT, max_count=3),
            Neuron(
                name="skip",
                inputs=wires("x"),
                parameters=NeuronParameters(
                    steps=np.array([1.0, 2.0, 3.0]), max_count=3, stateless=True, scale=np.asarray(scale)
                ),
            ),
            Conv(name="w", inputs=wires("x"), weight=fine),
            Add(name="sum", inputs=wires("w", "skip")),
            Neuron(name="n", inputs=wires("sum"), parameters=stairs(0.5, 6)),
            Output(name="o", inputs=wires("n")),
        )
        integers = Quantize(timesteps=1, weight_bits=bits)(graph)
        node, skip = integers["w"], integers["sum.skip1"]
        assert isinstance(node, Conv)
        assert isinstance(skip, Conv)
        np.testing.assert_allclose(node.weight * node.weight_scale[..., None], fine, rtol=1e-12)
        error = np.abs(skip.weight * skip.weight_scale[..., None] - 1).max()
        assert (error > 1e-9) == (scale != 1)
        assert error < near


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_grid(seed: int) -> None:
    """The main branch loses nothing; of another the largest weight has nearly all the steps there are."""
    rng = np.random.default_rng(seed)
    step, top = rng.uniform(0.001, 0.1, 3), int(rng.choice([7, 127, 32767]))
    whole = rng.integers(-(2 ** int(rng.integers(1, 4))) + 1, 8, (3, 9))
    whole = np.clip(whole, -top, top)
    whole[:, 0] = 1
    weights = {"main": whole * step[:, None], "other": rng.normal(0, 1, (3, 4)), "none": np.zeros((3, 1))}
    scale, shifts = nearest("main", step, weights, top)
    for name, values in weights.items():
        unit = scale[:, None] * 2.0 ** shifts[name]
        steps = np.rint(values / unit)
        assert np.abs(steps).max() <= top
        if name == "main":
            np.testing.assert_allclose(steps * unit, values, rtol=1e-12)
        if name == "other":
            assert np.abs(steps).max() >= top // 4
