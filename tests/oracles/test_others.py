"""The oracles against published numbers: SRIF, HSD, ASA, spike sparse convolution and Razor."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.oracles import asa, hsd, razor, srif, ssc
from tests.oracles.common import assert_alive, normal, parameters, settle, uniform


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
