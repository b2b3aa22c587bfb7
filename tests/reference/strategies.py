"""Random parameters of the one neuron with exact arithmetic, so that ties are frequent."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from snncc.ir import (
    BiasTicks,
    Emit,
    Encoding,
    LeakRounding,
    NeuronParameters,
    Order,
    Overflow,
    Reset,
    ResetAt,
)
from snncc.ir.neuron import ARRAYS
from snncc.ir.verify import neuron_problems

NEURONS = 3


@st.composite
def parameters(
    draw: st.DrawFn, *, integer: bool, encodings: tuple[Encoding, ...] = tuple(Encoding)
) -> NeuronParameters:
    """Parameters for `NEURONS` neurons, one number for all or one each."""

    def chosen(*options: Any) -> Any:
        return draw(st.sampled_from(options))

    def number(low: int, high: int) -> Any:
        size = chosen(1, NEURONS)
        values = draw(st.lists(st.integers(low, high), min_size=size, max_size=size))
        array = np.array(values if size > 1 else values[0])
        return array if integer else array / 4

    encoding = chosen(*encodings)
    is_stream = encoding is Encoding.STREAM
    is_bounded = encoding is not Encoding.UNDECIDED or draw(st.booleans())
    max_count = chosen(1, 1, 2, 3, 4) if is_bounded else chosen(1, 1, 4, None)
    emit = chosen(Emit.COUNT, Emit.COUNT, *Emit) if encoding is Encoding.UNDECIDED else Emit.COUNT
    p: dict[str, Any] = {
        "encoding": encoding,
        "max_count": max_count,
        "emit": emit,
        "theta": number(1, 8),
        "rho": number(1, 8),
        "strict": draw(st.booleans()),
        "bias": number(-3, 6),
        "v_init": number(-6, 6),
        "stateless": chosen(False, False, True),
        "clamp_low": chosen(None, number(-12, 0)),
        "clamp_high": chosen(None, number(4, 20)),
        "scale": np.array(chosen(1.0, 0.5)),
    }
    if integer:
        p |= {"leak": number(0, 8), "leak_shift": 3, "leak_rounding": chosen(*LeakRounding)}
        p |= {"overflow": chosen(*Overflow), "v_bits": chosen(None, 4, 5, 30), "i_bits": chosen(None, 5, 30)}
    else:
        p |= {"leak": chosen(np.array(1.0), number(0, 4))}
    if is_stream:
        p |= {"ticks": max_count + chosen(0, 1, 3) + 2, "bias_ticks": chosen(*BiasTicks)}
        if not integer:
            p["bias"] = p["bias"] * 12  # its parts are exact
        return checked(p, integer)
    p |= {
        "order": chosen(*Order),
        "reset": chosen(*Reset),
        "reset_at": chosen(*ResetAt),
        "v_reset": number(-4, 3),
        "refractory": chosen(0, 0, 1, 3),
    }
    if p["refractory"]:
        p["reset_at"] = ResetAt.SAME
    if draw(st.booleans()):
        p |= {"leak_i": number(1, 4), "i_init": number(-3, 3)}
        p |= {"leak_i_shift": 2} if integer else {}
    if max_count is not None and chosen(False, False, True):
        wide = chosen(1, NEURONS)
        values = draw(st.lists(st.integers(0, 9), min_size=max_count * wide, max_size=max_count * wide))
        steps = np.sort(np.reshape(values, (max_count, wide)), axis=0)
        p["steps"] = (
            (steps if integer else steps / 4)[:, 0] if wide == 1 else (steps if integer else steps / 4)
        )
    return checked(p, integer)


def checked(p: dict[str, Any], integer: bool) -> NeuronParameters:
    result = NeuronParameters(**p)
    assert not list(neuron_problems(result, integer))
    return result


def scalars(p: NeuronParameters, neuron: int, *, integer: bool) -> dict[str, Any]:
    """The parameters of one neuron as Python's own numbers."""
    result: dict[str, Any] = {}
    for name in p.__dataclass_fields__:
        value = getattr(p, name)
        if name in ARRAYS and value is not None:
            lead = (len(value),) if name == "steps" else ()
            full = np.broadcast_to(value[:, None] if lead and value.ndim == 1 else value, (*lead, NEURONS))
            one = full[..., neuron].tolist()
            as_int = integer and name != "scale"
            kind = int if as_int else float
            value = [kind(v) for v in one] if isinstance(one, list) else kind(one)
        result[name] = value
    return result
