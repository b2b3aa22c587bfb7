"""The large E-SpikeFormer and RepConv2d: sizes, second implementations, the compiled graphs."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import BadInput
from snncc.ir import Affine, Conv, DynamicSynapse, Pad
from snncc.nn import SFA, RepConv2d
from snncc.nn.integer import Rounding
from snncc.nn.models import LargeESpikeFormer, espikeformer_512, espikeformer_768
from snncc.nn.models.large import LayerScale
from tests.oracles import binary
from tests.oracles import espikeformer as oracle

CHANNELS = (16, 16, 32)
DEPTH, CLASSES = 2, 10
Built = tuple[LargeESpikeFormer, Tensor, dict[str, bool], Rounding]


def livened(model: nn.Module, x: Tensor) -> None:
    """Random but sane statistics, layer scales that matter, and enough counts for their products."""
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            is_projection = name.endswith((".q.4", ".k.4", ".v.4"))
            nn.init.uniform_(module.bias, *((0.5, 2.5) if is_projection else (-0.2, 0.8)))
            module.momentum = None
        elif isinstance(module, LayerScale):
            nn.init.uniform_(module.factor, 0.4, 0.6)
    model.train()
    with torch.no_grad():
        model(x)
    model.eval()


def copy_by_position(one: nn.Module, other: nn.Module) -> None:
    pairs = zip(
        chain(one.parameters(), one.buffers()), chain(other.parameters(), other.buffers()), strict=True
    )
    with torch.no_grad():
        for source, target in pairs:
            assert source.numel() == target.numel()
            target.copy_(source.reshape(target.shape))


@pytest.fixture(
    scope="module",
    params=[(True, True, "floor"), (False, False, "floor"), (True, False, "even")],
    ids=["two heads, mixing", "one head", "two heads, half to even"],
)
def network(request: pytest.FixtureRequest) -> Built:
    kd, mixing, rounding = request.param
    torch.manual_seed(3)
    x = torch.randn(4, 3, 64, 64)
    options = {"kd": kd, "mixing": mixing}
    model = LargeESpikeFormer(CHANNELS, CLASSES, depth=DEPTH, rounding=rounding, kd=kd, mixing=mixing)
    livened(model, x)
    return model.double(), x[:2].double(), options, rounding


@pytest.mark.parametrize(
    ("make", "kd", "size"),
    [
        (espikeformer_512, True, 83_015_952),
        (espikeformer_512, False, 82_502_952),
        (espikeformer_768, True, 171_740_714),
        (espikeformer_768, False, 170_971_714),
    ],
)
def test_published_sizes(make: Callable[..., LargeESpikeFormer], kd: bool, size: int) -> None:
    with torch.device("meta"):
        model = make(kd)
        other = make(kd, classes=7)
    assert sum(p.numel() for p in model.parameters()) == size
    width = model.head.in_features
    fewer = (1000 - 7) * (width + 1) * (1 + kd)
    assert sum(p.numel() for p in other.parameters()) == size - fewer


def test_equals_a_second_implementation(network: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, options, rounding = network
    monkeypatch.setitem(oracle.LARGE, CHANNELS[-1], CHANNELS)
    other = oracle.Large(
        CHANNELS[-1],
        kd=options["kd"],
        rep=options["mixing"],
        classes=CLASSES,
        depth=DEPTH,
        rounding=rounding,
    ).double()
    copy_by_position(model, other)
    counts: list[Tensor] = []
    neurons = [m for m in model.modules() if isinstance(m, SFA)]
    hooks = [m.register_forward_hook(lambda m, _, out: counts.append(out * m.norm)) for m in neurons]
    with torch.no_grad():
        logits, need = model(x), other.counts(x)
        assert float((logits - other(x)).abs().max()) < 1e-9
    for hook in hooks:
        hook.remove()
    assert len(need) == len(counts) == 11 + DEPTH * (7 + options["mixing"]) + options["kd"]
    for count, wanted in zip(counts, need, strict=True):
        assert 0 < int(wanted.count_nonzero()) < wanted.numel()
        assert torch.equal(count, wanted.reshape(count.shape))


def test_layer_scale_and_both_heads_matter(network: Built) -> None:
    """Nothing above would be seen at layer scales of 1e-6."""
    model, x, options, _ = network
    with torch.no_grad():
        logits = model(x)
        scales = [m.factor for m in model.modules() if isinstance(m, LayerScale)]
        assert len(scales) == 2 * DEPTH
        for scale in scales:
            scale.neg_()
            assert float((model(x) - logits).abs().max()) > 1e-3
            scale.neg_()
        if options["kd"]:
            pair = copy.deepcopy(model).train()(x)
            assert isinstance(pair, tuple)
            assert pair[0].shape == pair[1].shape == logits.shape
            assert not torch.allclose(pair[0], pair[1])


def test_compiled_it_differs_in_no_count(network: Built) -> None:
    model, x, _, rounding = network
    graph = snncc.trace(model, x, timesteps=1, layout="B")
    products = [node for node in graph.nodes if isinstance(node, DynamicSynapse)]
    assert len(products) == 2 * DEPTH
    # 8 heads of 4 channels each: k^T v is 4 x 4, not one number for each pair of the 16 tokens
    assert {graph.edges[node.name].shape for node in products[::2]} == {(8, 4, 4)}
    assert any(isinstance(node, Affine) for node in graph.nodes)
    program = snncc.compile(graph, precision="float")
    kinds = Counter(type(node) for node in program.graph.nodes)
    assert kinds[Affine] == 0
    assert kinds[DynamicSynapse] == 2 * DEPTH
    assert min(layer.rate for layer in program.run(x).counts.layers if layer.neurons) > 0
    proof = snncc.verify(program, model, x)
    proof.check()
    assert all(stage.differing == 0 for stage in proof.stages)
    assert all(stage.output_error < 1e-9 for stage in proof.stages)
    ties = sum(layer.ties for layer in proof.stages[-1].layers)
    assert ties > 0 if rounding == "even" else ties == 0


@pytest.mark.parametrize("network", [(True, True, "floor")], indirect=True)
def test_in_integers_the_simulator_equals_the_reference(network: Built) -> None:
    model, x, _, _ = network
    program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="B"), calibration=x)
    snncc.verify(program, model, x).check()


def test_bad_input() -> None:
    with pytest.raises(BadInput, match=r"takes \[B, channels, height, width\]"):
        LargeESpikeFormer(CHANNELS, CLASSES, depth=1)(torch.zeros(3, 32, 32))
    with pytest.raises(BadInput, match="30 channels are not divisible by 8 heads"):
        LargeESpikeFormer((16, 16, 30), CLASSES, depth=1)
    with pytest.raises(BadInput, match="depth must be a whole number of at least 1, not 0"):
        LargeESpikeFormer(CHANNELS, CLASSES, depth=0)


# --- RepConv2d ---


def repconv(before: int, after: int, seed: int = 0) -> tuple[RepConv2d, Tensor]:
    torch.manual_seed(seed)
    module, x = RepConv2d(before, after).double(), 2 * torch.randn(3, before, 7, 5).double() + 1
    livened(module, x)
    return module, x


@pytest.mark.parametrize(("before", "after"), [(4, 6), (6, 4), (5, 1)])
def test_repconv_equals_a_second_implementation_and_one_convolution(before: int, after: int) -> None:
    module, x = repconv(before, after)
    other = binary.RepConv(before, after).double()
    copy_by_position(module, other)
    conv = module.folded()
    assert (conv.kernel_size, conv.padding, conv.padding_mode) == ((3, 3), (1, 1), "zeros")
    weight, bias = binary.repconv_folded(other)
    assert conv.bias is not None
    with torch.no_grad():
        out = module(x)
        assert out.shape == (3, after, 7, 5)
        assert float(out.std()) > 0.1
        assert float((out - other(x)).abs().max()) < 1e-12
        assert float((out - conv(x)).abs().max()) < 1e-12
        assert float((conv.weight - weight).abs().max()) < 1e-12
        assert float((conv.bias - bias).abs().max()) < 1e-12
    assert sum(p.numel() for p in module.parameters()) == before * (before + 9 + after + 2) + 2 * after
    assert module.float().folded().weight.dtype == torch.float32


def test_repconv_in_training() -> None:
    """The first normalization sees the positions inside alone; the ring around them is its image of zero."""
    module, x = repconv(4, 6)
    for norm in (module.first_norm, module.second_norm):
        norm.reset_running_stats()
        norm.momentum = 1.0
    module.train()
    out = module(x)
    inside = torch.einsum("oi,bihw->bohw", module.first.weight[:, :, 0, 0], x)
    mean, var = inside.mean((0, 2, 3)), inside.var((0, 2, 3))
    assert module.first_norm.running_mean is not None
    assert module.first_norm.running_var is not None
    assert torch.allclose(module.first_norm.running_mean, mean, rtol=0, atol=1e-12)
    assert torch.allclose(module.first_norm.running_var, var, rtol=0, atol=1e-12)
    w, b = module.first_norm.weight, module.first_norm.bias
    zero = b - w * mean / torch.sqrt(var + module.first_norm.eps)
    biased = inside.var((0, 2, 3), correction=0)
    y = zero[:, None, None].expand(3, 4, 9, 7).clone()
    factor = w / torch.sqrt(biased + module.first_norm.eps)
    y[..., 1:-1, 1:-1] = factor[:, None, None] * (inside - mean[:, None, None]) + b[:, None, None]
    pushed = module.second(module.depthwise(y))
    centered = pushed - pushed.mean((0, 2, 3), keepdim=True)
    scaled = centered / torch.sqrt(centered.square().mean((0, 2, 3), keepdim=True) + module.second_norm.eps)
    wanted = scaled * module.second_norm.weight[:, None, None] + module.second_norm.bias[:, None, None]
    assert torch.allclose(out, wanted, rtol=0, atol=1e-12)
    out.square().sum().backward()
    gradients = [p.grad for p in module.parameters()]
    assert all(g is not None and bool(g.any()) for g in gradients)


def test_repconv_compiles() -> None:
    """Normalizations fold, and neither the padded edge nor the unfolded form costs a count."""
    torch.manual_seed(0)
    model = nn.Sequential(
        SFA(4), RepConv2d(3, 8), SFA(4), RepConv2d(8, 4), SFA(4), nn.Flatten(), nn.Linear(256, 3)
    )
    x = 1 + torch.randn(4, 3, 8, 8)
    livened(model, x)
    model = model.double()
    graph = snncc.trace(model, x.double(), timesteps=1, layout="B")
    assert sum(isinstance(node, Affine) for node in graph.nodes) == 4
    program = snncc.compile(graph, precision="float")
    assert not any(isinstance(node, Affine | Pad) for node in program.graph.nodes)
    assert sum(isinstance(node, Conv) for node in program.graph.nodes) == 6
    assert min(layer.rate for layer in program.run(x).counts.layers if layer.neurons) > 0
    proof = snncc.verify(program, model, x.double())
    proof.check()
    assert all(stage.differing == 0 and stage.output_error < 1e-12 for stage in proof.stages)

    merged = nn.Sequential(*(m.folded() if isinstance(m, RepConv2d) else m for m in model))
    with torch.no_grad():
        assert torch.allclose(model(x.double()), merged(x.double()), rtol=0, atol=1e-12)
    one = snncc.compile(snncc.trace(merged, x.double(), timesteps=1, layout="B"), precision="float")
    assert sum(isinstance(node, Conv) for node in one.graph.nodes) == 2
    counts = [list(made.run(x).spikes.values()) for made in (program, one)]
    assert len(counts[0]) == len(counts[1]) == 3
    assert all(np.array_equal(a, b) for a, b in zip(*counts, strict=True))


def test_repconv_bad_input() -> None:
    with pytest.raises(BadInput, match=r"the input must be \[B, 4, H, W\], not \(1, 3, 8, 8\)"):
        RepConv2d(4, 4)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(BadInput, match="out_channels must be a whole number of at least 1, not 0"):
        RepConv2d(4, 0)
