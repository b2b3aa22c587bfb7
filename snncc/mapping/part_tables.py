"""The address tables of each core: of each connection the part that leads to the core's own neurons.

A *generated* table computes targets from the coordinates of an input of the synapse node, which the
message's address gives by arithmetic (reshaping, pooling by sums, and so on are free). An *explicit* table
has a list for each axon: a source neuron with a synapse to this part; the message carries the axon's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.ir.arrays import Array, seal_fields
from snncc.mapping.boxed import Boxed, weight_range
from snncc.mapping.entries import entries_of
from snncc.mapping.execute import executed
from snncc.mapping.masks import Ints
from snncc.mapping.network import Connection
from snncc.mapping.placement import Part, Placement
from snncc.mapping.reach import Cut, Wiring, wirings
from snncc.mapping.sizes import at_least, explicit_bits, generated_bits, generator, sources_of
from snncc.mapping.tables import Explicit, Table


@dataclass(frozen=True, slots=True, eq=False)
class PartTable:
    """The *table* of the synapses of *connection* to the neurons of *part*.

    *axons*: the source address of each entry of an explicit table; None: the table's sources are the
    inputs of the synapse node. *lands*: the place in the part of each of the table's targets.
    """

    part: Part
    connection: Connection
    table: Table
    axons: Array | None
    lands: Array

    def __post_init__(self) -> None:
        seal_fields(self, "axons", "lands")

    @property
    def bits(self) -> int:
        """What the table stores, in bits."""
        return self.table.memory.bits

    def sums(self, counts: Array) -> Ints:
        """What reaches the part, [N, neurons], for the counts of the source population, [N, sources]."""
        if self.axons is not None:
            given = counts[:, self.axons]
        else:
            reads = self.connection.reads
            extended = np.concatenate([counts, np.zeros((len(counts), 1), counts.dtype)], axis=1)
            given = extended[:, reads].sum(axis=2, dtype=np.int64)
        found = executed(self.table, given.reshape(len(counts), *self.table.shape)).reshape(len(counts), -1)
        sums = np.zeros((len(counts), len(self.part.addresses)), np.int64)
        sums[:, self.lands] = found
        return sums


def tables_of(placement: Placement) -> Mapping[tuple[int, int], PartTable]:
    """The table of each (part, connection), by their numbers in the placement and its network.

    A connection without a synapse to a part has no table there.
    """
    wired = wirings(placement.network)
    found: dict[tuple[int, int], PartTable] = {}
    for number, part in enumerate(placement.parts):
        for wiring in wired:
            if wiring.connection.target == part.population and not wiring.connection.rule:
                table = table_of(part, wiring)
                if table is not None:
                    found[number, wiring.index] = table
    return found


def table_of(part: Part, wiring: Wiring) -> PartTable | None:
    """The smaller table of *wiring* to *part*, generated where both are as large; None: no synapse."""
    cut = wiring.cut(part.addresses)
    if not cut.per_source.any():
        return None
    bits = generated_bits(cut)
    if bits is not None and (at_least(cut) >= bits or explicit_bits(cut) >= bits):
        return PartTable(part, wiring.connection, generated_of(cut), None, landing(cut))
    axons = sources_of(cut)
    return PartTable(part, wiring.connection, explicit_of(cut, axons), axons, np.arange(len(part.addresses)))


def landing(cut: Cut) -> Ints:
    """The place in the part of each output of the box, row by row."""
    return cut.places[np.argsort(cut.outputs)]


def generated_of(cut: Cut) -> Boxed:
    """The generated table of *cut*."""
    found = generator(cut)
    assert found is not None
    node = cut.wiring.connection.node
    weights = np.ones(1, np.int64) if node is None else node.weight.reshape(-1)
    sliced = weights[slice(*weight_range(*found))].astype(np.int64)
    return Boxed(name_of(cut), found[0], sliced, cut.wiring.weight_bits, box=found[1])


def explicit_of(cut: Cut, axons: Ints) -> Explicit:
    """The explicit table of *cut*, whose sources are *axons*."""
    source, target, weight = entries_of(cut)
    counts = np.bincount(source, minlength=cut.wiring.connection.sources)[axons]
    weights, addresses = np.unique(weight, return_inverse=True)
    return Explicit(
        name=name_of(cut),
        shape=(len(axons),),
        out=(len(cut.addresses),),
        pointers=np.concatenate([[0], np.cumsum(counts)]),
        targets=target,
        addresses=addresses.reshape(-1),
        weights=weights,
        weight_bits=cut.wiring.weight_bits,
    )


def name_of(cut: Cut) -> str:
    """What to call the table in errors."""
    connection = cut.wiring.connection
    return connection.node.name if connection.node else f"{connection.source} -> {connection.target}"
