"""`graphs()`: whole random integer graphs with data, of every kind of node and every parameter of the neuron.

A graph grows node by node; what does not fit its inputs is left out. Thresholds are taken from the potentials
that the reference executor finds, so that most layers neither stay silent nor fire all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from snncc import reference
from snncc.errors import InvalidGraph
from snncc.ir import (
    Array,
    Edge,
    Emit,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Presence,
    Shape,
    Sparse,
    SpikeGraph,
    Wire,
)
from tests.graph_nodes import SIGNAL_NODES, SYNAPSES
from tests.neurons import drawn_parameters

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A verified integer graph, data for it, and how long it runs."""

    graph: SpikeGraph
    x: dict[str, Array]
    timesteps: int

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        shapes = {name: array.shape for name, array in self.x.items()}
        printer.text(f"{self.graph}\n  timesteps {self.timesteps}, data {shapes}")


@st.composite
def graphs(draw: st.DrawFn, layers: int = 4) -> Case:
    """A graph of up to *layers* neuron layers."""
    growing = Growing(draw)
    growing.enter("x")
    if growing.chance(0.15):
        growing.enter("y")
    for _ in range(draw(st.integers(1, layers))):
        for _ in range(draw(st.integers(0, 2))):
            growing.grow(growing.pick(SIGNAL_NODES))
        if growing.chance(0.9):
            growing.grow(growing.pick(SYNAPSES))
        growing.fire()
    if growing.chance(0.3):
        growing.feed_back()
    return growing.finished()


