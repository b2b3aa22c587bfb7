"""What comparisons with the second implementation share: inputs, weights that go over, what is alive."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, get_args

import torch
from torch import Tensor, nn

from snncc.nn import (
    Neuron,
    set_step_mode,
)
from snncc.nn.integer import Rounding

ROUNDINGS = get_args(Rounding)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=draw(seed), dtype=torch.float64)


def dyadic(*shape: int, low: int = -8, high: int = 13, unit: float = 0.25, seed: int = 0) -> Tensor:
    """Multiples of *unit*, of which many lie exactly on a threshold."""
    return torch.randint(low, high, shape, generator=draw(seed)).double() * unit


def events(*shape: int, rate: float = 0.3, seed: int = 0) -> Tensor:
    return (torch.rand(*shape, generator=draw(seed)) < rate).double()


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=1e-12)


def alive(*trains: Tensor) -> bool:
    return all(0 < int(train.count_nonzero()) < train.numel() for train in trains)


def copy_by_position(one: nn.Module, other: nn.Module) -> None:
    copy_tensors(chain(one.parameters(), one.buffers()), chain(other.parameters(), other.buffers()))


@torch.no_grad()
def copy_tensors(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        assert source.numel() == target.numel()
        target.copy_(source.reshape(target.shape))


@torch.no_grad()
def randomized(model: Any, x: Tensor, *, bias: tuple[float, float] = (0, 1.5)) -> Any:
    """*model* in float64 and evaluation, its normalizations and linear layers such that it spikes for *x*."""
    generator = draw(7)
    model.double().train()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(1, 3, generator=generator)
            module.bias.uniform_(*bias, generator=generator)
            module.momentum = 1.0
        elif isinstance(module, nn.Linear):
            strength = 0.3 if "attention" in name else 3
            module.weight.normal_(0, strength / module.in_features**0.5, generator=generator)
    model(x)
    return model.eval()


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor, parts: Iterable[nn.Module]) -> tuple[Tensor, list[Tensor]]:
    """The output of *model*, and those of its *parts* in order of execution."""
    found: list[Tensor] = []
    hooks = [part.register_forward_hook(lambda _, __, out: found.append(out)) for part in parts]
    out = model(x)
    for hook in hooks:
        hook.remove()
    return out, found


def stepped(neuron: Neuron, x: Tensor) -> Tensor:
    """The outputs [T, B, ...] timestep by timestep; asserts that whole trains give the same."""
    set_step_mode(neuron, "m")
    train = neuron(x)
    set_step_mode(neuron, "s")
    with torch.no_grad():
        assert torch.equal(torch.stack([neuron(x_t) for x_t in x]), train)
    return train.detach()
