"""QuantizeLinear and DequantizeLinear: quantized activations are staircases (`snncc.frontends.staircase`).

The codes are those of the runtime's arithmetic, in float32, of the exact sum.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from snncc.frontends.onnx_file import CODES, Constant
from snncc.frontends.onnx_signals import Codes, Reading, Refused, Signal, Value, Walk, sample_axis
from snncc.frontends.staircase import (
    SCALES,
    Code,
    NoStaircase,
    Quantizer,
    by_pairs,
    changes_nothing,
    counting,
    shift_of,
    staircase,
)
from snncc.ir import Affine, Array, Neuron, wires
from snncc.ir.arrays import simplest


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
    limited = partial(limited_code, source, quantizer)
    is_alone = source.is_plain and not source.offset.ndim
    if is_alone and changes_nothing(walk.edges[source.node], limited, quantizer, scale, zero):
        return source
    arrays = (source.offset, quantizer.scale, quantizer.zero, scale, zero)
    limits = (source.low, source.high, quantizer.low, quantizer.high)
    key = (source.node, *limits, *(array.tobytes() for array in arrays))
    if key not in walk.made:
        try:
            least, steps = steps_of(walk, codes, limited)
        except NoStaircase as problem:
            raise Refused(problem.reason, problem.hint) from None
        name = walk.name(call=codes.made_by)
        p = counting(steps, quantizer, scale)
        neuron = walk.add(Neuron(name=name, inputs=wires(source.node), parameters=p), codes.made_by)
        walk.readings[name] = Reading(value, p.scale, np.asarray(least - zero, np.float64))
        walk.made[key] = shifted(replace(neuron, unit=p.scale, least=0.0), least, p.scale, zero)
    return walk.made[key]


def steps_of(walk: Walk, codes: Codes, code: Code) -> tuple[int, Array]:
    """The staircase of *codes*. Raises `NoStaircase`.

    The sum of two quantized signals is looked at pair by pair: a runtime rounds both to float32, and the sum.
    """
    quantizer, source = codes.quantizer, codes.source
    if not source.terms or quantizer.scale.ndim or quantizer.zero.ndim:
        return staircase(code, quantizer, source.unit, source.offset)
    one, other = source.terms
    seen = code(np.add.outer(one.values(), other.values()))
    least, steps, wrong = by_pairs(seen, np.add.outer(one.exact(), other.exact()))
    if wrong:
        walk.notes.append(
            f"{codes.made_by}: the runtime rounds to float32, and {wrong} of {seen.size} pairs of codes "
            "that it adds lie on the wrong side of every possible step: there counts differ from its own"
        )
    return least, steps - source.offset


def limited_code(source: Signal, quantizer: Quantizer, x: Array) -> Array:
    """The codes of numbers *x* of *source*, rounded once to float32 and limited as it is."""
    low = max(source.low, source.least + float(np.min(source.offset)))
    return code_of(np.clip(x.astype(np.float32), np.float32(low), np.float32(source.high)), quantizer)


def shifted(signal: Signal, least: int, scale: Array, zero: Array) -> Signal:
    """*signal*, counts from code *least* on times *scale*, as reals: the code *zero* stands for 0."""
    return replace(signal, offset=shift_of(least, scale, zero)) if np.any(zero != least) else signal
