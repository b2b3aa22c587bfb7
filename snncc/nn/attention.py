"""Attention over whole trains: gains for the input of a layer's neurons, before they integrate it.

All modules take and return [T, B, C, H, W]. They need the whole train of a sample before they can give
its first timestep (but for `SpatialAttention`), and they treat every sample by itself: what a batch holds
beside it changes nothing. Parameters never change the type of the computation, as in the neurons.

``macs(shape)`` of a module counts multiply-accumulates for an input of *shape*: (T, C, H, W) for one
sample, (T, B, C, H, W) for a batch. There are two accountings:

- ``"full"``: every convolution, every matrix, and the multiplication of each input by its gain.
- ``"paper"``: what the published tables of "Inherent redundancy in spiking neural networks" add up to.
  It differs for `AdvancedSpatialAttention` alone.

Sums, means, maxima and the sigmoid count as nothing in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.errors import BadInput, UnknownName

Accounting = Literal["full", "paper"]


class AdvancedSpatialAttention(nn.Module):
    """Advanced spatial attention (ASA): separate spatial gains for important and other feature maps.

    For every sample, with a = mean and m = max of x over H and W, both [T, C]::

        M  = 0.5*(a + m) + alpha*a + gamma*m
        M  = W M over T                          reduction 1: W is T x T
             W2 relu(W1 M) over T                reduction r > 1: T -> T/r -> T
                                                 fc=False (ASA-2): M stays as it is
        mc = the floor(lam*C) largest channels of each timestep
        mt = the floor(lam*T) largest timesteps of each channel
        M1 = mc XOR mt,  M2 = 1 - M1
        Xg = x*Mg;  Ag = sigmoid(conv_g([mean Xg / lam_g, max Xg]))    over T and C; lam_1 = lam,
        out = A1*X1 + A2*X2                                            lam_2 = 1 - lam

    Among equal values of M the lowest index is the largest. ASA-1 (fc, the default) has T*T + 2 + 36
    parameters and needs trains of exactly *timesteps*; ASA-2 has 38 and takes any T (*timesteps* None).
    The published parameter counts need reduction 1.

    The selection is a step: no gradient reaches alpha, gamma and the fc, as in the authors' code. Other
    than that code, which merges the selections of all samples of a batch and cannot run with one sample,
    this module follows the formula of a single sample. (Yao et al., "Inherent redundancy in SNNs".)
    """

    def __init__(
        self,
        timesteps: int | None,
        *,
        fc: bool = True,
        reduction: int = 1,
        lam: float = 0.5,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        name = "AdvancedSpatialAttention"
        self.timesteps = None if timesteps is None else whole(f"{name}: timesteps", timesteps)
        if not 0 < lam < 1:
            raise BadInput(f"{name}: lam must be in (0, 1), not {lam!r}")
        self.reduction = whole(f"{name}: reduction", reduction)
        self.lam = float(lam)
        self.alpha = nn.Parameter(torch.tensor(0.5))
        self.gamma = nn.Parameter(torch.tensor(0.5))
        self.fc = nn.ParameterList()
        if fc:
            if self.timesteps is None:
                raise BadInput(f"{name}: the fc over time needs the number of timesteps", hint="or fc=False")
            hidden = _reduced(f"{name}: timesteps", self.timesteps, self.reduction)
            shapes = ((hidden, self.timesteps), (self.timesteps, hidden))
            self.fc.extend(_dense(*shape) for shape in (shapes if self.reduction > 1 else shapes[:1]))
        elif self.reduction != 1:
            raise BadInput(f"{name}: reduction has no effect without the fc")
        kernel = _odd(f"{name}: kernel_size", kernel_size)
        self.conv1 = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.conv2 = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_train(self, x, timesteps=self.timesteps)
        important = self.important(x)[..., None, None].to(x.dtype)
        parts = (x * important, x * (1 - important))
        shares = (self.lam, 1 - self.lam)
        out = torch.zeros_like(x)
        for part, share, conv in zip(parts, shares, (self.conv1, self.conv2), strict=True):
            # first over C, then over T: the order of the additions does not depend on B
            maps = torch.stack([part.mean(2).mean(0) / share, part.amax(2).amax(0)], dim=1)
            out = out + torch.sigmoid(_convolved(maps, conv))[None] * part
        return out

    def important(self, x: Tensor) -> Tensor:
        """M1, the important pairs of timestep and channel, as bool [T, B, C]."""
        check_train(self, x, timesteps=self.timesteps)
        with torch.no_grad():
            mean, peak = x.mean((3, 4)), x.amax((3, 4))
            alpha, gamma = self.alpha.to(x.dtype), self.gamma.to(x.dtype)
            scores = 0.5 * (mean + peak) + alpha * mean + gamma * peak
            for k, weight in enumerate(self.fc):
                scores = _over_time(weight, torch.relu(scores) if k else scores)
            T, _, C = scores.shape
            return _largest(scores, int(self.lam * C), 2) != _largest(scores, int(self.lam * T), 0)

    def macs(self, shape: Sequence[int], accounting: Accounting = "full") -> int:
        """MACs for an input of *shape*.

        "full": T*H*W*C gains, two convolutions on one pair of maps each, and the fc for every channel.
        "paper": the fc, and one convolution on maps for each of T timesteps; no gains. The three layers
        of `asa_3layer` have 7,590,144 and 2,603,520 (published: 2.6 M, also for ASA-2, which has no fc).
        """
        B, T, C, pixels = _sizes(self, shape, accounting)
        if self.timesteps not in (None, T):
            raise BadInput(
                f"AdvancedSpatialAttention: built for {self.timesteps} timesteps, the shape has {T}"
            )
        fc = C * sum(weight.numel() for weight in self.fc)
        conv = self.conv1.weight.numel() * pixels
        return B * (fc + T * conv if accounting == "paper" else T * pixels * C + 2 * conv + fc)

    def extra_repr(self) -> str:
        return f"timesteps={self.timesteps}, reduction={self.reduction}, lam={self.lam:g}"


class SpatialAttention(nn.Module):
    """Spatial attention (SA): ``x*sigmoid(conv([mean over C, max over C]))`` in every timestep.

    One convolution without bias, *kernel_size* odd, 2*kernel_size^2 parameters. With over="train" mean
    and maximum are taken over T and C, so that all timesteps share one map: the published operation
    counts speak for "timestep", the code of "Attention spiking neural networks" does the other. That code
    also ends in a ReLU: *rectify*. (Yao et al., "Attention spiking neural networks".)
    """

    def __init__(
        self,
        kernel_size: int = 7,
        *,
        over: Literal["timestep", "train"] = "timestep",
        rectify: bool = False,
    ) -> None:
        super().__init__()
        kernel = _odd("SpatialAttention: kernel_size", kernel_size)
        if over not in ("timestep", "train"):
            raise BadInput(f"SpatialAttention: over must be 'timestep' or 'train', not {over!r}")
        self.over = over
        self.rectify = rectify
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_train(self, x)
        mean, peak = x.mean(2), x.amax(2)
        if self.over == "train":
            mean, peak = mean.mean(0, keepdim=True), peak.amax(0, keepdim=True)
        maps = torch.stack([mean, peak], dim=2)
        gain = torch.sigmoid(_convolved(maps.flatten(0, 1), self.conv)).reshape(
            len(maps), *x.shape[1:2], 1, *x.shape[3:]
        )
        return torch.relu(x * gain) if self.rectify else x * gain

    def macs(self, shape: Sequence[int], accounting: Accounting = "full") -> int:
        """MACs for an input of *shape*: T*H*W*C gains and a convolution per map, in both accountings.

        The three layers of `asa_3layer` have 14,292,480 (published: 14.3 M).
        """
        B, T, C, pixels = _sizes(self, shape, accounting)
        maps = T if self.over == "timestep" else 1
        return B * (T * pixels * C + maps * self.conv.weight.numel() * pixels)

    def extra_repr(self) -> str:
        return f"over={self.over!r}" + ", rectify" * self.rectify


class TemporalAttention(nn.Module):
    """Temporal attention: ``x*sigmoid(mlp(mean) + mlp(max))``, both over C, H and W: a gain per timestep.

    The shared mlp goes from T to T // ratio, ReLU, and back, without biases.
    """

    def __init__(self, timesteps: int, ratio: int = 4) -> None:
        super().__init__()
        self.timesteps = whole("TemporalAttention: timesteps", timesteps)
        hidden = _reduced("TemporalAttention: timesteps", self.timesteps, ratio)
        self.shrink = nn.Linear(self.timesteps, hidden, bias=False)
        self.grow = nn.Linear(hidden, self.timesteps, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_train(self, x, timesteps=self.timesteps)
        squeezed = (x.mean((2, 3, 4)), x.amax((2, 3, 4)))
        gain = _excited([s.transpose(0, 1) for s in squeezed], self.shrink, self.grow)
        return x * gain.transpose(0, 1)[:, :, None, None, None]

    def macs(self, shape: Sequence[int], accounting: Accounting = "full") -> int:
        """MACs for an input of *shape*: T*H*W*C gains, and the mlp twice, in both accountings."""
        B, T, C, pixels = _sizes(self, shape, accounting)
        return B * (T * pixels * C + 2 * (self.shrink.weight.numel() + self.grow.weight.numel()))


class ChannelAttention(nn.Module):
    """Channel attention: ``x*sigmoid(mlp(mean) + mlp(max))``, both over T, H and W: a gain per channel.

    The shared mlp goes from C to C // ratio, ReLU, and back, without biases.
    """

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.channels = whole("ChannelAttention: channels", channels)
        hidden = _reduced("ChannelAttention: channels", self.channels, ratio)
        self.shrink = nn.Linear(self.channels, hidden, bias=False)
        self.grow = nn.Linear(hidden, self.channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_train(self, x, channels=self.channels)
        squeezed = [x.mean((3, 4)).mean(0), x.amax((0, 3, 4))]
        return x * _excited(squeezed, self.shrink, self.grow)[None, :, :, None, None]

    def macs(self, shape: Sequence[int], accounting: Accounting = "full") -> int:
        """MACs for an input of *shape*: T*H*W*C gains, and the mlp twice, in both accountings."""
        B, T, C, pixels = _sizes(self, shape, accounting)
        return B * (T * pixels * C + 2 * (self.shrink.weight.numel() + self.grow.weight.numel()))


class TCSA(nn.Module):
    """Temporal, channel and spatial attention, one after another; each reads what the one before gave.

    The three layers of `asa_3layer` with both ratios 4 and 7 x 7 kernels have 24,126 parameters. *over*
    and *rectify* are those of `SpatialAttention`; *rectify* acts once, at the end. (Yao et al.,
    "Attention spiking neural networks".)
    """

    def __init__(
        self,
        timesteps: int,
        channels: int,
        *,
        t_ratio: int = 4,
        c_ratio: int = 4,
        kernel_size: int = 7,
        over: Literal["timestep", "train"] = "timestep",
        rectify: bool = False,
    ) -> None:
        super().__init__()
        self.temporal = TemporalAttention(timesteps, t_ratio)
        self.channel = ChannelAttention(channels, c_ratio)
        self.spatial = SpatialAttention(kernel_size, over=over, rectify=rectify)

    def forward(self, x: Tensor) -> Tensor:
        check_train(self, x, timesteps=self.temporal.timesteps, channels=self.channel.channels)
        out: Tensor = self.spatial(self.channel(self.temporal(x)))
        return out

    def macs(self, shape: Sequence[int], accounting: Accounting = "full") -> int:
        """MACs for an input of *shape*: the sum of the three, in both accountings.

        The three layers of `asa_3layer` have 27,119,664. The published 27.3 M were not reproduced.
        """
        parts = (self.temporal, self.channel, self.spatial)
        return sum(part.macs(shape, accounting) for part in parts)


def check_train(
    module: nn.Module, x: Tensor, *, timesteps: int | None = None, channels: int | None = None
) -> None:
    """Raise `BadInput` unless *x* is a floating train [T, B, C, H, W], nothing empty, of the given sizes."""
    name = type(module).__name__
    if not x.is_floating_point():
        raise BadInput(f"{name}: the input must be floating point, not {x.dtype}", hint="x.float()")
    shape = tuple(x.shape)
    if x.ndim != 5 or 0 in shape:
        raise BadInput(f"{name}: the input must be a train [T, B, C, H, W], not of shape {shape}")
    for axis, what, size in ((0, "timesteps", timesteps), (2, "channels", channels)):
        if size is not None and shape[axis] != size:
            raise BadInput(
                f"{name}: built for {size} {what}, the input [T, B, C, H, W] of shape {shape} "
                f"has {shape[axis]}"
            )


def whole(what: str, number: object) -> int:
    """*number*, if it is a whole number of at least 1; else `BadInput`."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise BadInput(f"{what} must be a whole number of at least 1, not {number!r}")
    return number


