"""Re-parameterized convolution: three linear layers in training that are one 3 x 3 convolution afterwards."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.attention import whole

RING = (1, 1, 1, 1)


class RepConv2d(nn.Module):
    """The RepConv of Meta-SpikeFormer: [B, in, H, W] -> [B, out, H, W], no biases, no neuron inside.

    ::

        y = BN1(P1 x)                           P1 1 x 1, in -> in
        y = pad(y, 1, the image BN1(0) of zero)
        out = BN2(P2 (D y))                     D depthwise 3 x 3 without padding, P2 1 x 1, in -> out

    Padding with the image of zero makes all of it one convolution with ordinary zeros outside: `folded`. In
    evaluation the ring of zeros is the padding of P1, so that both normalizations stand behind convolutions
    and the compiler folds them; in training BN1 takes the statistics of the H x W positions inside, and the
    ring follows the running ones. (Yao et al., "Spike-driven Transformer V2", the authors' code.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inside = whole("RepConv2d: in_channels", in_channels)
        outside = whole("RepConv2d: out_channels", out_channels)
        self.first = nn.Conv2d(inside, inside, 1, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(inside)
        self.depthwise = nn.Conv2d(inside, inside, 3, groups=inside, bias=False)
        self.second = nn.Conv2d(inside, outside, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        channels = self.first.in_channels
        if x.ndim != 4 or x.shape[1] != channels:
            raise BadInput(f"RepConv2d: the input must be [B, {channels}, H, W], not {tuple(x.shape)}")
        y = self.first(x)
        y = self._normalized(y[..., 1:-1, 1:-1]) if self.first_norm.training else self.first_norm(y)
        out: Tensor = self.second_norm(self.second(self.depthwise(y)))
        return out

    def folded(self) -> nn.Conv2d:
        """The one convolution, 3 x 3 with zero padding and bias, that this module is in evaluation."""
        with torch.no_grad():
            gain1, offset1 = affine(self.first_norm)
            gain2, offset2 = affine(self.second_norm)
            first = gain1[:, None] * self.first.weight.double()[:, :, 0, 0]
            depthwise = self.depthwise.weight.double()[:, 0]
            second = gain2[:, None] * self.second.weight.double()[:, :, 0, 0]
            conv = nn.Conv2d(self.first.in_channels, self.second.out_channels, 3, padding=1)
            conv = conv.to(self.first.weight)
            assert conv.bias is not None
            conv.weight.copy_(torch.einsum("om,mhw,mi->oihw", second, depthwise, first))
            conv.bias.copy_(second @ (depthwise.sum((1, 2)) * offset1) + offset2)
        return conv.train(self.training)

    def _normalized(self, inside: Tensor) -> Tensor:
        """BN1 of *inside* in training, with a ring of BN1(0)."""
        y = self.first_norm(inside)
        _, zero = affine(self.first_norm)
        ring = F.pad(torch.zeros_like(y[:1, :1]), RING, value=1.0)
        return F.pad(y, RING) + ring * zero.to(y.dtype)[:, None, None]


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Gain and offset of *norm* in evaluation, one for each channel, in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return gain, norm.bias.double() - gain * norm.running_mean.double()
