"""The general executor: every node on dense 64-bit trains [T, B, ticks, *shape] of a chunk of samples.

A node is evaluated for a window of timesteps at once: for all of them where nothing runs back, for one at a
time inside a loop. A value that is the same in every timestep is kept (and computed) once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    DynamicSynapse,
    Input,
    Neuron,
    Node,
    Output,
    Over,
    Pool,
    Presence,
    SideOperation,
    Sparse,
    Wire,
    edges_into,
    place,
)
from snncc.reference import Operations
from snncc.reference.count import operations, side_operations
from snncc.reference.execute import Record, initial_train, reduce_over
from snncc.reference.inputs import carried, checked
from snncc.reference.nodes import evaluate
from snncc.reference.side import side_train
from snncc.simulator.counting import (
    Fired,
    Met,
    Sent,
    accumulations,
    gain_operations,
    plain,
    summed_over_time,
    synapse_operations,
)
from snncc.simulator.firing import Firing, firing_of_train, firings_of_listing
from snncc.simulator.layer_match import Source
from snncc.simulator.layer_run import LayerRun, Prepared, Workspace, run_layer
from snncc.simulator.neuron_table import NeuronState, advanced, initial_state
from snncc.simulator.plan import Plan
from snncc.simulator.stream import Stream, listed
from snncc.simulator.synapse_table import pool_sums

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Sheet:
    """The trains of one chunk of samples, and what was counted on the way."""

    plan: Plan
    timesteps: int
    batch: int
    data: Mapping[str, Array]
    first: int = 0
    space: Workspace = field(default_factory=Workspace)
    elapsed: int = 0
    past: Mapping[str, list[Ints]] = field(default_factory=dict)
    values: dict[str, Ints] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    states: dict[str, NeuronState] = field(default_factory=dict)
    counted: dict[str, Fired | Sent | LayerRun] = field(default_factory=dict)
    operations: dict[str, Operations | Met] = field(default_factory=dict)
    saturations: dict[str, int] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)

    def run_part(self, part: tuple[Node, ...]) -> None:
        """Evaluate the nodes of *part*, a single one or a loop, for every timestep."""
        for node in part:
            if node.name in self.plan.layers and self.run_layer(node):
                return
        name = part[0].name
        if name in self.plan.streamed and (stream := self.stream(name)) is not None:
            self.keep_events(name, stream)
            return
        if len(part) > 1 or any(wire.source == part[0].name for wire in part[0].inputs):
            self.run_loop(part)
        else:
            self.dense(name)
            self.collect(part[0])

    def run_loop(self, nodes: tuple[Node, ...]) -> None:
        """Evaluate *nodes*, which form a loop, timestep by timestep."""
        for node in nodes:
            edge = self.plan.edges[node.name]
            self.values[node.name] = np.empty((self.timesteps, self.batch, edge.ticks, *edge.shape), np.int64)
        for t in range(self.timesteps):
            for node in nodes:
                self.values[node.name][t] = self.evaluate(node, t, t + 1)[0]
        for node in nodes:
            self.collect(node)

    def run_layer(self, node: Node) -> bool:
        """Run a whole layer event by event. False where it must go through the general executor."""
        prepared = self.plan.layers[node.name]
        for source in prepared.entering:
            if source not in self.streams and self.stream(source) is None:
                return self.give_up(node, prepared.layer.sources)
        done = run_layer(prepared, self.streams, self.timesteps, self.batch, self.space)
        if done is None:
            return self.give_up(node, prepared.layer.sources)
        self.keep_layer(prepared, *done)
        return True

    def keep_layer(self, prepared: Prepared, stream: Stream, counted: LayerRun) -> None:
        """Keep what a layer sent and what was *counted* of it."""
        name = prepared.name
        self.streams[name], self.counted[name], self.saturations[name] = stream, counted, 0
        for which, synapse in prepared.met:
            self.operations[synapse] = self.plan.sizes[synapse], counted, which
        for pooled in prepared.pools:
            self.count_pools(pooled)

    def keep_events(self, name: str, stream: Stream) -> None:
        """Keep what an input sent of which only the events are needed."""
        self.streams[name] = stream
        self.counted[name] = Sent(stream.starts[:: stream.grid.rows].copy(), self.batch, self.timesteps)

    def give_up(self, node: Node, sources: Sequence[Source]) -> bool:
        """Evaluate what the layer of *node* would have done on the way from its *sources*; False."""
        for source in sources:
            for behind in (*reversed(source.chain), source.synapse):
                if behind.name not in self.operations and source.name != node.name:
                    self.dense(behind.name)
                    self.collect(behind)
        return False

    def count_pools(self, source: Source) -> None:
        """The operations of the pools between *source* and its synapse."""
        for node in source.chain:
            if isinstance(node, Pool):
                total = self.streams[source.name].sums(self.timesteps).sum(axis=1)
                counts = np.stack([total, total, total])
                self.operations[node.name] = accumulations(self.plan.sizes[node.name], counts)

    def stream(self, name: str) -> Stream | None:
        """The events of node *name*; None where its data are no spikes (and will be refused)."""
        if name not in self.streams:
            node, grid = self.plan.by_name[name], self.plan.grids[name]
            if isinstance(node, Input) and name not in self.values and node.presence is not Presence.FIRST:
                x, first = self.data[name][:, :, None], self.first
            else:
                x, first = plain(self.dense(name)), 0
            stream = self.space.stream(name, grid, (self.batch, len(x), x.shape[2]))
            if not listed(x, first, stream):
                return None
            self.streams[name] = stream
        return self.streams[name]

    def dense(self, name: str) -> Ints:
        """The train of node *name*, evaluated now if it was not needed so far."""
        if name not in self.values:
            edge = self.plan.edges[name]
            if name in self.streams:
                self.values[name] = self.streams[name].dense(edge.ticks)
            else:
                self.values[name] = self.evaluate(self.plan.by_name[name], 0, self.timesteps)
        return self.values[name]

    def output(self, node: Output) -> Array:
        """What leaves *node*, reduced over time as it says."""
        (wire,) = node.inputs
        if node.over is Over.SUM and wire.source in self.streams and not wire.delay:
            return self.streams[wire.source].total(self.timesteps)
        y = self.dense(node.name)[:, :, 0]
        return reduce_over(node.over, np.broadcast_to(y, (self.timesteps, *y.shape[1:])))

    def firings(self, names: Collection[str]) -> dict[str, tuple[Firing, ...]]:
        """What the nodes of these *names* send in each sample."""
        found: dict[str, tuple[Firing, ...]] = {}
        if streams := {name: self.streams[name] for name in names if self.is_listed(name)}:
            listing = self.space.listing(streams)
            found = {name: firings_of_listing(listing, k, self.timesteps) for k, name in enumerate(streams)}
        for name in names:
            if name not in found:
                found[name] = self.counted_firings(name)
        return found

    def is_listed(self, name: str) -> bool:
        """Whether the stream of a node has all that it sends."""
        edge = self.plan.edges[name]
        return name in self.streams and edge.ticks == 1 and edge.max_count == 1

    def counted_firings(self, name: str) -> tuple[Firing, ...]:
        """What a node sends in each sample, from its train."""
        train = self.dense(name)
        if not self.plan.edges[name].is_events:  # one number for the whole timestep
            train = train.sum(axis=2, keepdims=True)
        whole = np.broadcast_to(train, (self.timesteps, *train.shape[1:]))
        return tuple(firing_of_train(whole[:, sample]) for sample in range(self.batch))

    def evaluate(self, node: Node, start: int, stop: int) -> Ints:
        """The numbers that leave *node*: [stop - start, ...], or [1, ...] where they never change."""
        if isinstance(node, Input):
            return self.enter(node)
        if isinstance(node, Neuron):
            return self.fire(node, start, stop)
        ins, out = edges_into(node, self.plan.edges), self.plan.edges[node.name]
        if isinstance(node, Dense | Conv | Sparse):
            return self.weighted_sum(node, start, stop)
        xs = [self.read(wire, start, stop) for wire in node.inputs]
        if isinstance(node, SideOperation):
            (x,) = self.unrolled(xs, stop - start)
            self.count_side(node, stop - start)
            return side_train(node, x, ins[0], is_integer=True)
        if isinstance(node, Affine) and node.per_timestep:
            xs = self.unrolled(xs, stop - start)
            rows = [
                evaluate(node, [xs[0][t]], ins, out, self.elapsed + start + t, is_integer=True)
                for t in range(stop - start)
            ]
            return np.stack(rows)
        if any(len(x) > 1 for x in xs):
            xs = self.unrolled(xs, stop - start)
        steps = len(xs[0])
        flat = [np.reshape(x, (-1, *x.shape[2:])) for x in xs]
        if isinstance(node, Pool):
            y = pool_sums(node, plain(flat[0].reshape(-1, *ins[0].shape)), out.shape)
        elif isinstance(node, Add) and len({x.shape for x in flat}) == 1:
            y = flat[0] + flat[1] if len(flat) == 2 else np.sum(flat, axis=0)
        else:
            y = evaluate(node, flat, ins, out, 0, is_integer=True)
        return y.reshape(steps, self.batch, -1, *out.shape)

    def count_side(self, node: SideOperation, timesteps: int) -> None:
        """Add what *node* costs in a window: all timesteps, or each by itself."""
        edge = self.plan.edges[node.inputs[0].source]
        steps = [timesteps] if node.is_sequence else [1] * timesteps
        for length in steps:
            cost = side_operations(node, length, edge, self.batch)
            before = self.operations.get(node.name)
            self.operations[node.name] = before.plus(cost) if isinstance(before, Operations) else cost

    def unrolled(self, xs: list[Ints], steps: int) -> list[Ints]:
        """*xs* with what never changes repeated."""
        return [x if len(x) == steps else np.broadcast_to(x, (steps, *x.shape[1:])) for x in xs]

    def enter(self, node: Input) -> Ints:
        raw = self.data[node.name][:, self.first : self.first + self.batch]
        data = carried(node, checked(node, raw if follows(node) else raw[0], self.timesteps), True)
        if node.presence is Presence.FIRST:
            whole = np.zeros((self.timesteps, *data.shape[1:]), np.int64)
            if self.elapsed == 0:
                whole[0] = data[0]
            data = whole
        return data[:, :, None]

    def read(self, wire: Wire, start: int, stop: int, tap: int = 0) -> Ints:
        """What *wire* delivered in each timestep of the window, *tap* timesteps before it."""
        source, delay = self.dense(wire.source), wire.delay + tap
        if delay == 0:
            return source if len(source) == 1 else source[start:stop]
        edge, past = self.plan.edges[wire.source], self.past.get(wire.source, [])
        window = np.zeros((stop - start, self.batch, edge.ticks, *edge.shape), np.int64)
        for k in range(stop - start):
            t = start + k - delay
            if t >= 0:
                window[k] = source[t if len(source) > 1 else 0]
            elif -t <= len(past):
                window[k] = past[-t - 1]
            elif wire.initial is not None and tap <= self.elapsed + start + k:
                window[k] = initial_train(self.plan.edges[wire.source], wire.initial)
        return window

    def weighted_sum(self, node: Dense | Conv | Sparse, start: int, stop: int) -> Ints:
        """The sums of a synapse node: one for each delay that its weights have."""
        total: Ints | None = None
        (wire,), out = node.inputs, self.plan.edges[node.name]
        for delay, table in self.plan.synapse(node).items():
            x = plain(self.read(wire, start, stop, delay))
            y = table.summed(x.reshape(-1, *table.shape)).reshape(len(x), self.batch, -1, *out.shape)
            if total is None:
                total = y
            elif len(total) < len(y):
                total = total + y
            else:
                total += y
        if total is None:
            x = self.read(wire, start, stop)
            total = np.zeros((len(x), self.batch, out.ticks, *out.shape), np.int64)
        if node.shift:
            total <<= node.shift
        if node.bias is not None:
            total[:, :, 0] += node.bias.astype(np.int64)
        return total

    def fire(self, node: Neuron, start: int, stop: int) -> Ints:
        """The train of a neuron; its potentials are recorded where that was asked for."""
        table, edge = self.plan.neurons[node.name], self.plan.edges[node.name]
        total = self.summed([self.read(wire, start, stop) for wire in node.inputs], stop - start)
        x = plain(total.reshape(*total.shape[:3], table.size))
        state = self.states.get(node.name)
        if state is None:
            state = self.states[node.name] = initial_state(table, self.batch)
        keep = node.name in self.plan.record
        first = self.elapsed + start
        done = advanced(table, x, stop - start, state, where=place(node), first=first, keep=keep)
        self.saturations[node.name] = self.saturations.get(node.name, 0) + done.saturations
        if keep:
            pre, post = (u.reshape(-1, self.batch, *edge.shape) for u in (done.u_pre, done.u_post))
            before = self.records.get(node.name)
            if before is not None and before.u_pre is not None and before.u_post is not None:
                pre, post = np.concatenate([before.u_pre, pre]), np.concatenate([before.u_post, post])
            self.records[node.name] = Record(pre, pre, post)
        return done.train.reshape(stop - start, self.batch, edge.ticks, *edge.shape)

    def summed(self, xs: list[Ints], steps: int) -> Ints:
        """The sum of signals, tick by tick."""
        if len(xs) == 1:
            return xs[0]
        if any(len(x) > 1 for x in xs):
            xs = self.unrolled(xs, steps)
        ticks = max(x.shape[2] for x in xs)
        total = np.zeros((*xs[0].shape[:2], ticks, *xs[0].shape[3:]), np.int64)
        for x in xs:
            total[:, :, : x.shape[2]] += x
        return total

    def collect(self, node: Node) -> None:
        """Count what *node* did in all timesteps."""
        name, edge = node.name, self.plan.edges[node.name]
        y = self.values[name]
        if isinstance(node, Neuron | Input) and edge.is_events:
            flat = y.reshape(*y.shape[:3], -1)
            times = self.timesteps // len(flat)
            active = (flat != 0).any(axis=2).sum(axis=2)
            self.counted[name] = Fired(
                spikes=np.repeat(flat.sum(axis=3), times, axis=0).transpose(1, 0, 2),
                active=np.repeat(active, times, axis=0).T,
            )
        if name in self.plan.record:
            train = np.array(np.broadcast_to(y, (self.timesteps, *y.shape[1:])))
            known = self.records.get(name)
            self.records[name] = Record(train) if known is None else Record(train, known.u_pre, known.u_post)
        if name in self.plan.counted:
            self.operations[name] = self.cost(node)

    def cost(self, node: Node) -> Operations:
        """The operations of *node* in all timesteps."""
        xs = [self.read(wire, 0, self.timesteps) for wire in node.inputs]
        if isinstance(node, DynamicSynapse):
            edges = self.plan.edges
            flat = [np.reshape(x, (-1, *x.shape[2:])) for x in self.unrolled(xs, self.timesteps)]
            ins, out = edges[node.inputs[0].source], edges[node.name]
            done = operations(node, flat, ins, out, is_spiking=self.plan.counted[node.name])
            return summed_over_time(done, self.timesteps)
        fan = self.plan.fans.get(node.name)
        if fan is None:
            return gain_operations(xs, self.plan.edges[node.name].size, self.timesteps)
        is_events = self.plan.edges[node.inputs[0].source].is_events
        is_spiking = self.plan.counted[node.name]
        met = self.plan.sizes[node.name], fan
        return synapse_operations(xs[0], *met, self.timesteps, is_events=is_events, is_spiking=is_spiking)

    def state(self) -> dict[str, Any]:
        """What a later run goes on from, in the form of the reference executor."""
        past = {}
        for name, length in self.plan.horizons.items():
            y = self.dense(name)
            recent = [y[t if len(y) > 1 else 0].copy() for t in range(self.timesteps - 1, -1, -1)][:length]
            past[name] = [*recent, *self.past.get(name, [])][:length]
        states = {
            name: {
                part: getattr(state, part).reshape(self.batch, *self.plan.edges[name].shape)
                for part in ("v", "i", "fired", "resting")
            }
            for name, state in self.states.items()
        }
        return {"past": past, "states": states, "elapsed": self.elapsed + self.timesteps}


def follows(node: Input) -> bool:
    """Whether the data of *node* change over time."""
    return node.presence is Presence.SEQUENCE
