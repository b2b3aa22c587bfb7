"""Random chains of layers that NetX can hold, by number: the same number, the same network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

import snncc
from snncc.ir import (
    Array,
    Conv,
    Dense,
    Input,
    Kind,
    Layout,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Reset,
    Reshape,
    SpikeGraph,
    wires,
)

TIMESTEPS, SAMPLES = 70, 3


def chain(number: int) -> tuple[SpikeGraph, Array]:
    """A network, and data [T, B, *shape]: numbers 1, 4, 7.. have no convolution, 2, 5, 8.. read numbers."""
    rng = np.random.default_rng(number)
    kind = Kind.ANALOG if number % 3 == 2 else Kind.SPIKE
    shape: tuple[int, ...] = (14,) if number % 6 == 1 else (3, 9, 8)
    nodes: list[Node] = [Input(name="x", shape=shape, kind=kind)]
    if number % 3 != 1:
        for depth in range(1, int(rng.integers(2, 4))):
            synapse, shape = convolution(rng, f"w{depth}", nodes[-1].name, shape)
            nodes += [synapse, neuron(rng, f"n{depth}", synapse.name, shape)]
    last = nodes[-1].name
    if len(shape) > 1:
        nodes.append(Reshape(name="flat", inputs=wires(last), shape=(int(np.prod(shape)),)))
    size = int(np.prod(shape))
    for name, out in (("a", 12), ("b", 9)):
        nodes.append(Dense(name=f"w{name}", inputs=wires(nodes[-1].name), weight=weights(rng, (out, size))))
        nodes.append(neuron(rng, f"n{name}", f"w{name}", (out,)))
        size = out
    nodes += [
        Dense(name="head", inputs=wires("nb"), weight=weights(rng, (4, size)), bias=rng.normal(size=4)),
        Output(name="y", inputs=wires("head"), over=Over.SEQUENCE),
        Output(name="z", inputs=wires("nb"), over=Over.SUM),
    ]
    graph = SpikeGraph(tuple(nodes), timesteps=TIMESTEPS, layout=Layout.TB, name=f"chain{number}")
    graph.verify()
    size_x = (TIMESTEPS, SAMPLES, *graph.inputs[0].shape)
    x = rng.normal(0.4, 0.6, size_x) if kind is Kind.ANALOG else (rng.random(size_x) < 0.3).astype(float)
    return graph, x


def convolution(
    rng: Generator, name: str, source: str, shape: tuple[int, ...]
) -> tuple[Conv, tuple[int, ...]]:
    """A convolution with stride, padding, dilation, groups; and its size."""
    channels, height, width = shape
    groups = channels if rng.random() < 0.4 else 1
    kernel = (int(rng.integers(1, 4)), int(rng.integers(2, 4)))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    padding = (int(rng.integers(0, 2)), int(rng.integers(0, 3)))
    dilation = (int(rng.integers(1, 3)) if channels == 3 else 1, 1)
    out = 2 * channels
    synapse = Conv(
        name=name,
        inputs=wires(source),
        weight=weights(rng, (out, channels // groups, *kernel)),
        stride=stride,
        padding=(padding[0], padding[0], padding[1], padding[1]),
        dilation=dilation,
        groups=groups,
    )
    sizes = zip((height, width), kernel, stride, padding, dilation, strict=True)
    return synapse, (out, *((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sizes))


def neuron(rng: Generator, name: str, source: str, shape: tuple[int, ...]) -> Neuron:
    """Hard reset; a bias, by channel or by neuron, where nothing leaks: NetX has whole ones alone."""
    p = NeuronParameters(reset=Reset.VALUE)
    if rng.random() < 0.6:
        size = (shape[0], 1, 1) if len(shape) == 3 and rng.random() < 0.5 else shape
        p = replace(p, bias=rng.normal(0.05, 0.1, size))
    else:
        leak, leak_i = rng.choice([1.0, 0.9, 0.7, 0.0]), rng.choice([0.0, 0.5])
        p = replace(p, leak=np.asarray(leak), leak_i=np.asarray(leak_i), strict=bool(rng.random() < 0.5))
    return Neuron(name=name, inputs=wires(source), parameters=p)


def weights(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Weights with which inputs of any number bring a neuron near a threshold of 1."""
    fan_in = int(np.prod(shape[1:]))
    return rng.normal(0.8 / fan_in, 1.4 / np.sqrt(fan_in), shape)


def compiled(number: int) -> tuple[snncc.Program, Array]:
    graph, x = chain(number)
    return snncc.compile(graph, target="loihi", calibration=x), x
