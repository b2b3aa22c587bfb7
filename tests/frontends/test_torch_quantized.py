"""Networks quantized with torch's own tools, traced: counts are torch's integer activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import _learnable_fake_quantize as learnable

import snncc
import snncc.nn
from snncc.errors import CannotTrace
from snncc.ir import Array, Neuron, SpikeGraph
from tests.frontends.quantized_networks import codes_of, fakes, quantization, random_net

LearnableFakeQuantize: Any = learnable._LearnableFakeQuantize
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.ao, which torch calls deprecated


def images(count: int = 4) -> Tensor:
    """Images of 8 bits."""
    return torch.from_numpy(
        np.random.default_rng(1).integers(0, 256, (count, 2, 8, 8)) / np.float32(256)
    ).float()


def counts_of(program: snncc.Program, x: Tensor) -> dict[str, Array]:
    names = [node.name for node in program.graph.nodes if isinstance(node, Neuron)]
    result = program.run(x.numpy(), record=names)
    return {name: result.records[name].train[0].sum(axis=1) for name in names}


def compared(
    graph: SpikeGraph, program: snncc.Program, model: nn.Module, x: Tensor, *, in_float64: bool
) -> int:
    """How many counts differ from torch's codes."""
    codes, _ = codes_of(model, x, in_float64=in_float64)
    parts, wrong, alive = fakes(model), 0, 0
    paths = {node.name: node.origin.partition(" ")[0] for node in graph.neurons}
    counts = counts_of(program, x)
    assert counts.keys() == paths.keys()
    for name, have in counts.items():
        part, code = parts[paths[name]], codes[paths[name]]
        # counts begin at the lowest code, or, where nothing below zero enters or is wanted, at that of zero
        starts = part.quant_min, int(part.zero_point)
        wrong += min(int((np.maximum(code - least, 0) != have).sum()) for least in starts)
        alive += len(np.unique(have)) > 1
    assert alive > 0.7 * len(counts) > 1.4
    return wrong


@pytest.mark.parametrize("how", ["float", "integer"])
@pytest.mark.parametrize("kind", ["unsigned", "signed"])
@pytest.mark.parametrize("seed", range(8))
def test_counts_are_torch_s_integer_activations(seed: int, kind: str, how: str) -> None:
    """Scales are powers of two: also in float32 every sum is exact."""
    model, x = random_net(seed, kind=kind), images()
    graph = snncc.trace(model, x)
    program = snncc.compile(graph, precision=how, calibration=x.numpy())
    for in_float64 in (False, True):
        assert compared(graph, program, model, x, in_float64=in_float64) == 0
    need = codes_of(model, x, in_float64=False)[1]
    have = program.run(x.numpy()).output
    assert np.array_equal(have.astype(np.float32).reshape(need.shape), need.astype(np.float32))


@pytest.mark.parametrize("seed", range(20, 26))
def test_any_scale(seed: int) -> None:
    """In float64 nothing differs, nor in integers; in float32 only what torch's own sums round over a tie."""
    model, x = random_net(seed, is_power=False), images(8)
    graph = snncc.trace(model, x)
    program = snncc.compile(graph, precision="float")
    assert compared(graph, program, model, x, in_float64=True) == 0
    total = sum(counts.size for counts in counts_of(program, x).values())
    integers = snncc.compile(graph, calibration=x.numpy())
    assert all(note.endswith("exact") for note in integers.graph.notes)
    assert compared(graph, integers, model, x, in_float64=True) == 0
    assert compared(graph, program, model, x, in_float64=False) <= 1e-3 * total


@pytest.mark.parametrize("seed", range(30, 34))
def test_what_is_not_fused(seed: int) -> None:
    """Normalization and rectifiers for themselves, quantized or not, are limits and factors as well."""
    model, x = random_net(seed, is_plain=True), images()
    graph = snncc.trace(model, x)
    program = snncc.compile(graph, calibration=x.numpy())
    assert compared(graph, program, model, x, in_float64=False) == 0


def test_the_stages_are_verified() -> None:
    model, x = random_net(1), images()
    program = snncc.compile(snncc.trace(model, x), calibration=x.numpy())
    proof = snncc.verify(program, model, x.numpy())
    proof.check()
    assert proof.stages[0].name == "model -> trace"


