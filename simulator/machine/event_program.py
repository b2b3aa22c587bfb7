"""A network, worked out for the kernels of the discipline `event`: slots, neurons, synapses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Conv, Dense, Shape, Sparse, SpikeGraph
from snncc.mapping.descriptor import Windows
from snncc.mapping.masks import NO_MASK
from snncc.mapping.network import Connection, Network, Role
from snncc.simulator.event_neurons import EventNeurons, event_neurons, shift_of
from snncc.simulator.layer_table import aligned
from snncc.simulator.machine.event_kernel import Synapses
from snncc.simulator.machine.event_layout import LIST, ROWS, TAPS, WINDOW
from snncc.simulator.simd import BLOCK, lanes_of
from snncc.simulator.timing import Ints

KINDS = ("dense", "conv", "sparse")
PARTS = ("first", "windows", "list_slot", "list_weight", "weights")
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

    *streamed*: populations that can be worked off one after another; *address* [slots]: of each slot in its
    population; *fan_out*: no spike has more synapses; *blocks*: no window has more blocks of targets.
    """

    network: Network
    neurons: Mapping[str, EventNeurons]
    slots: Slots
    connections: tuple[Connection, ...]
    synapses: Synapses
    streamed: frozenset[str]
    address: NDArray[np.int32]
    fan_out: int
    blocks: int
    biased: tuple[Ints, Ints, Ints]
    """Slots with a bias, by population; their biases; where each population begins, [populations + 1]."""
    counts: list[type[np.signedinteger[Any]]] = field(default_factory=lambda: [np.int8])
    """In which type spikes are counted: the last one, with int32 behind it once the first did not suffice."""
    cells: dict[tuple[int, bool], Any] = field(default_factory=dict)
    """Neurons before a run, made when needed (`snncc.simulator.machine.event_cells`)."""

    @property
    def summed(self) -> int:
        """Slots from the first readout on."""
        begins = zip(self.slots.names, self.slots.begins.tolist(), strict=False)
        readouts = [begin for name, begin in begins if name in self.neurons and not self.neurons[name].fires]
        return self.slots.count - min(readouts, default=self.slots.count)


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
    return EventProgram(
        *(network, neurons, slots, ordered, synapses, streamed_in(network), address, fan_out),
        *(gatherer.blocks, biased_in(slots, neurons)),
    )


def biased_in(slots: Slots, neurons: Mapping[str, EventNeurons]) -> tuple[Ints, Ints, Ints]:
    """As `EventProgram.biased`."""
    slot, bias, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [0]
    for name in slots.names:
        if name in neurons:
            own = neurons[name].bias
            slot.append(slots.of[name][own != 0])
            bias.append(own[own != 0])
        counts.append(sum(map(len, slot)))
    return np.concatenate(slot), np.concatenate(bias), np.array(counts)


def streamed_in(network: Network) -> frozenset[str]:
    """The populations of trees whose roots are inputs, if they come in the order in which they are fed."""
    names, order = frozenset(network.populations), list(network.populations)
    while True:
        kept = frozenset(name for name in names if is_streamed(network, name, names, order))
        if kept == names:
            return names
        names = kept


def is_streamed(network: Network, name: str, names: frozenset[str], order: list[str]) -> bool:
    """Whether it is fed by one of *names* before it (or is an input), and leads to *names* only."""
    sources = [c.source for c in network.into(name)]
    is_input = network.populations[name].role is Role.INPUT
    is_fed = len(sources) == 1 and sources[0] in names and order.index(sources[0]) < order.index(name)
    return (is_input or is_fed) and all(c.target in names for c in network.out_of(name))


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


