"""A graph as a chip sees it: populations, and the connections that events take between them.

A *population* is what cores hold: input neurons, neurons, *relays* (maxima of events), or *readouts*
(accumulators that a host reads: what reaches an output without a neuron). A *connection* leads from one
population through one synapse node into another; what lies between them (reshaping, pooling by sums, adding
of trains) is address arithmetic, and is worked into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
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
    Edge,
    Emit,
    Encoding,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Pad,
    Pool,
    Reshape,
    Shape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    Wire,
    place,
)
from snncc.ir.arrays import Array, seal_fields
from snncc.mapping.descriptor import Rows, Windows
from snncc.mapping.hosted import (
    Task,
    closure,
    edge_bits,
    hosted,
    largest_numbers,
    number_bits,
    sent_by_host,
    tapped,
    tasks_of,
)
from snncc.mapping.layer import descriptor_of
from snncc.mapping.masks import NO_MASK, Bools, Ints
from snncc.mapping.products import READ, WRITE, link, settle
from snncc.mapping.relay import Relay, check_whole, is_relay, relay_reads
from snncc.reference.execute import stages_of

MOST = 2**16 - 1
"""The largest count that a message carries where none is bounded."""
Link = Dense | Conv | Sparse


class Role(StrEnum):
    """What a population is."""

    INPUT = "input"
    NEURON = "neuron"
    RELAY = "relay"
    """Sends in each tick the largest of what came in it."""
    TAP = "tap"
    """Sums what comes in a timestep, and sends it as one number: to the host, or to who pools it."""
    PRODUCT = "product"
    """Sums the product of two trains in a timestep, and sends it as a number."""
    HOST = "host"
    """Sent by the host; no core holds it."""
    READOUT = "readout"


@dataclass(frozen=True, slots=True)
class Population:
    """What cores hold of one node; *size* neurons in the row-major order of *shape*.

    In each timestep it sends in *ticks* chip steps (a readout in none). Its messages carry numbers of
    *payload_bits*; 0: they are bare spikes. *depth* is the longest path of undelayed connections from the
    inputs. *stage*: a population of a later one is swept when all timesteps of the earlier ones are over.
    *is_active*: a neuron has a bias or a leak, so it needs an update also when nothing came. *state_bits*:
    the width of its widest state; 0: none, or none was given.
    """

    name: str
    role: Role
    shape: Shape
    ticks: int
    payload_bits: int
    depth: int
    is_active: bool
    origin: str = ""
    state_bits: int = 0
    stage: int = 0

    @property
    def size(self) -> int:
        """How many neurons."""
        return prod(self.shape)

    @property
    def steps(self) -> int:
        """Chip steps in which its cores sweep it in each timestep."""
        return max(1, self.ticks)


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """Synapses from *source* to *target* (populations), *delay* timesteps late.

    *reads* [entries, m] has the source addresses of which each input of the synapse node is the sum, -1:
    none. *lands* [outputs] has the target address of each of its outputs, -1: none. Without a *node* each
    entry is one synapse of weight 1 to the output of the same address. *kind* names its synapses in the
    tables of a chip: ``dense``, ``conv``, ``sparse``. *rule*: it is an operand of a product, ``write`` (each
    input is an entry of *entry_bits* of the core's accumulator) or ``read``, and its kind is that.
    """

    source: str
    target: str
    node: Link | None
    shape: Shape
    out: Shape
    reads: Array
    lands: Array
    delay: int
    sources: int
    rule: str = ""
    entry_bits: int = 0
    offsets: Array = field(init=False)
    entries: Array = field(init=False)

    def __post_init__(self) -> None:
        seal_fields(self, "reads", "lands")
        flat = self.reads.reshape(-1)
        order = np.argsort(flat, kind="stable")
        order = order[flat[order] >= 0]
        counts = np.bincount(flat[order], minlength=self.sources)
        object.__setattr__(self, "offsets", np.concatenate([[0], np.cumsum(counts)]))
        object.__setattr__(self, "entries", order // self.reads.shape[1])
        seal_fields(self, "offsets", "entries")

    @property
    def kind(self) -> str:
        """How a chip calls its synapses."""
        if self.rule:
            return self.rule
        return {Dense: "dense", Conv: "conv"}.get(type(self.node), "sparse")

    @property
    def descriptor(self) -> Rows | Windows | None:
        """What generates targets and weight addresses; None: nothing but a list."""
        return None if self.node is None else descriptor_of(self.node, self.shape, self.out)

    def entries_of(self, source: int) -> Ints:
        """The inputs of the synapse node that read the neuron at address *source*."""
        return self.entries[self.offsets[source] : self.offsets[source + 1]]

    def counts(self, mask: Bools) -> Ints:
        """How many synapses lead from each source neuron to the targets in *mask* [targets], [sources].

        Of an operand that is written: how many entries it has, if *mask* is what one core holds.

        Synapses of weight zero inside a kernel or a dense matrix exist, and are counted.
        """
        reached = np.where(self.lands >= 0, mask[self.lands], False)
        per_entry = self._per_entry(reached.reshape(self.out))
        if self.rule == WRITE:
            per_entry = np.minimum(per_entry, 1)
        sums = np.concatenate([[0], np.cumsum(per_entry[self.entries])])
        return sums[self.offsets[1:]] - sums[self.offsets[:-1]]

    def _per_entry(self, reached: Bools) -> Ints:
        """How many synapses lead from each input of the node to its outputs in *reached*."""
        match self.node:
            case None:
                return reached.reshape(-1).astype(np.int64)
            case Dense():
                sums = reached.sum(axis=-1, dtype=np.int64)
                return np.repeat(sums.reshape(-1), self.shape[-1])
            case Sparse():
                kept = self.node.pre[reached.reshape(-1)[self.node.post]]
                return np.bincount(kept, minlength=prod(self.shape))
            case Conv():
                return conv_counts(self.node, self.shape, reached)

    def synapses(self, source: int) -> tuple[Ints, Ints]:
        """Targets and weights of all synapses that one event of the neuron *source* meets, one by one."""
        entries = self.entries_of(source)
        match self.node:
            case None:
                targets, weights = self.lands[entries], np.ones(len(entries), np.int64)
            case Sparse():
                index = np.concatenate([np.flatnonzero(self.node.pre == entry) for entry in [*entries, -1]])
                targets, weights = self.lands[self.node.post[index]], self.node.weight[index]
            case _:
                descriptor = self.descriptor
                assert descriptor is not None
                _, target, address = descriptor.synapses(np.asarray(entries), NO_MASK)
                targets, weights = self.lands[target], self.node.weight.reshape(-1)[address]
        kept = targets >= 0
        return targets[kept], weights[kept].astype(np.int64)


def conv_counts(node: Conv, shape: Shape, reached: Bools) -> Ints:
    """Of each input of a convolution the number of synapses to outputs in *reached* [F, h, w], flat."""
    groups, (top, _, left, _) = node.groups, node.padding
    (kh, kw), (sy, sx), (dy, dx) = node.weight.shape[2:], node.stride, node.dilation
    channels, height, width = shape
    h, w = reached.shape[1:]
    maps = reached.reshape(groups, -1, h, w).sum(axis=1, dtype=np.int64)
    padded = np.zeros((groups, (h - 1) * sy + (kh - 1) * dy + 1, (w - 1) * sx + (kw - 1) * dx + 1), np.int64)
    for y in range(kh):
        for x in range(kw):
            padded[:, y * dy : y * dy + (h - 1) * sy + 1 : sy, x * dx : x * dx + (w - 1) * sx + 1 : sx] += (
                maps
            )
    whole = np.zeros((groups, height, width), np.int64)
    inner = padded[:, top : top + height, left : left + width]
    whole[:, : inner.shape[1], : inner.shape[2]] = inner
    return np.repeat(whole, channels // groups, axis=0).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Populations in topological order, and the connections between them.

    *tasks*: what the host computes for each population that it sends. *to_host*: which neurons of a
    population send to the host as well.
    """

    name: str
    timesteps: int
    populations: Mapping[str, Population]
    connections: tuple[Connection, ...]
    tasks: Mapping[str, Task] = field(default_factory=dict)
    to_host: Mapping[str, Bools] = field(default_factory=dict)

    @property
    def has_host(self) -> bool:
        """Whether a host takes part."""
        return bool(self.tasks)

    @property
    def senders(self) -> list[str]:
        """The populations that send: inputs and neurons."""
        return [p.name for p in self.populations.values() if p.role is not Role.READOUT]

    def into(self, name: str) -> Iterator[Connection]:
        """The connections that lead to the population *name*."""
        return (c for c in self.connections if c.target == name)

    def out_of(self, name: str) -> Iterator[Connection]:
        """The connections that leave the population *name*."""
        return (c for c in self.connections if c.source == name)


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


HINTS = {
    "MaxPool": "put the pooling behind the neuron",
    "Maximum": "take the maximum of spikes, behind the neurons",
    "Affine": "fold it: compile with the default passes",
}


def moved(node: Node, shape: Shape, sizes: Sequence[Shape], indices: Sequence[tuple[int, Ints]]) -> Ints:
    """What *node* makes of the source addresses that its inputs sum: (number of the input, [*shape, m])."""
    if isinstance(node, Add):
        return np.concatenate([np.broadcast_to(i, (*shape, i.shape[-1])) for _, i in indices], axis=-1)
    if isinstance(node, Concat):
        widest = max(index.shape[-1] for _, index in indices)
        pieces = [np.full((*size, widest), -1) for size in sizes]
        for k, index in indices:
            pieces[k][..., : index.shape[-1]] = index
        return np.concatenate(pieces, axis=node.axis)
    ((_, index),) = indices
    match node:
        case Reshape():
            return index.reshape(*shape, -1)
        case Transpose():
            return index.transpose(*node.axes, len(node.axes))
        case Slice():
            cut = [slice(None)] * index.ndim
            cut[node.axis] = slice(node.start, node.stop, node.step)
            return index[tuple(cut)]
        case Pad():
            if np.any(node.value):
                raise CannotLower(f"{place(node)}: pads events with {node.value}, a core can only pad with 0")
            return padded(index, node.padding)
        case Pool():
            return windows(padded(index, node.padding), node, shape)
        case _:
            raise CannotLower(f"{place(node)}: is no address arithmetic")


def padded(index: Ints, padding: tuple[int, int, int, int]) -> Ints:
    """Source addresses [..., H, W, m] with a border that reads nothing."""
    top, bottom, left, right = padding
    width = [(0, 0)] * (index.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    return np.pad(index, width, constant_values=-1)


def windows(index: Ints, node: Pool, shape: Shape) -> Ints:
    """Source addresses that each window of a pool sums, [*shape, kh * kw * m]."""
    view = np.lib.stride_tricks.sliding_window_view(index, node.kernel, axis=(-3, -2))
    picked = view[..., :: node.stride[0], :: node.stride[1], :, :, :][..., : shape[-2], : shape[-1], :, :, :]
    return picked.reshape(*shape, -1)


def is_driven(p: NeuronParameters) -> bool:
    """Whether a neuron changes in a timestep in which nothing comes: by a bias or a leak."""
    return bool(np.any(p.bias)) or bool(np.any(p.leak != 1 << p.leak_shift)) or p.has_current


def neuron_bits(node: Neuron) -> int:
    """Bits of the numbers that a neuron sends; 0: bare spikes. Raises `CannotLower`."""
    p = node.parameters
    if p.encoding is Encoding.STREAM:
        hint = "compile with encoding='spikes' or 'graded'"
        raise CannotLower(f"{place(node)}: streaming has no place in chip steps", hint=hint)
    if p.emit is not Emit.COUNT:
        raise CannotLower(f"{place(node)}: sends real numbers, a chip's neurons send spikes")
    if p.max_count is None and p.encoding is not Encoding.GRADED:
        raise CannotLower(
            f"{place(node)}: any number of spikes may leave in a timestep, a bound is needed",
            hint="give the neuron a max_count, or compile without a chip",
        )
    is_graded = p.encoding is Encoding.GRADED and p.max_count != 1
    return (p.max_count or MOST).bit_length() if is_graded else 0


def input_bits(node: Input, edge: Edge) -> int:
    """Bits of the numbers that an input sends; 0: bare spikes."""
    if node.kind is Kind.COUNT:
        return (edge.max_count or MOST).bit_length()
    low, high = node.low or 0, node.high or 0
    return max((-low - 1).bit_length() + 1 if low < 0 else 0, high.bit_length() + (low < 0), 1)
