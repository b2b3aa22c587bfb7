"""The oracles against published numbers: E-SpikeFormer and the published sizes of all networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.oracles import asa, binary, counting, espikeformer, hsd
from tests.oracles.common import assert_alive, generator, normal, parameters, settle, uniform
from tests.oracles.counting import SFA
from tests.oracles.espikeformer import Efficient, Large


@pytest.mark.parametrize("name", espikeformer.EFFICIENT)
def test_efficient_parameters(name: str) -> None:
    channels, published = espikeformer.EFFICIENT[name]
    with torch.device("meta"):
        model = Efficient(channels)
    assert parameters(model) == published
    assert sum(isinstance(m, SFA) for m in model.modules()) == 105


@pytest.mark.parametrize(
    ("dim", "kd", "published"),
    [
        (512, True, 83_015_952),
        (512, False, 82_502_952),
        (768, True, 171_740_714),
        (768, False, 170_971_714),
    ],
)
def test_large_parameters(dim: int, kd: bool, published: int) -> None:
    with torch.device("meta"):
        assert parameters(Large(dim, kd)) == published


@pytest.mark.parametrize("kind", asa.EXTRA)
def test_asa_parameters(kind: asa.Kind) -> None:
    with torch.device("meta"):
        assert parameters(asa.Net(kind)) == asa.PARAMETERS + asa.EXTRA[kind]
        assert parameters(asa.Net(kind, classes=20)) == 2_325_844 + asa.EXTRA[kind]


@pytest.mark.parametrize(
    ("name", "millions", "first", "others", "qk_first", "kv_first"),
    [
        ("s", 9.13, 29_503_488, 1_848_132_608, 221_276_160, 33_718_272),
        ("m", 13.30, 44_255_232, 3_890_584_320, 313_474_560, 65_931_264),
        ("l", 18.07, 59_006_976, 7_140_728_448, 433_332_480, 127_873_536),
    ],
)
def test_efficient_work(
    name: str, millions: float, first: int, others: int, qk_first: int, kv_first: int
) -> None:
    """Neurons and multiplications at 224x224 (1.3)."""
    with torch.device("meta"):
        model = Efficient(espikeformer.EFFICIENT[name][0])
        x = torch.empty(1, 3, 224, 224)
    macs: list[int] = []

    def note(conv: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        macs.append(conv.weight.numel() * output[0, 0].numel())

    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(note)
    neurons = sum(n.numel() for n in model.counts(x))
    assert round(neurons / 1e6, 2) == millions
    assert macs[0] == first
    assert sum(macs[1:]) == others
    N = 14 * 14
    widths = [m.channels for m in model.modules() if isinstance(m, espikeformer.ESDSA)]
    assert sum(N * N * C + N * N * 4 * C for C in widths) == qk_first
    assert sum(2 * N * (C // 8) * 4 * C for C in widths) == kv_first


def test_vgg_parameters() -> None:
    with torch.device("meta"):
        assert parameters(hsd.VGG()) == hsd.PARAMETERS == 9_271_498
        assert parameters(hsd.VGG(levels=4)) == hsd.PARAMETERS_QUANTIZED == 9_271_506


def test_asa_macs() -> None:
    assert asa.macs("SA").paper == 14_292_480
    assert asa.macs("TCSA").paper == 27_119_664
    assert asa.macs("ASA-1") == (2_603_520, 7_590_144)
    assert sum(asa.NEURONS) == 106_763


@pytest.fixture(scope="module")
def tiny() -> tuple[Efficient, Tensor]:
    """The smallest published network with weights that let every layer spike, and its images."""
    model = Efficient(espikeformer.EFFICIENT["t"][0], classes=10)
    x = normal(4, 3, 64, 64)
    settle(model, x)
    return model, x


def test_execution_order(tiny: tuple[Efficient, Tensor]) -> None:
    """Parameters, and the spiking layers, are registered in the order in which they act."""
    model, x = tiny
    met: list[nn.Module] = []
    hooks = [
        m.register_forward_pre_hook(lambda module, args: met.append(module))
        for m in model.modules()
        if not list(m.children())
    ]
    with torch.no_grad():
        model(x[:1])
    for hook in hooks:
        hook.remove()
    owners = [m for m in model.modules() if list(m.parameters(recurse=False))]
    assert [m for m in met if list(m.parameters(recurse=False))] == owners
    # In attention the neurons of q, k, v are registered beside their convolutions.
    assert [m for m in met if isinstance(m, SFA)] == [m for m in model.modules() if isinstance(m, SFA)]


def test_every_layer_spikes(tiny: tuple[Efficient, Tensor]) -> None:
    model, x = tiny
    with torch.no_grad():
        counts = model.counts(x)
    assert len(counts) == 105
    assert_alive(counts)
    assert all(bool(((n == n.round()) & (n >= 0) & (n <= 4)).all()) for n in counts)


def test_spikes_equal_counts(tiny: tuple[Efficient, Tensor]) -> None:
    """The network of spikes (phased, biases once, IF-SR) has the logits of the network of counts."""
    model, x = tiny
    D = 4
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))

    def by_spikes(conv: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(conv, nn.Conv2d)
        n = args[0] * D
        y = torch.zeros_like(output)
        for d in range(1, D + 1):
            s = (n >= d).to(n)
            y = y + F.conv2d(s, conv.weight / D, None, conv.stride, conv.padding, 1, conv.groups)
        return y if conv.bias is None else y + conv.bias[:, None, None]

    def by_ticks(neuron: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(neuron, SFA)
        return counting.fire(args[0], D)[0].sum(0) / neuron.norm

    with torch.no_grad():
        want, counts = model(x[:2]), model.counts(x[:2])
        hooks = [m.register_forward_hook(by_ticks) for m in model.modules() if isinstance(m, SFA)]
        convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m is not first]
        hooks += [m.register_forward_hook(by_spikes) for m in convs]
        got, counts_by_spikes = model(x[:2]), model.counts(x[:2])
        for hook in hooks:
            hook.remove()
    assert all(torch.equal(a, b) for a, b in zip(counts, counts_by_spikes, strict=True))
    assert torch.equal(got, want)


def test_ties_occur_where_head_dim_is_16(tiny: tuple[Efficient, Tensor]) -> None:
    """Rounding to even changes counts; first in an attention whose scale is 0.5."""
    model, x = tiny
    even = Efficient(espikeformer.EFFICIENT["t"][0], classes=10, rounding="even").double()
    even.load_state_dict(model.state_dict())
    neurons = [m for m in model.modules() if isinstance(m, SFA)]
    attentions = [m for m in model.modules() if isinstance(m, espikeformer.ESDSA)]
    with torch.no_grad():
        differs = [not torch.equal(a, b) for a, b in zip(model.counts(x), even.counts(x), strict=True)]
        assert not torch.equal(model(x), even(x))
    first = neurons[differs.index(True)]
    assert [a.scale for a in attentions if a.attention_spike is first] == [0.5]


@pytest.mark.parametrize("D", [1, 2, 4, 8])
def test_prop_1(D: int) -> None:
    """Firing D ticks without input gives floor(clip(u, 0, D) + 0.5), monotone trains, also at ties."""
    u = torch.cat([uniform(20_000, low=-2, high=D + 2), torch.arange(-4, 2 * D + 5) / 2])
    train, rest = counting.fire(u, D)
    n = counting.sfa(u, D)
    assert torch.equal(train.sum(0), n)
    assert bool((train.diff(dim=0) <= 0).all())
    assert torch.allclose(rest, u - n)
    inside = (u >= 0) & (u <= D)
    assert float((u - n)[inside].abs().max()) <= 0.5
    rates = train.mean(1)
    assert torch.allclose(rates, torch.stack([(n >= d).double().mean() for d in range(1, D + 1)]))


def test_memory_carries_over() -> None:
    """Prop. 1 from timestep to timestep: what the D ticks leave is u - n."""
    x = uniform(6, 1000, low=-2, high=6)
    v = torch.zeros_like(x[0])
    for x_t, n in zip(x, counting.sfa_sequence(x, 4), strict=True):
        train, v = counting.fire(v + x_t, 4)
        assert torch.equal(train.sum(0), n)


def test_streaming_is_not_phased() -> None:
    """Firing while input arrives gives other counts, even with D ticks to flush."""
    x = normal(4, 100_000) * 0.5 + 0.2
    streamed = counting.stream(x, flush=4).sum(0)
    wrong = (streamed != counting.sfa(x.sum(0), 4)).double().mean()
    assert 0.01 < float(wrong) < 0.3


def test_odd_threshold_has_no_ties() -> None:
    for theta in (63, 64):
        accumulated = torch.arange(-theta, 5 * theta, dtype=torch.float64)
        differ = counting.sfa(accumulated / theta) != counting.sfa(accumulated / theta, 4, "even")
        assert bool(differ.any()) == (theta % 2 == 0)


def counts_of(*shape: int, seed: int) -> Tensor:
    return torch.randint(0, 5, shape, generator=generator(seed)).double()


def test_attention_orders_and_phases_agree() -> None:
    """(q k^T) v, q (k^T v) and the spikes of phases K, V, Q: the same integers, and the staircase."""
    D, N, heads, dk, dv = 4, 6, 2, 4, 8
    q, k = (counts_of(1, heads * dk, N, seed=s) for s in (1, 2))
    v = counts_of(1, heads * dv, N, seed=3)
    want = counting.sdsa(q, k, v, 1, heads)
    assert torch.equal(want, counting.sdsa_linear(q, k, v, 1, heads))
    trains = [
        torch.stack([(counting.split_heads(x, heads)[0] >= d).double() for d in range(1, D + 1)])
        for x in (q, k, v)
    ]
    got = torch.stack([counting.sdsa_phases(*(x[:, h] for x in trains)) for h in range(heads)])
    assert torch.equal(counting.join_heads(got[None]), want)

    micro = torch.zeros_like(want)
    for d in range(1, D + 1):
        qd, kd, vd = ((x >= d).double() for x in (q, k, v))
        micro += counting.sdsa(qd, kd, vd, 1, heads)
    assert float(micro.sum()) < 0.5 * float(want.sum())

    out = torch.arange(0, 2000, dtype=torch.float64)
    for s in (0.125, 0.5, 2 / math.sqrt(24)):
        steps = [math.ceil((j - 0.5) * D**3 / s) for j in range(1, D + 1)]
        staircase = torch.stack([(out >= step).double() for step in steps]).sum(0)
        assert torch.equal(staircase, counting.sfa(out * s / D**3))


def test_large_runs() -> None:
    """Smaller than published in depth only; the second head is averaged in."""
    model = Large(512, depth=1, classes=10)
    x = normal(4, 3, 32, 32)
    settle(model, x)
    with torch.no_grad():
        counts = model.counts(x)
        mean = model.blocks(model.stages(x).flatten(2)).mean(2)
        assert model.kd_head is not None
        want = (model.head(mean) + model.kd_head(counts[-1])) / 2
        assert torch.allclose(model(x), want)
    assert len(counts) == 8 + 3 + 8 + 1
    assert_alive(counts)


def test_repconv_fold() -> None:
    model = binary.RepConv(4, 6)
    x = normal(2, 4, 7, 7)
    settle(model, x)
    with torch.no_grad():
        assert float((model(x) - binary.repconv_dense(x, model)).abs().max()) < 1e-12


def test_binary_attention() -> None:
    """V1 masks whole channels of q; V2 is a sum of rows."""
    q, k, v = (torch.randint(0, 2, (3, 2, 16, 5), generator=generator(s)).double() for s in range(3))
    y = binary.v1_attention(q, k, v)
    for t, b, c in ((t, b, c) for t in range(3) for b in range(2) for c in range(16)):
        assert torch.equal(y[t, b, c], q[t, b, c]) or not bool(y[t, b, c].any())
    assert_alive([y])
    z = binary.v2_attention(q, k, v)
    t, b, c, n = 1, 0, 5, 2
    head = range(c // 2 * 2, c // 2 * 2 + 2)
    terms = [float(q[t, b, i, n] * k[t, b, i, m] * v[t, b, c, m]) for i in head for m in range(5)]
    assert float(z[t, b, c, n]) == 0.125 * sum(terms)
    assert binary.v2_attention_spikes(q, k, v).shape == z.shape
