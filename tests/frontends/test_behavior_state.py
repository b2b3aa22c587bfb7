"""The state that a neuron of the user's own is found with."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends import behavior_models
from snncc.frontends.behavior import recognize
from snncc.frontends.from_torch import trace


@pytest.fixture(autouse=True)
def _few_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quicker comparison: how many inputs are enough is tested elsewhere."""
    monkeypatch.setattr(behavior_models, "recognize", partial(recognize, inputs=5000))


class Leaky(nn.Module):
    """Keeps its potential as an attribute."""

    v: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        v = 0.75 * self.v + x
        spikes = (v >= 1).to(x.dtype)
        self.v = v * (1 - spikes)
        return spikes


class Resets(Leaky):
    def reset(self) -> None:
        self.v = 0.0


class ResetsToABatch(Leaky):
    def reset(self, samples: int) -> None:
        self.v = torch.zeros(samples, 4)


class ResetsInPlace(Leaky):
    def reset(self) -> None:
        self.v.zero_()


def used(neuron: nn.Module, samples: int) -> nn.Sequential:
    """A network after some timesteps with so many *samples*."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), neuron)
    with torch.no_grad():
        for _ in range(3 if samples else 0):
            model(torch.rand(samples, 3))
    return model


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_what_can_be_reset_is_reset(samples: int) -> None:
    (note,) = trace(used(Resets(), samples), torch.rand(2, 3), 8, "B").notes
    assert ": leak 0.75, reset value;" in note


@pytest.mark.parametrize("neuron", [Leaky, ResetsToABatch])
def test_what_an_earlier_call_left_is_refused(neuron: Any) -> None:
    assert len(trace(used(neuron(), 0), torch.rand(2, 3), 8, "B").notes) == 1
    model = used(neuron(), 1)
    left: Any = model[1]
    low, high = float(left.v.min()), float(left.v.max())
    with pytest.raises(CannotTrace) as caught:
        trace(model, torch.rand(2, 3), 8, "B")
    said = f"1: {neuron.__name__} is found with v from {low:.6g} to {high:.6g}, which an earlier call may"
    assert caught.value.message.startswith(said)
    assert "give it a reset() method" in caught.value.hint
    left.v = 0.0
    assert len(trace(model, torch.rand(2, 3), 8, "B").notes) == 1


@pytest.mark.parametrize("samples", [2, 5])
def test_the_number_of_samples_of_the_earlier_call_does_not_matter(samples: int) -> None:
    with pytest.raises(CannotTrace) as caught:
        trace(used(Leaky(), samples), torch.rand(2, 3), 8, "B")
    said = f"1 holds v of shape ({samples}, 4): if an earlier call left it, reset it before it is traced"
    assert said in str(caught.value)


def test_what_is_left_may_be_the_same_everywhere() -> None:
    """As after a call on zeros, or where there is one neuron."""
    model = used(Leaky(), 0)
    left: Any = model[1]
    left.v = torch.full((1, 4), 0.3)
    with pytest.raises(CannotTrace, match=r"1: Leaky is found with v = 0.3, which an earlier call"):
        trace(model, torch.rand(2, 3), 8, "B")


class Walks(Leaky):
    """Takes whole trains, and goes on from one to the next."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([super(Walks, self).forward(now) for now in x])


def test_what_a_train_left_is_refused() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), Walks())
    assert len(trace(model, torch.rand(6, 2, 3), layout="TB").notes) == 1
    with torch.no_grad():
        model(torch.rand(5, 1, 3))
    with pytest.raises(CannotTrace, match=r"1: Walks is found with v from"):
        trace(model, torch.rand(6, 2, 3), layout="TB")


class Counted(Leaky):
    """Counts its calls, and has a higher threshold in the first ones."""

    calls, warm = 0, 3

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x - float(self.calls <= self.warm))


class Watched(Leaky):
    """Remembers what it has no use for."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.rate = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        spikes = super().forward(x)
        self.calls += 1
        self.seen.append(spikes.detach())
        self.rate = 0.9 * self.rate + spikes.detach().mean()
        return spikes


def test_a_number_is_a_state_as_well() -> None:
    model = used(Counted(), 2)
    left: Any = model[1]
    left.v = 0.0
    assert left.calls == 3
    with pytest.raises(CannotTrace, match=r"1: Counted is found with calls = 3, which an earlier call"):
        trace(model, torch.rand(2, 3), 8, "B")


def test_what_is_left_but_changes_nothing_is_taken() -> None:
    model = used(Watched(), 2)
    left: Any = model[1]
    left.v, left.rate = 0.0, torch.tensor(0.2)
    assert left.calls == len(left.seen) == 3
    (note,) = trace(model, torch.rand(2, 3), 8, "B").notes
    assert ": leak 0.75, reset value;" in note


class Rests(nn.Module):
    """Starts at rest, which is not zero, in a buffer with an axis for the samples."""

    def __init__(self, rest: float, literal: float | None = None) -> None:
        super().__init__()
        self.rest = rest
        self.v: Tensor
        self.register_buffer("v", torch.full((1, 4), rest if literal is None else literal))

    def forward(self, x: Tensor) -> Tensor:
        v = 0.5 * (self.v - self.rest) + self.rest + x
        spikes = (v >= 1).to(x.dtype)
        self.v = torch.where(spikes > 0, self.rest, v)
        return spikes


class RestsAgain(Rests):
    def reset(self) -> None:
        self.v = torch.full((1, 4), 0.25)


def test_a_number_of_the_module_s_own_is_an_initial_state() -> None:
    (note,) = trace(used(Rests(-0.5), 0), torch.rand(2, 3), 8, "B").notes
    assert ": theta 1.5, leak 0.5, reset value;" in note
    with pytest.raises(CannotTrace, match=r"1: Rests is found with v = 0.25, which an earlier call"):
        trace(used(Rests(-0.5, 0.25), 0), torch.rand(2, 3), 8, "B")


def test_what_reset_brings_back_is_an_initial_state() -> None:
    (note,) = trace(used(RestsAgain(-0.5, 0.9), 0), torch.rand(2, 3), 8, "B").notes
    assert ": theta 0.75, leak 0.5, bias -0.375, v_reset -0.75, reset value;" in note


def test_a_reset_that_fails() -> None:
    with pytest.raises(CannotTrace, match=r"ResetsInPlace.reset\(\) fails: AttributeError") as caught:
        trace(used(ResetsInPlace(), 0), torch.rand(2, 3), 8, "B")
    assert "let reset() work before the first call" in str(caught.value)
