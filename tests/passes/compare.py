"""Comparing the neurons of two graphs, one by one, and setting ties apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snncc.ir import Array, Emit, Encoding, Neuron, SpikeGraph
from snncc.reference import run
from snncc.reference.inputs import Data

NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """How many counts there are, are not zero, differ, and were left out because they are near ties."""

    counts: int
    alive: int
    differ: int
    ties: int
    output: float

    @property
    def is_none(self) -> bool:
        """Whether nothing differs, and it means something."""
        return self.differ == 0 and self.output <= 1e-9 and self.alive > 0 and self.ties < 0.01 * self.counts


def streams(graph: SpikeGraph) -> bool:
    """Whether a neuron fires while its input arrives: its counts cannot be forced."""
    return any(n.parameters.encoding is Encoding.STREAM for n in graph.neurons)


def compare(before: SpikeGraph, after: SpikeGraph, x: Data, timesteps: int) -> Difference:
    """Each neuron of *after* gets what it would if all others had fired as in *before*."""
    names = [n.name for n in before.neurons if n.parameters.emit is Emit.COUNT]
    first = run(before, x, timesteps=timesteps, record=names, count=False)
    force = {name: first.records[name].train.sum(axis=2) for name in names}
    forced = {} if streams(after) else force
    second = run(after, x, timesteps=timesteps, record=names, count=False, force=forced)
    counts = alive = differ = ties = 0
    for name in names:
        node = before[name]
        assert isinstance(node, Neuron)
        u = first.records[name].u_pre
        assert u is not None
        near = near_step(node, u)
        unequal = second.records[name].train.sum(axis=2) != force[name]
        counts += unequal.size
        alive += int((force[name] > 0).sum())
        differ += int((unequal & ~near).sum())
        ties += int(near.sum())
    error = max(
        float(np.abs(first.outputs[n] - second.outputs[n]).max() / max(1.0, np.abs(first.outputs[n]).max()))
        for n in first.outputs
    )
    return Difference(counts, alive, differ, ties, error)


def near_step(node: Neuron, u: Array) -> Array:
    """Where a potential lies on a step of the staircase, but for rounding."""
    near = np.zeros(u.shape, bool)
    for step in node.parameters.step_values():
        near |= np.abs(u - step) <= NEAR * np.maximum(1, np.abs(step))
    return near
