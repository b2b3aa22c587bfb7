"""The gate of Razor SNN against its equations, and what a gate has to leave alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snncc.errors import BadInput
from snncc.nn import RazorGate
from tests.nn.strategies import Array, drive

T, B, E = 7, 3, 4
SHAPES = {"image": (5, 3, 2), "flat": (11,)}
shaped = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def spikes(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Trains with an empty frame at t = 2."""
    x = (drive(seed, 0, 1, (T, B, *shape)) < 0.4).astype(np.float64)
    x[2] = 0
    return torch.from_numpy(x)


def gate(**options: Any) -> RazorGate:
    """A gate whose embeddings are far from zero, so that its gains differ and some frames go."""
    torch.manual_seed(1)
    module = RazorGate(T, **options).double()
    torch.nn.init.normal_(module.embeddings, -2.0, 3.0)
    return module


def defined(x: Array, module: RazorGate) -> tuple[Array, Array, Array]:
    """Gained frames [T, p], gains and scores of one sample [T, p]."""
    embeddings = module.embeddings.detach().numpy()
    kernel, bias = module.conv.weight.detach().numpy()[..., 0], module.conv.bias
    assert bias is not None
    logits = [
        sum(kernel[e, t] * x[t].mean() for t in range(T)) + bias[e].item() for e in range(len(embeddings))
    ]
    w = np.exp(logits) / np.sum(np.exp(logits))
    gains = np.zeros(x.shape[1])
    for e, p in np.ndindex(len(embeddings), x.shape[1]):
        dot = sum(w[e] * embeddings[e, t] * x[t, p] for t in range(T))
        gains[p] += 1 / (1 + np.exp(-dot))
    gained = gains * x
    return gained, gains, gained.max(1)


@shaped
@pytest.mark.parametrize("gain", ["graded", "none"])
@pytest.mark.parametrize("mask", [True, False])
def test_equations(shape: tuple[int, ...], gain: Any, mask: bool) -> None:
    module, x = gate(gain=gain, mask=mask), spikes(shape)
    scores = module.scores(x)
    module.threshold = middle = float(scores.detach().median()) + 1e-6
    training, evaluated = module.train()(x), module.eval()(x)
    assert training.shape == evaluated.shape == x.shape
    dropped = 0
    for b in range(B):
        flat = x[:, b].flatten(1).numpy()
        gained, gains, s = defined(flat, module)
        assert np.allclose(module.gains(x)[b].flatten().detach().numpy(), gains, atol=1e-13)
        assert np.allclose(training[:, b].flatten(1).detach().numpy(), gained, atol=1e-13)
        assert np.allclose(scores[:, b].detach().numpy(), s, atol=1e-13)
        keep = (s >= middle)[:, None] if mask else np.ones((T, 1))
        expected = keep * (gained if gain == "graded" else flat)
        assert np.allclose(evaluated[:, b].flatten(1).detach().numpy(), expected, atol=1e-13)
        dropped += int((~(s >= middle) & (flat.max(1) > 0)).sum())
    assert dropped > 0, "some frame with spikes is dropped"
    if gain == "none":
        assert set(evaluated.unique().tolist()) <= {0.0, 1.0}


@shaped
def test_a_sample_does_not_see_its_batch(shape: tuple[int, ...]) -> None:
    module, x = gate().eval(), spikes(shape)
    together = module(x)
    for b in range(B):
        assert torch.allclose(module(x[:, b : b + 1])[:, 0], together[:, b], rtol=0, atol=1e-13)


def test_untrained_gates_drop_empty_frames_alone() -> None:
    module, x = RazorGate(T).double().eval(), spikes((30,))
    assert bool((module(x)[x != 0] > 1.5).all()), "G is near E/2"
    ones = RazorGate(T, gain="none").eval()
    assert torch.equal(ones(x), x)


def test_a_higher_threshold_drops_more() -> None:
    module, x = gate().eval(), spikes((11,))
    kept = []
    for threshold in (0.0, 0.5, 1.0, 1.5, 5.0):
        other = copy.deepcopy(module)
        other.threshold = threshold
        kept.append(other(x).amax(2) > 0)
    assert all(bool((more <= less).all()) for less, more in pairwise(kept))
    assert int(kept[0].sum()) > int(kept[2].sum()) > int(kept[-1].sum()) == 0


def test_a_score_at_the_threshold_stays() -> None:
    module, x = gate().eval(), spikes((11,))
    module.threshold = float(module.scores(x)[0, 0].detach())
    assert torch.equal(module(x)[0, 0], (x * module.gains(x))[0, 0])
    assert module(x)[0, 0].any()
    module.threshold += 1e-9
    assert not module(x)[0, 0].any()


def test_gradients() -> None:
    module, x = gate(), spikes((5, 3, 2)).requires_grad_()
    (module(x) * torch.from_numpy(drive(3, -1, 1, (T, B, 5, 3, 2)))).sum().backward()
    for value in (x, *module.parameters()):
        assert value.grad is not None
        assert bool(value.grad.isfinite().all())
        assert bool((value.grad != 0).any())


def test_parameters_and_macs() -> None:
    module = RazorGate(60)
    assert module.embeddings.numel() == 240
    assert sum(p.numel() for p in module.parameters()) == 240 + 240 + 4
    assert 0.005 < float(module.embeddings.detach().std()) < 0.015
    assert module.macs((60, 8, 4, 4)) == module.macs((60, 128)) == 480 + 240 * 128 + 60 * 128


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_type_of_the_input_stays(dtype: torch.dtype) -> None:
    assert gate().eval()(spikes((5,)).to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RazorGate(0), "timesteps must be a whole number"),
        (lambda: RazorGate(4, embeddings=0), "embeddings must be a whole number"),
        (lambda: RazorGate(4, gain="soft"), "gain must be one of"),  # type: ignore[arg-type]
        (lambda: RazorGate(4, threshold=float("nan")), "threshold must be a finite number"),
        (lambda: RazorGate(4)(torch.zeros(4, 1, 2, 2)), "must be a train"),
        (lambda: RazorGate(4)(torch.zeros(4, 0, 2)), "must be a train"),
        (lambda: RazorGate(4)(torch.zeros(5, 1, 2)), "built for 4 timesteps"),
        (lambda: RazorGate(4).scores(torch.zeros(5, 1, 2)), "built for 4 timesteps"),
        (lambda: RazorGate(4)(torch.zeros(4, 1, 2).bool()), "floating point"),
        (lambda: RazorGate(4).macs((5, 2)), "with T = 4"),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call()
