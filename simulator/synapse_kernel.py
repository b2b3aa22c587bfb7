"""Synapses, event by event, over dense 64-bit trains: work is done for what is not zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.jit import kernel

Ints = NDArray[np.int64]


@kernel
def scatter_conv(x: Ints, weight: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> None:
    """Add to *out* [N, H, W, groups, outs] what *x* [N, groups, ins, h, w] causes.

    *weight* is [groups, ins, kh, kw, outs]; *padding* is (top, left).
    """
    groups, ins, kh, kw, outs = weight.shape
    sy, sx, dy, dx = stride[0], stride[1], dilation[0], dilation[1]
    for n in range(len(x)):
        for g in range(groups):
            for c in range(ins):
                for y in range(x.shape[3]):
                    for xx in range(x.shape[4]):
                        value = x[n, g, c, y, xx]
                        if value == 0:
                            continue
                        for ky in range(kh):
                            ty = y + padding[0] - ky * dy
                            oy = ty // sy
                            if ty < 0 or oy * sy != ty or oy >= out.shape[1]:
                                continue
                            for kx in range(kw):
                                tx = xx + padding[1] - kx * dx
                                ox = tx // sx
                                if tx < 0 or ox * sx != tx or ox >= out.shape[2]:
                                    continue
                                for o in range(outs):
                                    out[n, oy, ox, g, o] += value * weight[g, c, ky, kx, o]


@kernel
def scatter_dense(x: Ints, weight: Ints, out: Ints) -> None:
    """Add to *out* [N, outs] what *x* [N, ins] causes through *weight* [ins, outs]."""
    for n in range(len(x)):
        for k in range(x.shape[1]):
            value = x[n, k]
            if value != 0:
                for o in range(out.shape[1]):
                    out[n, o] += value * weight[k, o]


@kernel
def scatter_table(x: Ints, pre: Ints, post: Ints, weight: Ints, out: Ints) -> None:
    """Add to *out* [N, outs] what *x* [N, ins] causes through the entries of a table."""
    for n in range(len(x)):
        for k in range(len(pre)):
            value = x[n, pre[k]]
            if value != 0:
                out[n, post[k]] += value * weight[k]


@kernel
def pooled(x: Ints, kernel_size: Ints, stride: Ints, padding: Ints, out: Ints) -> None:
    """Add to *out* [N, H, W] the sums over windows of *x* [N, h, w]; *padding* is (top, left)."""
    sy, sx = stride[0], stride[1]
    for n in range(len(x)):
        for y in range(x.shape[1]):
            for xx in range(x.shape[2]):
                value = x[n, y, xx]
                if value == 0:
                    continue
                for ky in range(kernel_size[0]):
                    ty = y + padding[0] - ky
                    oy = ty // sy
                    if ty < 0 or oy * sy != ty or oy >= out.shape[1]:
                        continue
                    for kx in range(kernel_size[1]):
                        tx = xx + padding[1] - kx
                        ox = tx // sx
                        if tx >= 0 and ox * sx == tx and ox < out.shape[2]:
                            out[n, oy, ox] += value


@kernel
def weigh(x: Ints, every: Ints, nonzero: Ints, counts_values: bool, total: Ints) -> None:
    """Add to *total* [B, 4] what *x* [T, B, ticks, K] meets.

    Per sample: (number, synapse) pairs, the same for nonzero weights, the sum of the numbers, how many are
    not zero. *every* and *nonzero* [K] are the synapses behind each address; spikes count as often as they
    come (*counts_values*), other numbers once.
    """
    for t in range(len(x)):
        for b in range(x.shape[1]):
            for d in range(x.shape[2]):
                for k in range(x.shape[3]):
                    value = x[t, b, d, k]
                    if value != 0:
                        times = value if counts_values else 1
                        total[b, 0] += times * every[k]
                        total[b, 1] += times * nonzero[k]
                        total[b, 2] += value
                        total[b, 3] += 1
