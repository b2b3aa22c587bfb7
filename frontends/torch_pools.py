"""Handlers of pooling over windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from snncc.frontends.torch_arithmetic import check_commutes, result
from snncc.frontends.torch_codes import Mixed, Signal, prod
from snncc.frontends.torch_operand import Operand, operand
from snncc.frontends.torch_record import Call, Handler
from snncc.ir import Affine, Array, MaxPool, Pool, Shape, Sparse, wires

Padding = tuple[int, int, int, int]


def sizes(value: Any, default: Sequence[int] | None = None) -> tuple[int, int]:
    """One or two sizes, as torch's pooling takes them."""
    values = [value] if isinstance(value, int) else list(value)
    if not values and default is not None:
        values = list(default)
    return (int(values[0]), int(values[-1]))


def traced(call: Call) -> Signal:
    """The signal of the first argument."""
    signal = call.recorder.signal(call.args[0])
    if signal is None:
        raise Mixed("pools constants by a signal")
    return signal


def padding_for(
    shape: Shape,
    out: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
) -> Padding:
    """Padding with which the windows fit the result exactly (in ceil mode more at the end)."""
    ends = []
    for k in (0, 1):
        reach = (out[-2 + k] - 1) * stride[k] + dilation[k] * (kernel[k] - 1) + 1
        ends.append(max(pad[k], reach - shape[-2 + k] - pad[k]))
    return (pad[0], ends[0], pad[1], ends[1])


def avg_pool2d(call: Call) -> None:
    """Average pooling; where windows differ in their divisor, a sum and a factor for each position."""
    signal = traced(call)
    check_commutes(signal.over, has_offset=False)
    kernel = sizes(call.args[1])
    stride = sizes(call.argument(2, "stride", []), kernel)
    pad = sizes(call.argument(3, "padding", 0))
    counts_padding = bool(call.argument(5, "count_include_pad", True))
    divisor = call.argument(6, "divisor_override")
    found = operand(signal, call.recorder.grid, 2)
    shape, out = found.cells.shape, tuple(result(call).shape)
    padding = padding_for(shape, out, kernel, stride, pad, (1, 1))
    divisors = window_divisors(shape, out, kernel, stride, pad, counts_padding=counts_padding)
    if divisor is not None:
        divisors = np.full_like(divisors, float(divisor))
    finish_pool(call, found, kernel, stride, padding, divisors)


def window_divisors(
    shape: Shape,
    out: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    *,
    counts_padding: bool,
) -> Array:
    """How many numbers each window averages over, [height, width] of the result."""
    counts = []
    for k in (0, 1):
        size = shape[-2 + k]
        start = np.arange(out[-2 + k]) * stride[k] - pad[k]
        stop = np.minimum(start + kernel[k], size + pad[k])
        if not counts_padding:
            start, stop = np.maximum(start, 0), np.minimum(stop, size)
        counts.append(stop - start)
    return np.multiply.outer(*counts).astype(np.float64)


def finish_pool(
    call: Call,
    found: Operand,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    divisors: Array,
) -> None:
    """A pool node, followed by a factor where the average is not over the whole window everywhere."""
    builder, place = call.recorder.builder, call.place
    is_average = bool(np.all(divisors == prod(kernel)))
    source = builder.wire(found.cells, place)
    name = builder.name(place, "avg_pool" if is_average else "sum_pool", is_main=is_average)
    node = Pool(
        name=name,
        inputs=wires(source),
        origin=str(place),
        kernel=kernel,
        stride=stride,
        padding=padding,
        is_average=is_average,
    )
    builder.add(node)
    if not is_average:
        gain = 1 / divisors
        gain = gain if np.any(gain != gain.flat[0]) else np.asarray(gain.flat[0])
        name = builder.name(place, "avg_pool")
        builder.add(Affine(name=name, inputs=wires(node.name), origin=str(place), gain=gain))
    frame = found.frame(result(call).shape[-2:])
    call.recorder.emit(result(call), frame, name, place)


