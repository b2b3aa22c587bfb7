"""The arrays that the event kernel takes for a layer, in potentials of a given width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array, Conv, Dense, LeakRounding, Reset
from snncc.simulator.layer_kernel import EVENTS_AT, NEVER, NUMBERS, ROWS_AT, SOURCE
from snncc.simulator.layer_match import Layer, Source
from snncc.simulator.layer_weights import (
    arranged,
    entering_shape,
    paired,
    reach,
    run_length,
    taps_across,
    taps_down,
)
from snncc.simulator.simd import BLOCK, lanes_of
from snncc.simulator.simd_neuron import PLANES
from snncc.simulator.stream import Grid
from snncc.simulator.synapse_table import fan_of

Ints = NDArray[np.int64]
WIDTHS = ((16, 16), (32, 16), (32, 32))
"""Bits of potentials and of the sums that gather for them, in the order in which they are tried."""


POURING_SHARE = 0.03
"""Neurons that may be emptied for each weight added: emptying one costs about five times as much."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceTable:
    """Where the events of one source lead; see `snncc.simulator.layer_kernel`.

    *rows* has for each row of the source its number of taps, where its costs begin, and where its first tap
    is, in states and in weights, in bytes; *codes* adds to these for each event, two by two. *costs* has for
    each class of rows and each event ``synapses << 32 | nonzero synapses``.
    """

    numbers: Ints
    rows: Ints
    codes: NDArray[np.int32]
    costs: Ints
    weights: Array


@dataclass(frozen=True, slots=True, eq=False)
class LayerTable:
    """A layer in one width."""

    bits: int
    input_bits: int
    weight_bits: int
    numbers: Ints
    planes: Array
    state_size: int
    input_size: int
    sources: tuple[SourceTable, ...]
    addressed: Ints
    """`SOURCE` for two sources, but for the addresses of their events, which belong to a `Job`."""
    room: Room
    lookups: dict[int, Lookups] = field(default_factory=dict)
    """By the number of the source; made when they are first needed (`snncc.simulator.layer_lookup`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Lookups:
    """What patterns of spikes of a source weigh, and the `LOOKUP` of a job but for its own memory.

    That is twice *line* bytes. A row with *fewest* events is run by lookup.
    """

    table: Array
    numbers: Ints
    line: int
    fewest: int


@dataclass(frozen=True, slots=True)
class Room:
    """How a map of potentials lies in memory: *left* and *right* spare columns beside each row; in bytes."""

    grid: Grid
    bits: int
    left: int
    right: int

    @property
    def column(self) -> int:
        """Bytes of a column."""
        return self.grid.pitch * self.bits // 8

    @property
    def origin(self) -> int:
        """Where the first row begins."""
        return blocked(self.left * self.column)

    @property
    def pitch(self) -> int:
        """Bytes from one row to the next."""
        return self.origin + blocked((self.grid.columns + self.right) * self.column)


def blocked(size: int) -> int:
    """*size* in bytes, rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def layer_table(layer: Layer, bits: int, input_bits: int) -> LayerTable | None:
    """The table of *layer* with potentials of *bits*; None where these cannot hold them.

    With fewer *input_bits*, what arrives in a timestep gathers in sums of that width.
    """
    found = planes_of(layer, bits)
    limit = pouring(layer, input_bits) if input_bits < bits else 0
    if found is None or limit is None:
        return None
    values, low, high, settles = found
    planes = aligned(values, f"i{bits // 8}")
    weight_bits = 8 if all(source.largest < 128 for source in layer.sources) else 16
    reaches = [reach(source) for source in layer.sources]
    room = Room(
        layer.grid,
        input_bits,
        left=max(max(0, -first) for first, _ in reaches),
        right=max(max(0, last - layer.grid.columns + 1) for _, last in reaches) + 2,
    )
    if layer.grid.rows * room.pitch + BLOCK >= 1 << 31:
        return None
    tables = []
    for source in layer.sources:
        weight: Array = arranged(source, layer.grid, input_bits)
        if isinstance(source.synapse, Dense) and 2 * weight_bits == input_bits:
            blocks = run_length(source.synapse, layer.grid, input_bits) // lanes_of(input_bits)
            weight = paired(weight, blocks, input_bits)
        table = source_table(source, room, aligned(weight, f"i{weight_bits // 8}"), limit)
        if table is None:
            return None
        tables.append(table)
    p = layer.neuron.parameters
    plane_rows = values.shape[1] // (layer.grid.columns * layer.grid.pitch)
    row = layer.grid.codes * bits // 8
    numbers = {
        "timesteps": 0,
        "samples": 0,
        "rows": layer.grid.rows,
        "row_blocks": row // BLOCK,
        "pitch": row if input_bits < bits else room.pitch,
        "origin": 0 if input_bits < bits else room.origin,
        "plane_pitch": row if plane_rows > 1 else 0,
        "ticks": p.max_count or 1,
        "keep": 0 if p.reset is Reset.VALUE else -1,
        "to_zero": -1 if p.leak_rounding is LeakRounding.ZERO else 0,
        "low": low,
        "high": high,
        "input_pitch": room.pitch,
        "input_origin": room.origin,
        "settles": int(settles),
        "plane_bytes": planes.nbytes // len(planes),
        "planes": planes.ctypes.data,
        "own_events": 0,
        "own_starts": 0,
        "states": 0,
        "sums": 0,
        "sum_blocks": 0,
        "wide": int(input_bits < bits),
    }
    size = (layer.grid.rows * room.pitch + room.origin + 8 * BLOCK) * 8 // input_bits
    return LayerTable(
        bits=bits,
        input_bits=input_bits,
        weight_bits=weight_bits,
        numbers=np.array([numbers[name] for name in NUMBERS], np.int64),
        planes=planes,
        state_size=layer.grid.rows * layer.grid.codes if input_bits < bits else size,
        input_size=size,
        sources=tuple(tables),
        addressed=addressed(tables),
        room=room,
    )


