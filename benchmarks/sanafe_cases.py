"""Networks for the comparison with SANA-FE: graphs, data and mappings, the same for both sides.

Every wire between populations is one timestep late, as every message of SANA-FE is. All potentials are whole
numbers, a threshold is exceeded (``>``), and where a neuron leaks all is a multiple of `SCALE`: SANA-FE keeps
potentials as floats, cut off to 1/64 after each leak, so a unit of ours is 1/64 of theirs.

Three kinds of neurons: *leaky* ones are updated in every step by both; *binary* ones keep nothing (reset and
lower clamp to 0), so both update those that something has reached; *plain* ones keep what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.chips import load_chip
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
    Reset,
    Reshape,
    Sparse,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.mapping import Network, Part, Placement, Schedule, network_of

Ints = NDArray[np.int64]
Cores = Mapping[str, Sequence[int]]
# By name: mypy checks all that tests import, and these are not written for it.
WORKLOADS: Any = import_module("benchmarks.workloads")
CHIP = "loihi1-sanafe2025"
SCALE = 64
LEAKY, BINARY, PLAIN = "leaky", "binary", "plain"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network with its data [T, 1, *shape] and its *cores*: each population is cut evenly over them."""

    name: str
    about: str
    neuron: str
    graph: SpikeGraph
    x: NDArray[np.uint8]
    cores: Cores

    @property
    def timesteps(self) -> int:
        """How long it runs."""
        return len(self.x)


def network(graph: SpikeGraph) -> Network:
    """The network of *graph* with all populations at depth 0.

    As every wire is late by one timestep, all can be swept in every chip step: step k is timestep k for each
    of them, and timestep k + 1 of SANA-FE, which counts from 1.
    """
    found = network_of(graph)
    return replace(found, populations={n: replace(p, depth=0) for n, p in found.populations.items()})


def placement(case: Case) -> Placement:
    """*case* on the chip."""
    whole = network(case.graph)
    parts = [
        Part(name, core, addresses)
        for name, cores in case.cores.items()
        for core, addresses in zip(
            cores, np.array_split(np.arange(whole.populations[name].size), len(cores)), strict=True
        )
    ]
    return Placement(load_chip(CHIP), whole, tuple(parts), Schedule.PIPELINED)


def parameters(neuron: str, threshold: int, leak: int = 8) -> NeuronParameters:
    """A neuron of one of the three kinds; *leak* in sixteenths."""
    fields: dict[str, Any] = {"theta": np.array(threshold), "rho": np.array(threshold), "strict": True}
    if neuron == LEAKY:
        rounding = LeakRounding.ZERO
        fields |= {"leak": np.array(leak), "leak_shift": 4, "leak_rounding": rounding}
        fields |= {key: np.array(threshold * SCALE) for key in ("theta", "rho")}
    elif neuron == BINARY:
        fields |= {"theta": np.array(0), "rho": np.array(1), "clamp_low": np.array(0), "reset": Reset.VALUE}
    return NeuronParameters(**fields)


