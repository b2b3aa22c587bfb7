"""`snncc.nn` against `tests.oracles`, a second implementation written from the equations alone.

Spikes and counts are compared exactly, and wherever all numbers are dyadic everything is; else to 1e-12.
Weights go over by position. Every comparison first sees that something spikes, and something does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from snncc.nn import (
    IF,
    LIAF,
    LIF,
    PLIF,
    QCFS,
    SFA,
    SRIF,
    TCSA,
    AdvancedSpatialAttention,
    HSDNeuron,
    MaskedBatchNorm2d,
    Neuron,
    RazorGate,
    SparseConv2d,
    SpatialAttention,
    hsd_loss,
    qcfs_to_if,
    set_mask,
    set_step_mode,
    tdBN,
)
from snncc.nn.integer import Rounding
from snncc.nn.masked import Rule
from snncc.nn.models import asa_3layer, asa_5layer, razor_3layer, vgg_snn
from snncc.nn.models.asa import Kind
from snncc.nn.rectifier import rectified
from tests.oracles import asa, espikeformer, hsd, razor, srif, ssc

ROUNDINGS = get_args(Rounding)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=draw(seed), dtype=torch.float64)


def dyadic(*shape: int, low: int = -8, high: int = 13, unit: float = 0.25, seed: int = 0) -> Tensor:
    """Multiples of *unit*, of which many lie exactly on a threshold."""
    return torch.randint(low, high, shape, generator=draw(seed)).double() * unit


def events(*shape: int, rate: float = 0.3, seed: int = 0) -> Tensor:
    return (torch.rand(*shape, generator=draw(seed)) < rate).double()


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=1e-12)


def alive(*trains: Tensor) -> bool:
    return all(0 < int(train.count_nonzero()) < train.numel() for train in trains)


def copy_by_position(one: nn.Module, other: nn.Module) -> None:
    copy_tensors(chain(one.parameters(), one.buffers()), chain(other.parameters(), other.buffers()))


@torch.no_grad()
def copy_tensors(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        assert source.numel() == target.numel()
        target.copy_(source.reshape(target.shape))


@torch.no_grad()
def randomized(model: Any, x: Tensor, *, bias: tuple[float, float] = (0, 1.5)) -> Any:
    """*model* in float64 and evaluation, its normalizations and linear layers such that it spikes for *x*."""
    generator = draw(7)
    model.double().train()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(1, 3, generator=generator)
            module.bias.uniform_(*bias, generator=generator)
            module.momentum = 1.0
        elif isinstance(module, nn.Linear):
            strength = 0.3 if "attention" in name else 3
            module.weight.normal_(0, strength / module.in_features**0.5, generator=generator)
    model(x)
    return model.eval()


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor, parts: Iterable[nn.Module]) -> tuple[Tensor, list[Tensor]]:
    """The output of *model*, and those of its *parts* in order of execution."""
    found: list[Tensor] = []
    hooks = [part.register_forward_hook(lambda _, __, out: found.append(out)) for part in parts]
    out = model(x)
    for hook in hooks:
        hook.remove()
    return out, found


def stepped(neuron: Neuron, x: Tensor) -> Tensor:
    """The outputs [T, B, ...] timestep by timestep; asserts that whole trains give the same."""
    set_step_mode(neuron, "m")
    train = neuron(x)
    set_step_mode(neuron, "s")
    with torch.no_grad():
        assert torch.equal(torch.stack([neuron(x_t) for x_t in x]), train)
    return train.detach()


# --- Neurons ---


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("D", [1, 4, 8])
@pytest.mark.parametrize("inputs", [dyadic, normal])
def test_sfa(rounding: Rounding, D: int, inputs: Callable[..., Tensor]) -> None:
    x = inputs(6, 4, 500) * (D / 4)
    n = espikeformer.sfa(x, D, rounding)
    assert alive(n)
    assert torch.equal(stepped(SFA(D, norm=1, rounding=rounding), x), n)
    assert torch.equal(stepped(SFA(D, rounding=rounding), x), n / D)
    carried = espikeformer.sfa_sequence(x, D, rounding)
    assert alive(carried)
    assert not torch.equal(carried, n)
    assert torch.equal(stepped(SFA(D, rounding=rounding, carry=True), x), carried / D)
    forgetting = espikeformer.ilif(x, D, rounding=rounding)
    assert alive(forgetting)
    assert not torch.equal(forgetting, carried)
    ilif = SFA(D, norm=1, rounding=rounding, carry=True, decay=0.25, detach_reset=True)
    assert torch.equal(stepped(ilif, x), forgetting)
    if inputs is dyadic:
        other = espikeformer.sfa(x, D, "even" if rounding == "floor" else "floor")
        assert not torch.equal(other, n)  # ties do occur


@pytest.mark.parametrize("rectifier", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("inputs", [dyadic, normal])
def test_srif(rectifier: bool, strict: bool, inputs: Callable[..., Tensor]) -> None:
    x = inputs(8, 1, 100_000) * 0.5
    wanted = srif.srif(x, rectified=rectifier, strict=strict)
    assert alive(wanted.spikes)
    neuron = SRIF(rectifier=rectifier, strict=strict)
    assert torch.equal(stepped(neuron, x), wanted.spikes)
    assert isinstance(neuron.v, Tensor)
    assert torch.equal(neuron.v, wanted.after[-1])
    lazy = srif.srif(x, strict=not strict).spikes
    assert torch.equal(lazy, wanted.spikes) == (inputs is normal)
    assert close(rectified(wanted.before), srif.rectify(wanted.before))


def test_the_example_of_the_srif_paper() -> None:
    x = srif.example()[:, None]
    assert tuple(stepped(SRIF(), x)[:, 0].int().tolist()) == srif.EXAMPLE_SRIF
    assert tuple(stepped(IF(0.5, reset="zero"), x)[:, 0].int().tolist()) == srif.EXAMPLE_IF


@pytest.mark.parametrize("inputs", [dyadic, normal])
def test_binary_neurons(inputs: Callable[..., Tensor]) -> None:
    """Those of ASA-SNN, Razor SNN, TET, InfLoR-SNN's counterpart, Spike-driven Transformer, and PLIF."""
    x = inputs(8, 2, 3000)
    w = 0.4
    pairs: list[tuple[Neuron, Tensor]] = [
        (LIF(0.3, 0.3, reset="zero"), asa.lif(x).spikes),
        (LIF(0.25, 0.5, reset="value", v_reset=0.5), asa.lif(x, 0.5, 0.25, 0.5).spikes),
        (LIF(0.3, 0.3, reset="zero"), razor.lif(x)),
        (LIAF(0.3, 0.3, reset="zero"), razor.liaf(x)),
        (LIF(0.5, 1.0, strict=True, reset="zero"), hsd.tet_lif(x)),
        (IF(0.5, reset="zero"), srif.hard_if(x).spikes),
        (IF(0.5, reset="value", v_reset=-0.25, strict=True), srif.hard_if(x, 0.5, -0.25, True).spikes),
        (LIF(0.5, 1.0, reset="zero", decay_input=True), espikeformer.lif(x)),
        (
            LIF(0.5, 1.0, reset="value", v_reset=-0.25, v_init=-0.25, decay_input=True),
            espikeformer.lif(x, v_reset=-0.25),
        ),
        (PLIF(reset="zero", w=w), asa.plif(x, w)),
    ]
    for neuron, wanted in pairs:
        assert alive(wanted)
        assert torch.equal(stepped(neuron, x), wanted), neuron


