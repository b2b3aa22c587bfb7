"""Float networks for Speck, drawn at random or small and fixed, and their data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from snncc.ir import (
    Add,
    Array,
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Pool,
    Reset,
    Reshape,
    SpikeGraph,
    wires,
)

T = 5


class Drawing:
    """A network that grows layer by layer; *shape* is that of the spikes that *last* sends."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        side = int(self.rng.integers(6, 12))
        self.shape: tuple[int, ...] = (
            int(self.rng.integers(1, 4)),
            side,
            side + int(self.rng.integers(0, 3)),
        )
        self.bound = None if self.rng.random() < 0.5 else 3
        kind = Kind.SPIKE if self.bound is None else Kind.COUNT
        self.nodes: list[Node] = [Input(name="x", shape=self.shape, kind=kind, max_count=self.bound)]
        self.last, self.count = "x", 0

    def add(self, node: Node, shape: tuple[int, ...]) -> None:
        self.nodes.append(node)
        self.last, self.shape = node.name, shape

    def name(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}"

    def weights(self, *shape: int) -> Array:
        fan_in = int(np.prod(shape[1:]))
        return self.rng.normal(0.5, 1, shape) * 1.5 / np.sqrt(fan_in)

    def neuron(self) -> None:
        rng, shape = self.rng, self.shape
        channel = (shape[0], *(1,) * (len(shape) - 1))
        theta = rng.uniform(0.5, 1.5, channel if rng.random() < 0.3 else ())
        is_subtract = rng.random() < 0.7
        p = NeuronParameters(
            theta=theta,
            rho=theta,
            max_count=None if rng.random() < 0.7 else 1,
            reset=Reset.SUBTRACT if is_subtract else Reset.VALUE,
            bias=rng.normal(0, 0.1, channel) if rng.random() < 0.3 else np.zeros(()),
            v_init=rng.uniform(-0.4, 0.4, shape) if rng.random() < 0.3 else np.zeros(()),
            clamp_low=np.array(-rng.uniform(0, 1)) if theta.ndim == 0 and rng.random() < 0.4 else None,
        )
        self.add(Neuron(name=self.name("n"), inputs=wires(self.last), parameters=p), shape)

    def conv(self, *, keeps_shape: bool = False) -> None:
        rng, (channels, height, width) = self.rng, self.shape
        size = int(rng.choice([1, 3] if keeps_shape else [1, 2, 3, 5]))
        size = min(size, height, width)
        pad = (size - 1) // 2 if keeps_shape else int(rng.integers(0, 3))
        stride = (1, 1) if keeps_shape else (int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 2])))
        out = channels if keeps_shape else int(rng.integers(1, 7))
        rows = (height + 2 * pad - size) // stride[0] + 1
        columns = (width + 2 * pad - size) // stride[1] + 1
        node = Conv(
            name=self.name("conv"),
            inputs=wires(self.last),
            weight=self.weights(out, channels, size, size),
            bias=rng.normal(0, 0.2, (out, 1, 1)) if rng.random() < 0.5 else None,
            stride=stride,
            padding=(pad, pad, pad, pad),
        )
        self.add(node, (out, rows, columns))

    def pool(self) -> None:
        side = int(self.rng.choice([2, 2, 4]))
        channels, height, width = self.shape
        if min(height, width) < 2 * side:
            return
        node = Pool(
            name=self.name("pool"),
            inputs=wires(self.last),
            kernel=(side, side),
            stride=(side, side),
            is_average=bool(self.rng.random() < 0.5),
        )
        self.add(node, (channels, height // side, width // side))

    def skip(self) -> None:
        """A branch whose spikes are added to those that it started from."""
        start, shape = self.last, self.shape
        before = self.nodes[-1]
        if not isinstance(before, Neuron | Pool) or (isinstance(before, Pool) and before.is_average):
            return  # branches of one worth, two trains
        self.conv(keeps_shape=True)
        self.neuron()
        self.add(Add(name=self.name("add"), inputs=wires(start, self.last)), shape)

    def head(self) -> None:
        channels, height, width = self.shape
        if height == width:
            self.add(
                Reshape(name="flat", inputs=wires(self.last), shape=(channels * height * width,)),
                (channels * height * width,),
            )
            weight = self.weights(5, self.shape[0])
            self.add(Dense(name="head", inputs=wires(self.last), weight=weight), (5,))
            self.neuron()

    def graph(self) -> SpikeGraph:
        self.nodes.append(Output(name="y", inputs=wires(self.last), over=Over.SUM))
        return SpikeGraph(nodes=tuple(self.nodes), name="drawn", timesteps=T)


def drawn(seed: int) -> SpikeGraph:
    """A network of one to five layers."""
    growing = Drawing(seed)
    growing.conv()
    growing.neuron()
    for _ in range(int(growing.rng.integers(0, 3))):
        if growing.rng.random() < 0.5:
            growing.pool()
        if growing.rng.random() < 0.4:
            growing.skip()
        else:
            growing.conv()
            growing.neuron()
    if growing.rng.random() < 0.6:
        growing.head()
    return growing.graph()


def data(graph: SpikeGraph, seed: int, batch: int = 3) -> Array:
    """Spikes or counts [T, B, ...] for *graph*."""
    (node,) = graph.inputs
    rng = np.random.default_rng(seed)
    most = node.max_count or 1
    return rng.integers(0, most + 1, (graph.timesteps, batch, *node.shape)) * (
        rng.random((graph.timesteps, batch, *node.shape)) < 0.5
    )


def chain(
    *,
    shape: tuple[int, int, int] = (2, 8, 8),
    features: int = 4,
    kernel: int = 3,
    **neuron: Any,
) -> SpikeGraph:
    """One convolution and a dense layer, each with IF neurons."""
    rng = np.random.default_rng(3)
    p = NeuronParameters(**{"max_count": None, **neuron})
    side = (shape[1] - kernel + 1, shape[2] - kernel + 1)
    return SpikeGraph(
        name="chain",
        timesteps=T,
        nodes=(
            Input(name="x", shape=shape, kind=Kind.SPIKE),
            Conv(
                name="conv",
                inputs=wires("x"),
                weight=rng.normal(0.1, 0.4, (features, shape[0], kernel, kernel)),
                origin="net.0 (model.py:3)",
            ),
            Neuron(name="n1", inputs=wires("conv"), parameters=p),
            Reshape(name="flat", inputs=wires("n1"), shape=(features * side[0] * side[1],)),
            Dense(
                name="head",
                inputs=wires("flat"),
                weight=rng.normal(0, 0.3, (3, features * side[0] * side[1])),
            ),
            Neuron(name="n2", inputs=wires("head"), parameters=NeuronParameters(max_count=None)),
            Output(name="y", inputs=wires("n2"), over=Over.SUM),
        ),
    )


def emitted(folder: Path) -> Any:
    """The module ``network.py`` in *folder*."""
    spec = importlib.util.spec_from_file_location("emitted_network", folder / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
