"""Memories of cores, against numbers worked out by hand from chips.md."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snncc.chips.model import Memory, SynapseFormat
from snncc.ir import Conv, Dense, Sparse
from snncc.mapping import Connection, Network, map_network, usage
from snncc.mapping.box import addresses
from snncc.mapping.demand import Demand, Demands
from snncc.mapping.memory import neuron_words
from tests.mapping.cases import conv, grid_chip, linked, plain
from tests.simulator.tiny import one_to_one

BLOCKS, KERNELS = Memory(SynapseFormat.BLOCKS), Memory(SynapseFormat.KERNELS)


def pair(node: Dense | Conv | Sparse | None, ins: tuple[int, ...], outs: tuple[int, ...]) -> Network:
    a, b = plain("x", ins, 0), plain("n", outs, 1)
    return Network("pair", 1, {"x": a, "n": b}, (linked(a, b, node),))


def demand(network: Network, memory: Memory, box: tuple[tuple[int, int], ...] | None = None) -> Demand:
    """Of the neurons in *box* of the last population; all of them by default."""
    shape = network.populations["n"].shape
    found = addresses(shape, box or tuple((0, size) for size in shape))
    return Demands(network, grid_chip(1, 1, memory=memory)).piece("n", found).demand


def full(value: int, *shape: int) -> Dense:
    return Dense(name="dense", weight=np.full(shape, value))


@pytest.mark.parametrize(
    ("outs", "bits"),
    [
        (64, 576),  # 64 x 8 + 10 = 522, to 576
        (1024, 9216),  # 16 blocks of 576
        (65, 576 + 64),  # one synapse more: 18 bits in a block of its own
        (6, 64),  # 58
    ],
)
def test_a_dense_axon_of_loihi(outs: int, bits: int) -> None:
    assert demand(pair(full(-128, outs, 1), (1,), (outs,)), BLOCKS).synapse_bits == bits
    assert demand(pair(full(-128, outs, 7), (7,), (outs,)), BLOCKS).synapse_bits == 7 * bits


def test_113_wide_dense_axons_fill_a_core_of_loihi() -> None:
    assert demand(pair(full(-128, 1024, 113), (113,), (1024,)), BLOCKS).synapse_bits <= 16384 * 64
    assert demand(pair(full(-128, 1024, 114), (114,), (1024,)), BLOCKS).synapse_bits > 16384 * 64


@pytest.mark.parametrize(
    ("weight", "bits"),
    [
        (1, 64 + 10),
        (31, 64 * 5 + 10),
        (64, 64 * 8 + 10),  # 7 bits are stored in 8
        (-256, 64 * 8 + 10),  # 9 bits, even
        (-255, 64 * 9 + 10),
    ],
)
def test_the_width_of_weights_in_loihi(weight: int, bits: int) -> None:
    rounded = -(-bits // 64) * 64
    assert demand(pair(full(weight, 64, 1), (1,), (64,)), BLOCKS).synapse_bits == rounded


def test_sparse_synapses_of_loihi_have_an_index() -> None:
    node = Sparse(name="s", weight=np.full(5, -128), pre=np.zeros(5, int), post=np.arange(5), shape=(200,))
    # 200 targets: 8 bits of index; 5 x 16 + 10 = 90, to 128
    assert demand(pair(node, (3,), (200,)), BLOCKS).synapse_bits == 128


def test_axons_of_a_convolution_of_loihi_share_lists() -> None:
    """3 x 3 on 8 x 8: {0,1}, {0,1,2} and {1,2} of 3 taps along each axis: 9 lists for each input channel."""
    network = conv(2, 4, 8)
    targets = 4 * 8 * 8  # an index of 8 bits, weights of 8
    lists = [4 * a * b for a in (2, 3, 2) for b in (2, 3, 2)]
    one = sum(64 * -(-(n * 16 + 10) // 64) for n in lists)
    found = demand(network, BLOCKS)
    assert found.synapse_bits == 2 * one
    assert found.neurons == targets
    assert found.in_axons == 2 * 64


def test_lists_of_a_part_of_a_convolution() -> None:
    """Rows 0 to 4 of 8: along y the taps {1,0}, {2,1,0}, {2,1}, {2} lead into them; along x as before."""
    network = conv(1, 1, 8)
    lists = [a * b for a in (2, 3, 2, 1) for b in (2, 3, 2)]
    one = sum(64 * -(-(n * 14 + 10) // 64) for n in lists)
    found = demand(network, BLOCKS, ((0, 1), (0, 4), (0, 8)))
    assert found.synapse_bits == one
    assert found.in_axons == 5 * 8


def test_the_example_of_the_datasheet_of_speck() -> None:
    """c 16, f 32, k 3, 64 x 64: 8 Ki kernel words, 128 Ki neuron words."""
    found = demand(conv(16, 32, 64), KERNELS)
    assert found.kernel_words == 8 * 1024
    assert found.neuron_words == 128 * 1024


def test_speck_pads_features_of_kernels_but_not_of_neurons() -> None:
    found = demand(conv(3, 5, 10), KERNELS)
    assert found.kernel_words == 3 * 2 ** (4 + 3)
    assert found.neuron_words == 5 * 2 ** (4 + 4)


def test_a_part_of_a_layer_of_speck() -> None:
    found = demand(conv(3, 5, 10), KERNELS, ((0, 2), (0, 10), (3, 8)))
    assert found.kernel_words == 3 * 2 ** (4 + 1)
    assert found.neuron_words == 2 * 2 ** (4 + 3)


def test_a_dense_layer_of_speck_is_a_kernel_of_the_size_of_its_map() -> None:
    a, b = plain("x", (6, 3, 3), 0), plain("n", (10,), 1)
    link = Connection(
        "x", "n", full(1, 10, 54), (54,), (10,), np.arange(54)[:, None], np.arange(10), 0, 54
    )  # fmt: skip
    found = demand(Network("flat", 1, {"x": a, "n": b}, (link,)), KERNELS)
    assert found.kernel_words == 6 * 2 ** (4 + 4)
    assert found.neuron_words == 10


def test_neurons_of_other_chips_are_not_padded() -> None:
    assert neuron_words((3, 5, 5), np.arange(75), BLOCKS) == 75


def test_a_source_of_two_parts_of_a_core_is_one_axon() -> None:
    """Neurons 0 and 1 of x lead to a, 1 and 2 to b."""
    every = plain("x", (4,), 0), plain("a", (2,), 1), plain("b", (2,), 1)
    links = one_to_one("x", "a", [0, 1, -1, -1]), one_to_one("x", "b", [-1, 0, 1, -1])
    network = Network("fork", 1, {p.name: p for p in every}, links)
    placement = map_network(network, grid_chip(1, 1))
    needs = {one.resource: one.need for one in usage(placement) if one.where.startswith("core 0 (")}
    assert (needs["in_axons"], needs["out_axons"], needs["neurons"]) == (3, 3, 8)


def test_maps_that_come_from_another_source_have_no_lists_here() -> None:
    """The second input map of a convolution is another population's."""
    whole = conv(2, 4, 8)
    (link,) = whole.connections
    reads = np.array(link.reads)
    reads[64:] = -1
    half = Network("half", 1, whole.populations, (replace(link, reads=reads),))
    assert 2 * demand(half, BLOCKS).synapse_bits == demand(whole, BLOCKS).synapse_bits
    assert demand(half, BLOCKS).in_axons == 64
