"""`observe`: what PyTorch computed, node by node, against the reference executor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import snncc.nn
from snncc.errors import BadInput, NotEqual
from snncc.frontends.from_torch import observe, trace
from snncc.ir import Array, Output, SpikeGraph
from snncc.reference import run
from tests.frontends.torch_networks import Apply, noise

GENERATOR = torch.Generator().manual_seed(13)


def network(mode: Any) -> nn.Sequential:
    torch.manual_seed(4)
    spiking, counting = snncc.nn.LIF(0.5, 0.4, step_mode=mode), snncc.nn.SFA(4, step_mode=mode)
    return nn.Sequential(nn.Linear(6, 8), spiking, nn.Linear(8, 3), counting, nn.Linear(3, 2))


def assert_observed(model: nn.Module, graph: SpikeGraph, data: Array) -> None:
    """All nodes that are a tensor in PyTorch have the values of the reference executor."""
    seen = observe(model, graph, data)
    names = [node.name for node in graph if not isinstance(node, Output)]
    result = run(graph, data, timesteps=graph.timesteps, record=names)
    assert {node.name for node in graph.neurons} <= seen.values.keys()
    for name, values in seen.values.items():
        have = result.records[name].train.sum(axis=2) * graph.edges[name].scale
        assert values.shape == have.shape
        np.testing.assert_allclose(values, have, rtol=1e-9, atol=1e-9)
    for name, output in result.outputs.items():
        np.testing.assert_allclose(seen.outputs[name], output, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(seen.outputs32[name], output, rtol=1e-3, atol=1e-3)
        assert seen.outputs32[name].shape == output.shape


@pytest.mark.parametrize("samples", [1, 2, 5, 33])
def test_any_number_of_samples(samples: int) -> None:
    model = network("m")
    graph = trace(model, noise(GENERATOR, 4, 2, 6), layout="TB")
    assert_observed(model, graph, noise(GENERATOR, 4, samples, 6, low=-1, high=2).double().numpy())


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("presence", ["constant", "sequence"])
def test_one_timestep_at_a_time(samples: int, presence: str) -> None:
    model = network("s")
    graph = trace(model, noise(GENERATOR, 2, 6), 5, "B", presence=presence)
    lead = (5, samples) if presence == "sequence" else (samples,)
    assert_observed(model, graph, noise(GENERATOR, *lead, 6, low=-1, high=2).double().numpy())


@pytest.mark.parametrize("over", ["mean", "sequence", "last"])
@pytest.mark.parametrize(("timesteps", "samples"), [(1, 1), (1, 3), (4, 1)])
def test_short_trains(over: str, timesteps: int, samples: int) -> None:
    ends = {"mean": lambda y: y.mean(0), "sequence": lambda y: y, "last": lambda y: y[-1]}
    model = Apply(lambda x, inner: ends[over](inner(x)), network("m"))
    graph = trace(model, noise(GENERATOR, timesteps, 2, 6), layout="TB")
    assert_observed(model, graph, noise(GENERATOR, timesteps, samples, 6, low=-1, high=2).double().numpy())


def test_batch_first_and_repeated_inside() -> None:
    model = Apply(lambda x, inner: inner(x.transpose(0, 1)).transpose(0, 1), network("m"))
    graph = trace(model, noise(GENERATOR, 2, 4, 6), layout="BT")
    assert_observed(model, graph, noise(GENERATOR, 4, 3, 6, high=2).double().numpy())
    model = Apply(lambda x, inner: inner(x.expand(4, *x.shape)).mean(0), network("m"))
    graph = trace(model, noise(GENERATOR, 2, 6), 4, "B")
    assert_observed(model, graph, noise(GENERATOR, 3, 6, high=2).double().numpy())


def test_another_model_is_told_apart() -> None:
    model = network("m")
    graph = trace(model, noise(GENERATOR, 4, 2, 6), layout="TB")
    with torch.no_grad():
        model[2].get_parameter("weight")[0, 0] += 1
    data = noise(GENERATOR, 4, 2, 6).numpy()
    with pytest.raises(NotEqual, match=r"^2 \(2\): the model is not the one that the graph was traced from"):
        observe(model, graph, data)
    with pytest.raises(BadInput, match="does not fit"):
        observe(model, graph, data[0])