@pytest.mark.parametrize(
    ("inputs", "lam"),
    [(dyadic, 1.0), (dyadic, 4.0), (normal, 1.7), (normal, torch.tensor([0.5, 3.0, 1.3])[:, None])],
)
@torch.no_grad()
def test_qcfs_and_its_neurons(inputs: Callable[..., Tensor], lam: float | Tensor) -> None:
    x = inputs(5, 2, 3, 8000)
    for L in (1, 4, 8):
        module = QCFS(L, lam).double()
        wanted = hsd.qcfs(x, module.lam, L)
        assert alive(wanted)
        assert close(module(x), wanted)
    spikes = qcfs_to_if(module, "qcfs", step_mode="m")
    wanted = hsd.qcfs_neuron(x, module.lam)
    assert isinstance(spikes, IF)
    assert alive(wanted)
    assert torch.equal(spikes(x) != 0, wanted != 0)
    assert close(spikes(x), wanted)
    binary = qcfs_to_if(module, "hsd", step_mode="m")
    assert isinstance(binary, HSDNeuron)
    assert torch.equal(binary(x), hsd.hsd_neuron(x, module.lam))
    assert torch.equal(hsd.hsd_neuron(x, module.lam), (wanted != 0).double()) == (inputs is normal)


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_hsd_loss(tau: float) -> None:
    student, teacher, labels = normal(4, 5, 7), normal(5, 7, seed=1), torch.tensor([0, 3, 6, 2, 2])
    students = [student.clone().requires_grad_() for _ in range(2)]
    mine = hsd_loss(students[0], teacher, labels, tau)
    other = hsd.distillation_loss(students[1], teacher, labels, tau)
    assert close(mine.detach(), other.detach())
    (one,) = torch.autograd.grad(mine, students[0])
    (two,) = torch.autograd.grad(other, students[1])
    assert bool(one.any())
    assert close(one, two)


