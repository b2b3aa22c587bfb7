"""Relays: maxima of events as populations of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from snncc.chips import load_chip
from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Conv,
    Edge,
    Encoding,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Pool,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.mapping import DoesNotFitChip, Role, Schedule, map_network, network_of, usage
from tests.simulator.machines import Program, programs


class Seen:
    """How many relays there were, and how many of them sent anything."""

    relays = sending = 0


@settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
@given(programs())
def check_maxima(program: Program) -> None:
    """A relay sends the largest of what its own synapses bring it, tick by tick."""
    network = program.placement.network
    for name, population in network.populations.items():
        if population.role is not Role.RELAY:
            continue
        train = program.trains[name]
        expected = np.zeros_like(train)
        for connection in network.into(name):
            source = program.trains[connection.source]
            for address in range(source.shape[2]):
                targets, weights = connection.synapses(address)
                assert (weights == 1).all()
                for t in range(connection.delay, len(train)):
                    for tick in range(source.shape[1]):
                        sent = source[t - connection.delay, tick, address]
                        here = expected[t, tick]
                        here[targets] = np.maximum(here[targets], sent)
        assert np.array_equal(train, expected)
        Seen.relays += 1
        Seen.sending += bool(train.any())


def test_relays_send_the_largest_of_what_they_receive() -> None:
    Seen.relays = Seen.sending = 0
    check_maxima()
    assert Seen.relays >= 30
    assert Seen.sending >= 0.6 * Seen.relays


def graph(*nodes: Node, kind: Kind = Kind.SPIKE, max_count: int | None = None) -> SpikeGraph:
    """*nodes* behind an input x of [2, 4, 4], the last of them read by a neuron through a convolution."""
    conv = Conv(name="conv", inputs=wires(nodes[-1].name), weight=np.ones((2, 2, 1, 1), np.int64))
    return SpikeGraph(
        (
            Input(name="x", shape=(2, 4, 4), kind=kind, max_count=max_count),
            *nodes,
            conv,
            Neuron(name="n", inputs=wires("conv"), parameters=NeuronParameters(theta=np.array(2))),
            Output(name="out", inputs=wires("n")),
        ),
        Numbers.INTEGER,
        "maxima",
    )


TOP = MaxPool(name="top", inputs=wires("x"), kernel=(2, 2), stride=(2, 2))


def test_a_maximum_of_spikes_is_a_population_of_its_own() -> None:
    network = network_of(graph(TOP))
    relay = network.populations["top"]
    assert (relay.role, relay.shape, relay.depth, relay.ticks) == (Role.RELAY, (2, 2, 2), 1, 1)
    assert (relay.payload_bits, relay.state_bits, relay.is_active) == (0, 1, False)
    assert network.populations["n"].depth == 2
    (connection,) = network.into("top")
    assert connection.node is None
    assert connection.counts(np.ones(8, bool)).tolist() == [1] * 32
    held = [one for one in usage(map_network(network, load_chip("mesh"))) if one.resource == "neurons"]
    assert sum(one.need for one in held) == 32 + 8 + 8


def test_a_maximum_of_numbers_sends_numbers() -> None:
    network = network_of(graph(TOP, kind=Kind.COUNT, max_count=5))
    assert (network.populations["top"].payload_bits, network.populations["top"].state_bits) == (3, 3)
    with pytest.raises(DoesNotFitChip, match="top: payload_bits: needs 3, has 0"):
        map_network(network, load_chip("loihi1-sanafe2025"))


def test_a_maximum_of_phased_spikes_keeps_its_ticks() -> None:
    p = NeuronParameters(theta=np.array(1), max_count=3, encoding=Encoding.SPIKES)
    first = Conv(name="first", inputs=wires("x"), weight=np.ones((2, 2, 1, 1), np.int64))
    counting = Neuron(name="counting", inputs=wires("first"), parameters=p)
    relay = network_of(graph(first, counting, top("counting"))).populations["top"]
    assert (relay.ticks, relay.payload_bits, relay.state_bits) == (3, 0, 3)


def top(source: str) -> MaxPool:
    return MaxPool(name="top", inputs=wires(source), kernel=(2, 2), stride=(2, 2))


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            (Pool(name="sum", inputs=wires("x"), kernel=(1, 2), stride=(1, 2)), top("sum")),
            "top .*: a maximum of sums",
        ),
        ((Add(name="sum", inputs=wires("x", "x")), top("sum")), "top .*: a maximum of sums"),
        (
            (
                Conv(name="first", inputs=wires("x"), weight=np.ones((2, 2, 1, 1), np.int64)),
                top("first"),
                Neuron(name="m", inputs=wires("top"), parameters=NeuronParameters(theta=np.array(1))),
            ),
            "top .*: a core cannot compute maxpool of currents",
        ),
        (
            (Maximum(name="either", inputs=(Wire("x"), Wire("x", 1, np.array(1)))),),
            "either .*: a chip's wires have no values before the first timestep",
        ),
    ],
)
def test_refused(nodes: tuple[Node, ...], words: str) -> None:
    with pytest.raises(CannotLower, match=words) as caught:
        network_of(graph(*nodes))
    assert caught.value.hint or "wires" in words


def test_counts_of_spikes_beside_numbers_are_refused() -> None:
    made = [
        Neuron(
            name=name,
            inputs=wires("first"),
            parameters=NeuronParameters(theta=np.array(1), max_count=3, encoding=encoding),
        )
        for name, encoding in (("phased", Encoding.SPIKES), ("whole", Encoding.GRADED))
    ]
    first = Conv(name="first", inputs=wires("x"), weight=np.ones((2, 2, 1, 1), np.int64))
    both = graph(first, *made, Maximum(name="either", inputs=wires("phased", "whole")))
    assert both.edges["either"] == Edge(Kind.COUNT, (2, 4, 4), max_count=3)
    with pytest.raises(CannotLower, match=r"either .*: a maximum of counts that come as spikes in 3 ticks"):
        network_of(both)


def test_pooled_currents_are_sums_that_are_sent() -> None:
    first = Conv(name="first", inputs=wires("x"), weight=np.full((3, 2, 1, 1), 5), bias=np.array([[[1]]] * 3))
    mean = Pool(name="mean", inputs=wires("first"), kernel=(2, 2), stride=(2, 2))
    n = Neuron(name="n", inputs=wires("mean"), parameters=NeuronParameters(theta=np.array(2)))
    nodes = (Input(name="x", shape=(2, 4, 4), kind=Kind.SPIKE), first, mean, n)
    network = network_of(SpikeGraph((*nodes, Output(name="y", inputs=wires("n"))), Numbers.INTEGER, "pooled"))
    tap = network.populations["first"]
    assert (tap.role, tap.size, tap.is_active, tap.payload_bits) == (Role.TAP, 48, True, 5)
    assert not network.populations["n"].is_active
    assert not network.has_host
    (pooled,) = network.into("n")
    assert (pooled.source, pooled.node) == ("first", None)
    assert pooled.synapses(5)[0].tolist() == [0]
    assert map_network(network, load_chip("mesh")).schedule is Schedule.PIPELINED
    with pytest.raises(DoesNotFitChip, match="first: payload_bits: needs 5, has 0"):
        map_network(network, load_chip("loihi1-sanafe2025"))
