"""The parameters of a neuron in whole steps of a grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.ir import Array, NeuronParameters, Overflow
from snncc.ir.arrays import simplest
from snncc.passes.rounding import rounds_half_to_even

LEAK_BITS = 12
"""Leaks are fractions of 4096, as on Loihi."""
NEAR = 1e-9
"""A step this close to the grid, in its steps, lies on it."""


def integer_parameters(p: NeuronParameters, grid: Array, bits: int, overflow: Overflow) -> NeuronParameters:
    """*p* in steps of *grid*. A threshold is the first step that passes it, so comparisons stay exact."""

    def steps(value: Array) -> Array:
        return simplest(np.rint(value / grid).astype(np.int64))

    def first_passing(ratio: Array) -> Array:
        return (np.floor(ratio + NEAR) if p.strict else np.ceil(ratio - NEAR)).astype(np.int64)

    staircase = p.steps_over(grid)
    rho = np.maximum(steps(p.rho), 1)
    explicit = None if staircase is None else first_passing(staircase)
    if explicit is not None and rounds_half_to_even(p):
        # What lies one rounding above a tie is the next step of the grid.
        ties = [(j + 0.5) * p.rho / grid for j in range(len(explicit))]
        met_or_passed = [
            np.ceil(tie - NEAR) if j % 2 else np.floor(tie + NEAR) + 1 for j, tie in enumerate(ties)
        ]
        explicit = np.stack(met_or_passed).astype(np.int64)
    leak, leak_shift = integer_leak(p.leak)
    leak_i, leak_i_shift = integer_leak(p.leak_i)
    return replace(
        p,
        theta=first_passing(p.theta / grid),
        rho=rho,
        steps=explicit,
        leak=leak,
        leak_shift=leak_shift,
        leak_i=leak_i,
        leak_i_shift=leak_i_shift,
        bias=steps(p.bias),
        v_reset=steps(p.v_reset),
        v_init=steps(p.v_init),
        i_init=steps(p.i_init),
        clamp_low=None if p.clamp_low is None else steps(p.clamp_low),
        clamp_high=None if p.clamp_high is None else steps(p.clamp_high),
        v_bits=bits,
        i_bits=bits,
        overflow=overflow,
    )


def with_steps(p: NeuronParameters) -> NeuronParameters:
    """*p* with its staircase as a list, which need not be even once it is rounded to whole counts."""
    return p if p.steps is not None or p.max_count == 1 else replace(p, steps=p.step_values())


def integer_leak(leak: Array) -> tuple[Array, int]:
    """A leak as (numerator, shift); 0 and 1 need no shift."""
    if np.all((leak == 0) | (leak == 1)):
        return leak.astype(np.int64), 0
    return np.rint(leak * 2**LEAK_BITS).astype(np.int64), LEAK_BITS
