"""Small networks and chips for the discipline `event`, written out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from snncc.chips import Chip, CoreLimits, Discipline, Fabric
from snncc.chips.model import Operations
from snncc.ir import (
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.mapping.building import network_of
from snncc.mapping.network import Network
from snncc.mapping.placement import Placement
from snncc.simulator.timing import Ints
from tests.simulator import tiny


class Hand(NamedTuple):
    """What a run takes."""

    graph: SpikeGraph
    placement: Placement
    inputs: Mapping[str, Ints]


def iaf(theta: ArrayLike, **fields: Any) -> NeuronParameters:
    """Integrate and fire, reset by subtraction."""
    return NeuronParameters(theta=np.asarray(theta), rho=np.asarray(theta), **fields)


def spikes_in(size: int, name: str = "x") -> Input:
    return Input(name=name, shape=(size,), kind=Kind.SPIKE)


def dense(source: str, target: str, weight: ArrayLike, delay: int = 0, **fields: Any) -> Dense:
    """The synapses ``source_target`` with *weight* [targets, sources]."""
    given = np.asarray(weight, np.int64)
    return Dense(name=f"{source}_{target}", inputs=(Wire(source, delay),), weight=given, **fields)


def neuron(name: str, parameters: NeuronParameters, *sources: str, late: Sequence[str] = ()) -> Neuron:
    """Reads the synapses from *sources*, and of those from *late* the value of a timestep before."""
    read = (*wires(*(f"{source}_{name}" for source in sources)), *(Wire(f"{s}_{name}", 1) for s in late))
    return Neuron(name=name, inputs=read, parameters=parameters)


def graph_of(*nodes: Node) -> SpikeGraph:
    """A verified graph; its last neuron is an output."""
    last = [node.name for node in nodes if isinstance(node, Neuron)][-1]
    has_output = any(isinstance(node, Output) for node in nodes)
    end = () if has_output else (Output(name="end", inputs=wires(last), over=Over.SEQUENCE),)
    graph = SpikeGraph((*nodes, *end), Numbers.INTEGER, "hand")
    graph.verify()
    return graph


def undelayed(network: Network) -> Network:
    """*network* without delays: a graph's loops have one, and events none."""
    return replace(network, connections=tuple(replace(c, delay=0) for c in network.connections))


def event_chip(fabric: Fabric, work: Operations, *, port: int = 1, **fields: Any) -> Chip:
    return tiny.chip(fabric, work, port=port, discipline=Discipline.EVENT, **fields)


def hand(
    graph: SpikeGraph,
    chip: Chip,
    parts: Sequence[tuple[str, int, Sequence[int]]],
    **inputs: ArrayLike,
) -> Hand:
    """*graph* on *chip*; inputs are [T, size]."""
    placement = tiny.placed(chip, undelayed(network_of(graph)), parts)
    trains = {name: np.asarray(train, np.int64)[:, None] for name, train in inputs.items()}
    return Hand(graph, placement, trains)


def free_chip(count: int, **fields: Any) -> Chip:
    """A row of cores where only messages take time."""
    return event_chip(tiny.fabric(count), tiny.operations(message_in=1), **fields)


def slots(count: int, cores: int) -> tuple[CoreLimits, ...]:
    """Cores with so many slots before their event units."""
    return (CoreLimits(in_queue=count),) * cores
