"""Encoders: their equations, their seeds, their refusals."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snncc.errors import BadInput
from snncc.nn import DeltaEncoder, DirectEncoder, LatencyEncoder, RateEncoder
from tests.nn.strategies import drive, seeds

few = settings(max_examples=30, deadline=None)


def image(seed: int = 0) -> Tensor:
    return torch.from_numpy(drive(seed, 0, 1, (2, 3, 4)))


def test_direct_repeats() -> None:
    x = image().requires_grad_()
    train = DirectEncoder(5)(x)
    assert train.shape == (5, 2, 3, 4)
    assert all(torch.equal(x_t, x) for x_t in train)
    train.sum().backward()
    assert x.grad is not None
    assert bool((x.grad == 5).all())


def test_rate_has_the_rate() -> None:
    x = torch.tensor([[-0.5, 0.0, 0.25, 0.75, 1.0, 1.5]])
    train = RateEncoder(4000, seed=1)(x)
    assert train.unique().tolist() == [0, 1]
    assert train.mean(0)[0].tolist() == pytest.approx([0, 0, 0.25, 0.75, 1, 1], abs=0.03)
    assert train[:, 0, [0, 1]].sum() == 0
    assert bool((train[:, 0, [4, 5]] == 1).all())


@few
@given(seeds, seeds)
def test_rate_depends_on_its_seed_alone(seed: int, noise: int) -> None:
    x = image()
    torch.manual_seed(noise)
    before = torch.get_rng_state()
    encoder = RateEncoder(8, seed)
    first, second = encoder(x), encoder(x)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(noise + 1)
    again = RateEncoder(8, seed)
    assert torch.equal(again(x), first)
    twin = copy.deepcopy(again)
    assert torch.equal(again(x), second)
    assert torch.equal(twin(x), second)
    assert not torch.equal(first, second)
    again.rewind()
    assert torch.equal(again(x), first)
    assert not torch.equal(RateEncoder(8, seed + 1)(x), first)


def test_rate_is_the_same_in_every_type() -> None:
    x = torch.tensor([[0.25, 0.5, 0.75]])
    trains = [RateEncoder(50, 7)(x.to(dtype)) for dtype in (torch.float64, torch.float32, torch.bfloat16)]
    assert [train.dtype for train in trains] == [torch.float64, torch.float32, torch.bfloat16]
    assert all(torch.equal(train.double(), trains[0]) for train in trains)


@few
@given(st.integers(1, 20), st.sampled_from([None, 0.5, 3.0, 10.0]), seeds)
def test_latency(timesteps: int, tau: float | None, seed: int) -> None:
    x = np.concatenate([[0.0, 1.0, 0.01], drive(seed, 0, 1, (60,))])
    train = LatencyEncoder(timesteps, tau=tau)(torch.from_numpy(x)).numpy()
    for value, spikes in zip(x, train.T, strict=True):
        if tau is None:
            when = math.floor((timesteps - 1) * (1 - value) + 0.5) if value > 0 else None
        else:
            when = math.floor(tau * math.log(value / (value - 0.01))) if value > 0.01 else None
        assert np.flatnonzero(spikes).tolist() == ([] if when is None or when >= timesteps else [when])
    assert set(np.unique(train)) == {0.0, 1.0}


def test_latency_is_earlier_for_larger_inputs() -> None:
    x = torch.linspace(0.02, 1, 50).unsqueeze(0)
    for encoder in (LatencyEncoder(30), LatencyEncoder(60, tau=5.0)):
        train = encoder(x)
        when = train.argmax(0)[0]
        assert bool((train.sum(0) == 1).all())
        assert bool((when[1:] <= when[:-1]).all())
        assert when[0] > when[-1]


def test_delta_by_hand() -> None:
    x = torch.tensor([0.0, 0.25, 0.5, 2.0, 2.0, 2.0, 0.0]).reshape(7, 1, 1)
    on, off = [0, 0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1]
    train = DeltaEncoder(0.5)(x)
    assert train.shape == (7, 1, 2)
    assert train[:, 0].T.tolist() == [on, off]
    assert DeltaEncoder(0.5, off=False)(x)[:, 0, 0].tolist() == on


@few
@given(st.floats(0.05, 0.5), seeds)
def test_delta_follows_slow_inputs(threshold: float, seed: int) -> None:
    x = torch.from_numpy(np.cumsum(drive(seed, -threshold, threshold, (40, 2, 3, 4)), axis=0))
    train = DeltaEncoder(threshold)(x)
    assert train.shape == (40, 2, 6, 4)
    on, off = train.split(3, dim=2)
    assert 0 < train.sum() < train.numel()
    assert bool((on * off == 0).all())
    followed = x[0] + threshold * (on - off).cumsum(0)
    assert float((x - followed).abs().max()) <= threshold * (1 + 1e-9)


BAD = torch.tensor([[[0.5, float("nan")]]])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: DirectEncoder(0), "DirectEncoder: timesteps must be at least 1, not 0"),
        (lambda: RateEncoder(2.5), "RateEncoder: timesteps must be at least 1, not 2.5"),  # type: ignore[arg-type]
        (lambda: LatencyEncoder(4, tau=0.0), "tau must be positive"),
        (lambda: LatencyEncoder(4, threshold=1.0), r"threshold must be in \(0, 1\)"),
        (lambda: DeltaEncoder(-1.0), "threshold must be positive"),
        (lambda: DirectEncoder(2)(BAD), "DirectEncoder: 1 of 2 inputs are NaN or infinite"),
        (lambda: RateEncoder(2)(BAD), "RateEncoder: 1 of 2 inputs are NaN"),
        (lambda: LatencyEncoder(2)(BAD), "LatencyEncoder: 1 of 2 inputs are NaN"),
        (lambda: DeltaEncoder(1.0)(BAD), "DeltaEncoder: 1 of 2 inputs are NaN"),
        (lambda: RateEncoder(2)(torch.ones(2, dtype=torch.int64)), "must be floating point, not torch.int64"),
        (lambda: RateEncoder(2, clip=False)(torch.tensor([1.5])), r"1 of 1 inputs are outside \[0, 1\]"),
        (lambda: LatencyEncoder(2)(torch.tensor([-1.0, 1.0])), r"outside \[0, 1\] \(from -1 to 1\)"),
        (lambda: DeltaEncoder(1.0)(torch.ones(3, 2)), r"must be a sequence \[T, B, C, ...\]"),
    ],
)
def test_errors(make: Callable[[], object], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        make()


def test_repr() -> None:
    assert repr(RateEncoder(4, 2)) == "RateEncoder(timesteps=4, seed=2)"
    assert repr(DeltaEncoder(0.5, off=False)) == "DeltaEncoder(threshold=0.5, off=False)"
