"""A graph as a chip sees it: populations, and the connections that events take between them.

A *population* is what cores hold: input neurons, neurons, or *readouts* (accumulators that a host reads:
what reaches an output without a neuron). A *connection* leads from one population through one synapse node
into another; what lies between them (reshaping, pooling by sums, adding of trains) is address arithmetic,
and is worked into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Concat,
    Conv,
    Dense,
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
from snncc.mapping.layer import descriptor_of
from snncc.mapping.masks import NO_MASK, Bools, Ints

MOST = 2**16 - 1
"""The largest count that a message carries where none is bounded."""
Link = Dense | Conv | Sparse


class Role(StrEnum):
    """What a population is."""

    INPUT = "input"
    NEURON = "neuron"
    READOUT = "readout"


@dataclass(frozen=True, slots=True)
class Population:
    """What cores hold of one node; *size* neurons in the row-major order of *shape*.

    In each timestep it sends in *ticks* chip steps (a readout in none). Its messages carry numbers of
    *payload_bits*; 0: they are bare spikes. *depth* is the longest path of undelayed connections from the
    inputs.
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
    tables of a chip: ``dense``, ``conv``, ``sparse``.
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

        Synapses of weight zero inside a kernel or a dense matrix exist, and are counted.
        """
        reached = np.where(self.lands >= 0, mask[self.lands], False)
        per_entry = self._per_entry(reached.reshape(self.out))
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
    """Populations in topological order, and the connections between them."""

    name: str
    timesteps: int
    populations: Mapping[str, Population]
    connections: tuple[Connection, ...]

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

    def network(self) -> Network:
        """All populations and connections."""
        connections: list[Connection] = []
        depths: dict[str, int] = {}
        populations: dict[str, Population] = {}
        for node in self.graph.nodes:
            is_readout = node in self.graph.outputs and not self.graph.edges[node.inputs[0].source].is_events
            if isinstance(node, Neuron) or is_readout:
                into = list(self.connections(node))
                known = [depths[c.source] for c in into if not c.delay and c.source in depths]
                depths[node.name] = 1 + max(known, default=0)
                connections += into
            elif isinstance(node, Input):
                depths[node.name] = 0
            else:
                continue
            populations[node.name] = self.population(node, depths[node.name])
        return Network(self.graph.name, self.graph.timesteps, populations, tuple(connections))

    def population(self, node: Node, depth: int) -> Population:
        """The population of an input, a neuron or an output."""
        edge = self.graph.edges[node.name]
        role, ticks, bits, is_active, state = Role.READOUT, 0, 0, False, 0
        if isinstance(node, Neuron):
            role, ticks, bits = Role.NEURON, node.parameters.fire_ticks, neuron_bits(node)
            state = max(node.parameters.v_bits or 0, node.parameters.i_bits or 0)
            is_active = is_driven(node.parameters) or any(self.has_bias(wire.source) for wire in node.inputs)
        elif isinstance(node, Input):
            role, ticks = Role.INPUT, edge.ticks
            bits = 0 if node.kind is Kind.SPIKE else input_bits(node, edge)
        return Population(node.name, role, edge.shape, ticks, bits, depth, is_active, node.origin, state)

    def has_bias(self, name: str) -> bool:
        """Whether a constant enters on the way from the synapses to a neuron."""
        node = self.graph.by_name[name]
        if isinstance(node, Dense | Conv | Sparse):
            return node.bias is not None and bool(np.any(node.bias))
        if isinstance(node, Neuron | Input):
            return False
        return any(self.has_bias(wire.source) for wire in node.inputs if not self.carries(wire.source))

    def connections(self, node: Node) -> Iterator[Connection]:
        """All connections into a neuron or an output."""
        targets = np.arange(self.graph.edges[node.name].size)
        for wire in node.inputs:
            yield from self.behind(wire, targets.reshape(self.graph.edges[wire.source].shape), 0, node.name)

    def carries(self, name: str) -> bool:
        """Whether the node *name* yields events, or data from outside, perhaps under other addresses."""
        node = self.graph.by_name[name]
        if self.graph.edges[name].is_events or isinstance(node, Input):
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
            )

    def gather(self, name: str) -> Mapping[tuple[str, int], Ints]:
        """For each population (and delay) the source addresses [*shape, m] that the node *name* sums."""
        if name not in self.trains:
            self.trains[name] = self.gathered(self.graph.by_name[name])
        return self.trains[name]

    def gathered(self, node: Node) -> dict[tuple[str, int], Ints]:
        """As `gather`."""
        shape = self.graph.edges[node.name].shape
        if isinstance(node, Neuron | Input):
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
    "MaxPool": "pool by sums or averages, or by a stride",
    "Maximum": "add the trains instead",
    "Affine": "fold it: compile with the default passes",
    "Pool": "put the pooling behind the neuron",
    "Mul": "compile with attention='static', or simulate without a chip",
    "SideOperation": "compile with attention='static', or simulate without a chip",
    "DynamicSynapse": "products of two trains are not mapped to cores; simulate without a chip",
    "Gate": "gates are not mapped to cores; simulate without a chip",
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
