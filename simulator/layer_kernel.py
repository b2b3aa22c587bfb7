"""A whole layer in one call: events in, weights added to potentials, threshold, events out.

All timesteps of a sample run in the layer before the next layer begins: its weights stay in the cache.
Weights are added to sums [H, W, channels] with room beside each row for taps that fall off the map. The sums
are the potentials themselves where 16 (or 32) bits hold them; or sums of 16 bits gather what arrives and are
poured into potentials of 32 bits. Types of arrays say which, and Numba compiles one kernel for each choice.

The kernel stops with 1 where a potential comes so close to the limit of its width that the next timestep
might pass it: then the caller takes a wider one, and no result depends on the width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snncc.simulator.jit import inner, kernel
from snncc.simulator.simd import (
    BLOCK,
    add_block,
    clear_block,
    copy_block,
    fire_block,
    load_event,
    load_int,
    load_long,
    pour_block,
    settle_block,
)

PLANES = ("theta", "sub", "floor", "ceiling", "leak", "bias", "start")
THETA, SUB, FLOOR, CEILING, LEAK, BIAS, START = range(len(PLANES))

NUMBERS = (
    *("timesteps", "samples", "rows", "row_blocks", "pitch", "origin", "plane_pitch", "ticks"),
    *("keep", "shift", "rounding", "low", "high", "input_pitch", "input_origin", "settles"),
)
TIMESTEPS, SAMPLES, ROWS, ROW_BLOCKS, PITCH, ORIGIN, PLANE_PITCH, TICKS = range(8)
KEEP, SHIFT, ROUNDING, LOW, HIGH, INPUT_PITCH, INPUT_ORIGIN, SETTLES = range(8, len(NUMBERS))

SOURCE = (
    *("map_rows", "follows", "early", "late", "unit", "units", "limit", "to_next", "of_next"),
    *("events", "starts", "rows", "codes", "costs", "weights"),
)
"""Of a source: rows of its map (0: there is no source), whether it changes over time, delays before and
behind the synapse, the blocks of a run (unit x units; the unit is 3, 4 or 1), after how many events the sums
must be poured into the potentials (0: once a timestep), the way from one row of taps to the next in sums and
in weights; then addresses of arrays: see `snncc.simulator.layer_table`."""
MAP_ROWS, FOLLOWS, EARLY, LATE, UNIT, UNITS, LIMIT, TO_NEXT, OF_NEXT = range(9)
EVENTS_AT, STARTS_AT, ROWS_AT, CODES_AT, COSTS_AT, WEIGHTS_AT = range(9, len(SOURCE))


@inner
def pour_all(states: Any, sums: Any, potentials: Any, inputs: Any, numbers: Any) -> None:
    """Add all that has gathered to the potentials."""
    input_step = BLOCK // states.itemsize * sums.itemsize
    for y in range(numbers[ROWS]):
        here = potentials + y * numbers[PITCH]
        gathered = inputs + numbers[INPUT_ORIGIN] + y * numbers[INPUT_PITCH]
        for block in range(numbers[ROW_BLOCKS]):
            pour_block(states, sums, here + block * BLOCK, gathered + block * input_step)


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
    which: Any,
) -> Any:
    """Add the weights of the events of one row between two addresses; returns what they cost.

    The length of the tuple *unit*, known when this is compiled, is how many blocks are added in a row.
    """
    total = np.int64(0)
    weight_block = BLOCK // sums.itemsize * weights.itemsize
    units, to_next, of_next = source[which, UNITS], source[which, TO_NEXT], source[which, OF_NEXT]
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
def charge(
    states: Any,
    sums: Any,
    weights: Any,
    source: Any,
    which: Any,
    frame: Any,
    is_over: Any,
    counts: Any,
    b: Any,
    state: Any,
    potentials: Any,
    numbers: Any,
) -> None:
    """All events of one timestep of a source: their weights (unless it *is_over*), and what they cost."""
    every, nonzero, received = np.int64(0), np.int64(0), np.int64(0)
    events, rows, codes = source[which, EVENTS_AT], source[which, ROWS_AT], source[which, CODES_AT]
    map_rows, unit, limit = source[which, MAP_ROWS], source[which, UNIT], source[which, LIMIT]
    starts = source[which, STARTS_AT] + 8 * frame * map_rows
    left = limit
    for y in range(map_rows):
        begin, end = events + 2 * load_long(starts + 8 * y), events + 2 * load_long(starts + 8 * y + 8)
        if end == begin:
            continue
        row = rows + 32 * y
        taps, costs = load_long(row), source[which, COSTS_AT] + load_long(row + 8)
        to, of = state + load_long(row + 16), source[which, WEIGHTS_AT] + load_long(row + 24)
        total = np.int64(0)
        received += (end - begin) >> 1
        if is_over:
            for k in range((end - begin) >> 1):
                total += load_long(costs + 8 * load_event(begin + 2 * k))
            begin = end
        while begin < end:
            part = end
            if sums.itemsize < states.itemsize and limit:
                if left == 0:
                    pour_all(states, sums, potentials, state, numbers)
                    left = limit
                part = min(end, begin + 2 * left)
                left -= (part - begin) >> 1
            if unit == 3:
                total += scatter(
                    *((0, 0, 0), sums, weights, begin, part, codes, costs, to, of, taps, source, which)
                )
            else:
                total += scatter(
                    *((0,), sums, weights, begin, part, codes, costs, to, of, taps, source, which)
                )
            begin = part
        every += total >> 32
        nonzero += total & 0xFFFFFFFF
    if sums.itemsize < states.itemsize and limit and not is_over:
        pour_all(states, sums, potentials, state, numbers)
    counts[b, which, 0] += every
    counts[b, which, 1] += nonzero
    counts[b, which, 2] += received


@kernel
def run_kernel(
    numbers: Any,
    planes: Any,
    state: Any,
    inputs: Any,
    weights: Any,
    sources: Any,
    events: Any,
    starts: Any,
    spikes: Any,
    active: Any,
    counts: Any,
) -> int:
    timesteps, rows, row_blocks = numbers[TIMESTEPS], numbers[ROWS], numbers[ROW_BLOCKS]
    settles = numbers[SETTLES]
    state_bytes = state.itemsize
    lanes = BLOCK // state_bytes
    input_step = lanes * inputs.itemsize
    pitch, plane_pitch, ticks = numbers[PITCH], numbers[PLANE_PITCH], numbers[TICKS]
    keep, low, high = numbers[KEEP], numbers[LOW], numbers[HIGH]
    base = inputs.ctypes.data
    first = state.ctypes.data + numbers[ORIGIN]
    arriving = base + numbers[INPUT_ORIGIN]
    plane, plane_bytes = planes.ctypes.data, planes.shape[1] * state_bytes
    out = events.ctypes.data
    most_late = max(sources[0, LATE], sources[1, LATE])
    place = np.int64(0)
    for b in range(numbers[SAMPLES]):
        for block in range(inputs.size * inputs.itemsize // BLOCK):
            clear_block(base + block * BLOCK)
        for y in range(rows):
            here, there = first + y * pitch, plane + START * plane_bytes + y * plane_pitch
            for block in range(row_blocks):
                copy_block(here + block * BLOCK, there + block * BLOCK)
        for t in range(timesteps + most_late):
            for which in range(2):
                sent = t - sources[which, EARLY] - sources[which, LATE]
                is_over = t >= timesteps  # what is still on its way is counted, not added
                if sources[which, MAP_ROWS] == 0 or sent < 0:
                    continue
                if is_over and t - timesteps >= sources[which, LATE]:
                    continue
                frame = b * timesteps + sent if sources[which, FOLLOWS] else b
                charge(
                    *(state, inputs, weights, sources, which, frame, is_over, counts, b),
                    *(base, first, numbers),
                )
            if t >= timesteps:
                continue
            beyond, unsettled = np.int64(0), np.int64(0)
            fired = np.int64(0)
            for y in range(rows):
                starts[(b * timesteps + t) * rows + y] = place
                here, there = first + y * pitch, plane + y * plane_pitch
                gathered = arriving + y * numbers[INPUT_PITCH]
                found = np.int64(0)
                if ticks == 1:
                    before = place
                    for block in range(row_blocks):
                        at = block * BLOCK
                        found = fire_block(
                            *(state, inputs, here + at, gathered + block * input_step),
                            *(there + at, there + SUB * plane_bytes + at, keep, low, high),
                            *(out + 2 * place, block * lanes),
                        )
                        place += found & 0xFFFFFFFF
                        unsettled |= found >> 32
                    fired += place - before
                else:
                    for block in range(row_blocks):
                        at = block * BLOCK
                        for tick in range(ticks):
                            found = fire_block(
                                *(state, inputs, here + at, gathered + block * input_step),
                                *(there + at, there + SUB * plane_bytes + at, keep, low, high),
                                *(out + 2 * place, block * lanes),
                            )
                            n = found & 0xFFFFFFFF
                            if tick == 0:
                                fired += n
                            spikes[b, t, tick] += n
                            place += n
                            if n == 0:
                                break
                        unsettled |= found >> 32
                if not settles:
                    beyond |= unsettled
                    continue
                for block in range(row_blocks):
                    at = block * BLOCK
                    found = settle_block(
                        *(state, here + at, there + FLOOR * plane_bytes + at),
                        *(there + CEILING * plane_bytes + at, there + LEAK * plane_bytes + at),
                        *(there + BIAS * plane_bytes + at, numbers[SHIFT], numbers[ROUNDING], low, high),
                    )
                    beyond |= found >> 32
            if ticks == 1:
                spikes[b, t, 0] = fired
            active[b, t] = fired
            starts[(b * timesteps + t + 1) * rows] = place
            if beyond and t + 1 < timesteps:
                return 1
    return 0
