"""The synapses of a part written out, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from snncc.ir import Sparse
from snncc.mapping.masks import NO_MASK, Ints
from snncc.mapping.reach import Cut

CHUNK = 1 << 20
"""Synapses that are expanded at once."""


class Entries(NamedTuple):
    """Synapses in the order of their sources: *source* address, *target* (place in the part), *weight*."""

    source: Ints
    target: Ints
    weight: Ints


def entries_of(cut: Cut) -> Entries:
    """All synapses of *cut* whose weight is not 0."""
    connection = cut.wiring.connection
    source = np.repeat(np.arange(connection.sources), np.diff(connection.offsets))
    place = np.full(prod(connection.out), -1)
    place[cut.outputs] = cut.places
    parts = [Entries(*(np.zeros(0, np.int64) for _ in range(3)))]
    for event, output, weight in expanded(cut):
        kept = (place[output] >= 0) & (weight != 0)
        parts.append(Entries(source[event[kept]], place[output[kept]], weight[kept]))
    return Entries(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def expanded(cut: Cut) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Pieces of all synapses of the connection: (place in its `entries`, output of the node, weight)."""
    connection = cut.wiring.connection
    node, entries = connection.node, connection.entries
    if node is None:
        yield np.arange(len(entries)), entries, np.ones(len(entries), np.int64)
    elif isinstance(node, Sparse):
        order = np.argsort(node.pre, kind="stable")
        first = np.searchsorted(node.pre[order], np.arange(prod(connection.shape) + 1))
        counts = np.diff(first)[entries]
        event = np.repeat(np.arange(len(entries)), counts)
        index = order[
            np.arange(len(event)) + np.repeat(first[entries] - (np.cumsum(counts) - counts), counts)
        ]
        yield event, node.post[index].astype(np.int64), node.weight[index].astype(np.int64)
    else:
        descriptor = connection.descriptor
        assert descriptor is not None
        weights = node.weight.astype(np.int64).reshape(-1)
        some = np.flatnonzero(cut.per_entry[entries]) if cut.box is not None else np.arange(len(entries))
        step = max(1, CHUNK // max(1, descriptor.fan_out))
        for start in range(0, len(some), step):
            event, output, address = descriptor.synapses(entries[some[start : start + step]], NO_MASK)
            yield some[start + event], output, weights[address]
