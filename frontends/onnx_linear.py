"""Convolutions, products with constants, sums and normalization."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.frontends.onnx_file import Constant
from snncc.frontends.onnx_signals import Refused, Signal, Value, Walk, per_sample
from snncc.frontends.staircase import NEAR, common_unit, whole
from snncc.ir import Add, Affine, Array, Conv, Dense, wires
from snncc.ir.arrays import simplest


def conv(walk: Walk) -> Value:
    source, weight = walk.plain(0), walk.constant(1)
    if weight.values.ndim != 4 or len(source.shape) != 3:
        raise Refused(
            f"takes {len(source.shape)} axes a sample and a weight of shape {weight.values.shape}",
            "convolutions over height and width are read; give one of length a height of 1",
        )
    kernel = weight.values.shape[2:]
    if tuple(walk.attribute("kernel_shape", kernel)) != kernel:
        raise Refused(f"says kernel_shape {walk.attribute('kernel_shape', None)}, its weight is {kernel}")
    stride, dilation, padding = window(walk, source.shape[1:], (kernel[0], kernel[1]))
    unit = sum_unit(source, weight.step, (1, 2, 3), 4)
    unit = None if unit is None else unit.reshape(-1, 1, 1) if unit.ndim else unit
    bias, offset = biases(walk.constant(2) if walk.has(2) else None, unit, (-1, 1, 1))
    node = Conv(
        name=walk.name(),
        inputs=wires(source.node),
        weight=weight.values.astype(np.float64),
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(walk.attribute("group", 1)),
    )
    return replace(walk.add(node), unit=unit, offset=offset)


def sum_unit(source: Signal, step: Array | None, inner: tuple[int, ...], rank: int) -> Array | None:
    """The unit of sums of products, a number for each of the first axis of the weight or one for all.

    *step* divides the weight, whose axes *inner* are summed over.
    """
    unit = source.one_unit
    if unit is None or step is None:
        return None
    step = simplest(step)
    if step.ndim == 0:
        return np.asarray(unit * step)
    if step.ndim != rank or any(step.shape[axis] != 1 for axis in inner):
        return None
    return np.asarray(unit * step.reshape(-1))


def biases(given: Constant | None, unit: Array | None, shape: tuple[int, ...]) -> tuple[Array | None, Array]:
    """The bias of a synapse, in whole units where there are any, and what is added behind it instead."""
    none = np.zeros(())
    if given is None:
        return None, none
    values = given.values.astype(np.float64)
    if values.ndim > 1:
        raise Refused(f"has a bias of shape {values.shape}; it must have one axis")
    values = values.reshape(shape) if values.ndim else values
    if unit is None:
        return values, none
    if (near := whole(values, unit)) is not None:
        return near, none
    if given.step is not None:  # as integers: their scale is the unit but for its rounding to float32
        step = given.step.reshape(shape) if given.step.ndim else given.step
        if np.all(np.abs(step - unit) <= NEAR * unit):
            return np.rint(values / step) * unit, none
    return None, values


def gemm(walk: Walk) -> Value:
    if walk.attribute("transA", 0):
        raise Refused("transposes its first input, and so mixes samples")
    alpha, beta = float(walk.attribute("alpha", 1.0)), float(walk.attribute("beta", 1.0))
    weight = scaled(walk.constant(1), alpha)
    bias = scaled(walk.constant(2), beta) if walk.has(2) else None
    if weight.values.ndim != 2:
        raise Refused(f"takes a matrix, not a weight of shape {weight.values.shape}")
    if bias is not None and bias.values.ndim == 2 and bias.values.shape[0] == 1:
        step = bias.step
        bias = replace(bias, values=bias.values[0], step=step if step is None or not step.ndim else step[0])
    return product(walk, weight if walk.attribute("transB", 0) else transposed(weight), bias)


def matmul(walk: Walk) -> Value:
    if isinstance(walk.value(0), Constant) or not isinstance(walk.value(1), Constant):
        raise Refused("multiplies a signal from the left, or two signals", "only signal x constant is read")
    weight = walk.constant(1)
    if weight.values.ndim != 2:
        raise Refused(f"takes a matrix, not a weight of shape {weight.values.shape}")
    return product(walk, transposed(weight), None)


def scaled(constant: Constant, factor: float) -> Constant:
    if factor == 1:
        return constant
    step = None if constant.step is None or factor <= 0 else constant.step * factor
    return replace(constant, values=constant.values * factor, step=step)


def transposed(constant: Constant) -> Constant:
    """A matrix [in, out] as [out, in]."""
    step = constant.step
    return replace(constant, values=constant.values.T, step=None if step is None else step.T)


def product(walk: Walk, weight: Constant, bias: Constant | None) -> Signal:
    source = walk.plain(0)
    unit = sum_unit(source, weight.step, (1,), 2)
    inner, offset = biases(bias, unit, (-1,))
    values = weight.values.astype(np.float64)
    node = Dense(name=walk.name(), inputs=wires(source.node), weight=values, bias=inner)
    return replace(walk.add(node), unit=unit, offset=offset)


def window(
    walk: Walk, size: tuple[int, ...], kernel: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Stride, dilation and padding (top, bottom, left, right) of the current node over a map of *size*."""
    stride, dilation = pair(walk, "strides"), pair(walk, "dilations")
    automatic = walk.attribute("auto_pad", "NOTSET")
    pads = tuple(walk.attribute("pads", (0, 0, 0, 0)))
    if len(pads) != 4 or min(pads) < 0 or max(pads) > 1 << 20:
        raise Refused(f"pads by {pads}")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        both = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            small, large = total // 2, total - total // 2
            both.append((small, large) if automatic == "SAME_UPPER" else (large, small))
        (top, bottom), (left, right) = both
        return stride, dilation, (top, bottom, left, right)
    if automatic not in ("NOTSET", "VALID"):
        raise Refused(f"has auto_pad {automatic!r}")
    top, left, bottom, right = pads if automatic == "NOTSET" else (0, 0, 0, 0)
    return stride, dilation, (top, bottom, left, right)


