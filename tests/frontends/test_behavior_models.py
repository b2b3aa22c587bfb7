"""Models with neurons that nobody registered: traced, explained, refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
import snncc.nn
from snncc.errors import BadInput, CannotTrace
from snncc.frontends import behavior_models, neurons
from snncc.frontends.behavior import Unrecognized, recognize
from snncc.frontends.from_torch import observe, trace
from snncc.ir import Emit, load_graph, save_graph
from tests.frontends import behavior_members as members
from tests.frontends import behavior_trains as trains
from tests.frontends.behavior_strangers import AdaptiveThreshold, BatchMates, Delayed
from tests.frontends.frameworks import assert_same_spikes, drive, louder
from tests.frontends.torch_networks import assert_alive, execute, noise

GENERATOR = torch.Generator().manual_seed(3)


@pytest.fixture(autouse=True)
def _few_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quicker comparison: how many inputs are enough is tested elsewhere."""
    monkeypatch.setattr(behavior_models, "recognize", partial(recognize, inputs=5000))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def network(*neurons_: nn.Module, channels: int = 3) -> nn.Sequential:
    """A small convolutional network with *neurons_* between its layers."""
    torch.manual_seed(1)
    layers: list[nn.Module] = [nn.Conv2d(2, channels, 3, padding=1), neurons_[0], nn.Flatten()]
    if len(neurons_) > 1:
        layers += [nn.Linear(channels * 4, 6), neurons_[1]]
    with torch.no_grad():
        for layer in layers:
            for name, parameter in layer.named_parameters():
                if name in ("weight", "bias") and isinstance(layer, nn.Conv2d | nn.Linear):
                    parameter.add_(0.15)
    return nn.Sequential(*layers)


def in_float64(model: nn.Module) -> nn.Module:
    """*model* in float64, although its neurons send float32."""
    for layer in model.modules():
        layer.register_forward_pre_hook(lambda _, args: (args[0].double(),))
    return model.double().eval().requires_grad_(False)


def stepped(model: nn.Module, x: Tensor, timesteps: int) -> Any:
    """What the model itself returns in float64, called once a timestep."""
    twin = in_float64(model)
    return np.stack([twin(x.double()).double().numpy() for _ in range(timesteps)])


@pytest.mark.parametrize(
    "make",
    [members.MemTimesBeta, members.Buffers, members.TauDecaysInput, trains.PerChannel, members.Synaptic],
)
def test_a_network_of_single_step_neurons(make: Any) -> None:
    model = network(make(rng(2)), members.Plif(rng(1)))
    x = noise(GENERATOR, 4, 2, 2, 2, low=-0.5, high=2)
    graph = trace(model, x, 8, "B")
    result = execute(graph, x)
    assert_alive(graph, result)
    assert [node.name for node in graph.neurons] == ["1", "4"]
    assert len(graph.notes) == 2
    assert graph.notes[0].startswith(f"1: {make.__name__} recognized by its behavior: ")
    np.testing.assert_array_equal(result.output, stepped(model, x, 8))


@pytest.mark.parametrize(("make", "layout"), [(trains.WholeTrain, "TB"), (trains.BatchFirst, "BT")])
def test_whole_trains(make: Any, layout: str) -> None:
    torch.manual_seed(0)
    layers = nn.Linear(5, 7), nn.Linear(7, 4)
    with torch.no_grad():
        for layer in layers:
            layer.weight.add_(0.25)
    model = nn.Sequential(layers[0], make(rng()), layers[1], make(rng(1)))
    x = noise(GENERATOR, 6, 3, 5, high=2)
    x = x if layout == "TB" else x.transpose(0, 1).contiguous()
    graph = trace(model, x, None, layout)
    result = execute(graph, x)
    assert_alive(graph, result)
    need = in_float64(model)(x).double()
    need = need if layout == "TB" else need.transpose(0, 1)
    np.testing.assert_array_equal(result.output, need.numpy())


