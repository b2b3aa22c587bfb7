"""Three spiking networks for images of 8x8: `SFANet` counts, `LIFNet` takes time, `IFNet` takes events.

The first two have the same layers: convolutions with batch normalization, and residual blocks on the
membrane potential. What the blocks add up is the analog stream x; the neurons read it, and only spikes
enter a convolution, but for the image in the first. The third is made for chips without timesteps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snncc.nn import IF, LIF, SFA

CLASSES = 10
TIMESTEPS = 8  # of `LIFNet`, in training
LARGEST = 0.4
"""Of the weights of `IFNet`, in thresholds."""


class SFABlock(nn.Module):
    """x + two convolutions, each of which reads integer activations."""

    def __init__(self, channels: int, max_count: int) -> None:
        super().__init__()
        self.neuron1 = SFA(max_count)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.neuron2 = SFA(max_count)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(self.neuron1(x)))
        y = self.norm2(self.conv2(self.neuron2(y)))
        return x + y


class SFANet(nn.Module):
    """Images [B, 1, 8, 8] to logits [B, 10]; an activation is an integer 0..D, D spikes on a chip."""

    def __init__(self, width: int = 16, max_count: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.stem_norm = nn.BatchNorm2d(width)
        self.block1 = SFABlock(width, max_count)
        self.down_neuron = SFA(max_count)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.down_norm = nn.BatchNorm2d(2 * width)
        self.block2 = SFABlock(2 * width, max_count)
        self.head_neuron = SFA(max_count)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(2 * width * 2 * 2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_norm(self.stem(x))
        x = self.block1(x)
        x = self.down_norm(self.down(self.down_neuron(x)))
        x = self.block2(x)
        x = self.pool(self.head_neuron(x))
        return self.head(x.flatten(1))


class OverTime(nn.Sequential):
    """Layers without a state, applied to every timestep of [T, B, ...] at once."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(0, 1)
        for layer in self:
            y = layer(y)
        return y.reshape(*x.shape[:2], *y.shape[1:])


class LIFBlock(nn.Module):
    """x + two convolutions, each of which reads spikes."""

    def __init__(self, channels: int, leak: float) -> None:
        super().__init__()
        self.neuron1 = LIF(leak, step_mode="m")
        self.conv1 = OverTime(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.neuron2 = LIF(leak, step_mode="m")
        self.conv2 = OverTime(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.neuron1(x))
        y = self.conv2(self.neuron2(y))
        return x + y


class LIFNet(nn.Module):
    """Sequences [T, B, 1, 8, 8] to logits [B, 10], the mean over T of what each timestep says.

    For still images, repeat the image: ``snncc.nn.DirectEncoder(T)``.
    """

    def __init__(self, width: int = 16, leak: float = 0.5) -> None:
        super().__init__()
        self.stem = OverTime(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width))
        self.block = LIFBlock(width, leak)
        self.down_neuron = LIF(leak, step_mode="m")
        self.down = OverTime(
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width)
        )
        self.head_neuron = LIF(leak, step_mode="m")
        self.head = OverTime(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2 * width * 2 * 2, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.block(x)
        x = self.down(self.down_neuron(x))
        x = self.head(self.head_neuron(x))
        return x.mean(0)


class IFNet(nn.Sequential):
    """Spikes [T, B, C, H, W] to the spikes [B, 10] that ten neurons sent, H and W being *side*.

    For chips that take events as they come: integrate-and-fire neurons that subtract their threshold, no
    bias (which would need a clock), no sum before a neuron, weights of `LARGEST` thresholds at most. In
    training a timestep is divided into up to *finest* parts. What a layer sends then depends little on the
    order of events.
    """

    def __init__(
        self, channels: int = 1, side: int = 8, *, stride: int = 1, width: int = 16, finest: int = 3
    ) -> None:
        maps = -(-side // stride)
        super().__init__()
        self.finest = finest
        self.conv1 = OverTime(nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False))
        self.neuron1 = IF(step_mode="m", detach_reset=True)
        self.conv2 = OverTime(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False))
        self.neuron2 = IF(step_mode="m", detach_reset=True)
        self.conv3 = OverTime(nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False))
        self.neuron3 = IF(step_mode="m", detach_reset=True)
        size = 2 * width * (-(-maps // 4)) ** 2
        self.head = OverTime(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(size, CLASSES, bias=False))
        self.head_neuron = IF(step_mode="m", detach_reset=True)

    def forward(self, x: Tensor) -> Tensor:
        self.waiting = x.new_zeros(())
        if self.training:
            x = divided(x, int(torch.randint(1, self.finest + 1, ())))
        for layer in self:
            currents, x = x, layer(x)
            if self.training and isinstance(layer, IF):
                self.waiting = self.waiting + waiting(currents, x)
        return x.sum(0)

    @torch.no_grad()
    def bound_weights(self) -> None:
        """Clip the weights, after each step of the training."""
        for weight in self.parameters():
            weight.clamp_(-LARGEST, LARGEST)


def divided(x: Tensor, parts: int) -> Tensor:
    """Spikes [T, ...] with each timestep made *parts* of them, each spike in one of these at random."""
    at = torch.randint(parts, x.shape)
    return torch.stack([x * (at == part) for part in range(parts)], dim=1).flatten(0, 1)


def waiting(currents: Tensor, spikes: Tensor) -> Tensor:
    """What potentials are beyond twice the threshold of 1, mean over all: spikes that wait for a timestep."""
    potentials = (currents - spikes).cumsum(0) + spikes
    return (potentials - 2).relu().mean()


def sfa_net() -> SFANet:
    """The network of sfa.pt."""
    return SFANet()


def lif_net() -> LIFNet:
    """The network of lif.pt; trained with `TIMESTEPS` timesteps."""
    return LIFNet()


def if_net() -> IFNet:
    """The network of if.pt."""
    return IFNet()
