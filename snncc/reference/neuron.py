"""The one neuron, one timestep at a time: the definition of `snncc.ir.neuron`, in floats or integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.errors import StateOverflow
from snncc.ir import (
    Array,
    BiasTicks,
    Emit,
    Encoding,
    LeakRounding,
    NeuronParameters,
    Order,
    Overflow,
    Rectifier,
    Reset,
    ResetAt,
    Shape,
)

State = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Fired:
    """What a neuron did in one timestep: the train [B, ticks, *shape] that leaves it and its potentials.

    *own* is the train that the neuron chose by itself, *train* the one that left it: they differ only where
    counts were forced on it.
    """

    own: Array
    train: Array
    u_pre: Array
    u_post: Array
    state: State
    saturations: int
    current: Array | None = None


@dataclass(slots=True)
class Width:
    """Keeps states in their width and counts what did not fit."""

    where: str
    overflow: Overflow
    count: int = 0

    def fit(self, state: Array, bits: int | None, what: str) -> Array:
        """*state* after saturation or wrap-around to *bits* bits, two's complement."""
        if bits is None:
            return state
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        beyond = (state < low) | (state > high)
        if not beyond.any():
            return state
        self.count += int(beyond.sum())
        match self.overflow:
            case Overflow.SATURATE:
                return np.clip(state, low, high)
            case Overflow.WRAP:
                return (state - low) % (1 << bits) + low
            case Overflow.ERROR:
                first = tuple(int(k) for k in np.argwhere(beyond)[0])
                raise StateOverflow(self.where, what, first[0], first[1:], int(state[first]), low, high)


def initial_state(p: NeuronParameters, batch: int, shape: Shape, dtype: np.dtype[np.generic]) -> State:
    """The state of *batch* samples before the first timestep."""

    def full(value: Array) -> Array:
        return np.broadcast_to(value, (batch, *shape)).astype(dtype)

    zeros = np.zeros((batch, *shape), np.int64)
    return {"v": full(p.v_init), "i": full(p.i_init), "fired": zeros, "resting": zeros}


def step(
    p: NeuronParameters, x: Array, state: State, where: str = "neuron", forced: Array | None = None
) -> Fired:
    """One timestep: *x* [B, ticks, *shape] in, in the units of the thresholds.

    With *forced* counts [B, *shape] the neuron goes on as if it had fired those: what comparisons need so
    that one difference does not spread.
    """
    width = Width(where, p.overflow)
    if p.encoding is Encoding.STREAM:
        return stream_step(p, x, state, width)
    rest = state["resting"] > 0
    i = width.fit(leaked(p.leak_i, p.leak_i_shift, p.leak_rounding, state["i"]), p.i_bits, "current")
    i = width.fit(i + x.sum(axis=1) + number(p.bias, x), p.i_bits, "current")
    v = integrate(p, state, i)
    v = width.fit(np.where(rest, state["v"], v), p.v_bits, "potential")
    u_pre = v
    n, own = fire(p, u_pre, rest)
    train = own
    if forced is not None:
        n, train = forced.astype(np.int64), train_of(p, forced.astype(np.int64))
    if p.reset_at is ResetAt.SAME:
        v = after_reset(p, v, n)
    v = width.fit(clamped(p, v), p.v_bits, "potential")
    if p.emit is not Emit.COUNT:
        u_out = np.maximum(u_pre, 0) if p.emit is Emit.RELU else u_pre
        own = train = (u_out if is_integer(x) else u_out * p.scale)[:, None]
    resting = np.where(n > 0, p.refractory, np.maximum(state["resting"] - 1, 0))
    after: State = {"v": v, "i": i, "fired": n, "resting": resting}
    return Fired(own, train, u_pre, v, forget(p, after), width.count, i)


def integrate(p: NeuronParameters, state: State, i: Array) -> Array:
    """The potential after leak, input, and a reset that was due from the timestep before."""
    v, due = state["v"], state["fired"]
    if p.order is Order.LEAK_FIRST:
        v = leaked(p.leak, p.leak_shift, p.leak_rounding, v)
        if p.reset_at is ResetAt.NEXT_BEFORE_INPUT:
            v = after_reset(p, v, due)
        v = v + i
    else:
        if p.reset_at is ResetAt.NEXT_BEFORE_INPUT:
            v = after_reset(p, v, due)
        v = leaked(p.leak, p.leak_shift, p.leak_rounding, v + i)
    return after_reset(p, v, due) if p.reset_at is ResetAt.NEXT else v


def leaked(leak: Array, shift: int, rounding: LeakRounding, state: Array) -> Array:
    """``leak * state / 2**shift``, in integers rounded toward zero or down."""
    if not is_integer(state):
        return leak * state
    product = number(leak, state) * state
    if rounding is LeakRounding.FLOOR:
        return product >> shift
    return np.sign(product) * (np.abs(product) >> shift)


