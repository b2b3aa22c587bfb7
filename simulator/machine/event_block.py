"""Events of neighboring neurons as single vector operations (see `snncc.simulator.simd`).

Nearly all events are quiet: what they leave lies in a range in which nothing happens. A block takes effect
at once, and says which of its neurons are to be looked at.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from snncc.simulator.simd import I64, Vectors, intrinsic


def sum_block(
    builder: Any, v: Vectors, weight_bits: int, arguments: Any, part: Any = None
) -> tuple[Any, Any]:
    """The potentials at ``arguments[2]`` after the weights at ``arguments[3]``, and which are not quiet.

    *part*: the bits of the lanes that take part.
    """
    _, _, at, of, least, span, *_ = arguments
    weight = v.load(of, weight_bits, 1)
    wide = builder.sext(weight, v.type) if weight_bits < v.bits else weight
    mask = None
    if part is not None:
        bits = builder.trunc(part, ir.IntType(v.lanes))
        mask = builder.bitcast(bits, ir.VectorType(ir.IntType(1), v.lanes))
        wide = builder.select(mask, wide, ir.Constant(v.type, None))
    after = builder.add(v.load(at, v.bits, v.bits // 8), wide)
    distance = builder.sub(after, v.spread(least, v.type))
    loud = builder.icmp_unsigned(">", distance, v.spread(span, v.type))
    return after, loud if mask is None else builder.and_(loud, mask)


def told(builder: Any, v: Vectors, loud: Any, arguments: Any) -> Any:
    """The bits of *loud*, which are stored at the last argument too."""
    bits = v.mask_bits(loud)
    builder.store(bits, builder.inttoptr(arguments[-1], I64.as_pointer())).align = 8
    return bits


@intrinsic
def add_block(typing: Any, d: Any, weights: Any, at: Any, of: Any, least: Any, span: Any, masks: Any) -> Any:
    """Add the block of weights at *of* to that of potentials at *at*.

    Returns the bits of those that then lie out of *least* .. *least* + *span*, and stores them at *masks*.
    """
    bits, weight_bits = d.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(builder, bits)
        after, loud = sum_block(builder, v, weight_bits, arguments)
        v.store(after, arguments[2], bits // 8)
        return told(builder, v, loud, arguments)

    return types.int64(d, weights, *[types.intp] * 5), generate


@intrinsic
def add_part(
    typing: Any, d: Any, weights: Any, at: Any, of: Any, least: Any, span: Any, part: Any, masks: Any
) -> Any:
    """As `add_block`, of the lanes whose bits are set in *part*."""
    bits, weight_bits = d.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(builder, bits)
        after, loud = sum_block(builder, v, weight_bits, arguments, arguments[6])
        v.store(after, arguments[2], bits // 8)
        return told(builder, v, loud, arguments)

    return types.int64(d, weights, *[types.intp] * 6), generate


@intrinsic
def add_clamped(
    typing: Any,
    d: Any,
    weights: Any,
    at: Any,
    of: Any,
    least: Any,
    span: Any,
    part: Any,
    floor: Any,
    masks: Any,
) -> Any:
    """As `add_part`; those that are quiet do not fall below the block at *floor*, of the width of *d*."""
    bits, weight_bits = d.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(builder, bits)
        after, loud = sum_block(builder, v, weight_bits, arguments, arguments[6])
        lowest = v.load(arguments[7], bits, bits // 8)
        takes = builder.bitcast(
            builder.trunc(arguments[6], ir.IntType(v.lanes)), ir.VectorType(ir.IntType(1), v.lanes)
        )
        rises = builder.and_(builder.icmp_signed("<", after, lowest), builder.and_(builder.not_(loud), takes))
        v.store(builder.select(rises, lowest, after), arguments[2], bits // 8)
        return told(builder, v, loud, arguments)

    return types.int64(d, weights, *[types.intp] * 7), generate


@intrinsic
def lowest_bit(typing: Any, mask: Any) -> Any:
    """The number of the lowest bit of *mask*, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
