"""What the measures read of a graph and its run, with an error for whatever is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from snncc.errors import BadInput
from snncc.ir import Array, Emit, Input, Neuron, SpikeGraph, place
from snncc.reference import Record


class Ran(Protocol):
    """What an execution yielded: a `snncc.Result`, or a ``Run`` of the reference or of the simulator."""

    @property
    def spikes(self) -> Mapping[str, Array]:
        """Spikes that left each layer, int64 [B, T, ticks]."""

    @property
    def records(self) -> Mapping[str, Record]:
        """Trains and potentials of what was recorded."""


def spiking_layers(graph: SpikeGraph) -> tuple[str, ...]:
    """The neuron layers of *graph* that send spikes or counts, in order: those that make up the network.

    Inputs are no neurons, and a neuron layer that sends real numbers has no firing rate.
    """
    return tuple(node.name for node in graph.neurons if node.parameters.emit is Emit.COUNT)


def spikes_of(graph: SpikeGraph, run: Ran, layer: str) -> Array:
    """Spikes that left *layer*, a neuron layer or an event input: int64 [B, T, ticks].

    Raises `UnknownName`, and `BadInput` where the layer sends no spikes or *run* is not one of *graph*.
    """
    node = graph[layer]
    is_input = isinstance(node, Input) and graph.edges[layer].is_events
    if not is_input and layer not in spiking_layers(graph):
        known = ", ".join(spiking_layers(graph)) or "none"
        raise BadInput(f"{place(node)}: sends no spikes, so it has no firing rate; layers that do: {known}")
    if layer not in run.spikes or run.spikes[layer].shape[2] != graph.edges[layer].ticks:
        raise not_its_run(graph, layer)
    return run.spikes[layer]


def record_of(graph: SpikeGraph, run: Ran, layer: str) -> Record:
    """What was recorded of *layer*. Raises `UnknownName`, and `BadInput` naming what to record."""
    node = graph[layer]
    if layer not in run.records:
        raise BadInput(
            f"{place(node)}: was not recorded",
            hint=f"record it: program.run(x, record=[{layer!r}])",
        )
    record = run.records[layer]
    if record.train.shape[2:] != (graph.edges[layer].ticks, *graph.edges[layer].shape):
        raise not_its_run(graph, layer)
    return record


def membrane_of(graph: SpikeGraph, run: Ran, layer: str) -> tuple[Neuron, Record, Array]:
    """The neuron *layer*, its record, and its u_pre [T, B, *shape] as the executor held it.

    Raises as `record_of`, and `BadInput` where the layer has no membrane.
    """
    node = graph[layer]
    if not isinstance(node, Neuron):
        known = ", ".join(one.name for one in graph.neurons) or "none"
        raise BadInput(f"{place(node)}: has no membrane potential; layers of neurons: {known}")
    record = record_of(graph, run, layer)
    if record.u_pre is None:
        raise BadInput(
            f"{place(node)}: its record has a train, but no potentials",
            hint=f"record it in an execution: program.run(x, record=[{layer!r}])",
        )
    if (record.u_pre.dtype.kind == "f") == graph.is_integer:
        raise not_its_run(graph, layer)
    return node, record, record.u_pre


def axis_of(graph: SpikeGraph, layer: str, axis: int) -> tuple[int, int]:
    """The axis of channels within the shape of *layer* and how many they are."""
    shape = graph.edges[layer].shape
    if not -len(shape) <= axis < len(shape):
        raise BadInput(f"{place(graph[layer])}: has shape {shape}, so no axis {axis} of channels")
    return axis % len(shape), shape[axis]


def not_its_run(graph: SpikeGraph, layer: str) -> BadInput:
    return BadInput(
        f"{place(graph[layer])}: the run is not one of this graph",
        hint="pass the graph that ran: program.graph, not the one that was traced",
    )
