"""Models that loop over time themselves: traced into one timestep and states, and compared with PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import norse.torch as norse
import pytest
import snntorch as snn
import torch
from snntorch import utils
from spikingjelly.activation_based import layer, neuron
from torch import Tensor, nn

import snncc.nn
from snncc.errors import CannotTrace
from snncc.frontends.from_torch import trace
from snncc.ir import Layout, Over
from snncc.reference import run
from tests.frontends.frameworks import assert_same_spikes, drive, louder, own


class Explicit(nn.Module):
    """A network in the manner of snnTorch's tutorials: states from a method, handed on in a loop."""

    def __init__(self, steps: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(7, 9)
        self.lif1 = snn.Leaky(beta=0.9)
        self.fc2 = nn.Linear(9, 4)
        self.lif2 = snn.Synaptic(alpha=0.4, beta=0.8, reset_mechanism="zero")
        self.steps = steps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1 = self.lif1.init_leaky()
        syn2, mem2 = self.lif2.init_synaptic()
        spikes, potentials = [], []
        for t in range(self.steps or len(x)):
            spk1, mem1 = self.lif1(self.fc1(x if self.steps else x[t]), mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            spikes.append(spk2)
            potentials.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(potentials, dim=0)


def test_over_the_timesteps_of_the_data() -> None:
    torch.manual_seed(0)
    x = drive(torch.Generator().manual_seed(0), 3, 7) * 2
    assert_same_spikes(louder(Explicit(), 2.0), x, "TB")


def test_over_a_number_of_timesteps_of_its_own() -> None:
    """A constant input, [B, ...], that the loop presents 100 times."""
    torch.manual_seed(1)
    model, x = louder(Explicit(100), 2.0), torch.rand(3, 7)
    graph = trace(model, x, timesteps=100, layout="B")
    assert graph.layout is Layout.B
    result = run(graph, x.double().numpy(), timesteps=100)
    spikes, potentials = own(copy.deepcopy(model), x, lambda twin, data: twin(data))
    assert 0 < spikes.mean() < 1
    assert int((result.outputs["output.0"] != spikes).sum()) == 0
    assert abs(result.outputs["output.1"] - potentials).max() < 1e-9


class Hidden(nn.Module):
    """States inside the modules, which the forward resets."""

    def __init__(self, ends: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.net = nn.Sequential(
            snn.Leaky(0.8, init_hidden=True, threshold=0.4),
            nn.MaxPool2d(2),
            nn.Conv2d(3, 2, 2),
            snn.RLeaky(0.5, conv2d_channels=2, kernel_size=3, init_hidden=True, threshold=0.4),
            nn.Flatten(),
        )
        self.head = nn.Linear(8, 4)
        self.ends = ends

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self)
        current = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        spikes = [self.net(one) for one in current]
        if self.ends == "last":
            return self.head(spikes[-1])
        if self.ends == "every":
            return torch.stack([self.head(one) for one in spikes])
        return self.head(torch.stack(spikes)).mean(0)


@pytest.mark.parametrize(
    ("ends", "over"), [("last", Over.LAST), ("every", Over.SEQUENCE), ("mean", Over.MEAN)]
)
def test_layers_before_in_and_after_the_loop(ends: str, over: Over) -> None:
    torch.manual_seed(3)
    model = louder(Hidden(ends), 2.0)
    x = drive(torch.Generator().manual_seed(3), 2, 2, 8, 8)
    graph = trace(model, x[:6], layout="TB")
    assert [node.over for node in graph.outputs] == [over]
    assert len(graph.neurons) == 2
    result = run(graph, x.double().numpy(), timesteps=len(x), record=[n.name for n in graph.neurons])
    (need,) = own(copy.deepcopy(model), x, lambda twin, data: twin(data))
    assert all((result.records[n.name].train != 0).any() for n in graph.neurons)
    assert abs(result.outputs["output"] - need).max() < 1e-9


def test_lift_and_containers() -> None:
    """Norse's Lift and SpikingJelly's MultiStepContainer loop over time."""
    torch.manual_seed(4)
    x = drive(torch.Generator().manual_seed(4), 3, 7) * 4
    cells = norse.SequentialState(nn.Linear(7, 5), norse.LIFCell(), nn.Linear(5, 4), norse.LIFBoxCell())
    lifted = norse.Lift(louder(cells, 6.0))
    assert_same_spikes(lifted, x, "TB", returns_state=True)
    nodes = nn.Sequential(nn.Linear(7, 5), neuron.LIFNode(v_threshold=0.5), nn.Linear(5, 4), neuron.IFNode())
    assert_same_spikes(layer.MultiStepContainer(louder(nodes, 2.0)), x, "TB")


def test_our_own_neurons_in_a_loop() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(7, 5), snncc.nn.LIF(0.5, 0.4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.lif(self.fc(one)) for one in x])

    assert_same_spikes(Loop(), drive(torch.Generator().manual_seed(5), 3, 7) * 2, "TB")


class Wrong(Explicit):
    """Loops that are no loop over all timesteps."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.fc3 = nn.Linear(7, 9)

    def forward(self, x: Tensor) -> Any:
        spikes, mem = [], None
        steps: Any = {"backward": reversed(range(len(x))), "some": range(2), "twice": [0, 0, 1, 1]}
        for t in steps.get(self.kind, range(len(x))):
            layer = self.fc1 if self.kind != "other" or t < 2 else self.fc3
            spk, mem = self.lif1(layer(x[t]), mem)
            spikes.append(spk)
        return torch.stack(spikes)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("backward", r"lif1 .*is given timestep 3 of its input in its call number 1"),
        ("some", r"lif1: is called for 2 timesteps in a loop of the model, of 4"),
        ("twice", r"lif1 .*is given timestep 0 of its input in its call number 2"),
        ("other", r"lif1 .*is another one in timestep 2 of a loop than in timestep 0"),
    ],
)
def test_refusals(kind: str, words: str) -> None:
    with pytest.raises(CannotTrace, match=words) as caught:
        trace(Wrong(kind), torch.rand(4, 2, 7), layout="TB")
    assert "hint" in str(caught.value)


def test_another_number_of_timesteps_is_named() -> None:
    with pytest.raises(CannotTrace, match="called for 9 timesteps in a loop of the model, of 12") as caught:
        trace(Explicit(9), torch.rand(2, 7), timesteps=12, layout="B")
    assert "timesteps=9" in str(caught.value)
