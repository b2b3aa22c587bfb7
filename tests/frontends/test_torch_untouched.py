"""Tracing leaves everything of the user's as it was."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc.nn
from snncc.errors import CannotTrace
from snncc.frontends.from_torch import observe, trace
from tests.frontends.torch_networks import Apply, noise

GENERATOR = torch.Generator().manual_seed(11)
IMAGE = noise(GENERATOR, 3, 2, 6, 6)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        snncc.nn.LIF(0.5, 0.3),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything that a trace could change."""
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "types": {k: (v.dtype, v.requires_grad) for k, v in model.named_parameters()},
        "identity": {k: id(v) for k, v in model.named_parameters()},
        "training": {k: m.training for k, m in model.named_modules()},
        "hooks": {k: (list(m._forward_hooks), list(m._forward_pre_hooks)) for k, m in model.named_modules()},
        "attributes": {k: sorted(vars(m)) for k, m in model.named_modules()},
        "kept": {k: b.detach().clone() for k, b in model.named_buffers()},
    }


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    else:
        assert before == after


@pytest.mark.parametrize("training", [True, False])
def test_the_model_its_state_and_the_random_generators(training: bool) -> None:
    model = network().train(training)
    calls: list[int] = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    model(IMAGE).sum().backward()  # a state that belongs to a gradient's graph
    gradient = model[0].weight.grad
    before = snapshot(model)
    seeds = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index] # noqa: NPY002
    x = IMAGE.clone().requires_grad_()
    graph = trace(model, x, 4, "B")
    observe(model, graph, IMAGE.numpy())
    assert_same(before, snapshot(model))
    assert model[0].weight.grad is gradient
    assert torch.equal(x, IMAGE)
    assert x.requires_grad
    assert torch.equal(seeds[0], torch.get_rng_state())
    assert seeds[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index] # noqa: NPY002
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_also_after_a_refusal() -> None:
    model = nn.Sequential(network(), nn.ReLU())
    before = snapshot(model)
    with pytest.raises(CannotTrace):
        trace(model, IMAGE, 4, "B")
    assert_same(before, snapshot(model))
    assert (torch.ones(1) * 2).dtype == torch.float32


def test_a_kept_state_does_not_reach_the_graph() -> None:
    fresh = network().eval()
    used = copy.deepcopy(fresh)
    used(IMAGE)
    assert str(trace(fresh, IMAGE, 3, "B")) == str(trace(used, IMAGE, 3, "B"))


def test_traces_are_stable() -> None:
    model = network()
    assert str(trace(model, IMAGE, 3, "B")) == str(trace(copy.deepcopy(model), IMAGE[:1], 3, "B"))


def test_half_precision_models_are_traced_in_float64() -> None:
    model = nn.Linear(6, 2).to(torch.bfloat16)
    graph = trace(model, noise(GENERATOR, 2, 6))
    weight = graph.nodes[1].weight  # type: ignore[union-attr]
    np.testing.assert_array_equal(weight, model.weight.detach().double().numpy())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_models() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    x = noise(GENERATOR, 2, 6)
    plain = trace(model, x)
    assert str(trace(torch.compile(model), x)) == str(plain)  # type: ignore[arg-type]


def test_models_in_inference_mode() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ).eval()
    fast = Apply(lambda x, inner: torch.inference_mode()(inner)(x), copy.deepcopy(model))
    kinds = [type(node) for node in trace(model, IMAGE)]
    assert [type(node) for node in trace(fast, IMAGE)] == kinds


def test_a_neuron_alone() -> None:
    assert [node.name for node in trace(snncc.nn.SFA(4), noise(GENERATOR, 2, 6))] == [
        "input",
        "sfa",
        "output",
    ]


def test_shared_modules_and_parameters() -> None:
    layer = nn.Linear(6, 6)
    tied = nn.Linear(6, 6)
    tied.weight = layer.weight
    graph = trace(nn.Sequential(layer, layer, tied), noise(GENERATOR, 2, 6))
    assert [node.name for node in graph] == ["input", "0", "0.linear", "2", "output"]


def test_user_hooks_act() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2))
    model[0].register_forward_hook(lambda _m, _x, out: out * 2)
    names = [node.name for node in trace(model, noise(GENERATOR, 2, 6))]
    assert names == ["input", "0", "0.mul", "1", "output"]


def test_surrogates_that_double_would_break() -> None:
    scale = torch.tensor(0.5)  # a float32 constant outside of the module's buffers
    model = Apply(
        lambda x, f: f(x) * scale + torch.zeros(3) + torch.ones_like(x[:, :3]).float(), nn.Linear(6, 3)
    )
    assert len(trace(model, noise(GENERATOR, 2, 6)).nodes) == 5


def test_registering_needs_no_torch() -> None:
    code = "import sys, snncc.frontends.neurons; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
