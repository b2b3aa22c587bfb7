"""Neuron modules as leaves: ours, and classes of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc.nn
from snncc.errors import CannotTrace
from snncc.frontends import neurons
from snncc.frontends.from_torch import trace
from snncc.frontends.neurons import register_neuron, registered
from snncc.ir import Affine, Emit, Neuron, Reset
from tests.frontends.torch_networks import Apply, assert_alive, assert_traced, execute, noise

GENERATOR = torch.Generator().manual_seed(7)
TRAIN = noise(GENERATOR, 6, 3, 5, low=-1.5, high=2.5)
PER_NEURON = torch.linspace(0.3, 1.1, 5)

NEURONS: dict[str, snncc.nn.Neuron] = {
    "IF": snncc.nn.IF(0.7),
    "IF to zero": snncc.nn.IF(0.7, reset="zero", strict=True, scale=2.0),
    "IF to a value": snncc.nn.IF(PER_NEURON, reset="value", v_reset=-0.3, v_init=0.2),
    "IF without reset": snncc.nn.IF(3.0, reset="none"),
    "IF with another amount": snncc.nn.IF(0.5, reset_amount=1.0, scale=PER_NEURON),
    "LIF": snncc.nn.LIF(0.6, 0.7),
    "LIF, each its leak": snncc.nn.LIF(PER_NEURON / 2, PER_NEURON),
    "LIF, decaying input": snncc.nn.LIF(0.5, 0.5, decay_input=True, reset="value", v_reset=-0.2, v_init=-0.2),
    "LIAF": snncc.nn.LIAF(0.5, 0.6),
    "PLIF": snncc.nn.PLIF(0.5, 0.4, reset="zero"),
    "PLIF, each its leak": snncc.nn.PLIF(theta=0.3, w=PER_NEURON),
    "CubaLIF": snncc.nn.CubaLIF(0.4, 0.7, 1.2),
    "SRIF": snncc.nn.SRIF(),
    "SFA": snncc.nn.SFA(4),
    "SFA, half to even": snncc.nn.SFA(2, rounding="even"),
    "SFA with carry": snncc.nn.SFA(4, norm=1, carry=True, decay=0.25),
    "QCFS": snncc.nn.QCFS(4, 1.5),
    "QCFS, each its height": snncc.nn.QCFS(4, PER_NEURON + 0.5),
}


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("name", NEURONS)
def test_neurons(name: str, mode: Any) -> None:
    model = snncc.nn.set_step_mode(nn.Sequential(NEURONS[name]), mode)
    if mode == "s":
        x = TRAIN[0]
        graph = assert_traced(model, x, timesteps=6, layout="B")
    else:
        x = TRAIN
        graph = assert_traced(model, x, layout="TB")
        assert_alive(graph, execute(graph, x))
    assert [node.name for node in graph.neurons] == ["0"]


@pytest.mark.parametrize("max_count", [1, 2, 4, 8])
@pytest.mark.parametrize("rounding", ["floor", "even"])
def test_exact_ties(max_count: int, rounding: Any) -> None:
    ties = torch.arange(-2.0, max_count + 2.0, 0.25).reshape(2, -1)
    graph = assert_traced(nn.Sequential(snncc.nn.SFA(max_count, norm=1, rounding=rounding)), ties)
    expected = torch.round if rounding == "even" else lambda u: torch.floor(u + 0.5)
    np.testing.assert_array_equal(execute(graph, ties).output[0], expected(ties.clamp(0, max_count)).numpy())


def test_parameters_arrive_in_the_neuron() -> None:
    lif = snncc.nn.LIF(0.25, PER_NEURON, reset="zero", strict=True, scale=3.0)
    node = trace(nn.Sequential(lif), TRAIN[0], 2, "B").neurons[0]
    p = node.parameters
    assert (p.max_count, p.strict, p.reset, p.stateless) == (1, True, Reset.VALUE, False)
    np.testing.assert_array_equal(p.theta, PER_NEURON.double().numpy())
    assert (float(p.leak), float(p.scale)) == (0.25, 3.0)
    assert node.origin == "0"


def test_input_gain_is_an_affine_before_the_neuron() -> None:
    graph = trace(nn.Sequential(snncc.nn.PLIF(0.25)), TRAIN[0], 2, "B")
    gain = graph["0.input_gain"]
    assert isinstance(gain, Affine)
    np.testing.assert_allclose(gain.gain, 0.75, rtol=1e-6)
    assert graph.neurons[0].inputs[0].source == "0.input_gain"


def test_parameters_follow_a_permuted_neuron() -> None:
    """A parameter per token of [B, N, C] whose signal is [C, N] in the graph."""
    theta = torch.linspace(0.2, 0.9, 12).reshape(12, 1)
    model = Apply(lambda x, c, n: n(c(x).flatten(2).transpose(1, 2)), nn.Conv2d(2, 3, 1), snncc.nn.IF(theta))
    torch.manual_seed(0)
    graph = assert_traced(model, noise(GENERATOR, 3, 2, 3, 4, high=3), timesteps=3)
    node = graph.neurons[0]
    assert graph.edges[node.name].shape == (3, 3, 4)
    assert node.parameters.theta.shape == (3, 4)


class Own(nn.Module):
    """A neuron as people write them."""

    def __init__(self, theta: float = 0.8) -> None:
        super().__init__()
        self.theta, self.v = theta, torch.zeros(())

    def reset(self) -> None:
        self.v = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        v = 0.5 * self.v + x
        spikes = (v - self.theta >= 0).float()
        self.v = v * (1 - spikes)
        return spikes


@pytest.fixture
def _clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurons, "_REGISTERED", {})


@pytest.mark.usefixtures("_clean_registry")
def test_a_registered_class_and_its_subclasses() -> None:
    class Special(Own):
        pass

    register_neuron(Own, lambda m: {"theta": m.theta, "leak": 0.5, "reset": "value"})
    assert registered(Special()) is registered(Own())
    assert registered(nn.Linear(1, 1)) is None
    model = Special()
    graph = trace(model, TRAIN[0], 5, "B")
    need = []
    for _ in range(5):
        need.append(model(TRAIN[0].double()).numpy())
    np.testing.assert_array_equal(execute(graph, TRAIN[0]).output, np.stack(need))


@pytest.mark.usefixtures("_clean_registry")
def test_a_wrong_description_is_found_out() -> None:
    register_neuron(Own, lambda m: {"theta": m.theta, "leak": 1.0, "reset": "value"})
    with pytest.raises(
        CannotTrace, match=r"0 \(Neuron, 0\): computes \d where PyTorch computed \d"
    ) as caught:
        trace(nn.Sequential(Own()), noise(GENERATOR, 2, 50), 4, "B")
    assert "describe" in str(caught.value)


@pytest.mark.usefixtures("_clean_registry")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"treshold": 1.0}, "its description has 'treshold'"),
        ({"scale": -1.0}, "output scale must be positive"),
        ({"scale": 0.0}, "output scale must be positive"),
        ({"theta": np.ones(3)}, r"a parameter of shape \(3,\), which does not fit"),
    ],
)
def test_bad_descriptions(fields: dict[str, Any], words: str) -> None:
    register_neuron(Own, lambda m: fields)
    with pytest.raises(CannotTrace, match=words):
        trace(nn.Sequential(Own()), TRAIN[0], 4, "B")


@pytest.mark.usefixtures("_clean_registry")
def test_a_description_that_fails_is_no_traceback() -> None:
    register_neuron(Own, lambda m: {"theta": m.threshold})
    with pytest.raises(CannotTrace, match="cannot be described: 'Own' object has no attribute 'threshold'"):
        trace(nn.Sequential(Own()), TRAIN[0], 4, "B")


@pytest.mark.usefixtures("_clean_registry")
def test_an_unregistered_neuron_is_recognized() -> None:
    graph = trace(nn.Sequential(Own()), TRAIN[0], 5, "B")
    assert graph.notes[0].startswith("0: Own recognized by its behavior: theta 0.8, leak 0.5, reset value; ")


@pytest.mark.usefixtures("_clean_registry")
def test_a_neuron_that_cannot_be_one_names_the_registry() -> None:
    class Adapts(Own):
        def forward(self, x: Tensor) -> Tensor:
            self.theta = self.theta * 1.1
            return super().forward(x)

    with pytest.raises(
        CannotTrace, match=r"0: Adapts is no member of .* first differs on the inputs"
    ) as caught:
        trace(nn.Sequential(Adapts()), TRAIN[0], 5, "B")
    assert "as plain operations: 0 (test_torch_neurons.py" in str(caught.value)
    assert "register_neuron" in str(caught.value)


@pytest.mark.usefixtures("_clean_registry")
def test_a_neuron_returns_one_tensor_of_its_shape() -> None:
    class Pair(Own):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), self.v

    register_neuron(Pair, lambda m: {"leak": 0.5})
    with pytest.raises(CannotTrace, match="must return one tensor of the shape of its input"):
        trace(Apply(lambda x, n: n(x)[0], Pair()), TRAIN[0], 4, "B")


def test_liaf_emits_reals() -> None:
    node = trace(nn.Sequential(snncc.nn.LIAF(0.5)), TRAIN[0], 2, "B").neurons[0]
    assert isinstance(node, Neuron)
    assert node.parameters.emit is Emit.RELU
