"""Norse: every cell with options drawn at random, alone and in a network, against its own forward."""

from __future__ import annotations

import random
from typing import Any

import norse.torch as snn
import pytest
import torch
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.from_torch import trace
from tests.frontends.frameworks import assert_same_spikes, drive, louder, near_ties_in_network

METHODS = ("super", "heaviside", "triangle", "tanh", "circ")


def firing(draw: random.Random, size: int) -> dict[str, Any]:
    """Threshold and reset."""
    low = draw.uniform(0.2, 0.4)
    return {
        "v_th": draw.choice([torch.tensor(low), torch.linspace(low, 2 * low, size)]),
        "v_reset": torch.tensor(draw.choice([0.0, draw.uniform(-0.2, 0.1)])),
        "method": draw.choice(METHODS),
        "alpha": torch.tensor(100.0),
    }


def membrane(draw: random.Random, size: int) -> dict[str, Any]:
    """Time constant and resting potential."""
    tau = draw.choice([torch.tensor(draw.uniform(50.0, 400.0)), torch.linspace(50.0, 400.0, size)])
    return {"tau_mem_inv": tau, "v_leak": torch.tensor(draw.choice([0.0, draw.uniform(-0.1, 0.1)]))}


def current(draw: random.Random) -> dict[str, Any]:
    return {"tau_syn_inv": torch.tensor(draw.uniform(100.0, 600.0))}


def make(kind: str, draw: random.Random, size: int) -> nn.Module:
    """A cell or layer of *size* neurons."""
    dt = draw.choice([0.001, 0.0015])
    if kind in ("LIFCell", "LIF"):
        p: Any = LIFParameters(**current(draw), **membrane(draw, size), **firing(draw, size))
        if kind == "LIF":
            p = p._replace(v_leak=torch.tensor(draw.uniform(-0.1, 0.1)))
    elif kind == "LIFBoxCell":
        method = draw.choice([reset_value, reset_subtract])
        p = LIFBoxParameters(**membrane(draw, size), **firing(draw, size), reset_method=method)
    elif kind in ("IAFCell", "IAF"):
        p = IAFParameters(**firing(draw, size))
    elif kind in ("LICell", "LI"):
        p = LIParameters(**current(draw), **membrane(draw, size))
    else:
        p = LIBoxParameters(**membrane(draw, size))
    return getattr(snn, kind)(p, dt=dt)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["LIFCell", "LIFBoxCell", "IAFCell", "LICell", "LIBoxCell"])
def test_cells(kind: str, seed: int) -> None:
    model = snn.SequentialState(make(kind, random.Random(seed), 7))
    assert_same_spikes(Kept(model), drive(torch.Generator().manual_seed(seed), 3, 7) * 2, "B")


class Kept(nn.Module):
    """A model of Norse that hands its state on from call to call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.state: Any = None

    def forward(self, x: Tensor) -> Tensor:
        out, self.state = self.model(x, self.state)
        return out


class First(nn.Module):
    """What a model of Norse returns without its state."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)[0]
        return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["LIF", "IAF", "LI"])
def test_layers_over_time(kind: str, seed: int) -> None:
    model = First(make(kind, random.Random(seed), 7))
    assert_same_spikes(model, drive(torch.Generator().manual_seed(seed), 3, 7) * 2, "TB")


def recurrent(kind: str, draw: random.Random, inputs: int, size: int) -> nn.Module:
    """A recurrent cell or layer."""
    p: Any = LIFParameters(**current(draw), **membrane(draw, size), **firing(draw, size))
    return getattr(snn, kind)(inputs, size, p, dt=draw.choice([0.001, 0.0015]), autapses=draw.random() < 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_recurrent_cells_and_layers(seed: int) -> None:
    torch.manual_seed(seed)
    draw, x = random.Random(seed), drive(torch.Generator().manual_seed(seed), 3, 7) * 2
    cells = snn.SequentialState(
        recurrent("LIFRecurrentCell", draw, 7, 5),
        nn.Linear(5, 6),
        recurrent("LIFRecurrentCell", draw, 6, 6),
        make("LICell", draw, 6),
    )
    assert_same_spikes(Kept(louder(cells, 2.0)), x, "B")
    assert_same_spikes(First(recurrent("LIFRecurrent", draw, 7, 5)), x, "TB")


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    layers = snn.SequentialState(
        nn.Conv2d(2, 4, 3),
        make("LIFCell", draw, 1),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 2),
        make("IAFCell", draw, 1),
        nn.Flatten(),
        nn.Linear(12, 6),
        make("LIFBoxCell", draw, 6),
        nn.Linear(6, 4),
        make("LICell", draw, 4),
    )
    return louder(layers, 2.5)


@pytest.mark.parametrize("seed", range(4))
def test_in_a_network(seed: int) -> None:
    x = drive(torch.Generator().manual_seed(seed), 2, 2, 8, 8) * 6
    assert_same_spikes(Kept(network(seed)), x, "B")
    differing, compared = near_ties_in_network(Kept(network(seed)), x, "B")
    assert differing <= 1e-4 * compared


def test_a_sequential_state_is_handed_on_by_the_compiler() -> None:
    x = torch.rand(2, 2, 8, 8)
    whole = trace(network(0), x, 5, "B")
    kept = trace(Kept(network(0)), x, 5, "B")
    assert [node.parameters for node in whole.neurons] == [node.parameters for node in kept.neurons]


class Forgetful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = snn.LIFCell()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cell(x)[0]
        return out


def test_refusals() -> None:
    refused = {
        "cell .*is called again without its state": Forgetful(),
        "0: has the class LSNNCell of Norse": snn.SequentialState(snn.LSNNCell()),
        "0: has the class LIFAdExCell of Norse": snn.SequentialState(snn.LIFAdExCell()),
        "0: has the class LIFRefracRecurrentCell of Norse": snn.SequentialState(
            snn.LIFRefracRecurrentCell(7, 7)
        ),
    }
    for words, module in refused.items():
        with pytest.raises(CannotTrace, match=words) as caught:
            trace(module, torch.rand(2, 7), 5, "B")
        assert "hint" in str(caught.value)
