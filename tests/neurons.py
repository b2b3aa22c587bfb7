"""Random parameters of the one neuron, with thresholds that fit what it receives."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from snncc.ir import (
    Array,
    BiasTicks,
    Emit,
    Encoding,
    LeakRounding,
    NeuronParameters,
    Order,
    Overflow,
    Reset,
    ResetAt,
    Shape,
)


def drawn_parameters(
    draw: st.DrawFn, rng: np.random.Generator, shape: Shape, drive: Array, ticks: int
) -> NeuronParameters:
    """Parameters for neurons of *shape* that receive *drive* [samples, *shape] over *ticks* ticks."""

    def pick(*options: Any) -> Any:
        return draw(st.sampled_from(options))

    def chance(probability: float) -> bool:
        return draw(st.integers(0, 99)) < 100 * probability

    def around(value: float, spread: float, low: int | None = None) -> Array:
        """Integers about *value*, one for the layer, for a channel or for a neuron."""
        size = pick((), (shape[0], *([1] * (len(shape) - 1))), shape)
        drawn = np.rint(value + spread * rng.uniform(-1, 1, size)).astype(np.int64)
        return drawn if low is None else np.maximum(drawn, low)

    # Half of what drives upwards passes; what never drives upwards cannot fire at all.
    upwards = drive[drive > 0]
    level = float(np.quantile(upwards, pick(0.3, 0.6, 0.8))) if upwards.size else 1.0
    swing = float(np.abs(drive).max(initial=1.0)) + 1
    max_count = pick(1, 1, 1, 2, 4, None)
    if max_count == 1:
        encoding = pick(Encoding.UNDECIDED, Encoding.UNDECIDED, Encoding.SPIKES, Encoding.STREAM)
    else:
        encoding = pick(*Encoding) if max_count else Encoding.UNDECIDED
    p: dict[str, Any] = {
        "max_count": max_count,
        "encoding": encoding,
        "theta": around(level, level / 4, 1),
        "rho": around(level, level / 4, 1) if max_count == 1 else around(level / 2, level / 8, 1),
        "strict": chance(0.3),
        "bias": around(0, level / 4),
        "scale": np.array(pick(1.0, 0.5)),
        "stateless": chance(0.15),
        "v_init": around(0, level / 2),
        "leak": pick(np.array(1), around(6, 1, 0), np.array(1)),
        "leak_rounding": pick(*LeakRounding),
        "clamp_low": pick(None, None, around(-level, level / 4)),
        "clamp_high": pick(None, None, None, np.array(int(4 * level) + 1)),
    }
    if p["leak"].size > 1 or p["leak"].flat[0] != 1:
        p["leak_shift"] = 3
    if encoding is Encoding.STREAM:
        count = max_count or 1
        p["ticks"] = max(count + pick(0, 0, 2), ticks)
        p["bias_ticks"] = pick(*BiasTicks)
    else:
        p |= beyond_streams(pick, chance, around, level, max_count, shape, rng)
    width = int(swing).bit_length()
    tight = pick(None, None, width + 1, width + 2)
    if tight is None:
        p["overflow"], bits = Overflow.ERROR, pick(None, 48)
    else:
        p["overflow"], bits = pick(Overflow.SATURATE, Overflow.WRAP), max(tight, 2)
    p["v_bits"], p["i_bits"] = bits, pick(None, bits)
    return NeuronParameters(**p)


def beyond_streams(
    pick: Any,
    chance: Any,
    around: Any,
    level: float,
    max_count: int | None,
    shape: Shape,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What a streaming count cannot have."""
    p: dict[str, Any] = {
        "order": pick(Order.LEAK_FIRST, Order.LEAK_FIRST, Order.INTEGRATE_FIRST),
        "reset": pick(Reset.SUBTRACT, Reset.SUBTRACT, Reset.VALUE, Reset.NONE),
        "reset_at": pick(ResetAt.SAME, ResetAt.SAME, *ResetAt),
        "v_reset": around(0, level / 4),
        "refractory": pick(0, 0, 0, 1, 2),
    }
    if p["refractory"]:
        p["reset_at"] = ResetAt.SAME
    if chance(0.2):
        p |= {"leak_i": around(2, 1, 1), "leak_i_shift": 2, "i_init": around(0, level / 4)}
    if chance(0.1):
        p["emit"] = pick(Emit.RELU, Emit.POTENTIAL)
        p["encoding"] = Encoding.UNDECIDED
    if max_count and chance(0.2):
        size = pick((), shape)
        gaps = rng.integers(1, max(2, int(level)), (max_count, *size))
        p["steps"] = np.cumsum(gaps, axis=0) + int(level / 2)
    return p
