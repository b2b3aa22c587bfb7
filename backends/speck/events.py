"""The model `event`: what the chip does, one spike for each event, at once; and how far `step` is from it.

It is the self-timed discipline of our simulator (simulator/MACHINE.md, 7) on the chip file speck2f, each
layer on its core. A count of n on the input is n events, and the bias of a layer is one event for each of its
neurons at the beginning of a timestep, which is the chip's with one tick of its slow clock a timestep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from snncc.backends.speck import limits
from snncc.backends.speck.layers import Layer
from snncc.backends.speck.mapped import Mapped, mapped
from snncc.chips import Chip, load_chip
from snncc.errors import BadInput
from snncc.ir import Add, Array, Input, Kind, Node, Presence, SpikeGraph, place, wires
from snncc.mapping import Part, Placement, Schedule, network_of
from snncc.reference import Run
from snncc.reference.inputs import Data, by_input, enter

SAMPLES = 8
"""On which the two models are compared."""


@dataclass(frozen=True, slots=True)
class Distance:
    """One layer: its spikes by both models, and by how many spikes its neurons differ over a whole run.

    *ratio* is the threshold divided by the largest weight.
    """

    layer: str
    step: int
    event: int
    differing: int
    ratio: float

    def __str__(self) -> str:
        share = f" ({self.differing / self.step:.1%})" if self.step else ""
        return (
            f"{self.layer}: {self.step} spikes by timesteps, {self.event} by events, {self.differing}{share} "
            f"differ over neurons; threshold / largest weight {self.ratio:.3g}"
        )


def event_graph(graph: SpikeGraph, most: int) -> SpikeGraph:
    """*graph* for bare events: neurons fire once an event, and a count up to *most* is that many inputs."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Input):
            names = [node.name] if most == 1 else [f"{node.name}#{k}" for k in range(most)]
            nodes += [
                replace(node, name=name, kind=Kind.SPIKE, max_count=None, presence=Presence.SEQUENCE)
                for name in names
            ]
            if most > 1:
                nodes.append(Add(name=node.name, inputs=wires(*names), origin=node.origin))
        else:
            nodes.append(node)
    table = {
        node.name: replace(
            node,
            parameters=replace(
                node.parameters, max_count=1, v_bits=limits.STATE_BITS, i_bits=limits.STATE_BITS
            ),
        )
        for node in graph.neurons
    }
    return graph.with_nodes(table.get(node.name, node) for node in nodes)


def graph_on_chip(graph: SpikeGraph) -> SpikeGraph:
    """The event graph of the compiled *graph*, for all that its input may hold, of a count at most 16."""
    (node,) = graph.inputs
    return event_graph(graph, 1 if node.kind is Kind.SPIKE else node.max_count or limits.COUNTS)


def input_events(graph: SpikeGraph, counts: Array) -> dict[str, Array]:
    """The trains of 0 and 1 that stand for *counts*, by the inputs of the event *graph*."""
    return {one.name: (counts > k).astype(np.int64) for k, one in enumerate(graph.inputs)}


def trains_on_chip(graph: SpikeGraph, x: Data, run: Run) -> dict[str, Array]:
    """What the port and the layers sent in *run* of the compiled *graph* on *x*: counts [T, B, size].

    Raises `BadInput` for more events of a pixel than the port sends.
    """
    (node,) = graph.inputs
    counts = train_of(node, enter(graph, x, run.timesteps)[node.name], run.timesteps)
    most = len(graph_on_chip(graph).inputs)
    if counts.max() > most:
        raise BadInput(
            f"{place(node)}: a pixel of {int(counts.max())} events in a timestep; the port of the chip sends "
            f"at most {most}",
            hint="divide the counts, or simulate without a chip",
        )
    trains = input_events(graph_on_chip(graph), counts.reshape(*counts.shape[:2], -1))
    for neuron in graph.neurons:
        train = run.records[neuron.name].train[:, :, 0]
        trains[neuron.name] = train.reshape(*train.shape[:2], -1)
    return trains


def on_cores(m: Mapped, graph: SpikeGraph, chip: Chip) -> Placement:
    """The event *graph* of *m* on *chip*, each layer on its core. Raises `BadInput` for another chip."""
    have = [(core.kernel_words, core.neuron_words) for core in chip.cores]
    if have != [(core.kernel, core.neuron) for core in limits.cores()]:
        raise BadInput(
            f"{chip.name}: a program for Speck runs on a chip with Speck's nine cores",
            hint=f"name {limits.CHIP}, or a chip file with its memories, or compile for --target sim",
        )
    network = network_of(graph)
    parts = tuple(
        Part(name, core, np.arange(network.populations[name].size)) for name, core in m.core_of.items()
    )
    return Placement(chip, network, parts, Schedule.PIPELINED)