class Loop(nn.Module):
    """Walks over [T, B, ...] itself."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)
        with torch.no_grad():
            for layer in (self.first, self.last):
                layer.weight.add_(0.35)
        self.one, self.two = make(rng(0)), make(rng(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.two(self.last(self.one(self.first(step)))) for step in x])


@pytest.mark.parametrize("make", [members.MemTimesBeta, members.Buffers])
def test_a_loop_over_time(make: Any) -> None:
    model, x = Loop(make), noise(GENERATOR, 6, 3, 4)
    graph = trace(model, x, layout="TB")
    result = execute(graph, x)
    assert_alive(graph, result)
    assert [note.partition(":")[0] for note in graph.notes] == ["one", "two"]
    np.testing.assert_array_equal(result.output, in_float64(model)(x.double()).double().numpy())


def test_observing_recognizes_again() -> None:
    model = network(members.MemTimesBeta(rng()))
    x = noise(GENERATOR, 3, 2, 2, 2, high=2)
    graph = trace(model, x, 5, "B")
    seen = observe(model, graph, x)
    np.testing.assert_array_equal(seen.outputs["output"], execute(graph, x).output)


def test_the_model_stays_as_it_is() -> None:
    model = network(members.MemTimesBeta(rng()))
    before = {k: set(vars(m)) for k, m in model.named_modules()}
    trace(model, noise(GENERATOR, 3, 2, 2, 2), 5, "B")
    assert {k: set(vars(m)) for k, m in model.named_modules()} == before
    assert model[1].mem is None


@pytest.mark.usefixtures("_clean_registry")
def test_the_registry_comes_first() -> None:
    snncc.register_neuron(
        members.NoReset, lambda m: {"theta": 0.5, "strict": True, "leak": m.leak, "reset": "none"}
    )
    graph = trace(network(members.NoReset(rng())), noise(GENERATOR, 3, 2, 2, 2), 5, "B")
    assert graph.notes == ()
    assert len(graph.neurons) == 1


@pytest.fixture
def _clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons, "_REGISTERED", {})


def test_a_readout_that_integrates() -> None:
    model = nn.Sequential(nn.Linear(4, 3), trains.Readout(rng(1)))
    x = noise(GENERATOR, 3, 4)
    graph = trace(model, x, 6, "B")
    assert graph.neurons[0].parameters.emit is Emit.POTENTIAL
    np.testing.assert_allclose(execute(graph, x).output, stepped(model, x, 6), rtol=1e-12)


def test_what_a_state_needs_is_asked_for() -> None:
    model = network(members.MemTimesBeta(rng()))
    with pytest.raises(BadInput, match="the argument layout is missing: 1 keeps a state"):
        trace(model, noise(GENERATOR, 3, 2, 2, 2))
    with pytest.raises(BadInput, match="the argument timesteps is missing: 1 keeps a state"):
        trace(model, noise(GENERATOR, 3, 2, 2, 2), layout="B")


def test_a_stranger_shows_the_closest_member() -> None:
    model = network(AdaptiveThreshold(rng()))
    with pytest.raises(
        Unrecognized, match=r"1: AdaptiveThreshold is no member .* the closest .* first differs"
    ) as e:
        trace(model, noise(GENERATOR, 3, 2, 2, 2), 5, "B")
    assert e.value.difference is not None
    assert "as plain operations: 1 (behavior_strangers.py:" in str(e.value)


class Handed(nn.Module):
    """``lif(x, v) -> (spikes, v)``: the state goes through the caller's hands."""

    def forward(self, x: Tensor, v: Any) -> Any:
        v = x if v is None else 0.75 * v + x
        spikes = (v > 1).to(x.dtype)
        return spikes, v * (1 - spikes)


