"""From a QCFS network to integrate-and-fire neurons, and the loss that HSD fine-tunes them with."""

from __future__ import annotations

import copy
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from snncc.errors import BadInput
from snncc.nn.integer import QCFS
from snncc.nn.integrate import IF
from snncc.nn.neuron import StepMode
from snncc.nn.values import keep, learned

Variant = Literal["qcfs", "hsd"]


class HSDNeuron(nn.Module):
    """The neuron that HSD fine-tunes: ``v = 1/2; v += x/lam; s = [v > 1]; v -= s``, sends s, unscaled.

    *lam* is learned, one number or a tensor that broadcasts against the neuron's shape. The state is that of
    the `IF` inside, ``neuron``. (Hybrid step-wise distillation; the authors' IFSpike. The paper's text sends
    lam*s instead.)
    """

    lam: nn.Parameter

    def __init__(self, lam: float | Tensor = 8.0, *, step_mode: StepMode = "s") -> None:
        super().__init__()
        keep(self, "lam", learned(lam))
        self.neuron = IF(1.0, v_init=0.5, strict=True, step_mode=step_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes 0/1 of the shape of *x*: [B, ...] in step mode "s", [T, B, ...] in "m"."""
        spikes: Tensor = self.neuron(x / self.lam.to(x.dtype))
        return spikes


def qcfs_to_if(model: nn.Module, variant: Variant = "qcfs", *, step_mode: StepMode = "s") -> nn.Module:
    """A copy of *model* in which each `QCFS` is an integrate-and-fire neuron.

    "qcfs": `IF` with theta = lam, v_init = lam/2 and subtractive reset, fires at ``>=`` and sends lam*s; its
    mean over T = levels timesteps is the QCFS output where the input is constant. So the first layer is
    exact, deeper ones are not (spikes arrive unevenly): what is exact at every depth is compiling the QCFS
    network itself, whose layers then fire in phases. "hsd": `HSDNeuron`, which sends s without lam, and so
    makes a network to be trained again. Every place of a QCFS gets a neuron of its own; one module that is
    called twice in a forward pass would share its state between the calls. Raises `BadInput` where there is
    no QCFS, or for unknown options.
    """
    if variant not in get_args(Variant):
        raise BadInput(f"qcfs_to_if: variant must be one of {get_args(Variant)}, not {variant!r}")
    twin = copy.deepcopy(model)
    places = [(name, m) for name, m in twin.named_modules(remove_duplicate=False) if isinstance(m, QCFS)]
    if not places:
        raise BadInput(
            f"qcfs_to_if: {type(model).__name__} holds no QCFS", hint="build the model with snncc.nn.QCFS"
        )
    for name, module in places:
        neuron = converted(module, variant, step_mode).train(module.training)
        if not name:
            return neuron
        parent, _, child = name.rpartition(".")
        setattr(twin.get_submodule(parent), child, neuron)
    return twin


def converted(module: QCFS, variant: Variant, step_mode: StepMode) -> nn.Module:
    """The neuron in place of *module*."""
    lam = module.lam.detach().clone()
    module.describe()  # raises for lam <= 0
    if variant == "hsd":
        return HSDNeuron(lam, step_mode=step_mode)
    return IF(lam, v_init=lam / 2, scale=lam, step_mode=step_mode)


def hsd_loss(student: Tensor, teacher: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Cross entropy of the mean logits, plus tau^2 times the mean over t of KL(teacher || student_t).

    *student* holds logits [T, B, K] of every timestep, *teacher* logits [B, K], *labels* classes [B]; both
    distributions are softmax(logits/tau), and the teacher gets no gradient. Raises `BadInput` for shapes
    that do not fit. (Hybrid step-wise distillation.)
    """
    if student.ndim != 3 or teacher.shape != student.shape[1:] or labels.shape != teacher.shape[:1]:
        raise BadInput(
            f"hsd_loss: needs student [T, B, K], teacher [B, K] and labels [B], not {tuple(student.shape)}, "
            f"{tuple(teacher.shape)} and {tuple(labels.shape)}"
        )
    if not tau > 0:
        raise BadInput(f"hsd_loss: tau must be positive, not {tau}")
    task = functional.cross_entropy(student.mean(0), labels)
    goal = torch.log_softmax(teacher.detach() / tau, -1).expand_as(student)
    steps = torch.log_softmax(student / tau, -1)
    # all timesteps have the same batch: the mean over both axes is the mean over t of each one's
    distance = functional.kl_div(steps, goal, reduction="none", log_target=True).sum(-1).mean()
    return task + tau**2 * distance
