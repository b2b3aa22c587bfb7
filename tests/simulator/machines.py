"""`programs()`: whole random programs for the machine of `MACHINE.md`, and what happens in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snncc import reference
from snncc.chips import Chip
from snncc.chips.model import Accumulator, Host, Limits
from snncc.errors import CannotLower
from snncc.ir import SpikeGraph
from snncc.mapping.building import network_of
from snncc.mapping.network import Network, Role
from snncc.mapping.placement import Part, Placement, Schedule
from snncc.mapping.schedule import check_schedule
from snncc.simulator.slow import Record
from snncc.simulator.timing import Ints
from tests.simulator.drawn_chips import chips
from tests.simulator.drawn_networks import Drawn, drawn_graphs


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A placed graph, one sample for it, and the trains that the reference executor finds."""

    graph: SpikeGraph
    x: Mapping[str, Any]
    placement: Placement
    trains: Mapping[str, Ints]

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        chip, spikes = self.placement.chip, {n: int((t != 0).sum()) for n, t in self.trains.items()}
        parts = [f"{p.population} {p.addresses.tolist()} on {p.core}" for p in self.placement.parts]
        told = (chip.fabric, chip.operations, chip.touch, chip.entry, chip.port, chip.cores, chip.barrier)
        lines = [str(self.graph), *map(str, told), *parts, f"{self.placement.schedule}, spikes {spikes}"]
        printer.text("\n  ".join(lines))


@st.composite
def programs(
    draw: st.DrawFn,
    graphs: st.SearchStrategy[Drawn] | None = None,
    host: Host | None = None,
    accumulator: Accumulator | None = None,
) -> Program:
    """Random networks on random chips, with a *host* and an *accumulator*."""
    drawn, chip = (
        draw(drawn_graphs() if graphs is None else graphs),
        replace(draw(chips()), host=host, accumulator=accumulator),
    )
    network = network_of(drawn.graph)
    parts = draw(placed_parts(network, chip))
    limits = Limits(payload_bits=None, max_delay=draw(st.sampled_from([None, 2, 6])))
    placement = Placement(replace(chip, limits=limits), network, parts, draw(st.sampled_from(Schedule)))
    return Program(drawn.graph, drawn.x, runnable(placement), trains_of(drawn, network))


def runnable(placement: Placement) -> Placement:
    """*placement*, layered where it cannot be pipelined, with no bound of delays where that cannot be."""
    free = replace(placement.chip, limits=replace(placement.chip.limits, max_delay=None))
    layered = replace(placement, schedule=Schedule.LAYERED)
    for one in (placement, layered):
        try:
            check_schedule(one)
        except CannotLower:
            continue
        return one
    return replace(layered, chip=free)


@st.composite
def placed_parts(draw: st.DrawFn, network: Network, chip: Chip) -> tuple[Part, ...]:
    """Each population on one core or on several, in any order; cores may hold several populations."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts: list[Part] = []
    for name, population in network.populations.items():
        if population.role is Role.HOST or (chip.entry.value == "port" and population.role is Role.INPUT):
            continue
        pieces = min(draw(st.sampled_from([1, 2, 2, 3, 4])), population.size, chip.fabric.cores)
        cores = rng.permutation(chip.fabric.cores)[:pieces]
        share = np.sort(rng.integers(0, pieces, population.size))
        if draw(st.booleans()):
            share = rng.permutation(share)
        for piece, core in enumerate(cores.tolist()):
            addresses = np.flatnonzero(share == piece)
            if len(addresses):
                parts.append(Part(name, core, addresses))
    return tuple(parts[k] for k in rng.permutation(len(parts)))


def trains_of(drawn: Drawn, network: Network) -> dict[str, Ints]:
    """What each population sends: [T, ticks, size]."""
    names = [name for name, p in network.populations.items() if p.role is not Role.READOUT]
    run = reference.run(drawn.graph, drawn.x, timesteps=drawn.timesteps, record=names, count=False)
    return {name: sent(drawn.graph, name, run.records[name].train) for name in names}


def sent(graph: SpikeGraph, name: str, recorded: Any) -> Ints:
    """What a population sends, [T, ticks, size]; its node *recorded* [T, 1, ticks, ...], of one sample."""
    train = np.asarray(recorded)[:, 0]
    if not graph.edges[name].is_events:  # one number for the timestep
        train = train.sum(axis=1, keepdims=True)
    return train.reshape(*train.shape[:2], -1).astype(np.int64)


def is_link(station: str) -> bool:
    return not station.startswith(("neuron unit", "port", "synapse unit"))


def stalls(log: Iterable[Record]) -> bool:
    """Whether some message had to wait for a slot, in front of a link or in a neuron unit."""
    return any(record.what == "waits" for record in log)


def shares(log: Iterable[Record]) -> bool:
    """Whether some link carried messages of two senders."""
    senders: dict[str, set[int]] = {}
    for record in log:
        if record.message is not None and is_link(record.station):
            senders.setdefault(record.station, set()).add(record.message.sender)
    return any(len(some) > 1 for some in senders.values())


def forks(log: Iterable[Record]) -> bool:
    """Whether some message went to two cores or more."""
    return any(record.message is not None and len(record.message.cores) > 1 for record in log)
