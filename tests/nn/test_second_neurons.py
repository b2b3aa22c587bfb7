"""Neurons and normalization against the second implementation in `tests.oracles`.

Spikes and counts are compared exactly, and wherever all numbers are dyadic everything is; else to 1e-12.
Weights go over by position. Every comparison first sees that something spikes, and something does not.
"""

from __future__ import annotations

from collections.abc import Callable

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
    HSDNeuron,
    Neuron,
    hsd_loss,
    qcfs_to_if,
    tdBN,
)
from snncc.nn.integer import Rounding
from snncc.nn.rectifier import rectified
from tests.nn.second import (
    ROUNDINGS,
    alive,
    close,
    draw,
    dyadic,
    normal,
    stepped,
)
from tests.oracles import asa, binary, counting, hsd, razor, srif


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("D", [1, 4, 8])
@pytest.mark.parametrize("inputs", [dyadic, normal])
def test_sfa(rounding: Rounding, D: int, inputs: Callable[..., Tensor]) -> None:
    x = inputs(6, 4, 500) * (D / 4)
    n = counting.sfa(x, D, rounding)
    assert alive(n)
    assert torch.equal(stepped(SFA(D, norm=1, rounding=rounding), x), n)
    assert torch.equal(stepped(SFA(D, rounding=rounding), x), n / D)
    carried = counting.sfa_sequence(x, D, rounding)
    assert alive(carried)
    assert not torch.equal(carried, n)
    assert torch.equal(stepped(SFA(D, rounding=rounding, carry=True), x), carried / D)
    forgetting = counting.ilif(x, D, rounding=rounding)
    assert alive(forgetting)
    assert not torch.equal(forgetting, carried)
    ilif = SFA(D, norm=1, rounding=rounding, carry=True, decay=0.25, detach_reset=True)
    assert torch.equal(stepped(ilif, x), forgetting)
    if inputs is dyadic:
        other = counting.sfa(x, D, "even" if rounding == "floor" else "floor")
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
        (LIF(0.5, 1.0, reset="zero", decay_input=True), binary.lif(x)),
        (
            LIF(0.5, 1.0, reset="value", v_reset=-0.25, v_init=-0.25, decay_input=True),
            binary.lif(x, v_reset=-0.25),
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
