"""Two spiking networks for images of 8x8, of the same layers: `SFANet` counts, `LIFNet` takes time.

Convolutions with batch normalization, and residual blocks on the membrane potential: what the blocks
add up is the analog stream x; the neurons read it, and only spikes enter a convolution, but for the
image in the first.
"""

from __future__ import annotations

from torch import Tensor, nn

from snncc.nn import LIF, SFA

CLASSES = 10
TIMESTEPS = 8  # of `LIFNet`, in training


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


def sfa_net() -> SFANet:
    """The network of sfa.pt."""
    return SFANet()


def lif_net() -> LIFNet:
    """The network of lif.pt; trained with `TIMESTEPS` timesteps."""
    return LIFNet()
