"""snnTorch: every neuron with options drawn at random, alone and in a network, against its own forward."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate, utils
from torch import Tensor, nn

import snncc
from snncc.errors import CannotTrace
from snncc.frontends.from_torch import trace
from snncc.ir import Reset, ResetAt
from tests.frontends.frameworks import assert_same_spikes, drive, near_ties, near_ties_in_network

SEEDS = range(6)
RESETS = ("subtract", "zero", "none")


def options(draw: random.Random, size: int, reset: str) -> dict[str, Any]:
    """Options that all neurons share, for a layer of *size* neurons."""
    theta: Any = draw.choice([draw.uniform(0.4, 0.9), torch.rand(size) * 0.5 + 0.4])
    return {
        "threshold": theta * (1.5 if reset == "none" else 1.0),
        "reset_mechanism": reset,
        "learn_threshold": draw.random() < 0.5,
        "spike_grad": draw.choice([None, surrogate.fast_sigmoid(), surrogate.sigmoid()]),
        "surrogate_disable": draw.random() < 0.2,
        "init_hidden": True,
        "output": draw.random() < 0.5,
    }


def decay(draw: random.Random, size: int, *, beyond: bool = True) -> Any:
    """A decay for the layer, or one for each of its neurons; what is beyond 1 is clamped."""
    return draw.choice([draw.uniform(0.3, 0.95), torch.linspace(0.1, 1.0, size), 1.3 if beyond else 0.7])


def leaky(draw: random.Random, size: int, reset: str) -> nn.Module:
    both = options(draw, size, reset)
    graded: Any = draw.choice([1.0, 0.5, torch.linspace(0.5, 2.0, size)])
    late = both["output"] or draw.random() < 0.7 or reset == "subtract"
    return snn.Leaky(
        decay(draw, size, beyond=reset != "none"),
        learn_beta=draw.random() < 0.5,
        graded_spikes_factor=graded,
        reset_delay=late,
        **both,
    )


def synaptic(draw: random.Random, size: int, reset: str) -> nn.Module:
    both = options(draw, size, reset)
    late = both["output"] or draw.random() < 0.7 or reset == "subtract"
    return snn.Synaptic(
        decay(draw, size) if reset != "none" else 0.5,
        decay(draw, size, beyond=False),
        learn_alpha=draw.random() < 0.5,
        learn_beta=draw.random() < 0.5,
        reset_delay=late,
        **both,
    )


def lapicque(draw: random.Random, size: int, reset: str) -> nn.Module:
    constants: dict[str, Any] = draw.choice(
        [
            {"beta": 0.8},
            {"R": 2.0, "C": 3.0},
            {"R": 1.5, "beta": 0.7},
            {"C": 2.0, "beta": 0.9, "time_step": 0.5},
        ]
    )
    return snn.Lapicque(**constants, **(options(draw, size, reset) | {"threshold": 0.4}))


def connections(draw: random.Random, size: int) -> dict[str, Any]:
    """All to all, or each neuron to itself."""
    if draw.random() < 0.5:
        return {"linear_features": size}
    return {"all_to_all": False, "V": draw.choice([-0.4, 0.3, torch.linspace(-0.5, 0.5, size)])}


def rleaky(draw: random.Random, size: int, reset: str) -> nn.Module:
    both = options(draw, size, reset) | connections(draw, size)
    late = both["output"] or draw.random() < 0.7 or reset == "subtract"
    return snn.RLeaky(decay(draw, size, beyond=False), reset_delay=late, **both)


def rsynaptic(draw: random.Random, size: int, reset: str) -> nn.Module:
    both = options(draw, size, reset) | connections(draw, size)
    return snn.RSynaptic(0.5, decay(draw, size, beyond=False), **both)


LAYERS: dict[str, Callable[[random.Random, int, str], nn.Module]] = {
    "Leaky": leaky,
    "Synaptic": synaptic,
    "Lapicque": lapicque,
    "RLeaky": rleaky,
    "RSynaptic": rsynaptic,
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", LAYERS)
def test_alone(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    module = LAYERS[kind](draw, 7, RESETS[seed % 3])
    model = nn.Sequential(module)
    x = drive(torch.Generator().manual_seed(seed), 3, 7)
    result = assert_same_spikes(model, x, "B", needs_spikes=False)
    assert (result.outputs["output" if "output" in result.outputs else "output.0"] != 0).any()
    if "Synaptic" not in kind and kind[0] != "R":
        assert near_ties(model, x, "B") <= 1


@pytest.mark.parametrize("seed", range(6))
def test_in_a_network(seed: int) -> None:
    torch.manual_seed(seed)
    draw, reset = random.Random(seed), RESETS[seed % 3]
    hidden = {"init_hidden": True, "reset_mechanism": reset, "threshold": 0.6 if reset == "none" else 0.4}
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        snn.Leaky(draw.uniform(0.5, 0.95), learn_beta=True, **hidden),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 2),
        snn.RLeaky(0.5, conv2d_channels=3, kernel_size=3, **hidden),
        nn.Flatten(),
        nn.Linear(12, 6),
        snn.Synaptic(0.4, torch.linspace(0.1, 0.9, 6), **(hidden | {"threshold": 0.3})),
        nn.Linear(6, 4),
        snn.Lapicque(beta=0.9, output=True, **(hidden | {"threshold": 0.05})),
    )
    x = drive(torch.Generator().manual_seed(seed), 2, 2, 8, 8) * 3
    assert_same_spikes(model, x, "B")
    differing, compared = near_ties_in_network(model, x, "B")
    assert differing <= 1e-4 * compared


@pytest.mark.parametrize(
    ("reset", "kind", "at"),
    [
        ("subtract", Reset.SUBTRACT, ResetAt.NEXT),
        ("zero", Reset.VALUE, ResetAt.NEXT_BEFORE_INPUT),
        ("none", Reset.NONE, ResetAt.SAME),
    ],
)
def test_reset_modes_survive(reset: str, kind: Reset, at: ResetAt) -> None:
    model = nn.Sequential(snn.Leaky(0.9, init_hidden=True, reset_mechanism=reset))
    p = trace(model, torch.rand(2, 5), 4, "B").neurons[0].parameters
    assert (p.reset, p.reset_at) == (kind, at)


class Stateful(nn.Module):
    """States handed on from call to call, as attributes of the model."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.fc = nn.Linear(7, 5)
        self.lif = snn.Synaptic(0.6, 0.8)
        self.start = start
        self.states: Any = None

    def forward(self, x: Tensor) -> Any:
        cur = self.fc(x)
        if self.states is None:
            self.states = torch.full_like(cur, self.start), torch.full_like(cur, -self.start)
        spk, syn, mem = self.lif(cur, *self.states)
        self.states = syn.detach(), mem.clone()
        return spk, mem, syn