class HandedTwo(nn.Module):
    """A potential and a current."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        v, i = state
        i = 0.5 * i + x
        v = 0.75 * v + i
        spikes = (v >= 1).to(x.dtype)
        return spikes, (v - spikes, i)


class HandedBoth(nn.Module):
    """The potential and the last spikes, each by itself."""

    def forward(self, x: Tensor, v: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
        v = 0.75 * v * (1 - spikes) + x
        return v, (v > 1).to(x.dtype)


class Hands(nn.Module):
    """Walks over time and hands on the states of two neurons; *start* makes the first."""

    def __init__(self, make: Any, start: Any, *, swaps: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 3)
        self.one, self.two = make(), make()
        self.start, self.swaps = start, swaps

    def forward(self, x: Tensor) -> Tensor:
        zeros = torch.zeros(x.shape[1], 3).to(x)
        v, w, out = self.start(zeros), self.start(zeros), []
        for now in x:
            spikes, v = self.one(2 * self.first(now), v)
            spikes, w = self.two(3 * self.last(spikes), w)
            v, w = (w, v) if self.swaps else (v, w)
            out.append(spikes)
        return torch.stack(out)


@pytest.mark.parametrize(
    ("make", "start"),
    [(Handed, lambda v: None), (Handed, lambda v: v), (HandedTwo, lambda v: (v, v))],
)
def test_a_state_that_is_handed_on(make: Any, start: Any) -> None:
    model, x = Hands(make, start), noise(GENERATOR, 12, 3, 4, high=3)
    graph = trace(model, x, layout="TB")
    result = execute(graph, x)
    assert_alive(graph, result)
    assert [note.partition(" recognized")[0] for note in graph.notes] == [
        f"{name}: {make.__name__}" for name in ("one", "two")
    ]
    with torch.no_grad():
        need = model.double()(x.double()).numpy()
    np.testing.assert_array_equal(result.output, need)


def test_a_state_that_is_handed_to_another() -> None:
    model = Hands(Handed, lambda v: v, swaps=True)
    with pytest.raises(
        CannotTrace, match=r"one .*: is given the state of two as its state, in its call number 2"
    ):
        trace(model, noise(GENERATOR, 6, 3, 4, high=3), layout="TB")


def test_a_state_that_does_not_start_at_zero_is_followed_in_its_loop() -> None:
    torch.manual_seed(1)
    for model in (Hands(Handed, lambda v: v + 0.5), HandsBoth()):
        x = 4 * drive(torch.Generator().manual_seed(1), 3, 4)
        assert_same_spikes(louder(model, 3.0), x, "TB")


class HandsBoth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(4, 3), HandedBoth()

    def forward(self, x: Tensor) -> Tensor:
        v = spikes = torch.zeros(x.shape[1], 3)
        out = []
        for now in x:
            v, spikes = self.lif(self.fc(now), v, spikes)
            out.append(spikes)
        return torch.stack(out)


def test_a_closest_member_that_never_fires_is_said_in_words() -> None:
    with pytest.raises(Unrecognized) as caught:
        trace(network(Delayed(rng())), noise(GENERATOR, 3, 2, 2, 2), 5, "B")
    said = "the closest (one that never fires) first differs on the inputs [2, 1]: it sends 0, the module 1"
    assert said in str(caught.value)


def test_a_module_that_mixes_samples() -> None:
    with pytest.raises(CannotTrace, match="1: is not elementwise"):
        trace(network(BatchMates(rng())), noise(GENERATOR, 3, 2, 2, 2), 5, "B")


def test_a_single_step_neuron_with_a_whole_train() -> None:
    model = nn.Sequential(nn.Linear(4, 3), members.MemTimesBeta(rng()))
    with pytest.raises(CannotTrace, match="1: keeps a state from call to call, but receives all timesteps"):
        trace(model, noise(GENERATOR, 6, 3, 4), layout="TB")


def test_plain_modules_of_the_user_are_recorded() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x + 1

    graph = trace(nn.Sequential(Twice(), snncc.nn.IF()), noise(GENERATOR, 3, 4), 3, "B")
    assert graph.notes == ()
    assert [node.name for node in graph.neurons] == ["1"]


def test_a_shared_activation() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)
            self.act = members_step()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.b(self.act(self.a(x))))

    torch.manual_seed(0)
    model = Shared()
    x = noise(GENERATOR, 8, 4, high=2)
    graph = trace(model, x)
    np.testing.assert_array_equal(execute(graph, x).output[0], in_float64(model)(x).numpy())
    assert len(graph.neurons) == 2


def members_step() -> nn.Module:
    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0.1).float()

    return Step()


def test_notes_are_kept_in_the_file(tmp_path: Path) -> None:
    graph = trace(network(members.MemTimesBeta(rng())), noise(GENERATOR, 3, 2, 2, 2), 5, "B")
    save_graph(graph, tmp_path / "net.snn")
    assert load_graph(tmp_path / "net.snn").notes == graph.notes
