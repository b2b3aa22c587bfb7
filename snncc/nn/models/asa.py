"""The event-stream networks of ASA-SNN ("Inherent redundancy in spiking neural networks") and Razor SNN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn

from snncc.errors import BadInput, UnknownName
from snncc.nn.attention import TCSA, AdvancedSpatialAttention, SpatialAttention, check_train, whole
from snncc.nn.integrate import ResetKind
from snncc.nn.leaky import LIAF, LIF, PLIF
from snncc.nn.razor import Gain, RazorGate
from snncc.nn.surrogate import ATan, Rectangle, Surrogate

Kind = Literal["vanilla", "SA", "TCSA", "ASA-1", "ASA-2"]

# lens = 0.25 in the authors' configuration: 1/(2*lens) within lens of the threshold
RECTANGLE = Rectangle(0.5)


class Stage(nn.Module):
    """One layer of a network over trains [T, B, ...]: gate, synapses, attention, neuron.

    *synapses* knows no time and is applied to all timesteps at once; gate, attention and neuron see the
    whole train. All but the synapses may be absent.
    """

    def __init__(
        self,
        synapses: nn.Module,
        neuron: nn.Module | None = None,
        *,
        gate: nn.Module | None = None,
        attention: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.gate = gate
        self.synapses = synapses
        self.attention = attention
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            x = self.gate(x)
        y = self.synapses(x.flatten(0, 1))
        x = y.reshape(*x.shape[:2], *y.shape[1:])
        if self.attention is not None:
            x = self.attention(x)
        return x if self.neuron is None else self.neuron(x)


class EventNet(nn.Module):
    """Stages in a row over a train of frames; the output [B, classes] is a mean over time.

    The input is [T, B, C, size, size]. Before the mean, groups of *votes* neurons are averaged to one
    class. Made by `asa_3layer`, `asa_5layer` and `razor_3layer`.
    """

    def __init__(
        self, stages: list[Stage], *, channels: int, size: int, timesteps: int | None, votes: int = 1
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.channels = channels
        self.size = size
        self.timesteps = timesteps
        self.votes = votes

    def forward(self, x: Tensor) -> Tensor:
        check_train(self, x, timesteps=self.timesteps, channels=self.channels)
        if tuple(x.shape[3:]) != (self.size, self.size):
            raise BadInput(
                f"EventNet: built for frames of {self.size} x {self.size}, "
                f"the input [T, B, C, H, W] has the shape {tuple(x.shape)}"
            )
        out = in_one_type(self, self.stages, x)
        if self.votes > 1:
            out = out.reshape(*out.shape[:2], -1, self.votes).mean(3)
        return out.mean(0)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, size={self.size}, timesteps={self.timesteps}, votes={self.votes}"


def asa_3layer(
    kind: Kind = "vanilla",
    timesteps: int = 60,
    classes: int = 11,
    *,
    reduction: int = 1,
    t_ratio: int = 4,
    c_ratio: int = 4,
    kernel_size: int = 7,
    v_reset: float = 0.0,
    surrogate: Surrogate = RECTANGLE,
) -> EventNet:
    """The three-layer network for DVS128 Gesture and Gait: input [T, B, 2, 32, 32], output [B, classes].

    Convolutions 2-64-128-128 (3 x 3, bias, batch normalization, average pooling by 1, 2, 2, then the
    attention *kind*, then LIF), fully connected 8192-256-classes with LIF, and the mean over time of the
    last spikes. LIF: leak 0.3, threshold 0.3, fires on >=, resets to *v_reset* (0; its ancestor TA-SNN
    resets to the threshold). 2,323,531 parameters for 11 classes; SA adds 294, TCSA 24,126, ASA-1 10,914,
    ASA-2 114. *reduction* is ASA-1's, the ratios TCSA's, *kernel_size* that of SA and TCSA. TCSA and
    ASA-1 need trains of exactly *timesteps*. Dropout is left out. Raises `UnknownName` for other kinds.
    """
    attend = _attention(kind, timesteps, reduction, t_ratio, c_ratio, kernel_size)
    classes = whole("asa_3layer: classes", classes)

    def lif() -> LIF:
        reset: ResetKind = "value" if v_reset else "zero"
        return LIF(0.3, 0.3, reset=reset, v_reset=v_reset, surrogate=surrogate, step_mode="m")

    stages = [
        *(
            Stage(_conv(i, o, pool), lif(), attention=attend(o))
            for i, o, pool in ((2, 64, 1), (64, 128, 2), (128, 128, 2))
        ),
        Stage(nn.Sequential(nn.Flatten(), nn.Linear(8192, 256)), lif()),
        Stage(nn.Linear(256, classes), lif()),
    ]
    fixed = timesteps if kind in ("TCSA", "ASA-1") else None
    return EventNet(stages, channels=2, size=32, timesteps=fixed)


def asa_5layer(
    kind: Kind = "vanilla",
    timesteps: int = 20,
    classes: int = 11,
    *,
    reduction: int = 1,
    t_ratio: int = 4,
    c_ratio: int = 4,
    kernel_size: int = 7,
    surrogate: Surrogate = ATan(),  # noqa: B008  frozen
) -> EventNet:
    """The five-layer network for DVS128 Gesture: input [T, B, 2, 128, 128], output [B, classes].

    Five convolutions to 128 channels (3 x 3, no bias, batch normalization, the attention *kind*, PLIF),
    maximum pooling by 2 before all but the first and after the last, fully connected
    2048-512-10*classes with PLIF, and the mean of 10 neurons for a class and over time. PLIF: sigmoid(w)
    with w = 0 at first, threshold 1, hard reset to 0. 1,698,933 parameters for 11 classes; ASA-1 adds
    2,190 with 20 timesteps. The options are those of `asa_3layer`.
    """
    attend = _attention(kind, timesteps, reduction, t_ratio, c_ratio, kernel_size)
    classes = whole("asa_5layer: classes", classes)

    def plif() -> PLIF:
        return PLIF(0.5, reset="zero", surrogate=surrogate, step_mode="m")

    stages = []
    for k in range(5):
        pool = [nn.MaxPool2d(2)] * (k > 0)
        conv = nn.Conv2d(128 if k else 2, 128, 3, padding=1, bias=False)
        stages.append(Stage(nn.Sequential(*pool, conv, nn.BatchNorm2d(128)), plif(), attention=attend(128)))
    head = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2048, 512))
    stages += [Stage(head, plif()), Stage(nn.Linear(512, 10 * classes), plif())]
    fixed = timesteps if kind in ("TCSA", "ASA-1") else None
    return EventNet(stages, channels=2, size=128, timesteps=fixed, votes=10)


def razor_3layer(
    timesteps: int = 60,
    classes: int = 11,
    *,
    embeddings: int = 4,
    threshold: float = 0.4,
    gain: Gain = "graded",
    mask: bool = True,
    surrogate: Surrogate = RECTANGLE,
) -> EventNet:
    """The three-layer network of Razor SNN: input [T, B, 2, 32, 32], output [B, classes].

    `asa_3layer` without attention, a `RazorGate` on the input of every layer but the first, and LIAF
    neurons in the last: their potentials, not their spikes, are averaged over time, where positive. The
    neurons leak by 0.3 and reset to 0 (not by the factor tau*exp(-1/tau) of the paper's equation 4). The
    options but *surrogate* are those of `RazorGate`. For 11 classes and 60 timesteps 2,325,467 parameters,
    1,936 of them in the gates.
    """
    net = asa_3layer("vanilla", timesteps, classes, surrogate=surrogate)
    for stage in list(net.stages)[1:]:
        stage.gate = RazorGate(timesteps, embeddings=embeddings, threshold=threshold, gain=gain, mask=mask)
    net.stages[-1].neuron = LIAF(0.3, 0.3, reset="zero", surrogate=surrogate, step_mode="m")
    net.timesteps = timesteps
    return net


def in_one_type(model: nn.Module, layers: nn.Module, x: Tensor) -> Tensor:
    """``layers(x)``; raises `BadInput` where that fails as *x* has another type than the parameters."""
    try:
        out: Tensor = layers(x)
    except RuntimeError:
        # only now: a type is no error where operations run in another one (autocast, dispatch modes)
        types = {p.dtype for p in layers.parameters()}
        if x.dtype in types:
            raise
        names = ", ".join(sorted(map(str, types)))
        raise BadInput(
            f"{type(model).__name__}: the input is {x.dtype}, the parameters are {names}",
            hint="convert one of them, as with x.to(torch.float32) or model.double()",
        ) from None
    return out


def _conv(inputs: int, outputs: int, pool: int) -> nn.Sequential:
    pools = [nn.AvgPool2d(pool)] * (pool > 1)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), *pools)


def _attention(
    kind: str, timesteps: int, reduction: int, t_ratio: int, c_ratio: int, kernel_size: int
) -> Callable[[int], nn.Module | None]:
    """What makes the attention of *kind* for a number of channels."""
    T = whole("timesteps", timesteps)
    kinds: Mapping[str, Callable[[int], nn.Module | None]] = {
        "vanilla": lambda channels: None,
        "SA": lambda channels: SpatialAttention(kernel_size),
        "TCSA": lambda channels: TCSA(T, channels, t_ratio=t_ratio, c_ratio=c_ratio, kernel_size=kernel_size),
        "ASA-1": lambda channels: AdvancedSpatialAttention(T, reduction=reduction),
        "ASA-2": lambda channels: AdvancedSpatialAttention(None, fc=False),
    }
    if kind not in kinds:
        raise UnknownName("kind of attention", str(kind), kinds)
    return kinds[kind]
