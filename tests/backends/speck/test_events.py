"""The model `event`: the vendor's recordings, an independent definition, and its distance from `step`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.backends.speck.events import distances, loads, run_by_events
from snncc.backends.speck.mapped import mapped
from snncc.ir import (
    Array,
    Conv,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Output,
    Reset,
    SpikeGraph,
    wires,
)
from tests.backends.speck.networks import Drawing, chain, data, drawn

RECORDED = (101, 88, 75, 62, 49, 36, 23, 10, -3, -16)
"""Potentials read from the chip, one a tick of a slow clock of 1 Hz (leak_neuron.ipynb of sinabs)."""


def single(weight: float, theta: float, *, bias: float | None = None, v_init: float = 0.0) -> SpikeGraph:
    """One neuron behind one synapse."""
    return SpikeGraph(
        name="single",
        timesteps=1,
        nodes=(
            Input(name="x", shape=(1, 1, 1), kind=Kind.SPIKE),
            Conv(
                name="conv",
                inputs=wires("x"),
                weight=np.full((1, 1, 1, 1), weight),
                bias=None if bias is None else np.full((1, 1, 1), bias),
            ),
            Neuron(
                name="n",
                inputs=wires("conv"),
                parameters=NeuronParameters(
                    theta=np.array(theta), rho=np.array(theta), max_count=None, v_init=np.array(v_init)
                ),
            ),
            Output(name="y", inputs=wires("n")),
        ),
    )


def test_the_recording_of_a_leaking_neuron() -> None:
    """Weight 1, bias -0.1, threshold 1, from 1: 127 - 13 n after n ticks, no spike from standing at 127."""
    graph = snncc.compile(single(1.0, 1.0, bias=-0.1, v_init=1.0), target="speck").graph
    conv, neuron = graph["conv"], graph["n"]
    assert isinstance(conv, Conv)
    assert isinstance(neuron, Neuron)
    assert conv.bias is not None
    assert (int(conv.weight.item()), int(conv.bias.item())) == (127, -13)
    assert (int(neuron.parameters.theta), int(neuron.parameters.v_init)) == (127, 127)
    read = []
    for ticks in range(1, 12):
        spikes, potentials = run_by_events(graph, np.zeros((ticks, 1, 1, 1, 1)), timesteps=ticks)
        assert not spikes["n"].any()
        assert potentials["n"][0, 0] == 127 - 13 * ticks
        read.append(int(potentials["n"][0, 0]))
    assert tuple(read[1:]) == RECORDED


def test_the_vendors_test_of_a_single_neuron() -> None:
    """Weight 127, threshold 127: one event gives one spike, and nothing is left."""
    graph = snncc.compile(single(127.0, 127.0), target="speck").graph
    spikes, potentials = run_by_events(graph, np.ones((1, 1, 1, 1, 1)), timesteps=1)
    assert spikes["n"].sum() == 1
    assert potentials["n"][0, 0] == 0


def test_what_is_left_above_the_threshold_waits_for_the_next_event() -> None:
    """Weight 3 thresholds: each event gives one spike by events, three by timesteps."""
    graph = snncc.compile(single(1.0, 1 / 3), target="speck").graph
    x = np.ones((4, 1, 1, 1, 1))
    spikes, _ = run_by_events(graph, x, timesteps=4)
    assert spikes["n"].sum() == 4
    run = snncc.reference.run(graph, x, timesteps=4, record=["n"])
    assert run.spikes["n"].sum() == 12


def one_layer(seed: int) -> SpikeGraph:
    growing = Drawing(seed)
    growing.conv()
    growing.neuron()
    return growing.graph()


def by_hand(graph: SpikeGraph, x: Array) -> tuple[Array, Array]:
    """One convolution, by its definition: each event adds its weights at once; a neuron fires once."""
    conv, neuron = graph.nodes[1], graph.nodes[2]
    assert isinstance(conv, Conv)
    assert isinstance(neuron, Neuron)
    p, shape = neuron.parameters, graph.edges[neuron.name].shape
    assert p.clamp_low is not None
    v = np.broadcast_to(p.v_init, shape).astype(np.int64)
    spikes = np.zeros((len(x), *shape), np.int64)

    def add(t: int, at: tuple[int, ...], w: int) -> None:
        v[at] = max(int(np.clip(v[at] + w, -(2**15), 2**15 - 1)), int(p.clamp_low))  # type: ignore[arg-type]
        if v[at] >= p.theta:
            spikes[(t, *at)] += 1
            v[at] = 0 if p.reset is Reset.VALUE else v[at] - int(p.theta)

    features, _, ky, kx = conv.weight.shape
    for t, counts in enumerate(x):
        if conv.bias is not None:
            for at in np.ndindex(shape):
                b = int(np.broadcast_to(conv.bias, shape)[at])
                if b:
                    add(t, at, b)
        for k in range(int(counts.max())):
            for c, y, z in np.argwhere(counts > k):
                for f in range(features):
                    for dy in range(ky):
                        for dx in range(kx):
                            row, column = y + conv.padding[0] - dy, z + conv.padding[2] - dx
                            at = (f, row // conv.stride[0], column // conv.stride[1])
                            is_on = row % conv.stride[0] == 0 and column % conv.stride[1] == 0
                            if is_on and 0 <= at[1] < shape[1] and 0 <= at[2] < shape[2]:
                                add(t, at, int(conv.weight[f, c, dy, dx]))
    return spikes, v


@pytest.mark.parametrize("seed", range(10))
def test_one_layer_equals_its_definition(seed: int) -> None:
    graph = snncc.compile(one_layer(seed), target="speck").graph
    x = data(graph, seed, batch=1)
    spikes, potentials = run_by_events(graph, x, timesteps=len(x))
    expected, left = by_hand(graph, x[:, 0])
    name = graph.neurons[0].name
    assert expected.sum() > 10
    np.testing.assert_array_equal(spikes[name][:, 0].reshape(expected.shape), expected)
    np.testing.assert_array_equal(potentials[name][0].reshape(left.shape), left)


def test_both_models_agree_where_thresholds_are_high() -> None:
    """From thresholds of a seventh to twice the largest weight, the distance falls to little."""

    def share(theta: float) -> float:
        graph = chain(theta=np.array(theta), rho=np.array(theta))
        x = np.repeat(data(graph, 2, batch=4), 6, axis=0)
        program = snncc.compile(replace(graph, timesteps=len(x)), target="speck")
        names = [node.name for node in graph.neurons]
        records = program.run(x, record=names).records
        step = {name: records[name].train[:, :, 0] for name in names}
        events, _ = run_by_events(program.graph, x, timesteps=len(x))
        one = next(distances(program.graph, events, step))
        assert one.step > 100
        return one.differing / one.step

    low, high = share(0.2), share(3.0)
    assert low > 0.1
    assert high < low / 4


def test_verification_says_how_far_the_models_are_apart() -> None:
    graph = drawn(0)
    notes = snncc.verify(snncc.compile(graph, target="speck"), None, data(graph, 0)).notes
    for node in graph.neurons:
        assert sum(f"{node.name}: " in note and "by events" in note for note in notes) == 1
        assert sum(f", {node.name}: up to" in note and "us and longer" in note for note in notes) == 1
    assert any("train with smaller weights" in note for note in notes)


def test_operations_of_a_core_by_hand() -> None:
    """Every pixel fires: 128 events, 3 x 3 weights to 4 features each, at 1e8 a second."""
    graph = chain(theta=np.array(4.0), rho=np.array(4.0))
    program = snncc.compile(graph, target="speck")
    x = np.ones((5, 1, 2, 8, 8))
    run = program.run(x).run
    text = next(loads(mapped(program.graph), run))
    assert text.startswith("core 0, n1: up to 4,608 synaptic operations in a timestep")
    assert "46.1 us" in text
