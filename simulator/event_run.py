"""What a run by the discipline `event` (MACHINE.md, 7) did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir.arrays import Array
from snncc.mapping.network import Network, Role
from snncc.simulator.timing import Ints, Timing

MOST_SPIKES = 10**6
"""More spikes than these are not caused by one event from outside, but by a loop that excites itself."""


def cycle_of(waits: Mapping[str, str], stations: Sequence[str]) -> list[str]:
    """The cycle that blocked stations lead into, from its station of lowest rank on.

    *waits*: for each blocked station the one whose queue is full. *stations* are in rank order.

    >>> cycle_of({"port": "a", "a": "c", "b": "a", "c": "b"}, ["port", "a", "b", "c"])
    ['a', 'c', 'b']
    """
    here = min(waits, key=stations.index)
    seen: list[str] = []
    while here not in seen:
        seen.append(here)
        here = waits[here]
    cycle = seen[seen.index(here) :]
    first = cycle.index(min(cycle, key=stations.index))
    return cycle[first:] + cycle[:first]


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What event units worked off: what it cost, layer by layer, is counted from this.

    *messages* [populations + 1, cores] by the population that sent them, ticks last; *synapses* [connections,
    cores], in the order of the network's connections.
    """

    messages: Ints
    synapses: Ints


@dataclass(frozen=True, slots=True, eq=False)
class EventRun:
    """One sample.

    *spikes* [T, size] of each neuron population by timestep (of the canonical order in few bits), *sums*
    [T, size] what each readout received in it; *potentials* [size] of each neuron population at the end,
    *saturations* how often one of them left its width. *dropped* [cores]: messages lost before each event
    unit. *timing* and *taken*: None for the canonical order.
    """

    spikes: Mapping[str, NDArray[np.signedinteger[Any]]]
    sums: Mapping[str, Ints]
    potentials: Mapping[str, Ints]
    saturations: Mapping[str, int]
    dropped: Ints
    timing: Timing | None
    taken: Taken | None

    def differing(self, other: EventRun) -> dict[str, int]:
        """By how many spikes each population differs from *other*: over its neurons, in the whole run."""
        return {
            name: int(np.abs(train.sum(axis=0) - other.spikes[name].sum(axis=0)).sum())
            for name, train in self.spikes.items()
        }


def checked_inputs(network: Network, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, Array]:
    """The trains [T, size] of all inputs, of one sample. Raises `BadInput` for a wrong one."""
    names = [p.name for p in network.populations.values() if p.role is Role.INPUT]
    missing = [name for name in names if name not in inputs]
    if missing:
        raise BadInput(f"{', '.join(missing)}: no train; every input needs one")
    trains = {}
    for name in names:
        train, size = np.asarray(inputs[name]), network.populations[name].size
        if train.ndim != 3 or train.shape[1:] != (1, size) or not len(train):
            need = f"[timesteps, 1, {size}]"
            raise BadInput(f"{name}: its train has the shape {list(train.shape)}, needs {need}")
        if train.dtype.kind not in "biu" or train.min(initial=0) < 0 or train.max(initial=0) > 1:
            raise BadInput(f"{name}: its train must hold nothing but 0 and 1")
        trains[name] = train[:, 0]
    lengths = {name: len(train) for name, train in trains.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise BadInput(f"trains differ in their timesteps ({listed})")
    return trains
