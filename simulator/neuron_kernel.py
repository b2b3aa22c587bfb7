"""The one neuron with every parameter, as kernels over [T, B, ticks, neurons] in 64-bit integers.

The definition is `snncc.reference.neuron`; names are the same. A kernel stops at the first timestep of the
first sample in which a state leaves its width while the graph calls that an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.simulator.jit import inner, kernel

Ints = NDArray[np.int64]

ROWS = ("theta", "rho", "leak", "leak_i", "bias", "v_reset", "v_init", "i_init", "clamp_low", "clamp_high")
"""The rows of the table of parameters; its columns are the channels that share them."""
THETA, RHO, LEAK, LEAK_I, BIAS, V_RESET, V_INIT, I_INIT, CLAMP_LOW, CLAMP_HIGH = range(len(ROWS))

FLAGS = (
    *("strict", "max_count", "leak_shift", "leak_i_shift", "leak_floors", "integrates_first", "reset"),
    *("reset_at", "refractory", "stateless", "emit", "train", "v_bits", "i_bits", "overflow", "bias_first"),
)
STRICT, MAX_COUNT, LEAK_SHIFT, LEAK_I_SHIFT, LEAK_FLOORS, INTEGRATES_FIRST, RESET, RESET_AT = range(8)
REFRACTORY, STATELESS, EMIT, TRAIN, V_BITS, I_BITS, OVERFLOW, BIAS_FIRST = range(8, len(FLAGS))

RESET_SUBTRACT, RESET_VALUE = 1, 2
AT_NEXT, AT_NEXT_BEFORE_INPUT = 1, 2
EMIT_RELU, EMIT_POTENTIAL = 1, 2
SATURATES, WRAPS = 1, 2

FAULT = 6
"""Length of a fault: stage (0: none), sample, timestep, neuron, value, bits."""


@inner
def leaked(leak: int, shift: int, floors: int, state: int) -> int:
    """``leak * state / 2**shift``, rounded down or toward zero."""
    product = leak * state
    if floors:
        return product >> shift
    if product < 0:
        return -((-product) >> shift)
    return product >> shift


@inner
def is_beyond(value: int, bits: int) -> bool:
    """Whether *value* does not fit into *bits* bits (0: any width)."""
    if bits == 0:
        return False
    limit = np.int64(1) << np.int64(bits - 1)
    return bool(value < -limit or value >= limit)


@inner
def fitted(value: Any, bits: int, overflow: int) -> Any:
    """*value*, which is beyond *bits* bits, saturated or wrapped."""
    limit = np.int64(1) << np.int64(bits - 1)
    if overflow == WRAPS:
        return ((value + limit) & (2 * limit - 1)) - limit
    return min(max(value, -limit), limit - 1)


@inner
def staircase(u: int, theta: int, rho: int, strict: int, max_count: int) -> int:
    """How many steps theta + (j-1)*rho the potential *u* has passed; *max_count* 0 means any number."""
    above = u - theta - (1 if strict else 0)
    if above < 0:
        return 0
    if max_count == 1 or above < rho:
        return 1
    n = above // rho + 1
    return min(n, max_count) if max_count else n


@inner
def note(fault: Ints, stage: int, b: int, t: int, k: int, value: int, bits: int) -> None:
    """Remember the first fault of a timestep: by the stage in which it occurs, then by neuron."""
    if fault[0] == 0 or stage < fault[0]:
        fault[0], fault[1], fault[2], fault[3], fault[4], fault[5] = stage, b, t, k, value, bits


@kernel
def advance(
    x: Ints,
    params: Ints,
    steps: Ints,
    flags: Ints,
    v: Ints,
    i: Ints,
    fired: Ints,
    resting: Ints,
    train: Ints,
    u_pre: Ints,
    u_post: Ints,
    fault: Ints,
) -> int:
    """Phased neurons: integrate a timestep whole, then fire. Returns how often a state was saturated.

    *x* is [T or 1, B, ticks, K], *params* [rows, C], *steps* [0 or max_count, C], states [B, K], *train*
    [T, B, ticks, K], *u_pre* and *u_post* [T or 0, B, K].
    """
    timesteps, samples, size = len(train), v.shape[0], v.shape[1]
    channels = params.shape[1]
    inner = size // channels
    strict, max_count, reset, reset_at = flags[STRICT], flags[MAX_COUNT], flags[RESET], flags[RESET_AT]
    v_bits, i_bits, overflow, emit = flags[V_BITS], flags[I_BITS], flags[OVERFLOW], flags[EMIT]
    leak_shift, i_shift, floors = flags[LEAK_SHIFT], flags[LEAK_I_SHIFT], flags[LEAK_FLOORS]
    follows = 1 if len(x) > 1 else 0
    saturations = 0
    for b in range(samples):
        for t in range(timesteps):
            for c in range(channels):
                theta, rho, leak, leak_i = (
                    params[THETA, c],
                    params[RHO, c],
                    params[LEAK, c],
                    params[LEAK_I, c],
                )
                bias, v_reset = params[BIAS, c], params[V_RESET, c]
                low, high = params[CLAMP_LOW, c], params[CLAMP_HIGH, c]
                for k in range(c * inner, (c + 1) * inner):
                    total = bias
                    for d in range(x.shape[2]):
                        total += x[t * follows, b, d, k]
                    current = leaked(leak_i, i_shift, floors, i[b, k])
                    if is_beyond(current, i_bits):
                        saturations += 1
                        note(fault, 1, b, t, k, current, i_bits)
                        current = fitted(current, i_bits, overflow)
                    current += total
                    if is_beyond(current, i_bits):
                        saturations += 1
                        note(fault, 2, b, t, k, current, i_bits)
                        current = fitted(current, i_bits, overflow)
                    rests = resting[b, k] > 0
                    potential = v[b, k]
                    if not rests:
                        due = fired[b, k] if reset_at else 0
                        if not flags[INTEGRATES_FIRST]:
                            potential = leaked(leak, leak_shift, floors, potential)
                        if reset_at == AT_NEXT_BEFORE_INPUT and due > 0:
                            if reset == RESET_SUBTRACT:
                                potential -= due * rho
                            elif reset == RESET_VALUE:
                                potential = v_reset
                        potential += current
                        if flags[INTEGRATES_FIRST]:
                            potential = leaked(leak, leak_shift, floors, potential)
                        if reset_at == AT_NEXT and due > 0:
                            if reset == RESET_SUBTRACT:
                                potential -= due * rho
                            elif reset == RESET_VALUE:
                                potential = v_reset
                    if is_beyond(potential, v_bits):
                        saturations += 1
                        note(fault, 3, b, t, k, potential, v_bits)
                        potential = fitted(potential, v_bits, overflow)
                    before = potential
                    n = 0
                    if not rests:
                        if len(steps):
                            for j in range(len(steps)):
                                n += potential > steps[j, c] if strict else potential >= steps[j, c]
                        else:
                            n = staircase(potential, theta, rho, strict, max_count)
                    if n > 0 and reset_at == 0:
                        if reset == RESET_SUBTRACT:
                            potential -= n * rho
                        elif reset == RESET_VALUE:
                            potential = v_reset
                    potential = min(max(potential, low), high)
                    if is_beyond(potential, v_bits):
                        saturations += 1
                        note(fault, 4, b, t, k, potential, v_bits)
                        potential = fitted(potential, v_bits, overflow)
                    if emit == EMIT_POTENTIAL:
                        train[t, b, 0, k] = before
                    elif emit == EMIT_RELU:
                        train[t, b, 0, k] = max(before, 0)
                    elif flags[TRAIN]:
                        for d in range(train.shape[2]):
                            train[t, b, d, k] = d < n
                    else:
                        train[t, b, 0, k] = n
                    if len(u_pre):
                        u_pre[t, b, k] = before
                        u_post[t, b, k] = potential
                    if flags[STATELESS]:
                        v[b, k], i[b, k], fired[b, k], resting[b, k] = (
                            params[V_INIT, c],
                            params[I_INIT, c],
                            0,
                            0,
                        )
                    else:
                        v[b, k], i[b, k], fired[b, k] = potential, current, n
                        resting[b, k] = flags[REFRACTORY] if n > 0 else max(resting[b, k] - 1, 0)
            if fault[0] and overflow != SATURATES and overflow != WRAPS:
                return saturations
    return saturations


@kernel
def advance_stream(
    x: Ints,
    params: Ints,
    flags: Ints,
    v: Ints,
    train: Ints,
    u_pre: Ints,
    u_post: Ints,
    fired: Ints,
    fault: Ints,
) -> int:
    """Streaming neurons: integrate what arrives in a tick, fire at most once a tick; as `advance`."""
    timesteps, samples, ticks, size = train.shape
    channels = params.shape[1]
    inner = size // channels
    parts, v_bits, overflow = flags[MAX_COUNT], flags[V_BITS], flags[OVERFLOW]
    arriving = x.shape[2]
    follows = 1 if len(x) > 1 else 0
    saturations = 0
    for b in range(samples):
        for t in range(timesteps):
            for c in range(channels):
                theta, rho, bias = params[THETA, c], params[RHO, c], params[BIAS, c]
                low, high = params[CLAMP_LOW, c], params[CLAMP_HIGH, c]
                for k in range(c * inner, (c + 1) * inner):
                    potential = leaked(params[LEAK, c], flags[LEAK_SHIFT], flags[LEAK_FLOORS], v[b, k])
                    whole, n = potential, 0
                    for d in range(ticks):
                        arrives = 0
                        if flags[BIAS_FIRST]:
                            arrives = bias if d == 0 else 0
                        elif d < parts:
                            arrives = bias * (d + 1) // parts - bias * d // parts
                        if d < arriving:
                            arrives += x[t * follows, b, d, k]
                        potential += arrives
                        whole += arrives
                        if is_beyond(potential, v_bits):
                            saturations += 1
                            note(fault, 1 + 2 * d, b, t, k, potential, v_bits)
                            potential = fitted(potential, v_bits, overflow)
                        passes = potential > theta if flags[STRICT] else potential >= theta
                        spike = 1 if passes and n < parts else 0
                        potential -= spike * rho
                        if is_beyond(potential, v_bits):
                            saturations += 1
                            note(fault, 2 + 2 * d, b, t, k, potential, v_bits)
                            potential = fitted(potential, v_bits, overflow)
                        n += spike
                        train[t, b, d, k] = spike
                    potential = min(max(potential, low), high)
                    if len(u_pre):
                        u_pre[t, b, k] = whole
                        u_post[t, b, k] = potential
                    fired[b, k] = 0 if flags[STATELESS] else n
                    v[b, k] = params[V_INIT, c] if flags[STATELESS] else potential
            if fault[0] and overflow != SATURATES and overflow != WRAPS:
                return saturations
    return saturations