def run_by_events(
    graph: SpikeGraph, x: Data, *, timesteps: int, order: str = "canonical"
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Spikes [T, B, size] and last potentials [B, size] of every layer of an integer *graph* on data *x*.

    *order*: ``canonical`` (depth first) or ``timed`` (by the times of the chip file). Raises `CannotLower`,
    `Runaway`, and `BadInput` for data that does not fit.
    """
    from snncc.simulator.machine import run_events  # loads numba

    (node,) = graph.inputs
    counts = train_of(node, enter(graph, x, timesteps)[node.name], timesteps)
    most = max(1, int(counts.max()))
    by_events = event_graph(graph, most)
    placement = on_cores(mapped(graph), by_events, load_chip(limits.CHIP))
    spikes: dict[str, list[Array]] = {}
    potentials: dict[str, list[Array]] = {}
    for sample in range(counts.shape[1]):
        own = counts[:, sample].reshape(timesteps, 1, -1)
        run = run_events(by_events, placement, input_events(by_events, own), order)
        for name in run.spikes:
            spikes.setdefault(name, []).append(run.spikes[name])
            potentials.setdefault(name, []).append(run.potentials[name])
    return (
        {name: np.stack(each, axis=1) for name, each in spikes.items()},
        {name: np.stack(each) for name, each in potentials.items()},
    )


def train_of(node: Input, data: Array, timesteps: int) -> Array:
    """What the input *node* sends, [T, B, ...], of data that may be given once."""
    match node.presence:
        case Presence.SEQUENCE:
            return data
        case Presence.CONSTANT:
            return np.repeat(data, timesteps, axis=0)
        case Presence.FIRST:
            return np.concatenate([data, np.zeros((timesteps - 1, *data.shape[1:]), data.dtype)])


def distances(
    graph: SpikeGraph, events: Mapping[str, Array], step: Mapping[str, Array]
) -> Iterator[Distance]:
    """How far spikes by *events* (`run_by_events`) are from the counts *step* [T, B, ...] of the *graph*."""
    for name, ratio in ratios(mapped(graph)).items():
        theirs = events[name].sum(axis=0)
        mine = step[name].reshape(*events[name].shape).sum(axis=0)
        differing = int(np.abs(theirs - mine).sum())
        yield Distance(name, int(mine.sum()), int(theirs.sum()), differing, ratio)


def first_samples(graph: SpikeGraph, x: Data) -> Array:
    """The first samples of the data of the only input."""
    (node,) = graph.inputs
    data = by_input(graph, x)[node.name]
    return data[:, :SAMPLES] if node.presence is Presence.SEQUENCE else data[:SAMPLES]


def ratios(m: Mapped) -> dict[str, float]:
    """Threshold to largest weight of every layer, in the integers of the chip."""
    return {
        layer.name: float(layer.neuron.parameters.theta / np.abs(layer.weight.astype(np.int64)).max())
        for layer in m.layers
    }


def operations_per_event(layer: Layer) -> float:
    """Synaptic operations of one incoming event, as the vendor estimates them: F kx ky / (sx sy)."""
    features, _, ky, kx = layer.weight.shape
    return features * ky * kx / (layer.stride[0] * layer.stride[1])


def loads(m: Mapped, run: Run) -> Iterator[str]:
    """Of each core the most synaptic operations of a timestep of *run*, and the shortest timestep for them.

    Estimated by spikes and kernels.
    """
    for layer in m.layers:
        events = sum(run.spikes[source.name].sum(axis=2) for source in layer.sources)
        most = float(np.max(events)) * operations_per_event(layer)
        core = m.core_of[layer.name]
        limit = limits.OPERATIONS[core]
        yield (
            f"core {core}, {layer.name}: up to {most:,.0f} synaptic operations in a timestep, so it keeps up "
            f"with timesteps of {most / limit * 1e6:,.3g} us and longer (at {limit:,.0f} a second, quoted)"
        )


def remarks(graph: SpikeGraph, x: Data, run: Run) -> Iterator[str]:
    """How far the chip is from *run* on the first samples of *x*, and what it asks of each core."""
    few = {node.name: run.records[node.name].train[:, :SAMPLES, 0] for node in graph.neurons}
    yield from loads(mapped(graph), run)
    events, _ = run_by_events(graph, first_samples(graph, x), timesteps=run.timesteps)
    found = list(distances(graph, events, few))
    for one in found:
        yield f"on the chip, by events ({min(SAMPLES, run.batch)} samples), {one}"
    low = [one.layer for one in found if one.ratio < limits.LEAST_RATIO]
    if low:
        yield (
            f"{', '.join(low)}: thresholds below {limits.LEAST_RATIO:g} times the largest weight: one event "
            "can drive a neuron so far that the rest waits for the next event; train with smaller weights"
        )
