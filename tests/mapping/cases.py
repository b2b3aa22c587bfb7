"""Random small networks and chips for the mapper, and chips with just the limits that a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from snncc.chips import Chip, CoreLimits
from snncc.chips.model import Limits, Memory, SynapseFormat
from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Array,
    Concat,
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Pool,
    Reshape,
    Shape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    Wire,
)
from snncc.mapping import Connection, Network, Population, Role, network_of
from snncc.reference.synapse import weighted_sum
from tests.simulator.chains import chains
from tests.simulator.tiny import chip as tiny_chip
from tests.simulator.tiny import fabric, operations

TABLES, FREE = Memory(SynapseFormat.TABLES), Limits()


def chip_of(*cores: CoreLimits, **fields: Any) -> Chip:
    """A chip of these cores in a row."""
    return grid_chip(len(cores), 1, cores, **fields)


def grid_chip(
    columns: int,
    rows: int,
    cores: Sequence[CoreLimits] = (),
    *,
    multicast: bool = False,
    memory: Memory = TABLES,
    limits: Limits = FREE,
) -> Chip:
    """A mesh of these cores (of no limits, where there are none)."""
    work = operations(1, 2, access=1, spike=3, message_out=1, message_in=2)
    made = tiny_chip(
        fabric(columns, rows, multicast=multicast),
        work,
        cores=tuple(cores) or (CoreLimits(),) * (columns * rows),
        limits=limits,
    )
    return replace(made, memory=memory)


def plain(name: str, shape: Shape, depth: int, **fields: Any) -> Population:
    """A population of bare spikes."""
    role = Role.INPUT if depth == 0 else Role.NEURON
    given: dict[str, Any] = {"ticks": 1, "payload_bits": 0, "is_active": False}
    return Population(name, role, shape, depth=depth, **given | fields)


def linked(
    source: Population, target: Population, node: Dense | Conv | Sparse | None, delay: int = 0
) -> Connection:
    """A connection that reads and lands as it is."""
    reads = np.arange(source.size)[:, None]
    lands = np.arange(target.size)
    return Connection(
        source.name, target.name, node, source.shape, target.shape, reads, lands, delay, source.size
    )


def chain(sizes: Sequence[int], weight: int = 3) -> Network:
    """Dense layers of these sizes."""
    every = [plain(f"p{k}", (size,), k) for k, size in enumerate(sizes)]
    links = [
        linked(a, b, Dense(name=f"d{b.depth}", weight=np.full((b.size, a.size), weight)))
        for a, b in pairwise(every)
    ]
    return Network("chain", 1, {p.name: p for p in every}, tuple(links))


def conv(ins: int, outs: int, side: int, kernel: int = 3) -> Network:
    """One convolution that keeps the size of its map; its weights differ."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (outs, ins, kernel, kernel))
    p = kernel // 2
    node = Conv(name="conv", weight=weight, padding=(p, p, p, p))
    a, b = plain("x", (ins, side, side), 0), plain("n", (outs, side, side), 1)
    return Network("conv", 1, {"x": a, "n": b}, (linked(a, b, node),))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Networks of the common kind, and others with every kind of address arithmetic."""
    graph = draw(chains()).graph if draw(st.booleans()) else Tangle(draw).graph()
    try:
        network = network_of(graph)
    except CannotLower:
        assume(False)
        raise
    assume(sum(population.size for population in network.populations.values()) < 2500)
    return network


class Tangle:
    """A graph with branches, sums, slices, sparse layers and groups, from one input of maps."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.shape: Shape = self.pick((2, 4, 5), (4, 3, 3), (6, 1, 2))
        self.nodes: list[Node] = [Input(name="x", shape=self.shape, kind=Kind.SPIKE)]
        self.last = "x"

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def weights(self, *shape: int) -> Array:
        reach = self.pick(1, 3, 100)
        return self.rng.integers(-reach, reach + 1, shape) * (self.rng.random(shape) < self.pick(0.1, 0.9))

    def put(self, node: Node, shape: Shape) -> None:
        self.nodes.append(node)
        self.last, self.shape = node.name, shape

    def name(self, what: str) -> str:
        return f"{what}{len(self.nodes)}"

    def fire(self, *others: str) -> None:
        parameters = NeuronParameters(theta=np.array(9), rho=np.array(9))
        wires = (Wire(self.last), *map(Wire, others))
        self.put(Neuron(name=self.name("n"), inputs=wires, parameters=parameters), self.shape)

    def graph(self) -> SpikeGraph:
        for _ in range(self.draw(st.integers(1, 3))):
            if len(self.shape) == 3:
                self.pick(self.grouped, self.identity, self.transposed, self.sparse, self.cut, self.doubled)()
            else:
                self.pick(self.sparse, self.identity)()
        end = Output(name="out", inputs=(Wire(self.last),), over=Over.SEQUENCE)
        graph = SpikeGraph((*self.nodes, end), Numbers.INTEGER, "tangle")
        graph.verify()
        return graph

    def grouped(self) -> None:
        """A convolution with groups where there are any, a stride, uneven padding."""
        channels, height, width = self.shape
        groups = self.pick(1, 2) if channels % 2 == 0 else 1
        outs = groups * self.pick(1, 2, 3)
        weight = self.weights(outs, channels // groups, min(2, height), min(2, width))
        stride, padding = self.pick(1, 2), (self.pick(0, 1), 0, 0, self.pick(0, 1))
        node = Conv(
            name=self.name("conv"), inputs=(Wire(self.last),), weight=weight, groups=groups,
            stride=(stride, stride), padding=padding,
        )  # fmt: skip
        kh, kw = weight.shape[2:]
        sides = (
            (height + sum(padding[:2]) - kh) // stride + 1,
            (width + sum(padding[2:]) - kw) // stride + 1,
        )
        self.put(node, (outs, *sides))
        self.fire()

    def identity(self) -> None:
        """Neurons that read others one to one, and a sparse layer beside it."""
        before = self.last
        self.sparse_to(self.shape)
        self.fire(before)

    def transposed(self) -> None:
        """A dense layer whose currents are transposed."""
        weight = self.weights(self.pick(2, 3), self.shape[-1])
        node = Dense(name=self.name("dense"), inputs=(Wire(self.last),), weight=weight)
        self.put(node, (*self.shape[:-1], len(weight)))
        axes = self.pick((2, 0, 1), (1, 0, 2))
        shape = tuple(self.shape[axis] for axis in axes)
        self.put(Transpose(name=self.name("turn"), inputs=(Wire(self.last),), axes=axes), shape)
        self.fire()

    def cut(self) -> None:
        """Two pieces of the currents in another order."""
        before, shape = self.last, self.shape
        weight = self.weights(4, shape[0], 1, 1)
        self.put(Conv(name=self.name("conv"), inputs=(Wire(before),), weight=weight), (4, *shape[1:]))
        whole, names = self.last, []
        for start, stop in ((2, 4), (0, 1)):
            part = Slice(name=self.name("slice"), inputs=(Wire(whole),), axis=0, start=start, stop=stop)
            self.put(part, (stop - start, *shape[1:]))
            names.append(self.last)
        wires = tuple(Wire(name) for name in names)
        self.put(Concat(name=self.name("concat"), inputs=wires, axis=0), (3, *shape[1:]))
        self.fire()

    def doubled(self) -> None:
        """A train added to itself, pooled, flattened."""
        twice = (Wire(self.last), Wire(self.last))
        self.put(Add(name=self.name("add"), inputs=twice), self.shape)
        channels, height, width = self.shape
        kernel = (min(2, height), min(2, width))
        sides = height - kernel[0] + 1, width - kernel[1] + 1
        pool = Pool(name=self.name("pool"), inputs=(Wire(self.last),), kernel=kernel, stride=(1, 1))
        self.put(pool, (channels, *sides))
        size = prod(self.shape)
        self.put(Reshape(name=self.name("flat"), inputs=(Wire(self.last),), shape=(size,)), (size,))
        outs = self.pick(3, 7)
        dense = Dense(name=self.name("dense"), inputs=(Wire(self.last),), weight=self.weights(outs, size))
        self.put(dense, (outs,))
        self.fire()

    def sparse(self) -> None:
        self.sparse_to(self.pick((5,), (2, 3, 2)))
        self.fire()

    def sparse_to(self, shape: Shape) -> None:
        count = self.pick(0, 1, 30)
        node = Sparse(
            name=self.name("sparse"),
            inputs=(Wire(self.last),),
            pre=self.rng.integers(0, prod(self.shape), count),
            post=self.rng.integers(0, prod(shape), count),
            weight=self.weights(count),
            shape=shape,
        )
        self.put(node, shape)


LIMITS = {
    "neurons": (None, 10, 40, 200),
    "in_axons": (None, None, 50, 300),
    "out_axons": (None, None, 100, 500),
    "synapse_bits": (None, 5_000, 50_000),
    "kernel_words": (None, 1_000, 5_000),
    "neuron_words": (None, 50, 200),
}


@st.composite
def chips(draw: st.DrawFn, only: Sequence[str] = tuple(LIMITS)) -> Chip:
    """Meshes of up to 6 x 4 cores, of one or two kinds, that are limited in *only* these resources."""

    def limits() -> CoreLimits:
        drawn: dict[str, Any] = {name: draw(st.sampled_from(LIMITS[name])) for name in only}
        return CoreLimits(**drawn)

    columns, rows = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    kinds = [limits()]
    if draw(st.booleans()):
        kinds.append(limits())
    cores = [draw(st.sampled_from(kinds)) for _ in range(columns * rows)]
    memory = Memory(draw(st.sampled_from(SynapseFormat)), block_synapses=draw(st.sampled_from((4, 64))))
    fan_out = draw(st.sampled_from((None, None, 2)))
    return grid_chip(
        columns, rows, cores, memory=memory, limits=Limits(fan_out=fan_out), multicast=draw(st.booleans())
    )


def whole_sums(connection: Connection, counts: Array, targets: int) -> Array:
    """What reaches all targets, [N, targets], by the reference executor."""
    extended = np.concatenate([counts, np.zeros((len(counts), 1), counts.dtype)], axis=1)
    given = extended[:, connection.reads].sum(axis=2).reshape(len(counts), *connection.shape)
    node = connection.node
    found = given if node is None else weighted_sum(node, given, connection.out)
    sums = np.zeros((len(counts), targets), np.int64)
    landing = np.flatnonzero(connection.lands >= 0)
    sums[:, connection.lands[landing]] = found.reshape(len(counts), -1)[:, landing]
    return sums