@pytest.mark.parametrize("start", [0.0, 0.4])
def test_states_that_the_model_hands_on(start: float) -> None:
    torch.manual_seed(2)
    x = drive(torch.Generator().manual_seed(2), 3, 7) * 2
    assert_same_spikes(Stateful(start), x, "B")


class Swapped(Stateful):
    """The states in the wrong order."""

    def forward(self, x: Tensor) -> Any:
        spk, mem, syn = super().forward(x)
        self.states = mem, syn
        return spk


class Anew(Stateful):
    """Starts anew in every call."""

    def forward(self, x: Tensor) -> Any:
        self.states = None
        return super().forward(x)[0]


class Resets(nn.Module):
    """Resets what its modules hold in every timestep."""

    def __init__(self) -> None:
        super().__init__()
        self.lif = snn.Leaky(0.9, init_hidden=True)

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self)
        out: Tensor = self.lif(x * 0.0)
        return out


def test_the_states_of_the_model_stay() -> None:
    """`utils.reset` acts on all neurons that exist; tracing leaves those of the user's model alone."""
    model = Resets()
    model.lif(torch.full((2, 7), 0.4))
    before = model.lif.mem
    with pytest.raises(CannotTrace):
        trace(model, torch.rand(2, 7), 5, "B")
    assert model.lif.mem is before
    assert any(one is model.lif for one in snn.SpikingNeuron.instances)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
