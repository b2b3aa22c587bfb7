"""Blocks of 64 bytes of state as single vector operations, written in LLVM's language for Numba.

Addresses are plain integers; the arrays that come first say by their types how wide the numbers are. A block
is 32 states of 16 bits or 16 of 32 bits; any processor runs it, AVX-512 in one instruction each. Spikes are
listed by a compressing instruction where the processor has one (x86 with VBMI2), elsewhere bit by bit.

The intrinsics stand at the top level of this module: in a closure they would keep Numba from finding its
machine code on disk again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import binding, ir
from numba import extending, types
from numba.core import cgutils as numba_cgutils

BLOCK = 64
"""Bytes of state in a block."""

intrinsic: Any = extending.intrinsic  # whatever it makes, kernels call it with other arguments
cgutils: Any = numba_cgutils  # has no types

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
ZERO, ONE = ir.Constant(I64, 0), ir.Constant(I64, 1)


def lanes_of(bits: int) -> int:
    """States in a block."""
    return 8 * BLOCK // bits


def has_compress() -> bool:
    """Whether the processor compresses vectors of 16-bit numbers."""
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512vbmi2")) and bool(features.get("avx512vl"))


COMPRESSES = has_compress()


class Vectors:
    """Short names for what the blocks are built from."""

    def __init__(self, builder: ir.IRBuilder, bits: int) -> None:
        self.builder, self.bits, self.lanes = builder, bits, lanes_of(bits)
        self.type = ir.VectorType(ir.IntType(bits), self.lanes)
        self.wide = ir.VectorType(ir.IntType(2 * bits), self.lanes)

    def load(self, address: Any, bits: int, align: int) -> Any:
        kind = ir.VectorType(ir.IntType(bits), self.lanes)
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = align
        return value

    def store(self, value: Any, address: Any, align: int) -> None:
        place = self.builder.inttoptr(address, value.type.as_pointer())
        self.builder.store(value, place).align = align

    def spread(self, number: Any, kind: Any) -> Any:
        """The 64-bit *number* in every lane."""
        one = self.builder.trunc(number, kind.element) if kind.element.width < 64 else number
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), one, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def number(self, value: int) -> Any:
        """*value* in every lane."""
        return ir.Constant(self.type, [value] * self.lanes)

    def mask_bits(self, mask: Any) -> Any:
        return self.builder.zext(self.builder.bitcast(mask, ir.IntType(self.lanes)), I64)


def variable(builder: Any, value: Any) -> Any:
    """A place that holds *value*, loaded and stored to until LLVM makes registers of it."""
    return cgutils.alloca_once_value(builder, value)


def increased(builder: Any, address: Any, added: Any) -> None:
    """Add to the 64-bit number at *address*."""
    place = builder.inttoptr(address, I64.as_pointer())
    builder.store(builder.add(builder.load(place), added), place)


@intrinsic
def add_block(typing: Any, sums: Any, weights: Any, to: Any, of: Any) -> Any:
    """Add the block of weights at *of* to the block of sums at *to*."""
    bits, weight_bits = sums.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, to, of = arguments
        v = Vectors(builder, bits)
        weight = v.load(of, weight_bits, 1)
        wide = builder.sext(weight, v.type) if weight_bits < bits else weight
        v.store(builder.add(v.load(to, bits, bits // 8), wide), to, bits // 8)
        return context.get_dummy_value()

    return types.void(sums, weights, types.intp, types.intp), generate


@intrinsic
def copy_block(typing: Any, to: Any, of: Any) -> Any:
    """Copy the block at *of* to *to*."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(builder, 32)
        v.store(v.load(arguments[1], 32, 4), arguments[0], 4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """What is at *address* is read soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(function, [place, *(ir.Constant(number, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@intrinsic
def clear_block(typing: Any, to: Any) -> Any:
    """Fill the block at *to* with zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(builder, 32)
        v.store(ir.Constant(v.type, None), arguments[0], 4)
        return context.get_dummy_value()

    return types.void(types.intp), generate


def drained(builder: Any, v: Vectors, inputs: Any, input_bits: int) -> Any:
    """What has gathered at *inputs*, in the width of the state; nothing is left there."""
    found = v.load(inputs, input_bits, input_bits // 8)
    v.store(ir.Constant(found.type, None), inputs, input_bits // 8)
    return builder.sext(found, v.type)


@intrinsic
def list_blocks(typing: Any, numbers: Any, blocks: Any, events: Any, pitch: Any, code: Any, skip: Any) -> Any:
    """Of the bytes at *numbers*, append ``place * pitch + code`` at *events* for those that are not 0.

    There are *blocks* of 32 bytes; the first *skip* bytes of each are left out. Returns how many events there
    are, plus 1 << 32 where a byte is not 1 (up to a block may be written behind the end).
    """

    def generate(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        numbers, blocks, events, pitch, code, skip = arguments
        v = Vectors(b, 16)
        steps = b.mul(ir.Constant(v.type, list(range(v.lanes))), v.spread(pitch, v.type))
        onward = v.spread(b.mul(pitch, ir.Constant(I64, v.lanes)), v.type)
        codes, to = variable(b, b.add(steps, v.spread(code, v.type))), variable(b, events)
        kind = ir.VectorType(ir.IntType(8), v.lanes)
        none = ir.Constant(kind, None)
        seen = variable(b, none)
        is_new = b.icmp_unsigned(">=", ir.Constant(kind, list(range(v.lanes))), v.spread(skip, kind))
        with cgutils.for_range(b, blocks) as loop:
            value = v.load(b.add(numbers, b.mul(loop.index, ir.Constant(I64, v.lanes))), 8, 1)
            mask = b.and_(is_new, b.icmp_unsigned("!=", value, none))
            found = v.mask_bits(mask)
            append(b, v, b.load(codes), mask, found, b.load(to))
            b.store(b.add(b.load(to), b.shl(popcount(b, found), ONE)), to)
            b.store(b.add(b.load(codes), onward), codes)
            b.store(b.or_(b.load(seen), value), seen)
        wrong = b.icmp_unsigned(">", b.load(seen), ir.Constant(kind, [1] * v.lanes))
        some = b.zext(b.icmp_unsigned("!=", v.mask_bits(wrong), ZERO), I64)
        listed = b.lshr(b.sub(b.load(to), events), ONE)
        return b.or_(listed, b.shl(some, ir.Constant(I64, 32)))

    return types.intp(*[types.intp] * 6), generate


@intrinsic
def pour_block(typing: Any, sums: Any, state: Any, gathered: Any) -> Any:
    """Add what has gathered to the block at *state*, twice as wide as the sums, and leave zeros."""
    bits = sums.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, state, gathered = arguments
        if bits < 32:
            v, align = Vectors(builder, 2 * bits), bits // 4
            before = v.load(state, 2 * bits, align)
            v.store(builder.add(before, drained(builder, v, gathered, bits)), state, align)
        return context.get_dummy_value()

    return types.void(sums, types.intp, types.intp), generate


def in_width(builder: Any, wide: Any, bits: int, build: Callable[[int], Any]) -> Any:
    """What *build* builds for states of *bits*, or of twice as many, up to 32, where *wide* is not 0."""
    if bits == 32:
        return build(32)
    result = variable(builder, ZERO)
    with builder.if_else(builder.icmp_unsigned("!=", wide, ZERO)) as (then, otherwise):
        with then:
            builder.store(build(2 * bits), result)
        with otherwise:
            builder.store(build(bits), result)
    return builder.load(result)


def popcount(builder: Any, bits: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.ctpop", [I64])
    return builder.call(function, [bits])


def append(builder: Any, v: Vectors, lanes: Any, mask: Any, fired: Any, events: Any) -> None:
    """Store those *lanes* whose *mask* is set (as bits: *fired*), one after another, at *events*."""
    if COMPRESSES:
        kind = ir.FunctionType(lanes.type, [lanes.type, lanes.type, mask.type])
        name = f"llvm.x86.avx512.mask.compress.v{v.lanes}i16"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        v.store(builder.call(function, [lanes, ir.Constant(lanes.type, None), mask]), events, 2)
        return
    count_zeros = builder.module.declare_intrinsic("llvm.cttz", [I64, ir.IntType(1)])
    entry, loop = builder.block, builder.append_basic_block("each")
    done = builder.append_basic_block("listed")
    zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
    builder.cbranch(builder.icmp_unsigned("!=", fired, zero), loop, done)
    builder.position_at_end(loop)
    left, place = builder.phi(I64), builder.phi(I64)
    left.add_incoming(fired, entry)
    place.add_incoming(events, entry)
    lane = builder.call(count_zeros, [left, ir.Constant(ir.IntType(1), 1)])
    event = builder.extract_element(lanes, builder.trunc(lane, I32))
    builder.store(event, builder.inttoptr(place, I16.as_pointer())).align = 2
    rest = builder.and_(left, builder.sub(left, one))
    left.add_incoming(rest, loop)
    place.add_incoming(builder.add(place, ir.Constant(I64, 2)), loop)
    builder.cbranch(builder.icmp_unsigned("!=", rest, zero), loop, done)
    builder.position_at_end(done)


@intrinsic
def gather_blocks(
    typing: Any,
    unit: Any,
    sums: Any,
    weights: Any,
    to: Any,
    of: Any,
    event: Any,
    end: Any,
    codes: Any,
    costs: Any,
) -> Any:
    """Add the weights of all events between two addresses to the same blocks, kept in registers meanwhile.

    There are as many blocks, from *to* on, as *unit* is long, and at least one event; *of* is where the
    weights of these blocks begin, those of two blocks `paired` where half as many bits hold a weight. Returns
    what the events cost.
    """
    bits, weight_bits = sums.bitwidth, weights.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, of, first, end, codes, costs = arguments[3:]
        v = Vectors(builder, bits)
        pairs = unit.count // 2 if 2 * weight_bits == bits else 0
        places = [builder.add(to, ir.Constant(I64, k * BLOCK)) for k in range(unit.count)]
        before = [v.load(place, bits, bits // 8) for place in places]
        zero = ir.Constant(v.type, None)
        starts = [zero] * (2 * pairs) + before[2 * pairs :]
        entry, each = builder.block, builder.append_basic_block("event")
        done = builder.append_basic_block("gathered")
        builder.branch(each)
        builder.position_at_end(each)
        event, total = builder.phi(I64), builder.phi(I64)
        totals = [builder.phi(v.type) for _ in places]
        row = builder.add(codes, builder.shl(number(builder, event, 16, False), ir.Constant(I64, 3)))
        cost = builder.add(costs, builder.sub(row, codes))
        weight = builder.add(of, number(builder, builder.add(row, ir.Constant(I64, 4)), 32, True))
        after = []
        for k in range(pairs):
            both = v.load(builder.add(weight, ir.Constant(I64, k * BLOCK)), bits, 1)
            after.append(builder.add(totals[2 * k], both))
            after.append(builder.add(totals[2 * k + 1], builder.ashr(both, v.number(weight_bits))))
        for k in range(2 * pairs, unit.count):
            step = k * v.lanes * weight_bits // 8
            added = v.load(builder.add(weight, ir.Constant(I64, step)), weight_bits, 1)
            after.append(builder.add(totals[k], builder.sext(added, v.type) if weight_bits < bits else added))
        spent = builder.add(total, number(builder, cost, 64, True))
        following = builder.add(event, ir.Constant(I64, 2))
        flows = zip((event, total, *totals), (first, ir.Constant(I64, 0), *starts), strict=True)
        for (phi, start), last in zip(flows, (following, spent, *after), strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(last, each)
        builder.cbranch(builder.icmp_signed("<", following, end), each, done)
        builder.position_at_end(done)
        if pairs:  # half a weight's range too much for each event, of two bytes
            excess = v.spread(builder.shl(builder.sub(end, first), ir.Constant(I64, weight_bits - 2)), v.type)
        for k in range(0, 2 * pairs, 2):
            both, upper = after[k : k + 2]
            lower = builder.sub(both, builder.add(builder.shl(upper, v.number(weight_bits)), excess))
            after[k : k + 2] = builder.add(before[k], lower), builder.add(before[k + 1], upper)
        for place, value in zip(places, after, strict=True):
            v.store(value, place, bits // 8)
        return spent

    return types.int64(unit, sums, weights, *[types.intp] * 6), generate


def number(builder: Any, address: Any, bits: int, is_signed: bool) -> Any:
    """The number of *bits* bits at *address*, aligned or not, in 64 bits."""
    value = builder.load(builder.inttoptr(address, ir.IntType(bits).as_pointer()))
    value.align = 1
    if bits == 64:
        return value
    return builder.sext(value, I64) if is_signed else builder.zext(value, I64)


def load(bits: int, is_signed: bool, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """What the intrinsics below consist of."""
    return number(builder, arguments[0], bits, is_signed)


@intrinsic
def load_long(typing: Any, address: Any) -> Any:
    """The 64-bit number at *address*."""
    return types.int64(types.intp), partial(load, 64, True)


@intrinsic
def entry(typing: Any, table: Any, which: Any) -> Any:
    """The 64-bit number at place *which* of the table at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, which = arguments
        return number(builder, builder.add(table, builder.shl(which, ir.Constant(I64, 3))), 64, True)

    return types.int64(types.intp, types.intp), generate


@intrinsic
def increase(typing: Any, address: Any, added: Any) -> Any:
    """Add to the 64-bit number at *address*."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        increased(builder, *arguments)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), generate


@intrinsic
def store_long(typing: Any, address: Any, value: Any) -> Any:
    """Store the 64-bit *value* at *address*."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, value = arguments
        builder.store(value, builder.inttoptr(address, I64.as_pointer())).align = 8
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), generate


@intrinsic
def load_int(typing: Any, address: Any) -> Any:
    """The 32-bit number at *address*."""
    return types.int64(types.intp), partial(load, 32, True)


@intrinsic
def load_event(typing: Any, address: Any) -> Any:
    """The unsigned 16-bit number at *address*."""
    return types.int64(types.intp), partial(load, 16, False)


@intrinsic
def size_of(typing: Any, number: Any) -> Any:
    """Bytes of *number*, known when this is compiled."""
    size = number.bitwidth // 8
    return types.int64(number), lambda *_: ir.Constant(I64, size)
