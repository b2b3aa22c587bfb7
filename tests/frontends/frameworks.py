"""Comparisons of a framework's own forward with the graph, spike by spike."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.api.compare import compare_counts
from snncc.frontends.from_torch import trace
from snncc.frontends.torch_record import Recorder
from snncc.ir import Array, Emit, SpikeGraph
from snncc.reference import Run, run
from tests.frontends.torch_networks import noise

TITLES = {
    "norse": "Norse 1.1",
    "sinabs": "sinabs 3.1",
    "snntorch": "snnTorch 1.0",
    "spikingjelly": "SpikingJelly 2.0",
}
"""The frameworks, as tables name them."""
STEPS = 100
Forward = Callable[[nn.Module, Tensor], Any]


def step_by_step(model: nn.Module, x: Tensor) -> Any:
    """Call a model that takes one timestep for each of *x* [T, B, ...]."""
    outs = [model(one) for one in x]
    if isinstance(outs[0], tuple):
        return tuple(torch.stack([out[k] for out in outs]) for k in range(len(outs[0])))
    return torch.stack(outs)


def at_once(model: nn.Module, x: Tensor) -> Any:
    """Call a model that takes [T, B, ...]."""
    return model(x)


def batches_first(model: nn.Module, x: Tensor) -> Any:
    """Call a model that takes [B, T, ...]."""
    return model(x.transpose(0, 1)).transpose(0, 1)


def own(model: nn.Module, x: Tensor, forward: Forward) -> list[Array]:
    """What the framework itself computes in float64, [T, B, ...]; of a model that only it may have used."""
    twin = model.double().eval()
    with torch.no_grad(), Recorder.silent():
        out = forward(twin, x.double())
    return [one.double().numpy() for one in (out if isinstance(out, tuple) else (out,))]


def traced(model: nn.Module, x: Tensor, layout: str) -> SpikeGraph:
    """The graph of a model for data like *x* [T, B, ...]."""
    if layout == "B":
        return trace(model, x[0], timesteps=len(x), layout="B", presence="sequence")
    return trace(model, x.transpose(0, 1) if layout == "BT" else x, layout=layout)


FORWARDS: dict[str, Forward] = {"B": step_by_step, "TB": at_once, "BT": batches_first}


def assert_same_spikes(
    model: nn.Module,
    x: Tensor,
    layout: str,
    *,
    needs_spikes: bool = True,
    returns_state: bool = False,
    twin: nn.Module | None = None,
) -> Run:
    """Compare graph and framework on all of *x* [T, B, ...]: no spike differs in float64.

    Of a model that *returns_state* the first of what it returns is compared; *twin* is another like *model*,
    for one that cannot be copied.
    """
    graph = traced(model, x[:8], layout)
    result = run(graph, x.double().numpy(), timesteps=len(x), record=[node.name for node in graph.neurons])
    forward = (lambda twin, data: twin(data)[0]) if returns_state else FORWARDS[layout]
    expected = own(copy.deepcopy(model) if twin is None else twin, x, forward)
    for node, need in zip(graph.outputs, expected, strict=True):
        have = result.outputs[node.name]
        need = need.reshape(have.shape)
        source = graph[node.inputs[0].source]
        is_potential = getattr(getattr(source, "parameters", None), "emit", None) is Emit.POTENTIAL
        if is_potential:
            np.testing.assert_allclose(have, need, rtol=1e-9, atol=1e-9)
        else:
            assert int((have != need).sum()) == 0, node.name
    if needs_spikes:
        for neuron in graph.neurons:
            if neuron.parameters.emit is Emit.COUNT:
                train = result.records[neuron.name].train
                assert (train != 0).any(), f"{neuron.name} is silent"
                assert not (train != 0).all(), f"{neuron.name} fires everywhere"
    return result


def near_ties(model: nn.Module, x: Tensor, layout: str) -> int:
    """How many trains of a lone neuron differ in float32, where the first difference must be a near tie."""
    graph = traced(model, x[:8], layout)
    (neuron, *_) = graph.neurons
    result = run(graph, x.double().numpy(), timesteps=len(x), record=[neuron.name])
    with torch.no_grad():
        out = FORWARDS[layout](copy.deepcopy(model).eval(), x)
    need = (out[0] if isinstance(out, tuple) else out).double().numpy()
    have, u = result.outputs[graph.outputs[0].name], result.records[neuron.name].u_pre
    assert u is not None
    differs = ~np.isclose(have, need, rtol=1e-6, atol=0)
    p = neuron.parameters
    count = 0
    for index in np.argwhere(differs.any(axis=0)):
        t = int(np.argmax(differs[(slice(None), *index)]))
        at = (t, *index)
        theta, rho = (np.broadcast_to(v, u.shape[2:])[tuple(index[1:])] for v in (p.theta, p.rho))
        above = (u[at] - theta) / rho
        distance = abs(above - max(0, round(above))) * rho
        assert distance <= 1e-4 * max(1.0, abs(theta)), f"{at}: {u[at]} is no near tie of {theta}"
        count += 1
    return count


def drive(generator: torch.Generator, *shape: int) -> Tensor:
    """Input currents [T, B, ...] that make neurons with thresholds near one fire now and then."""
    return noise(generator, STEPS, *shape, low=-0.6, high=1.2)


def louder(model: nn.Module, factor: float) -> nn.Module:
    """*model* with larger weights, so that deep layers spike."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight *= factor
    return model


def keep(kept: list[Tensor], _module: nn.Module, _args: Any, out: Any) -> None:
    """Append what a module returns, without its states."""
    kept.append(out[0] if isinstance(out, tuple) else out)


def near_ties_in_network(model: nn.Module, x: Tensor, layout: str) -> tuple[int, int]:
    """Counts of a network in float32 that differ from the graph's, all of them near ties; and of how many.

    Every layer is given what the layers before it, and it itself, sent in float32.
    """
    graph = traced(model, x[:8], layout)
    twin = copy.deepcopy(model).eval()
    sent: dict[str, list[Tensor]] = {}
    counting = [node for node in graph.neurons if node.parameters.emit is Emit.COUNT]
    paths = {node.name: node.origin.partition(" ")[0] for node in counting}
    modules = dict(twin.named_modules())
    for name, path in paths.items():
        modules[path].register_forward_hook(partial(keep, sent.setdefault(name, [])))
    with torch.no_grad():
        FORWARDS[layout](twin, x)
    force = {}
    for node in counting:
        shape, lead = graph.edges[node.name].shape, x.shape[:2]
        train = torch.stack(sent[node.name]) if len(sent[node.name]) > 1 else sent[node.name][0]
        assert train.dtype == torch.float32
        train = train.reshape(lead[1], lead[0], *shape).transpose(0, 1) if layout == "BT" else train
        need = train.double().numpy().reshape(*lead, *shape) / node.parameters.scale
        np.testing.assert_allclose(need, np.rint(need), atol=1e-5)
        force[node.name] = np.rint(need).astype(np.int64)
    result = run(graph, x.double().numpy(), timesteps=len(x), record=[*force], force=force)
    checks = [
        compare_counts(node, force[node.name], result.records[node.name], is_float32=True)
        for node in counting
    ]
    assert len(checks) > 1
    assert all(counts.any() for counts in force.values())
    assert all(one.differing == one.near_ties for one in checks), [one.first for one in checks]
    return sum(one.differing for one in checks), sum(one.compared for one in checks)
