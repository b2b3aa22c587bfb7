"""Numbers that others published: examples of papers, a recording of the NIR authors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.ir import Array, Emit, Input, Neuron, NeuronParameters, Output, Reset, SpikeGraph, wires
from snncc.reference import Run, run


def driven(p: NeuronParameters, x: Array) -> Run:
    """One neuron for each column of *x* [T, K]."""
    nodes = (
        Input(name="x", shape=x.shape[1:]),
        Neuron(name="n", inputs=wires("x"), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes)
    graph.verify()
    return run(graph, x[:, None], timesteps=len(x), record=["n"])


EXAMPLE = np.array([1.5, 1.2, 1.5, 0.9, 1.4])[:, None] * 0.5


def train(p: NeuronParameters, x: Array) -> list[int]:
    return [int(n) for n in driven(p, x).output.reshape(-1)]


def test_the_example_of_srif() -> None:
    """InfLoR-SNN: a soft reset of one behind a threshold of one half fires 3 times, a hard reset 4 times."""
    srif = NeuronParameters(theta=np.array(0.5), rho=np.array(1.0))
    hard = NeuronParameters(theta=np.array(0.5), reset=Reset.VALUE)
    assert train(srif, EXAMPLE) == [1, 0, 1, 1, 0]
    assert train(hard, EXAMPLE) == [1, 1, 1, 0, 1]
    for theta, rho in ((1.0, 1.0), (0.5, 0.5)):  # the constants that the example rules out
        twice = 2 if theta == 1.0 else 1
        other = NeuronParameters(theta=np.array(theta), rho=np.array(rho))
        assert sum(train(other, EXAMPLE * twice)) == 5


def test_srif_is_a_threshold_of_one_with_an_offset() -> None:
    """On a machine whose reset equals its threshold: v0 = 1/2, and with a leak 1/2 * (1 - leak) a step."""
    x = np.random.default_rng(0).normal(0.3, 0.6, (40, 500))
    for leak in (1.0, 0.25):
        srif = NeuronParameters(theta=np.array(0.5), leak=np.array(leak))
        moved = NeuronParameters(leak=np.array(leak), v_init=np.array(0.5), bias=np.array(0.5 * (1 - leak)))
        a, b = driven(srif, x).output, driven(moved, x).output
        assert 0.1 < a.mean() < 0.6
        assert np.array_equal(a, b)
    without = NeuronParameters(leak=np.array(0.25), v_init=np.array(0.5))
    assert (driven(without, x).output != a).mean() > 0.01


@pytest.mark.parametrize("D", [1, 2, 4, 8])
@pytest.mark.parametrize("decay", [None, 1.0, 0.25])
def test_sfa(D: int, decay: float | None) -> None:
    """n = floor(clip(u, 0, D) + 1/2), and with a memory u = h + x, h = (u - n) * decay."""
    x = np.random.default_rng(0).normal(D / 2, D, (10, 400))
    x[:, :50] = np.round(x[:, :50] * 2) / 2  # ties
    leak: dict[str, Any] = {"stateless": True} if decay is None else {"leak": np.array(decay)}
    p = NeuronParameters(theta=np.array(0.5), max_count=D, **leak)
    need, h = [], np.zeros(400)
    for x_t in x:
        u = h + x_t
        need.append(np.floor(np.clip(u, 0, D) + 0.5))
        h = h if decay is None else (u - need[-1]) * decay
    assert set(range(D + 1)) == set(np.unique(need).astype(int))
    assert np.array_equal(driven(p, x).output[:, 0], np.stack(need))


@pytest.mark.parametrize("L", [1, 4, 8])
@pytest.mark.parametrize("lam", [1.0, 0.5, 8.0])
def test_qcfs_is_an_integrator_of_l_timesteps(L: int, lam: float) -> None:
    """lam * clip(floor(x L / lam + 1/2) / L, 0, 1) is the mean of an IF neuron, v0 = lam/2, T = L."""
    x = np.random.default_rng(0).uniform(-0.5, 1.5, 1000) * lam
    x[:100] = np.linspace(-1, 2, 100).round(1) * lam
    p = NeuronParameters(
        theta=np.array(lam), rho=np.array(lam), v_init=np.array(lam / 2), scale=np.array(lam)
    )
    rate = driven(p, np.broadcast_to(x, (L, 1000))).output.mean(axis=0)[0]
    qcfs = lam * np.clip(np.floor(x * L / lam + 0.5) / L, 0, 1)
    near = np.abs(x * L / lam + 0.5 - np.rint(x * L / lam + 0.5)) < 1e-9
    assert near.sum() < 200
    assert len(np.unique(qcfs)) == L + 1
    assert np.allclose(rate[~near], qcfs[~near], rtol=0, atol=1e-12)
    staircase = NeuronParameters(
        theta=np.array(lam / L / 2),
        rho=np.array(lam / L),
        max_count=L,
        stateless=True,
        scale=np.array(lam / L),
    )
    assert np.allclose(driven(staircase, x[None]).output[0, 0][~near], qcfs[~near], rtol=0, atol=1e-12)


def test_strict_and_not_strict_differ_at_the_threshold_alone() -> None:
    x = np.array([[0.999999, 1.0, 1.000001]])
    assert driven(NeuronParameters(), x).output.reshape(-1).tolist() == [0, 1, 1]
    assert driven(NeuronParameters(strict=True), x).output.reshape(-1).tolist() == [0, 0, 1]


def test_rectified_potentials() -> None:
    """LIAF: the output is relu(u), the reset still uses the spike."""
    p = NeuronParameters(emit=Emit.RELU, leak=np.array(0.5), reset=Reset.VALUE)
    x = np.array([[0.8], [0.8], [0.8], [-3.0]])
    assert np.allclose(driven(p, x).output.reshape(-1), [0.8, 1.2, 0.8, 0.0])


def test_the_recording_of_the_nir_authors(shared_data: Path) -> None:
    """One LIF neuron: tau 2.5 ms, threshold 0.1, input gain 1 (lif_norse.nir), in steps of 0.1 ms."""
    folder = shared_data / "nir_lif"
    step = 1e-4 / 0.0025
    p = NeuronParameters(theta=np.array(0.1), leak=np.array(1 - step), reset=Reset.VALUE, strict=True)
    recorded = np.loadtxt(folder / "lif_norse.csv", delimiter=",")
    x, v, spikes = recorded.T
    result = driven(p, x[:, None] * step)
    assert spikes.sum() == 4
    assert np.array_equal(result.output.reshape(-1), spikes)
    u_post = result.records["n"].u_post
    assert u_post is not None
    assert np.allclose(u_post.reshape(-1), v, rtol=0, atol=1e-6)  # it was recorded in float32
    exact = np.loadtxt(folder / "lif_exact.csv", delimiter=",")
    assert np.array_equal(np.flatnonzero(exact[:, 2]), np.flatnonzero(spikes))
