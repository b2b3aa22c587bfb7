"""Operations, footprint and sparsity, against NeuroBench on models that it can count.

NeuroBench counts what it calls effective operations: nonzero weights times nonzero inputs, AC where the
input is 0 or 1, MAC otherwise. A trap of its manager (errors become 0.0) is avoided by calling the metrics
directly.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import TorchModel
from torch import nn

import snncc
from snncc.ir import Conv, Dense
from snncc.nn import IF, LIF, Neuron

T, B = 5, 3


def network(*, batch_norm: bool = False) -> nn.Sequential:
    """Borders, stride, groups and zero weights: everything that makes counting hard."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(2, 8, 3, padding=1),
        IF(0.5, step_mode="s"),
        nn.Conv2d(8, 8, 3, padding=2, stride=2, groups=4),
        LIF(0.5, 0.2, step_mode="s"),
        nn.Conv2d(8, 6, 3, dilation=2, padding=1, bias=False),
        IF(0.3, step_mode="s"),
        nn.Flatten(),
        nn.Linear(6 * 3 * 3, 7),
        IF(0.2, step_mode="s"),
        nn.Linear(7, 4),
    ]
    model = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight[torch.rand_like(module.weight) < 0.2] = 0.0
                module.weight *= 1.5
    return model


def data(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand((T, B, 2, 7, 7), generator=generator)
    return (values < 0.3).float() if kind == "spike" else values * (values > 0.4)


def measured(model: nn.Sequential, x: torch.Tensor) -> tuple[dict[str, float], float, dict[str, float]]:
    """NeuroBench's counts, activation sparsity, and operations by layer, for a loop over time."""
    wrapped = TorchModel(model)
    wrapped.add_activation_module(Neuron)
    wrapped.register_hooks()
    snncc.nn.reset(model)
    with torch.no_grad():
        for step in x:
            wrapped(step)
    counter = SynapticOperations()
    counts = counter(wrapped, None, (x[0], None))
    sparsity = ActivationSparsity()(wrapped, None, (x[0], None))
    wrapped.cleanup_hooks()
    snncc.nn.reset(model)
    return counts, sparsity, {}


@pytest.mark.parametrize("kind", ["spike", "analog"])
def test_operations_and_sparsity(kind: str) -> None:
    model, x = network(), data(kind)
    need, sparsity, _ = measured(model, x)
    graph = snncc.trace(
        model, x[0], timesteps=T, layout="B", input_kind=kind, presence="sequence", over="mean"
    )
    counts = snncc.compile(graph, precision="float").run(x.numpy()).counts
    rates = {layer.name: layer.rate for layer in counts.layers if layer.neurons}
    assert all(0.02 < rate < 0.95 for name, rate in rates.items() if name != "input"), rates
    assert need["Effective_ACs"] > 1000
    assert counts.total("ac_nonzero") == pytest.approx(need["Effective_ACs"], rel=1e-6)
    assert counts.total("mac_nonzero") == pytest.approx(need["Effective_MACs"], rel=1e-6)
    assert (counts.total("mac_nonzero") > 0) == (kind == "analog")
    assert counts.activation_sparsity == pytest.approx(sparsity, abs=1e-12)
    assert counts.total("ac") > counts.total("ac_nonzero"), "a zero inside a kernel is an existing synapse"


def test_the_compiled_integer_network_counts_the_same_way() -> None:
    model, x = network(), data("spike")
    graph = snncc.trace(
        model, x[0], timesteps=T, layout="B", input_kind="spike", presence="sequence", over="mean"
    )
    program = snncc.compile(graph, calibration=x.numpy(), weight_bits=16)
    result = program.run(x.numpy(), record=[node.name for node in graph.neurons])
    # The spikes that the chip's integers really sent, replayed through NeuroBench's counting.
    total = 0.0
    with torch.no_grad():
        spikes = {name: torch.from_numpy(r.train[:, :, 0]).float() for name, r in result.records.items()}
        sources = {"0": x, "2": spikes["1"], "4": spikes["3"], "7": spikes["5"].flatten(2), "9": spikes["8"]}
        for name, source in sources.items():
            layer = nn.Sequential(integer_copy(model[int(name)], program, name))
            wrapped = TorchModel(layer)
            wrapped.register_hooks()
            for step in source:
                wrapped(step)
            total += SynapticOperations()(wrapped, None, (source[0], None))["Effective_ACs"]
            wrapped.cleanup_hooks()
    assert result.counts.total("ac_nonzero") == pytest.approx(total, rel=1e-6)


def integer_copy(layer: nn.Module, program: snncc.Program, name: str) -> nn.Module:
    """*layer* with the weights that the program holds: quantization may round one to zero."""
    node = program.graph[name]
    assert isinstance(node, Conv | Dense)
    layer.weight.data = torch.from_numpy(node.weight.astype(np.float32))
    return layer


def test_static_metrics() -> None:
    model, x = network(), data("spike")
    graph = snncc.trace(model, x[0], timesteps=T, layout="B", input_kind="spike", over="mean")
    counts = snncc.compile(graph, precision="float").run(x[0].numpy()).counts
    assert counts.connection_sparsity == pytest.approx(
        float(ConnectionSparsity()(TorchModel(model))), abs=5e-4
    )
    assert counts.footprint == Footprint()(TorchModel(model))
