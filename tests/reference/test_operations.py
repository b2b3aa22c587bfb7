"""Counted operations against loops over single (spike, synapse) pairs."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import (
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    Encoding,
    Input,
    Kind,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Pool,
    Sparse,
    SpikeGraph,
    wires,
)
from snncc.reference import Operations, Run, run
from tests.reference.test_synapses import convolutions

T, B = 3, 2


def synapses(node: Node, shape: tuple[int, ...], out: tuple[int, ...]) -> list[tuple[tuple[int, ...], bool]]:
    """Every synapse of *node*: the source's address, and whether its weight is nonzero."""
    found: list[tuple[tuple[int, ...], bool]] = []
    match node:
        case Dense():
            for lead in product(*map(range, shape[:-1])):
                found += [((*lead, k), bool(w)) for row in node.weight for k, w in enumerate(row)]
        case Sparse():
            found += [
                (tuple(map(int, np.unravel_index(p, shape))), bool(w))
                for p, w in zip(node.pre, node.weight, strict=True)
            ]
        case Conv() | Pool():
            kernel = node.weight.shape[2:] if isinstance(node, Conv) else node.kernel
            dilation = node.dilation if isinstance(node, Conv) else (1, 1)
            for o, y, x, ky, kx in product(*map(range, out), *map(range, kernel)):
                row = y * node.stride[0] + ky * dilation[0] - node.padding[0]
                column = x * node.stride[1] + kx * dilation[1] - node.padding[2]
                if not (0 <= row < shape[1] and 0 <= column < shape[2]):
                    continue  # a tap outside the map is no synapse
                if isinstance(node, Pool):
                    found.append(((o, row, column), True))
                    continue
                first = o // (out[0] // node.groups) * node.weight.shape[1]
                found += [
                    ((first + c, row, column), bool(node.weight[o, c, ky, kx]))
                    for c in range(node.weight.shape[1])
                ]
        case _:
            raise AssertionError(node)
    return found


def costs(
    node: Node, shape: tuple[int, ...], x: Array, kind: Kind
) -> tuple[Operations, list[tuple[tuple[int, ...], bool]]]:
    entry = Input(name="x", shape=shape, kind=kind, low=-99, high=99)
    graph = SpikeGraph((entry, node, Output(name="y", inputs=wires("n"))), Numbers.INTEGER)
    graph.verify()
    return run(graph, x, timesteps=T).operations["n"], synapses(node, shape, graph.edges["n"].shape)


def compare(node: Node, shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    spikes = (rng.random((T, B, *shape)) < 0.4).astype(int)
    have, pairs = costs(node, shape, spikes, Kind.SPIKE)
    assert have.synapses == len(pairs)
    for b in range(B):
        hits = [(spikes[(t, b, *source)], nonzero) for t in range(T) for source, nonzero in pairs]
        assert have.ac[b] == sum(int(s) for s, _ in hits)
        assert have.ac_nonzero[b] == sum(int(s) for s, nonzero in hits if nonzero)
        assert have.received[b] == spikes[:, b].sum()
    assert not have.mac.any()
    assert not have.mac_dense.any()
    reals = spikes * rng.integers(-3, 4, spikes.shape)
    have, pairs = costs(node, shape, reals, Kind.ANALOG)
    for b in range(B):
        hits = [(reals[(t, b, *source)] != 0, nonzero) for t in range(T) for source, nonzero in pairs]
        assert have.mac[b] == sum(int(s) for s, _ in hits)
        assert have.mac_nonzero[b] == sum(int(s) for s, nonzero in hits if nonzero)
        assert have.mac_dense[b] == T * len(pairs)
        assert have.received[b] == (reals[:, b] != 0).sum()
    assert not have.ac.any()


@given(convolutions(), st.integers(0, 2**32 - 1))
def test_convolution(drawn: tuple[dict[str, int], tuple[int, int, int], tuple[int, ...]], seed: int) -> None:
    options, shape, weight_shape = drawn
    weight = np.random.default_rng(seed).integers(-1, 2, weight_shape)
    node = Conv(name="n", inputs=wires("x"), weight=weight, **options)  # type: ignore[arg-type]
    compare(node, shape, seed)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_dense(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(0).integers(-1, 2, (4, 5))
    assert not weight.all()
    compare(Dense(name="n", inputs=wires("x"), weight=weight), shape, 1)


def test_sparse() -> None:
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {
        "pre": rng.integers(0, 6, 20),
        "post": rng.integers(0, 4, 20),
        "weight": rng.integers(-1, 2, 20),
    }
    compare(Sparse(name="n", inputs=wires("x"), shape=(4,), **table), (2, 3), 1)


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 1)])
def test_pool(padding: tuple[int, int, int, int]) -> None:
    node = Pool(name="n", inputs=wires("x"), kernel=(3, 2), stride=(2, 2), padding=padding, is_average=True)
    compare(node, (2, 4, 5), 1)


