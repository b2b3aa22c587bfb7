"""Working out the network of a graph: what its populations are, and which numbers reach whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Input,
    Kind,
    Neuron,
    Node,
    Pad,
    Pool,
    Reshape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    Wire,
    place,
)
from snncc.mapping.hosted import (
    closure,
    edge_bits,
    hosted,
    largest_numbers,
    number_bits,
    sent_by_host,
    tapped,
    tasks_of,
)
from snncc.mapping.masks import Bools, Ints
from snncc.mapping.messages import MOST, input_bits, is_driven, neuron_bits
from snncc.mapping.moves import moved, padded, windows
from snncc.mapping.network import Connection, Link, Network, Population, Role
from snncc.mapping.products import READ, WRITE, link, settle
from snncc.mapping.relay import Relay, check_whole, is_relay, relay_reads
from snncc.reference.execute import stages_of

HINTS = {
    "MaxPool": "put the pooling behind the neuron",
    "Maximum": "take the maximum of spikes, behind the neurons",
    "Affine": "fold it: compile with the default passes",
}


def network_of(graph: SpikeGraph) -> Network:
    """The network of a compiled integer *graph*. Raises `CannotLower` for what no core can hold."""
    if not graph.is_integer:
        raise CannotLower(
            f"{graph.name}: a chip computes with integers, this graph with floats",
            hint="compile with precision='integer'",
        )
    return Builder(graph).network()


class Builder:
    """Works out the network of one graph."""

    def __init__(self, graph: SpikeGraph) -> None:
        self.graph = graph
        self.trains: dict[str, dict[tuple[str, int], Ints]] = {}
        self.hosted = hosted(graph)
        self.sent = sent_by_host(graph, self.hosted)
        self.taps = tapped(graph, self.hosted) | {
            wire.source for node in graph.nodes for wire in node.inputs if self.pools_currents(node)
        }
        self.stages = stages_of(graph) if self.hosted else dict.fromkeys(graph.by_name, 0)
        self.depths: dict[str, int] = {}
        self.order: list[tuple[str, str]] = []
        self.products: dict[str, DynamicSynapse] = {}

    def network(self) -> Network:
        """All populations and connections."""
        connections: list[Connection] = []
        populations: dict[str, Population] = {}
        for node in self.graph.nodes:
            into = self.into(node)
            if into is None:
                continue
            found = list(into)
            self.depths[node.name] = self.depth(node, found)
            connections += found
            populations[node.name] = self.population(node, self.depths[node.name])
        if self.products:
            settle(self.depths, self.order, self.products)
            populations = {k: replace(p, depth=self.depths[k]) for k, p in populations.items()}
        for connection in connections:
            self.check_stages(connection)
        order = sorted(self.sent, key=lambda name: (self.stages[name], self.depths[name]))
        tasks = tasks_of(self.graph, self.hosted, order, self.stages)
        given = self.given_to_host() if tasks else {}
        return Network(self.graph.name, self.graph.timesteps, populations, tuple(connections), tasks, given)

    def into(self, node: Node) -> Iterable[Connection] | None:
        """The connections into the population of *node*; None: it is none."""
        edge, is_output = self.graph.edges[node.name], node in self.graph.outputs
        if isinstance(node, Input) or node.name in self.sent:
            return ()
        if node.name in self.hosted:
            return None
        if is_relay(node, edge):
            return self.relayed(node)
        if isinstance(node, DynamicSynapse):
            return self.multiplied(node)
        if node.name in self.taps:
            lands = np.arange(edge.size).reshape(edge.shape)
            return self.behind(Wire(node.name), lands, 0, node.name)
        source = node.inputs[0].source
        if is_output and (self.graph.edges[source].is_events or source in self.hosted):
            return None
        return self.connections(node) if isinstance(node, Neuron) or is_output else None

    def pools_currents(self, node: Node) -> bool:
        """Whether *node* sums currents over windows, which cores first sum by themselves."""
        return isinstance(node, Pool) and node.name not in self.hosted and not self.carries(node.name)

    def depth(self, node: Node, into: Sequence[Connection]) -> int:
        """One more than the depth of what *node* reads without delay."""
        if isinstance(node, Input):
            return 0
        before = [c.source for c in into if not c.delay]
        if node.name in self.hosted:
            wires = [
                wire
                for name in closure(self.graph, self.hosted, node.name)
                for wire in self.graph.by_name[name].inputs
                if wire.source not in self.hosted and not wire.delay
            ]
            before = [source for wire in wires for source, late in self.read_by_host(wire) if not late]
        known = [name for name in before if name in self.depths]
        self.order += [(name, node.name) for name in known]
        return 1 + max((self.depths[name] for name in known), default=0)

    def read_by_host(self, wire: Wire) -> Mapping[tuple[str, int], Ints]:
        """Which neurons the host hears by a *wire* that does not come from itself: as `gather`."""
        if wire.source in self.taps:
            return {(wire.source, 0): np.arange(self.graph.edges[wire.source].size)}
        return self.gather(wire.source)

    def given_to_host(self) -> dict[str, Bools]:
        """Which neurons of each population send to the host."""
        found: dict[str, Bools] = {}
        for name in self.hosted:
            for wire in self.graph.by_name[name].inputs:
                if wire.source in self.hosted:
                    continue
                for (source, _), index in self.read_by_host(wire).items():
                    mask = found.setdefault(source, np.zeros(self.graph.edges[source].size, bool))
                    mask[index[index >= 0]] = True
        return found

    def check_stages(self, connection: Connection) -> None:
        """Raise `CannotLower` where a train would have to be sent again in a later stage."""
        source, target = connection.source, connection.target
        if self.stages[source] != self.stages[target]:
            late, early = (place(self.graph.by_name[name]) for name in (target, source))
            raise CannotLower(
                f"{late}: reads {early} when a whole "
                f"train has been read, in stage {self.stages[target]}; it was sent in stage "
                f"{self.stages[source]}, and no core keeps it",
                hint="compile with attention='static', or simulate without a chip",
            )

    def population(self, node: Node, depth: int) -> Population:
        """The population of a node."""
        edge = self.graph.edges[node.name]
        role, ticks, bits, is_active, state = Role.READOUT, 0, 0, False, 0
        if node.name in self.hosted:
            role, ticks = Role.HOST, edge.ticks if edge.is_events else 1
            bits = edge_bits(edge, self.largest(node), MOST)
        elif node.name in self.taps:
            role, ticks, bits = Role.TAP, 1, number_bits(self.largest(node))
            state, is_active = bits, self.has_bias(node.name)
        elif isinstance(node, Neuron):
            role, ticks, bits = Role.NEURON, node.parameters.fire_ticks, neuron_bits(node)
            state = max(node.parameters.v_bits or 0, node.parameters.i_bits or 0)
            is_active = is_driven(node.parameters) or any(self.has_bias(wire.source) for wire in node.inputs)
        elif isinstance(node, Input):
            role, ticks = Role.INPUT, edge.ticks
            bits = 0 if node.kind is Kind.SPIKE else input_bits(node, edge)
        elif is_relay(node, edge):
            role, ticks, bits = Role.RELAY, edge.ticks, edge_bits(edge, 0, MOST)
            state = max(ticks, bits)
        elif isinstance(node, DynamicSynapse):
            role, ticks, bits = Role.PRODUCT, 1, edge_bits(edge, 0, MOST)
            state = bits
        stage = self.stages[node.name]
        told = node.origin, state, stage
        return Population(node.name, role, edge.shape, ticks, bits, depth, is_active, *told)

    def largest(self, node: Node) -> int:
        """The largest absolute number that *node* can carry."""
        return self.bounds[node.name]

    @cached_property
    def bounds(self) -> Mapping[str, int]:
        """Of each node the largest absolute number that it can carry."""
        return largest_numbers(self.graph, MOST)

    def has_bias(self, name: str) -> bool:
        """Whether a constant enters on the way from the synapses to a neuron."""
        node = self.graph.by_name[name]
        if isinstance(node, Dense | Conv | Sparse):
            return node.bias is not None and bool(np.any(node.bias))
        if isinstance(node, Neuron | Input | Pool):  # what is pooled comes in messages, biases included
            return False
        return any(self.has_bias(wire.source) for wire in node.inputs if not self.carries(wire.source))

    def connections(self, node: Node) -> Iterator[Connection]:
        """All connections into a neuron or an output."""
        targets = np.arange(self.graph.edges[node.name].size)
        for wire in node.inputs:
            yield from self.behind(wire, targets.reshape(self.graph.edges[wire.source].shape), 0, node.name)

    def relayed(self, node: Relay) -> Iterator[Connection]:
        """All connections into a maximum: one synapse for each neuron of which it is the maximum."""
        edge = self.graph.edges[node.name]
        lands = np.arange(edge.size).reshape(edge.shape)
        for wire in node.inputs:
            if wire.initial is not None:
                raise CannotLower(f"{place(node)}: a chip's wires have no values before the first timestep")
            before = self.gather(wire.source)
            relay_reads(node, edge, np.concatenate(list(before.values()), axis=-1), edge.shape)
            for (source, late), index in before.items():
                check_whole(node, edge, self.graph.edges[source].ticks)
                reads = {(source, late): relay_reads(node, edge, index, edge.shape)}
                yield from self.connect(None, reads, node, lands, wire.delay, node.name)

    def multiplied(self, node: DynamicSynapse) -> Iterator[Connection]:
        """What writes the operand that must be complete first, and what the other one reads of it."""
        edge, edges = self.graph.edges[node.name], self.graph.edges
        shapes = edges[node.inputs[0].source].shape, edges[node.inputs[1].source].shape
        lands = np.arange(edge.size).reshape(edge.shape)
        found: list[list[str]] = []
        for operand, wire in enumerate(node.inputs):
            made = link(node, operand, shapes, edge.shape)
            before = self.gather(wire.source)
            if wire.delay or wire.initial is not None or any(late for _, late in before):
                raise CannotLower(
                    f"{place(node)}: an operand comes from an earlier timestep, and no core keeps it",
                    hint="simulate without a chip",
                )
            rule = WRITE if operand == node.first else READ
            bits = (edges[wire.source].max_count or MOST).bit_length()
            yield from self.connect(made, before, node, lands, 0, node.name, rule, bits)
            found.append([source for source, _ in before])
        pairs = list(product(found[node.first], found[1 - node.first]))
        self.order += pairs
        self.products |= {late: node for _, late in pairs}

    def carries(self, name: str) -> bool:
        """Whether the node *name* yields events, or data from outside, perhaps under other addresses."""
        node = self.graph.by_name[name]
        if self.graph.edges[name].is_events or isinstance(node, Input) or name in self.hosted:
            return True
        moves = isinstance(node, Concat | Reshape | Transpose | Slice | Pool | Pad)
        return moves and all(self.carries(wire.source) for wire in node.inputs)

    def behind(self, wire: Wire, lands: Ints, delay: int, target: str) -> Iterator[Connection]:
        """The connections that end in *lands*: the target address of each number of the wire, -1: none."""
        node, delay = self.graph.by_name[wire.source], delay + wire.delay
        if wire.initial is not None:
            raise CannotLower(f"{place(node)}: a chip's wires have no values before the first timestep")
        if self.carries(node.name):
            yield from self.connect(None, self.gather(node.name), node, lands, delay, target)
            return
        match node:
            case Dense() | Conv() | Sparse():
                if node.delay is not None:
                    raise CannotLower(
                        f"{place(node)}: synapses of one layer with delays of their own are not mapped",
                        hint="give the whole connection one delay",
                    )
                (entry,) = node.inputs
                if not self.carries(entry.source):
                    raise CannotLower(
                        f"{place(node)}: reads real numbers from {place(self.graph.by_name[entry.source])}, "
                        "a core reads events",
                        hint="put a neuron before it",
                    )
                reads = self.gather(entry.source)
                yield from self.connect(node, reads, node, lands, delay + entry.delay, target)
            case Pool():
                (entry,) = node.inputs
                if entry.initial is not None:
                    raise CannotLower(
                        f"{place(node)}: a chip's wires have no values before the first timestep"
                    )
                shape = self.graph.edges[entry.source].shape
                own = np.arange(prod(shape)).reshape(*shape, 1)
                pooled = windows(padded(own, node.padding), node, self.graph.edges[node.name].shape)
                where = {(entry.source, 0): pooled}
                yield from self.connect(None, where, node, lands, delay + entry.delay, target)
            case Add():
                for one in node.inputs:
                    yield from self.behind(one, lands, delay, target)
            case Reshape():
                shape = self.graph.edges[node.inputs[0].source].shape
                yield from self.behind(node.inputs[0], lands.reshape(shape), delay, target)
            case Transpose():
                yield from self.behind(node.inputs[0], lands.transpose(np.argsort(node.axes)), delay, target)
            case Concat():
                start = 0
                for one in node.inputs:
                    stop = start + self.graph.edges[one.source].shape[node.axis]
                    part = lands.take(np.arange(start, stop), axis=node.axis)
                    yield from self.behind(one, part, delay, target)
                    start = stop
            case Slice():
                whole = np.full(self.graph.edges[node.inputs[0].source].shape, -1)
                index = [slice(None)] * whole.ndim
                index[node.axis] = slice(node.start, node.stop, node.step)
                whole[tuple(index)] = lands
                yield from self.behind(node.inputs[0], whole, delay, target)
            case _:
                raise CannotLower(
                    f"{place(node)}: a core cannot compute {type(node).__name__.lower()} of currents",
                    hint=HINTS.get(type(node).__name__, ""),
                )

    def connect(
        self,
        node: Link | None,
        reads: Mapping[tuple[str, int], Ints],
        at: Node,
        lands: Ints,
        delay: int,
        target: str,
        rule: str = "",
        entry_bits: int = 0,
    ) -> Iterator[Connection]:
        """One connection for each population that the numbers of a synapse come from."""
        out = lands.shape
        for (source, late), index in reads.items():
            yield Connection(
                source=source,
                target=target,
                node=node,
                shape=index.shape[:-1],
                out=out,
                reads=index.reshape(-1, index.shape[-1]),
                lands=lands.reshape(-1),
                delay=delay + late,
                sources=self.graph.edges[source].size,
                rule=rule,
                entry_bits=entry_bits,
            )

    def gather(self, name: str) -> Mapping[tuple[str, int], Ints]:
        """For each population (and delay) the source addresses [*shape, m] that the node *name* sums."""
        if name not in self.trains:
            self.trains[name] = self.gathered(self.graph.by_name[name])
        return self.trains[name]

    def gathered(self, node: Node) -> dict[tuple[str, int], Ints]:
        """As `gather`."""
        shape = self.graph.edges[node.name].shape
        is_own = isinstance(node, Neuron | Input | DynamicSynapse) or node.name in self.hosted
        if is_own or is_relay(node, self.graph.edges[node.name]):
            return {(node.name, 0): np.arange(prod(shape)).reshape(*shape, 1)}
        if not isinstance(node, Add | Concat | Reshape | Transpose | Slice | Pool | Pad):
            raise CannotLower(
                f"{place(node)}: a core cannot compute {type(node).__name__.lower()} of events",
                hint=HINTS.get(type(node).__name__, ""),
            )
        parts: dict[tuple[str, int], list[tuple[int, Ints]]] = {}
        for k, wire in enumerate(node.inputs):
            if wire.initial is not None:
                raise CannotLower(f"{place(node)}: a chip's wires have no values before the first timestep")
            for (source, late), index in self.gather(wire.source).items():
                parts.setdefault((source, late + wire.delay), []).append((k, index))
        sizes = [self.graph.edges[wire.source].shape for wire in node.inputs]
        return {key: moved(node, shape, sizes, indices) for key, indices in parts.items()}
