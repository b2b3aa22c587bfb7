"""Every way in which a traced graph does not fit Loihi, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snncc.backends.loihi.passes import is_stock
from snncc.backends.target import Options, Precision, Problem, unbounded
from snncc.chips import Chip
from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Emit,
    Encoding,
    Gate,
    Input,
    Kind,
    LeakRounding,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    Node,
    Order,
    Output,
    Pad,
    Pool,
    ResetAt,
    Reshape,
    Shape,
    SideOperation,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    place,
)
from snncc.passes.plain import plain

LINEAR = (Dense, Conv, Sparse, Pool, Affine, Pad, Add, Reshape, Transpose, Concat, Slice)
PLAIN = (Input, Neuron, Output, *LINEAR)


def refused_nodes(graph: SpikeGraph, options: Options) -> set[str]:
    """The names of the nodes of *graph* that are misfits."""
    return {node.name for node in graph.nodes if any(of_node(node, graph, options))}


def problems(graph: SpikeGraph, options: Options) -> Iterator[Problem]:
    """Misfits of options, and of the nodes of *graph* as the exact passes leave it."""
    if options.precision is not Precision.INTEGER:
        yield Problem(graph.name, "numbers", "floats", "integers", "leave out precision='float'")
    if options.encoding is Encoding.STREAM:
        hint = "use the encoding spikes or graded: both are exact"
        yield Problem(graph.name, "encoding of counts", "stream", "spikes or graded", hint)
    if not graph.neurons:
        yield Problem(graph.name, "neurons", "at least one layer", "none", "put neurons into the network")
    for node in graph.nodes:
        yield from of_node(node, graph, options)
        if any(wire.initial is not None for wire in node.inputs):
            what = "values of a delayed wire before the first timestep"
            hint = "start from zero; a recurrent layer with a bias does not: leave the bias away"
            yield Problem(place(node), what, "given values", "nothing", hint)


def of_node(node: Node, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
    """Misfits of one node."""
    match node:
        case Input() if node.kind is not Kind.SPIKE and not carries_numbers(options.chip):
            hint = "give it spikes (--input-kind spike), or take --chip loihi2"
            yield Problem(place(node), "messages", f"{node.kind.value} numbers", "bare spikes", hint)
        case Neuron():
            yield from of_neuron(node, options.chip)
            yield from of_thresholds(node, graph.edges[node.name].shape)
        case Dense() | Conv() | Sparse() if node.delay is not None:
            hint = "give the whole connection one delay"
            yield Problem(place(node), "delays", "one for each synapse", "one for each connection", hint)
        case Dense() | Conv() | Sparse() if not carries_events(graph, node.inputs[0].source):
            before = place(graph.by_name[node.inputs[0].source])
            hint = "put a neuron before it"
            yield Problem(place(node), "what it reads", f"real numbers from {before}", "spikes", hint)
        case Pool() if not carries_events(graph, node.inputs[0].source):
            hint = "pool behind the neurons, or without padding behind a convolution that nothing else reads"
            need, have = "sums before the neuron", "sums of spikes"
            yield Problem(place(node), "pooling of currents", need, have, hint)
        case Pad() if not carries_events(graph, node.inputs[0].source):
            hint = "pad the spikes, or give the convolution its own padding"
            yield Problem(
                place(node), "padding of currents", "sums before the neuron", "sums of spikes", hint
            )
        case Affine():
            yield leftover(node)
        case _ if not isinstance(node, PLAIN):
            yield Problem(place(node), *NOT_THERE[type(node)])


def carries_events(graph: SpikeGraph, name: str) -> bool:
    """Whether the node *name* hands on events, or data from outside."""
    node = graph.by_name[name]
    if graph.edges[name].is_events or isinstance(node, Input) or type(node) in NOT_THERE:
        return True  # what is not there is a problem of its own
    moves = isinstance(node, Pool | Reshape | Transpose | Concat | Slice | Pad | Affine)
    return moves and all(carries_events(graph, wire.source) for wire in node.inputs)


def leftover(node: Affine) -> Problem:
    """A gain or an offset that no weights could take."""
    what, need = "gain or offset", "numbers for each timestep" if node.per_timestep else "a layer of its own"
    return Problem(place(node), what, need, "weights, which take one number for each channel", FOLDABLE)


FOLDABLE = (
    "use the same numbers in every timestep, one for each channel, directly before or behind a layer of "
    "weights that nothing else reads; an attention: train without it, or --target sim on a chip with a host"
)
NO_HOST = (
    "train without it, or --target sim on a chip with a host; gains and masks that are the same in every "
    "timestep, and for every pixel of a channel, can become weights: attention='static'"
)
NOT_THERE: dict[type, tuple[str, str, str, str]] = {
    MaxPool: (
        *("maximum over a window", "a comparison of numbers", "sums and thresholds"),
        "pool spikes of one a timestep, or pool by averages",
    ),
    Maximum: ("maximum of two signals", "a comparison", "sums and thresholds", "add the trains instead"),
    Mul: ("product of two signals", "a multiplier", "weights that are fixed", NO_HOST),
    SideOperation: ("computation on whole trains", "a host", "cores only", NO_HOST),
    DynamicSynapse: (
        *("product of two trains", "synapses whose weights are spikes", "weights that are fixed"),
        "simulate it instead: --target sim",
    ),
    Gate: ("gate over time", "a host", "cores only", NO_HOST),
}


def of_neuron(node: Neuron, chip: Chip | None) -> Iterator[Problem]:
    """What of a neuron neither Lava's LIF nor a program of ours for a core can do."""
    p, where = node.parameters, place(node)
    if p.emit is not Emit.COUNT:
        yield Problem(where, "output of the neuron", "real numbers", "spikes", "use a neuron that spikes")
    if p.max_count is None:
        yield unbounded(node)
    if plain(p).reset_at is not ResetAt.SAME:
        hint = "use a neuron that resets in the timestep of its spike"
        yield Problem(where, "reset", f"in the {p.reset_at} timestep", "in the same timestep", hint)
    if plain(p).order is not Order.LEAK_FIRST:
        hint = "let the potential leak before its input is added"
        yield Problem(where, "order", "a leak after the input", "a leak before the input", hint)
    if p.refractory:
        yield Problem(where, "refractory time", str(p.refractory), "0", "leave it out")
    if p.leak_rounding is not LeakRounding.ZERO:
        hint = "compile the float graph, or let the leak round toward zero"
        yield Problem(where, "rounding of the leak", "down", "toward zero", hint)
    for name, leak in (("leak of the potential", p.leak), ("leak of the current", p.leak_i)):
        if not is_one(leak):
            yield Problem(where, name, "one for each neuron", "one for the layer", "use one leak a layer")
        elif not 0 <= leak.flat[0] <= 1:
            yield Problem(where, name, f"{leak.flat[0]:g}", "0 to 1", "keep a share from 0 to 1")
    if not carries_numbers(chip) and not is_stock(p):
        several = f"{'any number of' if p.max_count is None else f'up to {p.max_count}'} spikes in a timestep"
        need = several if p.max_count != 1 else f"a reset by {p.reset}, or a clamp"
        hint = "use neurons with a hard reset to 0, or --chip loihi2"
        yield Problem(where, "program of the core", need, "only a hard reset to 0 of single spikes", hint)


def of_thresholds(node: Neuron, shape: Shape) -> Iterator[Problem]:
    """That thresholds differ inside a channel, so that no weights can take the difference."""
    theta = np.broadcast_to(node.parameters.theta, shape)
    if len(shape) < 2:
        return
    channels = theta.reshape(shape[0], -1) if len(shape) == 3 else theta.reshape(-1, shape[-1]).T
    if np.any(channels != channels[:, :1]):
        need, have = "one for each neuron", "one for each channel, which go into the weights"
        yield Problem(place(node), "thresholds", need, have, "use one threshold for all neurons of a channel")


def carries_numbers(chip: Chip | None) -> bool:
    """Whether messages of *chip* hold numbers, which Loihi 1's, with its fixed programs, do not."""
    return chip is None or bool(chip.limits.payload_bits)


def is_one(value: Array) -> bool:
    """Whether all numbers of *value* are the same."""
    return bool(value.size) and bool(np.all(value == value.flat[0]))
