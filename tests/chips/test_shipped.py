"""The shipped chips have the numbers of their sources, which were written down here once more."""

from __future__ import annotations

import re

import pytest

from snncc.chips import (
    Chip,
    CoreLimits,
    Cost,
    Discipline,
    Entry,
    Limits,
    LinkKind,
    Memory,
    Overflow,
    Status,
    SynapseFormat,
    Topology,
    Touch,
    chip_names,
    load_chip,
)

CHIPS = {name: load_chip(name) for name in chip_names()}


def ns(chip: Chip, key: str) -> float:
    """The time *key* in nanoseconds, from the model's whole number."""
    value: object = chip
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert isinstance(value, int)
    return round(value * chip.time_unit * 1e9, 6)


def costs(chip: Chip) -> dict[str, tuple[float, float]]:
    """Energy (pJ) and time (ns) of every operation."""
    units = {
        name: getattr(chip.operations, name)
        for name in ("access", "update", "spike", "message_out", "message_in")
    }
    every: dict[str, Cost] = {**units, **chip.operations.synapse}
    return {name: (cost.energy, round(cost.time * chip.time_unit * 1e9, 6)) for name, cost in every.items()}


def hops(chip: Chip) -> list[tuple[float, float]]:
    links = (chip.fabric.east_west, chip.fabric.north_south)
    return [(link.energy, round(link.latency * chip.time_unit * 1e9, 6)) for link in links]


def barrier_ns(chip: Chip) -> dict[int, float]:
    return {tiles: round(time * chip.time_unit * 1e9, 6) for tiles, time in chip.barrier}


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_every_number_has_a_source_and_a_reason(chip: Chip) -> None:
    assert len(chip.numbers) > 50
    for key, number in chip.numbers.items():
        assert len(chip.sources[number.source]) > 20, key
        if number.status in {Status.DERIVED, Status.ASSUMED} or number.value is None:
            assert number.note, key


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_a_choice_is_never_called_measured(chip: Chip) -> None:
    for key, number in chip.numbers.items():
        if number.source == "choice":
            assert number.status in {Status.ASSUMED, Status.DERIVED}, key


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_sums_in_notes_are_right(chip: Chip) -> None:
    """Where a note says ``a - b x c = d``, that is true to the digits written."""
    for key, number in chip.numbers.items():
        for sum_, result in re.findall(r"((?:[\d.]+ [-+x/] )+[\d.]+) = ([\d.]*\d)", number.note):
            assert eval(sum_.replace("x", "*")) == pytest.approx(float(result), abs=0.006), (key, number.note)


@pytest.mark.parametrize("name", ["loihi1-davies2018", "loihi1-sanafe2025"])
def test_loihi1_capacities(name: str) -> None:
    chip = CHIPS[name]
    fabric = chip.fabric
    assert (fabric.topology, fabric.columns, fabric.rows, fabric.cores_per_tile) == (Topology.MESH, 8, 4, 4)
    assert not fabric.multicast
    limits = CoreLimits(neurons=1024, in_axons=4096, out_axons=4096, synapse_bits=16384 * 64)
    assert chip.cores == (limits,) * 128
    assert chip.limits == Limits(weight_bits=9, state_bits=24, payload_bits=0, max_delay=62)
    assert chip.memory == Memory(SynapseFormat.BLOCKS, 64, 10, 64)
    assert (chip.discipline, chip.touch, chip.entry) == (Discipline.BARRIER, Touch.TOUCHED, Entry.CORES)
    assert chip.time_unit == 1e-10
    assert chip.static.per_chip == (0.0296, 0.1044)
    assert chip.host is None
    assert chip.accumulator is None


def test_loihi1_sanafe() -> None:
    chip = CHIPS["loihi1-sanafe2025"]
    assert costs(chip) == {
        "access": (51.2, 6.0),
        "update": (21.6, 3.7),
        "spike": (69.3, 30.0),
        "message_out": (111.0, 5.1),
        "message_in": (0, 16.0),
        "dense": (35.5, 3.8),
        "sparse": (33.6, 4.7),
        "conv": (24.0, 3.1),
    }
    assert hops(chip) == [(3.0, 4.1), (4.2, 6.5)]
    assert barrier_ns(chip) == {1: 600, 2: 1000, 4: 1400, 29: 1800}
    assert chip.fabric.east_west.capacity == chip.fabric.north_south.capacity == 16
    assert chip.fabric.inject == LinkKind(capacity=16)
    assert chip.fabric.eject == LinkKind()
    statuses = {key: number.status for key, number in chip.numbers.items() if key.startswith("operations.")}
    assert {status for key, status in statuses.items() if key != "operations.lanes"} == {Status.MEASURED}


def test_loihi1_davies() -> None:
    chip = CHIPS["loihi1-davies2018"]
    found = costs(chip)
    assert found["access"] == (52, 5.3)
    assert found["access"][0] + found["update"][0] == 81
    assert round(found["access"][1] + found["update"][1], 6) == 8.4
    assert found["dense"] == found["sparse"] == found["conv"] == (23.6, 3.5)
    assert found["spike"] == found["message_out"] == found["message_in"] == (0, 0)
    assert hops(chip) == [(3.0, 4.1), (4.0, 6.5)]
    assert (chip.fabric.eject.energy, ns(chip, "fabric.eject.latency")) == (1.7, 2.1)
    assert chip.fabric.inject.energy == chip.fabric.inject.latency == 0
    assert ns(chip, "fabric.east_west.interval") == round(1 / 3.44, 1)
    barrier = barrier_ns(chip)
    assert (barrier[1], barrier[32]) == (113, 465)
    for tiles, time in barrier.items():
        assert time == pytest.approx(113 + (tiles - 1) * (465 - 113) / 31, abs=0.05)
    assert chip.numbers["barrier[0].time"].status is Status.SIMULATED
    assert chip.numbers["barrier[2].time"].status is Status.DERIVED
    assert Status.MEASURED not in {
        n.status for key, n in chip.numbers.items() if key.startswith("operations")
    }


