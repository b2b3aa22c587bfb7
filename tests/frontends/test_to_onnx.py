"""Compiled networks as ONNX: onnxruntime gives the outputs and the counts of the simulator, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import snncc
from snncc.errors import BadFile, CannotLower
from snncc.ir import Neuron
from snncc.nn import IF, SFA
from tests.frontends.onnx_networks import random_net, saved, session


def with_counts(path: Path, names: list[str]) -> Any:
    """The model in *path*, with the counts of the neurons *names* as outputs as well."""
    model = onnx.load(path)
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(f"{name}.value", TensorProto.FLOAT, None))
    return model


@pytest.mark.parametrize("is_optimized", [False, True])
@pytest.mark.parametrize("seed", [1, 4, 11])
def test_dense_equivalent_of_onnx(seed: int, is_optimized: bool, tmp_path: Path) -> None:
    model, net = random_net(seed)
    alone = net.model([model.graph.output[0].name], net.shapes["x"])
    x = np.random.default_rng(0).integers(0, 256, (3, *net.shapes["x"])) / 256
    program = snncc.compile(snncc.load(saved(alone, tmp_path / "net.onnx")), calibration=x)
    snncc.save_onnx(program, tmp_path / "dense.onnx")
    names = [node.name for node in program.graph.nodes if isinstance(node, Neuron)]
    run = session(with_counts(tmp_path / "dense.onnx", names), is_optimized=is_optimized)
    output, *counts = run.run(None, {"input": x})
    result = program.run(x, record=names)
    assert np.array_equal(output, result.output)
    for name, count in zip(names, counts, strict=True):
        assert np.array_equal(count, result.records[name].train[0].sum(axis=1))
        assert 0 < count.mean() < 200


def test_dense_equivalent_of_sfa(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        SFA(4),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3),
        SFA(4),
        nn.Flatten(),
        nn.Linear(24, 5),
    ).eval()
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data *= 4
    x = torch.rand(4, 1, 8, 8)
    program = snncc.compile(snncc.trace(model, x, layout="B"), calibration=x.numpy())
    snncc.save_onnx(program, tmp_path / "dense.onnx")
    (output,) = session(onnx.load(tmp_path / "dense.onnx")).run(None, {"input": x.numpy().astype(np.float64)})
    result = program.run(x.numpy())
    assert result.counts.total("spikes") > 50
    assert np.array_equal(output, result.output)


def test_refusals(tmp_path: Path) -> None:
    x = torch.rand(3, 2, 4)
    model = nn.Sequential(nn.Linear(4, 3), IF(0.5, step_mode="m"))
    graph = snncc.trace(model.eval(), x, layout="TB")
    with pytest.raises(CannotLower, match="only integer graphs are exported"):
        snncc.save_onnx(graph, tmp_path / "a.onnx")
    program = snncc.compile(graph, calibration=x.numpy())
    with pytest.raises(CannotLower, match="has 3 timesteps; a dense equivalent has one"):
        snncc.save_onnx(program.graph, tmp_path / "a.onnx")
    single = snncc.trace(nn.Sequential(nn.Linear(4, 3), IF(0.5)).eval(), x[0], 1, "B")
    program = snncc.compile(single, calibration=x[0].numpy())
    with pytest.raises(CannotLower, match=r"^1 \(Neuron.*: keeps a state, or sends no bounded count"):
        snncc.save_onnx(program.graph, tmp_path / "a.onnx")
    counting = snncc.trace(nn.Sequential(nn.Linear(4, 3), SFA(4)).eval(), x[0], layout="B")
    program = snncc.compile(counting, calibration=x[0].numpy())
    with pytest.raises(BadFile, match="cannot be written"):
        snncc.save_onnx(program.graph, tmp_path / "none" / "a.onnx")
    wide = snncc.compile(counting, calibration=x[0].numpy(), weight_bits=16, input_bits=16)
    with pytest.raises(CannotLower, match="float32 holds whole numbers up to 16777216"):
        snncc.save_onnx(wide.graph, tmp_path / "a.onnx")