# --- Normalization ---


def test_tdbn() -> None:
    x = 2 * normal(6, 3, 4, 5, 5) + 1
    norm = tdBN(4, theta=0.5, alpha=0.7).double()
    nn.init.normal_(norm.weight, 1, 0.3, generator=draw(1))
    nn.init.normal_(norm.bias, 0, 1, generator=draw(2))
    gamma, beta = norm.weight.detach(), norm.bias.detach()
    mean, var = srif.tdbn_statistics(x)
    assert close(norm(x).detach(), srif.tdbn(x, srif.Norm(gamma, beta, mean, var, 0.7)))
    count = x.numel() // 4
    running = (0.1 * mean, 0.9 + 0.1 * var * count / (count - 1))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert close(norm.running_mean, running[0])
    assert close(norm.running_var, running[1])
    norm.eval()
    assert close(norm(x).detach(), srif.tdbn(x, srif.Norm(gamma, beta, *running, 0.7)))
    assert close(norm(x[0]).detach(), norm(x)[0].detach())


@torch.no_grad()
def test_a_network_of_inflor() -> None:
    """Convolutions, tdBN and SRIF with the rectifier; the output accumulates and never fires."""
    T, B = 6, 2
    x = normal(B, 3, 8, 8).expand(T, -1, -1, -1, -1)
    convs = [nn.Conv2d(i, o, 3, padding=1, bias=False).double() for i, o in ((3, 8), (8, 8))]
    norms, neurons = [tdBN(8).double() for _ in convs], [SRIF(rectifier=True, step_mode="m") for _ in convs]
    head = nn.Linear(512, 5).double()
    for k, norm in enumerate(norms):
        nn.init.uniform_(norm.weight, 1, 2, generator=draw(k))
        nn.init.uniform_(norm.bias, -0.1, 0.4, generator=draw(k))
        norm.momentum = 1.0
    for training in (True, False):
        here, there = x, x
        for conv, norm, neuron in zip(convs, norms, neurons, strict=True):
            here = conv(here.flatten(0, 1)).unflatten(0, (T, B))
            here = neuron(norm.train(training)(here))
            there = torch.stack([conv(x_t) for x_t in there])
            statistics = srif.tdbn_statistics(there)
            if not training:
                assert norm.running_mean is not None
                assert norm.running_var is not None
                statistics = (norm.running_mean, norm.running_var)
            there = srif.tdbn(there, srif.Norm(norm.weight, norm.bias, *statistics))
            there = srif.srif(there, rectified=True).spikes
            assert alive(there)
            assert torch.equal(here, there)
        output = IF(1.0, reset="none")
        for x_t, potential in zip(here, srif.accumulate(head(there.flatten(2))), strict=True):
            output(head(x_t.flatten(1)))
            assert isinstance(output.v, Tensor)
            assert close(output.v, potential)


# --- Attention ---


@pytest.mark.parametrize("lam", [0.5, 0.3])
@pytest.mark.parametrize("reduction", [None, 1, 2])
@torch.no_grad()
def test_asa(reduction: int | None, lam: float) -> None:
    """ASA-2 (no reduction), ASA-1; also where many importances tie: then the first are the largest."""
    T, B, C = 6, 3, 10
    module = AdvancedSpatialAttention(
        None if reduction is None else T, fc=reduction is not None, reduction=reduction or 1, lam=lam
    ).double()
    for k, weight in enumerate(module.fc):
        weight.copy_(dyadic(*weight.shape, low=-3, high=4, seed=k))
    for conv in (module.conv1, module.conv2):
        nn.init.normal_(conv.weight, generator=draw(3))
    matrices = tuple(module.fc)
    fc: Any = {0: None, 1: matrices[0] if matrices else None, 2: matrices}[len(matrices)]
    tied = dyadic(T, B, C, 4, 4, low=0, high=3, seed=4)
    assert len(set((tied.mean((3, 4)) + tied.amax((3, 4))).flatten().tolist())) < T * B * C
    for x in (tied, events(T, B, C, 4, 4), normal(T, B, C, 5, 3)):
        for alpha, gamma in ((0.5, 0.5), (0.25, -1.5)):
            module.alpha.fill_(alpha)
            module.gamma.fill_(gamma)
            mask = torch.stack(
                [
                    asa.asa_parts(
                        x[:, b], fc, alpha, gamma, module.conv1.weight, module.conv2.weight, lam
                    ).mask
                    for b in range(B)
                ],
                1,
            )
            assert alive(mask)
            assert torch.equal(module.important(x).double(), mask)
            wanted = asa.asa(x, fc, alpha, gamma, module.conv1.weight, module.conv2.weight, lam)
            assert close(module(x), wanted)
            assert not close(module(x), x)


