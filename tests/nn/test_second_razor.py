"""Razor's gate against the second implementation in `tests.oracles`.

Spikes and counts are compared exactly, and wherever all numbers are dyadic everything is; else to 1e-12.
Weights go over by position. Every comparison first sees that something spikes, and something does not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.nn import (
    RazorGate,
)
from snncc.nn.models import razor_3layer
from tests.nn.second import (
    alive,
    close,
    copy_tensors,
    draw,
    events,
    normal,
    outputs,
    randomized,
)
from tests.oracles import asa, razor


def weights(gate: RazorGate, sample: Tensor) -> Tensor:
    """``softmax(conv(mean of X))`` of one sample [T, ...]."""
    assert gate.conv.bias is not None
    return torch.softmax(gate.conv.weight[..., 0] @ sample.flatten(1).mean(1) + gate.conv.bias, 0).detach()


def razored(gate: RazorGate, x: Tensor) -> list[razor.Razored]:
    samples = x.unbind(1)
    return [razor.razor(s, gate.embeddings.detach(), weights(gate, s), gate.threshold) for s in samples]


def between(parts: list[razor.Razored]) -> float:
    """A threshold that some frames reach and others do not."""
    scores = sorted({score for part in parts for score in part.score.tolist()})
    middle = len(scores) // 2
    return (scores[middle - 1] + scores[middle]) / 2


def check_gate(gate: RazorGate, x: Tensor) -> None:
    parts = razored(gate, x)
    mask = torch.stack([part.mask for part in parts], 1)
    assert alive(mask)
    weighed = torch.stack([part.weighed for part in parts], 1)
    pruned = torch.stack([part.pruned for part in parts], 1)
    assert close(gate.gains(x), torch.stack([part.gain for part in parts]))
    assert close(gate.scores(x), torch.stack([part.score for part in parts], 1))
    assert close(gate.train()(x), weighed)
    gate.eval()
    assert close(gate(x), pruned)
    assert torch.equal(gate(x) != 0, pruned != 0)
    gate.gain = "none"
    assert torch.equal(gate(x), x * mask.reshape(*mask.shape, *[1] * (x.ndim - 2)))
    gate.gain, gate.mask = "graded", False
    assert close(gate(x), weighed)
    gate.mask = True


@pytest.mark.parametrize("shape", [(3, 4, 4), (20,)])
@torch.no_grad()
def test_razor_gate(shape: tuple[int, ...]) -> None:
    """Planted embeddings: first one weight for all samples, as in the oracle's module, then the module's."""
    T, B, E = 8, 3, 4
    x = events(T, B, *shape, rate=0.1)
    x[2] = 0
    gate = RazorGate(T, embeddings=E).double().eval()
    gate.embeddings.copy_(4 * normal(E, T, seed=1) - 2)
    gate.conv.weight.zero_()
    assert gate.conv.bias is not None
    gate.conv.bias.copy_(normal(E, seed=2))
    planted = razor.Razor(gate.embeddings.detach(), torch.softmax(gate.conv.bias, 0)).double()
    gate.threshold = planted.threshold = between(razored(gate, x))
    assert int((planted.masks(x) == 0).sum()) > B  # more than the empty frame
    assert close(gate(x), planted(x))
    assert torch.equal((gate.scores(x) >= gate.threshold).double(), planted.masks(x))
    check_gate(gate, x)
    nn.init.normal_(gate.conv.weight, 0, 4, generator=draw(3))
    assert not close(weights(gate, x[:, 0]), weights(gate, x[:, 1]))
    gate.threshold = between(razored(gate, x))
    check_gate(gate, x)


@torch.no_grad()
def test_razor_network() -> None:
    T, B = 6, 2
    x = events(T, B, 2, 32, 32)
    torch.manual_seed(0)
    model: Any = razor_3layer(T, 5)
    for k, gate in enumerate(m for m in model.modules() if isinstance(m, RazorGate)):
        nn.init.normal_(gate.embeddings, -0.5, 2, generator=draw(k))
        nn.init.normal_(gate.conv.weight, 0, 2, generator=draw(k))
    model = randomized(model, x)
    other = asa.Net("vanilla", T, 5).double()
    copy_tensors(
        (t for name, t in chain(model.named_parameters(), model.named_buffers()) if ".gate." not in name),
        chain(other.parameters(), other.buffers()),
    )
    synapses: list[Callable[[Tensor], Tensor]] = [
        *(lambda y, one=layer: one.pool(one.bn(one.conv(y))) for layer in other.layers),
        lambda y: other.fc1(y.flatten(1)),
        other.fc2,
    ]
    y, wanted = x, []
    for k, stage in enumerate(model.stages):
        if k:
            stage.gate.threshold = between(razored(stage.gate, y))
            parts = razored(stage.gate, y)
            assert alive(torch.stack([part.mask for part in parts]))
            y = torch.stack([part.pruned for part in parts], 1)
        currents = torch.stack([synapses[k](y_t) for y_t in y])
        y = razor.liaf(currents) if k == 4 else razor.lif(currents)
        wanted.append(y)
    assert alive(*wanted)
    out, trains = outputs(model, x, model.stages)
    assert all(torch.equal(a != 0, b != 0) for a, b in zip(trains, wanted, strict=True))
    assert all(close(a, b) for a, b in zip(trains, wanted, strict=True))
    assert close(out, y.mean(0))
