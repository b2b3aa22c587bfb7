"""Which signals must share a scale, and the scale that each group gets.

All branches of a residual stream, and every neuron that reads it, live on one grid: one scale for each
channel of the stream, unless a synapse reads the analog signal directly or channels are moved about, where it
is one scale for the whole group. Branches with larger weights differ by a power of two (`Synapse.shift`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Input,
    MaxPool,
    Mul,
    Neuron,
    Node,
    Output,
    Pad,
    Pool,
    Reset,
    Shape,
    Sparse,
    SpikeGraph,
    place,
)
from snncc.quantization.owned import Owned, by_cell, nearest, own_grid, owned_by, shared
from snncc.quantization.sums import Branch, SharedSum, shared_sum

SOURCES = (Dense, Conv, Sparse, Affine)
CHANNELWISE = (Add, Pool, MaxPool, Pad, Neuron, Output)
BRANCH_BITS = 4
"""No branch of a stream needs a rounding error this many bits below that of the worst branch."""
THRESHOLD_STEPS = 16
"""A reset amount is at least this many steps of its grid."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What a chip demands of the grids of its layers.

    *is_uniform*: one whole number is the threshold, and one the reset amount, of all neurons of a layer.
    *finer*: each step of a weight is at least ``2**finer`` steps of the state. *proves_current*: the sum of
    the inputs of a timestep never leaves the state's width, whatever fires.
    """

    is_uniform: bool = False
    finer: int = 0
    proves_current: bool = False


@dataclass(slots=True)
class Group:
    """Signals on one grid. A member's scale is ``scale * factors[name]``."""

    factors: dict[str, float] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    neurons: list[str] = field(default_factory=list)
    is_per_channel: bool = True
    scale: Array = field(default_factory=lambda: np.asarray(1.0))
    shifts: dict[str, int] = field(default_factory=dict)
    is_rounded: bool = False
    """Whether its branches have grids of their own, of which not all could be kept."""
    sums: SharedSum | None = None
    """What its sums are made of, where two branches with grids of their own share none."""


def groups_of(graph: SpikeGraph) -> dict[str, Group]:
    """The group of every analog signal that a synapse or an affine feeds, by the name of its node."""
    table = {n.name: Group({n.name: 1.0}, [n.name]) for n in graph.nodes if isinstance(n, SOURCES)}
    passing = [
        n
        for n in graph.nodes
        if not isinstance(n, (*SOURCES, Input, Mul, Neuron)) and not graph.edges[n.name].is_events
    ]
    known = 0
    while known < len(table):  # again: a backward wire may come from any of them
        known = len(table)
        for one in passing:
            pass_on(table, one)
    for node in graph.nodes:
        group = meeting(table, node) if isinstance(node, Neuron) else None
        if group is None:
            continue
        group.neurons.append(node.name)
        if not graph.edges[node.name].is_events:
            raise CannotLower(f"{place(node)}: a neuron that sends reals is not quantized yet")
    for node in graph.nodes:
        if node.name in table:
            # Channels are the first axis of maps and the only one of vectors, but the last behind a dense
            # layer on more axes: there one scale serves all.
            rank = len(graph.edges[node.name].shape)
            if rank not in (1, 3) or (rank == 3 and isinstance(node, Dense)):
                table[node.name].is_per_channel = False
        for wire in node.inputs:
            if wire.source in table and not isinstance(node, CHANNELWISE):
                table[wire.source].is_per_channel = False
    return table


def meeting(table: dict[str, Group], node: Node) -> Group | None:
    """The one group of all signals that meet in *node*; None where none of them is known."""
    members = [w.source for w in node.inputs if w.source in table]
    if not members:
        return None
    group = table[members[0]]
    for other in members[1:]:
        group = merged(table, group, table[other], node)
    return group


def pass_on(table: dict[str, Group], node: Node) -> None:
    """Add *node*, which passes on what it reads, to the group of that."""
    group = meeting(table, node)
    if group is None:
        return
    factor = group.factors[next(w.source for w in node.inputs if w.source in table)]
    if isinstance(node, Pool) and node.is_average:
        factor /= node.kernel[0] * node.kernel[1]
    group.factors[node.name] = factor
    table[node.name] = group


def merged(table: dict[str, Group], left: Group, right: Group, node: Node) -> Group:
    """One group of two that meet in *node*, where both must have the same factor."""
    if left is right:
        seen = {left.factors[w.source] for w in node.inputs if w.source in left.factors}
        if len(seen) > 1:
            raise CannotLower(f"{place(node)}: adds a pooled signal to itself on two grids")
        return left
    ratios = {
        name: g.factors[name] for g in (left, right) for w in node.inputs if (name := w.source) in g.factors
    }
    first = next(f for name, f in ratios.items() if name in left.factors)
    second = next(f for name, f in ratios.items() if name in right.factors)
    for name, factor in right.factors.items():
        left.factors[name] = factor * first / second
        table[name] = left
    left.sources += right.sources
    left.neurons += right.neurons
    return left


