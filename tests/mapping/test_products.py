"""Products of two trains: their memory, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.chips import load_chip
from snncc.errors import CannotLower
from snncc.ir import (
    Dense,
    DynamicSynapse,
    Encoding,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.mapping import DoesNotFitChip, Role, map_network, network_of, tables_of, usage
from tests.joules import joules

COUNTS = NeuronParameters(theta=np.array(1), max_count=3, encoding=Encoding.SPIKES)


def attention(first: int = 0, second: str = "k", delay: int = 0) -> SpikeGraph:
    """A product of q [2, 3, 4] and of k [2, 4, 5], both made of x, or of q and a transposed q."""
    rng = np.random.default_rng(0)
    shapes = {"q": (2, 3, 4), "k": (2, 4, 5)}
    nodes: list[Node] = [Input(name="x", shape=(6,), kind=Kind.SPIKE)]
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        nodes += [
            Dense(name=f"{name}_sum", inputs=wires("x"), weight=rng.integers(-1, 3, (size, 6))),
            Neuron(name=f"{name}_n", inputs=wires(f"{name}_sum"), parameters=COUNTS),
            Reshape(name=name, inputs=wires(f"{name}_n"), shape=shape),
        ]
    product = DynamicSynapse(
        name="product",
        inputs=(Wire("q"), Wire(second, delay)),
        first=first,
        transpose=(False, second == "q"),
        origin="attention (net.py:7)",
    )
    last = Neuron(name="last", inputs=wires("product"), parameters=NeuronParameters(theta=np.array(9)))
    out = Output(name="y", inputs=wires("last"), over=Over.SUM)
    return SpikeGraph((*nodes, product, last, out), Numbers.INTEGER, "attention", timesteps=3)


@pytest.mark.parametrize(("first", "entries"), [(0, 2 * 3 * 4), (1, 2 * 4 * 5)])
def test_the_complete_operand_is_in_memory(first: int, entries: int) -> None:
    network = network_of(attention(first))
    made = network.populations["product"]
    assert (made.role, made.payload_bits, made.ticks) == (Role.PRODUCT, (3 * 3 * 4).bit_length(), 1)
    depths = {name: network.populations[name].depth for name in ("q_n", "k_n", "product", "last")}
    assert depths == {"q_n": 1 + first, "k_n": 2 - first, "product": 3, "last": 4}
    placement = map_network(network, load_chip("mesh"))
    (need,) = [one.need for one in usage(placement) if one.resource == "accumulator_bits"]
    assert need == entries * 2
    assert all(not table.connection.rule for table in tables_of(placement).values())


def test_a_product_that_is_cut_keeps_its_entries_on_each_core() -> None:
    chip = load_chip("mesh")
    small = replace(chip, cores=tuple(replace(core, accumulator_bits=20) for core in chip.cores))
    placement = map_network(network_of(attention()), small)
    found = [one for one in usage(placement) if one.resource == "accumulator_bits"]
    assert len(found) >= 3
    assert all(one.need <= 20 for one in found)
    assert sum(one.need for one in found) >= 48
    tiny = replace(chip, cores=tuple(replace(core, accumulator_bits=7) for core in chip.cores))
    with pytest.raises(DoesNotFitChip, match="accumulator_bits: needs 8, has 7") as caught:
        map_network(network_of(attention()), tiny)
    assert "[accumulator]" in caught.value.hint


def test_time_and_energy_of_a_product() -> None:
    graph = attention()
    x = (np.random.default_rng(1).random((3, 2, 6)) < 0.5).astype(np.int64)
    program = snncc.compile(graph, chip="mesh", passes=())
    plain, timed = program.run(x), program.run(x, timing="cycle")
    assert timed.chip is not None
    assert np.array_equal(plain.output, timed.output)
    assert timed.chip.count("read") == plain.run.operations["product"].ac.mean() > 0
    assert timed.chip.count("write") > 0
    assert timed.chip.kinds["read"] == joules(19.54e-12 * timed.chip.count("read"))
    assert sum(timed.chip.layers.values()) == joules(timed.chip.energy)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (attention(second="q"), r"product .*: one operand must be complete before the other is sent"),
        (attention(delay=1), r"product .*: an operand comes from an earlier timestep"),
    ],
)
def test_refused(graph: SpikeGraph, words: str) -> None:
    with pytest.raises(CannotLower, match=words) as caught:
        network_of(graph)
    assert caught.value.hint


def test_a_chip_without_an_accumulator_says_what_it_would_need() -> None:
    with pytest.raises(DoesNotFitChip) as caught:
        map_network(network_of(attention()), load_chip("loihi2"))
    assert "product (attention (net.py:7)): accumulator_bits: needs 48, has 0" in str(caught.value)
    with pytest.raises(CannotLower, match="pipelining past a product"):
        snncc.compile(attention(), chip="mesh", passes=(), schedule="pipelined")
