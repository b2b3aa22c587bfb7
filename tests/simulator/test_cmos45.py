"""The accounting cmos45: figures worked out by hand, and what must hold for all networks."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc import reference
from snncc.chips import Status
from snncc.errors import BadInput, UnknownName
from snncc.ir import (
    Array,
    Conv,
    Dense,
    Encoding,
    Input,
    Kind,
    LeakRounding,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Sparse,
    SpikeGraph,
    wires,
)
from snncc.measure import energy_shift
from snncc.simulator.accountings import ACCOUNTINGS, accounting_named
from snncc.simulator.cmos45 import CMOS45, NUMBERS
from snncc.simulator.costs import Costs, LayerCost, costs
from snncc.simulator.energy import PAPER
from snncc.simulator.work import Synapses, Updates
from tests.float_graphs import FloatCase, float_graphs
from tests.graphs import Case, graphs
from tests.joules import joules

PJ = 1e-12


def counted(graph: SpikeGraph, x: Array, accounting: str = "cmos45") -> Costs:
    graph.verify()
    return costs(graph, reference.run(graph, x, timesteps=len(x)), accounting_named(accounting))


def row(of: Costs, name: str) -> LayerCost:
    return next(layer for layer in of.layers if layer.name == name)


def integers(*nodes: Node) -> SpikeGraph:
    return SpikeGraph(nodes, Numbers.INTEGER)


def spiking(p: NeuronParameters, weight: Array, **more: Any) -> SpikeGraph:
    """Spikes through a dense layer into neurons of *p*."""
    return integers(
        Input(name="x", shape=weight.shape[1:], kind=Kind.SPIKE),
        Dense(name="fc", inputs=wires("x"), weight=weight, **more),
        Neuron(name="n", inputs=wires("fc"), parameters=p),
        Output(name="y", inputs=wires("n"), over=Over.SUM),
    )


def test_a_dense_layer_by_hand() -> None:
    """4 inputs to 1000 neurons, 8 bit weights (3 .. 100: 7 bits, unsigned), 16 bit states, T = 3.

    Spikes in: 4 + 0 + 1 = 5, so 5000 AC.
    ops: 5000 x add16 0.05 = 250 pJ.
    memory: 5 events of 2 address bits from the queue (8 KB, 10 pJ): 5 x 10 x 2/64 = 1.5625;
      weights 4000 x 7 bits = 3500 bytes < 8 KB: 5000 x 10 x 7/64 = 5468.75;
      potentials 1000 x 16 bits = 2000 bytes < 8 KB, read and written: 2 x 5000 x 10 x 16/64 = 25000.
    addressing: one 32 bit addition an AC: 5000 x 0.1 = 500.

    Neurons, 3000 updates; they have a bias and a leak. Potentials after timestep 0: the four weights of each
    neuron sum to 100 + 3 + 3 + 3 = 109, bias 1: 110 >= 110, all 1000 fire, to 0. Timestep 1: 1. Timestep 2: 1
    leaks to 0, + 100 + 1 = 101: none fires. 1000 spikes.
    ops: a leak is mul32 3.1 (16 bits: next larger is 32) + add16 0.05; compare 0.05; bias 0.05:
      3000 x 3.25 = 9750; resets 1000 x 0.05 = 50.
    memory: states 2 x 3000 x 10 x 16/64 = 15000; the bias, one number, 3000 x 10 x 16/64 = 7500;
      1000 spikes of 10 address bits to the queue: 1000 x 10 x 10/64 = 1562.5.
    """
    weight = np.full((1000, 4), 3)
    weight[:, 0] = 100
    p = NeuronParameters(
        theta=np.array(110),
        rho=np.array(110),
        leak=np.array(1),
        leak_shift=1,
        leak_rounding=LeakRounding.FLOOR,
        bias=np.array(1),
        v_bits=16,
    )
    x = np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]])
    found = counted(spiking(p, weight), x)
    assert asdict(row(found, "fc").parts) == pytest.approx(
        {"ops": 250 * PJ, "memory": (1.5625 + 5468.75 + 25000) * PJ, "addressing": 500 * PJ}
    )
    assert row(found, "n").spikes == 1000
    assert asdict(row(found, "n").parts) == pytest.approx(
        {"ops": 9800 * PJ, "memory": (15000 + 7500 + 1562.5) * PJ, "addressing": 0}
    )
    assert found.energy == joules((250 + 30470.3125 + 500 + 9800 + 24062.5) * PJ)
    # As a conventional network: 4000 MACs of 8 bit activations, mul8 0.2 + add32 0.1, and a weight read
    # 10 x 7/64: 4000 x 1.39375 = 5575; inputs 4 x 10 x 8/64 = 5; outputs 1000 x 10 x 8/64 = 1250;
    # addresses 4000 x 0.1 = 400.
    assert found.ann_energy == joules((5575 + 5 + 1250 + 400) * PJ)


def test_a_convolution_by_hand() -> None:
    """Counts up to 3 on 2 x 64 x 64, sent as numbers, kernels 3 x 3 to 16 maps, padded; 24 bit states.

    One number in the corner (0, 0): it meets 2 x 2 outputs of 16 maps, 64 MAC; one in the middle: 9 x 16 =
    144 MAC. 208 MAC, 2 events.
    ops: weights -8 .. 7 have 4 bits, counts 2: mul8 0.2; states 24 bits: add32 0.1: 208 x 0.3 = 62.4 pJ.
    memory: events 13 address bits + 2: 2 x 10 x 15/64 = 4.6875;
      weights 288 x 4 bits: 208 x 10 x 4/64 = 130;
      potentials 16 x 64 x 64 x 24 bits = 196,608 bytes: 20 + 80 x (196,608 - 32,768) / (1,048,576 - 32,768)
      = 20 + 80 x 163,840 / 1,015,808 = 32.9032258 pJ: 2 x 208 x 32.9032258 x 24/64 = 5132.9032.
    addressing: 2 events x 2 MAC of 32 bits (3.1 + 0.1) = 12.8, and 208 x 0.1 = 20.8.
    """
    rng = np.random.default_rng(0)
    weight = rng.integers(-8, 8, (16, 2, 3, 3))
    weight[0, 0, 0, :2] = -8, 7
    p = NeuronParameters(theta=np.array(10**6), rho=np.array(10**6), v_bits=24)
    graph = integers(
        Input(name="x", shape=(2, 64, 64), kind=Kind.COUNT, max_count=3),
        Conv(name="conv", inputs=wires("x"), weight=weight, padding=(1, 1, 1, 1)),
        Neuron(name="n", inputs=wires("conv"), parameters=p),
        Output(name="y", inputs=wires("n"), over=Over.SUM),
    )
    x = np.zeros((1, 1, 2, 64, 64), np.int64)
    x[0, 0, 0, 0, 0], x[0, 0, 1, 30, 30] = 3, 1
    found = counted(graph, x)
    conv = row(found, "conv")
    assert (conv.mac, conv.ac) == (208, 0)
    assert asdict(conv.parts) == pytest.approx(
        {"ops": 62.4 * PJ, "memory": (4.6875 + 130 + 5132.903225806) * PJ, "addressing": 33.6 * PJ}
    )
    # 65,536 updates: one comparison, add32 0.1; the state read and written.
    updates = 65536 * 0.1 + 2 * 65536 * 32.903225806 * 24 / 64
    assert row(found, "n").energy == joules(updates * PJ)


def test_floats_are_32_bits() -> None:
    """2 spikes to 3 neurons: 6 x 0.9 pJ; a leak takes 3.7 + 0.9, a comparison 0.9, T = 1."""
    graph = SpikeGraph(
        (
            Input(name="x", shape=(2,), kind=Kind.SPIKE),
            Dense(name="fc", inputs=wires("x"), weight=np.full((3, 2), 0.1)),
            Neuron(name="n", inputs=wires("fc"), parameters=NeuronParameters(leak=np.array(0.5))),
            Output(name="y", inputs=wires("n"), over=Over.SUM),
        )
    )
    found = counted(graph, np.ones((1, 1, 2)))
    assert row(found, "fc").parts.ops == joules(6 * 0.9 * PJ)
    assert row(found, "fc").parts.memory == joules((2 * 10 * 1 / 64 + 6 * 3 * 10 * 32 / 64) * PJ)
    assert row(found, "n").parts.ops == joules(3 * (3.7 + 0.9 + 0.9) * PJ)


@pytest.mark.parametrize(
    ("p", "leaky"),
    [
        (NeuronParameters(leak=np.array(0.5)), 1),
        (NeuronParameters(), 0),
        (NeuronParameters(leak=np.array(0.0)), 0),
        (NeuronParameters(leak=np.array(0.5), stateless=True), 0),
        (NeuronParameters(leak=np.array(0.5), leak_i=np.array(0.9)), 2),
    ],
)
def test_a_leak_is_a_mac_where_it_neither_keeps_nor_drops(p: NeuronParameters, leaky: int) -> None:
    """Two neurons, three timesteps: a leak 3.7 + 0.9; a comparison 0.9; 32 bits of v, as many of i."""
    graph = SpikeGraph(
        (
            Input(name="x", shape=(2,), kind=Kind.SPIKE),
            Neuron(name="n", inputs=wires("x"), parameters=replace(p, theta=np.array(9.0))),
            Output(name="y", inputs=wires("n"), over=Over.SUM),
        )
    )
    found = row(counted(graph, np.zeros((3, 1, 2))), "n")
    states = 2 if p.has_current else 1
    assert found.parts.ops == joules(6 * (leaky * 4.6 + 0.9) * PJ)
    assert found.parts.memory == joules(6 * 2 * 10 * 32 * states / 64 * PJ)


def test_a_sparse_table_is_read_for_its_targets() -> None:
    """Two entries, weights of 1 bit, 8 targets (3 bits): 2 x 10 x 1/64 and 2 x 10 x 3/64."""
    graph = integers(
        Input(name="x", shape=(2,), kind=Kind.SPIKE),
        Sparse(
            name="s",
            inputs=wires("x"),
            weight=np.array([1, 1]),
            pre=np.array([0, 1]),
            post=np.array([7, 0]),
            shape=(8,),
        ),
        Output(name="y", inputs=wires("s"), over=Over.SUM),
    )
    found = row(counted(graph, np.ones((1, 1, 2), np.int64)), "s")
    assert found.parts.addressing == joules(2 * 10 * 3 / 64 * PJ)
    assert found.parts.memory == joules((2 * 10 / 64 + 2 * 10 / 64 + 2 * 2 * 10 * 32 / 64) * PJ)


def test_biases_of_synapses_are_paid_by_the_neurons_and_by_readouts() -> None:
    p = NeuronParameters(theta=np.array(100), rho=np.array(100), v_bits=16)
    weight, silent = np.ones((3, 2), np.int64), np.zeros((2, 1, 2), np.int64)
    plain = counted(spiking(p, weight), silent)
    biased = counted(spiking(p, weight, bias=np.array([1, 2, 3])), silent)
    assert biased.energy - plain.energy == joules(6 * (0.05 + 10 * 16 / 64) * PJ)
    assert row(biased, "fc").energy == 0
    readout = integers(
        Input(name="x", shape=(2,), kind=Kind.SPIKE),
        Dense(name="fc", inputs=wires("x"), weight=weight, bias=np.array([1, 2, 3])),
        Output(name="y", inputs=wires("fc"), over=Over.SUM),
    )
    assert counted(readout, silent).energy == joules(6 * (0.1 + 10 * 32 / 64) * PJ)


def test_a_streaming_neuron_is_updated_in_each_tick() -> None:
    shape = np.zeros((2, 1, 2), np.int64)
    p = NeuronParameters(theta=np.array(100), rho=np.array(100), v_bits=16, max_count=4)
    phased = counted(spiking(replace(p, encoding=Encoding.SPIKES), np.ones((3, 2), np.int64)), shape)
    stream = counted(spiking(replace(p, encoding=Encoding.STREAM, ticks=4), np.ones((3, 2), np.int64)), shape)
    assert stream.energy == joules(4 * phased.energy)


@given(st.one_of(graphs(), float_graphs()))
def test_energy_is_the_sum_of_its_parts(case: Case | FloatCase) -> None:
    run = reference.run(case.graph, case.x, timesteps=case.timesteps)
    for accounting in ACCOUNTINGS.values():
        found = costs(case.graph, run, accounting)
        for layer in found.layers:
            parts = layer.parts
            assert layer.energy == parts.ops + parts.memory + parts.addressing
            assert min(parts.ops, parts.memory, parts.addressing) >= 0
        assert found.energy == joules(found.parts.total)
        assert found.as_dict()["total"]["parts"] == asdict(found.parts)


@given(graphs())
def test_paper_is_what_it_was(case: Case) -> None:
    """Every layer: 4.6 pJ a MAC, 0.9 pJ an AC, to the last bit; other columns are those of cmos45."""
    run = reference.run(case.graph, case.x, timesteps=case.timesteps)
    paper, other = costs(case.graph, run), costs(case.graph, run, CMOS45)
    assert paper.accounting is PAPER
    assert paper.ann_energy == 4.6e-12 * paper.ann_macs
    for one, two in zip(paper.layers, other.layers, strict=True):
        assert one.energy == 4.6e-12 * one.mac + 0.9e-12 * one.ac
        assert one.formula_energy == 4.6e-12 * one.formula_mac + 0.9e-12 * one.formula_ac
        assert one.parts.memory == one.parts.addressing == 0
        priced = replace(two, energy=one.energy, formula_energy=one.formula_energy, parts=one.parts)
        assert priced == one


@st.composite
def trains(draw: st.DrawFn) -> tuple[SpikeGraph, Array, Array]:
    """A layer with weights that are not negative, a train, and one with more spikes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ins, outs, steps = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    threshold = np.array(draw(st.integers(1, 40)))
    bits = draw(st.sampled_from([None, 16, 24, 32]))
    p = NeuronParameters(theta=threshold, rho=threshold, v_bits=bits)
    graph = spiking(p, rng.integers(0, 20, (outs, ins)))
    more = rng.random((steps, 1, ins)) < 0.7
    return graph, (more & (rng.random(more.shape) < 0.6)).astype(np.int64), more.astype(np.int64)


