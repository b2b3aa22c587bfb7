"""What the checks of the oracles share: random numbers, sane statistics, what is alive."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.oracles import espikeformer


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64) * (high - low) + low


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def settle(model: nn.Module, x: Tensor, seed: int = 0) -> None:
    """Give all parameters random values, and every batch normalization the statistics that *x* meets."""
    draw = generator(seed)
    model.double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.3, generator=draw)
                module.bias.uniform_(-0.2, 0.8, generator=draw)
                module.momentum = 1.0
            elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=draw)
                if module.bias is not None:
                    module.bias.uniform_(-0.1, 0.1, generator=draw)
            elif isinstance(module, espikeformer.LayerScale):
                module.factor.uniform_(0.5, 1, generator=draw)
        model.train()
        model(x)
        model.eval()


def assert_alive(trains: list[Tensor]) -> None:
    """Every layer spikes, and not every neuron does."""
    for s in trains:
        assert 0 < int((s != 0).sum()) < s.numel()
