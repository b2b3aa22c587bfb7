"""Dynamic synapses: products of counts as phases of spikes, and what they cost; gates."""

from __future__ import annotations

from itertools import product as every

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import (
    Array,
    DynamicSynapse,
    Encoding,
    Gate,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Presence,
    Product,
    SpikeGraph,
    wires,
)
from snncc.reference import run
from snncc.simulator.costs import ticks_per_timestep

D = 4
N, DK, DV = 5, 3, 4


def attention(encoding: Encoding = Encoding.SPIKES) -> SpikeGraph:
    """q [N, dk], k [N, dk] and v [N, dv] arrive as counts and leave neurons as spikes: q (k^T v)."""
    p = NeuronParameters(theta=np.array(1), rho=np.array(1), max_count=D, stateless=True, encoding=encoding)
    nodes: list[Node] = []
    for name, width in (("q", DK), ("k", DK), ("v", DV)):
        nodes.append(
            Input(
                name=f"{name}.in",
                shape=(N, width),
                kind=Kind.COUNT,
                max_count=D,
                presence=Presence.CONSTANT,
            )
        )
        nodes.append(Neuron(name=name, inputs=wires(f"{name}.in"), parameters=p))
    nodes.append(DynamicSynapse(name="kv", inputs=wires("k", "v"), transpose=(True, False)))
    nodes.append(DynamicSynapse(name="out", inputs=wires("q", "kv"), first=1))
    nodes.append(Output(name="y", inputs=wires("out")))
    graph = SpikeGraph(tuple(nodes), Numbers.INTEGER)
    graph.verify()
    return graph


def data(seed: int, batch: int = 2) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {f"{n}.in": rng.integers(0, D + 1, (batch, N, w)) for n, w in (("q", DK), ("k", DK), ("v", DV))}


def trains_of(counts: Array) -> Array:
    """n spikes in the first n of D ticks: [D, ...]."""
    return np.stack([counts > tick for tick in range(D)]).astype(int)


def in_phases(q: Array, k: Array, v: Array) -> tuple[Array, int, int]:
    """The definition, spike by spike: K counts; v and q spikes add rows of counts and sums.

    The last two numbers are the accumulations of the phases V and Q.
    """
    spikes = {name: trains_of(count) for name, count in (("q", q), ("k", k), ("v", v))}
    counted, sums, out = np.zeros((N, DK), int), np.zeros((DK, DV), int), np.zeros((N, DV), int)
    accumulations = [0, 0]
    for tick, n, i in every(range(D), range(N), range(DK)):
        counted[n, i] += spikes["k"][tick, n, i]
    for tick, n, j in every(range(D), range(N), range(DV)):
        if spikes["v"][tick, n, j]:
            sums[:, j] += counted[n]
            accumulations[0] += DK
    for tick, n, i in every(range(D), range(N), range(DK)):
        if spikes["q"][tick, n, i]:
            out[n] += sums[i]
            accumulations[1] += DV
    return out, accumulations[0], accumulations[1]


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=30)
def test_a_product_is_what_the_phases_accumulate(seed: int) -> None:
    x = data(seed)
    done = run(attention(), x, timesteps=1)
    assert all(done.spikes[name].any() for name in "qkv")
    for b in range(2):
        q, k, v = (x[f"{name}.in"][b] for name in "qkv")
        out, in_v, in_q = in_phases(q, k, v)
        assert np.array_equal(done.output[0, b], out)
        assert (done.operations["kv"].ac[b], done.operations["out"].ac[b]) == (in_v, in_q)
        assert done.operations["kv"].mac[b] == 0


def test_tick_by_tick_is_another_number() -> None:
    """``sum_d q_d (k_d^T v_d)``, the tempting way, loses the cross terms: most of the product."""
    x = data(3, batch=1)
    q, k, v = (trains_of(x[f"{name}.in"][0]) for name in "qkv")
    wrong = sum(q[d] @ (k[d].T @ v[d]) for d in range(D))
    right = run(attention(), x, timesteps=1).output[0, 0]
    assert right.any()
    assert wrong.sum() < 0.25 * right.sum()


def test_graded_operands_cost_multiplications() -> None:
    x = data(4)
    done = run(attention(Encoding.GRADED), x, timesteps=1)
    assert np.array_equal(done.output, run(attention(), x, timesteps=1).output)
    assert not done.operations["kv"].ac.any()
    for b in range(2):
        assert done.operations["kv"].mac[b] == (x["v.in"][b] != 0).sum() * DK
        assert done.operations["kv"].mac_dense[b] == N * DK * DV


def test_entries_of_zero_are_not_counted_as_effective() -> None:
    x = data(5)
    x["k.in"][:, 0] = 0
    done = run(attention(), x, timesteps=1)
    for b in range(2):
        effective = sum(x["v.in"][b, n].sum() * (x["k.in"][b, n] != 0).sum() for n in range(N))
        assert done.operations["kv"].ac_nonzero[b] == effective < done.operations["kv"].ac[b]


def test_phases_take_their_ticks_one_after_another() -> None:
    assert ticks_per_timestep(attention()) == 3 * D  # k, then v, then q


@pytest.mark.parametrize("first", [0, 1])
def test_an_elementwise_product_broadcasts(first: int) -> None:
    nodes = (
        Input(name="a", shape=(3, 4), kind=Kind.COUNT, max_count=3),
        Input(name="b", shape=(3, 1), kind=Kind.SPIKE),
        DynamicSynapse(name="ab", inputs=wires("a", "b"), product=Product.ELEMENTWISE, first=first),
        Output(name="y", inputs=wires("ab")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    graph.verify()
    rng = np.random.default_rng(0)
    x = {"a": rng.integers(0, 4, (2, 1, 3, 4)), "b": rng.integers(0, 2, (2, 1, 3, 1))}
    done = run(graph, x, timesteps=2)
    assert np.array_equal(done.output, x["a"] * x["b"])
    second = x["a"] if first else np.broadcast_to(x["b"], x["a"].shape)
    cost = done.operations["ab"]
    assert (cost.ac + cost.mac)[0] == ((second != 0) if first == 1 else second).sum()


def test_a_gate_lets_through_what_its_mask_says() -> None:
    nodes = (
        Input(name="x", shape=(3, 4), kind=Kind.SPIKE),
        Input(name="mask", shape=(1, 1), kind=Kind.SPIKE),
        Gate(name="gate", inputs=wires("x", "mask")),
        Output(name="y", inputs=wires("gate")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    graph.verify()
    rng = np.random.default_rng(0)
    x = {"x": rng.integers(0, 2, (5, 2, 3, 4)), "mask": rng.integers(0, 2, (5, 2, 1, 1))}
    assert np.array_equal(run(graph, x, timesteps=5).output, x["x"] * x["mask"])
