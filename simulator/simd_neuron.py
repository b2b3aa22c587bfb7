"""The neuron of the event kernel, a block of states at a time (see `snncc.simulator.simd`).

Its parameters lie in planes: for each, a value for every neuron of a row.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from snncc.simulator.simd import I16, I64, Vectors, append, drained, intrinsic, popcount

PLANES = ("theta", "sub", "floor", "ceiling", "factor", "whole", "bias", "start")
THETA, SUB, FLOOR, CEILING, FACTOR, WHOLE, BIAS, START = range(len(PLANES))
"""A potential v leaks to ``(factor * v >> bits) + (v & whole)``: *whole* is -1 where a leak of 1/2 or more
would not fit in the signed *factor*, which then is a leak less by 1."""


class Block:
    """A block of neurons: its potentials and where its parameters are."""

    def __init__(self, builder: Any, bits: int, plane: Any, plane_bytes: Any) -> None:
        self.builder, self.bits, self.plane, self.plane_bytes = builder, bits, plane, plane_bytes
        self.v = Vectors(builder, bits)

    def parameter(self, which: int) -> Any:
        """The values of a plane."""
        offset = self.builder.mul(self.plane_bytes, ir.Constant(I64, which))
        return self.v.load(self.builder.add(self.plane, offset), self.bits, self.bits // 8)

    def fired(self, before: Any, keep: Any) -> tuple[Any, Any]:
        """Which neurons fire, and their potentials after the reset."""
        b, v = self.builder, self.v
        mask = b.icmp_signed(">=", before, self.parameter(THETA))
        # As a difference, or it becomes a masked store, which is slow.
        forgotten = b.and_(before, b.not_(v.spread(keep, v.type)))
        drop = b.add(forgotten, self.parameter(SUB))
        return mask, b.sub(before, b.select(mask, drop, ir.Constant(v.type, None)))

    def settled(self, value: Any, to_zero: Any) -> Any:
        """The potentials clamped, leaked, with their bias, no further than the width allows.

        Where *to_zero* is -1, the leak rounds toward zero (as that of the magnitude, rounded down).
        """
        b, v, bits = self.builder, self.v, self.bits
        least, most = self.parameter(FLOOR), self.parameter(CEILING)
        value = b.select(b.icmp_signed("<", value, least), least, value)
        value = b.select(b.icmp_signed(">", value, most), most, value)
        is_negative = b.ashr(value, ir.Constant(v.type, [bits - 1] * v.lanes))
        sign = b.and_(is_negative, v.spread(to_zero, v.type))
        size = b.sub(b.xor(value, sign), sign)
        product = b.mul(b.sext(size, v.wide), b.sext(self.parameter(FACTOR), v.wide))
        high = b.trunc(b.ashr(product, ir.Constant(v.wide, [bits] * v.lanes)), v.type)
        leaked = b.add(high, b.and_(size, self.parameter(WHOLE)))
        leaked = b.sub(b.xor(leaked, sign), sign)
        name, kind = f"llvm.sadd.sat.v{v.lanes}i{bits}", ir.FunctionType(v.type, [v.type, v.type])
        saturating = b.module.globals.get(name) or ir.Function(b.module, kind, name)
        return b.call(saturating, [leaked, self.parameter(BIAS)])


@intrinsic
def fire_block(
    typing: Any,
    states: Any,
    sums: Any,
    settles: Any,
    state: Any,
    gathered: Any,
    plane: Any,
    plane_bytes: Any,
    keep: Any,
    to_zero: Any,
    low: Any,
    high: Any,
    events: Any,
    code: Any,
) -> Any:
    """The spikes of the block at *state*, as a list.

    Where sums are narrower than states, those *gathered* are first poured into the state. Where ``state >=
    theta``, it becomes ``(state & keep) - sub`` and *code* plus the lane is appended at *events* (up to a
    block may be written behind the end); if the tuple *settles* is not empty, the block then settles. Returns
    the number of spikes, plus 1 << 32 where a new state lies outside low..high.
    """
    bits, sum_bits = states.bitwidth, sums.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        state, gathered, plane, plane_bytes, keep, to_zero, low, high, events, code = arguments[3:]
        block, align = Block(builder, bits, plane, plane_bytes), bits // 8
        v = block.v
        before = v.load(state, bits, align)
        if sum_bits < bits:
            before = builder.add(before, drained(builder, v, gathered, sum_bits))
        mask, after = block.fired(before, keep)
        if settles.count:
            after = block.settled(after, to_zero)
        v.store(after, state, align)
        beyond = v.any_beyond(after, v.spread(low, v.type), v.spread(high, v.type))
        listed = ir.VectorType(I16, v.lanes)
        lanes = builder.add(ir.Constant(listed, list(range(v.lanes))), v.spread(code, listed))
        fired = v.mask_bits(mask)
        append(builder, v, lanes, mask, fired, events)
        return builder.or_(popcount(builder, fired), beyond)

    return types.intp(states, sums, settles, *[types.intp] * 10), generate


@intrinsic
def settle_block(
    typing: Any, states: Any, state: Any, plane: Any, plane_bytes: Any, to_zero: Any, low: Any, high: Any
) -> Any:
    """What follows the last tick of the block at *state*.

    Returns 1 << 32 where a new state lies outside low..high, else 0.
    """
    bits = states.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        state, plane, plane_bytes, to_zero, low, high = arguments[1:]
        block, align = Block(builder, bits, plane, plane_bytes), bits // 8
        v = block.v
        after = block.settled(v.load(state, bits, align), to_zero)
        v.store(after, state, align)
        return v.any_beyond(after, v.spread(low, v.type), v.spread(high, v.type))

    return types.intp(states, *[types.intp] * 6), generate
