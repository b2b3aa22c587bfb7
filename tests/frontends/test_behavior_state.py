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
def test_what_cannot_be_reset_starts_as_it_was_found_and_a_note_says_so(neuron: Any) -> None:
    assert len(trace(used(neuron(), 0), torch.rand(2, 3), 8, "B").notes) == 1
    model = used(neuron(), 1)
    _, note = trace(model, torch.rand(2, 3), 8, "B").notes
    left: Any = model[1]
    low, high = float(left.v.min()), float(left.v.max())
    assert note == (
        f"1: starts with its v as it was found, {low:.6g} to {high:.6g}; if an earlier call left it, "
        "reset the module before tracing"
    )


def test_a_reset_that_fails() -> None:
    with pytest.raises(CannotTrace, match=r"ResetsInPlace.reset\(\) fails: AttributeError") as caught:
        trace(used(ResetsInPlace(), 0), torch.rand(2, 3), 8, "B")
    assert "let reset() work before the first call" in str(caught.value)