def addressed(tables: Sequence[SourceTable]) -> Ints:
    """The numbers of each source, and where its tables are."""
    result = np.zeros((2, len(SOURCE)), np.int64)
    for k, table in enumerate(tables):
        result[k, :EVENTS_AT] = table.numbers
        result[k, ROWS_AT:] = [a.ctypes.data for a in (table.rows, table.codes, table.costs, table.weights)]
    return result


def pouring(layer: Layer, bits: int) -> int | None:
    """After how many events sums of *bits* are emptied, 0 for once a timestep; None where they may fail."""
    most = (1 << (bits - 1)) - 1
    if max(sum(s.up for s in layer.sources), sum(s.down for s in layer.sources)) <= most:
        return 0
    limit = most // max(source.largest for source in layer.sources)
    # Emptying must cost little beside what fills them.
    work = limit * min(run_length(s.synapse, layer.grid, bits) * taps_down(s.synapse) for s in layer.sources)
    return limit if limit and layer.grid.rows * layer.grid.codes <= POURING_SHARE * work else None


def aligned(values: Array, dtype: str) -> Array:
    """A copy of *values* that begins at a whole block."""
    kind = np.dtype(dtype)
    raw = np.empty(values.size * kind.itemsize + BLOCK, np.uint8)
    start = -raw.ctypes.data % BLOCK
    copy = raw[start : start + values.size * kind.itemsize].view(kind).reshape(values.shape)
    copy[...] = values
    return copy


def planes_of(layer: Layer, bits: int) -> tuple[Ints, int, int, bool] | None:
    """The parameters of every neuron of a row, the safe range of a potential, whether anything settles.

    A potential inside the safe range stays inside its width whatever arrives in one timestep.
    """
    p, grid = layer.neuron.parameters, layer.grid
    width = min(bits, p.v_bits or bits)
    lowest, highest = -(1 << (width - 1)), (1 << (width - 1)) - 1
    highest -= width == bits  # so that a threshold can lie above every potential
    if width == bits and p.leak_rounding is LeakRounding.ZERO:
        lowest += 1  # rounding toward zero takes the magnitude, which the lowest number has not
    up, down = sum(s.up for s in layer.sources), sum(s.down for s in layer.sources)
    bias = p.bias.astype(np.int64)
    for source in layer.sources:
        if source.synapse.bias is not None:
            bias = bias + source.synapse.bias.astype(np.int64)
    most = max(up, down) + int(np.abs(bias).max(initial=0))
    if p.i_bits is not None and most >= 1 << (p.i_bits - 1):
        return None
    # a sum that reached the end of its width may have gone further
    low, high = max(lowest + down, 1 - (1 << (bits - 1))), highest - up
    theta = p.theta.astype(np.int64) + int(p.strict)
    start = p.v_init.astype(np.int64)
    product = p.leak.astype(np.int64) * start
    leaked = product >> p.leak_shift
    if p.leak_rounding is LeakRounding.ZERO:
        leaked = np.sign(product) * (np.abs(product) >> p.leak_shift)
    leaked = leaked + bias
    sub = {Reset.SUBTRACT: p.rho, Reset.VALUE: -p.v_reset, Reset.NONE: np.zeros(())}[p.reset].astype(np.int64)
    after = theta - sub if p.reset is not Reset.VALUE else -sub
    floor = np.array(lowest) if p.clamp_low is None else np.maximum(p.clamp_low.astype(np.int64), lowest)
    ceiling = (
        np.array(highest) if p.clamp_high is None else np.minimum(p.clamp_high.astype(np.int64), highest)
    )
    # without memory, every timestep begins as the first one does
    leak, added = (np.zeros((), np.int64), leaked) if p.stateless else (p.leak.astype(np.int64), bias)
    settles = bool(
        p.stateless
        or p.clamp_low is not None
        or p.clamp_high is not None
        or np.any(leak != 1 << p.leak_shift)
        or np.any(bias != 0)
    )
    held = [(theta, lowest, highest), (after, lowest, highest), (leaked, low, high)]
    held += [(sub, lowest, highest), (added, lowest, highest), (leak, lowest, highest)]
    held += [(floor, lowest, highest), (ceiling, lowest, highest)]
    if low > high or any(np.any(a < least) or np.any(a > most_of) for a, least, most_of in held):
        return None
    rest = (highest + 1 if width == bits else (1 << (bits - 1)) - 1, 0, lowest, highest, 0, 0, 0, 0)
    scaled = leak << (bits - p.leak_shift)
    whole = np.where(scaled >= 1 << (bits - 1), -1, 0)
    factor = scaled + (whole << bits)
    arrays = (theta, sub, floor, ceiling, factor, whole, added, leaked)
    names = dict(zip(PLANES, zip(arrays, rest, strict=True), strict=True))
    return plane_values([names[name] for name in PLANES], grid), low, high, settles


