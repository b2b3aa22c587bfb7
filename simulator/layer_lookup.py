"""Rows of many spikes by lookup instead of event by event: the same sums.

A target of a convolution sees, in one row of taps, a window of neurons that lie side by side in their row.
Four of them at a time are a pattern, one of 16; what each pattern weighs is worked out beforehand, so that
four synapses cost one addition, silent or not. These tables are up to eight times as large as the weights;
they are made when a chunk is measured to be worth it. From then on each row is run in the faster way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array, Conv
from snncc.simulator.layer_kernel import FEWEST, LIMIT, LOOKUP_AT
from snncc.simulator.layer_match import Layer, Source
from snncc.simulator.layer_table import LayerTable, Lookups, Room, aligned
from snncc.simulator.layer_weights import run_length
from snncc.simulator.simd import BLOCK
from snncc.simulator.simd_lookup import LOOKUP, MARKS_AT, PATTERNS, PATTERNS_AT, STEP, STEPS, TOGETHER
from snncc.simulator.stream import Stream

BREAK_EVEN = 0.4
"""From which share of the numbers that events may have lookup is faster (benchmarks/DENSE_SHARE.md)."""
MOST_BYTES = 1 << 23
"""How large the tables of a source may be at most; larger ones were not measured."""


@dataclass(slots=True, eq=False)
class Watched:
    """A source that a job has run event by event so far, and could run by lookup.

    *numbers* are what the kernel takes for it, *fewest* events in *stream* make a table worth while.
    """

    table: LayerTable
    which: int
    source: Source
    stream: Stream
    numbers: NDArray[np.int64]
    fewest: int
    held: list[Array] = field(default_factory=list)
    """The arrays whose addresses are in the numbers."""

    def turns(self) -> bool:
        """Let the kernel look rows of many events up if the stream has enough now; whether it has."""
        if int(self.stream.starts[-1]) < self.fewest:
            return False
        found = self.table.lookups.get(self.which)
        if found is None:
            made = lookups_of(self.source, self.table.room, self.table.weight_bits)
            found = self.table.lookups.setdefault(self.which, made)
        numbers = found.numbers.copy()
        marks, patterns = (aligned(np.zeros(found.line, np.uint8), "u1") for _ in range(2))
        numbers[MARKS_AT], numbers[PATTERNS_AT] = marks.ctypes.data, patterns.ctypes.data
        self.held += [found.table, numbers, marks, patterns]
        self.numbers[FEWEST], self.numbers[LOOKUP_AT] = found.fewest, numbers.ctypes.data
        return True


def watched(
    layer: Layer, table: LayerTable, streams: Sequence[Stream], numbers: NDArray[np.int64]
) -> list[Watched]:
    """The sources of *layer*, which read *streams*, that may be run by lookup.

    (Not its own spikes, which nobody has counted before it runs.) *numbers* has a row for each source.
    """
    found = []
    for k, (source, stream) in enumerate(zip(layer.sources, streams, strict=True)):
        is_own = source.name == layer.neuron.name
        if has_patterns(source, table.room) and not numbers[k, LIMIT] and not is_own:
            rows = stream.batch * stream.timesteps * stream.grid.rows
            found.append(Watched(table, k, source, stream, numbers[k], enough(rows * stream.grid.codes)))
    return found


def enough(most: int) -> int:
    """How many of *most* events make lookup the faster way, one at least."""
    return max(1, ceil(BREAK_EVEN * most))


def has_patterns(source: Source, room: Room) -> bool:
    """Whether *source* may be run by lookup."""
    node = source.synapse
    if not isinstance(node, Conv) or source.repeats > 1:  # a pattern has no place for a second spike
        return False
    return node.weight.shape[2] * looked_up(node, source) * PATTERNS * room.column <= MOST_BYTES


def looked_up(node: Conv, source: Source) -> int:
    """Patterns of the window that a target sees in one row of taps."""
    columns = node.weight.shape[3] * source.window[1]
    return -(-((columns - 1) * source.grid.pitch + node.weight.shape[1]) // TOGETHER)


def lookups_of(source: Source, room: Room, weight_bits: int) -> Lookups:
    """The tables of *source*, a convolution, for sums that lie as *room* says.

    *weight_bits* are those of its weights where it is run event by event.
    """
    node, grid, across = source.synapse, source.grid, source.window[1]
    assert isinstance(node, Conv)
    count, parts = looked_up(node, source), parts_of(room)
    table = aligned(weighed(node, source, room, count, parts), f"i{room.bits // 8}")
    columns, row_bytes = room.grid.columns, table.nbytes // len(table)
    first, step = node.padding[2] * across * grid.pitch, node.stride[1] * across * grid.pitch
    most = max(first + grid.codes, (columns - 1) * step + TOGETHER * count)
    numbers = {
        "table": table.ctypes.data,
        "marks": 0,
        "patterns": 0,
        "blocks": -(-most // BLOCK),
        "first": first,
        "targets": room.origin,
        "columns": columns,
        "column": room.column,
        "window": step,
        "count": count,
        "part": room.column // parts,
        "parts": parts,
        "run": run_length(node, room.grid, room.bits) * weight_bits // 8,
        "row_bytes": row_bytes,
        "to_next": -room.pitch,
        "table_next": node.stride[0] * row_bytes,
    }
    return Lookups(
        table=table,
        numbers=np.array([numbers[name] for name in LOOKUP], np.int64),
        line=(numbers["blocks"] + 1) * BLOCK,
        fewest=enough(grid.codes),
    )


def parts_of(room: Room) -> int:
    """Into how many parts the channels of a target are cut, so that the kernel has each in one piece."""
    steps = room.grid.pitch // STEP
    return steps // max(times for times in STEPS if steps % times == 0)


def weighed(node: Conv, source: Source, room: Room, count: int, parts: int) -> NDArray[Any]:
    """What each pattern weighs: [rows of taps, parts, patterns of a window, 16, channels of a part].

    The sums may wrap around in their width, as those do to which they are added.
    """
    outs, ins, kh, kw = node.weight.shape
    pitch, across = source.grid.pitch, source.window[1]
    weight = (node.weight.astype(np.int64) << node.shift).astype(f"i{room.bits // 8}")
    seen = np.zeros((kh, TOGETHER * count, room.grid.pitch), weight.dtype)
    for k in range(kw * across):
        seen[:, k * pitch : k * pitch + ins, :outs] = weight[..., k // across].transpose(2, 1, 0)
    seen = seen.reshape(kh, count, TOGETHER, -1)
    result = np.zeros((kh, count, PATTERNS, room.grid.pitch), weight.dtype)
    for k in range(TOGETHER):
        result[:, :, 1 << k : 2 << k] = result[:, :, : 1 << k] + seen[:, :, k, None]
    return result.reshape(kh, count, PATTERNS, parts, -1).transpose(0, 3, 1, 2, 4)