def over_grid(values: Array, shape: Shape, *, is_per_channel: bool) -> Array:
    """The largest of *values*, broadcast to *shape*, in each cell of a grid: a channel, or everything."""
    full = np.broadcast_to(values, shape)
    if not is_per_channel:
        return np.asarray(full.max())
    return full.max(axis=(1, 2), keepdims=True) if len(shape) == 3 else full


def largest_weight(node: Node, shape: Shape, in_scale: Array) -> Array:
    """For each target, shaped *shape* or broadcasting to it: the largest |weight| x scale of its input."""
    match node:
        case Dense():
            return np.abs(node.weight).max(axis=1) * in_scale
        case Conv():
            return np.abs(node.weight).max(axis=(1, 2, 3))[:, None, None] * in_scale
        case Sparse():
            table = np.zeros(int(np.prod(shape)))
            np.maximum.at(table, node.post, np.abs(node.weight))
            return table.reshape(shape) * in_scale
        case Affine():
            gain = np.abs(node.gain)
            gain = gain.max(axis=0) if node.per_timestep and gain.ndim else gain
            return np.asarray(gain * in_scale)
        case _:
            raise AssertionError(f"{node.name} has no weights")


def choose_scale(
    group: Group,
    graph: SpikeGraph,
    in_scales: Mapping[str, Array],
    potentials: Mapping[str, Array],
    carried: Mapping[str, float],
    extents: Mapping[str, tuple[float, float]],
    *,
    weight_bits: int,
    sum_bits: int,
    state_limit: float,
    grid: Grid,
) -> None:
    """Set the scale and the shifts of *group*; *carried* is the largest number that enters each source.

    *extents* are the smallest and the largest number that each source adds.

    Weights that lie on a grid of their own keep it. Otherwise the grid is as fine as the smallest branch's
    weights need, no finer than the state's width holds, and where all neurons of a channel share one reset
    amount, that amount is a whole number of steps.
    """
    top = 2 ** (weight_bits - 1) - 1
    tops = top, 2 ** (sum_bits - 1) - 1
    if keeps_own_grid(group, graph, in_scales, potentials, extents, state_limit, tops, grid):
        return
    need: dict[str, Array] = {}
    for name in group.sources:
        shape = graph.edges[name].shape
        weights = largest_weight(graph.by_name[name], shape, in_scales[name])
        cells = over_grid(weights, shape, is_per_channel=group.is_per_channel)
        need[name] = cells / top / group.factors[name]
    whole = {name: float(n.max()) for name, n in need.items()}
    finest = finest_step(whole, carried)
    group.shifts = {name: shift_for(n / finest) for name, n in whole.items()}
    scale = np.max([n / 2.0 ** group.shifts[name] for name, n in need.items()], axis=0)
    scale = np.where(scale > 0, scale, finest)
    least = least_scale(group, graph, potentials, state_limit)
    resets = reset_amounts(group, graph, at_thresholds=grid.is_uniform)
    if grid.is_uniform and group.neurons:
        if resets is None:
            names = ", ".join(place(graph.by_name[name]) for name in group.neurons)
            raise CannotLower(
                f"{names}: read one stream, and their thresholds differ from each other by channel",
                hint="give each of them one threshold, or all of them the same; batch normalization goes "
                "into the weights (fold='weights')",
            )
        finer = max(grid.finer, finer_steps(scale, resets))
        scale = np.maximum(scale / 2.0**finer, least)
        steps = np.floor((resets / scale).min() * (1 + 1e-12) / 2.0**grid.finer)
        scale = resets / (np.maximum(steps, 1) * 2.0**grid.finer)
        group.shifts = {name: shift + finer for name, shift in group.shifts.items()}
        group.scale = np.maximum(scale, least)
        return
    finer = grid.finer if resets is None else max(grid.finer, finer_steps(scale, resets))
    scale = scale / 2.0**finer
    group.shifts = {name: shift + finer for name, shift in group.shifts.items()}
    if resets is not None:
        scale = resets / np.maximum(np.floor(resets / scale * (1 + 1e-12)), 1)
    group.scale = np.maximum(scale, least)


