"""The reference executor: any spike graph, in plain NumPy, node by node and timestep by timestep.

This is the meaning of the IR. It is slow on purpose; in integers everything fast equals it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snncc.errors import BadInput, UnknownName
from snncc.ir import (
    Array,
    Conv,
    Dense,
    Edge,
    Input,
    Kind,
    Neuron,
    Node,
    Output,
    Over,
    Presence,
    SideOperation,
    Sparse,
    SpikeGraph,
    Wire,
    edges_into,
    place,
)
from snncc.reference.count import (
    Operations,
    carries_spikes,
    inputs_spike,
    is_counted,
    operations,
    side_operations,
)
from snncc.reference.inputs import Data, check_options, enter
from snncc.reference.neuron import Fired, State, initial_state, step
from snncc.reference.nodes import biased, evaluate, real
from snncc.reference.side import check_trains, side_train
from snncc.reference.synapse import weighted_sum

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Record:
    """Carried numbers of a node, *train* [T, B, ticks, *shape]; potentials of a neuron [T, B, *shape]."""

    train: Array
    u_pre: Array | None = None
    u_post: Array | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The result of executing a graph on a batch.

    *outputs* are real values: [T, B, *shape] for a sequence, [B, *shape] for a reduced output. *spikes*
    holds, for each neuron and input of spikes or counts, int64 [B, T, ticks]: how many left. *operations*
    has the counted cost of each synapse node, *saturations* how often a state left its width. *active* has,
    as int64 [B, T], how many neurons of a layer sent anything in a timestep.
    """

    timesteps: int
    batch: int
    outputs: Mapping[str, Array]
    spikes: Mapping[str, Array]
    operations: Mapping[str, Operations]
    saturations: Mapping[str, int]
    records: Mapping[str, Record]
    state: Mapping[str, Any]
    active: Mapping[str, Array] = field(default_factory=dict)

    @property
    def output(self) -> Array:
        """The only output. Raises `BadInput` where there are several."""
        if len(self.outputs) != 1:
            raise BadInput(f"there are several outputs, {', '.join(self.outputs)}; take one by name")
        return next(iter(self.outputs.values()))