def _dense(outputs: int, inputs: int) -> nn.Parameter:
    return nn.Parameter(
        nn.init.kaiming_uniform_(torch.empty(outputs, inputs), a=math.sqrt(5))
    )  # as nn.Linear


def _reduced(what: str, size: int, ratio: int) -> int:
    hidden = size // whole("the ratio of an attention", ratio)
    if not hidden:
        raise BadInput(f"{what} ({size}) must be at least the ratio by which it is reduced ({ratio})")
    return hidden


def _odd(what: str, number: int) -> int:
    if whole(what, number) % 2 == 0:
        raise BadInput(f"{what} must be odd, not {number}")
    return number


def _sizes(module: nn.Module, shape: Sequence[int], accounting: str) -> tuple[int, int, int, int]:
    if accounting not in get_args(Accounting):
        raise UnknownName("accounting", accounting, get_args(Accounting))
    if len(shape) not in (4, 5) or any(n < 1 for n in shape):
        raise BadInput(
            f"{type(module).__name__}.macs: the shape must be (T, C, H, W) or (T, B, C, H, W), "
            f"not {tuple(shape)}"
        )
    T, *batch, C, H, W = (int(n) for n in shape)
    return math.prod(batch), T, C, H * W


def _convolved(maps: Tensor, conv: nn.Conv2d) -> Tensor:
    return F.conv2d(maps, conv.weight.to(maps.dtype), padding=conv.padding)


def _excited(squeezed: Sequence[Tensor], shrink: nn.Linear, grow: nn.Linear) -> Tensor:
    """The gain [B, n] for the two summaries [B, n]."""
    down, up = (layer.weight.to(squeezed[0].dtype) for layer in (shrink, grow))
    mean, peak = (F.linear(torch.relu(F.linear(s, down)), up) for s in squeezed)
    return torch.sigmoid(mean + peak)


def _over_time(weight: Tensor, scores: Tensor) -> Tensor:
    """*weight* applied to the axis T of *scores* [T, B, C].

    A sum over a contiguous axis instead of a matrix product: BLAS may add in another order for another B
    or C, and then equal scores would no longer tie.
    """
    rows = scores.permute(1, 2, 0).contiguous().unsqueeze(-2)
    return (rows * weight.to(scores.dtype)).sum(-1).permute(2, 0, 1)


def _largest(scores: Tensor, k: int, axis: int) -> Tensor:
    """Where the *k* largest entries along *axis* are; among equals, the lowest index comes first."""
    order = torch.sort(scores, dim=axis, descending=True, stable=True).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    return chosen.scatter(axis, order.narrow(axis, 0, k), True)
