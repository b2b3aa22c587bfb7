"""Small networks at the limits of Speck: just within, and just beyond with what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from snncc.ir import (
    Add,
    Concat,
    Conv,
    Dense,
    Input,
    Kind,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Pool,
    Reset,
    ResetAt,
    Reshape,
    SpikeGraph,
    wires,
)

IF = NeuronParameters(max_count=None)


def network(*nodes: Node, shape: tuple[int, ...] = (2, 8, 8), **given: Any) -> SpikeGraph:
    """An input ``x``, *nodes*, and an output of the last of them."""
    entry = Input(name="x", shape=shape, **{"kind": Kind.SPIKE, **given})
    return SpikeGraph(
        name="net",
        timesteps=3,
        nodes=(entry, *nodes, Output(name="y", inputs=wires(nodes[-1].name), over=Over.SUM)),
    )


def conv(name: str, source: str, out: int, channels: int, size: int = 3, **options: Any) -> Conv:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(out, channels // options.get("groups", 1), size, size)).astype(np.float32)
    return Conv(name=name, inputs=wires(source), weight=weight, **options)


def neuron(name: str, *sources: str, **options: Any) -> Neuron:
    return Neuron(name=name, inputs=wires(*sources), parameters=replace(IF, **options))


def one_layer(shape: tuple[int, ...] = (2, 8, 8), out: int = 4, size: int = 3, **options: Any) -> SpikeGraph:
    return network(conv("conv", "x", out, shape[0], size, **options), neuron("n", "conv"), shape=shape)


def pooled(kernel: tuple[int, int], stride: tuple[int, int], pad: int = 0) -> SpikeGraph:
    return network(
        conv("c1", "x", 3, 2, 1),
        neuron("n1", "c1"),
        Pool(name="p", inputs=wires("n1"), kernel=kernel, stride=stride, padding=(pad, pad, pad, pad)),
        conv("c2", "p", 3, 3, 1),
        neuron("n2", "c2"),
        shape=(2, 16, 16),
    )


def fan(count: int) -> SpikeGraph:
    """A layer that *count* layers read, whose spikes are merged in pairs."""
    nodes: list[Node] = [conv("c", "x", 3, 2, 1), neuron("n", "c")]
    for k in range(count):
        nodes += [conv(f"c{k}", "n", 3, 3, 1), neuron(f"n{k}", f"c{k}")]
    outputs = [Output(name=f"y{k}", inputs=wires(f"n{k}")) for k in range(count)]
    entry = Input(name="x", shape=(2, 8, 8), kind=Kind.SPIKE)
    return SpikeGraph(name="fan", timesteps=3, nodes=(entry, *nodes, *outputs))


def merged(count: int) -> SpikeGraph:
    nodes: list[Node] = []
    for k in range(count):
        nodes += [conv(f"c{k}", "x" if k < 2 else "n0", 3, 2 if k < 2 else 3, 1), neuron(f"n{k}", f"c{k}")]
    names = [f"n{k}" for k in range(count)]
    return network(*nodes, Add(name="sum", inputs=wires(*names)), conv("c", "sum", 3, 3), neuron("n", "c"))


def with_neuron(**options: Any) -> SpikeGraph:
    return network(conv("conv", "x", 4, 2), neuron("n", "conv", **options))


WITHIN: list[tuple[str, Callable[[], SpikeGraph]]] = [
    ("map 128", lambda: one_layer((1, 128, 128), 1, 3, stride=(2, 2), padding=(1, 1, 1, 1))),
    ("map 64", lambda: one_layer((1, 64, 64), 2, 1)),
    ("kernel 16", lambda: one_layer((1, 17, 17), 2, 16)),
    ("stride 8", lambda: one_layer((1, 17, 17), 2, 3, stride=(8, 4))),
    ("padding 7", lambda: one_layer((1, 17, 17), 2, 3, padding=(7, 7, 7, 7))),
    ("features 1024", lambda: one_layer((1, 4, 4), 1024, 1)),
    ("channels 1024", lambda: one_layer((1024, 2, 2), 1, 1)),
    ("pool 4", lambda: pooled((4, 4), (4, 4))),
    (
        "pooling of currents, which folds into the convolution",
        lambda: network(
            conv("a", "x", 3, 2),
            Pool(name="p", inputs=wires("a"), kernel=(2, 2), stride=(2, 2), is_average=True),
            neuron("n", "p"),
        ),
    ),
    ("fan-out 2", lambda: fan(2)),
    ("merge 2", lambda: merged(2)),
    ("reset to 0", lambda: with_neuron(reset=Reset.VALUE)),
    (
        "threshold a channel",
        lambda: with_neuron(
            theta=np.linspace(1, 2, 4)[:, None, None], rho=np.linspace(1, 2, 4)[:, None, None]
        ),
    ),
    ("clamp 0", lambda: with_neuron(clamp_low=np.array(0.0))),
    ("single spikes", lambda: with_neuron(max_count=1)),
    ("strict", lambda: with_neuron(max_count=1, strict=True)),
    ("late subtraction", lambda: with_neuron(reset_at=ResetAt.NEXT)),
    (
        "vector input",
        lambda: network(
            Dense(name="d", inputs=wires("x"), weight=np.ones((3, 9))), neuron("n", "d"), shape=(9,)
        ),
    ),
]

BEYOND: list[tuple[Callable[[], SpikeGraph], str, str, str, str]] = [
    (lambda: one_layer((1, 130, 130), 1, 3, stride=(4, 4)), "conv", "map that enters", "130x130", "128x128"),
    (lambda: one_layer((1, 65, 60), 1, 1), "conv", "map of neurons", "65x60", "64x64"),
    (lambda: one_layer((1, 18, 18), 2, 17), "conv", "kernel", "17x17", "16x16"),
    (lambda: one_layer(stride=(3, 1)), "conv", "vertical stride", "3", "1, 2, 4, 8"),
    (lambda: one_layer(stride=(1, 5)), "conv", "horizontal stride", "5", "1, 2, 4, 8"),
    (lambda: one_layer(padding=(8, 8, 8, 8)), "conv", "padding", "8", "0 to 7"),
    (
        lambda: one_layer(padding=(1, 0, 1, 1)),
        "conv",
        "padding",
        "(1, 0, 1, 1) (top, bottom, left, right)",
        "equal on both sides",
    ),
    (lambda: one_layer((1, 4, 4), 1025, 1), "conv", "features", "1025", "1024"),
    (lambda: one_layer((1025, 2, 2), 1, 1), "conv", "channels that enter", "1025", "1024"),
    (lambda: one_layer(groups=2), "conv", "groups", "2", "1"),
    (lambda: one_layer(dilation=(2, 2)), "conv", "dilation", "2x2", "1x1"),
    (lambda: one_layer(delay=np.ones((4, 2, 3, 3), np.int64)), "conv", "delays of synapses", "some", "none"),
    (
        lambda: network(
            Conv(name="conv", inputs=wires("x"), weight=np.ones((1, 2, 3, 2))), neuron("n", "conv")
        ),
        "conv",
        "kernel",
        "3x2",
        "a square",
    ),
    (lambda: pooled((3, 3), (3, 3)), "p", "pooling window", "3x3", "1x1, 2x2 or 4x4"),
    (lambda: pooled((2, 4), (2, 4)), "p", "pooling window", "2x4", "1x1, 2x2 or 4x4"),
    (
        lambda: pooled((2, 2), (1, 1)),
        "p",
        "stride of a pooling window",
        "1x1 for a window of 2x2",
        "that of the window",
    ),
    (lambda: pooled((2, 2), (2, 2), 1), "p", "padding of a pooling window", "1", "0"),
    (lambda: fan(3), "n", "destinations", "3", "2"),
    (lambda: merged(3), "sum", "trains added", "3", "2"),
    (
        lambda: network(conv("conv", "x", 4, 2), neuron("n", "conv"), kind=Kind.ANALOG),
        "x",
        "input",
        "real numbers",
        "events",
    ),
    (lambda: network(conv("conv", "x", 4, 2)), "y", "an output of potentials", "real numbers", "spikes"),
    (
        lambda: network(neuron("n", "x")),
        "n",
        "a neuron without synapses",
        "spikes as they are",
        "a convolution before it",
    ),
    (
        lambda: network(conv("a", "x", 3, 2), conv("b", "x", 3, 2), neuron("n", "a", "b")),
        "n",
        "currents added before a neuron",
        "2 branches",
        "one convolution",
    ),
    (
        lambda: network(
            conv("a", "x", 3, 2),
            conv("b", "x", 3, 2),
            Add(name="s", inputs=wires("a", "b")),
            neuron("n", "s"),
        ),
        "s",
        "currents added before a neuron",
        "2 branches",
        "one convolution",
    ),
    (
        lambda: network(
            conv("a", "x", 3, 2),
            Pool(name="p", inputs=wires("a"), kernel=(2, 2), stride=(2, 2), padding=(1, 1, 1, 1)),
            neuron("n", "p"),
        ),
        "p",
        "pooling of currents",
        "sums before the neuron",
        "sums of spikes",
    ),
    (
        lambda: network(
            conv("a", "x", 3, 2),
            neuron("n", "a"),
            MaxPool(name="m", inputs=wires("n"), kernel=(2, 2), stride=(2, 2)),
            conv("b", "m", 2, 3, 1),
            neuron("o", "b"),
        ),
        "m",
        "operation",
        "MaxPool",
        "convolution, neuron, pooling",
    ),
    (
        lambda: network(
            conv("a", "x", 3, 2),
            neuron("n", "a"),
            conv("b", "x", 3, 2),
            neuron("o", "b"),
            Concat(name="j", inputs=wires("n", "o"), axis=1),
            conv("c", "j", 2, 3, 1),
            neuron("q", "c"),
        ),
        "j",
        "operation",
        "Concat",
        "convolution, neuron, pooling",
    ),
    (
        lambda: network(
            conv("a", "x", 3, 2),
            neuron("n", "a"),
            Reshape(name="r", inputs=wires("n"), shape=(6, 6, 3)),
            conv("b", "r", 2, 6, 1),
            neuron("o", "b"),
        ),
        "r",
        "reshaping",
        "maps of (6, 6, 3)",
        "a vector for a dense layer",
    ),
    (lambda: with_neuron(leak=np.array(0.5)), "n", "leak", "a factor of 0.5 a timestep", "none"),
    (lambda: with_neuron(leak_i=np.array(0.5)), "n", "memory of its current", "a second state", "none"),
    (lambda: with_neuron(refractory=2), "n", "refractory time", "2 timesteps", "none"),
    (lambda: with_neuron(stateless=True), "n", "a potential forgotten in each timestep", "timesteps", "none"),
    (lambda: with_neuron(clamp_high=np.array(2.0)), "n", "upper clamp", "one", "none"),
    (lambda: with_neuron(clamp_low=np.array(0.5)), "n", "lower clamp", "0.5", "0 or below"),
    (lambda: with_neuron(max_count=4), "n", "spikes of a timestep", "0 to 4, as one count", "events"),
    (
        lambda: with_neuron(rho=np.array(0.5)),
        "n",
        "reset",
        "by another amount than its threshold",
        "by its threshold, or to 0",
    ),
    (lambda: with_neuron(reset=Reset.NONE), "n", "reset", "none", "by its threshold, or to 0"),
    (
        lambda: with_neuron(reset=Reset.VALUE, v_reset=np.array(-0.5)),
        "n",
        "reset",
        "to 0.5",
        "by its threshold, or to 0",
    ),
    (
        lambda: with_neuron(reset=Reset.VALUE, reset_at=ResetAt.NEXT),
        "n",
        "reset",
        "in the next timestep",
        "with the spike",
    ),
    (
        lambda: with_neuron(
            theta=np.arange(1.0, 37).reshape(1, 6, 6), rho=np.arange(1.0, 37).reshape(1, 6, 6)
        ),
        "n",
        "thresholds",
        "one a neuron",
        "one a layer",
    ),
    (
        lambda: with_neuron(theta=np.array(-1.0), reset=Reset.VALUE),
        *("n", "threshold", "-1", "above 0"),
    ),
    (
        lambda: with_neuron(bias=np.arange(36.0).reshape(1, 6, 6)),
        "conv",
        "bias",
        "one a neuron",
        "one a channel",
    ),
    (
        lambda: with_neuron(scale=np.linspace(1, 2, 4)[:, None, None]),
        "n",
        "a spike's worth",
        "one a channel",
        "one a layer",
    ),
    (
        lambda: one_layer((16, 64, 64), 32, 3, padding=(1, 1, 1, 1)),
        "conv",
        "memory of one core",
        "131,072 neuron words",
        "65,536 (core 0, the closest)",
    ),
    (
        lambda: one_layer((900, 4, 4), 1024, 1),
        "conv",
        "memory of one core",
        "921,600 kernel words",
        "65,536 (core 5, the closest)",
    ),
]
