"""QuantizeLinear and DequantizeLinear: quantized activations are staircases, found by bisection.

A signal that reaches QuantizeLinear is, where its weights and inputs are quantized, a whole number A of
units plus a constant. For each code the smallest A is searched for which the runtime's arithmetic, in
float32, yields this code; the staircase steps lie half a unit below, so that no rounding of ours can move
them. Where a signal has no unit, the steps are the float32 numbers at which the code changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from snncc.frontends.onnx_file import CODES, Constant
from snncc.frontends.onnx_signals import (
    Codes,
    Quantizer,
    Reading,
    Refused,
    Signal,
    Value,
    Walk,
    sample_axis,
)
from snncc.ir import Affine, Array, Neuron, NeuronParameters, wires
from snncc.ir.arrays import simplest, squeezed

MAXIMUM_CODES = 1 << 8
"""The widest activations that are read have 8 bits."""
SCALES = (1e-20, 1e20)
"""Scales beyond are no scales of a trained network, and leave float32."""
EXACT = float(1 << 52)
"""Sums up to here are whole in float64."""


def quantize_linear(walk: Walk) -> Value:
    scale, zero, kind = parameters(walk, 1)
    low, high = CODES[kind]
    value = walk.value(0)
    if isinstance(value, Constant):
        scale, zero = over_axis(walk, scale, value.values.ndim), over_axis(walk, zero, value.values.ndim)
        codes = code_of(value.values.astype(np.float32), Quantizer(scale, zero, low, high))
        return Constant(codes.astype(np.int64), kind)
    source = walk.signal(0)
    rank = len(source.shape)
    return Codes(source, Quantizer(along(walk, scale, rank), along(walk, zero, rank), low, high), walk.now)


def dequantize_linear(walk: Walk) -> Value:
    scale, zero, _ = parameters(walk, 1, default=code_kind(walk.value(0)))
    value = walk.value(0)
    if isinstance(value, Constant):
        step = over_axis(walk, scale, value.values.ndim).astype(np.float64)
        zero = over_axis(walk, zero, value.values.ndim)
        return Constant((value.values - zero) * step, step=step)
    if isinstance(value, Signal):  # an input of the model that holds codes
        rank = len(value.shape)
        real = np.asarray(along(walk, scale, rank), np.float64)
        after = walk.add(Affine(name=walk.name(), inputs=wires(value.node), gain=real))
        return shifted(replace(after, unit=real, least=0.0), 0, real, along(walk, zero, rank))
    rank = len(value.source.shape)
    return dequantized(walk, value, along(walk, scale, rank), along(walk, zero, rank), walk.now.outputs[0])


def code_kind(value: Value) -> int | None:
    """The type of the codes in a constant."""
    return value.kind if isinstance(value, Constant) else None


def parameters(walk: Walk, index: int, default: int | None = None) -> tuple[Array, Array, int]:
    """Scale, zero point, and the type of the codes of the current node."""
    scale = walk.constant(index).values.astype(np.float32)
    if walk.has(index + 1):
        given = walk.constant(index + 1)
        zero, kind = given.values, given.kind
    else:
        zero = np.zeros((), np.int64)
        kind = walk.attribute("output_dtype", 0) or default or 2  # 2: UINT8
    if kind not in CODES and not (kind == 6 and default == 6):  # 6: INT32, as biases have
        raise Refused(f"has codes of type {kind}, which are no integers of 2 to 16 bits")
    if not np.all((scale > SCALES[0]) & (scale < SCALES[1])):
        raise Refused(f"has a scale that is not between {SCALES[0]:g} and {SCALES[1]:g}")
    if walk.attribute("block_size", 0):
        raise Refused("quantizes in blocks", "quantize by tensor or by channel")
    if zero.dtype.kind not in "iu" or (zero.ndim and zero.shape != scale.shape):
        raise Refused(f"has zero points {zero.dtype} {zero.shape} for scales {scale.shape}")
    return simplest(scale), simplest(zero), kind


def over_axis(walk: Walk, values: Array, rank: int) -> Array:
    """*values* of a constant of *rank* axes, to broadcast along the node's axis."""
    if values.ndim == 0:
        return values
    axis = walk.attribute("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if values.ndim != 1 or not 0 <= axis < rank:
        raise Refused(f"has scales of shape {values.shape} along axis {axis} of {rank}")
    return values.reshape([-1 if k == axis else 1 for k in range(rank)])


def along(walk: Walk, values: Array, rank: int) -> Array:
    """*values* to broadcast along the node's axis of one sample."""
    if values.ndim == 0:
        return values
    axis = sample_axis(walk.attribute("axis", 1), rank)
    if values.ndim != 1:
        raise Refused(f"has scales of shape {values.shape}")
    return values.reshape([-1 if k == axis else 1 for k in range(rank)])


def clipped(codes: Codes, low: int, high: int) -> Codes:
    """*codes* limited to *low* .. *high*."""
    quantizer = codes.quantizer
    return replace(
        codes, quantizer=replace(quantizer, low=max(low, quantizer.low), high=min(high, quantizer.high))
    )


def code_of(x: Array, quantizer: Quantizer) -> Array:
    """The codes of the float32 numbers *x*, as QuantizeLinear computes them."""
    with np.errstate(over="ignore"):
        level = np.rint(x / quantizer.scale).astype(np.float64) + quantizer.zero
    return np.asarray(np.clip(level, quantizer.low, quantizer.high))


def dequantized(walk: Walk, codes: Codes, scale: Array, zero: Array, value: str) -> Signal:
    """The neuron that yields *codes* of its input, times *scale*: the ONNX value *value*."""
    quantizer, source = codes.quantizer, codes.source
    if quantizer.high <= quantizer.low:
        raise Refused(f"has the codes {quantizer.low} to {quantizer.high}: nothing of the input is left")
    if is_same(walk, source, quantizer, scale, zero):
        return source
    arrays = (source.offset, quantizer.scale, quantizer.zero, scale, zero)
    limits = (source.low, source.high, quantizer.low, quantizer.high)
    key = (source.node, *limits, *(array.tobytes() for array in arrays))
    if key not in walk.made:
        least, steps = staircase(source, quantizer)
        name = walk.name(call=codes.made_by)
        real, unit = np.asarray(scale, np.float64), np.asarray(quantizer.scale, np.float64)
        p = NeuronParameters(
            steps=squeezed(steps),
            max_count=len(steps),
            theta=unit / 2,
            rho=unit,
            stateless=True,
            scale=real,
        )
        neuron = walk.add(Neuron(name=name, inputs=wires(source.node), parameters=p), codes.made_by)
        walk.readings[name] = Reading(value, real, np.asarray(least - zero, np.float64))
        walk.made[key] = shifted(replace(neuron, unit=real, least=0.0), least, real, zero)
    return walk.made[key]


def shifted(signal: Signal, least: int, scale: Array, zero: Array) -> Signal:
    """*signal*, counts from code *least* on times *scale*, as reals: the code *zero* stands for 0."""
    return replace(signal, offset=simplest((least - zero) * scale)) if np.any(zero != least) else signal


def is_same(walk: Walk, source: Signal, quantizer: Quantizer, scale: Array, zero: Array) -> bool:
    """Whether *source* holds nothing but what the codes stand for, so that they change nothing."""
    edge = walk.edges[source.node]
    if not edge.is_events or edge.max_count is None or not source.is_plain or source.offset.ndim:
        return False
    one = all(simplest(array).ndim == 0 for array in (edge.scale, scale, quantizer.scale, zero))
    if not one or edge.scale != scale.astype(np.float64) or zero != quantizer.low:
        return False
    counts = np.arange(edge.max_count + 1)
    return bool(
        np.all(code_of((counts * edge.scale).astype(np.float32), quantizer) == counts + quantizer.low)
    )


def staircase(source: Signal, quantizer: Quantizer) -> tuple[int, Array]:
    """The smallest code of *source*, and the steps [codes - 1, ...] at which the next ones begin."""
    low = max(source.low, source.least + float(np.min(source.offset)))
    offset = np.asarray(source.offset, np.float64)

    def code(x: Array) -> Array:
        limited = np.clip(x.astype(np.float32), np.float32(low), np.float32(source.high))
        return code_of(limited, quantizer)

    if source.unit is None:
        return by_reals(code, quantizer, offset)
    return by_units(code, quantizer, source.unit, offset)


Code = Callable[[Array], Array]


def by_units(code: Code, quantizer: Quantizer, unit: Array, offset: Array) -> tuple[int, Array]:
    """The staircase of a signal in whole multiples of *unit*."""
    unit, offset, scale, zero = np.broadcast_arrays(unit, offset, quantizer.scale, quantizer.zero)
    span = quantizer.high - quantizer.low + 2 + np.abs(zero)
    reach = np.ceil((scale.astype(np.float64) * span + np.abs(offset)) / unit)
    if float(reach.max()) > EXACT:
        raise Refused(f"its steps lie {float(reach.max()):.3g} units of its input apart")
    least, most = ends(code(offset - reach * unit), code(offset + reach * unit))
    steps = []
    for level in range(least + 1, most + 1):
        below, above = -reach, reach
        while np.any(above - below > 1):
            middle = np.floor((below + above) / 2)
            passed = code(offset + middle * unit) >= level
            below, above = np.where(passed, below, middle), np.where(passed, middle, above)
        steps.append((above - 0.5) * unit)
    return least, np.stack(steps)


def by_reals(code: Code, quantizer: Quantizer, offset: Array) -> tuple[int, Array]:
    """The staircase of a signal of any real numbers."""
    scale, zero, offset = np.broadcast_arrays(quantizer.scale, quantizer.zero, offset)
    span = quantizer.high - quantizer.low + 2 + np.abs(zero)
    reach = ordered(np.asarray(scale * span * 2))
    least, most = ends(code(real(-reach)), code(real(reach)))
    steps = []
    for level in range(least + 1, most + 1):
        below, above = -reach, reach
        while np.any(above - below > 1):
            middle = (below + above) >> 1
            passed = code(real(middle)) >= level
            below, above = np.where(passed, below, middle), np.where(passed, middle, above)
        first, last = real(above), real(below)
        middle_real = (first.astype(np.float64) + last.astype(np.float64)) / 2
        rounds_up = middle_real.astype(np.float32) == first
        steps.append(np.where(rounds_up, middle_real, np.nextafter(middle_real, np.inf)) - offset)
    return least, np.stack(steps)


def ends(low: Array, high: Array) -> tuple[int, int]:
    """The smallest and the largest code, given those of each channel. Raises `Refused` where they differ."""
    if np.any(low != low.flat[0]) or np.any(high != high.flat[0]):
        raise Refused("reaches other codes in one channel than in another")
    least, most = int(low.flat[0]), int(high.flat[0])
    if most == least:
        raise Refused(f"yields the code {least} for every input: nothing of the input is left")
    if most - least >= MAXIMUM_CODES:
        raise Refused(
            f"has {most - least + 1} codes; activations of at most {MAXIMUM_CODES} are read",
            "quantize activations to 2 to 8 bits",
        )
    return least, most


def ordered(x: Array) -> Array:
    """float32 numbers as integers that are ordered as they are."""
    bits = np.asarray(x, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def real(order: Array) -> Array:
    """The float32 numbers that `ordered` made integers of."""
    magnitude = np.abs(order).astype(np.int32).view(np.float32)
    return np.where(order < 0, -magnitude, magnitude).astype(np.float32)
