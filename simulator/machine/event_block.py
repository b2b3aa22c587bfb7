"""Events of neighboring neurons as single vector operations (see `snncc.simulator.simd`).

Nearly all events are quiet: what they leave lies in a range in which nothing happens. A block in
which all are quiet takes effect at once.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from snncc.simulator.simd import Vectors, intrinsic


def summed(builder: Any, v: Vectors, at: Any, of: Any, weight_bits: int) -> Any:
    """The potentials at *at* after the weights at *of*."""
    weight = v.load(of, weight_bits, 1)
    wide = builder.sext(weight, v.type) if weight_bits < v.bits else weight
    return builder.add(v.load(at, v.bits, v.bits // 8), wide)


@intrinsic
def beyond(typing: Any, d: Any, weights: Any, at: Any, of: Any, low: Any, high: Any) -> Any:
    """The bits of the lanes in which potentials at *at* and weights at *of* have a sum out of low..high."""
    bits, weight_bits = d.dtype.bitwidth, weights.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, at, of, low, high = arguments
        v = Vectors(builder, bits)
        after = summed(builder, v, at, of, weight_bits)
        below = builder.icmp_signed("<", after, v.spread(low, v.type))
        above = builder.icmp_signed(">", after, v.spread(high, v.type))
        return v.mask_bits(builder.or_(below, above))

    return types.int64(d, weights, types.intp, types.intp, types.int64, types.int64), generate


@intrinsic
def add_block(typing: Any, d: Any, weights: Any, at: Any, of: Any) -> Any:
    """Add the block of weights at *of* to that of potentials at *at*."""
    bits, weight_bits = d.dtype.bitwidth, weights.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, at, of = arguments
        v = Vectors(builder, bits)
        v.store(summed(builder, v, at, of, weight_bits), at, bits // 8)
        return context.get_dummy_value()

    return types.void(d, weights, types.intp, types.intp), generate


@intrinsic
def add_clamped(typing: Any, d: Any, weights: Any, at: Any, of: Any, floor: Any) -> Any:
    """As `add_block`, but not below the block at *floor*, of the width of *d*."""
    bits, weight_bits = d.dtype.bitwidth, weights.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, at, of, floor = arguments
        v = Vectors(builder, bits)
        after, least = summed(builder, v, at, of, weight_bits), v.load(floor, bits, bits // 8)
        v.store(builder.select(builder.icmp_signed(">", after, least), after, least), at, bits // 8)
        return context.get_dummy_value()

    return types.void(d, weights, types.intp, types.intp, types.intp), generate


@intrinsic
def lowest_bit(typing: Any, mask: Any) -> Any:
    """The number of the lowest bit of *mask*, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
