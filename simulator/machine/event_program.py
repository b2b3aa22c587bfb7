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
from snncc.simulator.machine.event_kernel import LIST, ROWS, SIDE, SIDE_BITS, TAPS, Synapses
from snncc.simulator.timing import Ints

KINDS = ("dense", "conv", "sparse")
PARTS = (
    *("first", "last", "entry", "list_first", "list_slot", "list_weight"),
    *("tap_first", "tap", "tap_to", "weights"),
)
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
    """Everything that does not depend on data. *fan_out*: no spike has more synapses."""

    network: Network
    neurons: Mapping[str, EventNeurons]
    slots: Slots
    connections: tuple[Connection, ...]
    synapses: Synapses
    fan_out: int


def is_plain(connection: Connection, network: Network) -> bool:
    """Whether the outputs of the synapse node are the neurons of the target, one by one."""
    size = network.populations[connection.target].size
    return np.array_equal(connection.lands, np.arange(size))


def event_program(graph: SpikeGraph, network: Network) -> EventProgram:
    """The tables of *network*, whose connections keep their order for each source."""
    slots = slots_of(network)
    ordered = tuple(c for name in network.populations for c in network.out_of(name))
    synapses, fan_out = Gatherer(network, slots).gathered(ordered)
    return EventProgram(network, event_neurons(graph, network), slots, ordered, synapses, fan_out)


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
        numbers = np.array(self.numbers, np.int64).reshape(-1, 13)
        weights = narrowed(whole.pop("weights"))
        return Synapses(begin, numbers, **whole, weights=weights), max(self.fan_outs.values(), default=1)

    def add(self, connection: Connection) -> None:
        """One connection."""
        target = list(self.network.populations).index(connection.target)
        begin, of = int(self.slots.begins[target]), self.slots.of[connection.target]
        kind, rest, per_entry = self.form(connection, begin, of)
        order = np.argsort(self.slots.of[connection.source], kind="stable")
        entries = self.put("entry", packed(connection, kind))
        first = self.put("first", connection.offsets[:-1][order] + entries)
        self.put("last", connection.offsets[1:][order] + entries)
        sums = np.concatenate([[0], np.cumsum(per_entry[connection.entries])])[connection.offsets]
        fan_out = int(np.diff(sums).max(initial=1))
        self.fan_outs[connection.source] = self.fan_outs.get(connection.source, 0) + fan_out
        self.numbers.append([kind, target, first, KINDS.index(connection.kind), *rest])

    def form(self, connection: Connection, begin: int, of: Ints) -> tuple[int, list[int], Ints]:
        """How the kernel finds targets, its numbers from SLOT on, and the most synapses of each entry."""
        descriptor, node = connection.descriptor, connection.node
        if is_plain(connection, self.network) and descriptor is not None:
            most = np.full(prod(connection.shape), descriptor.fan_out)
            if isinstance(node, Dense) and np.all(np.diff(of) == 1):
                return ROWS, self.rows(connection, node, begin), most
            in_order = len(connection.out) == 3 and np.array_equal(of - begin, channels_last(connection.out))
            in_order = in_order and max(connection.shape) < SIDE
            if isinstance(node, Conv) and isinstance(descriptor, Windows) and in_order:
                return TAPS, self.taps(connection, node, descriptor, begin), most
        start, counts = self.listed(connection, of)
        return LIST, [0, start, *[0] * 7], counts

    def rows(self, connection: Connection, node: Dense, begin: int) -> list[int]:
        """The numbers of a dense connection from SLOT on."""
        weight = node.weight.astype(np.int64) << node.shift
        return [begin, self.put("weights", weight.T), connection.out[-1], *[0] * 6]

    def taps(self, connection: Connection, node: Conv, window: Windows, begin: int) -> list[int]:
        """The numbers of a convolution from SLOT on."""
        (kh, kw), (ins, outs) = window.kernel, window.per_group
        _, height, width = connection.shape
        maps, h, w = connection.out
        weight = (node.weight.astype(np.int64) << node.shift).reshape(node.groups, outs, ins, kh, kw)
        start = self.put("weights", weight.transpose(0, 2, 3, 4, 1))
        rows, columns = self.axis(window, height, h, 0), self.axis(window, width, w, 1)
        return [begin, start, outs, rows, columns, w, maps, kh, kw]

    def axis(self, window: Windows, places: int, targets: int, axis: int) -> int:
        """Of each place of an axis its taps and where they lead to; the first row of the table."""
        first = [self.sizes["tap"]]
        for place in range(places):
            found = []
            for tap in range(window.kernel[axis]):
                to, rest = divmod(
                    place + window.padding[axis] - tap * window.dilation[axis], window.stride[axis]
                )
                if not rest and 0 <= to < targets:
                    found.append((tap, to))
            self.put("tap", np.array([tap for tap, _ in found], np.int64))
            self.put("tap_to", np.array([to for _, to in found], np.int64))
            first.append(first[-1] + len(found))
        return self.put("tap_first", np.array(first))

    def listed(self, connection: Connection, slots: Ints) -> tuple[int, Ints]:
        """An explicit list of the synapses of each entry; where it begins, and their numbers."""
        entry, output, weight = every_synapse(connection)
        target = connection.lands[output]
        entry, target, weight = (a[target >= 0] for a in (entry, target, weight))
        counts = np.bincount(entry, minlength=prod(connection.shape))
        begin = self.put("list_slot", slots[target])
        self.put("list_weight", weight << shift_of(connection))
        return self.put("list_first", begin + np.concatenate([[0], np.cumsum(counts)])), counts


def packed(connection: Connection, kind: int) -> Ints:
    """The entries of *connection* as the kernel reads them."""
    entries, shape = np.asarray(connection.entries, np.int64), connection.shape
    if kind == ROWS:
        row, column = np.divmod(entries, shape[-1])
        return column | row << 3 * SIDE_BITS
    if kind == TAPS:
        assert isinstance(connection.node, Conv)
        channel, y, x = np.unravel_index(entries, shape)
        group = channel // (shape[0] // connection.node.groups)
        return y | x << SIDE_BITS | group << 2 * SIDE_BITS | channel << 3 * SIDE_BITS
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