@torch.no_grad()
def test_asa_as_a_module() -> None:
    x = normal(6, 3, 8, 5, 5)
    for fc in (True, False):
        one = AdvancedSpatialAttention(6 if fc else None, fc=fc).double()
        other = asa.ASA(6, fc).double()
        copy_by_position(one, other)
        assert close(one(x), other(x))


@pytest.mark.parametrize("kernel", [3, 7])
@torch.no_grad()
def test_sa(kernel: int) -> None:
    x = normal(4, 3, 8, 9, 6)
    one, other = SpatialAttention(kernel).double(), asa.SA(kernel).double()
    copy_by_position(one, other)
    assert close(one(x), other(x))
    assert not close(one(x), x / 2)


@torch.no_grad()
def test_tcsa() -> None:
    x = normal(8, 3, 12, 6, 5) * (1 + normal(8, 3, 12, 1, 1, seed=1))
    one, other = TCSA(8, 12).double(), asa.TCSA(8, 12).double()
    for parameter in one.parameters():
        nn.init.normal_(parameter, 0, 0.5, generator=draw(parameter.numel()))
    copy_by_position(one, other)
    assert close(one(x), other(x))
    assert float((one(x) - x / 8).abs().max()) > 0.1


@pytest.mark.parametrize("kind", get_args(Kind))
@torch.no_grad()
def test_three_layers(kind: Kind) -> None:
    T, B = 8, 2
    x = events(T, B, 2, 32, 32)
    torch.manual_seed(0)
    model = randomized(asa_3layer(kind, T, 5), x)
    other = asa.Net(kind, T, 5).double()
    copy_by_position(model, other)
    wanted = other.trains(x)
    assert alive(*wanted)
    out, trains = outputs(model, x, model.stages)
    assert len(trains) == len(wanted) == 5
    assert all(torch.equal(a, b) for a, b in zip(trains, wanted, strict=True))
    assert close(out, other(x))


@torch.no_grad()
def test_five_layers() -> None:
    T, B = 3, 1
    x = events(T, B, 2, 128, 128)
    torch.manual_seed(0)
    model = randomized(asa_5layer("ASA-1", T, 3), x)
    for k, stage in enumerate(model.stages):
        stage.neuron.w.fill_(0.3 * k)
    out, trains = outputs(model, x, model.stages)
    y = x
    for k, stage in enumerate(model.stages):
        y = torch.stack([stage.synapses(y_t) for y_t in y])
        if stage.attention is not None:
            attention = asa.ASA(T, True).double()
            copy_by_position(stage.attention, attention)
            y = attention(y)
        y = asa.plif(y, 0.3 * k)
        assert alive(y)
        assert torch.equal(trains[k], y)
    assert len(trains) == 7
    assert close(out, y.reshape(T, B, 3, 10).mean(3).mean(0))


# --- Razor ---


def weights(gate: RazorGate, sample: Tensor) -> Tensor:
    """``softmax(conv(mean of X))`` of one sample [T, ...]."""
    assert gate.conv.bias is not None
    return torch.softmax(gate.conv.weight[..., 0] @ sample.flatten(1).mean(1) + gate.conv.bias, 0).detach()


def razored(gate: RazorGate, x: Tensor) -> list[razor.Razored]:
    samples = x.unbind(1)
    return [razor.razor(s, gate.embeddings.detach(), weights(gate, s), gate.threshold) for s in samples]


def between(parts: list[razor.Razored]) -> float:
    """A threshold that some frames reach and others do not."""
    scores = sorted({score for part in parts for score in part.score.tolist()})
    middle = len(scores) // 2
    return (scores[middle - 1] + scores[middle]) / 2