def test_the_default_of_torch() -> None:
    """Fused quantizers with an observer, weights by channel: scales are set by the range that was seen."""
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU()
    model: Any = nn.Sequential(quantization.QuantStub(), *layers, nn.Flatten(), nn.Linear(4, 3)).train()
    model = quantization.fuse_modules_qat(model, [["1", "2", "3"], ["5", "6"]])
    model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    prepared: Any = quantization.prepare_qat(model)
    for _ in range(3):
        prepared(torch.rand(16, 2, 8, 8))
    prepared.eval().apply(quantization.disable_observer)
    kinds = {type(part) for part in prepared.modules() if isinstance(part, quantization.FakeQuantizeBase)}
    assert kinds == {quantization.FusedMovingAvgObsFakeQuantize}
    graph = snncc.trace(prepared, images())
    program = snncc.compile(graph, precision="float")
    assert compared(graph, program, prepared, images(), in_float64=True) == 0
    assert compared(graph, program, prepared, images(), in_float64=False) <= 2


class Own(nn.Module):
    """A quantizer of the user's own, with torch's function in it."""

    def __init__(self, bits: int, zero: int = 0) -> None:
        super().__init__()
        self.bits, self.zero = bits, zero

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, 0.125, self.zero, 0, 2**self.bits - 1)


def chain(*parts: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *parts, nn.Linear(8, 3))


POINTS = torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) * 4


@pytest.mark.parametrize(("bits", "zero"), [(2, 0), (4, 0), (4, 5), (8, 128)])
@pytest.mark.parametrize("limit", [nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(0.0, 0.75)])
def test_a_quantizer_by_itself(bits: int, zero: int, limit: nn.Module) -> None:
    model = chain(limit, Own(bits, zero)).eval()
    graph = snncc.trace(model, POINTS)
    (neuron,) = graph.neurons
    p = neuron.parameters
    inside = own_codes(model[:3], POINTS, bits, zero)
    result = snncc.compile(graph, precision="float").run(POINTS.numpy(), record=[neuron.name])
    counts = result.records[neuron.name].train[0].sum(axis=1)
    least = 0 if isinstance(limit, nn.Identity) else zero
    assert p.stateless
    assert np.array_equal(counts, inside - least)
    assert len(np.unique(counts)) > 2
    assert (p.max_count == 2**bits - 1 - least) or isinstance(limit, nn.ReLU6 | nn.Hardtanh)
    if zero == 0:
        assert graph.edges[neuron.name].scale == 0.125
        assert [type(node).__name__ for node in graph] == ["Input", "Dense", "Neuron", "Dense", "Output"]


def own_codes(model: nn.Module, x: Tensor, bits: int, zero: int) -> Array:
    with torch.no_grad():
        out = model.double()(x.double())
    model.float()
    assert float(out.max()) <= (2**bits - 1 - zero) * 0.125
    return (out / 0.125).round().numpy() + zero


@pytest.mark.parametrize("zero", [0, 3])
def test_a_learned_scale(zero: int) -> None:
    fake = LearnableFakeQuantize(
        quantization.MovingAverageMinMaxObserver, 0, 15, scale=0.125, zero_point=float(zero)
    )
    fake.toggle_observer_update(False)
    model = chain(nn.ReLU(), fake).eval()
    graph = snncc.trace(model, POINTS)
    (neuron,) = graph.neurons
    result = snncc.compile(graph, precision="float").run(POINTS.numpy(), record=[neuron.name])
    counts = result.records[neuron.name].train[0].sum(axis=1)
    assert np.array_equal(counts, own_codes(model[:3], POINTS, 4, zero) - zero)
    assert len(np.unique(counts)) > 4
    fake.toggle_observer_update(True)
    with pytest.raises(CannotTrace, match="2: _LearnableFakeQuantize still observes"):
        snncc.trace(model, POINTS)