def pair(walk: Walk, name: str) -> tuple[int, int]:
    values = tuple(walk.attribute(name, (1, 1)))
    if len(values) != 2 or min(values) < 1 or max(values) > 1 << 20:
        raise Refused(f"has {name} {values}")
    return values[0], values[1]


def add(walk: Walk) -> Value:
    return summed(walk, 1.0)


def subtract(walk: Walk) -> Value:
    return summed(walk, -1.0)


def summed(walk: Walk, sign: float) -> Signal:
    left, right = walk.value(0), walk.value(1)
    if isinstance(left, Constant) and sign > 0:
        return with_offset(walk, 1, left.values)
    if isinstance(right, Constant):
        return with_offset(walk, 0, sign * right.values)
    if sign < 0:
        raise Refused("subtracts a signal", "add it with negated weights")
    one, other = unclipped(walk, 0), unclipped(walk, 1)
    if one.shape != other.shape:
        raise Refused(f"adds signals of shapes {one.shape} and {other.shape}; they must be equal")
    terms = [term for signal in (one, other) if (term := walk.term(signal))]
    after = walk.add(Add(name=walk.name(), inputs=wires(one.node, other.node)))
    return replace(
        after,
        unit=common_unit([one.unit, other.unit]),
        offset=simplest(np.asarray(one.offset + other.offset)),
        least=one.least + other.least,
        terms=tuple(terms) if len(terms) == 2 else (),
    )


def unclipped(walk: Walk, index: int) -> Signal:
    """Input *index* with its limits done; an offset may remain."""
    signal = walk.signal(index)
    return signal if signal.low <= signal.least and np.isinf(signal.high) else walk.plain(index)


def with_offset(walk: Walk, index: int, values: Array) -> Signal:
    signal = unclipped(walk, index)
    constant = per_sample(values.astype(np.float64), len(signal.shape))
    check_broadcast(constant, signal)
    if signal.unit is None:
        source = walk.plain(index)
        return walk.add(Affine(name=walk.name(), inputs=wires(source.node), offset=constant))
    return replace(signal, offset=np.asarray(signal.offset + constant), terms=())


def check_broadcast(constant: Array, signal: Signal) -> None:
    try:
        fits = np.broadcast_shapes(constant.shape, signal.shape) == signal.shape
    except ValueError:
        fits = False
    if not fits:
        raise Refused(f"has a constant of shape {constant.shape} for a signal of shape {signal.shape}")


def multiply(walk: Walk) -> Value:
    if isinstance(walk.value(0), Constant):
        return with_gain(walk, 1, walk.constant(0).values)
    if isinstance(walk.value(1), Constant):
        return with_gain(walk, 0, walk.constant(1).values)
    raise Refused("multiplies two signals", "only signal x constant is read")


def divide(walk: Walk) -> Value:
    values = walk.constant(1).values
    if np.any(values == 0):
        raise Refused("divides by zero")
    return with_gain(walk, 0, 1 / values.astype(np.float64))


def with_gain(walk: Walk, index: int, values: Array) -> Signal:
    source = walk.plain(index)
    gain = per_sample(values.astype(np.float64), len(source.shape))
    check_broadcast(gain, source)
    return affine(walk, source, gain, np.zeros(()))


def affine(walk: Walk, source: Signal, gain: Array, offset: Array) -> Signal:
    """``gain x + offset``; what is added to whole units stays behind the node."""
    unit = None
    if source.unit is not None and np.all(gain != 0):
        unit = np.asarray(source.unit * np.abs(gain))
    inside = offset if unit is None else np.zeros(())
    node = Affine(name=walk.name(), inputs=wires(source.node), gain=gain, offset=inside)
    return replace(walk.add(node), unit=unit, offset=np.zeros(()) if unit is None else offset)


def batch_normalization(walk: Walk) -> Value:
    if walk.attribute("training_mode", 0):
        raise Refused("is in training mode", "export the model in evaluation mode")
    source = walk.plain(0)
    gamma, beta, mean, variance = (walk.constant(k).values.astype(np.float64) for k in range(1, 5))
    if any(one.ndim != 1 or one.shape != source.shape[:1] for one in (gamma, beta, mean, variance)):
        raise Refused(f"has parameters of shape {gamma.shape} for a signal of shape {source.shape}")
    spread = variance + float(walk.attribute("epsilon", 1e-5))
    if np.any(spread <= 0):
        raise Refused("has a variance that is not positive")
    gain = gamma / np.sqrt(spread)
    shape = (-1, *[1] * (len(source.shape) - 1))
    return affine(walk, source, gain.reshape(shape), (beta - gain * mean).reshape(shape))
