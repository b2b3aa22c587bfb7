"""Models written with einops: its functions and its layers are traced as what they do to addresses."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange, reduce
from einops.layers.torch import Rearrange, Reduce
from torch import Tensor, nn

import snncc
from snncc.nn import IF, SFA


class Patches(nn.Module):
    """Its layers, as in vision transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.cut = Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=4, q=4)
        self.embed, self.fc = nn.Linear(128, 16), nn.Linear(16, 10)
        self.first, self.second = SFA(4), SFA(4)
        self.mean = Reduce("b n c -> b c", "mean")

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.norm(self.conv(x)))
        return self.fc(self.mean(self.second(self.embed(self.cut(x)))))


class Flattened(nn.Module):
    """Maps as lines and back, with a shape that is unpacked."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.line, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Conv1d(8, 16, 1), nn.Linear(16, 10)
        self.first, self.second = SFA(4), SFA(4)

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, _ = x.shape
        x = rearrange(self.first(self.conv(x)), "b c h w -> b c (h w)")
        x = rearrange(self.second(self.line(x)), "b c (h w) -> b c h w", h=height)
        return self.fc(reduce(x, "b c h w -> b c", "mean"))


class Heads(nn.Module):
    """Attention over two heads, keys with values first."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.neurons = nn.ModuleList(SFA(4) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        *heads, out = self.project
        enter, *fire, leave = self.neurons
        x = enter(x)
        trains = [neuron(linear(x)) for neuron, linear in zip(fire, heads, strict=True)]
        q, k, v = (rearrange(train, "b n (h d) -> b h n d", h=2) for train in trains)
        y = rearrange(q @ (k.transpose(-2, -1) @ v), "b h n d -> b n (h d)")
        return out(leave(y * 8))


class Timesteps(nn.Module):
    """Timesteps folded into the batch, and out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64, 5)
        self.neuron = IF(step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        steps = len(x)
        y = self.conv(rearrange(x, "t b c h w -> (t b) c h w"))
        y = self.neuron(rearrange(y, "(t b) c h w -> t b c h w", t=steps))
        y = self.fc(rearrange(y, "t b c h w -> (t b) (c h w)"))
        return reduce(rearrange(y, "(t b) c -> t b c", t=steps), "t b c -> b c", "mean")


@pytest.mark.parametrize(
    ("kind", "shape", "layout"),
    [
        (Patches, (2, 3, 16, 16), "B"),
        (Flattened, (2, 3, 8, 8), "B"),
        (Heads, (2, 6, 16), "B"),
        (Timesteps, (6, 2, 3, 8, 8), "TB"),
    ],
)
def test_models_with_einops(kind: type[nn.Module], shape: tuple[int, ...], layout: str) -> None:
    torch.manual_seed(3)
    model = kind().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                module.weight.mul_(3)
    x = 4 * torch.rand(shape) if layout == "B" else (torch.rand(shape) < 0.4).float()
    program = snncc.compile(snncc.trace(model, x, layout=layout), precision="float")
    run = program.run(x.numpy())
    assert all(spikes.any() for spikes in run.spikes.values())
    proof = snncc.verify(program, model, x.numpy())
    proof.check()
    assert all(stage.differing == 0 for stage in proof.stages)