def test_tables_are_not_mixed() -> None:
    """Times and energies of a Loihi profile have its one table as source, or are choices."""
    for name, table in (("loihi1-davies2018", "davies"), ("loihi1-sanafe2025", "sanafe")):
        for key, number in CHIPS[name].numbers.items():
            if key.startswith(("operations", "barrier", "fabric.")):
                assert number.source in {table, "choice"}, key


def test_loihi2_is_derived_from_davies() -> None:
    chip, davies = CHIPS["loihi2"], CHIPS["loihi1-davies2018"]
    old, new = costs(davies), costs(chip)
    assert new["dense"][1] == new["mac"][1] == old["dense"][1] / 5
    assert new["access"][1] == old["access"][1] / 2
    assert new["update"][1] == old["update"][1] / 2
    assert ns(chip, "fabric.eject.latency") == 0.21
    assert {name: cost[0] for name, cost in new.items() if name != "mac"} == {k: v[0] for k, v in old.items()}
    assert hops(chip) == hops(davies)
    assert barrier_ns(chip) == {1: 200}
    assert {core.neurons for core in chip.cores} == {8192}
    assert chip.cores[0].synapse_bits == 192 * 1024 * 8
    assert len(chip.cores) == 128
    assert chip.limits.payload_bits == 32
    honest = {Status.DERIVED, Status.ASSUMED}
    for key, number in chip.numbers.items():
        if key.endswith(("time", "energy", "interval", "latency", "low", "high")):
            assert number.status in honest, key


def test_speck2f() -> None:
    chip = CHIPS["speck2f"]
    kernels, neurons = (16, 16, 16, 32, 32, 64, 64, 16, 16), (64, 64, 64, 32, 32, 16, 16, 16, 16)
    assert [core.kernel_words for core in chip.cores] == [words * 1024 for words in kernels]
    assert [core.neuron_words for core in chip.cores] == [words * 1024 for words in neurons]
    assert sum(core.neuron_words or 0 for core in chip.cores) == 327_680
    assert chip.limits == Limits(weight_bits=8, state_bits=16, payload_bits=0, max_delay=0, fan_out=2)
    assert (chip.discipline, chip.entry, chip.overflow) == (Discipline.EVENT, Entry.PORT, Overflow.STALL)
    assert chip.fabric.topology is Topology.CROSSBAR
    assert chip.memory.format is SynapseFormat.KERNELS
    assert chip.barrier == ()
    assert ns(chip, "operations.synapse.conv.time") == round(1e9 / 30e6, 1)
    parts = ("fabric.east_west.latency", "operations.synapse.conv.time", "operations.message_in.time")
    assert sum(ns(chip, part) for part in parts) == pytest.approx(120)
    assert chip.operations.synapse["conv"].energy == round((10 * 70) ** 0.5, 1)
    assert chip.static.per_chip == ((51.7 + 367.0) / 1e6, 0.42e-3)
    for key, number in chip.numbers.items():
        if key.startswith(("operations", "fabric.east_west", "port")):
            assert number.status in {Status.DERIVED, Status.ASSUMED}, key


def test_mesh() -> None:
    chip = CHIPS["mesh"]
    link = LinkKind(interval=1, latency=1, energy=10, capacity=8)
    fabric = chip.fabric
    assert {fabric.inject, fabric.east_west, fabric.north_south, fabric.eject} == {link}
    assert chip.touch is Touch.ALL
    assert (fabric.columns, fabric.rows, fabric.cores_per_tile, fabric.multicast) == (8, 8, 1, True)
    assert (chip.time_unit, chip.operations.lanes, chip.limits.payload_bits) == (1e-9, 8, 32)
    assert sum(core.neurons or 0 for core in chip.cores) >= 246_794
    assert chip.cores[0].synapse_bits == 2 * 2**20 * 8
    times = {name: time for name, (_, time) in costs(chip).items()}
    assert times == dict.fromkeys(times, 1) | {"update": 0}
    weight, state = 100 * 8 / 64, (10 + 10 * (24 - 8) / (32 - 8)) * 24 / 64
    energy = {name: energy for name, (energy, _) in costs(chip).items()}
    assert energy["dense"] == energy["conv"] == pytest.approx(weight + 2 * state + 0.1)
    assert energy["sparse"] == pytest.approx(energy["dense"] + 100 * 16 / 64)
    assert energy["mac"] == pytest.approx(energy["dense"] + 0.2)
    assert energy["access"] == pytest.approx(2 * state + 0.1)
    assert chip.host is not None
    assert chip.host.energy_per_mac == 4.6
    assert chip.accumulator is not None
    assert {core.accumulator_bits for core in chip.cores} == {chip.accumulator.bits}
    entry = (20 + (100 - 20) * (128 - 32) / (1024 - 32)) * 16 / 64
    assert chip.accumulator.write.energy == pytest.approx(2 * entry + 0.1, abs=0.02)
    assert chip.accumulator.read.energy == pytest.approx(entry + 2 * state + 0.1, abs=0.02)
    assert chip.synapse("read") == chip.accumulator.read


@pytest.mark.parametrize("tiles", range(1, 65))
def test_mesh_barrier_is_a_tree(tiles: int) -> None:
    levels = (tiles - 1).bit_length()
    assert CHIPS["mesh"].barrier_time(tiles) == max(1, 2 * levels)
