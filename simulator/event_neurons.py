"""The integer neuron as events see it (MACHINE.md, 7): per-neuron tables from the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import (
    Add,
    Array,
    Concat,
    Conv,
    Dense,
    Input,
    Neuron,
    Overflow,
    Reset,
    Reshape,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    place,
)
from snncc.mapping.network import Connection, Network, Role
from snncc.simulator.timing import Ints


@dataclass(frozen=True, slots=True, eq=False)
class EventNeurons:
    """One population of neurons or readouts; all arrays are int64 [size].

    A neuron *fires* at a potential of at least *least*; then *rho* is *subtracted*, or the potential becomes
    *v_reset*. It does not fall below *clamp_low* (None: there is none). *bits*: None is unbounded. A readout
    does not fire, and has neither clamp nor width.
    """

    name: str
    fires: bool
    v_init: Ints
    bias: Ints
    least: Ints
    rho: Ints
    v_reset: Ints
    clamp_low: Ints | None
    subtracts: bool
    bits: int | None
    overflow: Overflow

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest potential of the width; needs one."""
        if self.bits is None:
            raise AssertionError(f"{self.name} has no width")
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1


def event_neurons(graph: SpikeGraph, network: Network) -> dict[str, EventNeurons]:
    """The tables of all populations of *network* but its inputs, in their order."""
    return {
        name: neurons_of(graph, name)
        for name, population in network.populations.items()
        if population.role is not Role.INPUT
    }


def neurons_of(graph: SpikeGraph, name: str) -> EventNeurons:
    """The tables of one population."""
    node, shape = graph.by_name[name], graph.edges[name].shape

    def spread(values: Array) -> Ints:
        return np.broadcast_to(values, shape).astype(np.int64).reshape(-1)

    bias = sum((constant(graph, wire.source) for wire in node.inputs), np.zeros((), np.int64))
    nothing = np.zeros(graph.edges[name].size, np.int64)
    if not isinstance(node, Neuron):
        empty = (nothing, nothing, nothing, None)
        return EventNeurons(name, False, nothing, spread(bias), *empty, True, None, Overflow.ERROR)
    p = node.parameters
    return EventNeurons(
        name=name,
        fires=True,
        v_init=spread(p.v_init),
        bias=spread(bias + np.asarray(p.bias).astype(np.int64)),
        least=spread(p.theta) + p.strict,
        rho=spread(p.rho),
        v_reset=spread(p.v_reset),
        clamp_low=None if p.clamp_low is None else spread(p.clamp_low),
        subtracts=p.reset is Reset.SUBTRACT,
        bits=p.v_bits,
        overflow=p.overflow,
    )


def constant(graph: SpikeGraph, name: str) -> Array:
    """What the node *name* adds to a potential in each timestep, whatever is sent: biases of synapses."""
    node, shape = graph.by_name[name], graph.edges[name].shape
    if graph.edges[name].is_events or isinstance(node, Input):
        return np.zeros(shape, np.int64)
    if isinstance(node, Dense | Conv | Sparse):
        return np.broadcast_to(0 if node.bias is None else node.bias, shape).astype(np.int64)
    parts = [constant(graph, wire.source) for wire in node.inputs]
    match node:
        case Add():
            return np.asarray(sum(parts))
        case Reshape():
            return parts[0].reshape(shape)
        case Transpose():
            return parts[0].transpose(node.axes)
        case Concat():
            return np.concatenate(parts, axis=node.axis)
        case Slice():
            index = [slice(None)] * parts[0].ndim
            index[node.axis] = slice(node.start, node.stop, node.step)
            return np.asarray(parts[0][tuple(index)])
        case _:
            raise CannotLower(f"{place(node)}: a core cannot compute {type(node).__name__.lower()}")


def shift_of(connection: Connection) -> int:
    """By how many bits the weights of *connection* are shifted to the left."""
    return 0 if connection.node is None else connection.node.shift
