"""`drawn_graphs()`: small integer graphs that cores can hold, with one sample that makes them spike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from snncc.errors import InvalidGraph
from snncc.ir import (
    Add,
    Array,
    Conv,
    Dense,
    Edge,
    Encoding,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Pool,
    Reshape,
    Shape,
    Sparse,
    SpikeGraph,
    Wire,
)

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A verified graph, and data of one sample."""

    graph: SpikeGraph
    x: Mapping[str, Array]
    timesteps: int


@st.composite
def drawn_graphs(draw: st.DrawFn) -> Drawn:
    """One or two inputs, one to three layers, perhaps a loop, and a readout or two."""
    return Growing(draw).grown()


class Growing:
    """A graph while it is drawn. All scales are 1, so that everything of one shape can be added."""

    ways: tuple[str, ...] = ("plain", "plain", "plain", "pool", "add", "max", "maximum")
    """What a synapse may read of a train."""
    pools = True
    """Whether currents may be pooled."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.timesteps = draw(st.sampled_from([2, 1, 2, 3, 3]))
        self.nodes: list[Node] = []
        self.x: dict[str, Array] = {}
        self.edges: dict[str, Edge] = {}

    def pick(self, *options: Choice) -> Choice:
        return self.draw(st.sampled_from(options))

    def name(self, what: str) -> str:
        return f"{what}{len(self.nodes)}"

    def weights(self, *shape: int) -> Array:
        """More often positive than not; zeros are synapses too."""
        return self.rng.integers(-1, 4, shape)

    def graph(self, extra: Sequence[Node] = ()) -> SpikeGraph:
        return SpikeGraph((*self.nodes, *extra), Numbers.INTEGER, "drawn")

    def add(self, *nodes: Node) -> str | None:
        """Append *nodes* if they fit; the name of the last one."""
        try:
            edges = dict(self.graph(nodes).edges)
        except InvalidGraph:
            return None
        self.nodes += nodes
        self.edges = edges
        return nodes[-1].name

    def grown(self) -> Drawn:
        shape = self.pick((1, 4, 4), (2, 3, 4), (2, 4, 3), (5,), (9,), (12,))
        for _ in range(self.pick(1, 1, 1, 2)):
            self.enter(shape)
        for _ in range(self.pick(1, 2, 2, 3)):
            self.layer()
        for _ in range(self.pick(0, 1, 1, 2)):
            self.read_out()
        if not any(isinstance(node, Output) for node in self.nodes):
            self.add(Output(name="out", inputs=(Wire(self.events()[-1]),), over=Over.SEQUENCE))
        graph = self.graph()
        graph.verify()
        return Drawn(graph, self.x, self.timesteps)

    def enter(self, shape: Shape) -> None:
        """An input and its data."""
        name, kind = self.name("x"), self.pick(Kind.SPIKE, Kind.SPIKE, Kind.SPIKE, Kind.COUNT, Kind.ANALOG)
        present = self.rng.random((self.timesteps, 1, *shape)) < self.pick(0.3, 0.5, 0.8)
        values: Array
        if kind is Kind.SPIKE:
            node, values = Input(name=name, shape=shape, kind=kind), present.astype(np.int64)
        elif kind is Kind.COUNT:
            node = Input(name=name, shape=shape, kind=kind, max_count=3)
            values = present * self.rng.integers(1, 4, present.shape)
        else:
            node = Input(name=name, shape=shape, scale=np.array(1.0), low=-2, high=3)
            values = present * self.rng.integers(-2, 4, present.shape).astype(np.float64)
        self.x[name] = values
        self.add(node)

    def events(self) -> list[str]:
        """The inputs and neurons so far."""
        return [node.name for node in self.nodes if isinstance(node, Input | Neuron)]

    def source(self) -> str:
        """The latest input or neuron, at times an earlier one."""
        return self.pick(self.events()[-1], self.events()[-1], self.pick(*self.events()))

    def wire(self, source: str) -> Wire:
        return Wire(source, self.pick(*[0] * 10, 1, 2))

    def flat(self, source: str) -> str:
        """*source* as a vector."""
        shape = self.edges[source].shape
        if len(shape) == 1:
            return source
        node = Reshape(name=self.name("flat"), inputs=(Wire(source),), shape=(prod(shape),))
        return self.add(node) or source

    def prepared(self, source: str) -> str:
        """What a synapse reads of *source*: at times sums or maxima, over windows or with another train."""
        shape, how = self.edges[source].shape, self.pick(*self.ways)
        node: Node | None = None
        if not self.edges[source].is_events:
            return source
        if how == "pool" and len(shape) == 3:
            node = Pool(name=self.name("pool"), inputs=(self.wire(source),), kernel=(2, 2), stride=(1, 2))
        if how == "add":
            others = [n for n in self.events() if self.edges[n].shape == shape and self.edges[n].is_events]
            wires = (Wire(source), self.wire(self.pick(*others)))
            node = Add(name=self.name("sum"), inputs=wires)
        if how == "max" and len(shape) == 3:
            node = self.max_pool(source)
        if how == "maximum":
            node = self.maximum(source)
        return (node and self.add(node)) or source

    def max_pool(self, source: str) -> MaxPool:
        """Maxima over windows, which may overlap, or leave gaps."""
        return MaxPool(
            name=self.name("top"),
            inputs=(self.wire(source),),
            kernel=(2, 2),
            stride=self.pick((2, 2), (1, 2), (1, 1)),
            padding=self.pick((0, 0, 0, 0), (1, 0, 0, 1)),
            dilation=self.pick((1, 1), (1, 1), (2, 1)),
        )

    def maximum(self, source: str) -> Maximum:
        """The maximum with another train; of counts, with one that comes as one number."""
        edge = self.edges[source]
        others = [self.edges[name] for name in self.events()]
        same = [
            name
            for name, other in zip(self.events(), others, strict=True)
            if other.shape == edge.shape
            and other.is_events
            and (other.kind is edge.kind is Kind.SPIKE or other.ticks == edge.ticks == 1)
        ]
        return Maximum(name=self.name("either"), inputs=(Wire(source), self.wire(self.pick(*same))))

    def synapse(self, source: str, shape: Shape | None = None) -> str | None:
        """A synapse node from *source*, of the given *shape* if there is one."""
        have = self.edges[source].shape
        if shape is None and len(have) == 3 and self.pick(True, True, False):
            return self.conv(source)
        can_flatten = len(have) == 1 or self.edges[source].is_events
        if shape is None and can_flatten and self.pick(True, True, False):
            source = self.flat(source)
            weight = self.weights(self.pick(4, 6, 10), prod(have))
            bias = self.pick(None, None, self.rng.integers(-1, 2, len(weight)))
            return self.add(
                Dense(name=self.name("dense"), inputs=(self.wire(source),), weight=weight, bias=bias)
            )
        return self.add(self.sparse(Wire(source), shape or self.pick((4,), (7,), (2, 3, 3), have)))

    def conv(self, source: str) -> str | None:
        channels = self.edges[source].shape[0]
        groups = self.pick(1, 1, channels)
        weight = self.weights(
            groups * self.pick(1, 2), channels // groups, *self.pick((1, 1), (3, 3), (2, 3))
        )
        node = Conv(
            name=self.name("conv"),
            inputs=(self.wire(source),),
            weight=weight,
            groups=groups,
            stride=self.pick((1, 1), (1, 1), (2, 2), (1, 2)),
            padding=self.pick((1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 1, 2)),
        )
        return self.add(node)

    def sparse(self, wire: Wire, shape: Shape) -> Sparse:
        ins, outs = self.edges[wire.source].size, prod(shape)
        count = self.pick(1, 2, 3) * max(ins, outs)
        pre, post = self.rng.integers(0, ins, count), self.rng.integers(0, outs, count)
        name, weight = self.name("sparse"), self.weights(count)
        return Sparse(name=name, inputs=(wire,), pre=pre, post=post, shape=shape, weight=weight)

    def layer(self) -> None:
        """A neuron behind one or two synapses, perhaps with a loop."""
        first = self.synapse(self.prepared(self.source()))
        if first is None:
            return
        if len(self.edges[first].shape) == 3 and self.pools and self.pick(True, False, False):
            pool = Pool(name=self.name("mean"), inputs=(self.wire(first),), kernel=(2, 2), stride=(1, 2))
            first = self.add(pool) or first
        shape = self.edges[first].shape
        wires = [self.wire(first)]
        if self.pick(True, False, False):
            same = [name for name in self.events() if self.edges[name].shape == shape]
            other = self.pick(*same) if same else self.synapse(self.pick(*self.events()), shape)
            wires += [self.wire(other)] if other else []
        name = self.name("neuron")
        node = Neuron(name=name, inputs=tuple(wires), parameters=self.parameters(shape))
        if self.pick(True, False, False):
            self.loop(node, shape)
        if name not in self.edges:
            self.add(node) or self.add(replace(node, inputs=node.inputs[:1]))

    def loop(self, node: Neuron, shape: Shape) -> None:
        """*node* with a delayed synapse from itself."""
        size, back = prod(shape), f"{node.name}_back"
        loop = Sparse(
            name=back,
            inputs=(Wire(node.name, self.pick(0, 0, 1)),),
            pre=self.rng.integers(0, size, size),
            post=self.rng.integers(0, size, size),
            shape=shape,
            weight=self.weights(size),
        )
        self.add(replace(node, inputs=(*node.inputs, Wire(back, self.pick(1, 2)))), loop)

    def parameters(self, shape: Shape) -> NeuronParameters:
        """Thresholds that what arrives can reach."""
        theta = self.rng.integers(1, self.pick(3, 6), shape)
        max_count = self.pick(1, 1, 2, 3)
        encoding = self.pick(Encoding.SPIKES, Encoding.GRADED) if max_count > 1 else Encoding.UNDECIDED
        p = NeuronParameters(theta=theta, rho=theta, max_count=max_count, encoding=encoding)
        if self.pick(True, False, False, False):
            p = replace(p, leak=np.array(12), leak_shift=4)
        if self.pick(True, False, False, False):
            p = replace(p, bias=self.rng.integers(0, 2, shape))
        return p

    def read_out(self) -> None:
        """An output that accumulates."""
        synapse = self.synapse(self.source())
        if synapse is not None:
            self.add(Output(name=self.name("out"), inputs=(Wire(synapse),), over=Over.SEQUENCE))
