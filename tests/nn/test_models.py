"""Published networks: sizes, and that they compute what their parts say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import snncc.nn
from snncc.errors import BadInput, UnknownName
from snncc.nn import IF, LIAF, LIF, QCFS, RazorGate
from snncc.nn.models import asa_3layer, asa_5layer, razor_3layer, vgg_snn
from snncc.nn.models.asa import EventNet, Kind
from tests.nn.strategies import drive

T = 4
KINDS = get_args(Kind)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def alive(model: nn.Module, x: Tensor) -> Any:
    """*model* in float64 and evaluation, its normalizations such that every layer spikes for *x*."""
    model.double().train()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1, 3)
            nn.init.uniform_(module.bias, 0, 1.5)
            module.momentum = 1.0  # one pass sets the statistics
        elif isinstance(module, nn.Linear):
            strength = 0.3 if "attention" in name else 3  # gains near 1/2
            nn.init.normal_(module.weight, 0, strength / module.in_features**0.5)
    with torch.no_grad():
        model(x)
    return model.eval()


def events(size: int = 32, batch: int = 2, steps: int = T) -> Tensor:
    return torch.from_numpy((drive(0, 0, 1, (steps, batch, 2, size, size)) < 0.3) * 1.0)


def attending(kind: Kind) -> Callable[[], EventNet]:
    return lambda: asa_3layer(kind, timesteps=T, t_ratio=1)


def nets() -> dict[str, Callable[[], EventNet]]:
    return {kind: attending(kind) for kind in KINDS} | {"razor": lambda: razor_3layer(T)}


every_net = pytest.mark.parametrize("maker", nets().values(), ids=nets().keys())


def test_parameters() -> None:
    with torch.device("meta"):
        sizes = {kind: count(asa_3layer(kind)) for kind in KINDS}
        assert sizes.pop("vanilla") == 2_323_531
        added = {"SA": 294, "TCSA": 24_126, "ASA-1": 10_914, "ASA-2": 114}
        assert sizes == {kind: 2_323_531 + more for kind, more in added.items()}
        assert count(asa_3layer(classes=20)) == 2_325_844
        assert count(vgg_snn()) == 9_271_498
        gates = [m for m in razor_3layer().modules() if isinstance(m, RazorGate)]
        assert count(razor_3layer()) == 2_323_531 + 4 * (240 + 244)
        assert [gate.embeddings.numel() for gate in gates] == [240] * 4
    assert count(asa_5layer()) == 1_698_933
    assert count(asa_5layer("ASA-1")) == 1_698_933 + 2190
    assert count(vgg_snn(neuron=QCFS)) == 9_271_506


def lif_train(x: Tensor, analog: bool = False) -> Tensor:
    """LIF, or LIAF, of 0.3 over [T, B, ...], as in the equations of ASA-SNN."""
    h, outs = torch.zeros_like(x[0]), []
    for x_t in x:
        u = h + x_t
        s = (u >= 0.3).to(x.dtype)
        h = 0.3 * (s * 0.0 + (1 - s) * u)
        outs.append(u.clamp(min=0) if analog else s)
    return torch.stack(outs)


@every_net
def test_three_layers_step_by_step(maker: Callable[[], EventNet]) -> None:
    torch.manual_seed(0)
    x = events()
    net = alive(maker(), x)
    razor = any(isinstance(m, RazorGate) for m in net.modules())
    h = x
    with torch.no_grad():
        for k, stage in enumerate(net.stages):
            assert (stage.gate is not None) == (razor and k > 0)
            h = h if stage.gate is None else stage.gate(h)
            if k < 3:
                conv, bn = stage.synapses[0], stage.synapses[1]
                frames = [bn(functional.conv2d(f, conv.weight, conv.bias, padding=1)) for f in h]
                frames = frames if k == 0 else [functional.avg_pool2d(f, 2) for f in frames]
            else:
                linear = next(m for m in stage.modules() if isinstance(m, nn.Linear))
                frames = [f.flatten(1) @ linear.weight.T + linear.bias for f in h]
            h = torch.stack(frames)
            h = h if stage.attention is None else stage.attention(h)
            h = lif_train(h, analog=razor and k == 4)
            assert int((h != 0).sum()) > 0, f"layer {k} is silent"
            assert k == 4 or int((h == 0).sum()) > 0
        out = net(x)
    assert out.shape == (2, 11)
    assert torch.allclose(out, h.mean(0), rtol=0, atol=1e-9)


@every_net
def test_a_sample_does_not_see_its_batch(maker: Callable[[], EventNet]) -> None:
    torch.manual_seed(0)
    x = events(batch=3)
    net = alive(maker(), x)
    with torch.no_grad():
        together = net(x)
        alone = torch.cat([net(x[:, b : b + 1]) for b in range(3)])
    assert not torch.equal(together[0], together[1])
    assert torch.allclose(alone, together, rtol=0, atol=1e-10)


@every_net
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_reach_everything(maker: Callable[[], EventNet], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = alive(maker(), events()).to(dtype).train()
    out = net(events().to(dtype))
    assert out.dtype == dtype
    (out * torch.linspace(-1, 1, 11)).sum().backward()
    for name, parameter in net.named_parameters():
        if ".alpha" in name or ".gamma" in name or ".fc." in name:
            continue  # the selection of ASA is a step
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        # a bias before a normalization has the gradient 0, up to rounding
        assert bool((parameter.grad != 0).any()) or name.endswith("synapses.0.bias"), name


def test_neurons_of_asa() -> None:
    fields = {"theta": 0.3, "leak": 0.3, "max_count": 1, "strict": False, "reset": "value", "v_reset": 0.0}
    neurons = [m for m in asa_3layer().modules() if isinstance(m, LIF)]
    assert len(neurons) == 5
    assert all(fields.items() >= m.describe().items() for m in neurons)
    assert all(m.step_mode == "m" for m in neurons)
    ancestor = [m for m in asa_3layer(v_reset=0.3).modules() if isinstance(m, LIF)]
    assert ancestor[0].describe()["v_reset"] == 0.3
    assert isinstance(razor_3layer().stages[-1].neuron, LIAF)


def test_five_layers() -> None:
    torch.manual_seed(0)
    x = events(128, 1, 2)
    net = alive(asa_5layer("ASA-1", timesteps=2, classes=3), x)
    with torch.no_grad():
        out, spikes = net(x), net.stages(x)
    assert spikes.shape == (2, 1, 30)
    for k in range(3):
        assert float(out[0, k]) == pytest.approx(float(spikes[:, 0, 10 * k : 10 * k + 10].mean()))
    with torch.no_grad():
        assert 0 < float(net.stages[:4](x).mean()) < 1


def test_vgg_step_by_step() -> None:
    torch.manual_seed(0)
    x = events(16)
    net = alive(vgg_snn(5, size=16, output="train"), x)
    convs, bns = ([m for m in net.modules() if isinstance(m, kind)] for kind in (nn.Conv2d, nn.BatchNorm2d))
    assert [c.out_channels for c in convs] == [64, 128, 256, 256, 512, 512, 512, 512]
    with torch.no_grad():
        h = x
        for k, (conv, bn) in enumerate(zip(convs, bns, strict=True)):
            v, outs = 0.5, []
            for frame in h:
                v = v + bn(conv(frame))
                s = (v > 1).double()
                v = v - s
                outs.append(functional.avg_pool2d(s, 2) if k in (1, 3, 5, 7) else s)
            h = torch.stack(outs)
            assert 0 < int((h != 0).sum()) < h.numel(), k
        linear = next(m for m in net.modules() if isinstance(m, nn.Linear))
        logits = linear(h.flatten(2))
        out = net(x)
        assert torch.allclose(out, logits, rtol=0, atol=1e-9)
        net.output = "mean"
        assert torch.allclose(net(x), logits.mean(0), rtol=0, atol=1e-9)
        assert torch.allclose(net(x[0]), logits[0], rtol=0, atol=1e-9)


def test_vgg_of_staircases_takes_images_and_trains() -> None:
    torch.manual_seed(0)
    x = events(16)
    net = alive(vgg_snn(neuron=lambda: QCFS(4, 4.0), size=16), x)
    steps = torch.stack([net(frame) for frame in x])
    assert torch.allclose(net(x), steps.mean(0), rtol=0, atol=1e-9)
    net.train()(x).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def three(**options: Any) -> Tensor:
    out: Tensor = asa_3layer(**options)(torch.zeros(4, 1, 2, 32, 32))
    return out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: asa_3layer(classes=0), "classes must be a whole number"),
        (lambda: asa_3layer("ASA-1", timesteps=2, reduction=4), "at least the ratio"),
        (lambda: razor_3layer(0), "timesteps must be a whole number"),
        (lambda: three(kind="ASA-1", timesteps=5), "built for 5 timesteps"),
        (lambda: asa_3layer()(torch.zeros(4, 2, 32, 32)), "must be a train"),
        (lambda: asa_3layer()(torch.zeros(4, 1, 3, 32, 32)), "built for 2 channels"),
        (lambda: asa_3layer()(torch.zeros(4, 1, 2, 34, 32)), "frames of 32 x 32"),
        (lambda: asa_3layer()(torch.zeros(4, 1, 2, 32, 32).double()), "the parameters are torch.float32"),
        (lambda: vgg_snn(size=24), "multiple of 16"),
        (lambda: vgg_snn(output="last"), "output must be one of"),  # type: ignore[arg-type]
        (lambda: vgg_snn(neuron=IF()), "a function that makes a module"),
        (lambda: vgg_snn(neuron=lambda: 3), "a function that makes a module"),  # type: ignore[arg-type,return-value]
        (lambda: vgg_snn(size=16)(torch.zeros(2, 16, 16)), "must be a train"),
        (lambda: vgg_snn(size=16)(torch.zeros(4, 1, 2, 48, 48)), "frames of 16 x 16"),
        (
            lambda: snncc.nn.set_step_mode(vgg_snn(size=16), "s")(torch.zeros(1, 2, 16, 16)),
            "takes single timesteps",
        ),
    ],
)
def test_refusals(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call()


def test_unknown_kind() -> None:
    with pytest.raises(UnknownName, match=r"unknown kind of attention 'ASA1'; known: ASA-1, ASA-2, SA"):
        asa_3layer("ASA1")  # type: ignore[arg-type]