class Growing:
    """A graph while it is drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.timesteps, self.batch = draw(st.integers(1, 6)), draw(st.integers(1, 3))
        self.nodes: list[Node] = []
        self.x: dict[str, Array] = {}
        self.edges: dict[str, Edge] = {}

    def pick(self, options: Sequence[Choice]) -> Choice:
        return self.draw(st.sampled_from(options))

    def chance(self, probability: float) -> bool:
        return self.draw(st.integers(0, 99)) < 100 * probability

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def weights(self, *shape: int) -> Array:
        """Small integers, some of them zero; more positive than negative ones."""
        return np.rint(self.rng.normal(3, 8, shape)).astype(np.int64) * (self.rng.random(shape) < 0.9)

    def name(self, what: str) -> str:
        return f"{what}{len(self.nodes)}"

    def graph(self, extra: Sequence[Node] = ()) -> SpikeGraph:
        return SpikeGraph((*self.nodes, *extra), Numbers.INTEGER, "drawn")

    def add(self, *nodes: Node) -> bool:
        """Append *nodes* if they fit."""
        try:
            trial = self.graph(nodes)
            edges = dict(trial.edges)
        except InvalidGraph:
            return False
        if max(edge.size * edge.ticks for edge in edges.values()) > 2000:
            return False
        self.nodes += nodes
        self.edges = edges
        return True

    def enter(self, name: str) -> None:
        """An input node and its data."""
        shape = self.pick([(2, 6, 6), (3, 5, 4), (1, 7, 5), (12,), (4, 6)])
        kind = self.pick([Kind.SPIKE, Kind.SPIKE, Kind.COUNT, Kind.ANALOG])
        presence = self.pick([Presence.SEQUENCE, Presence.SEQUENCE, Presence.CONSTANT, Presence.FIRST])
        lead = (self.timesteps, self.batch) if presence is Presence.SEQUENCE else (self.batch,)
        rate = self.pick([0.2, 0.5])
        spikes = self.rng.random((*lead, *shape)) < rate
        if kind is Kind.SPIKE:
            node = Input(name=name, shape=shape, kind=kind, presence=presence)
            self.x[name] = spikes.astype(self.pick([np.int64, np.uint8, bool, np.float32]))
        elif kind is Kind.COUNT:
            bound = self.pick([3, None])
            node = Input(name=name, shape=shape, kind=kind, presence=presence, max_count=bound)
            self.x[name] = spikes * self.rng.integers(0, 4, spikes.shape)
        else:
            low, high = self.pick([(0, 15), (-8, 7)])
            node = Input(name=name, shape=shape, presence=presence, scale=np.array(0.25), low=low, high=high)
            self.x[name] = spikes * self.rng.normal(0.5, 1.5, spikes.shape)
        self.add(node)

    def wire(self, source: str) -> Wire:
        """A wire from *source*, sometimes delayed."""
        if self.chance(0.85):
            return Wire(source)
        edge = self.edges[source]
        shape = self.pick([(), edge.shape])
        top = min(edge.max_count or 3, 3)
        initial = self.rng.integers(0 if edge.is_events else -3, top + 1, shape)
        if edge.kind is Kind.SPIKE:
            initial = np.minimum(initial, 1)
        return Wire(source, self.integer(1, 2), self.pick([None, initial]))

    def source(self, recent: float = 0.8) -> str:
        """The latest signal, or any other."""
        names = list(self.edges)
        return names[-1] if self.chance(recent) else self.pick(names)

    def grow(self, kind: Callable[[Growing], Node | None]) -> None:
        """Append a node of *kind* where one fits."""
        node = kind(self)
        if node is not None:
            self.add(node)

    def twins(self, name: str) -> list[str]:
        """Signals that can be added to *name*."""
        mine = self.edges[name]
        return [
            other
            for other, edge in self.edges.items()
            if edge.shape == mine.shape and np.allclose(edge.scale, mine.scale, rtol=1e-9, atol=0)
        ]

    def synapse(self, source: str, shape: Shape, scale: float, name: str) -> Node:
        """A sparse synapse from *source* to *shape* whose sums have *scale*."""
        edge = self.edges[source]
        count = min(4 * max(edge.size, prod(shape)), 400)
        return Sparse(
            name=name,
            inputs=(Wire(source),),
            pre=self.rng.integers(0, edge.size, count),
            post=self.rng.integers(0, prod(shape), count),
            shape=shape,
            weight=self.weights(count),
            weight_scale=np.array(scale / float(edge.scale.flat[0])),
        )

    def fire(self) -> None:
        """A neuron on the latest signal, sometimes with other inputs and a loop of its own."""
        source = self.source(0.95)
        edge = self.edges[source]
        name = self.name("neuron")
        wires = [self.wire(source)]
        if self.chance(0.3):
            wires.append(self.wire(self.pick(self.twins(source))))
        drive = self.drive(wires)
        ticks = max(self.edges[w.source].ticks for w in wires)
        p = drawn_parameters(self.draw, self.rng, edge.shape, drive, ticks)
        plain = Neuron(name=name, inputs=tuple(wires), parameters=p)
        if not self.is_alive(plain):
            plain = replace(plain, parameters=self.started(p, edge.shape))
        loops = self.chance(0.25) and edge.scale.size == 1 and is_bounded(p)
        if not (loops and self.add(*self.looped(plain, edge))):
            self.add(plain)

    def is_alive(self, node: Neuron) -> bool:
        """Whether some neurons of *node* fire, and not all of them all the time."""
        p = node.parameters
        if p.emit is not Emit.COUNT:
            return True
        graph = self.graph((node, Output(name="probe", inputs=(Wire(node.name),))))
        run = reference.run(graph, self.x, timesteps=self.timesteps, count=False)
        sent, slots = (
            int(run.spikes[node.name].sum()),
            graph.edges[node.name].size * run.batch * run.timesteps,
        )
        return sent > 0 and (p.max_count is None or sent < slots * p.max_count)

    def started(self, p: NeuronParameters, shape: Shape) -> NeuronParameters:
        """*p* with potentials that start on both sides of the threshold, so that some neurons fire."""
        first = p.theta if p.steps is None else p.steps[0]
        top = int(first.max()) + int(np.abs(p.bias).max(initial=0)) + 2
        start = np.where(np.arange(prod(shape)) % 3 == 0, 2 * top, -top).reshape(shape)
        return replace(
            p,
            v_init=start,
            clamp_high=None,
            clamp_low=None,
            v_bits=None,
            i_bits=None,
            leak=np.array(1),
            leak_shift=0,
        )

    def looped(self, node: Neuron, edge: Edge) -> tuple[Node, Node]:
        """*node* with a delayed synapse from itself."""
        back, size = f"{node.name}_back", 2 * edge.size
        loop = Sparse(
            name=back,
            inputs=(Wire(node.name, self.pick([0, 0, 1])),),
            pre=self.rng.integers(0, edge.size, size),
            post=self.rng.integers(0, edge.size, size),
            shape=edge.shape,
            weight=np.minimum(self.weights(size), 6),
            weight_scale=np.array(float(edge.scale.flat[0]) / float(node.parameters.scale)),
            delay=self.pick([None, self.rng.integers(0, 3, size)]),
        )
        closing = Wire(back, self.integer(1, 2), self.pick([None, np.array(2)]))
        return replace(node, inputs=(*node.inputs, closing)), loop

    def drive(self, wires: Sequence[Wire]) -> Array:
        """What enters a neuron behind *wires*: [T * B, *shape]."""
        probes = [
            Output(name=f"probe{k}", inputs=(wire,), over=Over.SEQUENCE) for k, wire in enumerate(wires)
        ]
        graph = self.graph(probes)
        run = reference.run(graph, self.x, timesteps=self.timesteps, count=False)
        total = sum(run.outputs[probe.name] / graph.edges[probe.name].scale for probe in probes)
        return np.rint(np.asarray(total)).reshape(-1, *self.edges[wires[0].source].shape)

    def feed_back(self) -> None:
        """A delayed synapse from the end of the graph to one of its first neurons."""
        neurons = [node for node in self.nodes if isinstance(node, Neuron)]
        # Only bounded events run back: anything else may grow without end.
        sources = [name for name, e in self.edges.items() if e.max_count is not None and e.scale.size == 1]
        if not neurons or not sources:
            return
        target, source = self.pick(neurons), sources[-1]
        edge = self.edges[target.inputs[0].source]
        if edge.scale.size > 1:
            return
        name = self.name("feedback")
        back = self.synapse(source, edge.shape, float(edge.scale.flat[0]), name)
        late = replace(target, inputs=(*target.inputs, Wire(name, self.integer(1, 3))))
        before = self.nodes
        self.nodes = [late if node is target else node for node in before]
        if not self.add(back):
            self.nodes = before

    def finished(self) -> Case:
        """The graph with outputs."""
        names = list(self.edges)
        ends = [names[-1], *([self.pick(names)] if self.chance(0.3) else [])]
        for k, end in enumerate(ends):
            over = self.pick([Over.SEQUENCE, *Over])
            self.add(Output(name=f"out{k}", inputs=(self.wire(end),), over=over))
        graph = self.graph()
        graph.verify()
        return Case(graph, self.x, self.timesteps)


def is_bounded(p: NeuronParameters) -> bool:
    """Whether *p* sends counts up to a bound."""
    return p.emit is Emit.COUNT and p.max_count is not None
