"""The neuron of the event kernel, a block of states at a time (see `snncc.simulator.simd`).

Its parameters lie in planes: for each, a value for every neuron of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from snncc.simulator.simd import (
    BLOCK,
    I16,
    I64,
    ONE,
    ZERO,
    Vectors,
    append,
    cgutils,
    drained,
    in_width,
    increased,
    intrinsic,
    popcount,
    variable,
)

PLANES = ("theta", "sub", "floor", "ceiling", "factor", "whole", "bias", "start")
THETA, SUB, FLOOR, CEILING, FACTOR, WHOLE, BIAS, START = range(len(PLANES))
"""A potential v leaks to ``(factor * v >> bits) + (v & whole)``: *whole* is -1 where a leak of 1/2 or more
would not fit in the signed *factor*, which then is a leak less by 1."""


class Neurons:
    """The neurons of a row, a block of them at a time."""

    def __init__(self, builder: Any, bits: int, plane_bytes: Any, keep: Any, to_zero: Any) -> None:
        self.builder, self.bits, self.plane_bytes, self.to_zero = builder, bits, plane_bytes, to_zero
        self.v = Vectors(builder, bits)
        self.forgets = builder.not_(self.v.spread(keep, self.v.type))

    def parameter(self, plane: Any, which: int) -> Any:
        """The values of a plane, of which the first is at *plane*."""
        offset = self.builder.mul(self.plane_bytes, ir.Constant(I64, which))
        return self.v.load(self.builder.add(plane, offset), self.bits, self.bits // 8)

    def fired(self, before: Any, plane: Any) -> tuple[Any, Any]:
        """Which neurons fire, and their potentials after the reset."""
        b, v = self.builder, self.v
        mask = b.icmp_signed(">=", before, self.parameter(plane, THETA))
        # As a difference, or it becomes a masked store, which is slow.
        drop = b.add(b.and_(before, self.forgets), self.parameter(plane, SUB))
        return mask, b.sub(before, b.select(mask, drop, ir.Constant(v.type, None)))

    def settled(self, value: Any, plane: Any) -> Any:
        """The potentials clamped, leaked, with their bias, no further than the width allows."""
        b, v = self.builder, self.v
        least, most = self.parameter(plane, FLOOR), self.parameter(plane, CEILING)
        value = b.select(b.icmp_signed("<", value, least), least, value)
        value = b.select(b.icmp_signed(">", value, most), most, value)
        leaked = variable(b, value)
        with b.if_else(b.icmp_signed("==", self.to_zero, ZERO)) as (down, to_zero):
            with down:
                b.store(self.leaked(value, plane), leaked)
            with to_zero:  # that of the magnitude, rounded down
                sign = b.ashr(value, v.number(self.bits - 1))
                size = self.leaked(b.sub(b.xor(value, sign), sign), plane)
                b.store(b.sub(b.xor(size, sign), sign), leaked)
        name, kind = f"llvm.sadd.sat.v{v.lanes}i{self.bits}", ir.FunctionType(v.type, [v.type, v.type])
        saturating = b.module.globals.get(name) or ir.Function(b.module, kind, name)
        return b.call(saturating, [b.load(leaked), self.parameter(plane, BIAS)])

    def leaked(self, value: Any, plane: Any) -> Any:
        """The potentials after their leak, rounded down."""
        b, v = self.builder, self.v
        product = b.mul(b.sext(value, v.wide), b.sext(self.parameter(plane, FACTOR), v.wide))
        high = b.trunc(b.ashr(product, ir.Constant(v.wide, [self.bits] * v.lanes)), v.type)
        return b.add(high, b.and_(value, self.parameter(plane, WHOLE)))


@intrinsic
def fire_row(
    typing: Any,
    sums: Any,
    wide: Any,
    blocks: Any,
    ticks: Any,
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
    counts: Any,
) -> Any:
    """The spikes of a row of *blocks* (one at least), as a list.

    Where states are wider than sums (*wide*), those *gathered* are first poured into the state. Where ``state
    >= theta``, it becomes ``(state & keep) - sub`` and the number of the neuron in its row is appended at
    *events* (up to a block may be written behind the end), and once more in each of the *ticks* in which that
    happens again; the spikes of each tick are added at *counts*. Unless *settles* is 0, potentials then
    settle. Returns the number of spikes, plus 1 << 32 where a new state lies outside low..high.
    """
    sum_bits = sums.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, *rest = arguments[1:]
        return in_width(builder, wide, sum_bits, lambda bits: row(builder, bits, sum_bits, rest))

    return types.intp(sums, *[types.intp] * 14), generate


def row(b: Any, bits: int, sum_bits: int, arguments: Sequence[Any]) -> Any:
    """What `fire_row` consists of, for states of *bits*."""
    blocks, ticks, settles, state, gathered, plane, *limits, low, high, events, counts = arguments
    neurons = Neurons(b, bits, *limits)
    v, align = neurons.v, bits // 8
    lanes, masks = ir.VectorType(I16, v.lanes), ir.VectorType(ir.IntType(1), v.lanes)
    lowest, span = v.spread(low, v.type), v.spread(b.sub(high, low), v.type)
    codes = variable(b, ir.Constant(lanes, list(range(v.lanes))))
    to, first, beyond = variable(b, events), variable(b, ZERO), variable(b, ir.Constant(masks, None))
    with cgutils.for_range(b, blocks) as loop:
        step = b.mul(loop.index, ir.Constant(I64, BLOCK))
        here, there = b.add(state, step), b.add(plane, step)
        potential = variable(b, v.load(here, bits, align))
        if sum_bits < bits:
            arrived = drained(b, v, b.add(gathered, b.lshr(step, ONE)), sum_bits)
            b.store(b.add(b.load(potential), arrived), potential)

        def fire() -> Any:
            mask, after = neurons.fired(b.load(potential), there)
            b.store(after, potential)
            fired = v.mask_bits(mask)
            append(b, v, b.load(codes), mask, fired, b.load(to))
            count = popcount(b, fired)
            b.store(b.add(b.load(to), b.shl(count, ONE)), to)
            return count

        fired = variable(b, fire())
        b.store(b.add(b.load(first), b.load(fired)), first)
        with b.if_then(b.icmp_signed(">", ticks, ONE)), cgutils.for_range(b, b.sub(ticks, ONE)) as again:
            with b.if_then(b.icmp_unsigned("==", b.load(fired), ZERO)):
                again.do_break()
            b.store(fire(), fired)
            tick = b.shl(b.add(again.index, ONE), ir.Constant(I64, 3))
            increased(b, b.add(counts, tick), b.load(fired))
        with b.if_then(b.icmp_unsigned("!=", settles, ZERO)):
            b.store(neurons.settled(b.load(potential), there), potential)
        after = b.load(potential)
        v.store(after, here, align)
        b.store(b.or_(b.load(beyond), b.icmp_unsigned(">", b.sub(after, lowest), span)), beyond)
        b.store(b.add(b.load(codes), ir.Constant(lanes, [v.lanes] * v.lanes)), codes)
    increased(b, counts, b.load(first))
    some = b.zext(b.icmp_unsigned("!=", v.mask_bits(b.load(beyond)), ZERO), I64)
    spikes = b.lshr(b.sub(b.load(to), events), ONE)
    return b.or_(spikes, b.shl(some, ir.Constant(I64, 32)))
