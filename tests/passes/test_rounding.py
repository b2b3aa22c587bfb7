"""Half to even is `torch.round`, half up differs from it at ties and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from snncc.ir import (
    Affine,
    Array,
    Dense,
    Input,
    Neuron,
    NeuronParameters,
    Numbers,
    Output,
    SpikeGraph,
    wires,
)
from snncc.passes import FoldBatchNorm, Into, Preserves, RoundHalfUp
from snncc.passes.rounding import half_to_even_steps, rounds_half_to_even
from snncc.quantization import Quantize
from snncc.reference import run


def even(D: int, rho: float = 1.0, **options: Any) -> NeuronParameters:
    """round(u / rho) as an explicit staircase, by hand: odd steps lie one rounding above their tie."""
    steps = [rho * (j + 0.5) for j in range(D)]
    steps = [np.nextafter(s, np.inf) if j % 2 == 0 else s for j, s in enumerate(steps)]
    return NeuronParameters(max_count=D, steps=np.array(steps), rho=np.array(rho), stateless=True, **options)


def graph(p: NeuronParameters, *between: Any, shape: tuple[int, ...] = (1000,)) -> SpikeGraph:
    last = between[-1].name if between else "x"
    nodes = (
        Input(name="x", shape=shape),
        *between,
        Neuron(name="n", inputs=wires(last), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    result = SpikeGraph(nodes)
    result.verify()
    return result


def fired(g: SpikeGraph, x: Array) -> Array:
    return run(g, x[None, None], timesteps=1).output[0, 0]


def potentials(D: int) -> Array:
    """Every tie, what is beside it, and other numbers."""
    ties = np.arange(-1, D + 1) + 0.5
    near = np.concatenate(
        [ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf), [0.0, -7.0, D + 5.0]]
    )
    rest = np.random.default_rng(0).uniform(-1, D + 1, 1000 - len(near))
    return np.concatenate([near, rest])


@pytest.mark.parametrize("D", [1, 2, 4, 7, 8])
def test_the_explicit_staircase_is_torchs_round(D: int) -> None:
    u = potentials(D)
    need = torch.round(torch.clamp(torch.from_numpy(u), 0, D)).numpy()
    assert set(need) == set(range(D + 1))
    assert np.array_equal(fired(graph(even(D)), u), need)


@pytest.mark.parametrize("D", [1, 2, 4, 7, 8])
def test_half_up_differs_at_ties_alone(D: int) -> None:
    u = potentials(D)
    before = graph(even(D))
    after = RoundHalfUp()(before)
    assert after["n"].parameters.steps is None  # type: ignore[union-attr]
    a, b = fired(before, u), fired(after, u)
    assert np.array_equal(b, sum((u >= j + 0.5).astype(float) for j in range(D)))
    ties = (u % 1 == 0.5) & (u > 0) & (u < D)
    assert set(u[a != b]) == {k + 0.5 for k in range(0, D, 2)}
    assert np.all(ties[a != b])
    assert np.array_equal(b[a != b], a[a != b] + 1)


NOT_EVEN = [
    NeuronParameters(max_count=3),
    NeuronParameters(max_count=3, steps=np.array([0.5, 1.5, 2.5])),  # half up already
    NeuronParameters(max_count=3, steps=np.array([0.6, 1.5, 2.6])),
    replace(even(3), strict=True),
    replace(even(3), rho=np.array(2.0)),
]


@pytest.mark.parametrize("p", NOT_EVEN)
def test_other_staircases_stay(p: NeuronParameters) -> None:
    assert not rounds_half_to_even(p)
    assert RoundHalfUp()(graph(p))["n"].parameters == p  # type: ignore[union-attr]


@pytest.mark.parametrize("rho", [1.0, 0.3, np.array([0.1, 0.3, 7.0]).reshape(3, 1, 1)])
@pytest.mark.parametrize("D", [1, 4, 8])
def test_recognized_at_every_reset_amount(rho: Any, D: int) -> None:
    p = NeuronParameters(max_count=D, rho=np.asarray(rho), steps=half_to_even_steps(np.asarray(rho), D))
    assert rounds_half_to_even(p)


def test_recognized_behind_folded_thresholds() -> None:
    # Found in review: dividing by the gains blurred the ties, and the pass did nothing, without a word.
    rng = np.random.default_rng(0)
    fc = Dense(name="fc", inputs=wires("x"), weight=np.eye(5))
    norm = Affine(
        name="norm", inputs=wires("fc"), gain=rng.uniform(0.5, 2, 5), offset=rng.uniform(-0.2, 0.8, 5)
    )
    g = FoldBatchNorm(Into.THRESHOLDS)(graph(even(4), fc, norm, shape=(5,)))
    p = g["n"].parameters  # type: ignore[union-attr]
    assert p.steps is not None
    assert p.steps.shape == (4, 5)
    after = RoundHalfUp()(g)["n"].parameters  # type: ignore[union-attr]
    assert after.steps is None
    assert np.array_equal(after.theta, after.rho / 2)


def test_integers_keep_half_to_even() -> None:
    # Found in review: a step one rounding above a tie became the tie itself, and integers rounded half up.
    fc = Dense(name="fc", inputs=wires("x"), weight=np.eye(9))
    g = graph(even(4), fc, shape=(9,))
    x = np.arange(9) / 2  # ties at 0.5, 1.5, 2.5, 3.5
    integer = Quantize(calibration=x[None, None] * np.ones((2, 1, 1)), timesteps=2)(replace(g, timesteps=2))
    assert integer.numbers is Numbers.INTEGER
    assert fired(g, x).tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4]
    assert fired(integer, x).tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4]
    up = Quantize(calibration=x[None, None], timesteps=1)(RoundHalfUp()(g))
    assert fired(up, x).tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_declares_what_it_is() -> None:
    assert RoundHalfUp.preserves is Preserves.APPROXIMATE