def plane_values(arrays: list[tuple[Array, int]], grid: Grid) -> Ints:
    """Each array along a row of the grid (or all rows, where it differs between them), padded."""
    shape = grid.shape if len(grid.shape) == 3 else (*grid.shape, 1, 1)
    whole = []
    for array, _ in arrays:
        lifted = array.reshape(-1, 1, 1) if len(grid.shape) == 1 and array.ndim else array
        whole.append(np.broadcast_to(lifted, shape))
    differs = any(np.any(a != a[:, :1]) for a in whole)
    rows = grid.rows if differs else 1
    result = np.empty((len(arrays), rows, grid.columns, grid.pitch), np.int64)
    for k, (a, (_, rest)) in enumerate(zip(whole, arrays, strict=True)):
        result[k] = rest
        result[k, :, :, : grid.channels] = a[:, :rows].transpose(1, 2, 0)
    return result.reshape(len(arrays), -1)


def source_table(source: Source, room: Room, weights: Array, limit: int) -> SourceTable | None:
    """The table of *source* for targets that lie as *room* says."""
    node, grid = source.synapse, source.grid
    wide = weights.dtype.itemsize
    run = run_length(node, room.grid, room.bits) * wide
    channels, rows, columns = entering_shape(source)
    code = np.arange(grid.codes)
    x, c = code // grid.pitch // source.window[1], code % grid.pitch
    is_real = c < channels
    fan = fan_of(
        node,
        (channels, rows, columns) if isinstance(node, Conv) else (channels * rows * columns,),
        source.shape,
    )
    every, nonzero = (a.reshape(channels, rows, columns) for a in (fan.every, fan.nonzero))
    if isinstance(node, Dense):
        to, of = np.full(len(code), room.origin), (x * channels + c) * run
        taps = [[(0, y * columns * channels * run)] for y in range(rows)]
        to_next = of_next = 0
        classes = list(range(rows))
    else:
        (sy, sx), (top, _, left, _) = node.stride, node.padding
        kh, out_rows = node.weight.shape[2], room.grid.rows
        to = room.origin + ((x + left) // sx - taps_across(node) + 1) * room.column
        of = (((x + left) % sx) * channels + c) * kh * run
        reached = [[(ky, (y + top - ky) // sy) for ky in range((y + top) % sy, kh, sy)] for y in range(rows)]
        inside = [[(ky, oy) for ky, oy in pairs if 0 <= oy < out_rows] for pairs in reached]
        taps = [[(oy * room.pitch, ky * run) for ky, oy in pairs] for pairs in inside]
        kinds = [tuple(ky for ky, _ in pairs) for pairs in inside]
        to_next, of_next = -room.pitch, sy * run
        known = list(dict.fromkeys(kinds))
        classes = [known.index(kind) for kind in kinds]
    row_numbers = np.zeros((grid.rows, 4), np.int64)
    costs = np.zeros((max(classes) + 1, len(code)), np.int64)
    for y in range(grid.rows):
        pairs, kind = taps[y // source.window[0]], classes[y // source.window[0]]
        row_numbers[y] = len(pairs), 8 * kind * len(code), *(pairs[0] if pairs else (0, 0))
        at = (np.where(is_real, c, 0), y // source.window[0], x)
        costs[kind] = np.where(is_real, (every[at] << 32) + nonzero[at], 0)
    if int((costs >> 32).sum(axis=1).max()) * source.repeats >= 1 << 31 or weights.nbytes >= 1 << 31:
        return None
    blocks = run // wide // lanes_of(room.bits)
    unit = 3 if blocks % 3 == 0 else 1
    shape = (0, blocks) if isinstance(node, Dense) else (unit, blocks // unit)
    numbers = (grid.rows, 1, source.early, source.late, *shape, limit, to_next, of_next, NEVER, 0)
    return SourceTable(
        numbers=np.array(numbers, np.int64),
        rows=row_numbers,
        codes=np.stack([to, np.where(is_real, of, 0)], axis=1).astype(np.int32).reshape(-1),
        costs=costs.reshape(-1),
        weights=weights,
    )
