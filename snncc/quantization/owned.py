"""Weights that lie on a grid already, as those of a network that was trained quantized: they keep it.

Then nothing is rounded: whole weights are the network's own, and so are the sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.ir import Affine, Array, Conv, Dense, Node, Shape, Sparse, SpikeGraph

NEAR = 2e-5
"""A number this close to a step, in steps, lies on it: what float32 leaves of 16 bits of a product."""
PARTS = 16
"""Branches of a stream share a grid at most this many times finer than the finest branch's."""
MOST_PARTS = 1 << 12
"""Parts of a step that are tried where no grid is shared."""
FEW = 16
"""A branch that would take less than 1 of so many steps that its weights could have has lost too much."""


@dataclass(frozen=True, slots=True, eq=False)
class Owned:
    """Weights [cells, n] and biases of some synapses in real units, and of which steps they are multiples.

    A step is infinite in rows without weights or biases.
    """

    tables: Mapping[str, tuple[Array, Array]]
    steps: Mapping[str, Array]
    main: str
    """The one with the most weights a neuron."""


def owned_by(
    sources: Mapping[str, float], graph: SpikeGraph, in_scales: Mapping[str, Array], top: int, *, cells: bool
) -> Owned | None:
    """Of each of *sources* the grid of its own, at most *top* steps; None where one has none.

    *sources* are the synapses and affines that make the signals, with their factors; *cells*: each channel
    may have a grid of its own.
    """
    tables: dict[str, tuple[Array, Array]] = {}
    for name, factor in sources.items():
        found = table_of(graph.by_name[name], graph.edges[name].shape, in_scales[name], cells=cells)
        if found is None:
            return None
        tables[name] = (found[0] / factor, found[1] / factor)
    steps: dict[str, Array] = {}
    for name, (weights, biases) in tables.items():
        step = coarsest(weights, biases, top)
        if step is None:
            return None
        steps[name] = step
    return Owned(tables, steps, max(steps, key=lambda name: fan_in(graph.by_name[name])))


def own_grid(owned: Owned, top: int) -> tuple[Array, dict[str, int]] | None:
    """The scale of each cell and the shifts with which weights and biases are whole; None: there are none."""
    scale = shared(list(owned.steps.values()))
    shifts = None if scale is None else shifts_of(owned.tables, scale, top)
    return None if scale is None or shifts is None else (scale, shifts)


def by_cell(scale: Array, shape: Shape, *, cells: bool) -> Array:
    """A number for each cell, to broadcast over a signal of *shape*."""
    if not cells:
        return np.asarray(scale[0])
    return scale[:, None, None] if len(shape) == 3 else scale


def shifts_of(tables: Mapping[str, tuple[Array, Array]], scale: Array, top: int) -> dict[str, int] | None:
    """The shifts with which all weights and biases are whole; None where some are not."""
    shifts: dict[str, int] = {}
    for name, (weights, biases) in tables.items():
        shift = shift_of(weights / scale[:, None], top)
        if shift is None or not on_grid(biases / scale[:, None]):
            return None
        shifts[name] = shift
    return shifts


def fan_in(node: Node) -> int:
    """Weights that meet in one signal of *node*."""
    match node:
        case Dense() | Conv():
            return int(np.prod(node.weight.shape[1:]))
        case _:
            return 1


