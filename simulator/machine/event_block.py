"""Events of neighboring neurons as single vector operations (see `snncc.simulator.simd`).

Nearly all events are quiet: what they leave lies in a range in which nothing happens. A block takes effect
at once, and says which of its neurons are to be looked at.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from snncc.simulator.simd import I64, Vectors, intrinsic


class Sum:
    """The block of potentials at *at* after the weights at *of*: those lanes that take *part* (None: all)."""

    def __init__(self, builder: Any, bits: int, weight_bits: int, arguments: Any, part: Any = None) -> None:
        _, _, at, of, least, span, drop, *_ = arguments
        self.builder, self.bits, self.at = builder, bits, at
        self.v = v = Vectors(builder, bits)
        weight = v.load(of, weight_bits, 1)
        wide = builder.sext(weight, v.type) if weight_bits < bits else weight
        nothing = ir.Constant(v.type, None)
        if part is not None:
            lanes = builder.trunc(part, ir.IntType(v.lanes))
            self.takes = builder.bitcast(lanes, ir.VectorType(ir.IntType(1), v.lanes))
            wide = builder.select(self.takes, wide, nothing)
        self.after = builder.add(v.load(at, bits, bits // 8), wide)
        distance = builder.sub(self.after, v.spread(least, v.type))
        self.loud = builder.icmp_unsigned(">", distance, v.spread(span, v.type))
        if part is not None:
            self.loud = builder.and_(self.loud, self.takes)
        self.left = builder.sub(self.after, builder.select(self.loud, v.spread(drop, v.type), nothing))

    def stored(self, left: Any, masks: Any) -> Any:
        """Store what is *left*, and the bits of those that are not quiet; returns these."""
        self.v.store(left, self.at, self.bits // 8)
        kind = ir.IntType(self.v.lanes)
        bits = self.builder.bitcast(self.loud, kind)
        self.builder.store(bits, self.builder.inttoptr(masks, kind.as_pointer())).align = 8
        return self.builder.zext(bits, I64)


@intrinsic
def add_block(
    typing: Any, d: Any, weights: Any, at: Any, of: Any, least: Any, span: Any, drop: Any, masks: Any
) -> Any:
    """Add the block of weights at *of* to that of potentials at *at*.

    Those that then lie out of *least* .. *least* + *span* become less by *drop*. Returns their bits, and
    stores them at *masks*.
    """
    bits, weight_bits = d.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = Sum(builder, bits, weight_bits, arguments)
        return block.stored(block.left, arguments[7])

    return types.int64(d, weights, *[types.intp] * 6), generate


@intrinsic
def add_part(
    typing: Any,
    d: Any,
    weights: Any,
    at: Any,
    of: Any,
    least: Any,
    span: Any,
    drop: Any,
    part: Any,
    masks: Any,
) -> Any:
    """As `add_block`, of the lanes whose bits are set in *part*."""
    bits, weight_bits = d.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = Sum(builder, bits, weight_bits, arguments, arguments[7])
        return block.stored(block.left, arguments[8])

    return types.int64(d, weights, *[types.intp] * 7), generate


@intrinsic
def add_clamped(
    typing: Any,
    d: Any,
    weights: Any,
    at: Any,
    of: Any,
    least: Any,
    span: Any,
    drop: Any,
    part: Any,
    floor: Any,
    masks: Any,
) -> Any:
    """As `add_part`; those that are quiet do not fall below the block at *floor*, of the width of *d*."""
    bits, weight_bits = d.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = Sum(builder, bits, weight_bits, arguments, arguments[7])
        lowest = block.v.load(arguments[8], bits, bits // 8)
        rises = builder.and_(block.takes, builder.not_(block.loud))
        rises = builder.and_(rises, builder.icmp_signed("<", block.after, lowest))
        return block.stored(builder.select(rises, lowest, block.left), arguments[9])

    return types.int64(d, weights, *[types.intp] * 8), generate


@intrinsic
def load_mask(typing: Any, d: Any, masks: Any) -> Any:
    """The bits of one block of potentials of the type of *d*, as stored at *masks*."""
    lanes = 512 // d.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(builder.inttoptr(arguments[1], ir.IntType(lanes).as_pointer()))
        value.align = 8
        return builder.zext(value, I64)

    return types.int64(d, types.intp), generate


@intrinsic
def lowest_bit(typing: Any, mask: Any) -> Any:
    """The number of the lowest bit of *mask*, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
