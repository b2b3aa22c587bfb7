"""Messages between cores, the hops that they take, and the work that they make."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from snncc.chips import Chip, Topology
from snncc.errors import BadInput
from snncc.mapping.demand import Demands, Piece
from snncc.mapping.load import Load, load_of
from snncc.mapping.network import Network, Role
from snncc.mapping.placement import Placement

Traffic = Mapping[str, ArrayLike]
"""Of each population the mean number of spikes of each neuron in one inference, [size] or one number.

Or, [timesteps, size], in each timestep: then placements are made for how spikes follow one another.
"""
Trace = Mapping[str, NDArray[np.float32]]
"""Of each population the mean number of spikes of each neuron in a timestep, [timesteps or 1, size]."""
Floats = NDArray[np.float64]
RATE = 0.1
"""Spikes of a neuron in a tick where nothing was measured."""


def trace_of(network: Network, traffic: Traffic | None) -> Trace:
    """Spikes of each neuron in each timestep, [timesteps, size]; [1, size] where all timesteps are alike.

    `RATE` in each tick where there is no *traffic*.
    """
    found = {}
    for name, population in network.populations.items():
        if population.role is Role.READOUT:
            given: ArrayLike = 0.0
        elif traffic is None:
            given = RATE * population.ticks * network.timesteps
        elif name not in traffic:
            raise BadInput(f"{name}: no traffic; every input and neuron needs its mean spikes")
        else:
            given = traffic[name]
        values = np.asarray(given, np.float64)
        if values.ndim and values.size == network.timesteps * population.size:
            values = values.reshape(network.timesteps, -1)
        else:
            values = (values if values.ndim == 0 else values.reshape(1, -1)) / network.timesteps
        if values.shape[1:] not in ((), (population.size,)) or not np.all(
            np.isfinite(values) & (values >= 0)
        ):
            raise BadInput(f"{name}: its traffic must be {population.size} mean spikes, none below 0")
        steps = len(values) if values.ndim else 1
        found[name] = np.broadcast_to(values, (steps, population.size)).astype(np.float32)
    return found


def spikes_of(network: Network, traffic: Traffic | None) -> dict[str, Floats]:
    """Spikes of each neuron in one inference, [size]."""
    return {
        name: each.sum(axis=0, dtype=np.float64) * (network.timesteps / len(each))
        for name, each in trace_of(network, traffic).items()
    }


def hops(chip: Chip) -> Floats:
    """Links between routers on the way from each core (and, last, the port) to each core, [cores + 1, cores].

    In a crossbar 1 between any two.
    """
    fabric = chip.fabric
    if fabric.topology is Topology.CROSSBAR:
        return 1.0 - np.eye(fabric.cores + 1, fabric.cores)
    tile = np.append(np.arange(fabric.cores) // fabric.cores_per_tile, 0)
    x, y = tile % fabric.columns, tile // fabric.columns
    far = np.abs(x[:, None] - x[None]) + np.abs(y[:, None] - y[None])
    return far[:, :-1].astype(np.float64)


def messages(load: Load, spikes: Mapping[str, Floats]) -> Floats:
    """Messages from each core (and, last, the port) to each core in one inference, [cores + 1, cores].

    A spike is one message for each core that it goes to, also with multicast.
    """
    cores = load.chip.fabric.cores
    found = np.zeros((cores + 1, cores))
    for name, rates in spikes.items():
        home = np.full(len(rates), cores)
        for piece, core in load.held:
            if piece.population == name:
                home[piece.addresses] = core
        for core, which in load.destinations(name).items():
            found[:, core] += np.bincount(home[which], weights=rates[which], minlength=cores + 1)
    return found


def work(demands: Demands, piece: Piece, spikes: Mapping[str, Floats]) -> tuple[float, float]:
    """Times of the neuron unit and of the synapse unit for *piece* in one inference, without messages."""
    network, costs = demands.network, demands.chip.operations
    population = network.populations[piece.population]
    sweeps = len(piece.addresses) * population.steps * network.timesteps
    fired = float(spikes[piece.population][piece.addresses].sum())
    synapses = 0.0
    for wiring in demands.wirings:
        connection = wiring.connection
        if connection.target == piece.population:
            graded = network.populations[connection.source].payload_bits
            cost = costs.synapse["mac" if graded else connection.kind].time
            counts = wiring.cut(piece.addresses).per_source
            synapses += cost * float(-(-counts // costs.lanes) @ spikes[connection.source])
    return sweeps * (costs.access.time + costs.update.time) + fired * costs.spike.time, synapses


def distance(placement: Placement, traffic: Traffic | None = None) -> float:
    """The sum of messages x hops in one inference."""
    sent = messages(load_of(placement), spikes_of(placement.network, traffic))
    return float((sent * hops(placement.chip)).sum())


def traffic_graph(placement: Placement, traffic: Traffic | None = None) -> nx.DiGraph[int]:
    """Edges with their *messages* in one inference, and *hops*; the port is the core after the last."""
    sent = messages(load_of(placement), spikes_of(placement.network, traffic))
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(sorted({part.core for part in placement.parts}))
    graph.add_edges_from(
        (int(a), int(b), {"messages": float(sent[a, b]), "hops": int(far)})
        for (a, b), far in zip(np.argwhere(sent > 0), hops(placement.chip)[sent > 0], strict=True)
    )
    return graph