def fire(p: NeuronParameters, u: Array, rest: Array) -> tuple[Array, Array]:
    """The counts [B, *shape] and the train [B, ticks, *shape] of potentials *u*."""
    u = rectified(p, u)
    if p.encoding is Encoding.SPIKES and p.max_count is not None:
        scratch, ticks = u, []
        for tick in range(p.max_count):
            threshold = number(p.theta if p.steps is None else p.steps[tick], u)
            spike = passed(p, scratch, threshold) & ~rest
            ticks.append(spike.astype(np.int64))
            if p.steps is None:
                scratch = scratch - spike * number(p.rho, u)
        train = np.stack(ticks, axis=1)
        return train.sum(axis=1), train
    n = np.where(rest, 0, unbounded_count(p, u) if p.max_count is None else bounded_count(p, u))
    return n, n[:, None]


def rectified(p: NeuronParameters, u: Array) -> Array:
    """What is compared with the steps: *u* itself, or phi(u) of InfLoR-SNN (membrane rectifier).

    ::

        phi(u) = 1 - (1 - u)^(1/3)                             u < 0
                 1/2 + tanh(3*(u - 1/2)) / (2*tanh(3/2))       0 <= u <= 1
                 u^(1/3)                                       u > 1
    """
    match p.rectifier:
        case Rectifier.NONE:
            return u
        case Rectifier.MPR:
            inside = 0.5 + np.tanh(3 * (np.clip(u, 0, 1) - 0.5)) / (2 * np.tanh(1.5))
            outside = np.where(u > 1, np.cbrt(u), 1 - np.cbrt(1 - u))
            return np.asarray(np.where((u >= 0) & (u <= 1), inside, outside))


def train_of(p: NeuronParameters, n: Array) -> Array:
    """The train [B, ticks, *shape] that carries the counts *n*: ones first."""
    if p.encoding is not Encoding.SPIKES or p.max_count is None:
        return n[:, None]
    return np.stack([(n > tick).astype(np.int64) for tick in range(p.max_count)], axis=1)


def bounded_count(p: NeuronParameters, u: Array) -> Array:
    """How many steps of the staircase *u* has passed."""
    steps = [passed(p, u, number(step, u)) for step in p.step_values()]
    return np.asarray(np.sum(steps, axis=0, dtype=np.int64))


def unbounded_count(p: NeuronParameters, u: Array) -> Array:
    """The same for a staircase without end: a first guess, corrected until it is the definition's."""
    theta, rho = number(p.theta, u), number(p.rho, u)
    n = np.maximum(np.floor_divide(u - theta, rho) + 1, 0).astype(np.int64)
    while (more := passed(p, u, theta + n * rho)).any():
        n = n + more
    while (less := (n > 0) & ~passed(p, u, theta + (n - 1) * rho)).any():
        n = n - less
    return n


def passed(p: NeuronParameters, u: Array, threshold: Array) -> Array:
    return u > threshold if p.strict else u >= threshold


def after_reset(p: NeuronParameters, v: Array, n: Array) -> Array:
    match p.reset:
        case Reset.NONE:
            return v
        case Reset.SUBTRACT:
            return v - n * number(p.rho, v)
        case Reset.VALUE:
            return np.where(n > 0, number(p.v_reset, v), v)


def clamped(p: NeuronParameters, v: Array) -> Array:
    if p.clamp_low is not None:
        v = np.maximum(v, number(p.clamp_low, v))
    if p.clamp_high is not None:
        v = np.minimum(v, number(p.clamp_high, v))
    return v


def forget(p: NeuronParameters, state: State) -> State:
    if not p.stateless:
        return state
    v = state["v"]
    return dict(initial_state(p, len(v), v.shape[1:], v.dtype))


def stream_step(p: NeuronParameters, x: Array, state: State, width: Width) -> Fired:
    """One timestep of a neuron that fires while input still arrives, at most once a tick."""
    if p.max_count is None:
        raise AssertionError("a streaming neuron is bounded")
    v = leaked(p.leak, p.leak_shift, p.leak_rounding, state["v"])
    n = np.zeros(v.shape, np.int64)
    whole, ticks = v, []
    for tick in range(p.ticks):
        arrives = bias_share(p, x, tick) + (x[:, tick] if tick < x.shape[1] else 0)
        v = width.fit(v + arrives, p.v_bits, "potential")
        whole = whole + arrives
        spike = passed(p, v, number(p.theta, x)) & (n < p.max_count)
        v = width.fit(v - spike * number(p.rho, x), p.v_bits, "potential")
        n = n + spike
        ticks.append(spike.astype(np.int64))
    v = clamped(p, v)
    after: State = {"v": v, "i": state["i"], "fired": n, "resting": state["resting"]}
    train = np.stack(ticks, axis=1)
    return Fired(train, train, whole, v, forget(p, after), width.count)


def bias_share(p: NeuronParameters, x: Array, tick: int) -> Array:
    """What of the bias arrives in *tick*."""
    bias, parts = number(p.bias, x), p.max_count or 1
    if p.bias_ticks is BiasTicks.FIRST:
        return bias if tick == 0 else bias * 0
    if tick >= parts:
        return bias * 0
    if is_integer(x):
        return bias * (tick + 1) // parts - bias * tick // parts
    return bias / parts


def is_integer(array: Array) -> bool:
    return array.dtype.kind in "iu"


def number(value: Array, like: Array) -> Array:
    """*value* as the kind of number that *like* holds."""
    return value.astype(like.dtype)
