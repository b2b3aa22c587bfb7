"""What a module answers, measured: its staircase, and how far the past carries it toward the next spike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snncc.frontends.behavior_probe import Probe
from snncc.frontends.behavior_search import LARGE, double, ordered, smallest
from snncc.ir import Array, Emit

CELLS = 1 << 21
"""Numbers of one batch of experiments."""
MOST_COUNT = 4096
RUN = 8
"""Inputs in a row at which the slightest change changes the output, if reals leave a module."""
FAR = 1 << 20
"""Which step of a staircase without end tells the height of its steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """What leaves the module in its first timestep; numbers are arrays [sites].

    *first* is the smallest input with an output above 0. For counts *steps* [max_count, sites] are the
    smallest inputs that give 1, 2, ... times *scale*; without end, *rho* is the height of a step.
    """

    emit: Emit
    scale: Array
    first: Array
    steps: Array
    rho: Array
    max_count: int | None

    def counts(self, out: Array) -> Array:
        """Outputs in units of the scale, rounded."""
        with np.errstate(over="ignore"):
            return np.clip(np.rint(out / self.scale), 0, FAR**2).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Experiments [lanes, timesteps, sites], each of *length* timesteps, and what they led to.

    *least* [lanes, sites] is the smallest next input with an output above 0, *counts* what left the module
    on the way.
    """

    prefix: Array
    length: Array
    least: Array
    counts: Array | None

    def joined(self, other: Edges) -> Edges:
        """Both, one after the other."""
        steps = max(self.prefix.shape[1], other.prefix.shape[1])
        one, two = widened(self, steps), widened(other, steps)
        counts = None
        if one.counts is not None and two.counts is not None:
            counts = np.concatenate([one.counts, two.counts])
        return Edges(
            np.concatenate([one.prefix, two.prefix]),
            np.concatenate([one.length, two.length]),
            np.concatenate([one.least, two.least]),
            counts,
        )


def widened(edges: Edges, steps: int) -> Edges:
    """*edges* with zeros up to *steps* timesteps."""

    def wide(x: Array) -> Array:
        return np.concatenate([x, np.zeros((len(x), steps - x.shape[1], x.shape[2]), x.dtype)], axis=1)

    counts = None if edges.counts is None else wide(edges.counts)
    return Edges(wide(edges.prefix), edges.length, edges.least, counts)


def sites_of(probe: Probe) -> int:
    return int(np.prod(probe.sites, dtype=np.int64))


def first_answer(probe: Probe, y: Array) -> Array:
    """Outputs of the first timestep for inputs [points, ..., sites]."""
    flat = y.reshape(-1, 1, y.shape[-1])
    return probe.run(flat).reshape(y.shape)


def staircase(probe: Probe) -> Staircase | None:
    """The outputs of the first timestep; None where nothing leaves the module."""
    count = sites_of(probe)
    low, high = np.full(count, -LARGE), np.full(count, LARGE)
    first = smallest(lambda y: first_answer(probe, y) > 0, low, high)
    if np.isneginf(first).any():
        # Not monotone, so no member: the closest one is looked for among the positive inputs.
        first = smallest(lambda y: first_answer(probe, y) > 0, np.maximum(low, 0.0), high)
    if not np.isfinite(first).all():
        return None
    emit = emission(probe, first)
    if emit is not Emit.COUNT:
        span = np.maximum(np.abs(first), 1.0)
        rise = first_answer(probe, np.stack([first + span, first + 2 * span]))
        return Staircase(emit, (rise[1] - rise[0]) / span, first, first[None], np.ones(count), 1)
    scale = first_answer(probe, first)
    most = np.rint(first_answer(probe, np.stack([high / 1024, high])) / scale)
    if (most[0] == most[1]).all() and most.max() <= MOST_COUNT:
        bound = int(most.max())
        steps = reaching(probe, scale, np.arange(1, bound + 1)[:, None] * np.ones(count))
        return Staircase(emit, scale, first, steps, np.ones(count), bound)
    few = reaching(probe, scale, np.array([1, 2, 3, 4, 5, 6, 7, 8, FAR + 1])[:, None] * np.ones(count))
    return Staircase(emit, scale, first, few[:-1], (few[-1] - first) / FAR, None)


def reaching(probe: Probe, scale: Array, need: Array) -> Array:
    """The smallest first inputs that give *need* [levels, sites] times *scale*, or more."""
    ends = np.full(need.shape, LARGE)
    found = smallest(lambda y: first_answer(probe, y) > (need - 0.5) * scale, -ends, ends)
    return np.clip(found, -LARGE, LARGE)


def emission(probe: Probe, first: Array) -> Emit:
    """Whether counts leave the module, or reals, and then whether negative ones do."""
    span = np.maximum(np.abs(first), 2.0**-20)
    powers = 2.0 ** np.arange(-8, 12, 0.25)[:, None]
    ladder = np.stack([first + span * powers, 0 * first + powers, 0 * first - powers])
    out = first_answer(probe, np.stack([ladder, ladder + np.abs(ladder) * 2.0**-36]))
    moved = (out[0] != out[1]).all(axis=-1)
    run = np.array([moved[:, k : k + RUN].all(axis=1) for k in range(moved.shape[1] - RUN)])
    if not run.any():
        return Emit.COUNT
    below = first_answer(probe, np.stack([first - span, first - 1024 * span]))
    return Emit.POTENTIAL if (below < 0).all() else Emit.RELU


def edges(probe: Probe, stairs: Staircase, prefix: Array, length: Array) -> Edges:
    """Measure the experiments *prefix* [lanes, timesteps, sites], which end after *length* timesteps."""
    lanes, steps, count = prefix.shape
    chunk = max(1, CELLS // ((steps + 1) * count * 64))
    parts = []
    for k in range(0, lanes, chunk):
        own, ends = prefix[k : k + chunk], length[k : k + chunk]
        bound = np.full((len(own), count), LARGE)
        parts.append(smallest(after(probe, own, ends), -bound, bound))
    counts = None
    if stairs.emit is Emit.COUNT and steps:
        counts = stairs.counts(probe.run(prefix))
    elif stairs.emit is Emit.COUNT:
        counts = np.zeros(prefix.shape, np.int64)
    return Edges(prefix, length, np.concatenate(parts), counts)


def after(probe: Probe, prefix: Array, length: Array) -> Callable[[Array], Array]:
    """Whether something leaves the module for an input [points, lanes, sites] that follows the prefix."""
    lanes, steps, count = prefix.shape
    index = np.arange(lanes)

    def passes(y: Array) -> Array:
        x = np.zeros((len(y), lanes, steps + 1, count))
        x[:, :, :steps] = prefix
        x[:, index, length] = y
        last = int(length.max(initial=0)) + 1
        out = probe.run(x[:, :, :last].reshape(-1, last, count)).reshape(len(y), lanes, last, count)
        return out[:, index, length] > 0

    return passes


def silence(probe: Probe, first: Array, most: int = 32) -> int:
    """For how many timesteps after a spike the largest input makes no other one."""
    x = np.zeros((most, most + 1, len(first)))
    x[:, 0] = first
    x[np.arange(most), np.arange(1, most + 1)] = LARGE
    out = probe.run(x)
    fires = (out[np.arange(most), np.arange(1, most + 1)] > 0).all(axis=1)
    return int(fires.argmax()) if fires.any() else most


def before(values: Array) -> Array:
    """The next smaller doubles."""
    return double(ordered(values) - 1)
