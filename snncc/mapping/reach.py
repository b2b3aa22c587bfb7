"""A connection as one core sees it: only the synapses that lead to its own neurons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import Conv, Dense, Sparse
from snncc.mapping.box import Box, box_of
from snncc.mapping.descriptor import Windows
from snncc.mapping.masks import Bools, Ints
from snncc.mapping.network import Connection, Network, Population


class Wiring:
    """A *connection* with what every cut of it needs.

    *outputs* [targets] has the output of the synapse node that lands on each target, -1: none. *readers*
    [entries] says how many source neurons each input of the node sums; *is_direct*: input k is source k.
    *channels* are the maps of the source, if it has maps.
    """

    def __init__(self, index: int, connection: Connection, source: Population, target: Population) -> None:
        self.index, self.connection = index, connection
        self.channels = source.shape[0] if len(source.shape) == 3 else source.size
        self.outputs = np.full(target.size, -1)
        landing = np.flatnonzero(connection.lands >= 0)
        self.outputs[connection.lands[landing]] = landing
        self.readers: Ints = (connection.reads >= 0).sum(axis=1, dtype=np.int64)
        self.is_direct = connection.reads.shape == (connection.sources, 1) and bool(
            np.array_equal(connection.reads[:, 0], np.arange(connection.sources))
        )
        self.weight_bits = weight_bits(connection)

    @property
    def windows(self) -> Windows:
        """The windows of a convolution, or the 1 x 1 windows of a connection without a node."""
        found = self.connection.descriptor
        if isinstance(found, Windows):
            return found
        ones = (1, 1)
        out = (1, 1, *self.connection.out)
        shape = (prod(out[:-2]), *out[-2:])
        return Windows(shape, shape, ones, ones, (0, 0), ones, shape[0], True)

    def cut(self, addresses: Ints) -> Cut:
        """The connection to the targets at *addresses*."""
        return Cut(self, addresses)

    def per_source(self, per_entry: Ints) -> Ints:
        """Sums over the inputs of the node that each source neuron feeds, [sources]."""
        if self.is_direct:
            return per_entry
        sums = np.concatenate([[0], np.cumsum(per_entry[self.connection.entries])])
        return sums[self.connection.offsets[1:]] - sums[self.connection.offsets[:-1]]


def wirings(network: Network) -> tuple[Wiring, ...]:
    """The wirings of all connections, in their order."""
    named = network.populations
    return tuple(Wiring(k, c, named[c.source], named[c.target]) for k, c in enumerate(network.connections))


def weight_bits(connection: Connection) -> int:
    """The fewest bits of the weights of a connection: two's complement; unsigned if none is negative."""
    node = connection.node
    if node is None:
        return 1
    if node.weight.dtype.kind not in "biu":
        raise CannotLower(
            f"{node.name}: a core needs integer weights, has {node.weight.dtype}",
            hint="quantize the graph first",
        )
    low, high = int(node.weight.min(initial=0)), int(node.weight.max(initial=0))
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), high.bit_length()) + 1


@dataclass(frozen=True, eq=False)
class Cut:
    """The synapses of one *wiring* to the neurons at *addresses* of its target."""

    wiring: Wiring
    addresses: Ints

    @cached_property
    def outputs(self) -> Ints:
        """The outputs of the node that land here, in the order of addresses."""
        found = self.wiring.outputs[self.addresses]
        return found[found >= 0]

    @cached_property
    def places(self) -> Ints:
        """Where each of *outputs* lands: the place in *addresses*."""
        return np.flatnonzero(self.wiring.outputs[self.addresses] >= 0)

    @cached_property
    def box(self) -> Box | None:
        """The box of *outputs* in the output's shape; None: they are no box, or none at all."""
        return box_of(self.wiring.connection.out, self.outputs)

    @cached_property
    def mask(self) -> Bools:
        """Which outputs of the node land here, flat."""
        found = np.zeros(prod(self.wiring.connection.out), bool)
        found[self.outputs] = True
        return found

    @cached_property
    def per_entry(self) -> Ints:
        """How many synapses lead from each input of the node to here, those of weight 0 included."""
        connection, box = self.wiring.connection, self.box
        match connection.node:
            case None:
                return self.mask.astype(np.int64)
            case Sparse():
                kept = connection.node.pre[self.mask[connection.node.post]]
                return np.bincount(kept, minlength=prod(connection.shape))
            case Conv() if box is not None:
                down, across = (taps(self.wiring.windows, k, box[k + 1]).sum(axis=0) for k in (0, 1))
                maps = maps_of_inputs(self.wiring.windows, box[0])
                return (maps[:, None, None] * np.outer(down, across)).reshape(-1)
            case Dense() if box is not None:
                per_row = np.zeros(connection.shape, np.int64)
                per_row[tuple(slice(*side) for side in box[:-1])] = box[-1][1] - box[-1][0]
                return per_row.reshape(-1)
            case _:
                return connection._per_entry(self.mask.reshape(connection.out))

    @cached_property
    def per_source(self) -> Ints:
        """How many synapses lead from each source neuron to here, [sources]."""
        if not len(self.outputs):
            return np.zeros(self.wiring.connection.sources, np.int64)
        return self.wiring.per_source(self.per_entry)


def maps_of_inputs(windows: Windows, maps: tuple[int, int]) -> Ints:
    """For each input map how many of the output *maps* (a range) its group has."""
    ins, outs = windows.per_group
    first = np.arange(windows.groups) * outs
    found = np.minimum(first + outs, maps[1]) - np.maximum(first, maps[0])
    return np.repeat(np.maximum(found, 0), ins)


def taps(windows: Windows, axis: int, side: tuple[int, int]) -> Bools:
    """Along one axis whether each tap leads from each place to a target in *side*, [taps, places]."""
    tap, place = np.arange(windows.kernel[axis]), np.arange(windows.shape[-2:][axis])
    ahead = place[None] + windows.padding[axis] - tap[:, None] * windows.dilation[axis]
    to, rest = np.divmod(ahead, windows.stride[axis])
    return (rest == 0) & (to >= side[0]) & (to < side[1])
