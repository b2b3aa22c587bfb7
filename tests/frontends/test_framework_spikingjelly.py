"""SpikingJelly: every node with options drawn at random, alone and in a network, against its own forward."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.from_torch import trace
from tests.frontends.frameworks import assert_same_spikes, drive, louder, near_ties, near_ties_in_network

MODES = ("s", "m")
LAYOUTS = {"s": "B", "m": "TB"}


def node(kind: str, draw: random.Random, mode: str) -> nn.Module:
    """A node with options drawn at random."""
    if kind == "ILIFNode":
        return neuron.ILIFNode(
            draw.uniform(1.1, 4.0),
            draw.uniform(0.3, 0.7),
            surrogate.MultiLevelSpikeCount(draw.choice([1, 2, 4])),
            step_mode=mode,
        )
    functions = [surrogate.Sigmoid(), surrogate.ATan(), surrogate.PiecewiseQuadratic()]
    both: dict[str, Any] = {
        "v_threshold": draw.uniform(0.3, 0.6),
        "v_reset": draw.choice([None, 0.0, draw.uniform(-0.4, 0.2)]),
        "surrogate_function": draw.choice(functions),
        "detach_reset": draw.random() < 0.5,
        "store_v_seq": draw.random() < 0.5,
        "step_mode": mode,
    }
    if kind == "IFNode":
        return neuron.IFNode(**both)
    both["decay_input"] = draw.random() < 0.5
    if kind == "LIFNode":
        return neuron.LIFNode(draw.uniform(1.2, 6.0), **both)
    return neuron.ParametricLIFNode(draw.uniform(1.2, 6.0), **both)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["IFNode", "LIFNode", "ParametricLIFNode", "ILIFNode"])
def test_alone(kind: str, seed: int) -> None:
    draw, mode = random.Random(seed), MODES[seed % 2]
    model = nn.Sequential(node(kind, draw, mode))
    x = drive(torch.Generator().manual_seed(seed), 3, 7) * 2
    assert_same_spikes(model, x, LAYOUTS[mode])
    functional.reset_net(model)
    assert near_ties(model, x, LAYOUTS[mode]) <= 1


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])
def test_in_a_network(seed: int) -> None:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    model = nn.Sequential(
        layer.Conv2d(2, 4, 3, bias=False),
        layer.BatchNorm2d(4),
        node("IFNode", draw, "s"),
        layer.MaxPool2d(2),
        layer.Conv2d(4, 3, 2),
        node("ParametricLIFNode", draw, "s"),
        layer.Flatten(),
        layer.Linear(12, 6),
        node("LIFNode", draw, "s"),
        layer.Linear(6, 8),
        node("ILIFNode", draw, "s"),
        layer.VotingLayer(2),
    )
    mode = MODES[seed % 2]
    functional.set_step_mode(louder(model, 3.0), mode)
    norm: Any = model[1]
    norm.running_var[:] = torch.tensor([0.2, 0.1, 0.3, 0.15])
    x = drive(torch.Generator().manual_seed(seed), 2, 2, 8, 8) * 6
    assert_same_spikes(model, x, LAYOUTS[mode])
    functional.reset_net(model)
    differing, compared = near_ties_in_network(model, x, LAYOUTS[mode])
    assert differing <= 1e-4 * compared


def test_containers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)),
        neuron.LIFNode(1.5, v_threshold=0.2, step_mode="m"),
        layer.SeqToANNContainer(nn.Flatten(), nn.Linear(108, 4)),
        neuron.IFNode(step_mode="m", v_threshold=0.3),
    )
    assert_same_spikes(model, drive(torch.Generator().manual_seed(0), 2, 2, 8, 8) * 3, "TB")


class Own(neuron.SimpleBaseNode):  # type: ignore[misc]
    """A node in the way SpikingJelly tells to write one."""

    v: Any

    def neuronal_charge(self, x: Tensor) -> None:
        self.v = self.v * self.v + x


def test_refusals() -> None:
    refused = {
        "0: has the class QIFNode of SpikingJelly: its leak is quadratic": neuron.QIFNode(),
        "0: has the class EIFNode of SpikingJelly: its leak is exponential": neuron.EIFNode(),
        "0: has the class IzhikevichNode of SpikingJelly: its threshold adapts": neuron.IzhikevichNode(),
        "0: has a surrogate_function whose forward is no step": neuron.IFNode(
            surrogate_function=surrogate.Sigmoid(spiking=False)
        ),
        "as a neuron: 0: Own is no member of": Own(surrogate_function=surrogate.ATan()),
    }
    for words, module in refused.items():
        with pytest.raises(CannotTrace, match=words) as caught:
            trace(nn.Sequential(module), torch.rand(2, 7), 5, "B")
        assert "hint" in str(caught.value)


@pytest.mark.parametrize("name", ["v_reset", "set_reset_value"])
def test_the_first_potential_is_that_of_reset(name: str) -> None:
    torch.manual_seed(0)
    node = neuron.LIFNode(v_threshold=0.4)
    if name == "v_reset":
        node.v_reset = -0.3  # reset() still gives 0
    else:
        node.set_reset_value("v", 0.25)
    functional.reset_net(node)
    x = drive(torch.Generator().manual_seed(1), 2, 6)
    assert_same_spikes(nn.Sequential(nn.Linear(6, 6), node), x * 2, "B")
