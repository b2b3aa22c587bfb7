"""HSD: the QCFS activation, the two neurons of the conversion, VGG-SNN, the distillation loss.

Written from the published equations alone, without looking at the code of snncc.
Trains have time first: [T, ...].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["qcfs", "hsd"]
# Channels of the convolutions of VGG-SNN; "P" is an average pool of 2 (4.2).
LAYOUT: tuple[int | Literal["P"], ...] = (64, 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P")
PARAMETERS = 9_271_498
PARAMETERS_QUANTIZED = 9_271_506


def qcfs(x: Tensor, lam: Tensor | float, levels: int) -> Tensor:
    """``lam * clip(floor(x L / lam + 0.5) / L, 0, 1)``."""
    return lam * ((x * levels / lam + 0.5).floor() / levels).clamp(0, 1)


def integrate(x: Tensor, lam: Tensor | float, strict: bool, v0: float = 0.5) -> Tensor:
    """Spikes 0/1 [T, ...]: ``mem = v0; mem += x_t / lam; s = [mem >= 1]`` (or ``>``); ``mem -= s``."""
    mem = torch.full_like(x[0], v0)
    train = []
    for x_t in x:
        mem = mem + x_t / lam
        s = (mem > 1 if strict else mem >= 1).to(x)
        mem = mem - s
        train.append(s)
    return torch.stack(train)


def qcfs_neuron(x: Tensor, lam: Tensor | float, v0: float = 0.5) -> Tensor:
    """ScaledNeuron of the QCFS network: fires on ``>=``, emits ``lam * s``."""
    return lam * integrate(x, lam, strict=False, v0=v0)


def hsd_neuron(x: Tensor, lam: Tensor | float, v0: float = 0.5) -> Tensor:
    """IFSpike of HSD: fires on ``>``, emits s in {0, 1} without *lam*."""
    return integrate(x, lam, strict=True, v0=v0)


def phased_neuron(x: Tensor, lam: Tensor | float, v0: float = 0.5) -> Tensor:
    """`qcfs_neuron` that waits: takes all x [T, ...] first, then fires T ticks, emits ``lam * s``."""
    mem = v0 + (x / lam).sum(0)
    train = []
    for _ in range(len(x)):
        s = (mem >= 1).to(x)
        mem = mem - s
        train.append(lam * s)
    return torch.stack(train)


def tet_lif(x: Tensor, threshold: float = 1.0, decay: float = 0.5) -> Tensor:
    """TET's neuron: ``mem = decay mem + x; s = [mem > threshold]; mem *= 1 - s``."""
    mem = torch.zeros_like(x[0])
    train = []
    for x_t in x:
        mem = decay * mem + x_t
        s = (mem > threshold).to(x)
        mem = mem * (1 - s)
        train.append(s)
    return torch.stack(train)


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 1.0, weight: float = 1.0
) -> Tensor:
    """``CE(mean_t z_t) + weight * mean_t KL(softmax(z / tau) || softmax(z_t / tau)) * tau^2``.

    *student*: z_t [T, B, K]; *teacher*: z [B, K]; the divergence is averaged over the batch.
    """
    p = (teacher / temperature).softmax(1)
    divergences = []
    for z_t in student:
        log_q = (z_t / temperature).log_softmax(1)
        kl = (p * ((teacher / temperature).log_softmax(1) - log_q)).sum(1)
        divergences.append(kl.mean() * temperature**2)
    return F.cross_entropy(student.mean(0), labels) + weight * torch.stack(divergences).mean()


class Qcfs(nn.Module):
    """The activation with its learned step: `ann` of a batch, `snn` of trains."""

    def __init__(self, levels: int, initial: float = 8.0) -> None:
        super().__init__()
        self.levels = levels
        self.lam = nn.Parameter(torch.tensor([initial]))

    def forward(self, x: Tensor) -> Tensor:
        return qcfs(x, self.lam, self.levels)

    def snn(self, x: Tensor, kind: Kind) -> Tensor:
        """Output trains of the chosen neuron."""
        return qcfs_neuron(x, self.lam) if kind == "qcfs" else hsd_neuron(x, self.lam)


class VGG(nn.Module):
    """VGG-SNN for 48x48 events. *levels* None: ReLU and no steps; else QCFS with L = levels.

    Parameters are in the order of execution: convolution, BN, step. Starts in evaluation mode.
    """

    def __init__(self, levels: int | None = None, classes: int = 10, in_channels: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for entry in LAYOUT:
            if entry == "P":
                layers.append(nn.AvgPool2d(2))
                continue
            layers += [nn.Conv2d(channels, entry, 3, padding=1), nn.BatchNorm2d(entry)]
            layers.append(nn.ReLU() if levels is None else Qcfs(levels))
            channels = entry
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(512 * 3 * 3, classes)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """The network of activations: x [B, C, 48, 48] -> logits [B, classes]."""
        return self.head(self.features(x).flatten(1))

    def snn(self, x: Tensor, kind: Kind) -> Tensor:
        """The network of spikes: x [T, B, C, 48, 48] -> logits [T, B, classes], to be averaged over T."""
        return self.trains(x, kind)[-1]

    def trains(self, x: Tensor, kind: Kind) -> list[Tensor]:
        """The outputs of all neurons [T, B, C, H, W] in order, and at the end the logits [T, B, classes]."""
        found: list[Tensor] = []
        for layer in self.features:
            if isinstance(layer, Qcfs):
                x = layer.snn(x, kind)
                found.append(x)
            elif isinstance(layer, nn.ReLU):
                raise ValueError("a network without steps has no neurons: give levels")
            else:
                x = torch.stack([layer(x_t) for x_t in x])
        logits = torch.stack([self.head(x_t.flatten(1)) for x_t in x])
        return [*found, logits]


def half(x: Tensor, which: Literal["first", "second"]) -> Tensor:
    """The half of the frames [T, ...] that the authors' networks keep: first (VGGNet), second (VGGSNNNet)."""
    middle = len(x) // 2
    return x[:middle] if which == "first" else x[middle:]
