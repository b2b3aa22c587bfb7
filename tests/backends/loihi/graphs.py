"""Random float networks of every kind that Loihi takes, by number: the same number, the same network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from snncc.ir import (
    Add,
    Array,
    Conv,
    Dense,
    Encoding,
    Input,
    Kind,
    Layout,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Order,
    Output,
    Over,
    Pool,
    Reset,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)

SAMPLES = 3
KINDS = ("dense", "conv", "recurrent", "loop", "stretched", "skip", "pooled", "maximum", "sfa", "graded")


@dataclass(frozen=True, slots=True)
class Case:
    """A network, data [T, B, *shape] for it, and how it is compiled."""

    kind: str
    graph: SpikeGraph
    x: Array
    stretch: int = 1
    encoding: Encoding = Encoding.SPIKES


def case(number: int) -> Case:
    """Network *number*; ten in a row are of ten kinds."""
    kind, rng = KINDS[number % len(KINDS)], np.random.default_rng(number)
    timesteps = 17 if kind == "sfa" else 70  # at least 200 chip steps: a timestep of SFA takes four
    analog = kind == "conv" and number % 20 == 1
    shape = (3, 6, 6) if kind in ("conv", "pooled", "maximum", "sfa", "graded") else (14,)
    source = Input(name="x", shape=shape, kind=Kind.ANALOG if analog else Kind.SPIKE)
    body = {
        "dense": dense,
        "conv": convolved,
        "recurrent": recurrent,
        "loop": loop,
        "stretched": loop,
        "skip": skip,
        "pooled": pooled,
        "maximum": pooled,
        "sfa": convolved,
        "graded": convolved,
    }[kind]
    nodes: list[Node] = [source, *body(rng, kind)]
    events = [node.name for node in nodes if isinstance(node, Neuron)][-1]
    size = int(np.prod(SpikeGraph(tuple(nodes), timesteps=timesteps).edges[events].shape))
    nodes += [
        Reshape(name="flat", inputs=wires(events), shape=(size,)),
        Dense(name="head", inputs=wires("flat"), weight=weights(rng, (4, size)), bias=rng.normal(size=4)),
        Output(name="y", inputs=wires("head"), over=[Over.MEAN, Over.SUM, Over.SEQUENCE][number % 3]),
        Output(name="z", inputs=wires(events), over=Over.SUM),
    ]
    graph = SpikeGraph(tuple(nodes), timesteps=timesteps, layout=Layout.TB, name=f"{kind}{number}")
    graph.verify()
    size_x = (timesteps, SAMPLES, *shape)
    x = rng.normal(0.4, 0.5, size_x) if analog else (rng.random(size_x) < 0.3).astype(np.float64)
    encoding = Encoding.GRADED if kind == "graded" else Encoding.SPIKES
    return Case(kind, graph, x, 2 if kind == "stretched" else 1, encoding)


def weights(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Weights with which a third of the inputs bring a neuron near a threshold of 1."""
    fan_in = int(np.prod(shape[1:]))
    return rng.normal(0.6 / np.sqrt(fan_in), 1.2 / np.sqrt(fan_in), shape)


def neuron(rng: Generator, name: str, sources: tuple[Wire, ...], kind: str, size: tuple[int, ...]) -> Neuron:
    """A neuron of a drawn kind: hard or soft reset, leak or none, current memory, bias, initial state."""
    if kind in ("sfa", "graded"):
        p = NeuronParameters(max_count=4, theta=np.asarray(0.5), rho=np.ones(()))
        leak = np.asarray(rng.choice([1.0, 0.5]))
        return Neuron(name=name, inputs=sources, parameters=replace(p, leak=leak))
    leak = np.asarray(rng.choice([1.0, 0.9, 0.7]))
    p = NeuronParameters(
        leak=leak,
        reset=Reset.VALUE if rng.random() < 0.6 else Reset.SUBTRACT,
        leak_i=np.asarray(rng.choice([0.0, 0.0, 0.5])),
        strict=bool(rng.random() < 0.3),
        order=Order.INTEGRATE_FIRST if rng.random() < 0.2 else Order.LEAK_FIRST,
    )
    if rng.random() < 0.5:
        p = replace(p, bias=rng.normal(0.05, 0.1, size))
    if rng.random() < 0.4:
        p = replace(p, v_init=rng.uniform(0, 0.9, size))
    if rng.random() < 0.2 and p.reset is Reset.SUBTRACT:
        p = replace(p, clamp_low=np.asarray(-0.5))
    return Neuron(name=name, inputs=sources, parameters=p)


