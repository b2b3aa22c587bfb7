"""The VGG-like network for CIFAR10-DVS of hybrid step-wise distillation (HSD) and of TET."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.attention import check_train, whole
from snncc.nn.integrate import IF
from snncc.nn.models.asa import Stage, in_one_type
from snncc.nn.neuron import Neuron, set_step_mode

Output = Literal["mean", "train"]


class VGGSNN(nn.Module):
    """Convolutions 64-128-P-256-256-P-512-512-P-512-512-P and one linear layer, made by `vgg_snn`."""

    def __init__(self, stages: list[Stage], *, channels: int, size: int, output: Output) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.channels = channels
        self.size = size
        self.output: Output = output

    def forward(self, x: Tensor) -> Tensor:
        frames = x.ndim == 4  # one timestep
        train = x.unsqueeze(0) if frames else x
        check_train(self, train, channels=self.channels)
        if tuple(train.shape[3:]) != (self.size, self.size):
            raise BadInput(
                f"VGGSNN: built for frames of {self.size} x {self.size}, not for the shape {tuple(x.shape)}"
            )
        for name, module in self.named_modules():
            if isinstance(module, Neuron) and module.step_mode == "s" and module.has_state:
                raise BadInput(
                    f"VGGSNN: {name} takes single timesteps, the model whole trains",
                    hint='snncc.nn.set_step_mode(model, "m")',
                )
        logits = in_one_type(self, self.stages, train)
        if frames:
            return logits.squeeze(0)
        return logits.mean(0) if self.output == "mean" else logits

    def extra_repr(self) -> str:
        return f"channels={self.channels}, size={self.size}, output={self.output!r}"


def hsd_neuron() -> IF:
    """The neuron of HSD's fine-tuning: ``v = 0.5`` at first, ``v += x; s = [v > 1]; v -= s``."""
    return IF(1.0, v_init=0.5, strict=True, step_mode="m")


def vgg_snn(
    classes: int = 10,
    neuron: Callable[[], nn.Module] = hsd_neuron,
    *,
    channels: int = 2,
    size: int = 48,
    output: Output = "mean",
) -> VGGSNN:
    """The VGG-like network for CIFAR10-DVS: input [T, B, channels, size, size], or one timestep without T.

    Every convolution (3 x 3, bias) is followed by batch normalization and by what *neuron*, called once
    for each of the eight layers, makes: a module of `snncc.nn`, which is set to step mode "m" (``lambda:
    QCFS(8)`` for the network before its conversion, where T and B are one), or any module that takes
    [T, B, C, H, W]. P is average pooling by 2. The output is the mean over time of the logits
    [B, classes], or with output="train" all of them [T, B, classes], which the step-wise loss needs. An
    input [B, C, H, W] is one timestep from the initial state. 9,271,498 parameters for 10 classes at
    48 x 48, without those of the neurons (QCFS: 8). *size* is a multiple of 16.
    """
    classes = whole("vgg_snn: classes", classes)
    channels = whole("vgg_snn: channels", channels)
    if whole("vgg_snn: size", size) % 16:
        raise BadInput(f"vgg_snn: size must be a multiple of 16, not {size}")
    if output not in get_args(Output):
        raise BadInput(f"vgg_snn: output must be one of {get_args(Output)}, not {output!r}")
    stages, inputs = [], channels
    for width, pool in ((64, 0), (128, 0), (256, 1), (256, 0), (512, 1), (512, 0), (512, 1), (512, 0)):
        made: object = None if isinstance(neuron, nn.Module) else neuron()
        if not isinstance(made, nn.Module):
            raise BadInput("vgg_snn: neuron must be a function that makes a module", hint="neuron=IF")
        conv = nn.Conv2d(inputs, width, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        pools = [nn.AvgPool2d(2)] * pool  # of the layer before: its spikes are pooled
        stages.append(Stage(nn.Sequential(*pools, conv, nn.BatchNorm2d(width)), made))
        inputs = width
    linear = nn.Linear(inputs * (size // 16) ** 2, classes)
    nn.init.zeros_(linear.bias)
    stages.append(Stage(nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), linear)))
    return set_step_mode(VGGSNN(stages, channels=channels, size=size, output=output), "m")
