"""Address tables: from the address of an incoming spike to its targets and their weights.

A table is *generated* from a descriptor, as address-mapping hardware does (Loihi's convolutional axons,
Speck's kernels), or *explicit*: a list for each source. Both compute exactly the weighted sum of their
node (`snncc.reference.synapse.weighted_sum`; bias and shift are the neuron's business), and both count
their memory in bits, each address and field as wide as its own range needs: what a chip rounds up to its
words, or pads to powers of two, is the chip's business.

**Masks** (spike sparse convolution). By the rule "patch", positions outside of the keep map are never
targets: an explicit table omits their entries, a generated one looks the map up. By the rule "center" a
position receives only in timesteps in which the input under its kernel's center spikes, in any channel. A
list cannot say that, as it depends on other events of the timestep. So each input position has an *opening*
entry: the one output position whose center it is, or none (with a stride, most have none). Execution reads
the events of a timestep twice (see `snncc.mapping.execute`), and has one flag for each output position.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod

import numpy as np

from snncc.ir import Shape
from snncc.ir.arrays import Array, seal_fields
from snncc.mapping.descriptor import Descriptor, Synapses, field_bits, width
from snncc.mapping.masks import NO_MASK, Ints, Mask


@dataclass(frozen=True, slots=True)
class Memory:
    """What a table stores, in bits.

    *pointers*: where the list of each source begins, and where the last ends. *entries*: (target address,
    weight address) of each synapse. *weights*: at their width. *opening*: the output position that each
    input position opens, or none. *flags*: whether an output position is open; written during execution.
    """

    descriptor: int = 0
    mask: int = 0
    pointers: int = 0
    entries: int = 0
    weights: int = 0
    opening: int = 0
    flags: int = 0

    @property
    def bits(self) -> int:
        """The sum."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """Targets and weight addresses are computed from a *descriptor*; *weights* are the node's, stored once.

    A weight address is the place in the node's flat weight array; a pooling has the one weight 1.
    """

    name: str
    descriptor: Descriptor
    weights: Array
    weight_bits: int
    mask: Mask = NO_MASK

    def __post_init__(self) -> None:
        seal_fields(self, "weights")

    @property
    def shape(self) -> Shape:
        """The input's shape; sources are its row-major addresses."""
        return self.descriptor.shape

    @property
    def out(self) -> Shape:
        """The output's shape; targets are its row-major addresses."""
        return self.descriptor.out

    @property
    def fan_out(self) -> int:
        """The most synapses that one event can meet."""
        return self.descriptor.fan_out

    @property
    def fan_in(self) -> int:
        """The most synapses that one target can have."""
        return self.descriptor.fan_in

    @property
    def fields(self) -> dict[str, int]:
        """What the descriptor stores, by name: sizes of the layer, and of its mask."""
        h, w = (0, 0) if self.mask.keep is None else self.mask.keep.shape
        mask = {"mask_y": h, "mask_x": w, "needs_center": int(self.mask.needs_center)}
        return self.descriptor.fields | mask

    @property
    def memory(self) -> Memory:
        """Descriptor, keep map as it was given (not scaled), one copy of the weights."""
        return Memory(
            descriptor=field_bits(self.fields),
            mask=self.mask.bits,
            weights=self.weights.size * self.weight_bits,
            flags=prod(self.out[-2:]) if self.mask.needs_center else 0,
        )

    def synapses(self, sources: Ints) -> Synapses:
        """The synapses of events at *sources* [n]; also those of weight 0."""
        return self.descriptor.synapses(sources, self.mask)

    def opened(self, sources: Ints) -> Ints:
        """The output position that an event at each source [n] opens; -1: none, or no rule "center"."""
        if not self.mask.needs_center:
            return np.full(len(sources), -1)
        return self.descriptor.opened(sources, self.mask)


@dataclass(frozen=True, slots=True, eq=False)
class Explicit:
    """A list of (target, weight address) for each source; synapses of weight 0 are left out.

    The list of source s is entries ``pointers[s]`` to ``pointers[s + 1]`` of *targets* and *addresses*;
    *weights* are all different. *openings* [H * W], by the rule "center": the output position that each
    input position opens, -1: none. *mask* is no part of the memory: masked targets are in no list.
    """

    name: str
    shape: Shape
    out: Shape
    pointers: Array
    targets: Array
    addresses: Array
    weights: Array
    weight_bits: int
    mask: Mask = NO_MASK
    openings: Array | None = None

    def __post_init__(self) -> None:
        seal_fields(self, "pointers", "targets", "addresses", "weights", "openings")

    @property
    def fan_out(self) -> int:
        """The most synapses that one event can meet."""
        return int(np.diff(self.pointers).max())

    @property
    def fan_in(self) -> int:
        """The most synapses that one target can have."""
        return int(np.bincount(self.targets, minlength=1).max())

    @property
    def memory(self) -> Memory:
        """Pointers, entries, different weights; for the rule "center" openings and flags."""
        sizes = len(self.targets), len(self.weights)
        return explicit_size(self.shape, self.out, *sizes, self.weight_bits, self.mask)

    def synapses(self, sources: Ints) -> Synapses:
        """The synapses of events at *sources* [n]."""
        first = self.pointers[sources]
        lengths = self.pointers[sources + 1] - first
        event = np.repeat(np.arange(len(sources)), lengths)
        index = np.arange(len(event)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
        return Synapses(event, self.targets[index], self.addresses[index])

    def opened(self, sources: Ints) -> Ints:
        """The output position that an event at each source [n] opens; -1: none, or no rule "center"."""
        if self.openings is None:
            return np.full(len(sources), -1)
        return self.openings[sources % len(self.openings)]


Table = Generated | Explicit


def explicit_size(
    shape: Shape, out: Shape, entries: int, weights: int, weight_bits: int, mask: Mask
) -> Memory:
    """The memory of an explicit table of so many *entries* and different *weights*."""
    positions = prod(out[-2:])
    return Memory(
        pointers=(prod(shape) + 1) * width(entries + 1),
        entries=entries * (width(prod(out)) + width(weights)),
        weights=weights * weight_bits,
        opening=prod(shape[-2:]) * width(positions + 1) if mask.needs_center else 0,
        flags=positions if mask.needs_center else 0,
    )
