"""What spikes, ticks and inputs send in the timed order of events, and on which ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.mapping.placement import Placement
from snncc.simulator.machine.event_program import EventProgram
from snncc.simulator.machine.event_state import Biases, Sent
from snncc.simulator.machine.fabric import Routes, Stations, stations_of
from snncc.simulator.machine.program import Sends, joined, sends_of, target_masks, trees_of, wiring_of
from snncc.simulator.machine.step_kernel import Wiring
from snncc.simulator.timing import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Stations and routes; *tick* [cores]: the first node of the route from the port to each core."""

    stations: Stations
    wiring: Wiring
    sends: Sends
    tick: Ints


def ways_of(placement: Placement, program: EventProgram) -> Ways:
    """The routes of all that can be sent on *placement*."""
    fabric, populations = placement.chip.fabric, placement.network.populations.values()
    stations = stations_of(placement.chip)
    routes, masks = Routes(fabric, stations), target_masks(placement)
    begins = program.slots.begins.tolist()
    parts = [
        sends_of(placement, p, begin, masks, routes) for p, begin in zip(populations, begins, strict=False)
    ]
    tick = [routes.root(fabric.cores, [core]) for core in range(fabric.cores)]
    wiring = wiring_of(fabric, stations, trees_of(routes))
    return Ways(stations, wiring, joined(parts), np.array(tick, np.int64))


def biases_of(placement: Placement, program: EventProgram) -> Biases:
    """The neurons with a bias, by core."""
    cores, at = placement.chip.fabric.cores, 0
    numbers = {}
    for name, of in program.neurons.items():
        numbers[name] = np.cumsum(of.bias != 0) - 1 + at
        at += int(np.count_nonzero(of.bias))
    columns: list[list[Ints]] = [[], [], []]
    core: list[int] = []
    for part in sorted(placement.parts, key=lambda part: part.core):
        if part.population in program.neurons:
            bias = program.neurons[part.population].bias
            kept = part.addresses[bias[part.addresses] != 0]
            found = program.slots.of[part.population][kept], bias[kept], numbers[part.population][kept]
            for column, values in zip(columns, found, strict=True):
                column.append(values)
            core += [part.core] * len(kept)
    first = np.searchsorted(core, np.arange(cores + 1))
    return Biases(first, *(np.concatenate([np.zeros(0, np.int64), *column]) for column in columns))


def sent_of(
    placement: Placement, program: EventProgram, ways: Ways, biases: Biases, trains: Mapping[str, Ints]
) -> tuple[Sent, int]:
    """All messages of all slots and of the port; how many events come from outside."""
    first = np.zeros(program.slots.count, np.int64)
    last = np.zeros(program.slots.count, np.int64)
    for name, begin in zip(program.slots.names, program.slots.begins, strict=False):
        at = program.slots.of[name]
        first[at] = ways.sends.first[begin : begin + len(at)]
        last[at] = ways.sends.first[begin + 1 : begin + len(at) + 1]
    ticked = np.flatnonzero(np.diff(biases.first))
    train = np.concatenate(list(trains.values()), axis=1)
    sources = np.concatenate([program.slots.of[name] for name in trains])
    start, columns = [0], list[tuple[Ints, Ints, Ints]]()
    timesteps, many = len(train), len(biases.slot)
    cause = timesteps * many
    for t in range(timesteps):
        ticks = ways.tick[ticked]
        columns.append((ticks, np.full(len(ticks), -1), np.full(len(ticks), t * many)))
        slots = sources[np.flatnonzero(train[t])]
        counts = last[slots] - first[slots]
        begin = np.repeat(first[slots] - (np.cumsum(counts) - counts), counts)
        messages = begin + np.arange(counts.sum())
        numbers = np.repeat(cause + np.arange(len(slots)), counts)
        columns.append((ways.sends.root[messages], np.repeat(slots, counts), numbers))
        cause += len(slots)
        start.append(start[-1] + len(ticks) + len(messages))
    port = [np.concatenate(column) for column in zip(*columns, strict=True)]
    return Sent(first, last, ways.sends.root, np.array(start), *port), cause
