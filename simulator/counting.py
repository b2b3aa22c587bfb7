"""How many operations nodes cost, from dense trains: the counts of `snncc.reference.count`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array
from snncc.reference import Operations
from snncc.simulator.layer_run import LayerRun
from snncc.simulator.stream import sums_between
from snncc.simulator.synapse_kernel import weigh
from snncc.simulator.synapse_table import Fan

Ints = NDArray[np.int64]


def accumulations(synapses: int, counts: Ints) -> Operations:
    """An accumulation for each synapse that spikes met.

    *counts* [3, B] are synapses, those of nonzero weight, the spikes.
    """
    every, nonzero, received = counts
    none = np.zeros(len(every), np.int64)
    return Operations(synapses, received, every, nonzero, none, none, none)


Met = tuple[int, LayerRun, int]
"""How many synapses a node has, and in which layer, as which source, spikes met them."""


class Fired(NamedTuple):
    """How often the neurons of a node fired [B, T, ticks], and how many of them [B, T]."""

    spikes: Ints
    active: Ints


class Sent(NamedTuple):
    """What an input sent of which only the events are known; *ends* is where each timestep's events end."""

    ends: Ints
    batch: int
    timesteps: int

    @property
    def active(self) -> Ints:
        """How many neurons sent, [B, T]."""
        return sums_between(self.ends, self.batch, self.timesteps)

    @property
    def spikes(self) -> Ints:
        """How often they did, [B, T, 1]."""
        return self.active[:, :, None]


@dataclass(slots=True, eq=False)
class Counts(Mapping[str, Ints]):
    """One number (*what*) of those that were counted of each node, made when it is first looked at."""

    counted: Mapping[str, Fired | Sent | LayerRun]
    what: str
    known: dict[str, Ints] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Ints:
        found = self.known.get(name)
        if found is None:
            found = self.known[name] = getattr(self.counted[name], self.what)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.counted)

    def __len__(self) -> int:
        return len(self.counted)


@dataclass(slots=True, eq=False)
class Tally(Mapping[str, Operations]):
    """The operations of each node; what spikes met becomes `Operations` when it is first looked at."""

    counted: dict[str, Operations | Met]

    def __getitem__(self, name: str) -> Operations:
        found = self.counted[name]
        if isinstance(found, tuple):
            synapses, layer, which = found
            found = self.counted[name] = accumulations(synapses, layer.counts[which])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.counted)

    def __len__(self) -> int:
        return len(self.counted)


def gain_operations(xs: list[Ints], size: int, timesteps: int) -> Operations:
    """The operations of a gain or a product of *size* outputs; *xs* are [T or 1, B, ticks, *shape]."""
    sums = [x.sum(axis=2) != 0 for x in xs]
    active = sums[0] if len(sums) == 1 else both(sums[0], sums[1])
    batch = active.shape[1]
    active = np.broadcast_to(active, (timesteps, *active.shape[1:]))
    nonzero = active.reshape(timesteps, batch, -1).sum(axis=(0, 2), dtype=np.int64)
    none = np.zeros(batch, np.int64)
    return Operations(
        synapses=size,
        received=nonzero,
        ac=none,
        ac_nonzero=none,
        mac=nonzero,
        mac_nonzero=nonzero,
        mac_dense=np.full(batch, size * timesteps, np.int64),
    )


def both(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where two signals that broadcast are both active, for each timestep and sample."""
    rank = max(left.ndim, right.ndim)
    left, right = (a.reshape(*a.shape[:2], *([1] * (rank - a.ndim)), *a.shape[2:]) for a in (left, right))
    return np.asarray(left & right)


def synapse_operations(
    x: Ints, synapses: int, fan: Fan, timesteps: int, *, is_events: bool, is_spiking: bool
) -> Operations:
    """The operations of synapses or pools that receive *x* [T or 1, B, ticks, *shape]."""
    flat = plain(x.reshape(*x.shape[:3], -1))
    met = np.zeros((x.shape[1], 4), np.int64)
    weigh(flat, fan.every, fan.nonzero, is_spiking, met)
    met *= timesteps // len(x)
    received = met[:, 2 if is_events else 3]
    none = np.zeros(len(met), np.int64)
    if is_spiking:
        return Operations(synapses, received, met[:, 0], met[:, 1], none, none, none)
    dense = np.full(len(met), synapses * x.shape[2] * timesteps, np.int64)
    return Operations(synapses, received, none, none, met[:, 0], met[:, 1], dense)


def summed_over_time(done: Operations, timesteps: int) -> Operations:
    """Operations counted for each timestep and sample [T * B], for each sample."""
    sums = {
        one.name: getattr(done, one.name).reshape(timesteps, -1).sum(axis=0)
        for one in fields(Operations)
        if one.name != "synapses"
    }
    return Operations(synapses=done.synapses, **sums)


def plain(x: Array) -> Ints:
    """*x* as a contiguous, writable array of 64-bit integers (the one type that kernels are compiled for)."""
    if x.flags.c_contiguous and x.flags.writeable and x.dtype == np.int64:
        return x
    return np.array(x, np.int64, order="C")
