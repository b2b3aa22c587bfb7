"""One model in the manner of each framework's own tutorial, as a user's file with factories has them."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import sinabs.layers as sl
import snntorch as snn
import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import Tensor, nn


class SnnTorch(nn.Module):
    """A static image, shown for 10 timesteps to two dense layers of Leaky."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 20)
        self.lif1 = snn.Leaky(beta=0.95)
        self.fc2 = nn.Linear(20, 10)
        self.lif2 = snn.Leaky(beta=0.95)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes = []
        for _ in range(10):
            spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes, dim=0)


class Norse(nn.Module):
    """Spiking convolutions over a train of frames, with a leaky integrator to read out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(36, 10, bias=False)
        self.lif = norse.LIFCell()
        self.out = norse.LICell()

    def forward(self, x: Tensor) -> Tensor:
        s0 = s1 = None
        voltages = []
        for ts in range(x.shape[0]):
            z, s0 = self.lif(self.conv(x[ts]), s0)
            z = torch.nn.functional.max_pool2d(z, 2, 2).flatten(1)
            v, s1 = self.out(self.fc(z), s1)
            voltages.append(v)
        return torch.stack(voltages)


class WithPotentials(SnnTorch):
    """As the tutorial returns them: spikes, and the potentials that it trains on."""

    def forward(self, x: Tensor) -> Any:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, potentials = [], []
        for _ in range(10):
            spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            potentials.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(potentials, dim=0)


def snntorch_potentials_model() -> nn.Module:
    torch.manual_seed(0)
    return WithPotentials()


def snntorch_model() -> nn.Module:
    torch.manual_seed(0)
    return SnnTorch()


def norse_model() -> nn.Module:
    torch.manual_seed(0)
    return Norse()


def sinabs_model() -> nn.Module:
    torch.manual_seed(0)
    batch: Any = {"batch_size": 1, "min_v_mem": -1.0}
    return nn.Sequential(
        sl.FlattenTime(),
        nn.Conv2d(1, 4, 3, bias=False),
        sl.IAFSqueeze(**batch),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 10, bias=False),
        sl.IAFSqueeze(**batch),
        sl.UnflattenTime(batch_size=1),
    )


class SpikingJelly(nn.Module):
    """Multi-step layers on a static image that the model repeats; the mean rate decides."""

    def __init__(self) -> None:
        super().__init__()
        atan = surrogate.ATan()
        self.net = nn.Sequential(
            layer.Conv2d(1, 4, 3, bias=False, step_mode="m"),
            layer.BatchNorm2d(4, step_mode="m"),
            neuron.IFNode(surrogate_function=atan, step_mode="m"),
            layer.MaxPool2d(2, 2, step_mode="m"),
            layer.Flatten(step_mode="m"),
            layer.Linear(36, 10, bias=False, step_mode="m"),
            neuron.LIFNode(surrogate_function=atan, step_mode="m"),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x.unsqueeze(0).repeat(4, 1, 1, 1, 1)).mean(0)
        return out


def spikingjelly_model() -> nn.Module:
    torch.manual_seed(0)
    return SpikingJelly()