def keeps_own_grid(
    group: Group,
    graph: SpikeGraph,
    in_scales: Mapping[str, Array],
    potentials: Mapping[str, Array],
    extents: Mapping[str, tuple[float, float]],
    state_limit: float,
    tops: tuple[int, int],
    grid: Grid,
) -> bool:
    """Give *group* the grid on which its weights lie, where they do and its neurons can read any grid.

    *tops* are the most steps of a weight, and of one in a sum of branches whose grids share no unit.
    """
    neurons = [graph.by_name[name] for name in group.neurons]
    if grid.is_uniform or grid.finer or not all(isinstance(n, Neuron) and reads_any(n) for n in neurons):
        return False
    sources = {name: group.factors[name] for name in group.sources}
    owned = owned_by(sources, graph, in_scales, tops[0], cells=group.is_per_channel)
    if owned is None:
        return False
    shape = graph.edges[group.sources[0]].shape
    least = least_scale(group, graph, potentials, state_limit)
    found = own_grid(owned, tops[0])
    if found is not None and not np.any(least > by_cell(found[0], shape, cells=group.is_per_channel)):
        group.scale, group.shifts = by_cell(found[0], shape, cells=group.is_per_channel), found[1]
        return True
    group.is_rounded = len(sources) > 1
    if group.is_rounded and tops[1] > tops[0]:
        group.sums = shared_by(owned, extents, least, tops[1])
    if group.sums is not None:
        group.is_rounded = not group.sums.is_exact
        group.scale = by_cell(group.sums.step / group.sums.parts, shape, cells=group.is_per_channel)
        group.shifts = dict.fromkeys(sources, 0)
        return True
    if found is not None or shared(list(owned.steps.values())) is not None:
        return False
    weights = {name: table[0] for name, table in owned.tables.items()}
    found = nearest(owned.main, owned.steps[owned.main], weights, tops[0])
    if found is None or np.any(least > by_cell(found[0], shape, cells=group.is_per_channel)):
        return False
    group.scale, group.shifts = by_cell(found[0], shape, cells=group.is_per_channel), found[1]
    return True


def shared_by(
    owned: Owned, extents: Mapping[str, tuple[float, float]], least: Array, top: int
) -> SharedSum | None:
    """The sums of branches with grids of their own, on a grid no finer than *least*."""
    branches = {name: Branch(*owned.tables[name], owned.steps[name], *extents[name]) for name in owned.steps}
    others = [branch for name, branch in branches.items() if name != owned.main]
    return shared_sum(branches[owned.main], others, np.ravel(least), top)


def reads_any(node: Neuron) -> bool:
    """Whether *node* only compares its input with steps of its own."""
    p = node.parameters
    has_memory = not p.stateless or any(np.any(a != 0) for a in (p.bias, p.v_init, p.i_init))
    return p.steps is not None and not has_memory


def finer_steps(scale: Array, resets: Array) -> int:
    """The power of two by which *scale* is divided so that reset amounts have `THRESHOLD_STEPS`."""
    return shift_for(float((THRESHOLD_STEPS * scale / resets).max()))


def least_scale(
    group: Group, graph: SpikeGraph, potentials: Mapping[str, Array], state_limit: float
) -> Array:
    """The finest scale at which every neuron's *potentials* stay within *state_limit*."""
    least = np.zeros(())
    for name in group.neurons:
        factor = group.factors[graph.by_name[name].inputs[0].source]
        shape = graph.edges[name].shape
        reach = over_grid(potentials[name], shape, is_per_channel=group.is_per_channel)
        least = np.maximum(least, reach * (1 + 1e-9) / (state_limit * factor))
    return least


def finest_step(need: Mapping[str, float], carried: Mapping[str, float]) -> float:
    """The step of the grid: what the branch with the finest weights needs, but no finer than helps.

    A step s costs a branch an error of s x what enters it. The branch with the largest error rules; another
    is fine enough `BRANCH_BITS` below it. What enters is infinite where it is not known.
    """
    worst = max((n * carried[name] for name, n in need.items() if np.isfinite(carried[name])), default=0.0)
    steps = [max(n, worst / carried[name] / 2.0**BRANCH_BITS) for name, n in need.items() if n > 0]
    return min(steps, default=1.0)


def shift_for(ratio: float) -> int:
    """The power of two that is at least *ratio*, as a shift >= 0."""
    return max(0, int(np.ceil(np.log2(ratio) - 1e-9))) if ratio > 0 else 0


def reset_amounts(group: Group, graph: SpikeGraph, *, at_thresholds: bool) -> Array | None:
    """The one reset amount of each cell in units of the group, or None where neurons differ.

    *at_thresholds*: where a spike does not subtract, the first threshold; and layers whose neurons all agree
    may differ from each other: the smallest amount counts, the others are rounded.
    """
    amounts: list[Array] = []
    for name in group.neurons:
        node = graph.by_name[name]
        if not isinstance(node, Neuron):
            continue
        shape = graph.edges[name].shape
        p = node.parameters
        amount = p.theta if at_thresholds and p.reset is not Reset.SUBTRACT else p.rho
        rho = amount / group.factors[node.inputs[0].source]
        high = over_grid(rho, shape, is_per_channel=group.is_per_channel)
        low = -over_grid(-rho, shape, is_per_channel=group.is_per_channel)
        if np.any(high - low > 1e-12 * high):
            return None
        amounts.append(high)
    if not amounts:
        return None
    if all(np.allclose(a, amounts[0], rtol=1e-12) for a in amounts):
        return amounts[0]
    if at_thresholds and all(np.allclose(a, a.flat[0], rtol=1e-12) for a in amounts):
        return np.asarray(min(float(a.flat[0]) for a in amounts))
    return None
