"""Gradients: the surrogate's formula, and nothing else, times the derivatives of the equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.errors import BadInput
from snncc.nn import IF, LIF, QCFS, SFA, ATan, Neuron, Rectangle, Sigmoid, Surrogate
from tests.nn.strategies import Array, drive, seeds
from tests.nn.test_state import every, train

positive = st.floats(0.1, 8)
few = settings(max_examples=30, deadline=None)


def atan(alpha: float, d: Array) -> Array:
    return alpha / (2 * (1 + (math.pi / 2 * alpha * d) ** 2))


def sigmoid(alpha: float, d: Array) -> Array:
    s = 1 / (1 + np.exp(-alpha * d))
    return alpha * s * (1 - s)


def rectangle(width: float, d: Array) -> Array:
    return np.where(np.abs(d) < width / 2, 1 / width, 0.0)


@few
@given(
    st.sampled_from([(ATan, atan), (Sigmoid, sigmoid), (Rectangle, rectangle)]),
    positive,
    st.floats(-1, 1),
    st.booleans(),
    seeds,
)
def test_surrogate(
    pair: tuple[Callable[[float], Surrogate], Callable[[float, Array], Array]],
    shape: float,
    theta: float,
    strict: bool,
    seed: int,
) -> None:
    make, formula = pair
    u = torch.from_numpy(drive(seed, -3, 3, (200,))).requires_grad_()
    weights = torch.from_numpy(drive(seed + 1, -1, 1, (200,)))
    spikes = make(shape)(u, theta, strict=strict)
    (spikes * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert 0 < spikes.sum() < 200
    assert u.grad is not None
    expected = weights.numpy() * formula(shape, u.detach().numpy() - theta)
    assert np.allclose(u.grad.numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("surrogate", [ATan(), Sigmoid(), Rectangle(2.0)])
def test_two_steps_by_hand(surrogate: Surrogate) -> None:
    # u1 = x1, s1, v1 = u1 - s1*theta;  u2 = leak*v1 + x2, s2;  the loss is s2
    leak, theta = 0.5, 1.0
    x = torch.tensor([[1.25], [0.75]], dtype=torch.float64, requires_grad=True)
    for detach in (False, True):
        x.grad = None
        s = LIF(leak, theta, surrogate=surrogate, step_mode="m", detach_reset=detach)(x)
        assert s.flatten().tolist() == [1, 0]
        s[1].sum().backward()
        g1, g2 = (float(surrogate.derivative(torch.tensor(u))) for u in (0.25, 0.125 + 0.75 - 1.0))
        through_reset = 0.0 if detach else g1 * theta
        assert x.grad is not None
        assert x.grad.flatten().tolist() == pytest.approx([g2 * leak * (1 - through_reset), g2], rel=1e-6)


@every
def test_gradients_are_finite_and_not_all_zero(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train().requires_grad_()
    module.step_mode = "m"
    module(x).square().sum().backward()
    assert x.grad is not None
    for gradient in (x.grad, *(p.grad for p in module.parameters())):
        assert gradient is not None
        assert bool(gradient.isfinite().all())
        assert bool((gradient != 0).any())


@pytest.mark.parametrize("rounding", ["floor", "even"])
def test_sfa_passes_the_gradient_inside_the_range(rounding: str) -> None:
    u = torch.tensor([-1e-9, 0.0, 0.5, 3.9, 4.0, 4.0000005], requires_grad=True)
    SFA(4, rounding=rounding)(u).sum().backward()  # type: ignore[arg-type]
    assert u.grad is not None
    assert u.grad.tolist() == [0, 0.25, 0.25, 0.25, 0.25, 0]


def test_sfa_carries_gradients_only_where_its_range_was_left() -> None:
    x = torch.tensor([[0.7, 5.0], [0.6, 0.3]], requires_grad=True)
    SFA(2, norm=1, carry=True, step_mode="m")(x)[1].sum().backward()
    assert x.grad is not None
    # inside the range d(u - n)/du = 0; neuron 2 carries 3 beyond the range, so it is saturated again
    assert x.grad.tolist() == [[0, 0], [1, 0]]
    x.grad = None
    SFA(2, norm=1, carry=True, step_mode="m", detach_reset=True)(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 0], [1, 0]]


@few
@given(st.integers(1, 8), st.floats(0.5, 4), seeds)
def test_qcfs_gradients(L: int, lam: float, seed: int) -> None:
    x = torch.from_numpy(drive(seed, -2, 6, (300,))).requires_grad_()
    module = QCFS(L, torch.tensor(lam, dtype=torch.float64))
    out = module(x)
    out.sum().backward()
    z = x.detach().numpy() * L / lam
    steps = np.floor(z + 0.5)
    inside = (steps >= 0) & (steps <= L)
    assert x.grad is not None
    assert module.lam.grad is not None
    assert np.allclose(x.grad.numpy(), inside)
    # d out / d lam = clip(steps/L, 0, 1) - inside * x/lam
    assert float(module.lam.grad) == pytest.approx(
        float((np.clip(steps / L, 0, 1) - inside * z / L).sum()), rel=1e-9, abs=1e-9
    )


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), IF(step_mode="m"), torch.nn.Linear(32, 2))
    x, y = torch.rand(64, 8), torch.randint(0, 2, (64,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(x.expand(4, 64, 8)).mean(0), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("make", [lambda: ATan(0.0), lambda: Sigmoid(-1.0), lambda: Rectangle(math.inf)])
def test_surrogates_refuse_meaningless_shapes(make: Callable[[], Surrogate]) -> None:
    with pytest.raises(BadInput, match="must be positive and finite"):
        make()
