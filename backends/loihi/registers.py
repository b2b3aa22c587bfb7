"""Numbers of a compiled graph that no register of Loihi holds, and what has no place on its cores."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from snncc.backends.loihi.limits import (
    BIAS_MANTISSA_MOST,
    STATE_BITS,
    STATE_MOST,
    STEP_SHIFT,
    SUM_MOST,
    THRESHOLD_MOST,
    UNIT,
    UNIT_SHIFT,
    WEIGHT_EXPONENT_MOST,
)
from snncc.backends.loihi.passes import bias_exponent
from snncc.backends.target import Problem
from snncc.ir import Array, Kind, Neuron, Node, Output, Reshape, Sparse, SpikeGraph, place
from snncc.mapping.express import path
from snncc.mapping.network import Connection, Link, Network, Role
from snncc.quantization import current_bounds


def misfits(graph: SpikeGraph, network: Network) -> Iterator[Problem]:
    """Numbers that no register holds."""
    yield from of_layers(graph, network, {node.name for node in graph.neurons})
    for population in network.populations.values():
        if population.role not in (Role.INPUT, Role.NEURON, Role.READOUT):
            need = f"a {population.role} of {population.name}"
            hint = "pool behind the neurons, by averages, or use --target sim"
            yield Problem(population.origin or population.name, "cores", need, "neurons and synapses", hint)
    for end in graph.outputs:
        if end.name not in network.populations and read_by(graph, end) is None:
            need = f"what {place(graph.by_name[end.inputs[0].source])} makes of spikes"
            hint = "give it a layer of weights of its own, or read the neurons themselves"
            yield Problem(place(end), "output", need, "spikes of one layer, or sums of weights", hint)
    for c in network.connections:
        if c.node is None:
            hint = "read it through a layer of weights"
            yield Problem(path(c), "events without a synapse", "a weight", "none", hint)
        elif network.populations[c.target].role is not Role.NEURON:
            yield from of_connection(c, c.node, network)


def of_layers(graph: SpikeGraph, network: Network, names: Collection[str]) -> Iterator[Problem]:
    """Numbers of the neurons called *names*, and of the synapses into them, that no register holds."""
    ranges = {n.name: (float(n.low or 0), float(n.high or 0)) for n in graph.inputs if n.kind is Kind.ANALOG}
    bounds = current_bounds(graph, ranges)
    for node in graph.neurons:
        if node.name in names:
            yield from of_neuron(node, bounds[node.name])
    for c in network.connections:
        if c.target in names and c.node is not None:
            yield from of_connection(c, c.node, network)


def of_neuron(node: Neuron, bound: tuple[Array, Array]) -> Iterator[Problem]:
    """Numbers of *node*, whose inputs in a timestep stay within *bound*, that no register holds."""
    p, where = node.parameters, place(node)
    low, high = (float(np.max(side)) for side in (-bound[0], bound[1]))
    kept = float(np.max(p.leak_i)) / 2.0**p.leak_i_shift
    most = (max(low, high) / (1 - kept) if kept < 1 else np.inf) + float(np.abs(p.i_init).max())
    if most > STATE_MOST:
        need, have = f"{most:.0f} at most ever", f"{STATE_MOST} ({STATE_BITS} bits, which would wrap)"
        yield Problem(where, "synaptic current", need, have, "use fewer weight or input bits")
    for name in ("theta", "rho", "leak", "leak_i", "v_reset"):
        if getattr(p, name).size != 1:
            hint = "fold batch normalization into the weights (fold='weights')"
            yield Problem(where, name, "one for each neuron", "one for the layer", hint)
    if float(np.max(p.theta)) > THRESHOLD_MOST * UNIT:
        hint = "a lower threshold, or larger weights beside it"
        yield Problem(where, "threshold", f"{int(np.max(p.theta))}", f"{THRESHOLD_MOST * UNIT}", hint)
    mantissa = int(np.abs(p.bias).max()) >> bias_exponent(p)
    if mantissa > BIAS_MANTISSA_MOST:
        hint = "smaller biases, or larger weights beside them"
        yield Problem(where, "mantissa of the bias", str(mantissa), str(BIAS_MANTISSA_MOST), hint)
    if p.has_current and np.any(p.bias):
        hint = "leave out the bias, or the memory of the current"
        need, have = "into the current", "into the potential"
        yield Problem(where, "bias of a current with memory", need, have, hint)


def of_connection(c: Connection, node: Link, network: Network) -> Iterator[Problem]:
    """Numbers of the synapses *node* of *c* that no register holds."""
    if not 0 <= node.shift - STEP_SHIFT <= WEIGHT_EXPONENT_MOST:
        need = f"2**{node.shift - STEP_SHIFT}"
        have = f"2**0 to 2**{WEIGHT_EXPONENT_MOST}"
        hint = "bring the layers that add to one neuron, or to one output, nearer to each other in size"
        yield Problem(path(c), "exponent of the weights", need, have, hint)
    elif (largest := largest_sum(network, c)) > SUM_MOST:
        hint = "use fewer weight or input bits, or a layer with fewer inputs"
        have = f"{SUM_MOST} (32 bits, which would wrap)"
        yield Problem(path(c), "sum of a timestep", f"{largest} at most ever", have, hint)


def largest_sum(network: Network, c: Connection) -> int:
    """What a connection hands on at most in a timestep, in weight units, whatever the signs."""
    assert c.node is not None
    source = network.populations[c.source]
    sent = 2**source.payload_bits - 1 if source.payload_bits else source.steps
    weight = np.abs(c.node.weight.astype(np.int64))
    if isinstance(c.node, Sparse):
        rows = np.bincount(c.node.post, weight)
    else:
        rows = weight.reshape(len(weight), -1).sum(axis=1)
    return int(rows.max(initial=0)) * sent * c.reads.shape[1] << c.node.shift - UNIT_SHIFT


def read_by(graph: SpikeGraph, node: Output) -> str | None:
    """The population whose spikes an output reads as they are; None where there is none."""
    source: Node = graph.by_name[node.inputs[0].source]
    while isinstance(source, Reshape) and not source.inputs[0].delay:
        source = graph.by_name[source.inputs[0].source]
    return source.name if isinstance(source, Neuron) and not node.inputs[0].delay else None
