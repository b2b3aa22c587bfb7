"""A network, worked out for the kernels of the discipline `event`: slots, neurons, synapses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Conv, Dense, Shape, Sparse, SpikeGraph
from snncc.mapping.descriptor import Windows
from snncc.mapping.masks import NO_MASK
from snncc.mapping.network import Connection, Network
from snncc.simulator.event_neurons import EventNeurons, event_neurons, shift_of
from snncc.simulator.layer_table import aligned
from snncc.simulator.machine.event_kernel import NONE, Synapses
from snncc.simulator.machine.event_layout import (
    CHANNEL_BITS,
    GROUP_BITS,
    INVERSE,
    INVERSE_BITS,
    LIST,
    SIDE,
    SIDE_BITS,
    TAPS,
)
from snncc.simulator.simd import BLOCK, lanes_of
from snncc.simulator.timing import Ints

KINDS = ("dense", "conv", "sparse")
PARTS = (
    *("first", "last", "single", "entry", "list_first", "list_slot", "list_weight"),
    *("run_first", "runs", "weights"),
)
COLUMNS = INVERSE + 1
CHUNK = 1 << 16
"""Entries whose synapses are listed at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Where neurons are: *begins* [populations + 1], and *of* each population the slots of its addresses."""

    names: tuple[str, ...]
    begins: Ints
    of: Mapping[str, Ints]

    @property
    def count(self) -> int:
        """Slots of all populations."""
        return int(self.begins[-1])

    def place(self, slot: int) -> tuple[str, int]:
        """Population and address of a slot."""
        name = self.names[int(np.searchsorted(self.begins, slot, side="right")) - 1]
        return name, int(np.flatnonzero(self.of[name] == slot)[0])


@dataclass(frozen=True, slots=True, eq=False)
class EventProgram:
    """Everything that does not depend on data.

    *address* [slots]: of each slot in its population; *fan_out*: no spike has more synapses; *blocks*: no
    entry has more blocks of targets.
    """

    network: Network
    neurons: Mapping[str, EventNeurons]
    slots: Slots
    connections: tuple[Connection, ...]
    synapses: Synapses
    address: NDArray[np.int32]
    fan_out: int
    blocks: int


def is_plain(connection: Connection, network: Network) -> bool:
    """Whether the outputs of the synapse node are the neurons of the target, one by one."""
    size = network.populations[connection.target].size
    return np.array_equal(connection.lands, np.arange(size))


def event_program(graph: SpikeGraph, network: Network) -> EventProgram:
    """The tables of *network*, whose connections keep their order for each source."""
    slots = slots_of(network)
    ordered = tuple(c for name in network.populations for c in network.out_of(name))
    gatherer = Gatherer(network, slots)
    synapses, fan_out = gatherer.gathered(ordered)
    neurons = event_neurons(graph, network)
    address = np.concatenate([np.argsort(slots.of[name]) for name in slots.names]).astype(np.int32)
    return EventProgram(network, neurons, slots, ordered, synapses, address, fan_out, gatherer.blocks)


def slots_of(network: Network) -> Slots:
    """Channels last for what a convolution leads to, else in the order of addresses."""
    begins = np.cumsum([0, *(p.size for p in network.populations.values())])
    of = {}
    for (name, population), begin in zip(network.populations.items(), begins, strict=False):
        maps = [c.out for c in network.into(name) if isinstance(c.node, Conv) and is_plain(c, network)]
        of[name] = begin + (channels_last(maps[0]) if maps else np.arange(population.size))
    return Slots(tuple(network.populations), begins, of)


def channels_last(shape: Shape) -> Ints:
    """The place of each address of a map [C, H, W] where channels are neighbors."""
    channels, height, width = shape
    return np.arange(prod(shape)).reshape(height, width, channels).transpose(2, 0, 1).reshape(-1)


class Gatherer:
    """Puts the synapses of all connections into arrays."""

    def __init__(self, network: Network, slots: Slots) -> None:
        self.network, self.slots = network, slots
        self.numbers: list[list[int]] = []
        self.parts: dict[str, list[Ints]] = {name: [] for name in PARTS}
        self.sizes = dict.fromkeys(self.parts, 0)
        self.fan_outs: dict[str, int] = {}
        self.blocks = 1

    def put(self, name: str, array: Ints) -> int:
        """Append *array* to the part *name*; where it begins."""
        begin = self.sizes[name]
        self.parts[name].append(np.asarray(array, np.int64).reshape(-1))
        self.sizes[name] += array.size
        return begin

    def gathered(self, connections: tuple[Connection, ...]) -> tuple[Synapses, int]:
        """All connections, and the most synapses of a spike."""
        names = list(self.network.populations)
        for connection in connections:
            self.add(connection)
        sources = [names.index(connection.source) for connection in connections]
        whole = {name: np.concatenate([np.zeros(0, np.int64), *p]) for name, p in self.parts.items()}
        begin = np.searchsorted(sources, np.arange(len(names) + 1))
        numbers = np.array(self.numbers, np.int64).reshape(-1, COLUMNS)
        weights = padded(narrowed(whole.pop("weights")))
        whole["runs"] = whole["runs"].reshape(-1, 3)
        return Synapses(begin, numbers, **whole, weights=weights), max(self.fan_outs.values(), default=1)

    def add(self, connection: Connection) -> None:
        """One connection."""
        target = list(self.network.populations).index(connection.target)
        begin, of = int(self.slots.begins[target]), self.slots.of[connection.target]
        kind, rest, per_entry = self.form(connection, begin, of)
        order = np.argsort(self.slots.of[connection.source], kind="stable")
        found = packed(connection, kind)
        entries = self.put("entry", found)
        begins, ends = connection.offsets[:-1][order], connection.offsets[1:][order]
        first = self.put("first", begins + entries)
        self.put("last", ends + entries)
        is_single = ends - begins == 1
        single = np.full(len(begins), NONE)
        single[is_single] = found[begins[is_single]]
        self.put("single", single)
        sums = np.concatenate([[0], np.cumsum(per_entry[connection.entries])])[connection.offsets]
        fan_out = int(np.diff(sums).max(initial=1))
        self.fan_outs[connection.source] = self.fan_outs.get(connection.source, 0) + fan_out
        self.numbers.append([kind, target, first, KINDS.index(connection.kind), *rest])

    def form(self, connection: Connection, begin: int, of: Ints) -> tuple[int, list[int], Ints]:
        """How the kernel finds targets, its numbers from SLOT on, and the most synapses of each entry."""
        descriptor, node = connection.descriptor, connection.node
        if is_plain(connection, self.network) and descriptor is not None:
            most = np.full(prod(connection.shape), descriptor.fan_out)
            if isinstance(node, Dense) and np.all(np.diff(of) == 1) and prod(connection.shape[:-1]) < SIDE:
                return TAPS, self.rows(connection, node, begin), most
            in_order = len(connection.out) == 3 and np.array_equal(of - begin, channels_last(connection.out))
            in_order = in_order and max(connection.shape) < SIDE
            if isinstance(node, Conv) and isinstance(descriptor, Windows) and in_order:
                return TAPS, self.taps(connection, node, descriptor, begin), most
        start, counts = self.listed(connection, of)
        return LIST, [0, start, *[0] * 8], counts

    def rows(self, connection: Connection, node: Dense, begin: int) -> list[int]:
        """The numbers of a dense connection from SLOT on: a kernel of 1 x 1 on a map of 1 x 1."""
        weight = node.weight.astype(np.int64) << node.shift
        outs, one = connection.out[-1], self.runs([[(0, 0, 1)]])
        start, self.blocks = self.put("weights", weight.T), max(self.blocks, blocks_of(outs))
        return [begin, start, outs, one, one, outs, outs, outs, outs, 0]

    def taps(self, connection: Connection, node: Conv, window: Windows, begin: int) -> list[int]:
        """The numbers of a convolution from SLOT on.

        The taps of a row are stored so that those which follow one another lead to neighbors from one place:
        by what is left of their number after division by the stride, and from the last to the first.
        """
        (kh, kw), (ins, outs), stride = window.kernel, window.per_group, window.stride[1]
        _, height, width = connection.shape
        maps, h, w = connection.out
        order = sorted(range(kw), key=lambda tap: (tap % stride, -tap))
        weight = (node.weight.astype(np.int64) << node.shift).reshape(node.groups, outs, ins, kh, kw)
        start = self.put("weights", weight.transpose(0, 2, 3, 4, 1)[:, :, :, order])
        rows = self.runs([[(*way, 1) for way in ways] for ways in ways_of(window, height, h, 0)])
        is_joined = window.dilation[1] == 1 and node.groups == 1
        columns = []
        for ways in ways_of(window, width, w, 1):
            found = [(order.index(tap), to, 1) for tap, to in ways]
            if is_joined and found:
                found = [(found[-1][0], found[-1][1], len(found))]
            columns.append(found)
            self.blocks = max(self.blocks, kh * sum(blocks_of(outs * count) for *_, count in found))
        line, kernel = w * maps, kh * kw * outs
        return [begin, start, outs, rows, self.runs(columns), line, maps, kernel, kw * outs, inverse(outs)]

    def runs(self, places: list[list[tuple[int, int, int]]]) -> int:
        """Tap, target and count of the runs of each place of an axis; where their table begins."""
        begin = self.sizes["runs"] // 3
        self.put("runs", np.array([run for runs in places for run in runs], np.int64))
        return self.put("run_first", begin + np.cumsum([0, *map(len, places)]))

    def listed(self, connection: Connection, slots: Ints) -> tuple[int, Ints]:
        """An explicit list of the synapses of each entry; where it begins, and their numbers."""
        entry, output, weight = every_synapse(connection)
        target = connection.lands[output]
        entry, target, weight = (a[target >= 0] for a in (entry, target, weight))
        counts = np.bincount(entry, minlength=prod(connection.shape))
        begin = self.put("list_slot", slots[target])
        self.put("list_weight", weight << shift_of(connection))
        return self.put("list_first", begin + np.concatenate([[0], np.cumsum(counts)])), counts


def ways_of(window: Windows, places: int, targets: int, axis: int) -> list[list[tuple[int, int]]]:
    """Of each place of an axis its taps, and where they lead to."""
    stride, padding, dilation = window.stride[axis], window.padding[axis], window.dilation[axis]
    ways = []
    for place in range(places):
        reached = [
            (tap, divmod(place + padding - tap * dilation, stride)) for tap in range(window.kernel[axis])
        ]
        ways.append([(tap, to) for tap, (to, rest) in reached if not rest and 0 <= to < targets])
    return ways


def blocks_of(targets: int) -> int:
    """No width of potentials needs more blocks."""
    return -(-targets // lanes_of(64))


def inverse(outs: int) -> int:
    """The factor by which the kernel divides by *outs*: shifted by INVERSE_BITS."""
    return -(-(1 << INVERSE_BITS) // outs)


def packed(connection: Connection, kind: int) -> Ints:
    """The entries of *connection* as the kernel reads them."""
    entries, shape = np.asarray(connection.entries, np.int64), connection.shape
    if kind == TAPS and isinstance(connection.node, Dense):
        row, column = np.divmod(entries, shape[-1])
        return row << GROUP_BITS | column << CHANNEL_BITS
    if kind == TAPS:
        assert isinstance(connection.node, Conv)
        channel, y, x = np.unravel_index(entries, shape)
        group = channel // (shape[0] // connection.node.groups)
        return y | x << SIDE_BITS | group << GROUP_BITS | channel << CHANNEL_BITS
    return entries


def every_synapse(connection: Connection) -> tuple[Ints, Ints, Ints]:
    """Entry, output and weight of every synapse of the node, by entry."""
    entries, node = np.arange(prod(connection.shape)), connection.node
    if node is None:
        return entries, entries, np.ones(len(entries), np.int64)
    if isinstance(node, Sparse):
        order = np.argsort(node.pre, kind="stable")
        return (
            node.pre[order].astype(np.int64),
            node.post[order].astype(np.int64),
            node.weight[order].astype(np.int64),
        )
    descriptor = connection.descriptor
    assert descriptor is not None
    parts = []
    for start in range(0, len(entries), CHUNK):
        event, output, address = descriptor.synapses(entries[start : start + CHUNK], NO_MASK)
        parts.append((event + start, output, node.weight.reshape(-1)[address].astype(np.int64)))
    entry, output, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return entry, output, weight


def narrowed(weights: Ints) -> NDArray[np.signedinteger[Any]]:
    """*weights* in 8 bits if they fit, else in 32 (and two of them still fit), else in 64."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    if low >= -128 and high <= 127:
        return weights.astype(np.int8)
    return weights.astype(np.int32) if max(-low, high) <= 1 << 30 else weights


def padded(weights: NDArray[np.signedinteger[Any]]) -> NDArray[np.signedinteger[Any]]:
    """A copy of *weights* that begins at a whole block and can be read a block beyond its end."""
    return aligned(np.append(weights, np.zeros(BLOCK, weights.dtype)), weights.dtype.str)
