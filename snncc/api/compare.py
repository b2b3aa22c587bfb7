"""Comparing two executions layer by layer: counts with forced inputs, values, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from snncc.api.proof import Difference, LayerCheck
from snncc.ir import Array, Neuron, NeuronParameters, Over, SpikeGraph
from snncc.passes.rounding import rounds_half_to_even
from snncc.reference import Record, Run
from snncc.reference import run as run_reference
from snncc.reference.neuron import rectified

NEAR = 1e-9
"""A potential this close to a threshold, relative to max(1, |threshold|), is a near tie."""
NEAR32 = 1e-5
"""The same of sums in float32, relative to the largest of a layer: 84 of its roundings."""


def counts_of(record: Record) -> Array:
    """What a layer sent in each timestep, summed over ticks: [T, B, *shape]."""
    return record.train.sum(axis=2)


def compare_counts(
    node: Neuron, need: Array, record: Record, same: Array | None = None, *, is_float32: bool = False
) -> LayerCheck:
    """*record* of *node* against the counts *need* [T, B, *shape]; near ties are listed apart.

    *same* says where both neurons saw the very same numbers so far: there rounding explains nothing, and a
    potential that lies exactly on a threshold is no excuse. *is_float32*: so *need* was computed.
    """
    have = counts_of(record)
    differs = have != need
    near = np.zeros_like(differs)
    ties = 0
    if record.u_pre is not None and record.u_pre.dtype.kind == "f":
        if differs.any():
            is_near = is_near_in_float32 if is_float32 else is_near_threshold
            near = differs & is_near(node.parameters, record.u_pre)
        if same is not None and near.any():
            near &= ~(same & is_near_threshold(node.parameters, record.u_pre, within=0.0))
        if rounds_half_to_even(node.parameters):
            ties = int(is_near_threshold(node.parameters, record.u_pre).sum())
    return LayerCheck(
        layer=node.name,
        origin=node.origin,
        compared=int(differs.size),
        differing=int(differs.sum()),
        near_ties=int(near.sum()),
        ties=ties,
        mean_error=float(np.abs(have - need).mean()) if differs.size else 0.0,
        first=first_difference(node.name, node.origin, need, have, differs & ~near, "count"),
    )


def is_near_threshold(p: NeuronParameters, u: Array, within: float = NEAR) -> Array:
    """Where a potential lies *within* x max(1, |threshold|) of a step of the staircase."""
    u = rectified(p, u)
    if p.max_count is None:
        nearest = p.theta + np.maximum(np.rint((u - p.theta) / p.rho), 0) * p.rho
        return np.abs(u - nearest) <= within * np.maximum(1, np.abs(nearest))
    near = np.zeros(u.shape, bool)
    for step in p.step_values():
        near |= np.abs(u - step) <= within * np.maximum(1, np.abs(step))
    return near


def is_near_in_float32(p: NeuronParameters, u: Array) -> Array:
    """Where a potential lies within `NEAR32` x the largest one of a step: a sum of that size, rounded."""
    reach = NEAR32 * float(np.abs(u).max(initial=0))
    near = np.zeros(u.shape, bool)
    for step in p.step_values():
        near |= np.abs(u - step) <= reach
    return near


def compare_values(
    name: str, origin: str, need: Array, have: Array, *, exactly: bool, what: str, within: float = NEAR
) -> LayerCheck:
    """Numbers [T, B, *shape] against numbers: bit for bit, or up to rounding, *within* x the largest."""
    error = np.abs(np.asarray(have, np.float64) - need)
    limit = 0.0 if exactly else within * max(1.0, float(np.abs(need).max(initial=0)))
    differs = error > limit
    return LayerCheck(
        layer=name,
        origin=origin,
        compared=int(differs.size),
        differing=int(differs.sum()),
        mean_error=float(error.mean()) if error.size else 0.0,
        first=first_difference(name, origin, need, have, differs, what),
    )


def compare_trains(node: Neuron, need: Record, have: Record) -> LayerCheck:
    """Two trains [T, B, ticks, *shape], spike by spike."""
    wanted, got = (np.moveaxis(record.train, 2, -1) for record in (need, have))
    check = compare_values(node.name, node.origin, wanted, got, exactly=True, what="spike")
    if check.first is None:
        return check
    *neuron, tick = check.first.neuron
    first = replace(check.first, neuron=tuple(neuron), what=f"spike in tick {tick}")
    return replace(check, first=first)


def compare_totals(graph: SpikeGraph, need: Run, have: Run) -> list[LayerCheck]:
    """What two runs counted, bit for bit: spikes and active neurons, operations, saturations."""
    checks = []
    for node in graph.nodes:
        pairs: list[tuple[str, Array, Array]] = []
        if node.name in need.spikes:
            for what in ("spikes", "active"):
                left, right = (np.asarray(getattr(run, what)[node.name]) for run in (need, have))
                pairs.append((what, left.swapaxes(0, 1), right.swapaxes(0, 1)))
        if node.name in need.operations:
            left_cost, right_cost = need.operations[node.name], have.operations[node.name]
            for what in ("ac", "ac_nonzero", "mac", "mac_nonzero", "mac_dense", "received"):
                pairs.append((what, getattr(left_cost, what)[None], getattr(right_cost, what)[None]))
        saturated = [np.array([[run.saturations.get(node.name, 0)]]) for run in (need, have)]
        pairs.append(("saturations", saturated[0], saturated[1]))
        for what, left, right in pairs:
            check = compare_values(
                node.name, node.origin, left, right, exactly=True, what=f"number of {what}"
            )
            if check.differing:
                checks.append(check)
    return checks


def first_difference(
    name: str, origin: str, need: Array, have: Array, differs: Array, what: str
) -> Difference | None:
    """The first true entry of *differs* [T, B, *shape]."""
    if not differs.any():
        return None
    index = tuple(int(k) for k in np.unravel_index(int(np.argmax(differs)), differs.shape))
    return Difference(
        layer=name,
        origin=origin,
        timestep=index[0],
        sample=index[1],
        neuron=index[2:],
        need=float(need[index]),
        have=float(have[index]),
        what=what,
    )


def output_error(need: Mapping[str, Array], have: Mapping[str, Array]) -> float:
    """The largest absolute difference of any output value."""
    return max((float(np.abs(need[name] - have[name]).max(initial=0)) for name in need), default=0.0)


def changed_predictions(need: Mapping[str, Array], have: Mapping[str, Array]) -> int | None:
    """For one reduced output of scores [B, classes]: how many arg max changed; otherwise None."""
    if len(need) != 1:
        return None
    name = next(iter(need))
    if need[name].ndim != 2 or need[name].shape[1] < 2:
        return None
    return int((need[name].argmax(axis=1) != have[name].argmax(axis=1)).sum())


def neurons_of(graph: SpikeGraph) -> dict[str, Neuron]:
    """Neuron nodes by name."""
    return {node.name: node for node in graph.neurons}


def run_all(graph: SpikeGraph, data: Array, force: Mapping[str, Array] | None = None, **options: Any) -> Run:
    """The reference executor with every neuron recorded."""
    names = [node.name for node in graph.neurons]
    return run_reference(
        graph, data, timesteps=graph.timesteps, record=names, count=False, force=force, **options
    )


def output_checks(
    graph: SpikeGraph, need: Mapping[str, Array], have: Mapping[str, Array], within: float = NEAR
) -> list[LayerCheck]:
    """Outputs as layers, so that a difference has a place."""
    checks = []
    for node in graph.outputs:
        if node.name in need:
            want, got = need[node.name], have[node.name]
            if node.over is not Over.SEQUENCE:
                want, got = want[None], got[None]
            checks.append(
                compare_values(
                    *(node.name, node.origin, want, got), exactly=False, what="output", within=within
                )
            )
    return checks


def tolerance(outputs: Mapping[str, Array], within: float = NEAR) -> float:
    """What rounding may change of *outputs*: *within* x the largest."""
    return within * max([1.0, *(float(np.abs(value).max(initial=0)) for value in outputs.values())])