def max_pool2d(call: Call) -> None:
    """Max pooling; the indices that torch may also give are no part of the graph."""
    signal = traced(call)
    if signal.over is not None:
        raise Mixed("pools after a reduction over time")
    kernel = sizes(call.args[1])
    stride = sizes(call.argument(2, "stride", []), kernel)
    pad = sizes(call.argument(3, "padding", 0))
    dilation = sizes(call.argument(4, "dilation", 1))
    found = operand(signal, call.recorder.grid, 2)
    padding = padding_for(found.cells.shape, tuple(result(call).shape), kernel, stride, pad, dilation)
    max_pool(call, found, kernel, stride, padding, dilation)


def max_pool(
    call: Call,
    found: Operand,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> None:
    builder, place = call.recorder.builder, call.place
    source = builder.wire(found.cells, place)
    name = builder.name(place, "max_pool")
    node = MaxPool(
        name=name,
        inputs=wires(source),
        origin=str(place),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    builder.add(node)
    call.recorder.emit(result(call), found.frame(result(call).shape[-2:]), name, place)


def adaptive_avg_pool2d(call: Call) -> None:
    """Windows of one size where they divide the map evenly, else a table."""
    signal = traced(call)
    check_commutes(signal.over, has_offset=False)
    found = operand(signal, call.recorder.grid, 2)
    (height, width), out = found.cells.shape[-2:], sizes(call.args[1])
    if height % out[0] == 0 and width % out[1] == 0:
        kernel = (height // out[0], width // out[1])
        finish_pool(call, found, kernel, kernel, (0, 0, 0, 0), np.full(out, float(prod(kernel))))
        return
    builder, place = call.recorder.builder, call.place
    rows, columns = adaptive_matrix(height, out[0]), adaptive_matrix(width, out[1])
    post, pre = np.nonzero(np.kron(rows, columns))
    weight = np.kron(rows, columns)[post, pre]
    maps = np.arange(prod(found.outer))[:, None]
    shape = (*found.outer, *out)
    name = builder.name(place, "avg_pool")
    node = Sparse(
        name=name,
        inputs=wires(builder.wire(found.cells, place)),
        origin=str(place),
        weight=np.broadcast_to(weight, (len(maps), len(weight))).reshape(-1),
        pre=(maps * (height * width) + pre).reshape(-1),
        post=(maps * prod(out) + post).reshape(-1),
        shape=shape,
    )
    builder.add(node)
    call.recorder.emit(result(call), found.frame(out), name, place)


def adaptive_matrix(size: int, out: int) -> Array:
    """[out, size]: the weights of torch's adaptive windows along one axis."""
    matrix = np.zeros((out, size))
    for k in range(out):
        start, stop = k * size // out, -(-(k + 1) * size // out)
        matrix[k, start:stop] = 1 / (stop - start)
    return matrix


def adaptive_max_pool2d(call: Call) -> None:
    """Adaptive max pooling with windows of one size."""
    found = operand(traced(call), call.recorder.grid, 2)
    (height, width), out = found.cells.shape[-2:], sizes(call.args[1])
    if height % out[0] or width % out[1]:
        raise Mixed(
            f"takes maxima over windows of different sizes ({height}x{width} to {out[0]}x{out[1]})",
            "choose an output size that divides the map",
        )
    kernel = (height // out[0], width // out[1])
    max_pool(call, found, kernel, kernel)


def over_maps(handler: Handler, neutral: Mapping[int, int | None]) -> Handler:
    """*handler*, which pools over two axes, for a pool over three whose window over the first is 1.

    *neutral* has, by the position of an argument, what its first number then is; None: the size of that axis.
    """

    def pool(call: Call) -> None:
        args = list(call.args)
        for k, number in neutral.items():
            if k < len(args) and args[k] != []:
                values = [args[k]] * 3 if isinstance(args[k], int) else [*args[k], *args[k], *args[k]][:3]
                if values[0] != (args[0].shape[-3] if number is None else number):
                    raise Mixed("pools over three axes", "pool over height and width alone: (1, 2, 2)")
                args[k] = values[1:]
        handler(replace(call, args=tuple(args)))

    return pool


avg_pool3d = over_maps(avg_pool2d, {1: 1, 2: 1, 3: 0})
max_pool3d = over_maps(max_pool2d, {1: 1, 2: 1, 3: 0, 4: 1})
adaptive_avg_pool3d = over_maps(adaptive_avg_pool2d, {1: None})
adaptive_max_pool3d = over_maps(adaptive_max_pool2d, {1: None})
