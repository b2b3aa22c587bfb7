"""The parameters of a neuron as the arrays that kernels take."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

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
    Reset,
    ResetAt,
    Shape,
)
from snncc.simulator.neuron_kernel import FAULT, FLAGS, ROWS, advance, advance_stream

Ints = NDArray[np.int64]

RESETS = {Reset.NONE: 0, Reset.SUBTRACT: 1, Reset.VALUE: 2}
RESETS_AT = {ResetAt.SAME: 0, ResetAt.NEXT: 1, ResetAt.NEXT_BEFORE_INPUT: 2}
EMITS = {Emit.COUNT: 0, Emit.RELU: 1, Emit.POTENTIAL: 2}
OVERFLOWS = {Overflow.ERROR: 0, Overflow.SATURATE: 1, Overflow.WRAP: 2}
LIMITS = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class NeuronTable:
    """Parameters of one layer; the columns of *params* and *steps* are channels of equal parameters."""

    parameters: NeuronParameters
    shape: Shape
    params: Ints
    steps: Ints
    flags: Ints

    @property
    def size(self) -> int:
        """Neurons of the layer."""
        return prod(self.shape)


def neuron_table(p: NeuronParameters, shape: Shape) -> NeuronTable:
    """The table of *p* for a layer of *shape*."""
    low = np.array(LIMITS.min) if p.clamp_low is None else p.clamp_low
    high = np.array(LIMITS.max) if p.clamp_high is None else p.clamp_high
    arrays = [*(getattr(p, name) for name in ROWS[:-2]), low, high]
    columns = columns_of([*arrays, *(() if p.steps is None else p.steps)], shape)
    steps = np.empty((0, len(columns)), np.int64) if p.steps is None else per_column(p.steps, shape, columns)
    flags: dict[str, int] = {
        "strict": p.strict,
        "max_count": p.max_count or 0,
        "leak_shift": p.leak_shift,
        "leak_i_shift": p.leak_i_shift,
        "leak_floors": p.leak_rounding is LeakRounding.FLOOR,
        "integrates_first": p.order is Order.INTEGRATE_FIRST,
        "reset": RESETS[p.reset],
        "reset_at": RESETS_AT[p.reset_at],
        "refractory": p.refractory,
        "stateless": p.stateless,
        "emit": EMITS[p.emit],
        "train": p.encoding is Encoding.SPIKES,
        "v_bits": p.v_bits or 0,
        "i_bits": p.i_bits or 0,
        "overflow": OVERFLOWS[p.overflow],
        "bias_first": p.bias_ticks is BiasTicks.FIRST,
    }
    return NeuronTable(
        parameters=p,
        shape=shape,
        params=np.concatenate([per_column(a[None], shape, columns) for a in arrays]),
        steps=steps,
        flags=np.array([int(flags[name]) for name in FLAGS], np.int64),
    )


def columns_of(arrays: list[Array], shape: Shape) -> Array:
    """The first neuron of each column: one column where all share everything, one a channel, or one each."""
    size = prod(shape)
    if all(a.size == 1 for a in arrays):
        return np.zeros(1, np.int64)
    if all(
        a.ndim < len(shape) or prod(a.shape[len(a.shape) - len(shape) + 1 :]) == 1 for a in arrays
    ) and all(a.size == 1 or a.ndim == len(shape) for a in arrays):
        return np.arange(shape[0], dtype=np.int64) * (size // shape[0])
    return np.arange(size, dtype=np.int64)


def per_column(values: Array, shape: Shape, columns: Array) -> Ints:
    """*values* [n, ...], broadcast to [n, *shape], at each of *columns*."""
    whole = [np.broadcast_to(v, shape).reshape(-1)[columns].astype(np.int64) for v in values]
    return np.ascontiguousarray(np.stack(whole))


@dataclass(slots=True, eq=False)
class NeuronState:
    """The state of a chunk of samples, [B, neurons]."""

    v: Ints
    i: Ints
    fired: Ints
    resting: Ints


def initial_state(table: NeuronTable, batch: int) -> NeuronState:
    """The state before the first timestep."""

    def full(value: Array) -> Ints:
        whole = np.broadcast_to(value.astype(np.int64), table.shape).reshape(-1)
        return np.repeat(whole[None], batch, axis=0)

    p = table.parameters
    zeros = np.zeros((batch, table.size), np.int64)
    return NeuronState(full(p.v_init), full(p.i_init), zeros, zeros.copy())


@dataclass(frozen=True, slots=True, eq=False)
class Advanced:
    """What a layer did: *train* [T, B, ticks, neurons], potentials [T or 0, B, neurons], saturations."""

    train: Ints
    u_pre: Ints
    u_post: Ints
    saturations: int


def advanced(
    table: NeuronTable, x: Ints, timesteps: int, state: NeuronState, *, where: str, first: int, keep: bool
) -> Advanced:
    """Run a layer over *timesteps*; *state* moves on. *x* is [T or 1, B, ticks, neurons].

    Raises `StateOverflow` naming *where*; *first* is the timestep of ``x[0]``.
    """
    batch, ticks = x.shape[1], table.parameters.fire_ticks
    train = np.empty((timesteps, batch, ticks, table.size), np.int64)
    u_pre = np.empty((timesteps if keep else 0, batch, table.size), np.int64)
    u_post, fault = np.empty_like(u_pre), np.zeros(FAULT, np.int64)
    streams = table.parameters.encoding is Encoding.STREAM
    s = state
    if streams:
        saturations = advance_stream(x, table.params, table.flags, s.v, train, u_pre, u_post, s.fired, fault)
    else:
        saturations = advance(
            *(x, table.params, table.steps, table.flags, s.v, s.i, s.fired, s.resting),
            *(train, u_pre, u_post, fault),
        )
    if fault[0] and table.parameters.overflow is Overflow.ERROR:
        raise overflow_of(table, fault, where=where, first=first, streams=streams)
    return Advanced(train, u_pre, u_post, saturations)


def overflow_of(table: NeuronTable, fault: Ints, *, where: str, first: int, streams: bool) -> StateOverflow:
    """The error that *fault* describes."""
    stage, b, t, k, value, bits = (int(n) for n in fault)
    neuron = tuple(int(n) for n in np.unravel_index(k, table.shape))
    what = "current" if stage <= 2 and not streams else "potential"
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    error = StateOverflow(where, what, b, neuron, value, low, high)
    error.add_note(f"in timestep {first + t}")
    return error
