"""Splits: nothing is lost, no limit is exceeded, and what is refused does break a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.chips import Chip, CoreLimits, Entry
from snncc.chips.model import Limits, Memory, SynapseFormat
from snncc.errors import CannotLower
from snncc.ir import Dense, Sparse
from snncc.mapping import DoesNotFitChip, Network, Placement, Schedule, map_network, usage
from snncc.mapping.demand import Demands
from snncc.mapping.pack import is_shared
from snncc.mapping.schedule import check_parts
from tests.mapping.cases import chain, chip_of, chips, conv, grid_chip, linked, networks, plain


def mapped(network: Network, chip: Chip, cores: int | None = None) -> Placement | DoesNotFitChip:
    try:
        return map_network(network, chip, cores=cores)
    except DoesNotFitChip as error:
        return error


def needed_by_hand(placement: Placement) -> dict[tuple[int, str], int]:
    """Neurons, in-axons and out-axons of each core, neuron by neuron."""
    chip, network = placement.chip, placement.network
    found: dict[tuple[int, str], int] = {}
    sends: dict[tuple[str, int], set[int]] = {}
    cores = {name: placement.core_of(name) for name in network.populations}
    for connection in network.connections:
        for core in range(chip.fabric.cores):
            counts = connection.counts(cores[connection.target] == core)
            for neuron in np.flatnonzero(counts).tolist():
                sends.setdefault((connection.source, neuron), set()).add(core)
    for part in placement.parts:
        key = part.core, "neurons"
        found[key] = found.get(key, 0) + len(part.addresses)
    for (source, neuron), to in sends.items():
        for core in to:
            found[core, "in_axons"] = found.get((core, "in_axons"), 0) + 1
        home = int(cores[source][neuron])
        copies = 1 if chip.fabric.multicast else len(to)
        found[home, "out_axons"] = found.get((home, "out_axons"), 0) + copies
    return found


@given(networks(), chips(), st.sampled_from((None, None, 1, 2, 5)))
def test_every_neuron_has_one_core_and_no_limit_is_exceeded(
    network: Network, chip: Chip, cores: int | None
) -> None:
    placement = mapped(network, chip, None if cores is None else min(cores, chip.fabric.cores))
    if isinstance(placement, DoesNotFitChip):
        assert placement.usages
        assert all(usage.is_over for usage in placement.usages)
        return
    check_parts(placement)
    used = usage(placement)
    assert not [one for one in used if one.is_over]
    assert len({part.core for part in placement.parts}) <= (cores or chip.fabric.cores)
    if not is_shared(chip):
        assert len({part.core for part in placement.parts}) == len(placement.parts)
    by_hand = needed_by_hand(placement)
    for one in used:
        if one.where.startswith("core ") and one.resource in ("neurons", "in_axons", "out_axons"):
            core = int(one.where.split()[1])
            assert one.need == by_hand.get((core, one.resource), 0)


@given(st.lists(st.integers(1, 9), max_size=4), st.lists(st.integers(0, 7), min_size=1, max_size=5))
def test_with_a_limit_of_neurons_alone_refusals_are_exact(sizes: list[int], rooms: list[int]) -> None:
    chip = chip_of(*(CoreLimits(neurons=room) for room in rooms))
    result = mapped(chain(sizes), chip)
    assert isinstance(result, Placement) == (sum(sizes) <= sum(rooms))


@given(networks(), chips(only=("neurons", "in_axons", "synapse_bits")))
def test_who_is_refused_for_one_neuron_does_not_fit_anywhere(network: Network, chip: Chip) -> None:
    chip = replace(chip, limits=Limits())
    result = mapped(network, chip)
    demands = Demands(network, chip)
    misfits = [
        name
        for name, population in network.populations.items()
        if not any(
            demands.piece(name, np.array([population.size // 2])).demand.fits(core) for core in chip.cores
        )
    ]
    if misfits:
        assert isinstance(result, DoesNotFitChip)
        places = {usage.where for usage in result.usages}
        assert places >= {f"{name}, one neuron" for name in misfits}
    elif isinstance(result, DoesNotFitChip) and chip.memory.format is SynapseFormat.TABLES:
        assert {usage.resource for usage in result.usages} - {"neurons"}


@given(networks(), chips())
def test_mapping_is_deterministic(network: Network, chip: Chip) -> None:
    first, second = mapped(network, chip), mapped(network, chip)
    if isinstance(first, DoesNotFitChip):
        assert isinstance(second, DoesNotFitChip)
        assert first.usages == second.usages
        return
    assert isinstance(second, Placement)
    for one, other in zip(first.parts, second.parts, strict=True):
        assert (one.population, one.core) == (other.population, other.core)
        assert np.array_equal(one.addresses, other.addresses)


def cores_of(placement: Placement) -> list[int]:
    return sorted({part.core for part in placement.parts})


@pytest.mark.parametrize(
    ("sizes", "room", "cores"),
    [((8, 8, 8), 8, 3), ((8, 8, 8), 24, 1), ((8, 4, 3), 8, 2), ((20, 1, 3), 8, 3), ((5, 5, 5), 8, 2)],
)
def test_few_cores_are_used(sizes: Sequence[int], room: int, cores: int) -> None:
    chip = grid_chip(cores, 1, [CoreLimits(neurons=room)] * cores)
    assert len(cores_of(map_network(chain(sizes), chip))) == cores


def test_the_better_of_two_orders_is_taken() -> None:
    """In network order 4 + 3, 5, 4 take three cores; the largest first, 5 + 3 and 4 + 4 take two."""
    placement = map_network(chain((4, 3, 5, 4)), grid_chip(3, 1, [CoreLimits(neurons=8)] * 3))
    assert len(cores_of(placement)) == 2


def test_maps_are_cut_into_bands_rather_than_channels_where_that_saves_messages() -> None:
    placement = map_network(conv(4, 8, 16), grid_chip(9, 1, [CoreLimits(neurons=512)] * 9))
    parts = placement.parts_of("n")
    assert len(parts) == 4
    assert all(len(np.unique(part.addresses // 256)) == 8 for part in parts)


def test_dense_layers_are_cut_as_often_as_their_memory_needs() -> None:
    """1024 outputs of 256 8-bit axons each: a block of 64 takes 576 bits, 7 blocks of 256 axons fit."""
    a, b = plain("x", (256,), 0), plain("n", (1024,), 1)
    network = Network(
        "dense", 1, {"x": a, "n": b}, (linked(a, b, Dense(name="d", weight=np.full((1024, 256), -128))),)
    )
    limits = CoreLimits(neurons=1024, synapse_bits=16384 * 64)
    chip = grid_chip(6, 1, [limits] * 6, memory=Memory(SynapseFormat.BLOCKS))
    assert len(map_network(network, chip).parts_of("n")) == 3


def test_out_axons_make_sources_finer() -> None:
    """10 neurons, each to two cores: 20 entries, of which a core has 10."""
    limits = CoreLimits(neurons=10, out_axons=10)
    placement = map_network(chain((10, 20)), grid_chip(8, 1, [limits] * 8))
    assert [len(part.addresses) for part in placement.parts_of("p0")] == [5, 5]
    assert len(map_network(chain((10, 20)), grid_chip(8, 1, [limits] * 8, multicast=True)).parts) == 3


def test_a_neuron_too_large_for_any_core() -> None:
    limits = CoreLimits(neurons=100, in_axons=64)
    with pytest.raises(DoesNotFitChip) as caught:
        map_network(chain((70, 5, 80, 2)), grid_chip(4, 4, [limits] * 16))
    assert str(caught.value) == (
        "the network does not fit tiny: 2 limits exceeded\n"
        "  p1, one neuron: in_axons: needs 70, has 64, 6 too many\n"
        "  p3, one neuron: in_axons: needs 80, has 64, 16 too many\n"
        "  hint: reduce the fan-in of the layers"
    )


def test_everything_too_large_is_listed_at_once() -> None:
    """A message that is too wide, a neuron of too many axons, two layers for too few cores, all neurons."""
    wide, *rest = chain((70, 5, 80, 90)).populations.values()
    network = replace(
        chain((70, 5, 80, 90)), populations={p.name: p for p in (replace(wide, payload_bits=3), *rest)}
    )
    chip = grid_chip(2, 1, [CoreLimits(neurons=30, in_axons=64)] * 2, limits=Limits(payload_bits=0))
    with pytest.raises(DoesNotFitChip) as caught:
        map_network(network, chip)
    assert [(u.where, u.resource, u.need, u.have) for u in caught.value.usages] == [
        ("p0", "payload_bits", 3, 0),
        ("p0", "cores", 3, 2),
        ("p0", "neurons", 70, 60),
        ("p1, one neuron", "in_axons", 70, 64),
        ("p2", "cores", 3, 2),
        ("p2", "neurons", 80, 60),
        ("p3, one neuron", "in_axons", 80, 64),
        ("the network", "cores", 9, 2),
        ("the network", "neurons", 245, 60),
    ]


def test_too_few_cores() -> None:
    with pytest.raises(DoesNotFitChip) as caught:
        map_network(chain((40, 35)), grid_chip(2, 1, [CoreLimits(neurons=30)] * 2))
    assert str(caught.value) == (
        "the network does not fit tiny: 2 limits exceeded\n"
        "  the network: cores: needs 3, has 2, 1 too many\n"
        "  the network: neurons: needs 75, has 60, 15 too many\n"
        "  hint: shrink the layers, or take a chip with more cores"
    )


def test_everything_that_cannot_be_expressed_is_listed() -> None:
    a = plain("x", (4,), 0, payload_bits=3)
    b = plain("n", (4,), 1, state_bits=24, origin="model.n")
    wide = Sparse(name="s", weight=np.array([300]), pre=np.array([0]), post=np.array([1]), shape=(4,))
    network = Network("wide", 1, {"x": a, "n": b}, (linked(a, b, wide),))
    limits = Limits(weight_bits=8, payload_bits=0, state_bits=16)
    chip = grid_chip(2, 2, limits=limits, memory=Memory(SynapseFormat.KERNELS))
    with pytest.raises(CannotLower) as caught:
        map_network(network, chip)
    assert isinstance(caught.value, DoesNotFitChip)
    assert [(u.where, u.resource, u.need, u.have) for u in caught.value.usages] == [
        ("x", "payload_bits", 3, 0),
        ("n (model.n)", "state_bits", 24, 16),
        ("s (x -> n)", "weight_bits", 9, 8),
        ("s (x -> n)", "synapses without a kernel", 1, 0),
    ]


def test_fan_out() -> None:
    limits = [CoreLimits(neurons=5)] * 9
    assert len(map_network(chain((5, 10)), grid_chip(3, 3, limits, limits=Limits(fan_out=2))).parts) == 3
    with pytest.raises(DoesNotFitChip, match="p0 on core 0: fan_out: needs 3, has 2, 1 too many"):
        map_network(chain((5, 15)), grid_chip(3, 3, limits, limits=Limits(fan_out=2)))


def loop(delay: int) -> Network:
    """Two layers and a way back."""
    a, b, c = plain("x", (2,), 0), plain("n", (2,), 1), plain("m", (2,), 2)
    links = linked(a, b, None), linked(b, c, None), linked(c, b, None, delay)
    return Network("loop", 1, {"x": a, "n": b, "m": c}, links)


def test_the_schedule_is_pipelined_where_it_can_be() -> None:
    assert map_network(loop(2), grid_chip(1, 1)).schedule is Schedule.PIPELINED
    assert map_network(loop(1), grid_chip(1, 1)).schedule is Schedule.LAYERED
    assert map_network(loop(2), grid_chip(1, 1), schedule=Schedule.LAYERED).schedule is Schedule.LAYERED
    with pytest.raises(DoesNotFitChip, match="m -> n: pipelining delay: needs 2, has 1, 1 too many"):
        map_network(loop(1), grid_chip(1, 1), schedule=Schedule.PIPELINED)


def test_delays_above_the_chips() -> None:
    chip = grid_chip(1, 1, limits=Limits(max_delay=3))
    assert map_network(loop(5), chip).schedule is Schedule.PIPELINED
    with pytest.raises(DoesNotFitChip, match="m -> n: delay: needs 4, has 3, 1 too many"):
        map_network(loop(6), chip, schedule=Schedule.PIPELINED)
    assert map_network(loop(4), chip, schedule=Schedule.LAYERED).schedule is Schedule.LAYERED
    for schedule in (Schedule.LAYERED, None):  # pipelined is no way out
        with pytest.raises(DoesNotFitChip, match="m -> n: delay in sweeps: needs 5, has 3, 2 too many"):
            map_network(loop(6), chip, schedule=schedule)


def test_a_branch_past_many_layers_is_layered_where_delays_are_short() -> None:
    """Pipelined it waits for the layers beside it; layered it is there when its sweep comes."""
    names = [*"abcdef"]
    layers = {name: plain(name, (2,), depth) for depth, name in enumerate(names)}
    links = [linked(layers[a], layers[b], None) for a, b in pairwise(names)]
    network = Network("branch", 1, layers, (*links, linked(layers["a"], layers["f"], None)))
    assert map_network(network, grid_chip(1, 1, limits=Limits(max_delay=4))).schedule is Schedule.PIPELINED
    assert map_network(network, grid_chip(1, 1, limits=Limits(max_delay=3))).schedule is Schedule.LAYERED
    assert map_network(network, grid_chip(1, 1, limits=Limits(max_delay=0))).schedule is Schedule.LAYERED


def test_inputs_at_the_port_are_on_no_core() -> None:
    chip = replace(grid_chip(2, 1, [CoreLimits(neurons=4)] * 2), entry=Entry.PORT)
    placement = map_network(chain((50, 8)), chip)
    assert [part.population for part in placement.parts] == ["p1", "p1"]
    check_parts(placement)


def test_different_cores_are_matched() -> None:
    """Layers find the cores that hold them, whatever the order."""
    rooms = [CoreLimits(neuron_words=words) for words in (8, 64, 16, 64)]
    chip = chip_of(*rooms, memory=Memory(SynapseFormat.KERNELS))
    placement = map_network(chain((50, 16, 60, 7)), chip)
    assert [part.core for part in placement.parts] in ([1, 2, 3, 0], [3, 2, 1, 0])


def test_networks_of_nothing() -> None:
    empty = Network("empty", 1, {}, ())
    assert map_network(empty, grid_chip(2, 1)).parts == ()
    assert usage(map_network(empty, grid_chip(2, 1))) == ()
    none = plain("x", (0,), 0)
    assert (
        map_network(Network("none", 1, {"x": none}, ()), grid_chip(2, 1, [CoreLimits(neurons=0)] * 2)).parts
        == ()
    )
    lonely = plain("x", (3,), 0)
    assert len(map_network(Network("lonely", 1, {"x": lonely}, ()), grid_chip(2, 1)).parts) == 1
