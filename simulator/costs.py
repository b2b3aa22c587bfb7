"""What an execution cost, layer by layer and in total, from the counts of a run.

All figures are means over samples, for one inference (all timesteps) of one sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from snncc.ir import (
    Affine,
    Array,
    Conv,
    Dense,
    DynamicSynapse,
    Encoding,
    Gate,
    Input,
    Kind,
    Mul,
    Neuron,
    Node,
    Pool,
    SideOperation,
    Sparse,
    SpikeGraph,
    Synapse,
)
from snncc.ir.neuron import ARRAYS
from snncc.reference import Run, carries_spikes, inputs_spike
from snncc.reference.execute import stages_of
from snncc.reference.side import side_macs
from snncc.simulator.energy import PAPER, Accounting, Layer, Parts


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One synapse or neuron layer.

    *rate* is spikes / (neurons x timesteps). *saturations* is how often a state left its width, a total over
    the batch, and *overflow* what became of it: ``saturate`` or ``wrap`` (of neurons of integers). *energy*
    is from the counted operations, the sum of its *parts*; *formula_energy* from synaptic operations by the
    literature's formula; both in joules.
    """

    name: str
    origin: str
    kind: str
    neurons: int
    spikes: float
    rate: float
    synapses: int
    ac: float
    ac_nonzero: float
    mac: float
    mac_nonzero: float
    mac_dense: float
    formula_ac: float
    formula_mac: float
    neuron_updates: float
    saturations: int
    overflow: str
    energy: float
    formula_energy: float
    parts: Parts


