"""The equations of `snncc.nn` once more, in NumPy float64, and the compiler's one neuron for `describe`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Number = float | Array


def fire(
    u: Array, *, theta: Number, reset: str, amount: Number, v_reset: Number, strict: bool
) -> tuple[Array, Array]:
    """Spikes of the potential *u*, and the potential after the reset, entry by entry."""
    s = np.where(u > theta if strict else u >= theta, 1.0, 0.0)
    after: dict[str, Any] = {"subtract": u - s * amount, "zero": 0.0, "value": v_reset, "none": u}
    return s, np.where(s == 1, after[reset], u)


def run(
    charge: Callable[[Array, Array], Array], x: Array, v_init: Number, **firing: Any
) -> tuple[Array, Array]:
    """The spikes [T, B, ...] and the last potential of a neuron whose u is ``charge(v, x_t)``."""
    v, spikes = np.broadcast_to(v_init, x.shape[1:]), []
    for x_t in x:
        s, v = fire(charge(v, x_t), **firing)
        spikes.append(s)
    return np.stack(spikes), v


def run_cuba(x: Array, leak_i: Number, leak: Number, v_init: Number, **firing: Any) -> Array:
    """The spikes of a current-based neuron."""
    i, v, spikes = np.zeros(x.shape[1:]), np.broadcast_to(v_init, x.shape[1:]), []
    for x_t in x:
        i = leak_i * i + x_t
        s, v = fire(leak * v + i, **firing)
        spikes.append(s)
    return np.stack(spikes)


def count(u: Array, D: int, rounding: str) -> Array:
    """SFA's integer activation."""
    clipped = np.minimum(np.maximum(u, 0.0), float(D))
    return np.rint(clipped) if rounding == "even" else np.floor(clipped + 0.5)


def run_sfa(x: Array, D: int, norm: float, rounding: str, carry: bool, decay: Number) -> Array:
    """SFA over time; without carry every timestep stands alone."""
    h, outs = np.zeros(x.shape[1:]), []
    for x_t in x:
        u = h + x_t
        n = count(u, D, rounding)
        outs.append(n / norm)
        if carry:
            h = (u - n) * decay
    return np.stack(outs)


def qcfs(x: Array, L: int, lam: Number) -> Array:
    """QCFS."""
    return lam * np.clip(np.floor(x * L / lam + 0.5) / L, 0.0, 1.0)


def run_described(fields: Mapping[str, Any], x: Array) -> Array:
    """The one neuron of the compiler, reset in the same timestep, with the parameters of `describe`."""
    default: dict[str, Any] = {
        "strict": False,
        "leak": 1.0,
        "leak_i": 0.0,
        "order": "leak-first",
        "v_reset": 0.0,
        "v_init": 0.0,
        "stateless": False,
        "scale": 1.0,
        "emit": "count",
        "tie": "up",
        "input_gain": 1.0,
        "bias": 0.0,
    }
    p: dict[str, Any] = {**default, **fields}
    assert set(fields) <= {*default, "theta", "rho", "max_count", "reset"}
    assert p["order"] == "leak-first"
    rest = np.broadcast_to(p["v_init"], x.shape[1:]).astype(np.float64)
    i, v, outs = np.zeros(x.shape[1:]), rest, []
    for x_t in x:
        i = p["leak_i"] * i + p["input_gain"] * x_t + p["bias"]
        u = p["leak"] * v + i
        n = np.zeros_like(u)
        for j in range(p["max_count"]):
            step = p["theta"] + j * p.get("rho", 0.0)
            odd_only = p["tie"] == "even" and j % 2 == 0
            n += u > step if p["strict"] or odd_only else u >= step
        after = {"none": u, "subtract": u - n * p.get("rho", 0.0), "value": np.where(n > 0, p["v_reset"], u)}
        v = after[p["reset"]]
        if p["stateless"]:
            i, v = np.zeros_like(u), rest
        outs.append(p["scale"] * (np.maximum(u, 0.0) if p["emit"] == "relu" else n))
    return np.stack(outs)
