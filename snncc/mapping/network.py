"""A graph as a chip sees it: populations, and the connections that events take between them.

A *population* is what cores hold: input neurons, neurons, *relays* (maxima of events), or *readouts*
(accumulators that a host reads: what reaches an output without a neuron). A *connection* leads from one
population through one synapse node into another; what lies between them (reshaping, pooling by sums, adding
of trains) is address arithmetic, and is worked into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

import numpy as np

from snncc.ir import Conv, Dense, Shape, Sparse
from snncc.ir.arrays import Array, seal_fields
from snncc.mapping.descriptor import Rows, Windows
from snncc.mapping.hosted import Task
from snncc.mapping.layer import descriptor_of
from snncc.mapping.masks import NO_MASK, Bools, Ints
from snncc.mapping.products import WRITE

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