class Loop(nn.Module):
    """Quantized currents of spiking neurons, in a loop over time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.quantizer, self.lif = nn.Linear(6, 8), Own(4, 5), snncc.nn.LIF(0.5, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.lif(self.quantizer(self.fc(now))) for now in x])


def test_in_a_loop_over_time() -> None:
    x = torch.rand(9, 3, 6, generator=torch.Generator().manual_seed(0)) * 2 - 0.3
    graph = snncc.trace(Loop(), x, layout="TB")
    assert [type(node).__name__ for node in graph] == [
        "Input",
        "Dense",
        "Neuron",
        "Affine",
        "Neuron",
        "Output",
    ]
    result = snncc.compile(graph, precision="float").run(x.numpy())
    with torch.no_grad():
        need = Loop().double()(x.double()).numpy()
    assert 0 < need.mean() < 1
    assert np.array_equal(result.output, need)


def test_limits_behind_a_quantizer() -> None:
    model = chain(Own(4, 5), nn.Hardtanh(-0.25, 0.75))
    graph = snncc.trace(model, POINTS)
    (neuron,) = graph.neurons
    assert neuron.parameters.max_count == 8
    result = snncc.compile(graph, precision="float").run(POINTS.numpy())
    with torch.no_grad():
        need = model.double()(POINTS.double()).numpy()
    assert len(np.unique(need)) > 5
    assert np.abs(result.output.reshape(need.shape) - need).max() < 1e-12


def test_a_rectifier_behind_a_quantizer() -> None:
    """What a rectifier leaves of codes are the counts above zero."""
    model = chain(Own(4, 5), nn.ReLU())
    graph = snncc.trace(model, POINTS)
    (neuron,) = graph.neurons
    assert neuron.parameters.max_count == 10
    result = snncc.compile(graph, precision="float").run(POINTS.numpy())
    with torch.no_grad():
        need = model.double()(POINTS.double()).numpy()
    assert len(np.unique(need)) > 5
    assert np.abs(result.output.reshape(need.shape) - need).max() < 1e-12


def prepared(what: str) -> nn.Module:
    model: Any = random_net(3)
    match what:
        case "observes":
            model.apply(quantization.enable_observer)
        case "wide":
            return chain(Own(10))
        case "by channel":
            each: Any = quantization.default_per_channel_weight_fake_quant()
            each(torch.rand(2, 2, 8, 8))
            each.apply(quantization.disable_observer)
            model.enter.activation_post_process = each
        case "only observers":
            plain: Any = nn.Sequential(quantization.QuantStub(), nn.Linear(6, 3)).eval()
            plain.qconfig = quantization.get_default_qconfig("onednn")
            return quantization.prepare(plain)
    return model


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            "observes",
            r"enter.activation_post_process: \w+ still observes what it quantizes\n.*disable_observer",
        ),
        ("by channel", r"enter.activation_post_process .*: quantizes a signal by channel\n.*by tensor"),
        ("only observers", r"0.activation_post_process: \w+ only observes: .*\n.*prepare_qat"),
        ("wide", r"has 1024 codes; activations of at most 256 are read"),
    ],
)
def test_refusals(what: str, words: str) -> None:
    model = prepared(what)
    x = POINTS if what in ("only observers", "wide") else images()
    with pytest.raises(CannotTrace, match=words):
        snncc.trace(model, x)


def test_a_converted_model_is_refused() -> None:
    plain: Any = nn.Sequential(quantization.QuantStub(), nn.Linear(6, 3)).eval()
    plain.qconfig = quantization.get_default_qconfig("onednn")
    made: Any = quantization.prepare(plain)
    made(POINTS)
    with pytest.raises(CannotTrace, match=r"is converted to integers\n.*not the converted one"):
        snncc.trace(quantization.convert(made), POINTS)


def test_a_rectifier_without_a_quantizer_is_refused() -> None:
    with pytest.raises(CannotTrace, match=r"^1: relu is no spiking neuron") as caught:
        snncc.trace(chain(nn.ReLU()), POINTS)
    assert "quantize what it sends (torch.ao.quantization)" in caught.value.hint
    with pytest.raises(CannotTrace, match=r"1 .*: clamp is no spiking neuron"):
        snncc.trace(chain(Limits(), nn.Linear(8, 8), Own(4)), POINTS)


@pytest.mark.parametrize("limit", [nn.Hardtanh(100.0, 200.0), nn.Hardtanh(0.01, 0.5)])
def test_a_limit_between_codes_is_refused(limit: nn.Module) -> None:
    with pytest.raises(CannotTrace, match=r"^2: hardtanh is no spiking neuron"):
        snncc.trace(chain(Own(4), limit), POINTS)


class Limits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0.1, 0.5)
