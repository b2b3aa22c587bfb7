"""How large the address tables of a part are, without making them."""

from __future__ import annotations

import numpy as np

from snncc.ir import Conv, Dense, Shape, Sparse
from snncc.mapping.box import Box, box_of
from snncc.mapping.boxed import box_fields, weight_range
from snncc.mapping.descriptor import Descriptor, field_bits
from snncc.mapping.entries import entries_of
from snncc.mapping.masks import NO_MASK, Bools, Ints
from snncc.mapping.reach import Cut, taps
from snncc.mapping.tables import explicit_size


def generator(cut: Cut) -> tuple[Descriptor, Box] | None:
    """What generates the synapses of *cut*: a descriptor, and the box of its targets; None: nothing."""
    connection = cut.wiring.connection
    if isinstance(connection.node, Sparse):
        return None
    descriptor: Descriptor = connection.descriptor or cut.wiring.windows
    box = box_of(descriptor.out, cut.outputs)
    return None if box is None else (descriptor, box)


def table_bits(cut: Cut) -> int:
    """Bits of the smaller of the generated and the explicit table of *cut*; 0 where there is no synapse."""
    if not cut.per_source.any():
        return 0
    generated = generated_bits(cut)
    if generated is not None and at_least(cut) >= generated:
        return generated
    explicit = explicit_bits(cut)
    return explicit if generated is None else min(generated, explicit)


def generated_bits(cut: Cut) -> int | None:
    """Bits of the generated table of *cut*."""
    found = generator(cut)
    if found is None:
        return None
    first, behind = weight_range(*found)
    return field_bits(box_fields(*found)) + (behind - first) * cut.wiring.weight_bits


def at_least(cut: Cut) -> int:
    """Bits that the explicit table has if all its weights are one and the same."""
    return explicit_size(*shapes(cut), *(explicit_entries(cut), 0), cut.wiring.weight_bits, NO_MASK).bits


def explicit_bits(cut: Cut) -> int:
    """Bits of the explicit table of *cut*."""
    sizes = explicit_entries(cut), len(explicit_weights(cut))
    return explicit_size(*shapes(cut), *sizes, cut.wiring.weight_bits, NO_MASK).bits


def shapes(cut: Cut) -> tuple[Shape, Shape]:
    """Of an explicit table: its axons (the sources that have a synapse here), its targets (the part)."""
    return (int(np.count_nonzero(cut.per_source)),), (len(cut.addresses),)


def explicit_entries(cut: Cut) -> int:
    """How many synapses of nonzero weight lead to here."""
    node, readers = cut.wiring.connection.node, cut.wiring.readers
    match node:
        case None:
            return int(readers[cut.outputs].sum())
        case Sparse():
            kept = cut.mask[node.post] & (node.weight != 0)
            return int(readers[node.pre[kept]].sum())
        case _ if cut.box is None:
            return len(entries_of(cut).target)
        case Dense() | Conv():
            uses = reads_of_weights(cut, cut.box)
            return int(((boxed_weights(cut, cut.box) != 0) * uses).sum())


def explicit_weights(cut: Cut) -> Ints:
    """The different weights of the synapses of nonzero weight that lead to here."""
    node, readers = cut.wiring.connection.node, cut.wiring.readers
    match node:
        case None:
            return np.ones(int(readers[cut.outputs].any()), np.int64)
        case Sparse():
            kept = cut.mask[node.post] & (node.weight != 0) & (readers[node.pre] > 0)
            return np.unique(node.weight[kept])
        case _ if cut.box is None:
            return np.unique(entries_of(cut).weight)
        case Dense() | Conv():
            weights = boxed_weights(cut, cut.box)
            used: Bools = (weights != 0) & (reads_of_weights(cut, cut.box) > 0)
            return np.unique(weights[used])


def boxed_weights(cut: Cut, box: Box) -> Ints:
    """The weights of a kernel or a matrix that lead into *box*."""
    node = cut.wiring.connection.node
    assert isinstance(node, Dense | Conv)
    side = box[0] if isinstance(node, Conv) else box[-1]
    return node.weight[slice(*side)]


def reads_of_weights(cut: Cut, box: Box) -> Ints:
    """How many synapses into *box* have each weight of `boxed_weights`; broadcasts to their shape."""
    connection, readers = cut.wiring.connection, cut.wiring.readers.reshape(cut.wiring.connection.shape)
    if isinstance(connection.node, Dense):
        lead = readers[tuple(slice(*side) for side in box[:-1])]
        return lead.reshape(-1, connection.shape[-1]).sum(axis=0)[None]
    windows = cut.wiring.windows
    down, across = (taps(windows, axis, box[axis + 1]).astype(np.int64) for axis in (0, 1))
    by_input = (down @ readers @ across.T).reshape(windows.groups, -1, *windows.kernel)
    group = np.arange(*box[0]) // windows.per_group[1]
    return by_input[group]


def sources_of(cut: Cut) -> Ints:
    """The source neurons that have a synapse here, ascending: the axons of an explicit table."""
    return np.flatnonzero(cut.per_source)