@dataclass(frozen=True, slots=True)
class Latency:
    """*timesteps* of one inference: those of the data, once for each stage where nodes read whole trains.

    *ticks* a timestep is the longest path: a phased layer of D ticks adds D, any other neuron layer 1.
    """

    timesteps: int
    ticks_per_timestep: int

    @property
    def ticks(self) -> int:
        """Ticks from the first input to the last output, timesteps one after another."""
        return self.timesteps * self.ticks_per_timestep


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost of one inference.

    *ann_macs* and *ann_energy* are those of the same layers run once as a conventional network. *footprint*
    is bytes of weights, biases and neuron parameters; *connection_sparsity* the share of weights that are
    zero; *activation_sparsity* the share of (neuron, timestep) pairs that sent nothing (NeuroBench's terms).
    """

    accounting: Accounting
    layers: tuple[LayerCost, ...]
    latency: Latency
    ann_macs: int
    ann_energy: float
    footprint: int
    connection_sparsity: float
    activation_sparsity: float

    def total(self, what: str) -> float:
        """The sum over layers of the field *what*."""
        return float(sum(getattr(layer, what) for layer in self.layers))

    @property
    def energy(self) -> float:
        """Joules from the counted operations."""
        return self.total("energy")

    @property
    def formula_energy(self) -> float:
        """Joules from the literature's formula."""
        return self.total("formula_energy")

    @property
    def parts(self) -> Parts:
        """Joules from the counted operations, by what they are spent on."""
        every = [layer.parts for layer in self.layers]
        return Parts(*(float(sum(getattr(one, f.name) for one in every)) for f in fields(Parts)))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        totals = (
            "spikes",
            "ac",
            "ac_nonzero",
            "mac",
            "mac_nonzero",
            "mac_dense",
            "formula_ac",
            "formula_mac",
        )
        sums = {what: self.total(what) for what in (*totals, "neuron_updates", "energy", "formula_energy")}
        return {
            "accounting": self.accounting.as_dict(),
            "total": {**sums, "parts": asdict(self.parts), "saturations": int(self.total("saturations"))},
            "latency": {**asdict(self.latency), "ticks": self.latency.ticks},
            "ann": {"macs": self.ann_macs, "energy": self.ann_energy},
            "footprint_bytes": self.footprint,
            "connection_sparsity": self.connection_sparsity,
            "activation_sparsity": self.activation_sparsity,
            "layers": [asdict(layer) for layer in self.layers],
        }


def costs(graph: SpikeGraph, run: Run, accounting: Accounting = PAPER) -> Costs:
    """What *run* of *graph* cost under *accounting*."""
    spiking = carries_spikes(graph)
    averaged = average_windows(graph)
    layers = []
    for node in graph.nodes:
        if node.name in run.operations or isinstance(node, Neuron) or node.name in run.spikes:
            is_spiking = bool(node.inputs) and inputs_spike(graph, node, spiking)
            layers.append(layer_cost(graph, run, node, is_spiking, averaged, accounting))
    macs = {node.name: formula_size(graph, node) for node in graph.nodes}
    return Costs(
        accounting=accounting,
        layers=tuple(layers),
        latency=Latency(run.timesteps * (1 + max(stages_of(graph).values())), ticks_per_timestep(graph)),
        ann_macs=sum(macs.values()),
        ann_energy=accounting.conventional(graph, macs),
        footprint=footprint(graph),
        connection_sparsity=connection_sparsity(graph),
        activation_sparsity=activation_sparsity(graph, run),
    )


def layer_cost(
    graph: SpikeGraph,
    run: Run,
    node: Node,
    is_spiking: bool,
    averaged: Mapping[str, float],
    accounting: Accounting,
) -> LayerCost:
    """The row of one node."""
    neurons = graph.edges[node.name].size if node.name in run.spikes or isinstance(node, Neuron) else 0
    spikes = float(run.spikes[node.name].sum() / run.batch) if node.name in run.spikes else 0.0
    done = run.operations.get(node.name)

    def mean(values: Array | None) -> float:
        return 0.0 if values is None else float(values.mean())

    ac, mac = (mean(done.ac), mean(done.mac)) if done else (0.0, 0.0)
    formula = 0.0
    size = formula_size(graph, node)
    if size and done is not None:
        source = node.inputs[0].source
        signals = graph.edges[source].size * run.timesteps
        events = graph.edges[source].is_events
        activation = mean(done.received) / signals / averaged[source] if events else 1.0
        formula = size * activation * run.timesteps
    if isinstance(node, SideOperation):
        formula = float(side_macs(node, run.timesteps, graph.edges[node.inputs[0].source].shape)[1])
    spiking_formula = size > 0 and graph.edges[node.inputs[0].source].is_events and not is_frame(graph, node)
    formula_ac, formula_mac = (formula, 0.0) if spiking_formula else (0.0, formula)
    layer = Layer(graph, run, node, done, is_spiking, spikes)
    parts = accounting.parts(layer, mac=mac, ac=ac)
    return LayerCost(
        name=node.name,
        origin=node.origin,
        kind=type(node).__name__,
        neurons=neurons,
        spikes=spikes,
        rate=spikes / (neurons * run.timesteps) if neurons else 0.0,
        synapses=done.synapses if done else 0,
        ac=ac,
        ac_nonzero=mean(done.ac_nonzero) if done else 0.0,
        mac=mac,
        mac_nonzero=mean(done.mac_nonzero) if done else 0.0,
        mac_dense=mean(done.mac_dense) if done else 0.0,
        formula_ac=formula_ac,
        formula_mac=formula_mac,
        neuron_updates=float(neurons * run.timesteps) if isinstance(node, Neuron) else 0.0,
        saturations=run.saturations.get(node.name, 0),
        overflow=node.parameters.overflow.value if isinstance(node, Neuron) and graph.is_integer else "",
        energy=parts.total,
        formula_energy=accounting.parts(layer, mac=formula_mac, ac=formula_ac).total,
        parts=parts,
    )


def is_frame(graph: SpikeGraph, node: Node) -> bool:
    """Whether *node* reads counts from outside, such as event frames: MACs in the literature's formula."""
    source = graph.by_name[node.inputs[0].source]
    return isinstance(source, Input) and source.kind is Kind.COUNT


def formula_size(graph: SpikeGraph, node: Node) -> int:
    """FL of the literature: k*k*H*W*Cin*Cout/groups, in*out; borders are ignored; other nodes have none.

    Nor have the synapses of weight one that the compiler added.
    """
    shape = graph.edges[node.name].shape
    if isinstance(node, Synapse) and node.is_added:
        return 0
    match node:
        case Conv():
            return int(node.weight.size * shape[1] * shape[2])
        case Dense():
            return int(node.weight.size * np.prod(shape[:-1], dtype=np.int64))
        case Sparse():
            return int(node.weight.size)
        case _:
            return 0


def average_windows(graph: SpikeGraph) -> dict[str, float]:
    """By how much the counts behind average pools exceed the mean activation: the windows passed."""
    table: dict[str, float] = {}
    for node in graph.nodes:
        factor = max((table.get(wire.source, 1.0) for wire in node.inputs), default=1.0)
        if isinstance(node, Neuron | Synapse):
            factor = 1.0
        if isinstance(node, Pool) and node.is_average:
            factor *= node.kernel[0] * node.kernel[1]
        table[node.name] = factor
    return table


WAITING = (Mul, SideOperation, DynamicSynapse, Gate)
"""Nodes that need what they read to be complete."""


def ticks_per_timestep(graph: SpikeGraph) -> int:
    """Ticks on the longest path of one timestep.

    A layer begins when all that it reads is complete, but a streaming layer together with the streaming
    layers that it reads. What a dynamic synapse reads second is sent after the first is complete.
    """
    begin: dict[str, int] = {}
    end: dict[str, int] = {}
    for node in graph.nodes:
        sources = [wire.source for wire in node.inputs if not wire.delay and wire.source in end]
        streams = isinstance(node, Neuron) and node.parameters.encoding is Encoding.STREAM
        complete = max((end[name] for name in sources), default=0)
        if streams or not isinstance(node, (Neuron, *WAITING)):
            begin[node.name] = max((begin[name] for name in sources), default=0)
        elif isinstance(node, WAITING):
            begin[node.name] = complete
        else:
            begin[node.name] = complete + node.parameters.fire_ticks
        end[node.name] = complete if not isinstance(node, Neuron) else begin[node.name]
        if streams and isinstance(node, Neuron):
            end[node.name] += node.parameters.ticks
        if isinstance(node, DynamicSynapse):
            wires = (node.inputs[node.first], node.inputs[1 - node.first])
            first, second = (0 if wire.delay else end.get(wire.source, 0) for wire in wires)
            again = first + graph.edges[wires[1].source].ticks if first else second
            begin[node.name] = end[node.name] = max(second, again)
    return max([1, *end.values()])


def footprint(graph: SpikeGraph) -> int:
    """Bytes of weights, biases and neuron parameters: integers as they are held, reals at 4 bytes.

    Scalars are not counted, as NeuroBench counts no Python numbers.
    """
    arrays: list[Array | None] = []
    for node in graph.nodes:
        if isinstance(node, Synapse):
            arrays += [node.weight, node.bias]
        elif isinstance(node, Affine):
            arrays += [node.gain, node.offset]
        elif isinstance(node, Neuron):
            arrays += [getattr(node.parameters, name) for name in ARRAYS]
    held = [array for array in arrays if array is not None and array.ndim]
    return sum(array.size * (4 if array.dtype.kind == "f" else array.itemsize) for array in held)


def connection_sparsity(graph: SpikeGraph) -> float:
    """The share of weights that are zero."""
    weights = [node.weight for node in graph.nodes if isinstance(node, Synapse) and not node.is_added]
    size = sum(w.size for w in weights)
    return float(sum(int((w == 0).sum()) for w in weights) / size) if size else 0.0


def activation_sparsity(graph: SpikeGraph, run: Run) -> float:
    """The share of (neuron, timestep) pairs that sent nothing."""
    active = pairs = 0
    for node in graph.neurons:
        if node.name in run.active:
            active += int(run.active[node.name].sum())
            pairs += graph.edges[node.name].size * run.timesteps * run.batch
    return 1 - active / pairs if pairs else 1.0
