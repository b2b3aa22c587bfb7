"""A whole layer in one call: events in, weights added to potentials, threshold, events out.

All timesteps of a sample run in the layer before the next layer begins: its weights stay in the cache.
Weights are added to sums [H, W, channels] with room beside each row for taps that fall off the map. The sums
are the potentials themselves where 16 (or 32) bits hold them; or sums of 16 bits gather what arrives and are
poured into potentials of 32 bits. Rows of many events are run by lookup where that was measured to be faster
(`snncc.simulator.layer_lookup`). Numba compiles one kernel for each type of sums and of weights.

The kernel stops with 1 where a potential comes so close to the limit of its width that the next timestep
might pass it: then the caller takes a wider one, and no result depends on the width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snncc.simulator.jit import inlined, inner, kernel
from snncc.simulator.simd import (
    BLOCK,
    add_block,
    clear_block,
    copy_block,
    entry,
    gather_blocks,
    increase,
    load_event,
    load_int,
    load_long,
    pour_block,
    size_of,
    store_long,
)
from snncc.simulator.simd_lookup import look_up_row
from snncc.simulator.simd_neuron import START, fire_row

NUMBERS = (
    *("timesteps", "samples", "rows", "row_blocks", "pitch", "origin", "plane_pitch", "ticks"),
    *("keep", "to_zero", "low", "high", "input_pitch", "input_origin", "settles"),
    *("plane_bytes", "planes", "own_events", "own_starts", "states", "sums", "sum_blocks", "wide"),
)
"""Of a layer; *planes* to *sums* are addresses, *wide* says whether potentials are wider than sums. The
numbers of two sources follow."""
TIMESTEPS, SAMPLES, ROWS, ROW_BLOCKS, PITCH, ORIGIN, PLANE_PITCH, TICKS = range(8)
KEEP, TO_ZERO, LOW, HIGH, INPUT_PITCH, INPUT_ORIGIN, SETTLES = range(8, 15)
PLANE_BYTES, PLANES_AT, OWN_EVENTS_AT, OWN_STARTS_AT, STATES_AT, SUMS_AT = range(15, 21)
SUM_BLOCKS, WIDE = 21, 22

SOURCE = (
    *("map_rows", "follows", "early", "late", "unit", "units", "limit", "to_next", "of_next"),
    *("fewest", "lookup", "events", "starts", "rows", "codes", "costs", "weights"),
)
"""Of a source: rows of its map (0: there is no source), whether it changes over time, delays before and
behind the synapse, the blocks of a run (unit x units; the unit is 3 or 1, or 0 where all events add to the
same run), after how many events the sums must be poured into the potentials (0: once a timestep), the way
from one row of taps to the next in sums and in weights, how many events make a row that is run by lookup, and
the address of its `LOOKUP`; then addresses of arrays, see `snncc.simulator.layer_table`."""
MAP_ROWS, FOLLOWS, EARLY, LATE, UNIT, UNITS, LIMIT, TO_NEXT, OF_NEXT, FEWEST, LOOKUP_AT = range(11)
EVENTS_AT, STARTS_AT, ROWS_AT, CODES_AT, COSTS_AT, WEIGHTS_AT = range(11, len(SOURCE))
NEVER = 1 << 62
"""More events than there are."""


@inner
def pour_all(sums: Any, potentials: Any, inputs: Any, numbers: Any) -> None:
    """Add all that has gathered to the potentials, which are wider."""
    for y in range(entry(numbers, ROWS)):
        here = potentials + y * entry(numbers, PITCH)
        gathered = inputs + entry(numbers, INPUT_ORIGIN) + y * entry(numbers, INPUT_PITCH)
        for block in range(entry(numbers, ROW_BLOCKS)):
            pour_block(sums, here + block * BLOCK, gathered + block * (BLOCK // 2))


@inner
def scatter(
    unit: Any,
    sums: Any,
    weights: Any,
    event: Any,
    end: Any,
    codes: Any,
    costs: Any,
    to: Any,
    of: Any,
    taps: Any,
    source: Any,
) -> Any:
    """Add the weights of the events of one row between two addresses; returns what they cost.

    The length of the tuple *unit*, known when this is compiled, is how many blocks are added in a row.
    """
    total = np.int64(0)
    weight_block = BLOCK // size_of(sums) * size_of(weights)
    units, to_next, of_next = entry(source, UNITS), entry(source, TO_NEXT), entry(source, OF_NEXT)
    while event < end:
        code = load_event(event)
        event += 2
        here = to + load_int(codes + 8 * code)
        there = of + load_int(codes + 8 * code + 4)
        total += load_long(costs + 8 * code)
        for _ in range(taps):
            state, weight = here, there
            for _ in range(units):
                for block in range(len(unit)):
                    add_block(sums, weights, state + block * BLOCK, weight + block * weight_block)
                state += len(unit) * BLOCK
                weight += len(unit) * weight_block
            here += to_next
            there += of_next
    return total


@inner
def gather(
    sums: Any,
    weights: Any,
    event: Any,
    end: Any,
    codes: Any,
    costs: Any,
    to: Any,
    of: Any,
    blocks: Any,
) -> Any:
    """As `scatter` for at least one event, where all events add to the same *blocks*."""
    weight_block = BLOCK // size_of(sums) * size_of(weights)
    to += load_int(codes)
    total, block = np.int64(0), np.int64(0)
    while blocks - block >= 8:
        at, there = to + block * BLOCK, of + block * weight_block
        total = gather_blocks(*((0, 0, 0, 0, 0, 0, 0, 0), sums, weights, at, there, event, end, codes, costs))
        block += 8
    while blocks - block >= 2:
        at, there = to + block * BLOCK, of + block * weight_block
        total = gather_blocks(*((0, 0), sums, weights, at, there, event, end, codes, costs))
        block += 2
    if block < blocks:
        at, there = to + block * BLOCK, of + block * weight_block
        total = gather_blocks(*((0,), sums, weights, at, there, event, end, codes, costs))
    return total


@inlined
def charge(
    sums: Any,
    weights: Any,
    source: Any,
    frame: Any,
    is_over: Any,
    state: Any,
    potentials: Any,
    numbers: Any,
) -> Any:
    """Add the weights of all events of one timestep of a source (unless it *is_over*).

    Returns the synapses they met, those of nonzero weight, and the events.
    """
    every, nonzero, received = np.int64(0), np.int64(0), np.int64(0)
    events, rows, codes = entry(source, EVENTS_AT), entry(source, ROWS_AT), entry(source, CODES_AT)
    map_rows, unit, limit = entry(source, MAP_ROWS), entry(source, UNIT), entry(source, LIMIT)
    starts = entry(source, STARTS_AT) + 8 * frame * map_rows
    left = limit
    for y in range(map_rows):
        begin, end = events + 2 * load_long(starts + 8 * y), events + 2 * load_long(starts + 8 * y + 8)
        if end == begin:
            continue
        row = rows + 32 * y
        taps, costs = load_long(row), entry(source, COSTS_AT) + load_long(row + 8)
        to, of = state + load_long(row + 16), entry(source, WEIGHTS_AT) + load_long(row + 24)
        total = np.int64(0)
        received += (end - begin) >> 1
        if is_over:
            for k in range((end - begin) >> 1):
                total += load_long(costs + 8 * load_event(begin + 2 * k))
            begin = end
        while begin < end:
            part = end
            if limit:
                if left == 0:
                    pour_all(sums, potentials, state, numbers)
                    left = limit
                part = begin + 2 * left if left < (end - begin) >> 1 else end
                left -= (part - begin) >> 1
            if unit == 0:
                blocks = entry(source, UNITS) * taps
                total += gather(sums, weights, begin, part, codes, costs, to, of, blocks)
            elif (part - begin) >> 1 >= entry(source, FEWEST):
                total += look_up_row(sums, begin, part, row, costs, state, entry(source, LOOKUP_AT))
            elif unit == 3:
                total += scatter(*((0, 0, 0), sums, weights, begin, part, codes, costs, to, of, taps, source))
            else:
                total += scatter(*((0,), sums, weights, begin, part, codes, costs, to, of, taps, source))
            begin = part
        every += total >> 32
        nonzero += total & 0xFFFFFFFF
    if limit and not is_over:
        pour_all(sums, potentials, state, numbers)
    return every, nonzero, received


@kernel
def run_kernel(results: Any, sums: Any, added: Any, numbers: Any) -> int:
    # results: spikes [B, T, ticks], neurons that fired [B, T], what events of two sources met [2, 3, B];
    # then zeros whose types are those of sums and weights; the address of `NUMBERS`
    timesteps, samples, ticks = entry(numbers, TIMESTEPS), entry(numbers, SAMPLES), entry(numbers, TICKS)
    rows, row_blocks, pitch = entry(numbers, ROWS), entry(numbers, ROW_BLOCKS), entry(numbers, PITCH)
    input_pitch, settles, wide = entry(numbers, INPUT_PITCH), entry(numbers, SETTLES), entry(numbers, WIDE)
    keep, to_zero = entry(numbers, KEEP), entry(numbers, TO_ZERO)
    low, high = entry(numbers, LOW), entry(numbers, HIGH)
    plane, plane_pitch = entry(numbers, PLANES_AT), entry(numbers, PLANE_PITCH)
    plane_bytes = entry(numbers, PLANE_BYTES)
    base, starts, out = entry(numbers, SUMS_AT), entry(numbers, OWN_STARTS_AT), entry(numbers, OWN_EVENTS_AT)
    first = entry(numbers, STATES_AT) + entry(numbers, ORIGIN)
    arriving = base + entry(numbers, INPUT_ORIGIN)
    one = numbers + 8 * len(NUMBERS)
    two = one + 8 * len(SOURCE)
    spikes_at = results.ctypes.data
    fired_at = spikes_at + 8 * samples * timesteps * ticks
    met_at = fired_at + 8 * samples * timesteps
    sources = 2 if entry(two, MAP_ROWS) else 1
    late, later = entry(one, LATE), entry(two, LATE)
    most_late = late if late > later else later
    place = np.int64(0)
    for b in range(samples):
        for block in range(entry(numbers, SUM_BLOCKS)):
            clear_block(base + block * BLOCK)
        for y in range(rows):
            here, there = first + y * pitch, plane + START * plane_bytes + y * plane_pitch
            for block in range(row_blocks):
                copy_block(here + block * BLOCK, there + block * BLOCK)
        for t in range(timesteps + most_late):
            for which in range(sources):
                source = one + which * (two - one)
                sent = t - entry(source, EARLY) - entry(source, LATE)
                is_over = t >= timesteps  # what is still on its way is counted, not added
                if sent < 0 or (is_over and t - timesteps >= entry(source, LATE)):
                    continue
                frame = b * timesteps + sent if entry(source, FOLLOWS) else b
                every, nonzero, received = charge(
                    *(sums, added, source, frame, is_over, base, first, numbers)
                )
                met = met_at + 8 * (3 * samples * which + b)
                increase(met, every)
                increase(met + 8 * samples, nonzero)
                increase(met + 16 * samples, received)
            if t >= timesteps:
                continue
            beyond, frame = np.int64(0), b * timesteps + t
            counts = spikes_at + 8 * frame * ticks
            for y in range(rows):
                store_long(starts + 8 * (frame * rows + y), place)
                shape, limits = (wide, row_blocks, ticks, settles), (keep, to_zero, low, high)
                address = (first + y * pitch, arriving + y * input_pitch, plane + y * plane_pitch)
                found = fire_row(sums, *shape, *address, plane_bytes, *limits, out + 2 * place, counts)
                place += found & 0xFFFFFFFF
                beyond |= found >> 32
            store_long(fired_at + 8 * frame, load_long(counts))
            store_long(starts + 8 * (frame + 1) * rows, place)
            if beyond and t + 1 < timesteps:
                return 1
    return 0
