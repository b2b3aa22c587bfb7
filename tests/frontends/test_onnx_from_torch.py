"""Networks quantized with torch's own tools, as torch.onnx writes them: 8-bit fake quantization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization as untyped

import snncc
from snncc.ir import Neuron

quantization: Any = untyped


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = quantization.QuantStub()
        self.first, self.rectify = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.second, self.rectify2 = nn.Conv2d(4, 6, 3, bias=False), nn.ReLU()
        self.head = nn.Linear(24, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectify(self.first(self.enter(x)))
        x = self.rectify2(self.second(self.pool(x)))
        out: Tensor = self.head(x.flatten(1))
        return out


def trained_with_fake_quantization() -> nn.Module:
    """A network prepared by torch.ao, calibrated, its scales rounded to powers of two."""
    torch.manual_seed(0)
    activation = quantization.FakeQuantize.with_args(
        observer=quantization.MovingAverageMinMaxObserver,
        quant_min=0,
        quant_max=255,
        dtype=torch.quint8,
        qscheme=torch.per_tensor_affine,
    )
    model = Net().train()
    model.qconfig = quantization.QConfig(activation, quantization.default_weight_fake_quant)
    pairs = [["first", "rectify"], ["second", "rectify2"]]
    prepared: nn.Module = quantization.prepare_qat(quantization.fuse_modules_qat(model, pairs))
    for _ in range(4):
        prepared(torch.rand(16, 1, 8, 8))
    prepared.eval().apply(quantization.disable_observer)
    for part in prepared.modules():
        if isinstance(part, quantization.FakeQuantize):
            part.scale.copy_(2.0 ** part.scale.log2().round())
    return prepared


@pytest.mark.filterwarnings("ignore")  # of the exporter, which is torch's older one
def test_fake_quantization_is_exact(tmp_path: Path) -> None:
    model = trained_with_fake_quantization()
    x = torch.randint(0, 256, (6, 1, 8, 8)) / 256
    path = tmp_path / "net.onnx"
    torch.onnx.export(
        model, (x,), path, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "N"}}
    )
    with torch.no_grad():
        wanted = model(x).numpy()
    graph = snncc.load(path)
    for precision in ("float", "integer"):
        program = snncc.compile(graph, precision=precision, calibration=x.numpy())
        names = [node.name for node in program.graph.nodes if isinstance(node, Neuron)]
        result = program.run(x.numpy(), record=names)
        assert all(len(np.unique(result.records[name].train)) > 20 for name in names[:3])
        assert np.array_equal(result.output.astype(np.float32), wanted)
