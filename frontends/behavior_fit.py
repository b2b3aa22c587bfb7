"""From measured edges to parameters: a form of the one neuron, and the numbers that explain every edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snncc.frontends.behavior_measure import Edges
from snncc.ir import Array, Emit, NeuronParameters, Reset, ResetAt
from snncc.reference.neuron import initial_state, step

Numbers = Mapping[str, Array]
POTENTIALS = ("theta", "rho", "v_reset", "bias", "v_init", "i_init", "clamp_low", "clamp_high")
ROUNDS = 12
GOOD = 1e-11
"""Relative to the numbers of an experiment, how far a measured edge may be from the predicted one."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A choice of everything that is no number, with first guesses of the numbers that are free."""

    emit: Emit
    reset: Reset
    reset_at: ResetAt
    refractory: int
    guess: Numbers
    fixed: Numbers = field(default_factory=dict)

    def parameters(self, numbers: Numbers) -> NeuronParameters:
        """The neuron that fires one spike at most: the staircase is measured apart."""
        fields: dict[str, Any] = {**self.fixed, **numbers, "reset": self.reset, "reset_at": self.reset_at}
        return NeuronParameters(**fields, refractory=self.refractory, emit=self.emit)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The numbers of a *form*, and how badly they explain the edges (0: perfectly, 1: not at all)."""

    form: Form
    numbers: Numbers
    error: float


def predicted(p: NeuronParameters, edges: Edges) -> Array:
    """The smallest next input with an output, as *p* has it; inf where there is none."""
    lanes, steps, count = edges.prefix.shape
    state = initial_state(p, lanes, (count,), np.dtype(np.float64))
    least = np.full((lanes, count), np.nan)
    level = p.theta if p.emit is Emit.COUNT else np.zeros(())
    for t in range(steps + 1):
        ends = edges.length == t
        x = np.zeros((lanes, count))
        if t < steps:
            x[~ends] = edges.prefix[~ends, t]
        forced = None if edges.counts is None or t == steps else edges.counts[:, t]
        dead = state["resting"] > 0
        if p.reset is Reset.VALUE and p.reset_at is ResetAt.NEXT:
            dead = dead | (state["fired"] > 0)
        fired = step(p, x[:, None], state, forced=forced)
        least[ends] = np.where(dead, np.inf, level - fired.u_pre)[ends]
        state = fired.state
    return least


def fit(form: Form, edges: Edges, unit: Array) -> Fit:
    """The free numbers of *form* by Gauss and Newton, each site for itself."""
    numbers = dict(form.guess)
    names = list(numbers)
    size = np.abs(edges.prefix).max(axis=1, initial=0)
    finite = np.isfinite(edges.least)
    size = np.maximum(np.maximum(size, unit), np.where(finite, np.abs(edges.least), 0))
    need = np.where(finite, edges.least, 0)

    def residual(values: Numbers) -> Array:
        have = predicted(form.parameters(values), edges)
        agree = np.isfinite(have) == finite
        return np.where(agree, np.where(finite, np.where(np.isfinite(have), have, 0) - need, 0) / size, 1.0)

    best, error = numbers, 1e300
    for turn in range(ROUNDS):
        r = residual(numbers)
        now = float(np.abs(r).max())
        if not np.isfinite(now):
            break
        if now < error:
            best, error = numbers, now
        if now < 1e-15 or not names or (turn > 3 and now > 0.5 * error and error < GOOD):
            break
        if (turn > 3 and error > 1e-3) or (turn > 5 and now > 0.5 * error):
            break
        numbers = improved(residual, numbers, r, unit)
    return Fit(form, best, error)


def improved(
    residual: Callable[[Numbers], Array], numbers: Numbers, r: Array, unit: Array
) -> dict[str, Array]:
    """One step of Gauss and Newton."""
    columns = []
    for name, value in numbers.items():
        width = 1e-6 * (unit if name in POTENTIALS else np.ones_like(unit))
        above, below = residual({**numbers, name: value + width}), residual({**numbers, name: value - width})
        slope = (above - below) / (2 * width)
        slope[np.abs(above - below) > 0.5] = 0.0
        columns.append(slope)
    J = np.stack(columns, axis=-1).transpose(1, 0, 2)  # [sites, lanes, names]
    length = np.sqrt((J**2).sum(axis=1, keepdims=True))
    length[length == 0] = 1.0
    J = J / length
    normal = J.transpose(0, 2, 1) @ J + 1e-13 * np.eye(J.shape[2])
    right = J.transpose(0, 2, 1) @ r.T[:, :, None]
    move = np.linalg.solve(normal, right)[:, :, 0] / length[:, 0]
    return {name: value - move[:, k] for k, (name, value) in enumerate(numbers.items())}