def dense(rng: Generator, kind: str) -> list[Node]:
    return [
        Dense(name="w1", inputs=wires("x"), weight=weights(rng, (10, 14)), bias=rng.normal(0, 0.1, 10)),
        neuron(rng, "n1", wires("w1"), kind, (10,)),
        Dense(name="w2", inputs=wires("n1"), weight=weights(rng, (8, 10))),
        neuron(rng, "n2", wires("w2"), kind, (8,)),
    ]


def convolved(rng: Generator, kind: str) -> list[Node]:
    groups, stride = int(rng.choice([1, 2])), int(rng.choice([1, 2]))
    out = 3 if stride == 2 else 6
    return [
        Conv(
            name="w1",
            inputs=wires("x"),
            weight=weights(rng, (4, 3, 3, 3)),
            padding=(1, 1, 1, 1),
            bias=rng.normal(0, 0.1, (4, 1, 1)),
        ),
        neuron(rng, "n1", wires("w1"), kind, (4, 6, 6)),
        Conv(
            name="w2",
            inputs=wires("n1"),
            weight=weights(rng, (6, 4 // groups, 3, 3)),
            padding=(1, 1, 1, 1),
            stride=(stride, stride),
            groups=groups,
        ),
        neuron(rng, "n2", wires("w2"), kind, (6, out, out)),
    ]


def recurrent(rng: Generator, kind: str) -> list[Node]:
    return [
        Dense(name="w1", inputs=wires("x"), weight=weights(rng, (10, 14))),
        neuron(rng, "n1", (Wire("w1"), Wire("r", delay=1)), kind, (10,)),
        Dense(name="r", inputs=wires("n1"), weight=rng.normal(0, 0.3, (10, 10))),
    ]


def loop(rng: Generator, kind: str) -> list[Node]:
    """A loop of two layers; a timestep of delay is one chip step short, unless timesteps are stretched."""
    return [
        Dense(name="w1", inputs=wires("x"), weight=weights(rng, (10, 14))),
        neuron(rng, "n1", (Wire("w1"), Wire("r", delay=1 if kind == "stretched" else 2)), kind, (10,)),
        Dense(name="w2", inputs=wires("n1"), weight=weights(rng, (8, 10))),
        neuron(rng, "n2", wires("w2"), kind, (8,)),
        Dense(name="r", inputs=wires("n2"), weight=rng.normal(0, 0.3, (10, 8))),
    ]


def skip(rng: Generator, kind: str) -> list[Node]:
    """Currents of a short and a long way meet, and so do spikes."""
    return [
        Dense(name="w1", inputs=wires("x"), weight=weights(rng, (10, 14))),
        neuron(rng, "n1", wires("w1"), kind, (10,)),
        Dense(name="w2", inputs=wires("n1"), weight=weights(rng, (10, 10))),
        neuron(rng, "n2", wires("w2"), kind, (10,)),
        Dense(name="w3", inputs=wires("n2"), weight=weights(rng, (10, 10))),
        Add(name="sum", inputs=wires("w1", "w3")),
        neuron(rng, "n3", wires("sum"), kind, (10,)),
        Add(name="both", inputs=wires("n1", "n3")),
        Dense(name="w4", inputs=wires("both"), weight=weights(rng, (8, 10))),
        neuron(rng, "n4", wires("w4"), kind, (8,)),
    ]


def pooled(rng: Generator, kind: str) -> list[Node]:
    pool: Node = Pool(name="pool", inputs=wires("n1"), kernel=(2, 2), stride=(2, 2), is_average=True)
    if kind == "maximum":
        pool = MaxPool(name="pool", inputs=wires("n1"), kernel=(2, 2), stride=(2, 2))
    return [
        Conv(name="w1", inputs=wires("x"), weight=weights(rng, (4, 3, 3, 3)), padding=(1, 1, 1, 1)),
        neuron(rng, "n1", wires("w1"), kind, (4, 6, 6)),
        pool,
        Conv(name="w2", inputs=wires("pool"), weight=2 * weights(rng, (5, 4, 3, 3)), padding=(1, 1, 1, 1)),
        neuron(rng, "n2", wires("w2"), kind, (5, 3, 3)),
    ]
