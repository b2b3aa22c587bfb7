"""Handlers of operations with weights: convolutions and products with a constant matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from snncc.frontends.torch_arithmetic import check_commutes, is_all, result
from snncc.frontends.torch_codes import Mixed, Signal, prod
from snncc.frontends.torch_operand import batched, operand
from snncc.frontends.torch_products import matrices
from snncc.frontends.torch_record import Call
from snncc.ir import Conv, Dense, wires


def convolution(call: Call) -> None:
    """Convolution in one or two dimensions, with constant weights."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = call.args[:9]
    signal = call.recorder.signal(x)
    if signal is None or call.recorder.signal(weight) is not None:
        raise Mixed("convolves with a weight that depends on the input")
    if transposed:
        raise Mixed("is a transposed convolution", "upsample (nearest) and convolve")
    if weight.ndim not in (3, 4):
        raise Mixed(f"is a convolution in {weight.ndim - 2} dimensions; the IR has one and two")
    check_commutes(signal.over, has_offset=bias is not None and not is_all(bias, 0.0))
    recorder, place, builder = call.recorder, call.place, call.recorder.builder
    found = batched(signal, recorder.grid, weight.ndim - 1)
    cells = found.cells
    is_line = weight.ndim == 3
    if is_line:
        cells = cells[:, None, :]
        weight, stride, padding, dilation = weight[:, :, None], [1, *stride], [0, *padding], [1, *dilation]
    source = builder.wire(np.ascontiguousarray(cells), place)
    name = builder.name(place, "conv")
    offset = None if bias is None else bias.double().numpy().reshape(-1, 1, 1)
    node = Conv(
        name=name,
        inputs=wires(source),
        origin=str(place),
        weight=weight.detach().double().numpy(),
        bias=offset,
        stride=pair(stride),
        padding=(padding[0], padding[0], padding[1], padding[1]),
        dilation=pair(dilation),
        groups=int(groups),
    )
    builder.add(node)
    out = result(call)
    sizes = (out.shape[1], 1, out.shape[2]) if is_line else tuple(out.shape[1:])
    recorder.emit(out, found.frame(sizes), name, place)


def pair(values: Sequence[int]) -> tuple[int, int]:
    """Two sizes as a tuple."""
    return int(values[0]), int(values[1])


def mm(call: Call) -> None:
    """``a @ b`` of matrices, one of them constant."""
    product(call, call.args[0], call.args[1], None)


def mv(call: Call) -> None:
    """``a @ b`` with a constant vector b."""
    if call.recorder.signal(call.args[1]) is not None:
        raise Mixed("multiplies by a vector that depends on the input")
    product(call, call.args[0], call.args[1][:, None], None, drops=True)


def addmm(call: Call) -> None:
    """``beta*bias + alpha*(a @ b)``."""
    bias, a, b = call.args[:3]
    alpha, beta = float(call.kwargs.get("alpha", 1)), float(call.kwargs.get("beta", 1))
    if call.recorder.signal(bias) is not None:
        raise Mixed("adds a product to a signal (addmm)", "write it as a sum and a product")
    if call.recorder.signal(b) is None:
        b = alpha * b
    else:
        a = alpha * a
    product(call, a, b, beta * bias)


def product(call: Call, a: Tensor, b: Tensor, bias: Tensor | None, *, drops: bool = False) -> None:
    """A product of a signal and a constant; [.., M, K] @ [.., K, N]."""
    left, right = call.recorder.signal(a), call.recorder.signal(b)
    if left is not None and right is not None:
        if bias is not None and not is_all(bias, 0.0):
            raise Mixed("adds a constant to a product of signals in one operation", "add it by itself")
        frame, name = matrices(call, left, right)
        call.recorder.emit(result(call), frame, name, call.place)
        return
    out = result(call)
    if left is not None:
        dense(call, left, one_matrix(b), bias, out.shape if not drops else (*out.shape, 1), flips=False)
    elif right is not None:
        flipped = Signal(right.codes.transpose(-1, -2), right.over)
        dense(call, flipped, one_matrix(a).T, bias, out.transpose(-1, -2).shape, flips=True)


def one_matrix(weight: Tensor) -> Tensor:
    """The one matrix that a stack of constant matrices repeats."""
    if weight.ndim == 3:
        if bool((weight != weight[:1]).any()):
            raise Mixed(
                "multiplies by a stack of different matrices", "use a grouped convolution, or one layer each"
            )
        weight = weight[0]
    return weight


def dense(
    call: Call, signal: Signal, weight: Tensor, bias: Tensor | None, shape: Sequence[int], *, flips: bool
) -> None:
    """*signal* [..., K] times *weight* [K, N]; *shape* is the result's, transposed at the end if *flips*."""
    recorder, place, builder = call.recorder, call.place, call.recorder.builder
    if bias is not None and is_all(bias, 0.0):
        bias = None
    check_commutes(signal.over, has_offset=bias is not None)
    found = operand(signal, recorder.grid, 1)
    source = builder.wire(found.cells, place)
    frame = found.frame([int(weight.shape[1])])
    if flips:
        places = torch.arange(prod(shape)).reshape((*shape[:-2], shape[-1], shape[-2]))
        frame = replace(frame, places=places.transpose(-1, -2).reshape(-1)[frame.places])
    offset = None if bias is None else frame.constant(bias, result(call).shape)
    name = builder.name(place, "linear")
    node = Dense(
        name=name,
        inputs=wires(source),
        origin=str(place),
        weight=weight.T.detach().double().numpy(),
        bias=offset,
    )
    builder.add(node)
    recorder.emit(result(call), frame, name, place)
