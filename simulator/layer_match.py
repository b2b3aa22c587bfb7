"""Which parts of a graph the event kernel can run: one or two synapse nodes into a neuron.

The pattern: a neuron without current memory, refractory time or late reset; behind it convolutions or dense
synapses without delays of their own, which nothing else reads; behind each of these, spikes, perhaps summed
over windows that tile the map, perhaps flattened. What does not match runs in the general executor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snncc.ir import (
    Conv,
    Dense,
    Emit,
    Encoding,
    Neuron,
    NeuronParameters,
    Node,
    Order,
    Pool,
    Reset,
    ResetAt,
    Reshape,
    Shape,
    SpikeGraph,
    Wire,
)
from snncc.simulator.stream import MOST_CODES, Grid, input_grid

MOST_TICKS = 16
CHANNEL_STEP = 16


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One synapse node of a layer and what lies behind it.

    *name* sends the spikes, on *grid*; they are summed over windows of *window* (rows, columns) on the way.
    *early* is the delay before the synapse, *late* the one behind it; *repeats* is how often a neuron of the
    source may fire in a timestep, *up* and *down* how far a timestep can move a potential at most, *largest*
    how far one event can.
    """

    name: str
    grid: Grid
    window: tuple[int, int]
    chain: tuple[Node, ...]
    synapse: Conv | Dense
    shape: Shape
    early: int
    late: int
    repeats: int
    up: int
    down: int
    largest: int


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A neuron node and its sources; the spikes leave on *grid*."""

    neuron: Neuron
    sources: tuple[Source, ...]
    grid: Grid


def find_layers(graph: SpikeGraph, record: Collection[str], spiking: Mapping[str, bool]) -> dict[str, Layer]:
    """The layers of *graph* by the name of their neuron."""
    grids: dict[str, Grid] = {}
    for node in graph.nodes:
        edge = graph.edges[node.name]
        if spiking[node.name]:
            is_layer = isinstance(node, Neuron) and node.name not in record and is_simple(node.parameters)
            grid = layer_grid(edge.shape) if is_layer else input_grid(edge.shape)
            if grid is not None:
                grids[node.name] = grid
    layers = {}
    for node in graph.neurons:
        if node.name in grids and node.name not in record and is_simple(node.parameters):
            sources = [source_of(graph, wire, grids, record) for wire in node.inputs]
            found = [source for source in sources if source is not None]
            if len(found) == len(sources) <= 2:
                layers[node.name] = Layer(node, tuple(found), grids[node.name])
    return layers


def layer_grid(shape: Shape) -> Grid | None:
    """The grid of a layer: channels padded so that rows are whole blocks of every width."""
    if len(shape) not in (1, 3):
        return None
    columns = shape[2] if len(shape) == 3 else 1
    step = CHANNEL_STEP if columns % 2 == 0 else 2 * CHANNEL_STEP
    grid = Grid(shape, -(-shape[0] // step) * step)
    return grid if grid.codes <= MOST_CODES else None


def is_simple(p: NeuronParameters) -> bool:
    """Whether the kernel knows a neuron with these parameters."""
    if p.emit is not Emit.COUNT or p.max_count is None or p.max_count > MOST_TICKS:
        return False
    is_unary = p.encoding is Encoding.SPIKES or (p.max_count == 1 and p.encoding is not Encoding.STREAM)
    is_plain = p.order is Order.LEAK_FIRST and p.reset_at is ResetAt.SAME and not np.any(p.leak_i != 0)
    return (
        is_unary
        and is_plain
        and p.steps is None
        and p.refractory == 0
        and (p.max_count == 1 or p.reset is Reset.SUBTRACT)
        and bool(np.all(p.leak <= 1 << p.leak_shift))
        and p.leak_shift <= 14
    )


def source_of(
    graph: SpikeGraph, wire: Wire, grids: Mapping[str, Grid], record: Collection[str]
) -> Source | None:
    """The source that *wire* leads to from a neuron, if it has the pattern."""
    synapse = graph.by_name[wire.source]
    if not isinstance(synapse, Conv | Dense) or not is_plain_synapse(synapse):
        return None
    (entry,) = synapse.inputs
    if wire.initial is not None or entry.initial is not None or (wire.delay and synapse.bias is not None):
        return None
    if len(graph.readers[synapse.name]) != 1 or synapse.name in record:
        return None
    chain, name = [], entry.source
    while isinstance(graph.by_name[name], Pool | Reshape):
        node = graph.by_name[name]
        if name in record or node.inputs[0].delay:
            return None
        chain.append(node)
        name = node.inputs[0].source
    if name not in grids:
        return None
    edge, grid, windows = graph.edges[entry.source], grids[name], list(tiles(graph, chain))
    window = (int(np.prod([w[0] for w in windows])), int(np.prod([w[1] for w in windows])))
    if not has_shapes(graph, synapse, chain, grid, window) or edge.max_count is None:
        return None
    return Source(
        name=name,
        grid=grid,
        window=window,
        chain=tuple(chain),
        synapse=synapse,
        shape=graph.edges[synapse.name].shape,
        early=entry.delay,
        late=wire.delay,
        repeats=graph.edges[name].max_count or 1,
        up=reach(synapse, 1) * edge.max_count,
        down=reach(synapse, -1) * edge.max_count,
        largest=max(-int(synapse.weight.min(initial=0)), int(synapse.weight.max(initial=0))) << synapse.shift,
    )


def reach(node: Conv | Dense, sign: int) -> int:
    """The largest sum of the weights of one target that have *sign*."""
    weight = node.weight.reshape(len(node.weight), -1)
    kept = np.maximum(weight, 0) if sign > 0 else np.minimum(weight, 0)
    return int(np.abs(kept.sum(axis=1, dtype=np.int64)).max(initial=0)) << node.shift


def is_plain_synapse(node: Conv | Dense) -> bool:
    """Whether the taps of *node* that see one number lie side by side, and its weights are small."""
    low, high = node.weight.min(initial=0) << node.shift, node.weight.max(initial=0) << node.shift
    is_small = low >= -(1 << 15) and high < 1 << 15 and node.shift < 16
    spaced = isinstance(node, Conv) and (node.groups != 1 or node.dilation != (1, 1))
    return node.delay is None and bool(is_small) and not spaced


def tiles(graph: SpikeGraph, chain: Sequence[Node]) -> Iterator[tuple[int, int]]:
    """The windows of the pools in *chain*; (0, 0) for one that does not tile its map."""
    for node in chain:
        if isinstance(node, Pool):
            shape = graph.edges[node.inputs[0].source].shape
            fits = shape[-2] % node.kernel[0] == 0 and shape[-1] % node.kernel[1] == 0
            tiled = node.kernel == node.stride and not any(node.padding) and fits and len(shape) == 3
            yield node.kernel if tiled else (0, 0)


def has_shapes(
    graph: SpikeGraph, synapse: Conv | Dense, chain: Sequence[Node], grid: Grid, window: tuple[int, int]
) -> bool:
    """Whether what lies between a source and *synapse* is sums over tiles, and flattening before a dense."""
    if 0 in window:
        return False
    reshapes = [node for node in chain if isinstance(node, Reshape)]
    entering = graph.edges[synapse.inputs[0].source].shape
    if isinstance(synapse, Conv):
        return not reshapes and len(grid.shape) == 3
    # the chain runs from the synapse backwards
    is_flattened = len(reshapes) == 1 and isinstance(chain[0], Reshape)
    return len(entering) == 1 and (is_flattened or (not chain and len(grid.shape) == 1))
