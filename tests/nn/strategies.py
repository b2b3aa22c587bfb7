"""Hypothesis strategies for the neurons of `snncc.nn`, and the check that a test saw something happen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

SHAPE = (3, 4, 3, 2)  # B, C, H, W
T = 12

RESETS = ("subtract", "zero", "value", "none")
seeds = st.integers(0, 2**32 - 1)


def drive(seed: int, low: float, high: float, shape: tuple[int, ...] = (T, *SHAPE)) -> Array:
    """Uniform random inputs."""
    return np.random.default_rng(seed).uniform(low, high, shape)


@st.composite
def numbers(draw: st.DrawFn, low: float, high: float) -> float | Tensor:
    """A float in [low, high], or one for each channel."""
    if draw(st.booleans()):
        return draw(st.floats(low, high))
    values = draw(st.lists(st.floats(low, high), min_size=SHAPE[1], max_size=SHAPE[1]))
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1)


@st.composite
def firing(draw: st.DrawFn, *, integrates_v_reset: bool = False) -> dict[str, Any]:
    """Options of the spiking neurons that do not contradict each other."""
    reset = draw(st.sampled_from(RESETS))
    options: dict[str, Any] = {
        "theta": draw(numbers(0.5, 1.5)),
        "reset": reset,
        "strict": draw(st.booleans()),
        "v_init": draw(numbers(-0.5, 0.5)),
    }
    if reset == "subtract" and draw(st.booleans()):
        options["reset_amount"] = draw(numbers(0.5, 2.0))
    if reset == "value" or integrates_v_reset:
        options["v_reset"] = draw(numbers(-0.5, 0.3))
    return options


def as_numpy(value: float | Tensor) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def defined(options: dict[str, Any]) -> dict[str, Any]:
    """The same options as arguments of `tests.nn.definition`."""
    plain = {name: as_numpy(value) for name, value in options.items()}
    amount = plain.pop("reset_amount", plain["theta"])
    return {"v_reset": 0.0, **plain, "amount": amount}


def alive(counts: Array) -> bool:
    """Whether something spikes, and something does not."""
    return bool((counts > 0).any()) and bool((counts == 0).any())
