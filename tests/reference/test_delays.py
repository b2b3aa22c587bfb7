"""Delays of wires and of single synapses, loops, and what stands before the first timestep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import (
    Array,
    Conv,
    Dense,
    Encoding,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Presence,
    Reset,
    Sparse,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.reference import run

T, B = 7, 2


def shifted(x: Array, delay: int, initial: Any = 0) -> Array:
    """*x* [T, ...] *delay* timesteps later."""
    return np.concatenate([np.broadcast_to(initial, x.shape)[:delay], x[: len(x) - delay]])


def graph(*nodes: Node, integer: bool = False) -> SpikeGraph:
    numbers = Numbers.INTEGER if integer else Numbers.FLOAT
    result = SpikeGraph((*nodes, Output(name="y", inputs=wires(nodes[-1].name))), numbers, timesteps=T)
    result.verify()
    return result


def data(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, (T, B, *shape))


@given(st.integers(0, 9), st.sampled_from([None, 3.0, [1.0, 2.0, 3.0]]), st.integers(0, 9))
def test_a_wire_delivers_what_was(delay: int, initial: Any, seed: int) -> None:
    x = data(seed, 3)
    wire = Wire("x", delay, None if initial is None else np.array(initial))
    y = run(
        graph(Input(name="x", shape=(3,)), Dense(name="n", inputs=(wire,), weight=np.eye(3))), x, timesteps=T
    )
    assert np.array_equal(y.output, shifted(x, min(delay, T), 0 if initial is None else initial))


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("kind", ["dense", "conv", "sparse"])
@pytest.mark.parametrize("wire_delay", [0, 2])
@pytest.mark.parametrize("initial", [None, 3])
def test_each_synapse_has_its_delay(kind: str, wire_delay: int, initial: int | None, integer: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 4, 3) if kind == "conv" else (5,)
    x = data(1, *shape)
    wire = (Wire("x", wire_delay, None if initial is None else np.array(initial)),)

    def table(*size: int) -> dict[str, Any]:
        weight = rng.integers(-3, 4, size)
        return {"weight": weight, "delay": rng.integers(0, 4, size), "inputs": wire, "bias": np.array(2)}

    node: Node
    match kind:
        case "dense":
            node = Dense(name="n", **table(4, 5))
        case "conv":
            node = Conv(name="n", **table(3, 2, 2, 2), padding=(1, 0, 0, 1), stride=(2, 1))
        case _:
            node = Sparse(
                name="n", **table(20), pre=rng.integers(0, 5, 20), post=rng.integers(0, 4, 20), shape=(4,)
            )
    assert isinstance(node, Dense | Conv | Sparse)
    assert node.delay is not None
    assert len(np.unique(node.delay)) == 4
    entry = Input(name="x", shape=shape, low=-9, high=9)
    y = run(graph(entry, node, integer=integer), x, timesteps=T)
    # The initial value stands before the first timestep of the wire; before that of the synapse is nothing.
    delivered = shifted(x, wire_delay, 0 if initial is None else initial)
    need = np.zeros_like(y.output)
    for delay in range(4):
        part = replace(
            node, weight=node.weight * (node.delay == delay), delay=None, bias=None, inputs=wires("x")
        )
        need += run(graph(entry, part, integer=integer), shifted(delivered, delay), timesteps=T).output
    assert need.any()
    assert np.array_equal(y.output, need + 2)


def loop(delay: int, initial: Any) -> SpikeGraph:
    """Neurons that receive their own spikes, turned by one place, *delay* timesteps later."""
    return graph(
        Input(name="x", shape=(3,)),
        Neuron(
            name="n",
            inputs=(*wires("x"), Wire("back", delay, initial)),
            parameters=NeuronParameters(reset=Reset.VALUE, theta=np.array(2.0)),
        ),
        Dense(name="back", inputs=wires("n"), weight=np.roll(np.eye(3), 1, axis=0) * 1.5),
        Neuron(name="end", inputs=wires("n"), parameters=NeuronParameters(leak=np.array(0.0))),
    )


@pytest.mark.parametrize("delay", [1, 2, 3])
@pytest.mark.parametrize("initial", [None, np.array([2.0, 0.0, -1.0])])
def test_a_loop_by_hand(delay: int, initial: Array | None) -> None:
    x = np.random.default_rng(3).uniform(0, 1.5, (T, B, 3))
    have = run(loop(delay, initial), x, timesteps=T).output
    need = np.zeros((T, B, 3))
    back: list[Any] = [np.zeros((B, 3)) if initial is None else np.broadcast_to(initial, (B, 3))] * delay
    v = np.zeros((B, 3))
    for t in range(T):
        v = v + x[t] + back[t]
        need[t] = v >= 2
        v = np.where(need[t], 0, v)
        back.append(1.5 * np.roll(need[t], 1, axis=1))
    assert 0 < need.mean() < 1
    assert np.array_equal(have, need)


def test_a_neuron_that_reads_itself() -> None:
    node = Neuron(
        name="n",
        inputs=(Wire("x"), Wire("n", 1, np.array(1))),
        parameters=NeuronParameters(leak=np.array(0.0)),
    )
    x = np.zeros((T, 1, 1))
    alone = run(graph(Input(name="x", shape=(1,)), node), x, timesteps=T).output
    assert alone.reshape(-1).tolist() == [1] * T  # the initial spike goes round for ever
    x[3] = -5
    assert (
        run(graph(Input(name="x", shape=(1,)), node), x, timesteps=T).output.reshape(-1).tolist()
        == [1] * 3 + [0] * 4
    )


@pytest.mark.parametrize("presence", Presence)
@pytest.mark.parametrize("integer", [False, True])
def test_presence(presence: Presence, integer: bool) -> None:
    entry = Input(name="x", shape=(3,), presence=presence, low=-9, high=9)
    x = data(0, 3) if presence is Presence.SEQUENCE else data(0, 3)[0]
    y = run(
        graph(entry, Dense(name="n", inputs=wires("x"), weight=np.eye(3, dtype=int)), integer=integer),
        x,
        timesteps=T,
    )
    need = {
        Presence.SEQUENCE: x,
        Presence.CONSTANT: np.broadcast_to(x, (T, B, 3)),
        Presence.FIRST: np.concatenate([data(0, 3)[:1], np.zeros((T - 1, B, 3))]),
    }[presence]
    assert np.array_equal(y.output, need)


def test_delayed_spikes_keep_their_ticks() -> None:
    parameters = NeuronParameters(max_count=3, encoding=Encoding.SPIKES, leak=np.array(0.0))
    first = Neuron(name="n", inputs=wires("x"), parameters=parameters)
    last = Neuron(name="m", inputs=(Wire("n", 2),), parameters=parameters)
    g = graph(Input(name="x", shape=(1,), kind=Kind.COUNT, max_count=3), first, last)
    x = np.array([3, 1, 0, 2, 3, 0, 1]).reshape(T, 1, 1)
    result = run(g, x, timesteps=T, record=["m"])
    assert result.output.reshape(-1).tolist() == [0, 0, 3, 1, 0, 2, 3]
    assert result.records["m"].train.shape == (T, 1, 3, 1)
