"""Dense integrate-and-fire layers against a loop in this file that knows nothing of the package."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from snncc.ir import Node
from snncc.simulator.machine.events import run_events
from snncc.simulator.slow.event_order import canonical
from tests.simulator.event.hand import dense, free_chip, graph_of, hand, iaf, neuron, spikes_in

Ints = NDArray[np.int64]
SIZES = (12, 20, 16, 5)


def spike(
    layer: int, k: int, weights: list[Ints], thetas: list[Ints], v: list[Ints], counts: list[Ints]
) -> None:
    """Everything that neuron *k* of *layer* causes in the layers behind it."""
    if layer == len(weights):
        return
    fired = []
    for j in range(len(v[layer])):
        v[layer][j] += weights[layer][j, k]
        if v[layer][j] >= thetas[layer][j]:
            v[layer][j] -= thetas[layer][j]
            counts[layer][j] += 1
            fired.append(j)
    for j in fired:
        spike(layer + 1, j, weights, thetas, v, counts)


@pytest.mark.parametrize("seed", range(5))
def test_dense_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.integers(-6, 10, (outs, ins)) for ins, outs in pairwise(SIZES)]
    thetas = [rng.integers(5, 30, outs) for outs in SIZES[1:]]
    x = (rng.random((8, SIZES[0])) < 0.4).astype(np.int64)
    nodes: list[Node] = [spikes_in(SIZES[0])]
    for source, target, weight, theta in zip("xab", "abc", weights, thetas, strict=True):
        nodes += [dense(source, target, weight), neuron(target, iaf(theta), source)]
    parts = [
        (name, core, range(size)) for core, (name, size) in enumerate(zip("abc", SIZES[1:], strict=True))
    ]
    program = hand(graph_of(*nodes), free_chip(3), parts, x=x)

    v = [np.zeros(size, np.int64) for size in SIZES[1:]]
    trains: list[list[Ints]] = [[], [], []]
    for row in x:
        counts = [np.zeros(size, np.int64) for size in SIZES[1:]]
        for k in np.flatnonzero(row):
            spike(0, int(k), weights, thetas, v, counts)
        for train, count in zip(trains, counts, strict=True):
            train.append(count)
    assert all(np.sum(train) > 10 for train in trains)

    for run in (canonical(*program), run_events(*program)):
        for name, train, potential in zip("abc", trains, v, strict=True):
            assert np.array_equal(run.spikes[name], train)
            assert np.array_equal(run.potentials[name], potential)
    timed = run_events(*program, order="timed")
    for name, train, potential in zip("abc", trains, v, strict=True):
        assert np.array_equal(timed.spikes[name].sum(axis=0), np.sum(train, axis=0))
        assert np.array_equal(timed.potentials[name], potential)
