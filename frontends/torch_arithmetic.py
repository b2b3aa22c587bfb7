"""Handlers of elementwise arithmetic: sums and products of signals, constants on the way, normalization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snncc.errors import CannotTrace
from snncc.frontends.torch_codes import Mixed, Signal
from snncc.frontends.torch_frames import Frame, frame_of_source
from snncc.frontends.torch_parts import accumulated
from snncc.frontends.torch_products import are_events, elementwise
from snncc.frontends.torch_record import Call
from snncc.ir import Add, Affine, Array, Maximum, Mul, Over, wires

SUM_HINT = "use the mean over time, or add the constant before the sum"


def as_tensor(value: Any) -> Tensor:
    """A constant as a float64 tensor."""
    return value.double() if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)


def before(call: Call, value: Any) -> Tensor:
    """The constant *value* as it was before the operation, which may have written to it."""
    if not call.func._schema.is_mutable:
        return as_tensor(value)
    if value in call.recorder.blank:
        return torch.zeros(value.shape, dtype=torch.float64)
    raise Mixed("writes a signal into a constant", "write a = a + b in place of a += b")


def add(call: Call) -> None:
    """``a + alpha*b``."""
    a, b = call.args[:2]
    combine(call, a, b, float(call.argument(2, "alpha", 1)))


def sub(call: Call) -> None:
    """``a - alpha*b``."""
    a, b = call.args[:2]
    combine(call, a, b, -float(call.argument(2, "alpha", 1)))


def rsub(call: Call) -> None:
    """``b - alpha*a``."""
    a, b = call.args[:2]
    combine(call, b, a, -float(call.argument(2, "alpha", 1)))


def combine(call: Call, a: Any, b: Any, alpha: float) -> None:
    """``a + alpha*b``, where at least one is a signal."""
    left, right = call.recorder.signal(a), call.recorder.signal(b)
    if left is not None and right is not None:
        add_signals(call, left, right, alpha)
    elif left is not None:
        affine(call, left, torch.tensor(1.0), alpha * as_tensor(b), "add" if alpha > 0 else "sub")
    elif right is not None:
        affine(call, right, torch.tensor(alpha), before(call, a), "add" if alpha > 0 else "sub")


def mul(call: Call) -> None:
    """``a * b``."""
    a, b = call.args[:2]
    left, right = call.recorder.signal(a), call.recorder.signal(b)
    if left is not None and right is not None:
        multiply_signals(call, left, right)
    elif left is not None:
        affine(call, left, as_tensor(b), torch.tensor(0.0), "mul")
    elif right is not None:
        affine(call, right, before(call, a), torch.tensor(0.0), "mul")


def div(call: Call) -> None:
    """``a / b`` with a constant b."""
    signal = call.recorder.signal(call.args[0])
    if signal is None or call.recorder.signal(call.args[1]) is not None:
        raise Mixed("divides by a signal", "divide by a constant, or learn a factor")
    if call.argument(2, "rounding_mode") is not None:
        raise Mixed(
            "divides with rounding", "an integer activation is a neuron: snncc.nn.SFA or snncc.nn.QCFS"
        )
    affine(call, signal, 1 / as_tensor(call.args[1]), torch.tensor(0.0), "div")


def neg(call: Call) -> None:
    """``-a``."""
    signal = call.recorder.signal(call.args[0])
    assert signal is not None
    affine(call, signal, torch.tensor(-1.0), torch.tensor(0.0), "neg")


def masked_fill(call: Call) -> None:
    """``masked_fill(a, mask, value)`` with a constant mask: a gain of 0 and the value where it is set."""
    a, mask, value = call.args[:3]
    signal = call.recorder.signal(a)
    if signal is None or any(call.recorder.signal(one) is not None for one in (mask, value)):
        raise Mixed("fills where a signal says so", "multiply by a mask of spikes, or gate the events")
    chosen = mask.double()
    affine(call, signal, 1 - chosen, chosen * as_tensor(value), "mask")


def affine(call: Call, signal: Signal, gain: Tensor, offset: Tensor, operation: str) -> None:
    """``gain * signal + offset``; gain and offset broadcast to the result."""
    recorder, like = call.recorder, result(call).shape
    signal = Signal(signal.codes.expand(like), signal.over)
    if is_all(gain, 1.0) and is_all(offset, 0.0):
        recorder.set(result(call), Signal(signal.codes.clone(), signal.over), call.place)
        return
    if not bool(torch.isfinite(gain).all() and torch.isfinite(offset).all()):
        raise Mixed("combines the signal with a constant that is NaN or infinite")
    if turned := other_reduction(call, signal.over, gain, offset):
        recorder.set(result(call), Signal(signal.codes.clone(), turned), call.place)
        return
    check_commutes(signal.over, has_offset=not is_all(offset, 0.0), is_rising=bool((gain > 0).all()))
    frame = recorder.frame(signal)
    try:
        gains, offsets, is_timed = frame.constant(gain, like), frame.constant(offset, like), False
    except Mixed:
        if frame.over is not None:
            raise
        gains, offsets = (frame.timed(c, like, recorder.grid) for c in (gain, offset))
        is_timed = True
    source = recorder.source(signal, frame, like, call.place)
    name = recorder.builder.name(call.place, operation)
    recorder.builder.add(
        Affine(
            name=name,
            inputs=wires(source),
            origin=str(call.place),
            gain=gains,
            offset=offsets,
            per_timestep=is_timed,
        )
    )
    recorder.emit(result(call), frame, name, call.place)


def is_all(tensor: Tensor, value: float) -> bool:
    """Whether all numbers are *value*."""
    return bool((tensor == value).all())


def result(call: Call) -> Tensor:
    """The result, or the first of several."""
    out = call.out[0] if isinstance(call.out, (tuple, list)) else call.out
    assert isinstance(out, Tensor)
    return out


def other_reduction(call: Call, over: Over | None, gain: Tensor, offset: Tensor) -> Over | None:
    """A sum over time divided by the number of timesteps is a mean, and the other way round."""
    if gain.numel() != 1 or not is_all(offset, 0.0):
        return None
    timesteps = call.recorder.grid.timesteps
    if over is Over.SUM and math.isclose(float(gain) * timesteps, 1.0, rel_tol=1e-12):
        return Over.MEAN
    if over is Over.MEAN and float(gain) == timesteps:
        return Over.SUM
    return None


def check_commutes(over: Over | None, *, has_offset: bool, is_rising: bool = False) -> None:
    """Raise `Mixed` where a linear operation after a reduction over time is not the one before it."""
    if over is Over.SUM and has_offset:
        raise Mixed("adds a constant after a sum over time", SUM_HINT)
    if over is Over.MAXIMUM and not is_rising:
        raise Mixed("computes with a maximum over time", "only a mean or a sum may be followed by a layer")


def add_signals(call: Call, left: Signal, right: Signal, alpha: float) -> None:
    """Sum of two signals."""
    recorder, like, place = call.recorder, result(call).shape, call.place
    pair = [Signal(signal.codes.expand(like), signal.over) for signal in (left, right)]
    if alpha == 1.0 and (added := accumulated(recorder, place, *pair)):
        recorder.set(result(call), added, place)
        return
    frame, left, right = together(call, left, right)
    if frame.over is Over.MAXIMUM:
        check_commutes(frame.over, has_offset=False)
    sources = [recorder.source(signal, frame, like, place) for signal in (left, right)]
    if alpha != 1.0:
        name = recorder.builder.name(place, "neg" if alpha == -1 else "scale", is_main=False)
        inputs, gain = wires(sources[1]), np.array(alpha)
        sources[1] = recorder.builder.add(Affine(name=name, inputs=inputs, origin=str(place), gain=gain))
    name = recorder.builder.name(place, "add" if alpha > 0 else "sub")
    recorder.builder.add(Add(name=name, inputs=wires(*sources), origin=str(place)))
    recorder.emit(result(call), frame, name, place)


def together(call: Call, left: Signal, right: Signal) -> tuple[Frame, Signal, Signal]:
    """The frame in which two signals meet, and both expanded to the shape of the result."""
    recorder, like = call.recorder, result(call).shape
    pair = [Signal(signal.codes.expand(like), signal.over) for signal in (left, right)]
    for signal in pair:
        frame = frame_of_source(signal, recorder.builder.shapes, recorder.grid)
        if frame is not None:
            return frame, pair[0], pair[1]
    return recorder.layout(pair[0])[1], pair[0], pair[1]


def multiply_signals(call: Call, left: Signal, right: Signal) -> None:
    """Product of two signals; a smaller one is broadcast by the node."""
    recorder, like, place = call.recorder, result(call).shape, call.place
    if left.over is not None or right.over is not None:
        raise Mixed("multiplies signals after a reduction over time")
    frame, left, right = together(call, left, right)
    sources = []
    for signal in (left, right):
        cells = frame.cells(signal.codes, like)
        sources.append(recorder.builder.wire(narrowed(cells), place))
    if are_events(recorder.builder, sources):
        name = elementwise(call, sources)
    else:
        name = recorder.builder.name(place, "mul")
        recorder.builder.add(Mul(name=name, inputs=wires(*sources), origin=str(place)))
    recorder.emit(result(call), frame, name, place)


def narrowed(cells: Array) -> Array:
    """*cells* with axes along which they repeat cut to size one."""
    for axis in range(cells.ndim):
        first = cells.take([0], axis)
        if np.all(first == cells):
            cells = first
    return np.ascontiguousarray(cells)


def maximum(call: Call) -> None:
    """``maximum(a, b)`` of two signals."""
    left, right = (call.recorder.signal(value) for value in call.args[:2])
    if left is None or right is None:
        raise Mixed("takes the maximum of a signal and a constant", RELU_HINT)
    if left.over is not None or right.over is not None:
        raise Mixed("takes a maximum after a reduction over time")
    recorder, like, place = call.recorder, result(call).shape, call.place
    frame, left, right = together(call, left, right)
    sources = [recorder.source(signal, frame, like, place) for signal in (left, right)]
    name = recorder.builder.name(place, "maximum")
    recorder.builder.add(Maximum(name=name, inputs=wires(*sources), origin=str(place)))
    recorder.emit(result(call), frame, name, place)


RELU_HINT = "train with snncc.nn.SFA or snncc.nn.QCFS in its place"


def batch_norm(call: Call) -> None:
    """Batch normalization with frozen statistics: gain and offset per channel."""
    x, weight, bias, mean, var = call.args[:5]
    is_legit = "no_training" in call.func._overloadpacket.__name__
    training = False if is_legit else bool(call.args[5])
    eps = float(call.args[-1])
    if training or mean is None or var is None:
        raise CannotTrace(
            f"{call.place}: normalizes with statistics of the batch, also in evaluation mode",
            hint="keep running statistics (track_running_stats=True) and let the module follow model.eval()",
        )
    gain = 1 / torch.sqrt(var.double() + eps)
    gain = gain if weight is None else gain * weight.double()
    offset = -mean.double() * gain
    offset = offset if bias is None else offset + bias.double()
    shape = (1, -1, *[1] * (x.ndim - 2))
    signal = call.recorder.signal(x)
    if signal is None:
        raise Mixed("normalizes constants by a signal")
    affine(call, signal, gain.reshape(shape), offset.reshape(shape), "batch_norm")
