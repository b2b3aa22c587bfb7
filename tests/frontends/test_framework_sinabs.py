"""sinabs: every neuron with options drawn at random, alone and in a network, against its own forward."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.from_torch import from_model
from torch import Tensor, nn

import snncc
from snncc.backends.target import DoesNotFit
from snncc.errors import CannotTrace
from snncc.frontends.factory import load_weights
from snncc.frontends.from_torch import trace
from snncc.ir import SpikeGraph
from tests.frontends.frameworks import assert_same_spikes, drive, louder, near_ties, near_ties_in_network

SEEDS = range(6)


def options(draw: random.Random, size: int) -> dict[str, Any]:
    """Options that IAF and LIF share, for a layer of *size* neurons."""
    spike = draw.choice([MultiSpike, SingleSpike, MaxSpike(2), MaxSpike(None)])
    amount = None if spike is MultiSpike or spike == MaxSpike(None) else draw.choice([None, 0.4])
    reset = draw.choice([MembraneSubtract(amount), MembraneReset(), MembraneReset(draw.uniform(-0.1, 0.1))])
    theta = draw.choice([torch.tensor(draw.uniform(0.3, 0.9)), torch.rand(size) * 0.5 + 0.3])
    return {
        "spike_threshold": theta,
        "spike_fn": spike,
        "reset_fn": reset,
        "min_v_mem": draw.choice([None, -0.5, torch.linspace(-1, -0.1, size)]),
        "tau_syn": draw.choice([None, draw.uniform(0.5, 3.0)]),
        "record_states": draw.random() < 0.2,
    }


def leaky(draw: random.Random, size: int) -> dict[str, Any]:
    """Options of a leak."""
    return {
        "tau_mem": draw.choice([draw.uniform(2.0, 20.0), torch.linspace(3.0, 20.0, size)]),
        "norm_input": draw.random() < 0.3,
        "train_alphas": draw.random() < 0.5,
    }


def lif_options(draw: random.Random, size: int) -> dict[str, Any]:
    both = options(draw, size) | leaky(draw, size)
    if both["norm_input"]:
        both["spike_threshold"] = torch.tensor(0.08)
        if isinstance(both["reset_fn"], MembraneReset):
            both["reset_fn"] = MembraneReset()
    return both


def neuron(kind: str, draw: random.Random, size: int) -> nn.Module:
    """A layer of *size* neurons that takes [B, T, size]."""
    if kind == "IAF":
        return sl.IAF(**options(draw, size))
    if kind == "LIF":
        return sl.LIF(**lif_options(draw, size))
    return sl.ExpLeak(min_v_mem=draw.choice([None, -0.2]), **leaky(draw, size))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["IAF", "LIF", "ExpLeak"])
def test_alone(kind: str, seed: int) -> None:
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model = nn.Sequential(neuron(kind, draw, 7))
    x = drive(generator, 3, 7)
    assert_same_spikes(model, x, "BT")
    if kind != "ExpLeak":
        assert near_ties(model, x, "BT") <= 1


def recurrent(kind: str, seed: int) -> nn.Module:
    """A recurrent layer between others; its weights lead from every neuron to every other."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    if kind == "IAFRecurrent":
        both = options(draw, 6)
        layer = sl.IAFRecurrent(rec_connect=nn.Linear(6, 6, bias=seed % 2 > 0), **both)
    else:
        both = lif_options(draw, 6)
        inner = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 6)) if seed % 3 == 0 else nn.Linear(6, 6)
        layer = sl.LIFRecurrent(rec_connect=inner, **both)
    return nn.Sequential(nn.Linear(7, 6), layer, nn.Linear(6, 4), sl.LIF(tau_mem=5.0, norm_input=False))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["IAFRecurrent", "LIFRecurrent"])
def test_recurrent_layers(kind: str, seed: int) -> None:
    """sinabs itself cannot copy them: what is compared with is made anew."""
    x = drive(torch.Generator().manual_seed(seed), 3, 7) * 2
    model = recurrent(kind, seed)
    result = assert_same_spikes(model, x, "BT", needs_spikes=False, twin=recurrent(kind, seed))
    assert 0 < (result.records["1"].train != 0).mean() < 1
    graph = trace(model, x[:8].transpose(0, 1), layout="BT")
    assert [wire.delay for wire in graph.neurons[0].inputs] == [0, 1]


def test_recurrent_layers_become_integers() -> None:
    """What comes back is bounded where the number of spikes is."""
    torch.manual_seed(0)
    inner = nn.Linear(6, 6)
    nn.init.uniform_(inner.weight, -0.3, 0.1)
    x = np.random.default_rng(0).random((5, 20, 6)).astype(np.float32)

    def graph(spikes: Any) -> SpikeGraph:
        layer = sl.IAFRecurrent(rec_connect=inner, spike_fn=spikes, min_v_mem=-1.0)
        return snncc.trace(nn.Sequential(layer, nn.Linear(6, 4)), x, layout="BT", over="sum")

    with pytest.raises(DoesNotFit, match=r"0 \(Neuron, 0\): spikes in a timestep: .*\n.*MaxSpike"):
        snncc.compile(graph(MultiSpike), calibration=x)
    need = snncc.compile(graph(MaxSpike(3)), precision="float").run(x).spikes["0"].sum()
    for given in ({"calibration": x}, {"input_range": (0.0, 1.0)}):
        result = snncc.compile(graph(MaxSpike(3)), **given).run(x)
        assert abs(result.spikes["0"].sum() - need) < 0.05 * need > 0
        assert not any(result.run.saturations.values())


