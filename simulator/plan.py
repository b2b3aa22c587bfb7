"""What is worked out about a graph once: tables for the kernels, the order of work, its loops."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from snncc.errors import CannotLower, UnknownName
from snncc.ir import (
    Affine,
    Conv,
    Dense,
    Edge,
    Encoding,
    Input,
    Neuron,
    Node,
    Output,
    Pool,
    Presence,
    SideOperation,
    Sparse,
    SpikeGraph,
)
from snncc.reference import carries_spikes, inputs_spike, is_counted
from snncc.reference.execute import horizons
from snncc.simulator.layer_match import Layer, find_layers
from snncc.simulator.layer_run import Prepared, Workspace
from snncc.simulator.neuron_table import NeuronTable, neuron_table
from snncc.simulator.stream import Grid
from snncc.simulator.synapse_table import Fan, SynapseTable, fan_of, synapse_tables


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A graph, ready to run. *counted* says of each counted node whether spikes enter it.

    It must not hold the graph itself, which would then live as long as its plan (`PLANS`).
    """

    by_name: Mapping[str, Node]
    record: frozenset[str]
    parts: tuple[tuple[Node, ...], ...]
    """Nodes in the order of work, but for those that layers run and outputs; several together form a loop."""
    edges: Mapping[str, Edge]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    neurons: Mapping[str, NeuronTable]
    synapses: dict[str, Mapping[int, SynapseTable]]
    """Made when they are first needed: by `synapse`."""
    fans: Mapping[str, Fan]
    sizes: Mapping[str, int]
    """Synapses of each node that has a fan."""
    counted: Mapping[str, bool]
    horizons: Mapping[str, int]
    layers: Mapping[str, Prepared]
    """What the event kernel runs, by the name of the neuron."""
    folded: frozenset[str]
    """Nodes that run as a part of layers only."""
    streamed: frozenset[str]
    """Inputs that are needed as events only."""
    grids: Mapping[str, Grid]
    """How the sources of layers number their neurons."""
    spaces: list[Workspace]
    """Memory of threads that are done, for the next ones."""
    signal_bytes: int
    """Memory that the trains of one sample take in one timestep."""
    updates: Mapping[str, int]
    """Neuron updates of one sample in one timestep."""
    has_tables: bool
    """Whether a node was made for a number of timesteps."""
    multiplies: bool
    """Whether sums may be worked out as matrix products: of nodes that are no part of a layer.

    (A layer that no width can hold does so, too: `snncc.simulator.sheet.Sheet.give_up`.)
    """

    def synapse(self, node: Dense | Conv | Sparse) -> Mapping[int, SynapseTable]:
        """The tables of *node* for the general executor, by the delay of their synapses."""
        tables = self.synapses.get(node.name)
        if tables is None:
            shape, out = self.edges[node.inputs[0].source].shape, self.edges[node.name].shape
            tables = self.synapses.setdefault(node.name, synapse_tables(node, shape, out))
        return tables


PLANS: WeakKeyDictionary[SpikeGraph, dict[tuple[frozenset[str], bool], Plan]] = WeakKeyDictionary()
"""Plans of graphs that are still alive, by what is recorded and whether layers run event by event."""


def plan_of(graph: SpikeGraph, record: Collection[str] = (), *, by_events: bool = True) -> Plan:
    """The plan of *graph*; worked out once. Without *by_events* the general executor runs every node.

    Raises `CannotLower` for a float graph and for a kind of node that cannot be executed, `UnknownName`.
    """
    plans = PLANS.setdefault(graph, {})
    key = frozenset(record), by_events
    if key not in plans:
        plans[key] = make_plan(graph, *key)
    return plans[key]