@given(trains())
def test_more_spikes_never_cost_less(case: tuple[SpikeGraph, Array, Array]) -> None:
    graph, few, many = case
    less, more = counted(graph, few), counted(graph, many)
    for one, two in zip(less.layers, more.layers, strict=True):
        for part in ("ops", "memory", "addressing"):
            assert getattr(one.parts, part) <= getattr(two.parts, part)


amounts = st.floats(0, 1e9)


@given(amounts, amounts, amounts, amounts, st.booleans(), st.integers(1, 40), st.integers(1, 10**7))
def test_more_of_anything_never_costs_less(
    ac: float, mac: float, events: float, extra: float, is_float: bool, bits: int, size: int
) -> None:
    work = Synapses(is_float, events, 12, size, bits, bits, size, bits, has_windows=True)
    total = CMOS45.synapse_parts(work, mac=mac, ac=ac).total
    assert CMOS45.synapse_parts(work, mac=mac + extra, ac=ac).total >= total
    assert CMOS45.synapse_parts(work, mac=mac, ac=ac + extra).total >= total
    assert CMOS45.synapse_parts(replace(work, events=events + extra), mac=mac, ac=ac).total >= total
    wider = replace(work, weight_bits=bits + 1, state_bits=bits + 1, states=size + 1)
    assert CMOS45.synapse_parts(wider, mac=mac, ac=ac).total >= total
    update = Updates(is_float, events, size, (bits,), (bits,), 1, size, ac, ac, 12)
    total = CMOS45.update_parts(update).total
    assert CMOS45.update_parts(replace(update, spikes=ac + extra, sent=ac + extra)).total >= total
    assert CMOS45.update_parts(replace(update, updates=events + extra)).total >= total