def check_gate(gate: RazorGate, x: Tensor) -> None:
    parts = razored(gate, x)
    mask = torch.stack([part.mask for part in parts], 1)
    assert alive(mask)
    weighed = torch.stack([part.weighed for part in parts], 1)
    pruned = torch.stack([part.pruned for part in parts], 1)
    assert close(gate.gains(x), torch.stack([part.gain for part in parts]))
    assert close(gate.scores(x), torch.stack([part.score for part in parts], 1))
    assert close(gate.train()(x), weighed)
    gate.eval()
    assert close(gate(x), pruned)
    assert torch.equal(gate(x) != 0, pruned != 0)
    gate.gain = "none"
    assert torch.equal(gate(x), x * mask.reshape(*mask.shape, *[1] * (x.ndim - 2)))
    gate.gain, gate.mask = "graded", False
    assert close(gate(x), weighed)
    gate.mask = True


@pytest.mark.parametrize("shape", [(3, 4, 4), (20,)])
@torch.no_grad()
def test_razor_gate(shape: tuple[int, ...]) -> None:
    """Planted embeddings: first one weight for all samples, as in the oracle's module, then the module's."""
    T, B, E = 8, 3, 4
    x = events(T, B, *shape, rate=0.1)
    x[2] = 0
    gate = RazorGate(T, embeddings=E).double().eval()
    gate.embeddings.copy_(4 * normal(E, T, seed=1) - 2)
    gate.conv.weight.zero_()
    assert gate.conv.bias is not None
    gate.conv.bias.copy_(normal(E, seed=2))
    planted = razor.Razor(gate.embeddings.detach(), torch.softmax(gate.conv.bias, 0)).double()
    gate.threshold = planted.threshold = between(razored(gate, x))
    assert int((planted.masks(x) == 0).sum()) > B  # more than the empty frame
    assert close(gate(x), planted(x))
    assert torch.equal((gate.scores(x) >= gate.threshold).double(), planted.masks(x))
    check_gate(gate, x)
    nn.init.normal_(gate.conv.weight, 0, 4, generator=draw(3))
    assert not close(weights(gate, x[:, 0]), weights(gate, x[:, 1]))
    gate.threshold = between(razored(gate, x))
    check_gate(gate, x)


@torch.no_grad()
def test_razor_network() -> None:
    T, B = 6, 2
    x = events(T, B, 2, 32, 32)
    torch.manual_seed(0)
    model: Any = razor_3layer(T, 5)
    for k, gate in enumerate(m for m in model.modules() if isinstance(m, RazorGate)):
        nn.init.normal_(gate.embeddings, -0.5, 2, generator=draw(k))
        nn.init.normal_(gate.conv.weight, 0, 2, generator=draw(k))
    model = randomized(model, x)
    other = asa.Net("vanilla", T, 5).double()
    copy_tensors(
        (t for name, t in chain(model.named_parameters(), model.named_buffers()) if ".gate." not in name),
        chain(other.parameters(), other.buffers()),
    )
    synapses: list[Callable[[Tensor], Tensor]] = [
        *(lambda y, one=layer: one.pool(one.bn(one.conv(y))) for layer in other.layers),
        lambda y: other.fc1(y.flatten(1)),
        other.fc2,
    ]
    y, wanted = x, []
    for k, stage in enumerate(model.stages):
        if k:
            stage.gate.threshold = between(razored(stage.gate, y))
            parts = razored(stage.gate, y)
            assert alive(torch.stack([part.mask for part in parts]))
            y = torch.stack([part.pruned for part in parts], 1)
        currents = torch.stack([synapses[k](y_t) for y_t in y])
        y = razor.liaf(currents) if k == 4 else razor.lif(currents)
        wanted.append(y)
    assert alive(*wanted)
    out, trains = outputs(model, x, model.stages)
    assert all(torch.equal(a != 0, b != 0) for a, b in zip(trains, wanted, strict=True))
    assert all(close(a, b) for a, b in zip(trains, wanted, strict=True))
    assert close(out, y.mean(0))