def run(
    graph: SpikeGraph,
    x: Data,
    *,
    timesteps: int,
    record: Collection[str] = (),
    count: bool = True,
    state: Mapping[str, Any] | None = None,
    force: Mapping[str, Array] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Execute *graph* on *x*: [T, B, *shape] for a sequence, [B, *shape] for a value given once.

    *record* names nodes whose trains and potentials are kept. *state* is the ``state`` of an earlier run of
    the same batch, to go on from; by default every sample starts from the initial state. *force* gives
    counts [T, B, *shape] that neurons send whatever they chose; records then hold what they chose. Raises
    `BadInput` for data that does not fit, `UnknownName`, `StateOverflow`, and `CannotLower` for a node kind
    that cannot be executed.
    """
    for name in record:
        if name not in graph.by_name:
            raise UnknownName("node", name, graph.by_name)
    executor = Executor(graph, enter(graph, x, timesteps), timesteps, record, count, state, force or {})
    for done, total in executor.steps():
        if progress is not None:
            progress(done, total)
    return executor.result()


class Executor:
    """The state of one execution."""

    def __init__(
        self,
        graph: SpikeGraph,
        data: Mapping[str, Array],
        timesteps: int,
        record: Collection[str],
        count: bool,
        state: Mapping[str, Any] | None,
        force: Mapping[str, Array],
    ) -> None:
        self.force, self.own = force, dict[str, Array]()
        self.fired: dict[str, Fired] = {}
        self.graph, self.data, self.timesteps, self.count = graph, data, timesteps, count
        self.batch = next(iter(data.values())).shape[1]
        check_options(graph, timesteps, self.batch, state, force)
        check_trains(graph, timesteps, state)
        self.dtype = np.dtype(np.int64 if graph.is_integer else np.float64)
        self.spiking = carries_spikes(graph)
        self.now: dict[str, Array] = {}
        self.past: dict[str, list[Array]] = (
            {} if state is None else {k: list(v) for k, v in state["past"].items()}
        )
        self.states: dict[str, State] = {} if state is None else dict(state["states"])
        self.elapsed = 0 if state is None else int(state["elapsed"])
        self.started, self.earlier = self.elapsed, dict(self.past)
        self.horizon = horizons(graph)
        self.stages, self.stage = stages_of(graph), 0
        self.crossing = {w.source for node in graph.nodes for w in node.inputs if self.crosses(node, w)}
        self.kept: dict[str, list[Array]] = {name: [] for name in self.crossing}
        self.yielded: dict[str, Array] = {}
        self.trains: dict[str, list[Array]] = {name: [] for name in record}
        self.potentials: dict[str, list[tuple[Array, Array]]] = {name: [] for name in record}
        self.outputs: dict[str, list[Array]] = {node.name: [] for node in graph.outputs}
        self.spikes: dict[str, list[Array]] = {}
        self.active: dict[str, list[Array]] = {}
        self.costs: dict[str, Operations] = {}
        self.saturations: dict[str, int] = {}

    def steps(self) -> Iterator[tuple[int, int]]:
        """Execute everything; says after each timestep of each stage how many are done, of how many."""
        stages = 1 + max(self.stages.values())
        for stage in range(stages):
            self.begin(stage)
            for t in range(self.timesteps):
                self.advance(t)
                yield stage * self.timesteps + t + 1, stages * self.timesteps

    def crosses(self, node: Node, wire: Wire) -> bool:
        """Whether *wire* leads into *node* from an earlier stage."""
        return self.stages[wire.source] < self.stages[node.name]

    def begin(self, stage: int) -> None:
        """Go back to the first timestep, for the nodes of *stage*; its sequence nodes read their trains."""
        self.stage, self.elapsed = stage, self.started
        self.past = {name: list(values) for name, values in self.earlier.items()}
        for node in self.graph.nodes:
            if isinstance(node, SideOperation) and self.stages[node.name] == stage and node.is_sequence:
                (wire,) = node.inputs
                train = np.stack(self.kept[wire.source])
                self.yielded[node.name] = self.side(node, train)

    def side(self, node: SideOperation, train: Array) -> Array:
        """What *node* yields for a train, and what that costs."""
        edge = self.graph.edges[node.inputs[0].source]
        if self.count:
            cost = side_operations(node, len(train), edge, self.batch)
            before = self.costs.get(node.name)
            self.costs[node.name] = cost if before is None else before.plus(cost)
        return side_train(node, train, edge, is_integer=self.graph.is_integer)

    def advance(self, t: int) -> None:
        """Evaluate every node of the stage once; those of earlier ones say what they said."""
        for name, train in self.kept.items():
            if self.stages[name] < self.stage:
                self.now[name] = train[t]
        for node in self.graph.nodes:
            if self.stages[node.name] != self.stage:
                continue
            xs = [] if node.name in self.yielded else [self.read(wire) for wire in node.inputs]
            y = self.evaluate(node, xs, t)
            self.now[node.name] = y
            if node.name in self.crossing:
                self.kept[node.name].append(y)
            if node.name in self.trains:
                self.trains[node.name].append(self.own.get(node.name, y))
            if isinstance(node, Neuron | Input) and self.graph.edges[node.name].is_events:
                flat = y.reshape(*y.shape[:2], -1)
                self.spikes.setdefault(node.name, []).append(flat.sum(axis=2))
                self.active.setdefault(node.name, []).append((flat != 0).any(axis=1).sum(axis=1))
            if isinstance(node, Output):
                self.outputs[node.name].append(y[:, 0])
            if self.count and is_counted(node):
                is_spiking = inputs_spike(self.graph, node, self.spiking)
                ins, out = self.graph.edges[node.inputs[0].source], self.graph.edges[node.name]
                cost = operations(node, xs, ins, out, is_spiking=is_spiking)
                before = self.costs.get(node.name)
                self.costs[node.name] = cost if before is None else before.plus(cost)
        for name, length in self.horizon.items():
            if name in self.now:
                self.past[name] = [self.now[name], *self.past.get(name, [])][:length]
        self.elapsed += 1

    def read(self, wire: Wire) -> Array:
        """What *wire* delivers now."""
        if wire.delay == 0:
            return self.now[wire.source]
        return self.before(wire.source, wire.delay, wire.initial)

    def before(self, source: str, delay: int, initial: Array | None = None) -> Array:
        """The value of *source* *delay* >= 1 timesteps ago."""
        past = self.past.get(source, [])
        if delay <= len(past):
            return past[delay - 1]
        edge = self.graph.edges[source]
        if initial is None:
            return np.zeros((self.batch, edge.ticks, *edge.shape), self.dtype)
        return np.broadcast_to(initial_train(edge, initial), (self.batch, edge.ticks, *edge.shape)).astype(
            self.dtype
        )

    def evaluate(self, node: Node, xs: list[Array], t: int) -> Array:
        graph = self.graph
        if isinstance(node, Input):
            return self.enter(node, t)
        if isinstance(node, SideOperation):
            return self.yielded[node.name][t] if node.is_sequence else self.side(node, xs[0][None])[0]
        ins, out = edges_into(node, graph.edges), graph.edges[node.name]
        if isinstance(node, Neuron):
            return self.fire(node, xs, ins, t)
        if isinstance(node, Dense | Conv | Sparse) and node.delay is not None:
            return self.delayed_sum(node, ins[0], out)
        return evaluate(node, xs, ins, out, self.elapsed, is_integer=graph.is_integer)

    def enter(self, node: Input, t: int) -> Array:
        data = self.data[node.name]
        match node.presence:
            case Presence.SEQUENCE:
                return data[t][:, None]
            case Presence.CONSTANT:
                return data[0][:, None]
            case Presence.FIRST:
                return (data[0] if self.elapsed == 0 else np.zeros_like(data[0]))[:, None]

    def fire(self, node: Neuron, xs: list[Array], ins: list[Edge], t: int) -> Array:
        """The sum of all inputs, tick by tick, into the neuron."""
        integer = self.graph.is_integer
        ticks = max(x.shape[1] for x in xs)
        total = np.zeros((self.batch, ticks, *ins[0].shape), self.dtype)
        for x, edge in zip(xs, ins, strict=True):
            total[:, : x.shape[1]] += real(x, edge, integer)
        state = self.states.get(node.name)
        if state is None:
            state = initial_state(node.parameters, self.batch, ins[0].shape, self.dtype)
        forced = self.force[node.name][t] if node.name in self.force else None
        fired = step(node.parameters, total, state, place(node), forced)
        self.fired[node.name], self.own[node.name] = fired, fired.own.astype(self.dtype)
        self.states[node.name] = fired.state
        self.saturations[node.name] = self.saturations.get(node.name, 0) + fired.saturations
        if node.name in self.potentials:
            self.potentials[node.name].append((fired.u_pre, fired.u_post))
        return fired.train.astype(self.dtype)

    def delayed_sum(self, node: Dense | Conv | Sparse, edge: Edge, out: Edge) -> Array:
        """A synapse whose weights have delays of their own: one sum for each delay that occurs."""
        wire, delays = node.inputs[0], np.unique(node.delay if node.delay is not None else 0)
        y = np.zeros((self.batch, edge.ticks, *out.shape), self.dtype)
        for delay in delays:
            part = replace(node, weight=node.weight * (node.delay == delay), delay=None)
            x = real(self.tapped(wire, int(delay)), edge, self.graph.is_integer)
            flat = weighted_sum(part, x.reshape(-1, *edge.shape), out.shape)
            y += flat.reshape(self.batch, edge.ticks, *out.shape)
        return biased(node, y, out)

    def tapped(self, wire: Wire, delay: int) -> Array:
        """What *wire* delivered *delay* timesteps ago; nothing before the first timestep."""
        if wire.delay + delay == 0:
            return self.now[wire.source]
        if delay and delay > self.elapsed:
            return self.before(wire.source, 1 << 40)
        return self.before(wire.source, wire.delay + delay, wire.initial)

    def result(self) -> Run:
        """Everything that was collected, time first in records and outputs, sample first in spikes."""
        reduced = {}
        for node in self.graph.outputs:
            scale = self.graph.edges[node.name].scale
            reduced[node.name] = reduce_over(node.over, np.stack(self.outputs[node.name])) * scale
        records = {}
        for name, train in self.trains.items():
            pairs = self.potentials[name]
            pre, post = (np.stack([pair[k] for pair in pairs]) if pairs else None for k in (0, 1))
            records[name] = Record(np.stack(train), pre, post)
        return Run(
            timesteps=self.timesteps,
            batch=self.batch,
            outputs=reduced,
            spikes={k: np.stack(v, axis=1).astype(np.int64) for k, v in self.spikes.items()},
            operations=self.costs,
            saturations=self.saturations,
            records=records,
            state={"past": self.past, "states": self.states, "elapsed": self.elapsed},
            active={k: np.stack(v, axis=1).astype(np.int64) for k, v in self.active.items()},
        )


def initial_train(edge: Edge, initial: Array) -> Array:
    """What a wire carries before the first timestep, [ticks, *shape]: spikes ones first, others at once."""
    full = np.broadcast_to(initial, edge.shape)
    if edge.kind is Kind.SPIKE:
        return np.stack([full > tick for tick in range(edge.ticks)])
    return np.stack([full, *[np.zeros_like(full)] * (edge.ticks - 1)])


def reduce_over(over: Over, train: Array) -> Array:
    """[T, B, *shape] reduced over time as *over* says."""
    match over:
        case Over.SEQUENCE:
            return train
        case Over.SUM:
            return train.sum(axis=0)
        case Over.MEAN:
            return train.sum(axis=0) / len(train)
        case Over.LAST:
            return train[-1]
        case Over.MAXIMUM:
            return train.max(axis=0)


def stages_of(graph: SpikeGraph) -> dict[str, int]:
    """The stage of each node: one more than that of any train which a sequence node behind it has read.

    Stages run one after another, each over all timesteps. A loop lies within one stage.
    """
    stages = {node.name: 0 for node in graph.nodes}
    while True:
        changed = False
        for node in graph.nodes:
            is_sequence = isinstance(node, SideOperation) and node.is_sequence
            need = max((stages[w.source] + is_sequence for w in node.inputs), default=0)
            if need > stages[node.name]:
                stages[node.name], changed = need, True
        if not changed:
            return stages


def horizons(graph: SpikeGraph) -> dict[str, int]:
    """How many timesteps back each node is read."""
    table: dict[str, int] = {}
    for node in graph.nodes:
        own = (
            int(node.delay.max(initial=0))
            if isinstance(node, Dense | Conv | Sparse) and node.delay is not None
            else 0
        )
        for wire in node.inputs:
            if wire.delay + own:
                table[wire.source] = max(table.get(wire.source, 0), wire.delay + own)
    return table
