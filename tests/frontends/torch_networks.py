"""Models, data and comparisons that the tests of the torch front end share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import snncc.nn
from snncc.frontends.from_torch import trace
from snncc.ir import Array, Over, Presence, SpikeGraph
from snncc.reference import Run, run


class Apply(nn.Module):
    """Any function of the input and of modules."""

    def __init__(self, function: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.parts)


def lively(norm: Any, generator: torch.Generator, *, negative: bool = False) -> Any:
    """*norm* with random but sane statistics, so that the neurons behind it fire."""

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        norm.weight.copy_(uniform(norm.weight, 0.7, 1.3))
        if negative:
            norm.weight[::3] *= -1
        norm.bias.copy_(uniform(norm.bias, -0.2, 0.8))
        norm.running_mean.copy_(uniform(norm.running_mean, -0.2, 0.2))
        norm.running_var.copy_(uniform(norm.running_var, 0.3, 1.0))
    return norm


def noise(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform noise."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def in_float64(model: nn.Module, x: Tensor, layout: str, timesteps: int) -> dict[str, Array]:
    """What a model made of plain float64 modules returns, time first: [T, B, ...] or, reduced, [B, ...]."""
    twin = snncc.nn.set_step_mode(model, "s") if layout == "B" else model
    twin = twin.double().eval()
    snncc.nn.reset(twin)
    with torch.no_grad():
        if layout == "B":
            outs = [named(twin(x.double())) for _ in range(timesteps)]
            return {name: np.stack([out[name] for out in outs]) for name in outs[0]}
        return named(twin(x.double()))


def named(out: Any) -> dict[str, Array]:
    """Outputs by the names that the graph gives them."""
    if isinstance(out, Tensor):
        return {"output": out.numpy()}
    if isinstance(out, Mapping):
        return {key: value.numpy() for key, value in out.items()}
    return {f"output.{k}": value.numpy() for k, value in enumerate(out)}


def execute(graph: SpikeGraph, x: Tensor) -> Run:
    """The graph on data in the model's layout."""
    data = x.double().numpy()
    if graph.layout == "BT":
        data = data.swapaxes(0, 1)
    if graph.layout == "B" and graph.inputs[0].presence is Presence.SEQUENCE:
        data = np.stack([data] * graph.timesteps)
    names = [node.name for node in graph.neurons]
    return run(graph, data, timesteps=graph.timesteps, record=names)


def assert_traced(
    model: nn.Module, x: Tensor, *, timesteps: int | None = None, layout: str = "B", **options: Any
) -> SpikeGraph:
    """Trace *model*, and compare the graph with PyTorch's own float64 on all of *x*."""
    graph = trace(model, x, timesteps, layout, **options)
    result = execute(graph, x)
    expected = in_float64(model, x, layout, graph.timesteps)
    assert set(result.outputs) == set(expected)
    for node in graph.outputs:
        need, have = expected[node.name], result.outputs[node.name]
        if layout == "BT" and node.over is Over.SEQUENCE:
            need = need.swapaxes(0, 1)
        need = need.reshape(have.shape)
        np.testing.assert_allclose(have, need, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(need).max())))
    return graph


def assert_alive(graph: SpikeGraph, result: Run) -> None:
    """Every layer spikes, and not every neuron does: otherwise equality says little."""
    assert graph.neurons
    for node in graph.neurons:
        fired = result.records[node.name].train != 0
        assert fired.any(), f"{node.name} is silent"
        assert not fired.all(), f"{node.name} fires everywhere"