# --- Masked convolution ---


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (3, 0), (5, 2)])
@torch.no_grad()
def test_sparse_convolution(stride: int, groups: int, kernel: int, padding: int) -> None:
    """Both rules, integers: exact. Where there are two timesteps, both have the same map."""
    T, B, C, O = 2, 2, 4, 8  # noqa: E741
    x = events(T * B, C, 6, 5, rate=0.15)
    keep = events(B, 3, 5, rate=0.5, seed=1)
    maps = keep.repeat(T, 1, 1)
    options: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups}
    made = {rule: SparseConv2d(C, O, kernel, rule=rule, **options).double() for rule in get_args(Rule)}
    for conv in made.values():
        conv.weight.copy_(dyadic(*conv.weight.shape, low=-4, high=5, seed=2))
        assert conv.bias is not None
        conv.bias.copy_(dyadic(O, low=1, high=5, seed=3))
    weight, bias = made["patch"].weight, made["patch"].bias
    patch = ssc.masked_conv(x, weight, maps, bias, **options)
    center = ssc.center_conv(x, weight, bias, **options)
    assert alive(patch, center)
    assert torch.equal(made["center"](x), center)
    for conv in made.values():
        set_mask(conv, keep)
    assert torch.equal(made["patch"](x), patch)
    assert torch.equal(made["center"](x), center * ssc.upsample(maps, *patch.shape[2:])[:, None])


@torch.no_grad()
def test_masked_stage() -> None:
    """Image, convolution, normalization in training and in evaluation, counts."""
    B = 3
    image, keep = normal(B, 3, 12, 12), events(B, 3, 3, rate=0.5, seed=1)
    conv, norm, neuron = SparseConv2d(3, 6, 3, 2, 1).double(), MaskedBatchNorm2d(6).double(), SFA(4, norm=1)
    nn.init.uniform_(norm.weight, 0.7, 1.3, generator=draw(2))
    nn.init.uniform_(norm.bias, 0.5, 1.5, generator=draw(3))
    stage = nn.Sequential(conv, norm, neuron)
    set_mask(stage, keep)
    x = ssc.masked_image(image, keep)
    y = ssc.masked_conv(x, conv.weight, keep, conv.bias, 2)
    assert close(conv(x), y)
    mean, var = ssc.masked_statistics(y, keep)
    count = int(ssc.upsample(keep, 6, 6).sum())
    factor = norm.weight / torch.sqrt(var + norm.eps)
    trained = ssc.masked_norm(y, keep, factor, norm.bias - factor * mean)
    assert alive(trained, espikeformer.sfa(trained))
    assert close(norm(y), trained)
    running = (0.1 * mean, 0.9 + 0.1 * var * count / (count - 1))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert close(norm.running_mean, running[0])
    assert close(norm.running_var, running[1])
    stage.eval()
    factor = norm.weight / torch.sqrt(running[1] + norm.eps)
    wanted = ssc.masked_norm(y, keep, factor, norm.bias - factor * running[0])
    assert close(norm(conv(x)), wanted)
    assert alive(espikeformer.sfa(wanted))
    assert torch.equal(stage(x), espikeformer.sfa(wanted))


# --- VGG ---


@torch.no_grad()
def test_vgg() -> None:
    """The network of QCFS, and both networks of neurons that it becomes, neuron by neuron."""
    T, L = 3, 4
    x = events(T, 1, 2, 48, 48)
    torch.manual_seed(0)
    model = vgg_snn(neuron=lambda: QCFS(L, 1.0), output="train")
    for k, step in enumerate(m for m in model.modules() if isinstance(m, QCFS)):
        step.lam.fill_(0.8 + 0.1 * k)
    randomized(model, x, bias=(-0.2, 0.8))
    other = hsd.VGG(L).double()
    copy_by_position(model, other)

    steps = [m for m in model.modules() if isinstance(m, QCFS)]
    logits, activations = outputs(model, x, steps)
    y, wanted = x[0], []
    for layer in other.features:
        y = layer(y)
        if isinstance(layer, hsd.Qcfs):
            wanted.append(y)
    assert alive(*wanted)
    assert all(close(a[0], b) for a, b in zip(activations, wanted, strict=True))
    assert close(logits[0], other(x[0]))

    kinds: tuple[hsd.Kind, ...] = ("qcfs", "hsd")
    for kind in kinds:
        *trains, last = other.trains(x, kind)
        assert alive(*trains)
        converted = qcfs_to_if(model, kind, step_mode="m")
        neurons = [m for m in converted.modules() if isinstance(m, IF if kind == "qcfs" else HSDNeuron)]
        logits, found = outputs(converted, x, neurons)
        assert len(found) == len(trains) == 8
        assert all(torch.equal(a != 0, b != 0) for a, b in zip(found, trains, strict=True))
        assert all(close(a, b) for a, b in zip(found, trains, strict=True))
        assert close(logits, last)
        converted.output = "mean"  # type: ignore[assignment]
        assert close(converted(x), last.mean(0))
