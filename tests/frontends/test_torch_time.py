"""Layouts, time axes, and reductions over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snncc
import snncc.nn
from snncc.errors import BadInput, CannotTrace
from snncc.frontends.from_torch import observe, trace
from snncc.ir import Affine, Input, Output, Over, Presence
from snncc.reference import run
from tests.frontends.torch_networks import Apply, assert_alive, assert_traced, execute, noise

GENERATOR = torch.Generator().manual_seed(5)
TRAIN = noise(GENERATOR, 5, 3, 6, low=-1, high=3)
IMAGE = noise(GENERATOR, 3, 6, low=-1, high=3)


def net(function: Callable[..., Any], mode: Any = "m", **options: Any) -> Apply:
    """A linear layer, a LIF neuron, a linear layer: *function* of the spikes and of the last layer."""
    torch.manual_seed(2)
    first, neuron, head = nn.Linear(6, 8), snncc.nn.LIF(0.5, 0.5, step_mode=mode, **options), nn.Linear(8, 3)
    return Apply(lambda x, a, n, h: function(n(a(x)), h), first, neuron, head)


REDUCTIONS: dict[str, tuple[Callable[..., Any], Over]] = {
    "sequence": (lambda s, h: h(s), Over.SEQUENCE),
    "mean": (lambda s, h: h(s).mean(0), Over.MEAN),
    "sum": (lambda s, h: h(s).sum(0), Over.SUM),
    "last": (lambda s, h: h(s)[-1], Over.LAST),
    "maximum": (lambda s, h: h(s).amax(0), Over.MAXIMUM),
    "maximum, other spelling": (lambda s, h: h(s).max(0)[0], Over.MAXIMUM),
    "layer after the mean": (lambda s, h: h(s.mean(0)), Over.MEAN),
    "layer after the last": (lambda s, h: h(s[-1]), Over.LAST),
    "layer without bias after the sum": (lambda s, h: F.linear(s.sum(0), h.weight), Over.SUM),
    "sum divided by T": (lambda s, h: h(s.sum(0) / s.shape[0]), Over.MEAN),
    "rate": (lambda s, h: s.sum(0) / len(s), Over.MEAN),
    "mean over time and neurons": (lambda s, h: s.mean((0, 2))[:, None], Over.MEAN),
    "constants after the mean": (lambda s, h: 2 * h(s).mean(0) - 1, Over.MEAN),
    "number of timesteps in the code": (lambda s, h: h(s.reshape(5, -1, 8)).mean(0), Over.MEAN),
    "loop that only collects": (lambda s, h: h(torch.stack([s[t] for t in range(len(s))])), Over.SEQUENCE),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    function, over = REDUCTIONS[name]
    graph = assert_traced(net(function), TRAIN, layout="TB")
    output = graph["output"]
    assert isinstance(output, Output)
    assert output.over is over
    assert_alive(graph, execute(graph, TRAIN))


@pytest.mark.parametrize("form", ["transpose", "permute and reshape", "flatten and unflatten"])
def test_batch_first(form: str) -> None:
    def function(x: Tensor, a: nn.Module, n: nn.Module, h: nn.Module) -> Any:
        batch, steps = x.shape[:2]
        if form == "transpose":
            return h(n(a(x.transpose(0, 1)))).transpose(0, 1)
        if form == "permute and reshape":
            y = a(x.permute(1, 0, 2).reshape(steps * batch, -1))
            return h(n(y.reshape(steps, batch, -1)).reshape(steps * batch, -1)).view(steps, batch, -1).mean(0)
        y = a(x.flatten(0, 1)).unflatten(0, (batch, steps))
        return h(n(y.transpose(0, 1))).transpose(0, 1)

    torch.manual_seed(2)
    model = Apply(function, nn.Linear(6, 8), snncc.nn.LIF(0.5, 0.5, step_mode="m"), nn.Linear(8, 3))
    assert_traced(model, TRAIN.transpose(0, 1), layout="BT")


def test_images_with_time_folded_into_the_batch() -> None:
    def function(x: Tensor, c: nn.Module, b: nn.Module, n: nn.Module) -> Any:
        steps, batch = x.shape[:2]
        y = b(c(x.view(-1, *x.shape[2:])))
        return n(y.view(steps, batch, *y.shape[1:])).flatten(2).mean(0)

    torch.manual_seed(0)
    parts = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), snncc.nn.IF(0.5, step_mode="m")
    assert_traced(Apply(function, *parts), noise(GENERATOR, 3, 2, 2, 6, 5, high=3), layout="TB")


@pytest.mark.parametrize("presence", ["constant", "sequence", "first"])
def test_one_timestep(presence: str) -> None:
    graph = trace(net(lambda s, h: h(s), "s"), IMAGE, 6, "B", presence=presence)
    source = graph["input"]
    assert isinstance(source, Input)
    assert source.presence is Presence(presence)
    assert (graph.timesteps, str(graph.layout)) == (6, "B")
    model = net(lambda s, h: h(s), "s").double()
    given = IMAGE.double()
    with torch.no_grad():
        need = [model(given if presence != "first" or t == 0 else 0 * given).numpy() for t in range(6)]
    data = given.numpy() if presence != "sequence" else np.stack([given.numpy()] * 6)
    np.testing.assert_allclose(run(graph, data, timesteps=6).output, np.stack(need), rtol=1e-9)


def test_constant_presence_is_the_default_of_one_timestep() -> None:
    source = trace(net(lambda s, h: h(s), "s"), IMAGE, 3, "B")["input"]
    assert isinstance(source, Input)
    assert source.presence is Presence.CONSTANT


INSIDE: dict[str, Callable[..., Any]] = {
    "repeat": lambda x, a, n, h: h(n(a(x.unsqueeze(0).repeat(4, 1, 1)))).mean(0),
    "repeat after a layer": lambda x, a, n, h: h(n(a(x).unsqueeze(0).expand(4, -1, -1))).mean(0),
    "repeated batch": lambda x, a, n, h: h(n(a(x.repeat(4, 1)).view(4, len(x), -1))).sum(0) / 4,
    "stack": lambda x, a, n, h: h(n(torch.stack([a(x)] * 4)))[-1],
}


@pytest.mark.parametrize("name", ["repeat", "repeat after a layer", "repeated batch", "stack"])
def test_models_that_repeat_their_input_themselves(name: str) -> None:
    torch.manual_seed(2)
    model = Apply(INSIDE[name], nn.Linear(6, 8), snncc.nn.LIF(0.5, 0.5, step_mode="m"), nn.Linear(8, 3))
    graph = trace(model, IMAGE, 4, "B")
    need = model.double()(IMAGE.double()).detach().numpy()
    np.testing.assert_allclose(execute(graph, IMAGE).output, need, rtol=1e-9)
    assert graph.timesteps == 4


@pytest.mark.parametrize("over", ["mean", "sequence"])
def test_stateless_models_that_repeat_their_input_themselves(over: str) -> None:
    def function(x: Tensor, a: nn.Module, n: nn.Module, h: nn.Module) -> Any:
        y = a(x.unsqueeze(0).repeat(4, 1, 1).flatten(0, 1))
        out = h(n(y)).unflatten(0, (4, len(x)))
        return out.mean(0) if over == "mean" else out

    torch.manual_seed(2)
    model = Apply(function, nn.Linear(6, 8), snncc.nn.SFA(4), nn.Linear(8, 3))
    graph = trace(model, IMAGE, 4, "B")
    seen = observe(model, graph, IMAGE.numpy())
    result = execute(graph, IMAGE)
    need = model.double()(IMAGE.double()).detach().numpy()
    np.testing.assert_allclose(result.output, need, rtol=1e-9)
    np.testing.assert_allclose(seen.outputs["output"], need, rtol=1e-9)
    with pytest.raises(CannotTrace, match="repeats its input along a new axis"):
        trace(model.float(), IMAGE, 5, "B")


def test_direct_encoder() -> None:
    torch.manual_seed(2)
    neuron = snncc.nn.LIF(0.5, 0.5, step_mode="m")
    model = nn.Sequential(snncc.nn.DirectEncoder(4), nn.Linear(6, 8), neuron, Apply(lambda s: s.mean(0)))
    graph = trace(model, IMAGE, 4, "B")
    need = model.double()(IMAGE.double()).detach().numpy()
    np.testing.assert_allclose(execute(graph, IMAGE).output, need, rtol=1e-9)


def test_constants_of_a_timestep_become_a_timed_affine() -> None:
    gains = torch.arange(1.0, 6.0).view(5, 1, 1)
    graph = assert_traced(net(lambda s, h: h(s * gains.to(s))), TRAIN, layout="TB")
    timed = [node for node in graph if isinstance(node, Affine) and node.per_timestep]
    assert len(timed) == 1
    assert timed[0].gain.shape[0] == 5


WRONG: dict[str, tuple[Callable[..., Any], str, str]] = {
    "loop backward": (
        lambda x, a, n, h: torch.stack([h(n(a(x_t))) for x_t in x.flip(0)]),
        "s",
        "is given timestep 4 of its input in its call number 1",
    ),
    "twice": (
        lambda x, a, n, h: torch.cat([n(a(x))] * 2).sum(0),
        "m",
        "reduces over some timesteps more than once",
    ),
    "layer behind a part": (
        lambda x, a, n, h: h(n(a(x))[2:]).mean(0),
        "m",
        "works on 3 timesteps, 2 to 4 of",
    ),
    "layer after the sum": (
        lambda x, a, n, h: h(n(a(x)).sum(0)),
        "m",
        "adds a constant after a sum over time",
    ),
    "layer after the maximum": (lambda x, a, n, h: h(n(a(x)).amax(0)), "m", "after|maximum over time"),
    "less its mean over time": (lambda x, a, n, h: n(a(x)) - n(a(x)).mean(0), "m", "reduced over time"),
    "neuron after the mean": (lambda x, a, n, h: n(a(x).mean(0).unsqueeze(0)), "m", "reduction over time"),
    "running sum": (lambda x, a, n, h: n(a(x)).cumsum(0), "m", "cumsum"),
    "time mixed with data": (
        lambda x, a, n, h: a(x).permute(1, 2, 0) @ torch.ones(5, 2).to(x),
        "m",
        "timesteps",
    ),
    "difference of timesteps": (lambda x, a, n, h: x[1:] - x[:-1], "m", "different timesteps|alone|some"),
    "reversed time": (lambda x, a, n, h: n(a(x.flip(0))), "m", "its axes do not hold them in that order"),
    "all timesteps at once": (
        lambda x, a, n, h: h(n(a(x))),
        "s",
        "single-step mode, but receives all timesteps",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refusals(name: str) -> None:
    function, mode, words = WRONG[name]
    parts = nn.Linear(6, 8), snncc.nn.LIF(step_mode=mode), nn.Linear(8, 3)  # type: ignore[arg-type]
    with pytest.raises(CannotTrace, match=words):
        trace(Apply(function, *parts), TRAIN, layout="TB")


def test_a_wrong_layout_is_refused() -> None:
    model = net(lambda s, h: h(s))
    with pytest.raises(CannotTrace, match="its axes do not hold them in that order") as caught:
        trace(model, TRAIN, layout="BT")
    assert "layout" in str(caught.value)
    with pytest.raises(CannotTrace, match="its input has no time axis"):
        trace(model, TRAIN, timesteps=5, layout="B")


def test_what_happens_only_in_long_trains_is_seen() -> None:
    model = net(lambda s, h: h(s[:8]).mean(0))
    with pytest.raises(CannotTrace, match="works on 8 timesteps, 0 to 7 of 0 to 9 alone"):
        trace(model, noise(GENERATOR, 10, 2, 6), layout="TB")
    assert_traced(model, TRAIN, layout="TB")


def test_missing_arguments_are_named() -> None:
    with pytest.raises(BadInput, match=r"the argument layout is missing: parts.1 keeps a state"):
        trace(net(lambda s, h: h(s)), TRAIN)
    with pytest.raises(BadInput, match=r"the argument timesteps is missing: parts.1 keeps a state"):
        trace(net(lambda s, h: h(s), "s"), IMAGE, layout="B")
    with pytest.raises(BadInput, match=r"the argument layout is missing: timesteps is 4"):
        trace(nn.Linear(6, 2), IMAGE, 4)
    with pytest.raises(BadInput, match=r"timesteps is 4, but with layout='TB' .* has 5"):
        trace(net(lambda s, h: h(s)), TRAIN, 4, "TB")
    assert trace(nn.Linear(6, 2), IMAGE).layout == "B"


def test_a_neuron_used_twice_in_one_timestep_is_refused() -> None:
    neuron = snncc.nn.LIF()
    with pytest.raises(CannotTrace, match="used twice in one timestep"):
        trace(nn.Sequential(neuron, neuron), IMAGE, 3, "B")
    stateless = snncc.nn.SFA(4)
    graph = assert_traced(nn.Sequential(stateless, stateless), IMAGE)
    assert [node.name for node in graph.neurons] == ["0", "0.neuron"]


def test_state_outside_of_a_neuron_is_refused() -> None:
    class Recurrent(nn.Module):
        last: Tensor | None = None

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(1, 1)  # with a layer inside it is no neuron of the user's own

        def forward(self, x: Tensor) -> Tensor:
            self.last = x if self.last is None else x + 0.5 * self.last
            return self.last

    with pytest.raises(CannotTrace, match="keeps a tensor from one timestep to the next"):
        trace(Recurrent(), IMAGE, 3, "B")


class Counts(nn.Module):
    """Is another network from its seventh timestep on."""

    def __init__(self) -> None:
        super().__init__()
        self.t = 0

    def forward(self, x: Tensor) -> Tensor:
        self.t += 1
        return x * (1 if self.t < 7 else 2)


def test_a_model_that_counts_its_timesteps_is_called_for_all_of_them() -> None:
    model = nn.Sequential(Counts(), nn.Linear(3, 2))
    with pytest.raises(CannotTrace, match="does something else in timestep 6 than in timestep 0"):
        trace(model, torch.rand(2, 3), 10, "B", presence="sequence")
    assert model[0].t == 0
    trace(model, torch.rand(2, 3), 6, "B", presence="sequence")