@given(trains())
def test_without_spikes_only_updates_cost(case: tuple[SpikeGraph, Array, Array]) -> None:
    graph, train, _ = case
    found = counted(graph, np.zeros_like(train))
    assert [layer.name for layer in found.layers if layer.energy] == ["n"]
    n = row(found, "n")
    assert n.spikes == 0
    again = counted(graph, np.zeros((2 * len(train), *train.shape[1:]), np.int64))
    assert again.energy == joules(2 * found.energy)


def test_every_number_has_a_source_and_a_status() -> None:
    for name, number in NUMBERS.items():
        assert number.value is not None, name
        assert number.value > 0
        assert number.source
        assert number.status is not Status.MEASURED, "none was measured on a chip"
    listed = CMOS45.as_dict()["numbers"]
    assert set(listed) == set(NUMBERS)
    assert listed["int16_add"]["status"] == "assumed"


def test_memory_grows_with_size() -> None:
    sizes = [0, 2**13, 2**14, 2**15, 2**16, 2**20, 2**22]
    energies = [CMOS45.sram(size) for size in sizes]
    assert energies == sorted(energies)
    assert (CMOS45.sram(2**13), CMOS45.sram(2**15), CMOS45.sram(2**20)) == (10, 20, 100)


def test_no_price_without_a_layer_and_no_mixing() -> None:
    graph = spiking(NeuronParameters(v_bits=16), np.ones((3, 2), np.int64))
    x = np.ones((2, 1, 2), np.int64)
    paper, found = counted(graph, x, "paper"), counted(graph, x)
    with pytest.raises(BadInput, match="two accountings, paper and cmos45, whose figures are not comparable"):
        energy_shift(paper, found)
    with pytest.raises(BadInput, match="in the accounting cmos45 an operation has no price of its own"):
        energy_shift(found, found)
    with pytest.raises(UnknownName, match="unknown accounting 'cmos'; known: cmos45, paper"):
        accounting_named("cmos")