def make_plan(graph: SpikeGraph, record: frozenset[str], by_events: bool) -> Plan:
    """A new plan of *graph*."""
    check(graph, record)
    edges, spiking = graph.edges, carries_spikes(graph)
    neurons, fans = {}, {}
    for node in graph.nodes:
        out = edges[node.name].shape
        if isinstance(node, Neuron):
            neurons[node.name] = neuron_table(node.parameters, out)
        elif isinstance(node, Dense | Conv | Sparse | Pool):
            shape = edges[node.inputs[0].source].shape
            fans[node.name] = fan_of(node, shape, out)
    parts = tuple(parts_of(graph))
    layers = usable(find_layers(graph, record, spiking), parts) if by_events else {}
    folded = folded_of(graph, layers)
    sources = [source for layer in layers.values() for source in layer.sources]
    streamed = frozenset(
        node.name
        for node in graph.inputs
        if node.name in {source.name for source in sources} - record and node.presence is not Presence.FIRST
    )
    as_events = folded | streamed | layers.keys()

    def is_run(node: Node) -> bool:
        return node.name not in folded and (node.name in record or not isinstance(node, Output))

    return Plan(
        by_name=graph.by_name,
        record=record,
        parts=tuple(part for part in parts if any(is_run(node) for node in part)),
        edges=edges,
        inputs=graph.inputs,
        outputs=graph.outputs,
        neurons=neurons,
        synapses={},
        fans=fans,
        sizes={name: fan.synapses for name, fan in fans.items()},
        counted={n.name: inputs_spike(graph, n, spiking) for n in graph.nodes if is_counted(n)},
        horizons=horizons(graph),
        layers={name: Prepared(layer) for name, layer in layers.items()},
        folded=folded,
        streamed=streamed,
        grids={source.name: source.grid for source in sources},
        spaces=[],
        signal_bytes=sum(
            edge.size * edge.ticks * (2 if name in as_events else 8) for name, edge in edges.items()
        ),
        updates={
            name: table.size * (table.parameters.ticks if streams(table.parameters.encoding) else 1)
            for name, table in neurons.items()
        },
        has_tables=any(
            (isinstance(node, Affine) and node.per_timestep)
            or (isinstance(node, SideOperation) and node.is_sequence)
            for node in graph.nodes
        ),
        multiplies=any(isinstance(n, Dense | Conv) and n.name not in folded for n in graph.nodes),
    )


def streams(encoding: Encoding) -> bool:
    return encoding is Encoding.STREAM


def usable(layers: Mapping[str, Layer], parts: Sequence[tuple[Node, ...]]) -> dict[str, Layer]:
    """Those *layers* that are a whole part: alone, or with nothing but synapses back to themselves."""
    found = {}
    for part in parts:
        for node in part:
            layer = layers.get(node.name)
            if layer is not None:
                own = {s.synapse.name for s in layer.sources if s.name == node.name and not s.chain}
                if {other.name for other in part} == {node.name} | own:
                    found[node.name] = layer
    return found


def folded_of(graph: SpikeGraph, layers: Mapping[str, Layer]) -> frozenset[str]:
    """The nodes that only *layers* need, as a part of themselves."""
    inside: dict[str, set[str]] = {}
    for layer in layers.values():
        for source in layer.sources:
            inside.setdefault(source.synapse.name, set()).add(layer.neuron.name)
            readers = source.synapse.name
            for node in source.chain:
                inside.setdefault(node.name, set()).add(readers)
                readers = node.name
    folded = set(inside)
    while True:
        kept = {
            name
            for name in folded
            if all(r in inside[name] and (r in folded or r in layers) for r in graph.readers[name])
        }
        if kept == folded:
            return frozenset(folded)
        folded = kept


def check(graph: SpikeGraph, record: frozenset[str]) -> None:
    """Refuse what the simulator cannot run."""
    if not graph.is_integer:
        raise CannotLower(
            f"{graph.name}: the simulator computes with integers, this graph with floats",
            hint="quantize the graph, or run it with the reference executor (snncc.reference.run)",
        )
    for name in record:
        if name not in graph.by_name:
            raise UnknownName("node", name, graph.by_name)


def parts_of(graph: SpikeGraph) -> Iterator[tuple[Node, ...]]:
    """The nodes in the order of work; those that lie on a common loop together, in the graph's order.

    Strongly connected components, found by depth-first search over what each node reads (Tarjan 1972), so
    that a component comes after everything that it reads.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_names: list[str] = []
    position = {node.name: k for k, node in enumerate(graph.nodes)}
    for root in graph.nodes:
        if root.name in index:
            continue
        work = [(root.name, iter(root.inputs))]
        index[root.name] = low[root.name] = len(index)
        open_names.append(root.name)
        while work:
            name, wires = work[-1]
            wire = next(wires, None)
            if wire is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    start = open_names.index(name)
                    members = sorted(open_names[start:], key=position.__getitem__)
                    del open_names[start:]
                    yield tuple(graph.by_name[member] for member in members)
            elif wire.source not in index:
                source = graph.by_name[wire.source]
                index[source.name] = low[source.name] = len(index)
                open_names.append(source.name)
                work.append((source.name, iter(source.inputs)))
            elif wire.source in open_names:
                low[name] = min(low[name], index[wire.source])
