"""Address tables of parts: together they compute the whole connection, and their bits are those counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snncc.chips.model import Memory, SynapseFormat
from snncc.mapping import (
    Network,
    Part,
    Placement,
    Schedule,
    generated,
    map_network,
    smaller,
    tables_of,
)
from snncc.mapping.boxed import Boxed
from snncc.mapping.demand import Demands
from snncc.mapping.entries import entries_of
from snncc.mapping.masks import NO_MASK
from snncc.mapping.reach import wirings
from snncc.mapping.sizes import explicit_bits
from snncc.mapping.tables import explicit_size
from tests.mapping.cases import conv, grid_chip, networks, whole_sums

TABLES = Memory(SynapseFormat.TABLES)


def scattered(network: Network, rng: np.random.Generator, cores: int) -> Placement:
    """Each neuron on any core."""
    parts = []
    for name, population in network.populations.items():
        home = rng.integers(0, cores, population.size)
        parts += [Part(name, core, np.flatnonzero(home == core)) for core in np.unique(home).tolist()]
    return Placement(grid_chip(cores, 1, memory=TABLES), network, tuple(parts), Schedule.LAYERED)


def check(placement: Placement, rng: np.random.Generator) -> None:
    """Sums of all tables against the reference, bits against what is counted without making tables."""
    network, tables = placement.network, tables_of(placement)
    counts = {name: rng.integers(0, 4, (2, p.size)) for name, p in network.populations.items()}
    for index, connection in enumerate(network.connections):
        size = network.populations[connection.target].size
        found = np.zeros((2, size), np.int64)
        for number, part in enumerate(placement.parts):
            if (number, index) in tables:
                found[:, part.addresses] += tables[number, index].sums(counts[connection.source])
        assert np.array_equal(found, whole_sums(connection, counts[connection.source], size))
    demands = Demands(network, placement.chip)
    for number, part in enumerate(placement.parts):
        bits = sum(table.bits for (one, _), table in tables.items() if one == number)
        assert demands.piece(part.population, part.addresses).demand.synapse_bits == bits


@given(networks(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_tables_of_boxes_compute_the_connections(network: Network, cores: int, seed: int) -> None:
    check(map_network(network, grid_chip(5, 1), cores=cores), np.random.default_rng(seed))


@given(networks(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_tables_of_any_neurons_compute_the_connections(network: Network, cores: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(scattered(network, rng, cores), rng)


@given(networks(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_synapses_are_counted_as_by_the_network(network: Network, cores: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    placements = scattered(network, rng, cores), map_network(network, grid_chip(3, 1), cores=cores)
    for part in (part for placement in placements for part in placement.parts):
        for wiring in wirings(network):
            if wiring.connection.target == part.population:
                mask = np.zeros(network.populations[part.population].size, bool)
                mask[part.addresses] = True
                cut = wiring.cut(part.addresses)
                assert np.array_equal(cut.per_source, wiring.connection.counts(mask))
                bits = explicit_bits(cut)
                _, target, weight = entries_of(cut)
                axons = int(np.count_nonzero(cut.per_source))
                size = explicit_size(
                    *((axons,), (len(part.addresses),), len(target), len(np.unique(weight))),
                    *(wiring.weight_bits, NO_MASK),
                )
                assert size.bits == bits


def test_the_table_of_the_whole_layer_is_that_of_its_node() -> None:
    network = conv(2, 3, 6)
    (table,) = tables_of(map_network(network, grid_chip(1, 1))).values()
    node = network.connections[0].node
    assert node is not None
    assert isinstance(table.table, Boxed)
    assert table.bits == generated(node, (2, 6, 6)).memory.bits == smaller(node, (2, 6, 6)).memory.bits


def test_a_box_stores_its_own_weights_and_its_corners() -> None:
    network = conv(2, 4, 6)
    placement = map_network(network, grid_chip(1, 1))
    part = Part("n", 0, np.arange(2 * 36, 3 * 36))
    whole, (table,) = (
        placement.parts,
        tables_of(Placement(placement.chip, network, (part,), Schedule.LAYERED)).values(),
    )
    assert len(whole) == 2
    assert table.table.weights.size == 2 * 9
    corners = 2 + 2 + 1 + 3 + 1 + 3  # maps 2 to 2, rows and columns 0 to 5
    node = network.connections[0].node
    assert node is not None
    assert table.bits == generated(node, (2, 6, 6)).memory.bits - 3 * 18 * 8 + corners
