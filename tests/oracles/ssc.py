"""Spike sparse convolution: by patch mask (the authors' code) and by center spike (the paper's remark).

Written from the published equations alone, without looking at the code of snncc.
Loops over output positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Scope = Literal["site", "group"]
# (sample, output channel, row, column) of an output -> whether it is computed.
Rule = Callable[[int, int, int, int], bool]


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Side of a convolution's output."""
    return (size + 2 * padding - kernel) // stride + 1


def upsample(mask: Tensor, height: int, width: int) -> Tensor:
    """Nearest [B, height, width] of a keep-map [B, h, w]: the patch in which the position falls."""
    B, h, w = mask.shape
    out = mask.new_zeros(B, height, width)
    for i in range(height):
        for j in range(width):
            out[:, i, j] = mask[:, i * h // height, j * w // width]
    return out


def at(x: Tensor, c: int, i: int, j: int) -> float:
    """``x[c, i, j]``, 0 outside."""
    inside = 0 <= i < x.shape[1] and 0 <= j < x.shape[2]
    return float(x[c, i, j]) if inside else 0.0


def convolve_where(
    x: Tensor, weight: Tensor, bias: Tensor | None, active: Rule, stride: int, padding: int, groups: int
) -> Tensor:
    """Convolution whose outputs are exactly 0, without bias, where not *active*."""
    B, C, H, W = x.shape
    outputs, inputs, k, _ = weight.shape
    height, width = (output_size(n, k, stride, padding) for n in (H, W))
    y = x.new_zeros(B, outputs, height, width)
    for b in range(B):
        for o in range(outputs):
            first = o // (outputs // groups) * (C // groups)
            for i in range(height):
                for j in range(width):
                    if not active(b, o, i, j):
                        continue
                    total = 0.0 if bias is None else float(bias[o])
                    for c in range(inputs):
                        for di in range(k):
                            for dj in range(k):
                                value = at(
                                    x[b], first + c, i * stride - padding + di, j * stride - padding + dj
                                )
                                total += float(weight[o, c, di, dj]) * value
                    y[b, o, i, j] = total
    return y


def masked_conv(
    x: Tensor,
    weight: Tensor,
    mask: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
) -> Tensor:
    """``conv(x) * keep``, keep being the keep-map *mask* [B, h, w] nearest-upsampled to the output."""
    k = weight.shape[-1]
    p = k // 2 if padding is None else padding
    keep = upsample(mask, output_size(x.shape[2], k, stride, p), output_size(x.shape[3], k, stride, p))
    return convolve_where(x, weight, bias, lambda b, o, i, j: bool(keep[b, i, j]), stride, p, groups)


def masked_conv_dense(
    x: Tensor,
    weight: Tensor,
    mask: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
) -> Tensor:
    """`masked_conv` by an ordinary convolution and a product."""
    y = F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2 if padding is None else padding, 1, groups)
    return y * upsample(mask, y.shape[2], y.shape[3])[:, None]


def center_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    scope: Scope = "site",
) -> Tensor:
    """Convolution with outputs only where the input under the kernel's center has a spike; odd kernels.

    *scope*: a spike in any channel (``site``), or in any channel that the output reads (``group``).
    """
    C = x.shape[1]
    outputs, inputs, k, _ = weight.shape
    p = k // 2 if padding is None else padding

    def active(b: int, o: int, i: int, j: int) -> bool:
        first = o // (outputs // groups) * (C // groups)
        channels = range(C) if scope == "site" else range(first, first + inputs)
        return any(at(x[b], c, i * stride - p + k // 2, j * stride - p + k // 2) != 0 for c in channels)

    return convolve_where(x, weight, bias, active, stride, p, groups)


def center_conv_dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    groups: int = 1,
    scope: Scope = "site",
) -> Tensor:
    """`center_conv` with padding k // 2, by an ordinary convolution and a product."""
    outputs, inputs, k, _ = weight.shape
    y = F.conv2d(x, weight, bias, stride, k // 2, 1, groups)
    spikes = (x[:, :, ::stride, ::stride] != 0).to(x)
    if scope == "site":
        return y * spikes.amax(1, keepdim=True)
    of_group = torch.stack([spikes[:, g * inputs : (g + 1) * inputs].amax(1) for g in range(groups)], 1)
    return y * of_group.repeat_interleave(outputs // groups, 1)


def masked_image(x: Tensor, mask: Tensor) -> Tensor:
    """The image [B, C, H, W] times its keep-map [B, h, w]: what the first convolution sees."""
    return x * upsample(mask, x.shape[2], x.shape[3])[:, None]


def masked_statistics(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance per channel of x [B, C, H, W] over the active positions alone."""
    keep = upsample(mask, x.shape[2], x.shape[3]).bool()
    rows = torch.stack([x[b, :, i, j] for b, i, j in keep.nonzero().tolist()])
    mean = rows.mean(0)
    return mean, ((rows - mean) ** 2).mean(0)


def masked_norm(x: Tensor, mask: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """Batch normalization as an affine map per channel on active positions; the others stay exactly 0."""
    keep = upsample(mask, x.shape[2], x.shape[3])[:, None]
    return (x * factor[:, None, None] + offset[:, None, None]) * keep