def test_recurrent_maps() -> None:
    def made() -> nn.Module:
        torch.manual_seed(0)
        layer = sl.LIFRecurrent(
            tau_mem=6.0,
            rec_connect=nn.Conv2d(3, 3, 3, padding=1),
            spike_threshold=torch.tensor(0.4),
            norm_input=False,
        )
        return nn.Sequential(sl.FlattenTime(), nn.Conv2d(2, 3, 3), sl.UnflattenTime(2), layer)

    assert_same_spikes(made(), drive(torch.Generator().manual_seed(0), 2, 2, 6, 6) * 3, "BT", twin=made())


def network(draw: random.Random, samples: int | None, timesteps: int | None) -> nn.Module:
    """Convolutions and squeezed layers; biases and time constants are as they were learned."""
    sizes = {"batch_size": samples, "num_timesteps": timesteps}
    first = options(draw, 1) | {"spike_threshold": torch.tensor(0.5), "min_v_mem": -1.0}
    last = lif_options(draw, 6)
    return nn.Sequential(
        sl.FlattenTime(),
        nn.Conv2d(2, 4, 3, padding=1),
        sl.IAFSqueeze(**first, **sizes),
        sl.SumPool2d(2),
        nn.Conv2d(4, 3, 2),
        sl.LIFSqueeze(**lif_options(draw, 1), **sizes),
        nn.Flatten(),
        nn.Linear(27, 6),
        sl.LIFSqueeze(**last, **sizes),
        nn.Linear(6, 4),
        sl.ExpLeakSqueeze(tau_mem=torch.linspace(2.0, 9.0, 4), **sizes),
        sl.UnflattenTime(samples or 2),
    )


@pytest.mark.parametrize("seed", range(6))
def test_in_a_network(seed: int) -> None:
    torch.manual_seed(seed)
    draw = random.Random(seed)
    model = network(draw, *((2, None) if seed % 2 else (None, 100)))
    x = drive(torch.Generator().manual_seed(seed), 2, 2, 8, 8) * 3
    assert_same_spikes(model, x, "BT")
    differing, compared = near_ties_in_network(model, x, "BT")
    assert differing <= 1e-4 * compared


def test_a_used_model_starts_anew() -> None:
    """What a state holds from training is not in the graph, nor is its number of samples."""
    layer: Any = sl.LIF(tau_mem=5.0, norm_input=False)
    model = nn.Sequential(layer)
    x = drive(torch.Generator().manual_seed(1), 3, 7)
    fresh = trace(model, x.transpose(0, 1), layout="BT")
    model(torch.ones(5, 9, 7))
    state = layer.v_mem.clone()
    used = trace(model, x.transpose(0, 1), layout="BT")
    assert used.neurons[0].parameters == fresh.neurons[0].parameters
    torch.testing.assert_close(layer.v_mem, state)


def test_weights_of_a_used_model_fit_a_new_one() -> None:
    """A state dict of sinabs holds potentials, in the shape of the last batch."""
    used, fresh = (nn.Sequential(nn.Linear(7, 3), sl.LIF(tau_mem=5.0, tau_syn=2.0)) for _ in range(2))
    used(torch.rand(4, 6, 7))
    load_weights(fresh, used.state_dict(), where="model.pt", factory="build")
    assert torch.equal(fresh.state_dict()["0.weight"], used.state_dict()["0.weight"])
    assert fresh.state_dict()["1.v_mem"].shape == (0,)


class Twice(nn.Module):
    """One layer at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.spikes = sl.IAF()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.spikes(self.spikes(x))
        return out


class Other(sl.IAF):  # type: ignore[misc]
    """A class that changes what sinabs computes."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x) * 2
        return out


REFUSALS: dict[str, tuple[nn.Module, str]] = {
    "adapts": (sl.ALIF(tau_mem=5.0, tau_adapt=5.0), "0: has the class ALIF of sinabs: its threshold adapts"),
    "amount": (sl.IAF(reset_fn=MembraneSubtract(0.5)), "0: subtracts 0.5 at each of any number of spikes"),
    "threshold": (sl.IAF(spike_threshold=torch.tensor(0.0)), "0: has a spike_threshold that is not above"),
    "spikes": (sl.IAF(spike_fn=MaxSpike(0)), "0: has max_num_spikes_per_bin=0"),
    "reset": (sl.IAF(reset_fn=lambda spikes, state, threshold: state), "0: has reset_fn=function"),
    "twice": (Twice(), "spikes .*keeps a state and is used twice"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    module, words = REFUSALS[name]
    with pytest.raises(CannotTrace, match=words) as caught:
        trace(nn.Sequential(module), torch.rand(2, 5, 7), layout="BT")
    assert "hint" in str(caught.value)


def test_a_class_that_changes_the_neuron_is_not_taken_for_it() -> None:
    with pytest.raises(CannotTrace):
        trace(nn.Sequential(Other()), torch.rand(2, 5, 7), layout="BT")


def test_squeezed_data_has_a_way_out() -> None:
    model = nn.Sequential(nn.Linear(7, 3), sl.IAFSqueeze(batch_size=2))
    with pytest.raises(CannotTrace, match=r"1: takes \[B\*T, ...\], and its first axis has 2") as caught:
        trace(model, torch.rand(10, 7), timesteps=5, layout="B")
    assert "FlattenTime" in str(caught.value)


def test_a_converted_network() -> None:
    """What sinabs makes of a network with rectifiers."""
    torch.manual_seed(0)
    ann = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5), nn.ReLU()
    )
    network = from_model(ann, input_shape=(2, 8, 8), batch_size=2, num_timesteps=100).spiking_model
    for index in (1, 5):
        network[index].reset_states()  # sinabs runs the network once
    model = nn.Sequential(sl.FlattenTime(), louder(network, 2.0), sl.UnflattenTime(2))
    assert_same_spikes(model, drive(torch.Generator().manual_seed(0), 2, 2, 8, 8) * 3, "BT")
