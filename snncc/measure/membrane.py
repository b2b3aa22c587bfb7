"""Membrane potentials before firing: their distribution, its distance to the threshold, their error.

All in real units. An integer graph holds potentials in steps of the scale of the edge that the neuron reads,
and they are multiplied by it here. The units are those of the graph that ran: a pass that folds a gain into
thresholds measures the membrane in other units than the network did that was traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snncc.errors import BadInput
from snncc.ir import Array, Emit, Neuron, NeuronParameters, Reset, SpikeGraph, place
from snncc.measure.access import Ran, axis_of, membrane_of

BINS = 100
PEAKS = 3
"""Bins whose mean position is the peak of a distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """A histogram of membrane potentials: *counts* [bins], int64, between *edges* [bins + 1], real units.

    *thresholds* are the lowest and the highest threshold of the neurons counted: the first step of a
    staircase, None for neurons that cannot fire. *is_relative*: each potential is less its own neuron's
    threshold, which then lies at 0. *outside* potentials lie beyond the edges that the caller gave.
    """

    layer: str
    channel: int | None
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    thresholds: tuple[float, float] | None
    is_relative: bool = False
    outside: int = 0

    @property
    def centers(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of all potentials in each bin; what is outside counts as well."""
        return self.counts / max(1, int(self.counts.sum()) + self.outside)

    @property
    def peak(self) -> float:
        """The mean position of the three highest bins, of equal ones the lower; empty bins are none.

        Raises `BadInput` where all bins are empty.
        """
        highest = np.argsort(-self.counts, kind="stable")[:PEAKS]
        highest = highest[self.counts[highest] > 0]
        if not len(highest):
            raise BadInput(f"{self.layer}: no potential lies within the bins, so they have no peak")
        return float(self.centers[highest].mean())


def potentials(graph: SpikeGraph, run: Ran, layer: str) -> NDArray[np.float64]:
    """Membrane potentials of *layer* before it fires, u_pre, in real units: [T, B, *shape].

    Of a neuron that streams: what it held and all that arrived in the timestep, as if it had not fired
    meanwhile. Raises `BadInput` where *layer* is no neuron or was not recorded, `UnknownName`.
    """
    node, _, u_pre = membrane_of(graph, run, layer)
    return np.asarray(u_pre * step_of(graph, node), np.float64)


def distribution(
    graph: SpikeGraph,
    run: Ran,
    layer: str,
    channel: int | None = None,
    *,
    axis: int = 0,
    timestep: int | None = None,
    bins: int | Sequence[float] = BINS,
    relative: bool = False,
) -> Distribution:
    """MPD: the histogram of u_pre over the neurons of a channel and all samples, in real units.

    Of the whole *layer* where *channel* is None; over all timesteps where *timestep* is. Channels lie along
    *axis* of the layer's shape. *bins* are at most so many equal ones over what occurs, or their edges
    (ascending) themselves. Potentials that are whole steps of one scale get bins of whole steps: other ones
    would hold now more, now fewer of the steps, and show peaks that are none. *relative* takes from each
    potential the threshold of its own neuron. Raises `BadInput` as `potentials` and for a channel or
    timestep that is not there. ASA-SNN, definition 5.
    """
    node, _, u_pre = membrane_of(graph, run, layer)
    if timestep is not None and not 0 <= timestep < len(u_pre):
        raise BadInput(f"{place(node)}: ran for {len(u_pre)} timesteps, so there is no timestep {timestep}")
    shape = graph.edges[layer].shape
    theta = np.broadcast_to(first_threshold(node.parameters), shape)
    step = np.broadcast_to(step_of(graph, node), shape)
    u = u_pre if timestep is None else u_pre[timestep : timestep + 1]
    if channel is not None:
        where, count = axis_of(graph, layer, axis)
        if not 0 <= channel < count:
            raise BadInput(f"{place(node)}: has {count} channels, so there is no channel {channel}")
        u, theta, step = u.take(channel, 2 + where), theta.take(channel, where), step.take(channel, where)
    thresholds = (float((theta * step).min()), float((theta * step).max())) if can_fire(node) else None
    if relative:
        if thresholds is None:
            raise BadInput(f"{place(node)}: cannot fire, so potentials are not relative to a threshold")
        u, thresholds = u - theta, (0.0, 0.0)
    if not isinstance(bins, int | np.integer):
        counts, edges = given_bins(np.asarray(u * step), bins)
    elif bins < 1:
        raise BadInput(f"a histogram has at least one bin, not {bins}")
    elif u.dtype.kind == "i" and np.all(step == step.flat[0]):
        counts, edges = whole_bins(u, float(step.flat[0]), int(bins))
    else:
        counts, edges = np.histogram(u * step, int(bins))
    counts = counts.astype(np.int64)
    return Distribution(layer, channel, counts, edges, thresholds, relative, u.size - int(counts.sum()))


def peak_to_threshold(
    graph: SpikeGraph,
    run: Ran,
    layer: str,
    channel: int | None = None,
    *,
    axis: int = 0,
    timestep: int | None = None,
    bins: int | Sequence[float] = BINS,
) -> float:
    """PTD: the mean position of the three highest bins of the MPD minus the threshold, in real units.

    Negative where the peak lies below the threshold, which is the first step of a staircase. It depends on
    the *bins*. Each potential is taken relative to its own neuron's threshold, so that neurons with several
    thresholds may be counted together. Options and errors as in `distribution`; ASA-SNN, definition 6.
    """
    parts = distribution(graph, run, layer, channel, axis=axis, timestep=timestep, bins=bins, relative=True)
    return parts.peak


def quantization_error(graph: SpikeGraph, run: Ran, layer: str, *, spike: ArrayLike | None = None) -> float:
    """QE = mean (u_pre - s)^2 over timesteps, samples and neurons of *layer*, in real units squared.

    s is what the spikes stand for on the membrane: n spikes are ``n * rho``, which SRIF (1, with a threshold
    of 1/2), SFA (1) and QCFS (lam / L) take off the potential. Under a hard reset, which uses no rho, it is
    1 unless the graph says otherwise: s in {0, 1}, as in ASA-SNN, whatever the threshold is. *spike* is
    another value of one spike, a real number that broadcasts against the layer's shape. Raises `BadInput`
    as `potentials` and where *layer* sends real numbers. ASA-SNN; InfLoR-SNN.
    """
    node, record, u_pre = membrane_of(graph, run, layer)
    p = node.parameters
    if p.emit is not Emit.COUNT:
        raise BadInput(f"{place(node)}: sends real numbers, which are no quantization of its potential")
    step = step_of(graph, node)
    value = p.rho * step if spike is None else np.asarray(spike, np.float64)
    try:
        np.broadcast_to(value, graph.edges[layer].shape)
    except ValueError:
        shapes = f"{value.shape} does not broadcast to {graph.edges[layer].shape}"
        raise BadInput(f"{place(node)}: the value of a spike {shapes}") from None
    error = u_pre * step - record.train.sum(axis=2) * value
    return float(np.mean(np.square(error)))


def step_of(graph: SpikeGraph, node: Neuron) -> Array:
    """The real value of one unit of the potential of *node*."""
    return graph.edges[node.inputs[0].source].scale if graph.is_integer else np.ones(())


def first_threshold(p: NeuronParameters) -> Array:
    """The potential at which a neuron begins to fire, in the graph's own units."""
    return p.theta if p.steps is None else p.steps[0]


def can_fire(node: Neuron) -> bool:
    """Whether a threshold means anything: LIAF sends real numbers, but its spikes reset it."""
    return node.parameters.emit is Emit.COUNT or node.parameters.reset is not Reset.NONE


def given_bins(u: Array, bins: Sequence[float]) -> tuple[Array, Array]:
    edges = np.asarray(bins, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise BadInput("the edges of bins are two or more ascending numbers")
    return np.histogram(u, edges)


def whole_bins(u: Array, step: float, bins: int) -> tuple[Array, Array]:
    """At most *bins* bins over integers *u*, each of the same number of whole steps."""
    low, high = int(u.min()), int(u.max())
    width = -(-(high - low + 1) // bins)
    count = (high - low) // width + 1
    counts = np.bincount((u.reshape(-1) - low) // width, minlength=count)
    return counts, (low - 0.5 + width * np.arange(count + 1)) * step
