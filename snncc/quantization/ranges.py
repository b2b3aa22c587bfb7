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

UNBOUNDED = "give calibration data (calibration=, --calibration x.npz)"
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
    signals: dict[str, Array] = {}
    potentials: dict[str, Array] = {}
    for node in graph.nodes:
        ins = edges_into(node, graph.edges)
        xs = [signals[s] if s in signals else ahead(graph, s, signals, extremes) for s in sources_of(node)]
        signals[node.name] = bound_after(node, xs, ins, graph.edges[node.name], extremes)
        if isinstance(node, Neuron):
            potentials[node.name] = potential_bound(node, np.asarray(sum(xs)), timesteps)
            if node.parameters.emit is not Emit.COUNT:
                signals[node.name] = potentials[node.name] * node.parameters.scale
    return Ranges(extremes, potentials, is_measured=False)


def sources_of(node: Node) -> list[str]:
    return [wire.source for wire in node.inputs]


def ahead(
    graph: SpikeGraph,
    name: str,
    signals: Mapping[str, Array],
    extremes: Mapping[str, Extremes],
    behind: tuple[str, ...] = (),
) -> Array:
    """The largest value that leaves a later node *name*, from which a wire leads back.

    What a neuron sends is bounded whatever enters it. *behind* are the nodes between.
    """
    node, edge = graph.by_name[name], graph.edges[name]
    if name in signals:
        return signals[name]
    if edge.is_events:
        return largest(node, edge)
    if name in behind:
        raise BadInput(
            f"{place(node)}: feeds back to itself without a neuron, which has no static bound", hint=UNBOUNDED
        )
    xs = [ahead(graph, s, signals, extremes, (*behind, name)) for s in sources_of(node)]
    return bound_after(node, xs, edges_into(node, graph.edges), edge, extremes)


def largest(node: Node, edge: Edge) -> Array:
    if edge.max_count is None:
        raise BadInput(
            f"{place(node)}: sends any number of spikes in a timestep, which has no static bound",
            hint=UNBOUNDED,
        )
    return np.full(edge.shape, float(edge.max_count)) * edge.scale


def bound_after(
    node: Node,
    xs: list[Array],
    ins: list[Edge],
    out: Edge,
    extremes: Mapping[str, Extremes],
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
            hint=f"{UNBOUNDED}, or give the number of timesteps",
        )
    return total


def grown(leak: Array, timesteps: int | None) -> Array:
    """The largest factor that *leak* makes of an initial value in *timesteps* (None: any number)."""
    return np.where(leak <= 1, 1.0, np.inf if timesteps is None else np.maximum(leak, 1) ** float(timesteps))


def summed(leak: Array, timesteps: int | None) -> Array:
    """What *leak* makes of an input of one in each of *timesteps*: 1 + leak + leak**2 + ..."""
    forever = np.where(leak < 1, 1 / np.maximum(1 - leak, 1e-300), np.inf)
    return forever if timesteps is None else np.minimum(forever, timesteps * grown(leak, timesteps))