def nearest(
    main: str, step: Array, weights: Mapping[str, Array], top: int
) -> tuple[Array, dict[str, int]] | None:
    """The scale and the shifts on which *main* loses nothing, and the weights of the others little.

    The weights of *main* are multiples of *step*, infinite in rows without any. In each row it is divided by
    the whole number, up to what *top* leaves, with which the others come nearest to the grid; and by a power
    of two, so that they have as many bits as *main*. None where they would have few in some row: rows differ
    widely then.
    """
    largest = {name: np.abs(w).max(axis=1) for name, w in weights.items()}
    most = np.max([one for name, one in largest.items() if name != main], axis=0)
    live = np.isfinite(step)
    usual = float(np.max(most[live] / step[live], initial=0.0)) or float(top)
    step = np.where(live, step, np.where(most > 0, most / usual, 1.0))
    parts = min(max(1, int((top + NEAR) / max(1.0, float((largest[main] / step).max())))), MOST_PARTS)
    reach = {name: float((most * parts / step).max()) for name, most in largest.items()}
    others = [name for name in weights if name != main and reach[name] > 0]
    finer = max((int(np.floor(np.log2(top / reach[name]))) for name in others), default=0)
    shifts = dict.fromkeys(weights, 0) | {main: max(0, finer)}
    for name in others:
        shifts[name] = max(0, int(np.ceil(np.log2(reach[name] * 2.0 ** shifts[main] / top))))
    best, errors = step / parts, np.full(len(step), np.inf)
    for part in range(parts, parts // 2, -1):
        unit = step / part / 2.0 ** shifts[main]
        error = np.zeros(len(step))
        for name in others:
            steps = weights[name] / (unit * 2.0 ** shifts[name])[:, None]
            error += np.abs(steps - np.rint(steps)).max(axis=1) * unit * 2.0 ** shifts[name]
        best, errors = np.where(error < errors, unit, best), np.minimum(error, errors)
    for name in others:
        steps = largest[name] / (best * 2.0 ** shifts[name])
        if np.any((steps > 0) & (steps < top / FEW)):
            return None
    return best, shifts


def table_of(node: Node, shape: Shape, in_scale: Array, *, cells: bool) -> tuple[Array, Array] | None:
    """The weights [cells, n] and the biases [cells, m] of *node* in real units; None where they are many."""
    match node:
        case Dense() | Conv() if in_scale.ndim == 0:
            weights = node.weight.reshape(len(node.weight), -1) * in_scale
            added = node.bias
        case Sparse() if in_scale.ndim == 0 and np.all(node.weight == node.weight[:1]) and node.weight.size:
            weights = np.full((shape[0], 1), node.weight[0] * in_scale)
            added = node.bias
        case Affine() if not node.per_timestep:
            weights = np.broadcast_to(node.gain * in_scale, shape).reshape(shape[0], -1)
            added = node.offset
        case _:
            return None
    biases = np.broadcast_to(0.0 if added is None else added, shape)
    is_dense_on_more = isinstance(node, Dense) and len(shape) > 1
    biases = biases.reshape(1, -1) if is_dense_on_more or not cells else biases.reshape(shape[0], -1)
    if not cells:
        weights = weights.reshape(1, -1)
    if len(weights) != len(biases):
        return None
    return np.unique(weights, axis=1), np.unique(biases, axis=1)


def coarsest(weights: Array, biases: Array, top: int) -> Array | None:
    """For each row the largest step of which its *weights* are multiples up to *top*, its *biases* any.

    As in two's complement, the most negative multiple is one more.
    """
    largest = np.abs(weights).max(axis=1)
    reach = np.where(largest > 0, largest, np.abs(biases).max(axis=1))
    reach = np.where(reach > 0, reach, np.inf)
    result = np.zeros(len(weights))
    for count in range(1, top + 2):
        open_rows = np.flatnonzero(result == 0)
        if not len(open_rows):
            break
        step = reach[open_rows] / count
        fits = [rows_on_grid(table[open_rows] / step[:, None]) for table in (weights, biases)]
        is_low = weights[open_rows].max(axis=1) / step <= top + NEAR
        result[open_rows] = np.where(fits[0] & fits[1] & is_low, step, 0)
    return result if np.all(result > 0) else None


def rows_on_grid(multiples: Array) -> Array:
    return np.asarray(np.all(np.abs(multiples - np.rint(multiples)) <= NEAR, axis=1))


def on_grid(multiples: Array) -> bool:
    """Whether all *multiples* are whole, but for rounding."""
    return bool(np.all(np.abs(multiples - np.rint(multiples)) <= NEAR))


def shared(steps: list[Array]) -> Array | None:
    """For each row a step of which those of all *steps* are multiples; where a row is empty, 1."""
    finest = np.min(steps, axis=0)
    finest = np.where(np.isfinite(finest), finest, 1.0)
    result = np.zeros(len(finest))
    for part in range(1, PARTS + 1):
        step = finest / part
        ratios = np.stack([np.where(np.isfinite(one), one, step) / step for one in steps], axis=1)
        result = np.where((result == 0) & rows_on_grid(ratios), step, result)
    return result if np.all(result > 0) else None


def shift_of(multiples: Array, top: int) -> int | None:
    """The smallest shift that leaves *multiples* whole and at most *top*."""
    for shift in range(24):
        shifted = multiples / 2.0**shift
        if not on_grid(shifted):
            return None
        if shifted.max(initial=0) <= top + NEAR and shifted.min(initial=0) >= -(top + 1) - NEAR:
            return shift
    return None
