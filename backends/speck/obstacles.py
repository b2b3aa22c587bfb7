"""Everything that keeps a graph from Speck, node by node, in one run: need, have, and what to do.

The graph is the float graph behind the exact passes (batch normalization folded, identities gone).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from snncc.backends.speck import limits
from snncc.backends.speck.layers import (
    channels_of,
    destinations,
    entry_shape,
    kernel_shape,
    layer_of,
    map_shape,
)
from snncc.backends.speck.legalize import scale_obstacle
from snncc.backends.speck.neurons import neuron_obstacles
from snncc.backends.target import Problem
from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Concat,
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    Node,
    Output,
    Pool,
    Reshape,
    SpikeGraph,
    place,
)
from snncc.ir.arrays import simplest

BEHIND = "put a neuron (IF) behind it: between cores nothing but spikes travels"
POTENTIALS = "an output of potentials"
ADD_NEURONS = (
    "put a neuron (IF) behind it and train so; or ask for one, which is approximate and measured: "
    "readout='spikes', --readout spikes"
)
OTHERS = {
    "MaxPool": "pool by averages or sums of spikes, or give the convolution before it a stride",
    "Maximum": "add the spikes instead (two trains of one shape)",
    "Affine": "put it directly behind or before a convolution, so that it can be folded into its weights",
    "Pad": "give the convolution its own padding",
    "Mul": "train without products of signals; gains that are constant can be folded into weights",
    "SideOperation": "train without attention modules; for the simulator: --target sim",
    "DynamicSynapse": "train without products of spike trains; for the simulator: --target sim",
    "Gate": "train without masks; for the simulator: --target sim",
    "Concat": "join channels of maps directly behind neurons of one scale, or add spikes of one shape",
    "Slice": "let the layers behind it read all channels, with weights of 0",
    "Transpose": "reorder the weights of the layer behind it instead",
    "Sparse": "use a convolution or a dense layer",
}


def obstacles(graph: SpikeGraph) -> Iterator[Problem]:
    """Every obstacle of *graph*, in its own order."""
    if len(graph.inputs) != 1:
        yield Problem(graph.name, "inputs", str(len(graph.inputs)), "1", "join the inputs as channels of one")
    for node in graph.nodes:
        if any(wire.delay or wire.initial is not None for wire in node.inputs):
            hint = "a loop or a delay needs timesteps, which the chip has not: unroll it, or leave it out"
            yield Problem(place(node), "reads an earlier timestep", "a delay", "none", hint)
        yield from node_obstacles(graph, node)


def scale_obstacles(graph: SpikeGraph, standing: Sequence[Problem]) -> Iterator[Problem]:
    """Layers without obstacles (*standing* has them all) of which nothing would be left in integers."""
    refused = {problem.where.partition(" ")[0] for problem in standing}
    for node in graph.neurons:
        if refused & {node.name, *(wire.source for wire in node.inputs)}:
            continue
        try:
            layer = layer_of(graph, node)
        except CannotLower:  # what sends to it is an obstacle of its own
            continue
        if obstacle := scale_obstacle(graph, layer):
            yield obstacle


def node_obstacles(graph: SpikeGraph, node: Node) -> Iterator[Problem]:
    """What is wrong with one node."""
    match node:
        case Input():
            yield from input_obstacles(graph, node)
        case Conv() | Dense():
            yield from synapse_obstacles(graph, node)
        case Neuron():
            yield from before_neuron(graph, node)
            yield from neuron_obstacles(node, graph.edges[node.name].shape)
            yield from fan_out(graph, node)
        case Pool():
            yield from pool_obstacles(graph, node)
        case Add():
            yield from add_obstacles(graph, node)
        case Concat() if is_joined_layer(graph, node):
            pass
        case Reshape():
            yield from reshape_obstacles(graph, node)
        case Output():
            source = graph.by_name[node.inputs[0].source]
            if not graph.edges[source.name].is_events and not isinstance(source, Add):
                yield Problem(place(node), POTENTIALS, "real numbers", "spikes", ADD_NEURONS)
        case _:
            kind = type(node).__name__
            yield Problem(place(node), "operation", kind, "convolution, neuron, pooling", OTHERS[kind])


def is_joined_layer(graph: SpikeGraph, node: Concat) -> bool:
    """Whether *node* joins the channels of neurons, as a layer on two cores is joined."""
    return (
        node.axis == 0
        and graph.edges[node.name].is_events
        and all(isinstance(graph.by_name[wire.source], Neuron) for wire in node.inputs)
    )


def input_obstacles(graph: SpikeGraph, node: Input) -> Iterator[Problem]:
    """Speck takes events."""
    if node.kind is Kind.ANALOG:
        yield Problem(
            *(place(node), "input", "real numbers", "events"),
            "give it spikes or counts (--input-kind spike, count), for example a pixel 0..16 as that many "
            "events; or let the first layer encode the image before the chip",
        )
    if len(node.shape) not in (1, 3):
        hint = "give it the shape channels, height, width"
        yield Problem(place(node), "axes of the input", str(len(node.shape)), "3, or 1", hint)
    if simplest(node.scale).ndim:
        hint = "give the input one scale, and its channels theirs in the weights of the first layer"
        yield Problem(place(node), "scale of the input", "one per channel", "one number", hint)
    yield from fan_out(graph, node)


def fan_out(graph: SpikeGraph, node: Node) -> Iterator[Problem]:
    """A core, and the sensor, have two destinations."""
    targets = tuple(destinations(graph, node.name))
    if len(targets) > limits.FAN_OUT:
        hint = (
            "let one layer compute what several need and pass it on, or repeat this layer on another core; "
            f"its destinations: {', '.join(targets)}"
        )
        yield Problem(place(node), "destinations", str(len(targets)), str(limits.FAN_OUT), hint)


def synapse_obstacles(graph: SpikeGraph, node: Conv | Dense) -> Iterator[Problem]:
    """Limits of one convolution, dense layers being convolutions with a kernel as large as the map."""
    where = place(node)
    readers = graph.readers[node.name]
    if len(readers) > 1:
        hint = "give every reader a convolution of its own"
        yield Problem(where, "readers of its currents", str(len(readers)), "one neuron", hint)
    if not graph.edges[node.inputs[0].source].is_events and not reads_analog_input(graph, node):
        yield Problem(
            where, "what it reads", "real numbers", "spikes", BEHIND.replace("it:", "the layer before:")
        )
    if node.delay is not None:
        yield Problem(where, "delays of synapses", "some", "none", "train without delays")
    scale = simplest(graph.edges[node.inputs[0].source].scale)
    if scale.ndim:
        hint = "let spikes of all channels be worth the same, and scale the weights that read them"
        yield Problem(where, "scales of what it reads", "one per channel", "one number", hint)
    if isinstance(node, Dense) and len(graph.edges[node.name].shape) != 1:
        hint = "flatten first, or use a 1x1 convolution over the tokens"
        yield Problem(
            where, "a dense layer over", f"axes of {graph.edges[node.name].shape}", "a vector", hint
        )
        return
    _, channels, ky, kx = kernel_shape(graph, node)
    _, height, width = entry_shape(graph, node)
    features, rows, columns = map_shape(graph.edges[node.name].shape)
    if node.bias is not None and channels_of(node.bias, graph.edges[node.name].shape) is None:
        hint = (
            "it comes from folding an offset through padding: pad with that offset, or leave the offset out"
        )
        yield Problem(where, "bias", "one a neuron", "one a channel", hint)
    if isinstance(node, Conv):
        yield from window_obstacles(node)
    if ky != kx:
        hint = "pad the kernel with zeros to a square" if isinstance(node, Conv) else "use square maps"
        yield Problem(where, "kernel", f"{ky}x{kx}", "a square", hint)
    side = limits.KERNEL_SIDE
    if max(ky, kx) > side:
        hint = "pool before it" if isinstance(node, Dense) else "use several smaller convolutions"
        yield Problem(where, "kernel", f"{ky}x{kx}", f"{side}x{side}", hint)
    for what, have in (("channels that enter", channels), ("features", features)):
        if have > limits.FEATURES:
            hint = "a vector is one channel a number: reshape it to a map before, or use fewer"
            yield Problem(where, what, str(have), str(limits.FEATURES), hint)
    for what, size, most in (
        ("map that enters", (height, width), limits.INPUT_SIDE),
        ("map of neurons", (rows, columns), limits.OUTPUT_SIDE),
    ):
        if max(size) > most:
            hint = (
                "pool or crop before it" if most == limits.INPUT_SIDE else "use a stride, or pool before it"
            )
            yield Problem(where, what, f"{size[0]}x{size[1]}", f"{most}x{most}", hint)


def reads_analog_input(graph: SpikeGraph, node: Node) -> bool:
    """Whether a node reads an input of reals, which is an obstacle of the input."""
    source = graph.by_name[node.inputs[0].source]
    while isinstance(source, Reshape | Pool):
        source = graph.by_name[source.inputs[0].source]
    return isinstance(source, Input)


def window_obstacles(node: Conv) -> Iterator[Problem]:
    """Groups, dilation, stride and padding of a convolution."""
    where = place(node)
    if node.groups != 1:
        hint = "the same with zeros: one kernel over all channels (groups=1), which takes more memory"
        yield Problem(where, "groups", str(node.groups), "1", hint)
    if node.dilation != (1, 1):
        hint = "the same with zeros between the weights, if the kernel stays within the limit"
        yield Problem(where, "dilation", f"{node.dilation[0]}x{node.dilation[1]}", "1x1", hint)
    for direction, stride in zip(("vertical", "horizontal"), node.stride, strict=True):
        if stride not in limits.STRIDES:
            have = ", ".join(map(str, limits.STRIDES))
            yield Problem(where, f"{direction} stride", str(stride), have, "use one of these")
    top, bottom, left, right = node.padding
    if (top, left) != (bottom, right):
        hint = "pad the kernel with zeros on the other side, and use equal padding"
        yield Problem(
            where, "padding", f"{node.padding} (top, bottom, left, right)", "equal on both sides", hint
        )
    if max(node.padding) > limits.PADDING:
        yield Problem(where, "padding", str(max(node.padding)), f"0 to {limits.PADDING}", "pad less")


def before_neuron(graph: SpikeGraph, node: Neuron) -> Iterator[Problem]:
    """One convolution feeds the neurons of a core."""
    where = place(node)
    if len(node.inputs) > 1:
        yield sum_of_currents(where, len(node.inputs))
        return
    source = graph.by_name[node.inputs[0].source]
    if isinstance(source, Input | Neuron) or (
        graph.edges[source.name].is_events and not isinstance(source, Add)
    ):
        hint = "put a convolution before it, for example 1x1 with weight 1, which takes a core"
        yield Problem(
            where, "a neuron without synapses", "spikes as they are", "a convolution before it", hint
        )


def sum_of_currents(where: str, branches: int) -> Problem:
    """Residual networks that add before the neuron."""
    return Problem(
        *(where, "currents added before a neuron", f"{branches} branches", "one convolution"),
        "give each branch a neuron of its own and add their spikes (two trains of one shape), and train so; "
        "or, where both branches read the same spikes, make them one convolution",
    )


def pool_obstacles(graph: SpikeGraph, node: Pool) -> Iterator[Problem]:
    """Pooling sums spikes on their way to a destination."""
    where = place(node)
    if not graph.edges[node.inputs[0].source].is_events:
        if not reads_analog_input(graph, node):
            hint = "put the pooling behind the neuron, or give the convolution a stride"
            yield Problem(where, "pooling of currents", "sums before the neuron", "sums of spikes", hint)
        return
    sizes = "1x1, 2x2 or 4x4"
    if node.kernel[0] != node.kernel[1] or pool_factor(graph, node) not in limits.POOLINGS:
        need = f"{node.kernel[0]}x{node.kernel[1]}" + (
            " behind other pooling" if pool_behind(graph, node) else ""
        )
        yield Problem(
            where, "pooling window", need, sizes, "use one of these, or a convolution with a stride"
        )
    if node.stride != node.kernel:
        need = f"{node.stride[0]}x{node.stride[1]} for a window of {node.kernel[0]}x{node.kernel[1]}"
        yield Problem(where, "stride of a pooling window", need, "that of the window", "use equal numbers")
    if any(node.padding):
        yield Problem(
            where, "padding of a pooling window", str(max(node.padding)), "0", "pad the convolution"
        )


def pool_behind(graph: SpikeGraph, node: Pool) -> bool:
    return isinstance(graph.by_name[node.inputs[0].source], Pool)


def pool_factor(graph: SpikeGraph, node: Pool) -> int:
    """The side of all pooling windows from the neuron up to *node*, multiplied."""
    source = graph.by_name[node.inputs[0].source]
    return node.kernel[0] * (pool_factor(graph, source) if isinstance(source, Pool) else 1)


def add_obstacles(graph: SpikeGraph, node: Add) -> Iterator[Problem]:
    """Spikes of two layers may be added; nothing else may."""
    ins = [graph.edges[wire.source] for wire in node.inputs]
    if not all(edge.is_events for edge in ins):
        yield sum_of_currents(place(node), len(ins))
        return
    if not graph.edges[node.name].is_events:
        scales = ", ".join(f"{float(np.max(edge.scale)):.4g}" for edge in ins)
        hint = "a core has one kernel for all it receives: pool both branches by the same window, or by sums"
        yield Problem(place(node), "a spike's worth in its branches", scales, "one number", hint)
    nested = sum(isinstance(graph.by_name[wire.source], Add) for wire in node.inputs)
    if len(ins) + nested > limits.MERGED:
        hint = "add two, send them through a 1x1 convolution with a neuron, then add the third"
        yield Problem(place(node), "trains added", str(len(ins) + nested), str(limits.MERGED), hint)


def reshape_obstacles(graph: SpikeGraph, node: Reshape) -> Iterator[Problem]:
    """Flattening before a dense layer is free; no other reshaping is."""
    readers = [graph.by_name[name] for name in graph.readers[node.name]]
    if not graph.edges[node.inputs[0].source].is_events:
        if not reads_analog_input(graph, node):
            hint = "put it behind the neuron"
            yield Problem(place(node), "reshaping of currents", "a new order", "spikes", hint)
        return
    if not all(isinstance(reader, Dense | Output | Reshape) for reader in readers):
        hint = "only flattening before a dense layer is free"
        yield Problem(place(node), "reshaping", f"maps of {node.shape}", "a vector for a dense layer", hint)
