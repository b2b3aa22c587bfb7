"""Rows of many spikes by lookup, a step of the event kernel (see `snncc.simulator.layer_lookup`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from snncc.simulator.simd import BLOCK, I64, ONE, ZERO, cgutils, intrinsic, number, variable

LOOKUP = (
    *("table", "marks", "patterns", "blocks", "first", "targets", "columns", "column", "window", "count"),
    *("part", "parts", "run", "row_bytes", "to_next", "table_next"),
)
"""Of a source by lookup: addresses of what patterns weigh, of a byte for each neuron of a row, and of one for
the pattern that begins there; blocks of these, and which byte is the first neuron's; where the first target
of a row lies, how many there are, how far apart they and their windows are; patterns of a window; bytes of a
part of a target's channels, and the parts; bytes of the weights of a run and of the table for a row of taps;
the way from one row of taps to the next in sums and in the table."""
TABLE_AT, MARKS_AT, PATTERNS_AT, BLOCKS, FIRST, TARGETS, COLUMNS, COLUMN, WINDOW, COUNT = range(10)
PART, PARTS, RUN, ROW_BYTES, TO_NEXT, TABLE_NEXT = range(10, len(LOOKUP))

TOGETHER = 4
"""Neurons whose spikes are one pattern."""
PATTERNS = 1 << TOGETHER
STEP = 16
"""Channels of which a part has a multiple."""
STEPS = (1, 4)
"""How many times."""


@intrinsic
def look_up_row(
    typing: Any, sums: Any, begin: Any, end: Any, row: Any, costs: Any, state: Any, lookup: Any
) -> Any:
    """Add the weights of the events of one row between two addresses, by the patterns that they form.

    At *row* are the numbers of the row, at *lookup* those of `LOOKUP`. Returns what the events cost.
    """
    bits = sums.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"look_up_row_{bits}"
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(I64, [I64] * 6), name)
            # Not a part of its caller, which would be slower where nothing is looked up.
            function.attributes.add("noinline")
            function.attributes.add("optsize")
            function.attributes.add("cold")
            function.linkage = "internal"
            build(ir.IRBuilder(function.append_basic_block()), bits, *function.args)
        return builder.call(function, arguments[1:])

    return types.int64(sums, *[types.intp] * 6), generate


def build(b: Any, bits: int, begin: Any, end: Any, row: Any, costs: Any, state: Any, lookup: Any) -> None:
    """The body of `look_up_row`."""
    has = [number(b, b.add(lookup, ir.Constant(I64, 8 * k)), 64, True) for k in range(len(LOOKUP))]
    taps, _, at, of = (number(b, b.add(row, ir.Constant(I64, 8 * k)), 64, True) for k in range(4))
    total = marked(b, begin, end, costs, has)
    find_patterns(b, has)
    here = b.add(b.add(state, at), has[TARGETS])
    there = b.add(has[TABLE_AT], b.mul(b.sdiv(of, has[RUN]), has[ROW_BYTES]))
    size = b.mul(has[COUNT], b.mul(has[PART], ir.Constant(I64, PATTERNS)))
    with cgutils.for_range(b, taps) as tap, cgutils.for_range(b, has[PARTS]) as part:
        to = b.add(here, b.add(b.mul(tap.index, has[TO_NEXT]), b.mul(part.index, has[PART])))
        table = b.add(there, b.add(b.mul(tap.index, has[TABLE_NEXT]), b.mul(part.index, size)))
        for steps in STEPS:
            width = steps * STEP * bits // 8
            with b.if_then(b.icmp_signed("==", has[PART], ir.Constant(I64, width))):
                look_up(b, ir.VectorType(ir.IntType(bits), steps * STEP), width, to, table, has)
    b.ret(total)


def marked(b: Any, begin: Any, end: Any, costs: Any, has: list[Any]) -> Any:
    """Set the byte of each neuron of the row to whether it fired; what the events cost."""
    byte = ir.IntType(8)
    line = ir.VectorType(byte, BLOCK)
    with cgutils.for_range(b, b.add(has[BLOCKS], ONE)) as block:
        place = b.add(has[MARKS_AT], b.mul(block.index, ir.Constant(I64, BLOCK)))
        b.store(ir.Constant(line, None), b.inttoptr(place, line.as_pointer())).align = 1
    first, total = b.add(has[MARKS_AT], has[FIRST]), variable(b, ZERO)
    with cgutils.for_range(b, b.ashr(b.sub(end, begin), ONE)) as event:
        code = number(b, b.add(begin, b.shl(event.index, ONE)), 16, False)
        b.store(ir.Constant(byte, 1), b.inttoptr(b.add(first, code), byte.as_pointer())).align = 1
        cost = number(b, b.add(costs, b.shl(code, ir.Constant(I64, 3))), 64, True)
        b.store(b.add(b.load(total), cost), total)
    return b.load(total)


def find_patterns(b: Any, has: list[Any]) -> None:
    """For each byte of the marks, the pattern of it and the next three, the lowest bit first."""
    line = ir.VectorType(ir.IntType(8), BLOCK)
    with cgutils.for_range(b, has[BLOCKS]) as block:
        here = b.mul(block.index, ir.Constant(I64, BLOCK))
        pattern = ir.Constant(line, None)
        for k in range(TOGETHER):
            place = b.add(has[MARKS_AT], b.add(here, ir.Constant(I64, k)))
            mark = b.load(b.inttoptr(place, line.as_pointer()))
            mark.align = 1
            pattern = b.or_(pattern, b.shl(mark, ir.Constant(line, [k] * BLOCK)))
        b.store(pattern, b.inttoptr(b.add(has[PATTERNS_AT], here), line.as_pointer())).align = 1


def look_up(b: Any, kind: Any, width: int, to: Any, table: Any, has: list[Any]) -> None:
    """Add to the sums of a part of each target, *width* bytes, what the patterns of its window weigh."""
    align = kind.element.width // 8
    with cgutils.for_range(b, has[COLUMNS]) as column:
        target = b.inttoptr(b.add(to, b.mul(column.index, has[COLUMN])), kind.as_pointer())
        window = b.add(has[PATTERNS_AT], b.mul(column.index, has[WINDOW]))
        before = b.load(target)
        before.align = align
        total = variable(b, before)
        with cgutils.for_range(b, has[COUNT]) as k:
            pattern = number(b, b.add(window, b.mul(k.index, ir.Constant(I64, TOGETHER))), 8, False)
            row = b.add(b.mul(k.index, ir.Constant(I64, PATTERNS)), pattern)
            weight = b.load(b.inttoptr(b.add(table, b.mul(row, ir.Constant(I64, width))), kind.as_pointer()))
            weight.align = align
            b.store(b.add(b.load(total), weight), total)
        b.store(b.load(total), target).align = align