def test_recurrent_neurons_become_integers(kind: str, reset: str) -> None:
    """With calibration data, and without: what a neuron feeds back is bounded by its weights."""
    torch.manual_seed(0)
    leaks = (0.8,) if kind == "RLeaky" else (0.5, 0.8)
    neuron = getattr(snn, kind)(*leaks, linear_features=6, reset_mechanism=reset, init_hidden=True)
    model = nn.Sequential(nn.Linear(7, 6), neuron, nn.Linear(6, 4))
    x = np.random.default_rng(0).random((20, 5, 7)).astype(np.float32) * 3
    graph = snncc.trace(model, x[0], 20, "B", presence="sequence", over="mean")
    assert [wire.delay for wire in graph.neurons[0].inputs] == [0, 1]
    need = snncc.compile(graph, precision="float").run(x)
    for given in ({"calibration": x}, {"input_range": (0.0, 3.0)}):
        result = snncc.compile(graph, **given).run(x)
        assert 0.1 < result.spikes["1"].sum() / (6 * 20 * 5) < 0.9
        assert not any(result.run.saturations.values())
        assert abs(result.spikes["1"].sum() - need.spikes["1"].sum()) < 0.05 * need.spikes["1"].sum()
        assert abs(result.output - need.output).max() < 0.1


def stochastic(x: Tensor) -> Tensor:
    """A surrogate whose forward is no step."""
    return torch.sigmoid(x)


REFUSALS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "inhibition": (lambda: nn.Sequential(inhibited()), "0: has inhibition=True"),
    "quantized": (
        lambda: nn.Sequential(snn.Leaky(0.9, init_hidden=True, state_quant=torch.round)),
        "0: has a state_quant",
    ),
    "surrogate": (
        lambda: nn.Sequential(snn.Leaky(0.9, init_hidden=True, spike_grad=stochastic)),
        "0: has a spike_grad whose forward is no step",
    ),
    "reset_delay": (
        lambda: nn.Sequential(snn.Leaky(0.9, init_hidden=True, reset_delay=False)),
        "0: has reset_delay=False",
    ),
    "class": (
        lambda: nn.Sequential(snn.Alpha(0.9, 0.8, init_hidden=True)),
        "0: has the class Alpha of snnTorch",
    ),
    "reset changed": (
        lambda: nn.Sequential(changed()),
        "0: was made to reset by 'subtract', but .* attribute is 'zero'",
    ),
    "reset loaded": (
        lambda: nn.Sequential(loaded()),
        "0: was made to reset by 'subtract', but .* state dict is 'none'",
    ),
    "swapped": (lambda: Swapped(), "lif .*: is given the mem of lif as its syn, in its call number 2"),
    "resets": (lambda: Resets(), "lif .*: its mem is reset or changed before its call number 2"),
    "above": (lambda: Stateful(-3.0), "lif .*: starts above its threshold"),
    "anew": (lambda: Anew(), "lif .*: is given a constant as its syn, in its call number 2"),
}


def inhibited() -> nn.Module:
    with pytest.warns(UserWarning, match="Inhibition"):
        return snn.Leaky(0.9, init_hidden=True, inhibition=True)


def changed() -> nn.Module:
    """Its state function still subtracts."""
    neuron = snn.Synaptic(0.9, 0.8, init_hidden=True)
    neuron.reset_mechanism = "zero"
    return neuron


def loaded() -> nn.Module:
    """The state dict of another kind of neuron fits without a word."""
    neuron = snn.Leaky(0.9, init_hidden=True)
    neuron.load_state_dict(snn.Leaky(0.9, reset_mechanism="none").state_dict())
    return neuron


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    make, words = REFUSALS[name]
    with pytest.raises(CannotTrace, match=words) as caught:
        trace(make(), torch.rand(2, 7), 5, "B")
    assert "hint" in str(caught.value)
