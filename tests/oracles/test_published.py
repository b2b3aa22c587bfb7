"""The oracles against the published numbers, and the ready-made checks of reference/seeds.md, section 7."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.oracles import asa, espikeformer, hsd, razor, srif, ssc
from tests.oracles.espikeformer import SFA, Efficient, Large


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64) * (high - low) + low


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def settle(model: nn.Module, x: Tensor, seed: int = 0) -> None:
    """Give all parameters random values, and every batch normalization the statistics that *x* meets."""
    draw = generator(seed)
    model.double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.3, generator=draw)
                module.bias.uniform_(-0.2, 0.8, generator=draw)
                module.momentum = 1.0
            elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=draw)
                if module.bias is not None:
                    module.bias.uniform_(-0.1, 0.1, generator=draw)
            elif isinstance(module, espikeformer.LayerScale):
                module.factor.uniform_(0.5, 1, generator=draw)
        model.train()
        model(x)
        model.eval()


def assert_alive(trains: list[Tensor]) -> None:
    """Every layer spikes, and not every neuron does."""
    for s in trains:
        assert 0 < int((s != 0).sum()) < s.numel()


# --- Parameters ---


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


# --- E-SpikeFormer ---


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
        return espikeformer.fire(args[0], D)[0].sum(0) / neuron.norm

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
    train, rest = espikeformer.fire(u, D)
    n = espikeformer.sfa(u, D)
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
    for x_t, n in zip(x, espikeformer.sfa_sequence(x, 4), strict=True):
        train, v = espikeformer.fire(v + x_t, 4)
        assert torch.equal(train.sum(0), n)


def test_streaming_is_not_phased() -> None:
    """Firing while input arrives gives other counts, even with D ticks to flush."""
    x = normal(4, 100_000) * 0.5 + 0.2
    streamed = espikeformer.stream(x, flush=4).sum(0)
    wrong = (streamed != espikeformer.sfa(x.sum(0), 4)).double().mean()
    assert 0.01 < float(wrong) < 0.3


def test_odd_threshold_has_no_ties() -> None:
    for theta in (63, 64):
        accumulated = torch.arange(-theta, 5 * theta, dtype=torch.float64)
        differ = espikeformer.sfa(accumulated / theta) != espikeformer.sfa(accumulated / theta, 4, "even")
        assert bool(differ.any()) == (theta % 2 == 0)


def counts_of(*shape: int, seed: int) -> Tensor:
    return torch.randint(0, 5, shape, generator=generator(seed)).double()


def test_attention_orders_and_phases_agree() -> None:
    """(q k^T) v, q (k^T v) and the spikes of phases K, V, Q: the same integers, and the staircase."""
    D, N, heads, dk, dv = 4, 6, 2, 4, 8
    q, k = (counts_of(1, heads * dk, N, seed=s) for s in (1, 2))
    v = counts_of(1, heads * dv, N, seed=3)
    want = espikeformer.sdsa(q, k, v, 1, heads)
    assert torch.equal(want, espikeformer.sdsa_linear(q, k, v, 1, heads))
    trains = [
        torch.stack([(espikeformer.split_heads(x, heads)[0] >= d).double() for d in range(1, D + 1)])
        for x in (q, k, v)
    ]
    got = torch.stack([espikeformer.sdsa_phases(*(x[:, h] for x in trains)) for h in range(heads)])
    assert torch.equal(espikeformer.join_heads(got[None]), want)

    micro = torch.zeros_like(want)
    for d in range(1, D + 1):
        qd, kd, vd = ((x >= d).double() for x in (q, k, v))
        micro += espikeformer.sdsa(qd, kd, vd, 1, heads)
    assert float(micro.sum()) < 0.5 * float(want.sum())

    out = torch.arange(0, 2000, dtype=torch.float64)
    for s in (0.125, 0.5, 2 / math.sqrt(24)):
        steps = [math.ceil((j - 0.5) * D**3 / s) for j in range(1, D + 1)]
        staircase = torch.stack([(out >= step).double() for step in steps]).sum(0)
        assert torch.equal(staircase, espikeformer.sfa(out * s / D**3))


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
    model = espikeformer.RepConv(4, 6)
    x = normal(2, 4, 7, 7)
    settle(model, x)
    with torch.no_grad():
        assert float((model(x) - espikeformer.repconv_dense(x, model)).abs().max()) < 1e-12


def test_binary_attention() -> None:
    """V1 masks whole channels of q; V2 is a sum of rows."""
    q, k, v = (torch.randint(0, 2, (3, 2, 16, 5), generator=generator(s)).double() for s in range(3))
    y = espikeformer.v1_attention(q, k, v)
    for t, b, c in ((t, b, c) for t in range(3) for b in range(2) for c in range(16)):
        assert torch.equal(y[t, b, c], q[t, b, c]) or not bool(y[t, b, c].any())
    assert_alive([y])
    z = espikeformer.v2_attention(q, k, v)
    t, b, c, n = 1, 0, 5, 2
    head = range(c // 2 * 2, c // 2 * 2 + 2)
    terms = [float(q[t, b, i, n] * k[t, b, i, m] * v[t, b, c, m]) for i in head for m in range(5)]
    assert float(z[t, b, c, n]) == 0.125 * sum(terms)
    assert espikeformer.v2_attention_spikes(q, k, v).shape == z.shape


# --- SRIF ---


def test_srif_example() -> None:
    x = srif.example()
    assert tuple(srif.srif(x).spikes.int().tolist()) == srif.EXAMPLE_SRIF
    assert tuple(srif.hard_if(x).spikes.int().tolist()) == srif.EXAMPLE_IF
    assert sum(srif.EXAMPLE_SRIF) == 3
    assert sum(srif.EXAMPLE_IF) == 4
    for reset in (1.0, 0.5):
        threshold = reset
        scaled = x * threshold / srif.THRESHOLD
        assert int(srif.srif(scaled, threshold=threshold, reset=reset).spikes.sum()) == 5


def test_rectifier_changes_no_spike() -> None:
    c = normal(8, 20_000)
    assert torch.equal(srif.srif(c).spikes, srif.srif(c, rectified=True).spikes)
    near = torch.tensor([0.5 - 1e-12, 0.5, 0.5 + 1e-12], dtype=torch.float64)
    assert torch.equal(srif.rectify(near) >= 0.5, near >= 0.5)
    s = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    assert bool((srif.rectify(s).diff() > 0).all())
    o = (s >= 0.5).double()
    assert bool(((srif.rectify(s) - o).abs() <= (s - o).abs() + 1e-12).all())


@pytest.mark.parametrize(("sigma", "plain", "rectified"), [(1.0, 0.611, 0.054), (0.5, 0.168, 0.0365)])
def test_quantization_error(sigma: float, plain: float, rectified: float) -> None:
    u = normal(1_000_000) * sigma
    o = (u >= 0.5).double()
    assert float(srif.quantization_error(u, o)) == pytest.approx(plain, rel=0.03)
    assert float(srif.quantization_error(srif.rectify(u), o)) == pytest.approx(rectified, rel=0.03)


@pytest.mark.parametrize("leak", [1.0, 0.25])
def test_offset_replaces_half_threshold(leak: float) -> None:
    """Threshold 1 with v0 = 0.5 and a bias of 0.5 (1 - leak); without that bias a leak forgets v0."""
    c = normal(20, 20_000)
    want = srif.srif(c, leak=leak).spikes
    offset = srif.srif(c + 0.5 * (1 - leak), threshold=1, leak=leak, v0=0.5).spikes
    assert torch.equal(offset, want)
    forgetful = srif.srif(c, threshold=1, leak=leak, v0=0.5).spikes
    assert torch.equal(forgetful, want) == (leak == 1)


def test_tdbn_is_affine() -> None:
    x = normal(3, 2, 4, 5, 5) * 2 + 1
    mean, var = srif.tdbn_statistics(x)
    norm = srif.Norm(torch.ones(4).double(), torch.zeros(4).double(), mean, var, eps=0.0)
    y = srif.tdbn(x, norm)
    assert torch.allclose(srif.tdbn_statistics(y)[0], torch.zeros(4).double(), atol=1e-12)
    assert torch.allclose(srif.tdbn_statistics(y)[1], torch.full((4,), 0.25).double())


# --- HSD ---


@pytest.mark.parametrize("L", [2, 4, 8])
def test_qcfs_is_its_neuron_on_constant_input(L: int) -> None:
    lam = 1.7
    x = normal(100_000) * 2
    rate = hsd.qcfs_neuron(x.expand(L, -1), lam).mean(0)
    assert torch.equal((rate * L / lam).round(), (hsd.qcfs(x, lam, L) * L / lam).round())


def test_second_layer_must_wait() -> None:
    """Two layers, T = L: the second differs from QCFS by the unevenness error, unless it is phased."""
    L, lam = 4, 1.0
    x, weight = uniform(64, 2000, low=-0.5, high=1.5), normal(32, 64) / 8
    trains = hsd.qcfs_neuron(x.expand(L, -1, -1), lam)
    inputs = torch.stack([weight @ s for s in trains])
    want = (hsd.qcfs(weight @ hsd.qcfs(x, lam, L), lam, L) * L).round()
    streamed = hsd.qcfs_neuron(inputs, lam).sum(0)
    assert 0.005 < float((streamed != want).double().mean()) < 0.2
    assert torch.equal(hsd.phased_neuron(inputs, lam).sum(0), want)


def test_strict_differs_at_ties_alone() -> None:
    x = normal(5, 10_000)
    assert torch.equal(hsd.integrate(x, 1.0, strict=True), hsd.integrate(x, 1.0, strict=False))
    tie = torch.tensor([[0.5]], dtype=torch.float64)
    assert hsd.integrate(tie, 1.0, strict=False).item() == 1
    assert hsd.hsd_neuron(tie, 1.0).item() == 0
    assert hsd.qcfs_neuron(tie * 3, 3.0).item() == 3


def test_distillation_loss() -> None:
    student, labels = normal(3, 4, 5), torch.tensor([0, 1, 2, 3])
    same = student[:1].expand(3, -1, -1)
    cross_entropy = F.cross_entropy(same[0], labels)
    assert torch.allclose(hsd.distillation_loss(same, same[0], labels), cross_entropy)
    tau = 2.0
    p, q = (normal(4, 5, seed=9) / tau).softmax(1), (student[0] / tau).softmax(1)
    kl = (p * (p / q).log()).sum(1).mean() * tau**2
    got = hsd.distillation_loss(student[:1], normal(4, 5, seed=9), labels, tau)
    assert torch.allclose(got, F.cross_entropy(student[0], labels) + kl)


def test_vgg_spikes() -> None:
    """The first layer of the QCFS network at T = L on constant input has the activations as rates."""
    model = hsd.VGG(levels=4)
    x = uniform(2, 2, 48, 48, high=2)
    settle(model, x)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, hsd.Qcfs):
                m.lam.fill_(1.0)
        model.train()(x)
        model.eval()
        trains = model.trains(x.expand(4, -1, -1, -1, -1), "qcfs")
        assert_alive(trains[:-1])
        assert torch.allclose(trains[0].mean(0), model.features[:3](x))
        assert len(trains) == 9
        assert model.snn(x[None], "hsd").shape == (1, 2, 10)
        assert model(x).shape == (2, 10)
    assert hsd.half(torch.arange(10), "first").tolist() == [0, 1, 2, 3, 4]
    assert hsd.half(torch.arange(10), "second").tolist() == [5, 6, 7, 8, 9]


# --- ASA ---


@pytest.mark.parametrize("fc", ["none", "one", "two"])
def test_asa(fc: str) -> None:
    """Every sample for itself; M1 from ranks; the output is x times one of two maps."""
    T, B, C, H, W = 6, 3, 8, 5, 5
    x = normal(T, B, C, H, W)
    one, two = normal(T, T, seed=1), (normal(3, T, seed=1), normal(T, 3, seed=2))
    matrix = {"none": None, "one": one, "two": two}[fc]
    conv1, conv2 = normal(1, 2, 3, 3, seed=3), normal(1, 2, 3, 3, seed=4)
    y = asa.asa(x, matrix, 0.4, 0.7, conv1, conv2)
    for b in range(B):
        alone = asa.asa(x[:, b : b + 1], matrix, 0.4, 0.7, conv1, conv2)
        assert torch.equal(alone[:, 0], y[:, b])
    parts = asa.asa_parts(x[:, 0], matrix, 0.4, 0.7, conv1, conv2, 0.5)
    M = parts.importance
    rank_in_row = M.argsort(stable=True, dim=1, descending=True).argsort(1)
    rank_in_column = M.argsort(stable=True, dim=0, descending=True).argsort(0)
    rows, columns = (rank_in_row < C // 2).double(), (rank_in_column < T // 2).double()
    M1 = (rows + columns == 1).double()
    assert torch.equal(parts.mask, M1)
    gates = torch.where(M1[:, :, None, None] == 1, *parts.maps)
    assert torch.allclose(parts.out, x[:, 0] * gates)


@pytest.mark.parametrize("kind", asa.EXTRA)
def test_asa_net(kind: asa.Kind) -> None:
    model = asa.Net(kind, timesteps=4)
    x = uniform(4, 2, 2, 32, 32, high=3)
    settle(model, x)
    with torch.no_grad():
        model.fc2.bias.add_(0.15)
        trains = model.trains(x)
        assert_alive(trains)
        assert tuple(s[0, 0].numel() for s in trains) == asa.NEURONS
        assert torch.equal(model(x), trains[-1].mean(0))
        alone = model.trains(x[:, :1])
    assert all(torch.equal(a, s[:, :1]) for a, s in zip(alone[:2], trains[:2], strict=True))
    assert 0 < asa.nasfr(trains) < 1


def test_pool_folds() -> None:
    x, w = normal(1, 3, 8, 8), normal(5, 3, 3, 3, seed=1)
    want = F.avg_pool2d(F.conv2d(x, w, padding=1), 2)
    assert torch.allclose(F.conv2d(x, asa.pool_folded(w), stride=2, padding=1), want)


# --- SSC ---


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_ssc(stride: int, groups: int, kernel: int) -> None:
    """The loops equal a dense convolution times a mask."""
    x = (uniform(2, 4, 6, 6) < 0.15).double()
    weight, bias = normal(4, 4 // groups, kernel, kernel), normal(4, seed=1)
    mask = (uniform(2, 3, 3, seed=2) < 0.5).double()
    got = ssc.masked_conv(x, weight, mask, bias, stride, groups=groups)
    assert_alive([got])
    assert torch.allclose(got, ssc.masked_conv_dense(x, weight, mask, bias, stride, groups=groups))
    scopes: tuple[ssc.Scope, ...] = ("site", "group")
    for scope in scopes:
        got = ssc.center_conv(x, weight, bias, stride, groups=groups, scope=scope)
        want = ssc.center_conv_dense(x, weight, bias, stride, groups, scope)
        assert_alive([got])
        assert torch.allclose(got, want)


def test_ssc_norm() -> None:
    mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).double()
    x = normal(1, 3, 4, 4)
    mean, var = ssc.masked_statistics(x, mask)
    y = ssc.masked_norm(x, mask, var.rsqrt(), 1 - mean * var.rsqrt())
    assert torch.allclose(y.sum((0, 2, 3)), torch.full((3,), 8.0).double())
    assert not bool(y[0, :, :2, 2:].any())
    assert torch.equal(ssc.masked_image(x, mask) != 0, (y != 0))
    assert ssc.upsample(mask, 4, 4)[0].tolist() == [[1, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2


# --- Razor ---


def test_razor() -> None:
    """Zero frames go whatever the gain; untrained gains lose no other; planted negative ones do."""
    T, B = 8, 2
    x = (uniform(T, B, 3, 4, 4) < 0.3).double()
    x[2] = 0
    untrained = razor.Razor(torch.zeros(4, T).double())
    empty = [float(t == 2) for t in range(T)]
    assert untrained.masks(x).tolist() == [[1 - e] * B for e in empty]
    assert torch.equal(untrained(x), 2 * x)
    assert parameters(untrained) == 4 * T

    # Channel 1 has events at t = 5 alone, and nothing else happens then; all embeddings are against it.
    x[:, :, 1] = 0
    x[5] = 0
    x[5, :, 1] = 1
    planted = torch.zeros(4, T).double()
    planted[:, 5] = -10
    sharp = razor.Razor(planted, torch.ones(4).double())
    assert sharp.masks(x).tolist() == [[float(t not in (2, 5))] * B for t in range(T)]
    assert torch.equal(sharp(x)[:5], 2 * x[:5])
    assert not bool(sharp(x)[5].any())
    assert torch.allclose(sharp.train()(x)[5], x[5] * 4 * torch.sigmoid(torch.tensor(-10.0)).double())
    thresholds = (0.0, 0.4, 1.0, 2.0, 3.0)
    kept = [int(razor.Razor(planted, threshold=th).masks(x).sum()) for th in thresholds]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == T * B
    assert kept[-1] == 0


def test_razor_neurons() -> None:
    a = normal(6, 1000)
    assert torch.equal(razor.lif(a), asa.lif(a).spikes)
    assert not torch.equal(razor.lif(a, leak="exponential"), razor.lif(a))
    spike = torch.tensor([0.0, 1.0])
    assert razor.keep_factor(spike, 0.3, "exponential").tolist() == pytest.approx([0.3, 0.0107], abs=1e-4)
    assert bool((razor.liaf(a) >= 0).all())