class Windowed(NamedTuple):
    """The synapses of some entries: *windows* [count, 4], and how many of them each entry has.

    *kind* and *numbers* (from OUTS on) are those of `Synapses.numbers`.
    """

    kind: int
    numbers: tuple[int, int, int]
    windows: Ints
    counts: Ints

    @property
    def synapses(self) -> Ints:
        """How many synapses each window has."""
        return self.windows[:, ROWS] * self.windows[:, TAPS] * self.numbers[0]


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
        numbers = np.array(self.numbers, np.int64).reshape(-1, 7)
        windows, weights = whole["windows"].reshape(-1, 4), padded(narrowed(whole["weights"]))
        if windows.max(initial=0) < 1 << 31:
            windows = windows.astype(np.int32)
        fan_out = max(self.fan_outs.values(), default=1)
        lists = whole["list_slot"], whole["list_weight"]
        return Synapses(begin, numbers, whole["first"], windows, *lists, weights), fan_out

    def add(self, connection: Connection) -> None:
        """One connection."""
        target = list(self.network.populations).index(connection.target)
        order = np.argsort(self.slots.of[connection.source], kind="stable")
        starts, ends = connection.offsets[:-1][order], connection.offsets[1:][order]
        entries = np.asarray(connection.entries, np.int64)[ranges(starts, ends - starts)]
        form = self.form(connection, entries, int(self.slots.begins[target]))
        firsts = sums_before(form.counts)[sums_before(ends - starts)]
        first = self.put("first", firsts + self.put("windows", form.windows) // 4)
        fan_out = int(np.diff(sums_before(form.synapses)[firsts]).max(initial=1))
        self.fan_outs[connection.source] = self.fan_outs.get(connection.source, 0) + fan_out
        if form.kind == WINDOW:
            blocks = form.windows[:, ROWS] * -(-form.windows[:, TAPS] * form.numbers[0] // lanes_of(64))
            self.blocks = max(self.blocks, int(blocks.max(initial=1)))
        self.numbers.append([form.kind, target, first, KINDS.index(connection.kind), *form.numbers])

    def form(self, connection: Connection, entries: Ints, begin: int) -> Windowed:
        """How the kernel finds the targets of *entries*, whose population begins at the slot *begin*."""
        descriptor, node, of = connection.descriptor, connection.node, self.slots.of[connection.target]
        if is_plain(connection, self.network):
            if isinstance(node, Dense) and np.all(np.diff(of) == 1):
                return self.rows(connection, node, entries, begin)
            in_order = len(connection.out) == 3 and np.array_equal(of - begin, channels_last(connection.out))
            if isinstance(node, Conv) and isinstance(descriptor, Windows) and in_order:
                return self.taps(connection, node, descriptor, entries, begin)
        return self.listed(connection, entries, of)

    def rows(self, connection: Connection, node: Dense, entries: Ints, begin: int) -> Windowed:
        """A dense connection: a window is a row of one tap."""
        outs, one = connection.out[-1], np.ones(len(entries), np.int64)
        start = self.put("weights", node.weight.astype(np.int64).T << node.shift)
        row, column = np.divmod(entries, connection.shape[-1])
        windows = np.stack([begin + row * outs, start + column * outs, one, one], axis=1)
        return Windowed(WINDOW, (outs, 0, 0), windows, one)

    def taps(
        self, connection: Connection, node: Conv, window: Windows, entries: Ints, begin: int
    ) -> Windowed:
        """A convolution: a window is all that an event reaches, or one tap where columns lie apart."""
        (kh, kw), (ins, outs), (maps, h, w) = window.kernel, window.per_group, connection.out
        channel, y, x = np.unravel_index(entries, connection.shape)
        group = channel // ins
        rows, columns = axis_of(window, 0, connection.shape, h), axis_of(window, 1, connection.shape, w)
        weight = node.weight.astype(np.int64).reshape(node.groups, outs, ins, kh, kw) << node.shift
        kernels = weight.transpose(0, 2, 3, 4, 1)
        if window.dilation[1] > 1 or node.groups > 1:
            start = self.put("weights", kernels)
            to_y, to_x = rows.target[y][:, :, None], columns.target[x][:, None, :]
            entry, ky, kx = np.nonzero((to_y >= 0) & (to_x >= 0))
            place = rows.target[y[entry], ky] * w + columns.target[x[entry], kx]
            slot = begin + place * maps + group[entry] * outs
            tap = start + ((channel[entry] * kh + ky) * kw + kx) * outs
            counts = np.bincount(entry, minlength=len(entries))
            return Windowed(
                WINDOW, (outs, 0, 0), np.stack([slot, tap, slot * 0 + 1, slot * 0 + 1], axis=1), counts
            )
        down, across = np.lexsort([np.arange(kh), rows.phase]), np.lexsort([-np.arange(kw), columns.phase])
        start = self.put("weights", kernels[:, :, down][:, :, :, across])
        first, last = rows.first[y], columns.last[x]
        slot = begin + (rows.target[y, first] * w + columns.target[x, last]) * maps
        tap = start + ((channel * kh + np.argsort(down)[first]) * kw + np.argsort(across)[last]) * outs
        windows = np.stack([slot, tap, rows.many[y], columns.many[x]], axis=1)
        some = (rows.many[y] > 0) & (columns.many[x] > 0)
        numbers = (outs, -rows.pace * w * maps, kw * outs)
        return Windowed(WINDOW, numbers, windows[some], some.astype(np.int64))

    def listed(self, connection: Connection, entries: Ints, slots: Ints) -> Windowed:
        """An explicit list of the synapses of each entry."""
        entry, output, weight = every_synapse(connection)
        target = connection.lands[output]
        entry, target, weight = (a[target >= 0] for a in (entry, target, weight))
        counts = np.bincount(entry, minlength=prod(connection.shape))
        begin = self.put("list_slot", slots[target])
        self.put("list_weight", weight << shift_of(connection))
        one = np.ones(len(entries), np.int64)
        first = begin + sums_before(counts)[entries]
        return Windowed(LIST, (1, 0, 0), np.stack([first, one, one, counts[entries]], axis=1), one)


class Axis(NamedTuple):
    """Where the taps of a kernel lead to along one axis.

    *target* [places, taps], -1: nowhere. Taps of one *phase* lead from one place to targets that are *pace*
    apart, downward; of each place the *first*, the *last* how *many* of those that lead somewhere.
    """

    target: Ints
    phase: Ints
    pace: int
    first: Ints
    last: Ints
    many: Ints


def axis_of(window: Windows, axis: int, shape: Shape, targets: int) -> Axis:
    """The taps of *window* along axis 0 (rows) or 1 (columns) of a map [C, H, W]."""
    taps, stride, dilation = np.arange(window.kernel[axis]), window.stride[axis], window.dilation[axis]
    place = np.arange(shape[1 + axis])[:, None] + window.padding[axis]
    to, rest = np.divmod(place - taps * dilation, stride)
    ok = (rest == 0) & (to >= 0) & (to < targets)
    step = stride // gcd(stride, dilation)
    first, last = ok.argmax(axis=1), len(taps) - 1 - ok[:, ::-1].argmax(axis=1)
    return Axis(np.where(ok, to, -1), taps % step, step * dilation // stride, first, last, ok.sum(axis=1))


def sums_before(counts: Ints) -> Ints:
    """How many come before each, and all."""
    return np.concatenate([[0], np.cumsum(counts)])


def ranges(starts: Ints, counts: Ints) -> Ints:
    """All numbers of ranges, one after another."""
    return np.repeat(starts - sums_before(counts)[:-1], counts) + np.arange(counts.sum())


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
