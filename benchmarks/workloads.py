"""The three workloads: networks with fixed seeds, and data for them.

| | network | timesteps |
|-|-|-|
| W1 | event frames 2x128x128 -> conv3 s2 16 -> conv3 32, pool -> conv3 64, pool -> fc 256 -> fc 11 | 60 |
| W2 | VGG-9 on 3x32x32 | 4 |
| W3 | 700 -> 256 recurrent -> 256 -> 20, leaky | 100 |

Weights are 8-bit integers (normal, sigma 20, clipped to [-64, 63]); the thresholds were bisected until each
layer had the rate that its comment names (`calibrate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from snncc.ir import (
    Conv,
    Dense,
    Input,
    Kind,
    LeakRounding,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Pool,
    Reshape,
    Shape,
    SpikeGraph,
    Wire,
    wires,
)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A network, how long it runs, how many samples make a batch, and its data [T, B, *shape]."""

    name: str
    graph: SpikeGraph
    timesteps: int
    batch: int
    data: Callable[[int], Bytes]

    @property
    def neurons(self) -> int:
        """Neurons of the network."""
        return sum(self.graph.edges[node.name].size for node in self.graph.neurons)


class Chain:
    """A network that grows layer by layer."""

    def __init__(self, shape: Shape, seed: int, leaks: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = [Input(name="x", shape=shape, kind=Kind.SPIKE)]
        self.shape, self.last, self.leaks = shape, "x", leaks

    def weights(self, *shape: int) -> NDArray[np.int8]:
        return np.clip(np.rint(self.rng.normal(0, 20, shape)), -64, 63).astype(np.int8)

    def neuron(self, threshold: int, *sources: Wire) -> None:
        leak = {"leak": np.array(15), "leak_shift": 4, "leak_rounding": LeakRounding.FLOOR}
        p = NeuronParameters(
            theta=np.array(threshold), rho=np.array(threshold), **(leak if self.leaks else {})
        )
        name = f"neuron{self.count}"
        self.nodes.append(Neuron(name=name, inputs=sources, parameters=p))
        self.last = name

    @property
    def count(self) -> int:
        return 1 + sum(isinstance(node, Neuron) for node in self.nodes)

    def conv(self, channels: int, threshold: int, stride: int = 1) -> Chain:
        name, ins = f"conv{self.count}", self.shape[0]
        weight = self.weights(channels, ins, 3, 3)
        self.nodes.append(
            Conv(
                name=name,
                inputs=wires(self.last),
                weight=weight,
                stride=(stride, stride),
                padding=(1, 1, 1, 1),
            )
        )
        self.shape = (channels, self.shape[1] // stride, self.shape[2] // stride)
        self.neuron(threshold, Wire(name))
        return self

    def pool(self) -> Chain:
        name = f"pool{self.count}"
        self.nodes.append(Pool(name=name, inputs=wires(self.last), kernel=(2, 2), stride=(2, 2)))
        self.shape, self.last = (self.shape[0], self.shape[1] // 2, self.shape[2] // 2), name
        return self

    def dense(self, size: int, threshold: int, *, recurs: bool = False) -> Chain:
        if len(self.shape) > 1:
            self.shape = (prod(self.shape),)
            self.nodes.append(Reshape(name="flatten", inputs=wires(self.last), shape=self.shape))
            self.last = "flatten"
        name, back = f"dense{self.count}", f"back{self.count}"
        self.nodes.append(Dense(name=name, inputs=wires(self.last), weight=self.weights(size, self.shape[0])))
        self.shape = (size,)
        self.neuron(threshold, Wire(name), *([Wire(back, 1)] if recurs else []))
        if recurs:
            weight = self.weights(size, size)
            self.nodes.append(Dense(name=back, inputs=wires(self.last), weight=weight))
        return self

    def graph(self, name: str) -> SpikeGraph:
        end = Output(name="out", inputs=wires(self.last), over=Over.SUM)
        graph = SpikeGraph((*self.nodes, end), Numbers.INTEGER, name)
        graph.verify()
        return graph


def event_frames(batch: int, timesteps: int = 60, *, size: int = 128) -> Bytes:
    """Two polarities of edges of blobs that move over the frame, about 2 % of the pixels: [T, B, 2, H, W]."""
    rng = np.random.default_rng(1)
    place = np.arange(size)
    frames = np.zeros((timesteps, batch, 2, size, size), np.uint8)
    for b in range(batch):
        center, speed = rng.uniform(0, size, (3, 2)), rng.uniform(-2, 2, (3, 2))
        radius = rng.uniform(0.08, 0.16, 3) * size
        for t in range(timesteps):
            for (cy, cx), (vy, vx), r in zip(center + t * speed, speed, radius, strict=True):
                dy = (place[:, None] - cy + size / 2) % size - size / 2
                dx = (place[None] - cx + size / 2) % size - size / 2
                rim = np.abs(np.hypot(dy, dx) - r) < 3
                ahead = dy * vy + dx * vx > 0
                spikes = rng.random((size, size)) < 0.45
                frames[t, b, 0] |= rim & ahead & spikes
                frames[t, b, 1] |= rim & ~ahead & spikes
    return frames


def noise(rate: float, shape: Shape, timesteps: int) -> Callable[[int], Bytes]:
    """Independent spikes at *rate*."""

    def data(batch: int) -> Bytes:
        rng = np.random.default_rng(2)
        return (rng.random((timesteps, batch, *shape)) < rate).astype(np.uint8)

    return data


def w1() -> Workload:
    """Event camera; 7, 4, 4, 5 and 7 % of the neurons fire in a timestep."""
    chain = Chain((2, 128, 128), seed=11).conv(16, 12, stride=2).conv(32, 213).pool().conv(64, 806).pool()
    return Workload("W1", chain.dense(256, 8103).dense(11, 188).graph("w1"), 60, 8, event_frames)


def w1_small() -> Workload:
    """W1 on 2x32x32, at the rates of W1; not one of the three, for what W1 is too large for."""
    chain = Chain((2, 32, 32), seed=11).conv(16, 45, stride=2).conv(32, 208).pool().conv(64, 778).pool()
    graph = chain.dense(256, 1400).dense(11, 257).graph("w1s")
    return Workload("W1s", graph, 60, 8, partial(event_frames, size=32))


def w2() -> Workload:
    """VGG-9; 12 % in each layer."""
    chain = Chain((3, 32, 32), seed=12).conv(64, 80).conv(64, 264).pool().conv(128, 681).conv(128, 324).pool()
    chain.conv(256, 892).conv(256, 370).conv(256, 310).pool().dense(1024, 1582).dense(10, 340)
    return Workload("W2", chain.graph("w2"), 4, 32, noise(0.25, (3, 32, 32), 4))


def w3() -> Workload:
    """Recurrent, leaky; 4 % in each layer."""
    chain = Chain((700,), seed=13, leaks=True).dense(256, 285, recurs=True).dense(256, 204).dense(20, 198)
    return Workload("W3", chain.graph("w3"), 100, 32, noise(0.03, (700,), 100))


WORKLOADS: dict[str, Callable[[], Workload]] = {"W1": w1, "W2": w2, "W3": w3}


def calibrate(load: Workload, rates: Sequence[float], batch: int = 2) -> dict[str, int]:
    """Thresholds with which the layers fire at *rates*: bisected, layer after layer."""
    from snncc import simulator

    graph, x, found = load.graph, load.data(batch), {}
    for node, rate in zip(load.graph.neurons, rates, strict=True):
        low, high = 1, 1 << 14
        size = graph.edges[node.name].size * load.timesteps * batch
        while high - low > 1:
            middle = (low + high) // 2
            graph = with_threshold(graph, node.name, middle)
            run = simulator.run(graph, x, timesteps=load.timesteps)
            low, high = (middle, high) if run.spikes[node.name].sum() / size > rate else (low, middle)
        found[node.name] = high
        graph = with_threshold(graph, node.name, high)
    return found


def with_threshold(graph: SpikeGraph, name: str, threshold: int) -> SpikeGraph:
    """*graph* with another threshold in one layer."""

    def changed(node: Node) -> Node:
        if not isinstance(node, Neuron) or node.name != name:
            return node
        p = replace(node.parameters, theta=np.array(threshold), rho=np.array(threshold))
        return replace(node, parameters=p)

    return graph.with_nodes(changed(node) for node in graph.nodes)