class Builder:
    """A network that grows layer by layer; every wire into a layer is one timestep late."""

    def __init__(self, name: str, neuron: str, shape: tuple[int, ...], seed: int) -> None:
        self.name, self.neuron, self.shapes = name, neuron, {"x": shape}
        self.nodes: list[Node] = [Input(name="x", shape=shape, kind=Kind.SPIKE)]
        self.rng = np.random.default_rng(seed)

    def weights(self, shape: tuple[int, ...], mean: float) -> Ints:
        scale = SCALE if self.neuron == LEAKY else 1
        return np.rint(self.rng.normal(mean, 8, shape)).astype(np.int64) * scale

    def neurons(self, name: str, threshold: int, sources: Iterable[str], shape: tuple[int, ...]) -> None:
        """Neurons behind the synapses *sources*; those that come after them in the list lie on a loop."""
        p, known = parameters(self.neuron, threshold), {node.name for node in self.nodes}
        inputs = tuple(Wire(source, int(source not in known)) for source in sources)
        self.nodes.append(Neuron(name=name, inputs=inputs, parameters=p))
        self.shapes[name] = shape

    def dense(
        self, name: str, source: str, size: int, threshold: int, mean: float = 2.0, back: float = 0.0
    ) -> None:
        """A dense layer; with *back* it is recurrent, with weights of this mean."""
        flat = prod(self.shapes[source])
        synapses = [f"w_{name}"]
        if len(self.shapes[source]) > 1:
            self.nodes.append(Reshape(name=f"flat_{name}", inputs=wires(source), shape=(flat,)))
            wire = Wire(f"flat_{name}", 1)
        else:
            wire = Wire(source, 1)
        self.nodes.append(Dense(name=f"w_{name}", inputs=(wire,), weight=self.weights((size, flat), mean)))
        if back:
            synapses.append(f"back_{name}")
        self.neurons(name, threshold, synapses, (size,))
        if back:
            weight = self.weights((size, size), back)
            self.nodes.append(Dense(name=f"back_{name}", inputs=wires(name), weight=weight))

    def sparse(
        self, name: str, sources: Sequence[str], size: int, fan_in: int, threshold: int, mean: float
    ) -> None:
        """Neurons that read *fan_in* random neurons of each source; their own name makes a recurrence."""
        nodes = []
        for source in sources:
            own = source == name
            reads = size if own else prod(self.shapes[source])
            pre = np.concatenate([self.rng.permutation(reads)[:fan_in] for _ in range(size)])
            table: dict[str, Any] = {"pre": pre, "post": np.repeat(np.arange(size), fan_in), "shape": (size,)}
            wire, weight = Wire(source, int(not own)), self.weights((len(pre),), mean)
            nodes.append(Sparse(name=f"w_{source}_{name}", inputs=(wire,), weight=weight, **table))
        loops = [node for node in nodes if node.inputs[0].source == name]
        self.nodes += [node for node in nodes if node not in loops]
        self.neurons(name, threshold, [node.name for node in nodes], (size,))
        self.nodes += loops

    def conv(
        self, name: str, source: str, channels: int, threshold: int, stride: int, mean: float = 2.0
    ) -> None:
        """A 3 x 3 convolution."""
        ins, height, width = self.shapes[source]
        weight = self.weights((channels, ins, 3, 3), mean)
        self.nodes.append(
            Conv(
                name=f"w_{name}",
                inputs=(Wire(source, 1),),
                weight=weight,
                stride=(stride, stride),
                padding=(1, 1, 1, 1),
            )
        )
        self.neurons(name, threshold, [f"w_{name}"], (channels, height // stride, width // stride))

    def case(self, about: str, cores: Cores, timesteps: int, rate: float) -> Case:
        """The case, with random input."""
        last = [name for name in self.shapes if name != "x"][-1]
        graph = SpikeGraph(
            (*self.nodes, Output(name="out", inputs=wires(last), over=Over.SUM)), Numbers.INTEGER, self.name
        )
        graph.verify()
        x = (self.rng.random((timesteps, 1, *self.shapes["x"])) < rate).astype(np.uint8)
        return Case(self.name, about, self.neuron, graph, x, cores)


def chain() -> Case:
    """Four dense layers on one tile."""
    b = Builder("chain", LEAKY, (24,), 1)
    b.dense("a", "x", 32, 30)
    b.dense("b", "a", 24, 30)
    b.dense("c", "b", 16, 30)
    b.dense("d", "c", 10, 30)
    return b.case("dense, 4 layers, 1 tile", {"x": [0], "a": [1], "b": [2], "c": [3], "d": [3]}, 40, 0.3)


def routes() -> Case:
    """Layers in the corners of the mesh: routes east, west, south and north, and both ways round."""
    b = Builder("routes", BINARY, (24,), 2)
    b.dense("a", "x", 40, 0, 0.3)
    b.dense("b", "a", 32, 0, 0.3)
    b.dense("c", "b", 24, 0, 0.3)
    b.dense("d", "c", 16, 0, 0.3)
    # tiles 0 and 31; 7 and 24; 16; 12, 13; 31 and 0
    cores = {"x": [0, 126], "a": [29, 97], "b": [64, 65], "c": [50, 54], "d": [127, 1]}
    return b.case("dense, 4 layers over the corners of the mesh", cores, 40, 0.3)


def fan_out() -> Case:
    """One small population to 48 cores, and all of these to one core."""
    b = Builder("fan-out", LEAKY, (16,), 3)
    b.dense("a", "x", 384, 20)
    b.dense("b", "a", 12, 60, 0.5)
    cores = {"x": [40], "a": [*range(32), *range(80, 96)], "b": [41]}
    return b.case("16 inputs to 48 cores on 12 tiles, and back to one core", cores, 30, 0.3)


def recurrent() -> Case:
    """A recurrent layer over three tiles."""
    b = Builder("recurrent", LEAKY, (30,), 4)
    b.dense("a", "x", 96, 40, 2.0, back=-0.5)
    b.dense("b", "a", 20, 40)
    return b.case(
        "dense, recurrent, 96 neurons over 3 tiles", {"x": [2], "a": [0, 5, 33], "b": [34]}, 60, 0.2
    )


def convolution() -> Case:
    """Two convolutions and a dense layer."""
    b = Builder("convolution", BINARY, (2, 12, 12), 5)
    b.conv("a", "x", 6, 0, 1, 0.0)
    b.conv("b", "a", 8, 0, 2, -1.0)
    b.dense("c", "b", 10, 0, 0.0)
    cores = {"x": [0, 1], "a": [4, 5, 6, 7], "b": [36, 37], "c": [8]}
    return b.case("2 convolutions and a dense layer, 4 tiles", cores, 30, 0.1)


def sparse() -> Case:
    """A random recurrent network."""
    b = Builder("sparse", BINARY, (60,), 6)
    b.sparse("a", ["x", "a"], 320, 12, 0, -1.0)
    return b.case("random, recurrent, 320 neurons on 16 cores", {"x": [3], "a": [*range(8, 24)]}, 50, 0.2)


def memory() -> Case:
    """Plain neurons, which keep what is left."""
    b = Builder("memory", PLAIN, (40,), 7)
    b.sparse("a", ["x"], 200, 6, 25, 1.0)
    b.sparse("b", ["a", "b"], 100, 6, 25, 1.0)
    return b.case(
        "random, neurons with a memory and no leak", {"x": [0], "a": [4, 8, 12, 16], "b": [17, 49]}, 50, 0.1
    )


def hot_spot() -> Case:
    """Six hundred neurons that fire at once, all to one core."""
    b = Builder("hot-spot", LEAKY, (600,), 8)
    b.dense("a", "x", 48, 150, 1.0)
    return b.case("600 inputs on 24 cores, all to one core", {"x": [*range(24)], "a": [127]}, 10, 0.3)


def late(graph: SpikeGraph, change: Callable[[Node], Node]) -> SpikeGraph:
    """*graph* with every wire between populations one timestep late, and each node changed."""

    loops = {wire.source for node in graph.nodes for wire in node.inputs if wire.delay}

    def moved(node: Node) -> Node:
        if isinstance(node, Conv | Dense) and node.name not in loops:
            (wire,) = node.inputs
            node = replace(node, inputs=(Wire(wire.source, 1),))
        return change(node)

    found = graph.with_nodes(moved(node) for node in graph.nodes)
    found.verify()
    return found


def scaled(node: Node) -> Node:
    """Leaky neurons and weights in units of 1/64, thresholds to be exceeded, rounding toward zero."""
    if isinstance(node, Conv | Dense):
        return replace(node, weight=node.weight.astype(np.int64) * SCALE)
    if isinstance(node, Neuron):
        p = parameters(LEAKY, int(node.parameters.theta), 15)
        return replace(node, parameters=p)
    return node


def workload3() -> Case:
    """W3 of `benchmarks.workloads`, its wires late by one timestep."""
    load = WORKLOADS.w3()
    graph = late(load.graph, scaled)
    cores = {"x": [0], "neuron1": [1, 2, 4, 5], "neuron2": [8, 9, 32, 33], "neuron3": [34]}
    about = "W3 (700, 256 recurrent, 256, 20; leaky) on 10 cores of 5 tiles"
    return Case("W3", about, LEAKY, graph, load.data(1), cores)


def events() -> Case:
    """W1 made smaller: event frames of 2 x 32 x 32."""
    chain = (
        WORKLOADS.Chain((2, 32, 32), seed=11).conv(8, 12, stride=2).conv(16, 150).pool().conv(32, 500).pool()
    )
    graph = late(chain.dense(64, 1500).dense(11, 150).graph("w1-32"), scaled)
    cores = {
        "x": [0, 1],
        "neuron1": [4, 5],
        "neuron2": [8, 9, 10, 11],
        "neuron3": [32, 33],
        "neuron4": [36],
        "neuron5": [37],
    }
    about = "as W1 on 2 x 32 x 32 (8, 16, 32 channels, 64, 11; leaky) on 12 cores of 5 tiles"
    return Case("W1-32", about, LEAKY, graph, WORKLOADS.event_frames(1, 60, size=32), cores)


CASES: dict[str, Callable[[], Case]] = {
    "chain": chain,
    "routes": routes,
    "fan-out": fan_out,
    "recurrent": recurrent,
    "convolution": convolution,
    "sparse": sparse,
    "memory": memory,
    "hot-spot": hot_spot,
    "W3": workload3,
    "W1-32": events,
}
