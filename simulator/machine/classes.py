"""Neurons that cost the same: what a spike takes depends on its *class* alone.

Neurons of a population that sit on one core and send alike are a class: as many messages on the same routes,
which bring as many synapses of each kind to each core, and of each connection in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.ir.arrays import Array
from snncc.mapping.network import Connection, Network
from snncc.simulator.jit import inner, kernel
from snncc.simulator.machine.calendar import parts_of
from snncc.simulator.machine.program import MachineProgram, Sends, target_masks
from snncc.simulator.memo import once
from snncc.simulator.stream import Grid

Ints = NDArray[np.int64]
Numbers = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes of all senders; those of a population lie side by side.

    *of* has by population the class of each neuron, counted from its first, which is the first of *own*;
    *numbers* [neurons] counts from the first of all.
    *sends* is what one neuron of each class sends, *messages* [classes] how many, *unit* [classes] where
    from; ``met[k]`` [classes]: its synapses of the k-th connection that leaves its population.
    """

    of: Mapping[str, Numbers]
    numbers: Numbers
    own: Mapping[str, slice]
    sends: Sends
    unit: Ints
    messages: Ints
    met: Ints
    tables: dict[str, tuple[Grid, Numbers]]
    """`of`, by row and code of an event: made when needed."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.unit)


@once
def classes_of(program: MachineProgram) -> Classes:
    """The classes of *program*."""
    placement, network = program.placement, program.placement.network
    unit = np.zeros(program.neurons, np.int64)
    for part in parts_of(placement):
        unit[part.addresses + program.offsets[part.population]] = part.core
    masks = target_masks(placement)
    leaving = {name: tuple(network.out_of(name)) for name in network.senders}
    most = max(map(len, leaving.values()), default=0)
    of, own, models, met = {}, {}, [np.zeros(0, np.int64)], [np.zeros((most, 0), np.int64)]
    count, numbers = 0, np.zeros(program.neurons, np.uint32)
    for name in network.senders:
        low, size = program.offsets[name], network.populations[name].size
        every = np.zeros((most, size), np.int64)
        for k, connection in enumerate(leaving[name]):
            every[k] = synapses_of(connection, network, masks.get(connection.target, {}))
        of[name], found = alike(program.sends, unit, every, low)
        own[name] = slice(count, count + len(found))
        numbers[low : low + size] = of[name] + np.uint32(count)
        count += len(found)
        models.append(found)
        met.append(every[:, found - low])
    neurons = np.concatenate(models)
    sends = sends_of(program.sends, neurons)
    messages = np.diff(sends.first).astype(np.int64)
    return Classes(of, numbers, own, sends, unit[neurons], messages, np.concatenate(met, axis=1), {})


def synapses_of(connection: Connection, network: Network, held: Mapping[int, NDArray[np.bool_]]) -> Ints:
    """The synapses of each source; operands of products have some in each core, *held* by its number."""
    every = np.ones(network.populations[connection.target].size, bool)
    masks = held.values() if connection.rule else [every]
    return np.sum([connection.counts(mask) for mask in masks], axis=0, dtype=np.int64)


def alike(sends: Sends, unit: Ints, met: Ints, low: int) -> tuple[Numbers, Ints]:
    """The class of each neuron of a population, from *low* on, and the first neuron of each class."""
    size = met.shape[1]
    of, models = np.zeros(size, np.uint32), np.zeros(size, np.int64)
    known = np.full(2 << size.bit_length(), -1)
    traits = Traits(unit, sends.first, sends.root, sends.base, sends.core, sends.synapses, met, low)
    count = classify(traits, known, of, models)
    return of, models[:count].copy()


class Traits(NamedTuple):
    """What decides the class of a neuron: *unit*, `Sends`; *met*, which begins with neuron *low*."""

    unit: Any
    first: Any
    root: Any
    base: Any
    core: Any
    synapses: Any
    met: Any
    low: int


@inner
def are_alike(g: int, h: int, traits: Traits) -> bool:
    """Whether neurons *g* and *h* of a population are of one class."""
    unit, first, root, base, core, synapses, met, low = traits
    if unit[g] != unit[h] or first[g + 1] - first[g] != first[h + 1] - first[h]:
        return False
    for k in range(len(met)):
        if met[k, g - low] != met[k, h - low]:
            return False
    for k in range(first[g + 1] - first[g]):
        m, n = first[g] + k, first[h] + k
        if root[m] != root[n] or base[m + 1] - base[m] != base[n + 1] - base[n]:
            return False
        for j in range(base[m + 1] - base[m]):
            a, b = base[m] + j, base[n] + j
            if core[a] != core[b]:
                return False
            for kind in range(len(synapses)):
                if synapses[kind, a] != synapses[kind, b]:
                    return False
    return True


MIX = 0x9E3779B97F4A7C15 >> 1
"""A large odd factor, so that sums of products differ in all of their digits."""


@kernel
def classify(traits: Traits, known: Any, of: Any, models: Any) -> int:
    """Number the classes of the neurons of a population; how many there are.

    *known*, -1 everywhere, is longer than there are neurons, by a power of two: classes by a hash.
    """
    unit, first, root, base, core, synapses, met, low = traits
    count = 0
    for k in range(len(of)):
        g = low + k
        key = np.int64(unit[g])
        for one in range(len(met)):
            key = key * MIX + met[one, k]
        for m in range(first[g], first[g + 1]):
            key = key * MIX + root[m]
            for a in range(base[m], base[m + 1]):
                key = key * MIX + core[a]
                for kind in range(len(synapses)):
                    key = key * MIX + synapses[kind, a]
        key *= MIX
        place = (key >> 32) & (len(known) - 1)
        while known[place] >= 0 and not are_alike(models[known[place]], g, traits):
            place = (place + 1) & (len(known) - 1)
        if known[place] < 0:
            known[place], models[count] = count, g
            count += 1
        of[k] = known[place]
    return count


def sends_of(sends: Sends, neurons: Ints) -> Sends:
    """What *neurons* send."""
    message = ranges(sends.first[neurons], sends.first[neurons + 1])
    arrival = ranges(sends.base[message], sends.base[message + 1])
    lengths = np.diff(sends.first)[neurons], np.diff(sends.base)[message]
    first, base = (np.concatenate([[0], np.cumsum(each)]) for each in lengths)
    return Sends(
        *(first, sends.root[message], base, sends.service[arrival]),
        *(sends.core[arrival], sends.sender[arrival], sends.synapses[:, arrival]),
    )


def ranges(starts: Array, ends: Array) -> Ints:
    """The numbers from each start to its end, one range after another."""
    lengths = (ends - starts).astype(np.int64)
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def table_of(classes: Classes, name: str, grid: Grid) -> Numbers:
    """The class of each event of population *name*, [rows, codes]."""
    known = classes.tables.get(name)
    if known is None or (known[0] is not grid and known[0] != grid):
        table = np.zeros((grid.rows, grid.columns, grid.pitch), np.uint32)
        maps = classes.of[name].reshape(grid.channels, grid.rows, grid.columns)
        table[:, :, : grid.channels] = maps.transpose(1, 2, 0)
        known = classes.tables[name] = grid, table.reshape(grid.rows, -1)
    return known[1]


def class_counts(program: MachineProgram, fired: Mapping[str, Ints]) -> Ints:
    """How often each class of *program* fires, [classes]; *fired* [size]: each neuron, by population."""
    classes = classes_of(program)
    counts = np.zeros(classes.count, np.int64)
    for name, own in classes.own.items():
        add_up(fired[name], classes.of[name], counts[own])
    return counts


@kernel
def add_up(fired: Any, of: Any, counts: Any) -> None:
    """Add to *counts* how often the neurons of each class *fired*."""
    for neuron in range(len(fired)):
        counts[of[neuron]] += fired[neuron]