def layered(encoding: Encoding, max_count: int = 4) -> Run:
    """An input, a neuron of the given encoding, a pool, and a dense layer of three."""
    ticks = max_count if encoding is Encoding.STREAM else 1
    p = NeuronParameters(max_count=max_count, encoding=encoding, ticks=ticks)
    nodes = (
        Input(name="x", shape=(1, 2, 2)),
        Neuron(name="n", inputs=wires("x"), parameters=p),
        Concat(name="c", inputs=wires("n", "n"), axis=0),
        Conv(name="fc", inputs=wires("c"), weight=np.ones((3, 2, 2, 2))),
        Output(name="y", inputs=wires("fc")),
    )
    x = np.array([[[[0.0, 1.0], [2.5, 9.0]]]])
    return run(SpikeGraph(nodes), x[None], timesteps=1)


def test_spikes_cost_accumulations_and_messages_with_a_payload_multiplications() -> None:
    # counts 0, 1, 2, 4, each seen twice by three targets
    for encoding in (Encoding.SPIKES, Encoding.STREAM):
        cost = layered(encoding).operations["fc"]
        assert (cost.ac.item(), cost.mac.item(), cost.received.item()) == (2 * 3 * 7, 0, 14)
    for encoding in (Encoding.GRADED, Encoding.UNDECIDED):
        cost = layered(encoding).operations["fc"]
        assert (cost.ac.item(), cost.mac.item(), cost.received.item()) == (0, 2 * 3 * 3, 14)
        assert cost.mac_dense.item() == 2 * 3 * 4
    cost = layered(Encoding.UNDECIDED, max_count=1).operations["fc"]
    assert (cost.ac.item(), cost.mac.item()) == (2 * 3 * 3, 0)


def test_spikes_and_reals_together_are_multiplied() -> None:
    nodes = (
        Input(name="s", shape=(2,), kind=Kind.SPIKE),
        Input(name="a", shape=(2,)),
        Concat(name="c", inputs=wires("s", "a"), axis=0),
        Dense(name="n", inputs=wires("c"), weight=np.ones((3, 4))),
        Output(name="y", inputs=wires("n")),
    )
    x = {"s": np.array([[[1, 0]]]), "a": np.array([[[0.5, 0.0]]])}
    cost = run(SpikeGraph(nodes), x, timesteps=1).operations["n"]
    assert (cost.ac.item(), cost.mac.item(), cost.mac_dense.item()) == (0, 6, 12)


def test_gains_that_stayed_cost_multiplications() -> None:
    nodes: tuple[Node, ...] = (
        Input(name="x", shape=(4,)),
        Affine(name="gain", inputs=wires("x"), gain=np.array(2.0), offset=np.array(1.0)),
        Affine(name="shift", inputs=wires("x"), offset=np.array(1.0)),
        Mul(name="mask", inputs=wires("x", "gain")),
        Output(name="y", inputs=wires("mask")),
        Output(name="z", inputs=wires("shift")),
    )
    x = np.array([[[1.0, 0.0, -0.5, 3.0]]])
    cost = run(SpikeGraph(nodes), x, timesteps=1).operations
    assert set(cost) == {"gain", "mask"}
    assert (cost["gain"].mac.item(), cost["gain"].mac_dense.item()) == (3, 4)
    assert (cost["mask"].mac.item(), cost["mask"].mac_dense.item()) == (2, 4)  # -0.5 becomes 0


def test_a_constant_image_costs_in_every_timestep() -> None:
    nodes: tuple[Node, ...] = (
        Input(name="x", shape=(4,), presence="constant"),  # type: ignore[arg-type]
        Dense(name="n", inputs=wires("x"), weight=np.ones((3, 4))),
        Output(name="y", inputs=wires("n")),
    )
    cost = run(SpikeGraph(nodes), np.ones((1, 4)), timesteps=5).operations["n"]
    assert cost.mac.item() == 5 * 12
