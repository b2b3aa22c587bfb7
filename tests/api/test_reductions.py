"""Outputs over time: the model's own reduction, and the one that `trace` is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import BadInput
from snncc.nn import LIF

X = np.random.default_rng(0).uniform(0, 1, (10, 1, 4, 4)).astype(np.float32)


class Repeats(nn.Module):
    """Takes [B, ...] and repeats it over four timesteps itself."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.fc1, self.neuron = how, nn.Linear(16, 20), LIF(0.5, 0.2, step_mode="m")
        self.fc2 = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc2(self.neuron(self.fc1(x.flatten(1).unsqueeze(0).repeat(4, 1, 1))))
        return {"mean": y.mean(0), "last": y[-1], "all": y}[self.how]


@pytest.mark.parametrize("how", ["mean", "last", "all"])
def test_a_model_that_repeats_its_input_verifies(how: str) -> None:
    model = Repeats(how).eval()
    program = snncc.compile(snncc.trace(model, X, timesteps=4, layout="B"), calibration=X)
    proof = snncc.verify(program, model, X)
    proof.check()
    assert proof.stages[0].name == "model -> trace"
    assert all(layer.rate > 0.05 for layer in program.run(X).counts.layers if layer.neurons)


@pytest.mark.parametrize("over", ["sum", "sequence", "mean"])
def test_a_reduction_that_the_model_makes_itself_is_not_overruled(over: str) -> None:
    with pytest.raises(BadInput, match="reduces its outputs over time itself"):
        snncc.trace(Repeats("mean").eval(), X, timesteps=4, layout="B", over=over)


@pytest.mark.parametrize("layout", ["TB", "BT"])
def test_a_reduction_that_was_asked_for_verifies(layout: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 20), LIF(0.5, 0.2, step_mode="m"), nn.Linear(20, 5)).eval()
    x = np.repeat(X.reshape(1, 10, 16), 4, axis=0)
    if layout == "BT":
        x = np.swapaxes(x, 0, 1)

        class Swapped(nn.Module):
            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.inner(x.transpose(0, 1)).transpose(0, 1)
                return out

        model = Swapped(model).eval()  # type: ignore[assignment]
    graph = snncc.trace(model, x, layout=layout, over="mean")
    program = snncc.compile(graph, calibration=x)
    assert program.run(x).output.shape == (10, 5)
    snncc.verify(program, model, x).check()
