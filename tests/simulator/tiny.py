"""Chips, networks and placements written out by hand, with everything left out that a test does not need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snncc.chips import Chip, CoreLimits, Cost, Discipline, Entry, Fabric, LinkKind, Topology, Touch
from snncc.chips.model import Limits, Memory, Operations, Overflow, Port, Static, SynapseFormat
from snncc.ir import Dense
from snncc.mapping.network import Connection, Network, Population, Role
from snncc.mapping.placement import Part, Placement, Schedule

Ints = NDArray[np.int64]
FREE = LinkKind()
KINDS = ("dense", "conv", "sparse", "mac")


def fabric(columns: int = 1, rows: int = 1, cores_per_tile: int = 1, **fields: Any) -> Fabric:
    """A mesh whose links take no time and hold everything, but for *fields*."""
    links = dict.fromkeys(("inject", "east_west", "north_south", "eject"), FREE)
    plain: dict[str, Any] = {"topology": Topology.MESH, "multicast": False, "credit": 1}
    return Fabric(columns=columns, rows=rows, cores_per_tile=cores_per_tile, **plain | links | fields)


def operations(lanes: int = 1, synapse: int = 0, **times: int) -> Operations:
    """Operations that take no time but for *times*; each synapse takes *synapse*."""
    names = ("access", "update", "spike", "message_out", "message_in")
    costs = {name: Cost(time=times.get(name, 0)) for name in names}
    return Operations(**costs, synapse={kind: Cost(time=synapse) for kind in KINDS}, lanes=lanes)


def chip(
    of: Fabric, work: Operations, *, port: int | None = None, in_queue: int | None = None, **f: Any
) -> Chip:
    """A chip; input enters by the port where *port* has the time of its messages."""
    plain: dict[str, Any] = {
        "discipline": Discipline.BARRIER,
        "cores": (CoreLimits(in_queue=in_queue),) * of.cores,
        "limits": Limits(),
        "touch": Touch.TOUCHED,
        "barrier": (),
        "overflow": Overflow.STALL,
        "host": None,
        "accumulator": None,
    }
    return Chip(
        name="tiny",
        title="",
        summary="",
        time_unit=1e-9,
        fabric=of,
        memory=Memory(SynapseFormat.TABLES),
        operations=work,
        entry=Entry.CORES if port is None else Entry.PORT,
        port=Port(Cost(time=port or 0)),
        static=Static(),
        sources={},
        numbers={},
        **plain | f,
    )


def population(name: str, size: int, depth: int, *, ticks: int = 1, **fields: Any) -> Population:
    """Bare spikes without a bias; the role follows from *depth* and *ticks*."""
    role = Role.INPUT if depth == 0 else Role.NEURON if ticks else Role.READOUT
    plain = {"payload_bits": 0, "is_active": False}
    return Population(name, role, (size,), depth=depth, ticks=ticks, **plain | fields)


def dense(source: str, target: str, weight: ArrayLike, delay: int = 0) -> Connection:
    """A dense connection with *weight* [targets, sources]."""
    weights = np.asarray(weight, np.int64)
    outs, ins = weights.shape
    return Connection(
        source=source,
        target=target,
        node=Dense(name=f"{source}_{target}", inputs=(), weight=weights),
        shape=(ins,),
        out=(outs,),
        reads=np.arange(ins)[:, None],
        lands=np.arange(outs),
        delay=delay,
        sources=ins,
    )


def one_to_one(source: str, target: str, lands: Sequence[int], delay: int = 0) -> Connection:
    """Neuron i of *source* has one synapse to neuron lands[i] of *target*; -1: none."""
    size = len(lands)
    reads = np.arange(size)[:, None]
    return Connection(source, target, None, (size,), (size,), reads, np.asarray(lands), delay, size)


def network(
    populations: Sequence[Population], connections: Sequence[Connection], timesteps: int = 1
) -> Network:
    """A network without a name of its own."""
    return Network("tiny", timesteps, {p.name: p for p in populations}, tuple(connections))


def placed(
    on: Chip,
    net: Network,
    parts: Sequence[tuple[str, int, Sequence[int]]],
    schedule: Schedule = Schedule.PIPELINED,
) -> Placement:
    """A placement with *parts* (population, core, addresses)."""
    made = tuple(Part(name, core, np.asarray(addresses, np.int64)) for name, core, addresses in parts)
    return Placement(on, net, made, schedule)


def trains(**spikes: ArrayLike) -> Mapping[str, Ints]:
    """Trains [T, ticks, size] by population."""
    return {name: np.asarray(train, np.int64) for name, train in spikes.items()}
