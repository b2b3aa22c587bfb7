"""The one neuron: every neuron of the seeds and of the frameworks is a choice of its parameters.

One timestep, in the notation of the parameters below (``x`` is the sum of all inputs, over all ticks)::

    x = x + bias
    i <- leak_i*i + x ;  v <- leak*v + i             # order "leak-first"
                         v <- leak*(v + i)           # order "integrate-first"
    if reset_at "next":  v <- reset(v, n of t-1)     # after the input, or
       "next-before-input": between leak and input   # (integrate-first: before both)
    u_pre = v
    n <- steps passed (>=, or > if strict): theta + (j-1)*rho for j = 1..max_count, or explicit steps;
         with a rectifier phi(u_pre) is compared, and nothing else changes
    if reset_at "same":  v <- reset(v, n)            # none | v - n*rho | v_reset where n > 0
    v <- clamp(v) ;  refractory count ;  stateless: v, i <- initial values
    out = scale*n | scale*relu(u_pre) | scale*u_pre

A neuron that fired is *refractory* for the next ``refractory`` timesteps: its v stands still (no leak,
no input), it does not fire, while i goes on. In an integer graph theta, rho, the initial values, v_reset,
clamp and bias are integers in units of the input edge; a leak is ``leak * v / 2**leak_shift``, rounded
toward zero or down; i has a width, applied after its leak and after its input;
v after its update and after its reset.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np

from snncc.errors import InvalidGraph
from snncc.ir.arrays import Array, behind_first, one, same, seal_fields, zero


class Order(StrEnum):
    """Whether the leak acts before the input is added, or after."""

    LEAK_FIRST = "leak-first"
    INTEGRATE_FIRST = "integrate-first"


class Reset(StrEnum):
    """What a spike does to the potential."""

    NONE = "none"
    SUBTRACT = "subtract"
    VALUE = "value"


class ResetAt(StrEnum):
    """When a spike of timestep t acts on the potential."""

    SAME = "same"
    NEXT = "next"
    NEXT_BEFORE_INPUT = "next-before-input"


class Emit(StrEnum):
    """What the neuron sends."""

    COUNT = "count"
    RELU = "relu"
    POTENTIAL = "potential"


class Rectifier(StrEnum):
    """What the steps are compared with in place of u_pre."""

    NONE = "none"
    MPR = "mpr"
    """The membrane potential rectifier of InfLoR-SNN, phi (snncc.reference.neuron.rectified)."""


class Encoding(StrEnum):
    """How a count leaves the neuron: not decided yet, or one of the three encodings of the compiler."""

    UNDECIDED = "undecided"
    GRADED = "graded"
    """One message that carries the count."""
    SPIKES = "spikes"
    """Phased: the timestep is integrated whole, then the neuron fires tick by tick."""
    STREAM = "stream"
    """In each tick the neuron integrates what arrives in it and fires at most once."""


class BiasTicks(StrEnum):
    """How a streaming neuron receives its bias."""

    SPREAD = "spread"
    """Equal parts over the first max_count ticks (integers: floor(b*(d+1)/D) - floor(b*d/D))."""
    FIRST = "v0"
    """All of it before the first tick."""


class Overflow(StrEnum):
    """What happens beyond the width of a state in an integer graph."""

    ERROR = "error"
    SATURATE = "saturate"
    WRAP = "wrap"


class LeakRounding(StrEnum):
    """How an integer leak rounds."""

    ZERO = "zero"
    FLOOR = "floor"


ARRAYS = (
    *("theta", "rho", "steps", "leak", "leak_i", "bias", "v_reset", "v_init", "i_init"),
    *("clamp_low", "clamp_high", "scale"),
)


@dataclass(frozen=True, slots=True, eq=False)
class NeuronParameters:
    """The parameters of the one neuron; arrays broadcast NumPy-wise against the neuron's shape.

    *steps*, when given, has a leading axis of max_count ascending step values. *max_count* None
    means that any number of spikes may leave in one timestep. *ticks* is used by the streaming
    encoding only: max_count plus the flush ticks.
    """

    theta: Array = field(default_factory=one)
    rho: Array = field(default_factory=one)
    steps: Array | None = None
    strict: bool = False
    rectifier: Rectifier = Rectifier.NONE
    max_count: int | None = 1
    leak: Array = field(default_factory=one)
    leak_shift: int = 0
    leak_i: Array = field(default_factory=zero)
    leak_i_shift: int = 0
    leak_rounding: LeakRounding = LeakRounding.ZERO
    order: Order = Order.LEAK_FIRST
    bias: Array = field(default_factory=zero)
    reset: Reset = Reset.SUBTRACT
    reset_at: ResetAt = ResetAt.SAME
    v_reset: Array = field(default_factory=zero)
    v_init: Array = field(default_factory=zero)
    i_init: Array = field(default_factory=zero)
    clamp_low: Array | None = None
    clamp_high: Array | None = None
    refractory: int = 0
    stateless: bool = False
    emit: Emit = Emit.COUNT
    scale: Array = field(default_factory=one)
    encoding: Encoding = Encoding.UNDECIDED
    ticks: int = 1
    bias_ticks: BiasTicks = BiasTicks.SPREAD
    v_bits: int | None = None
    i_bits: int | None = None
    overflow: Overflow = Overflow.ERROR

    def __post_init__(self) -> None:
        seal_fields(self, *ARRAYS)
        if self.max_count is not None and self.max_count < 1:
            raise InvalidGraph(f"a neuron needs max_count >= 1 or None, not {self.max_count}")
        if self.steps is not None and (self.max_count is None or self.steps.shape[:1] != (self.max_count,)):
            raise InvalidGraph(
                f"a neuron with explicit steps needs one step for each of its max_count = {self.max_count} "
                f"spikes, not an array of shape {self.steps.shape}"
            )

    @property
    def has_current(self) -> bool:
        """Whether the synaptic current i has a memory."""
        return bool(np.any(self.leak_i != 0)) or bool(np.any(self.i_init != 0))

    @property
    def fire_ticks(self) -> int:
        """Ticks of the outgoing edge in each timestep."""
        match self.encoding:
            case Encoding.SPIKES:
                return self.max_count or 1
            case Encoding.STREAM:
                return self.ticks
            case Encoding.UNDECIDED | Encoding.GRADED:
                return 1

    def step_values(self) -> Array:
        """The staircase as an array [max_count, ...]; needs a bounded max_count."""
        if self.steps is not None:
            return self.steps
        if self.max_count is None:
            raise InvalidGraph("an unbounded staircase has no list of steps")
        theta, rho = np.broadcast_arrays(self.theta, self.rho)
        return np.stack([theta + j * rho for j in range(self.max_count)])

    def steps_over(self, factor: Array) -> Array | None:
        """The explicit steps divided by *factor*, which broadcasts against the neuron's shape."""
        if self.steps is None:
            return None
        return np.asarray(behind_first(self.steps, factor.ndim) / factor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NeuronParameters):
            return NotImplemented
        pairs: list[tuple[Any, Any]] = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return all(
            same(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else a == b for a, b in pairs
        )

    def __hash__(self) -> int:
        return hash((self.max_count, self.reset, self.emit, self.encoding, self.ticks))
