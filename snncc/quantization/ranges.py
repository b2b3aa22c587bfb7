"""How large the signals of a float graph become: measured on data, or bounded from the weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from snncc.errors import BadInput
from snncc.ir import (
    Affine,
    Array,
    Conv,
    Dense,
    Edge,
    Emit,
    Input,
    Kind,
    Neuron,
    Node,
    Pad,
    Presence,
    SideOperation,
    Sparse,
    SpikeGraph,
    edges_into,
    place,
)
from snncc.reference.execute import Executor
from snncc.reference.inputs import Data, by_input, enter
from snncc.reference.nodes import evaluate
from snncc.reference.side import SIDES

Extremes = tuple[float, float, float]

CHUNK = 32
"""Samples that are held at once while ranges are measured."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """What was seen: the extremes of each input, its smallest step, and each neuron's largest potential.

    *potentials* has, for each neuron, the largest ``|u_pre|``, ``|u_post|`` or ``|i|`` of each of its
    channels, shaped to broadcast; it is None where no data was given.
    """

    inputs: Mapping[str, Extremes]
    potentials: Mapping[str, Array]
    is_measured: bool


def measured(graph: SpikeGraph, x: Data, timesteps: int) -> Ranges:
    """Ranges of *graph* on calibration data *x* (the layout of `snncc.reference.run`)."""
    data = by_input(graph, x)
    potentials: dict[str, Array] = {}
    for part in chunks(graph, data):
        executor = Executor(graph, enter(graph, part, timesteps), timesteps, (), False, None, {})
        for _ in executor.steps():
            for name, fired in executor.fired.items():
                for state in (fired.u_pre, fired.u_post, fired.current):
                    if state is not None:
                        largest = np.abs(state).max(axis=0)
                        potentials[name] = np.maximum(potentials.get(name, largest), largest)
    extremes = {
        node.name: extremes_of(np.asarray(data[node.name], np.float64))
        for node in graph.inputs
        if node.kind is Kind.ANALOG
    }
    return Ranges(extremes, potentials, is_measured=True)


def chunks(graph: SpikeGraph, data: Mapping[str, Array]) -> list[dict[str, Array]]:
    """*data* in pieces of `CHUNK` samples."""
    axes = {node.name: int(node.presence is Presence.SEQUENCE) for node in graph.inputs}
    first = graph.inputs[0].name
    if data[first].ndim <= axes[first]:
        return [dict(data)]
    total = data[first].shape[axes[first]]
    return [
        {name: array.take(range(k, min(k + CHUNK, total)), axis=axes[name]) for name, array in data.items()}
        for k in range(0, total, CHUNK)
    ] or [dict(data)]


def extremes_of(values: Array) -> Extremes:
    """Smallest, largest, and the step of the grid on which all values lie (0 if there is none)."""
    low, high = float(values.min()), float(values.max())
    levels = np.unique(np.append(values.reshape(-1)[:100_000], 0.0))
    if len(levels) < 2 or len(levels) > 512:
        return low, high, 0.0
    step = float(np.diff(levels).min())
    multiples = values / step
    on_grid = np.allclose(multiples, np.rint(multiples), rtol=0, atol=1e-6)
    return low, high, step if on_grid else 0.0


def bounded(
    graph: SpikeGraph, input_ranges: Mapping[str, tuple[float, float]], timesteps: int | None
) -> Ranges:
    """Ranges of *graph* from its weights: what no input inside *input_ranges* can exceed.

    Raises `BadInput` where an analog input has no range, or where a perfect integrator needs the number of
    timesteps.
    """
    extremes = {}
    for entry in graph.inputs:
        if entry.kind is Kind.ANALOG:
            if entry.name not in input_ranges:
                raise BadInput(
                    f"{place(entry)}: quantization needs the range of this analog input",
                    hint="give calibration data (calibration=, --calibration x.npz), or keep floats "
                    "(precision='float', --precision float)",
                )
            low, high = input_ranges[entry.name]
            extremes[entry.name] = (float(low), float(high), 0.0)
    found = Bounds(graph, extremes, timesteps)
    for node in graph.nodes:
        found.signal(node)
    return Ranges(extremes, found.potentials, is_measured=False)


class Bounds:
    """The largest absolute value of each node's signal and each neuron's state, worked out once each."""

    def __init__(self, graph: SpikeGraph, extremes: Mapping[str, Extremes], timesteps: int | None) -> None:
        self.graph, self.extremes, self.timesteps = graph, extremes, timesteps
        self.signals: dict[str, Array] = {}
        self.potentials: dict[str, Array] = {}
        self.begun: set[str] = set()

    def signal(self, node: Node) -> Array:
        """Of *node*. Raises `BadInput` where it depends on itself, and nothing on the way bounds it."""
        if node.name in self.signals:
            return self.signals[node.name]
        if node.name in self.begun:
            raise BadInput(
                f"{place(node)}: what it sends comes back to it, and no count bounds it",
                hint="give calibration data (calibration=, --calibration x.npz)",
            )
        self.begun.add(node.name)
        xs = [self.read(self.graph.by_name[wire.source]) for wire in node.inputs]
        ins = edges_into(node, self.graph.edges)
        signal = bound_after(node, xs, ins, self.graph.edges[node.name], self.extremes)
        if isinstance(node, Neuron):
            self.potentials[node.name] = potential_bound(node, np.asarray(sum(xs)), self.timesteps)
            if node.parameters.emit is not Emit.COUNT:
                signal = self.potentials[node.name] * node.parameters.scale
        self.signals[node.name] = signal
        return signal

    def read(self, source: Node) -> Array:
        """The signal of *source*; of neurons that count, whatever they read: a loop ends there."""
        counts = isinstance(source, Neuron) and source.parameters.emit is Emit.COUNT
        return largest(source, self.graph.edges[source.name]) if counts else self.signal(source)


def largest(node: Node, edge: Edge) -> Array:
    """The most that a node of events sends in a timestep."""
    if edge.max_count is None:
        raise BadInput(
            f"{place(node)}: sends any number of spikes in a timestep, so nothing bounds what reads it",
            hint="give calibration data (calibration=, --calibration x.npz)",
        )
    return np.full(edge.shape, float(edge.max_count)) * edge.scale


def bound_after(
    node: Node,
    xs: list[Array],
    ins: list[Edge],
    out: Edge,
    extremes: Mapping[str, tuple[float, float, float]],
) -> Array:
    """The largest absolute value that can leave *node* in one timestep."""
    if isinstance(node, Input) and node.kind is Kind.ANALOG:
        low, high, _ = extremes[node.name]
        return np.full(out.shape, max(abs(low), abs(high)))
    if out.is_events and (out.max_count is not None or isinstance(node, Neuron | Input)):
        return largest(node, out)
    if isinstance(node, Neuron):
        return np.zeros(out.shape)
    match node:
        case SideOperation():
            return np.full(out.shape, SIDES[node.operation].largest(node.constants))
        case Dense() | Conv() | Sparse():
            bias = None if node.bias is None else np.abs(node.bias)
            node = replace(node, weight=np.abs(node.weight), bias=bias, delay=None)
        case Pad():
            node = replace(node, value=np.abs(node.value))
        case Affine():
            node = replace(node, gain=np.abs(node.gain), offset=np.abs(node.offset))
            if node.per_timestep:
                gain, offset = (a.max(axis=0) if a.ndim else a for a in (node.gain, node.offset))
                node = replace(node, gain=gain, offset=offset, per_timestep=False)
        case _:
            pass
    one_tick = [replace(edge, ticks=1) for edge in ins]
    carried = [(x / edge.scale)[None, None] for x, edge in zip(xs, ins, strict=True)]
    return evaluate(node, carried, one_tick, replace(out, ticks=1), 0, is_integer=False)[0, 0] * out.scale


def potential_bound(node: Neuron, x: Array, timesteps: int | None) -> Array:
    """The largest ``|v|`` and ``|i|`` that inputs up to *x* each timestep can build up."""
    p = node.parameters
    many = 1 if p.stateless else timesteps
    with np.errstate(invalid="ignore", over="ignore"):
        current = (x + np.abs(p.bias)) * summed(p.leak_i, many) + np.abs(p.i_init) * grown(p.leak_i, many)
        # A reset may take the potential below by as much as the staircase is high.
        start = np.abs(p.v_init) + np.abs(p.v_reset) + (p.max_count or 1) * np.abs(p.rho)
        total = current * summed(p.leak, many) * np.maximum(p.leak, 1) + start * grown(p.leak, many)
    if not np.all(np.isfinite(total)):
        raise BadInput(
            f"{place(node)}: a neuron without leak has no static bound over unknown time",
            hint="give calibration data, or the number of timesteps",
        )
    return total


def grown(leak: Array, timesteps: int | None) -> Array:
    """The largest factor that *leak* makes of an initial value in *timesteps* (None: any number)."""
    return np.where(leak <= 1, 1.0, np.inf if timesteps is None else np.maximum(leak, 1) ** float(timesteps))


def summed(leak: Array, timesteps: int | None) -> Array:
    """What *leak* makes of an input of one in each of *timesteps*: 1 + leak + leak**2 + ..."""
    forever = np.where(leak < 1, 1 / np.maximum(1 - leak, 1e-300), np.inf)
    return forever if timesteps is None else np.minimum(forever, timesteps * grown(leak, timesteps))
