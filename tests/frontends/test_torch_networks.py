"""Random spiking networks against PyTorch's own forward in float64, in every layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import snncc.nn
from snncc.ir import Output, Over
from tests.frontends.torch_networks import assert_alive, assert_traced, execute, lively, noise


class Residual(nn.Module):
    """Neuron, convolution, normalization, added to what came in (or to a shortcut of it)."""

    def __init__(self, neuron: nn.Module, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.neuron, self.branch, self.shortcut = neuron, branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.branch(self.neuron(x))
        return out


class Folded(nn.Module):
    """A module that knows no time, on [T, B, ...]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x.flatten(0, 1))
        return y.reshape(x.shape[0], x.shape[1], *y.shape[1:])


class Network(nn.Module):
    """A stem, residual blocks, a head; with time axes in the places that *layout* says."""

    def __init__(self, layout: str, parts: list[nn.Module], over: str) -> None:
        super().__init__()
        self.layout, self.over = layout, over
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        if self.layout == "BT":
            x = x.transpose(0, 1)
        for part in self.parts:
            x = part(x)
        if self.layout == "B" or self.over == "sequence":
            return x.transpose(0, 1) if self.layout == "BT" else x
        return {"mean": x.mean(0), "sum": x.sum(0), "last": x[-1], "maximum": x.amax(0)}[self.over]


def drawn_neuron(draw: st.DrawFn, channels: int) -> Any:
    """A neuron with a threshold of its own for each channel, or one for all."""
    theta: Any = draw(st.sampled_from([0.4, 0.7, torch.linspace(0.3, 0.9, channels).view(-1, 1, 1)]))
    kind = draw(st.sampled_from(["IF", "LIF", "SFA", "SFA carry", "QCFS", "PLIF", "Cuba", "SRIF"]))
    reset: Any = draw(st.sampled_from(["subtract", "zero", "value", "none"]))
    v_reset = 0.1 if reset == "value" else 0.0
    strict = draw(st.booleans())
    match kind:
        case "IF":
            return snncc.nn.IF(theta, reset=reset, v_reset=v_reset, strict=strict, scale=0.5)
        case "LIF":
            decay: dict[str, Any] = {"decay_input": draw(st.booleans())}
            return snncc.nn.LIF(0.6, theta, reset=reset, v_reset=v_reset, strict=strict, **decay)
        case "SFA":
            return snncc.nn.SFA(
                draw(st.sampled_from([1, 2, 4])), rounding=draw(st.sampled_from(["floor", "even"]))
            )
        case "SFA carry":
            return snncc.nn.SFA(4, norm=1.0, carry=True, decay=0.25)
        case "QCFS":
            return snncc.nn.QCFS(4, 1.5)
        case "PLIF":
            return snncc.nn.PLIF(0.4, theta, reset="zero", strict=strict)
        case "Cuba":
            return snncc.nn.CubaLIF(0.3, 0.6, theta)
    return snncc.nn.SRIF()


def drawn_convolution(draw: st.DrawFn, channels: int, out: int, g: torch.Generator) -> nn.Module:
    """Convolution and normalization that keep the size of the map."""
    kernel = draw(st.sampled_from([1, 3, 5]))
    dilation = draw(st.sampled_from([1, 2])) if kernel > 1 else 1
    groups = draw(st.sampled_from([1, 2, channels])) if out % channels == 0 else 1
    bias = draw(st.booleans())
    around = dilation * (kernel - 1)
    skew = draw(st.integers(0, around))
    conv = nn.Conv2d(channels, out, kernel, dilation=dilation, groups=groups, bias=bias)
    norm = lively(nn.BatchNorm2d(out), g, negative=draw(st.booleans()))
    return nn.Sequential(nn.ZeroPad2d((skew, around - skew, around - skew, skew)), conv, norm)


def drawn_shortcut(draw: st.DrawFn, channels: int, out: int, g: torch.Generator) -> nn.Module:
    if channels == out and draw(st.booleans()):
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), lively(nn.BatchNorm2d(out), g))


@st.composite
def networks(draw: st.DrawFn, layout: str) -> tuple[Network, Tensor, int]:
    """A network, an example in its layout, and its number of timesteps."""
    seed = draw(st.integers(0, 2**31))
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    timesteps = draw(st.integers(2, 5))
    mode: Any = "s" if layout == "B" else "m"

    def wrap(module: nn.Module) -> nn.Module:
        return module if layout == "B" else Folded(module)

    channels = 4
    stem = nn.Sequential(
        nn.Conv2d(2, channels, 3, stride=draw(st.sampled_from([1, 2])), padding=1),
        lively(nn.BatchNorm2d(channels), g),
    )
    parts: list[nn.Module] = [wrap(stem)]
    for _ in range(draw(st.integers(1, 3))):
        out = draw(st.sampled_from([channels, 2 * channels])) if channels < 8 else channels
        neuron = drawn_neuron(draw, channels)
        branch = wrap(drawn_convolution(draw, channels, out, g))
        parts.append(Residual(neuron, branch, wrap(drawn_shortcut(draw, channels, out, g))))
        channels = out
        if draw(st.booleans()):
            pool = st.sampled_from(
                [nn.AvgPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1)]
            )
            parts.append(wrap(draw(pool)))
    parts.append(drawn_neuron(draw, channels))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(draw(st.sampled_from([1, 2]))), nn.Flatten(), nn.LazyLinear(3))
    parts.append(wrap(head))
    over = draw(st.sampled_from(["sequence", "mean", "sum", "last", "maximum"]))
    model = snncc.nn.set_step_mode(Network(layout, parts, over), mode)
    lead = {"B": (3,), "TB": (timesteps, 3), "BT": (3, timesteps)}[layout]
    x = noise(g, *lead, 2, 8, 8, low=-0.5, high=1.5)
    with torch.no_grad():
        model.eval()(x)
    snncc.nn.reset(model)
    return model, x, timesteps


@pytest.mark.parametrize("layout", ["B", "TB", "BT"])
@settings(max_examples=12)
@given(data=st.data())
def test_random_networks(layout: str, data: st.DataObject) -> None:
    model, x, timesteps = data.draw(networks(layout))
    graph = assert_traced(model, x, timesteps=timesteps, layout=layout)
    output = graph["output"]
    assert isinstance(output, Output)
    result = execute(graph, x)
    assume(all((record.train != 0).any() for record in result.records.values()))
    assert output.over == (Over.SEQUENCE if layout == "B" else Over(model.over))


def test_every_layer_of_a_deep_network_is_compared() -> None:
    """One fixed network whose layers all spike, so that equality means something."""
    torch.manual_seed(3)
    g = torch.Generator().manual_seed(3)
    parts: list[nn.Module] = [
        Folded(nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), lively(nn.BatchNorm2d(8), g)))
    ]
    for k in range(4):
        norm = lively(nn.BatchNorm2d(8), g, negative=k % 2 == 1)
        branch = Folded(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2), norm))
        neuron = snncc.nn.SFA(4) if k % 2 else snncc.nn.LIF(0.5, 0.6)
        parts.append(Residual(neuron, branch, nn.Identity()))
    parts += [snncc.nn.SFA(4, norm=1.0), Folded(nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 5)))]
    model = snncc.nn.set_step_mode(Network("TB", parts, "mean"), "m")
    x = noise(g, 4, 3, 2, 8, 8, low=-1.0, high=1.5)
    graph = assert_traced(model, x, layout="TB")
    assert_alive(graph, execute(graph, x))
