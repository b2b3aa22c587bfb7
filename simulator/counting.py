"""How many operations nodes cost, from dense trains: the counts of `snncc.reference.count`."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array
from snncc.reference import Operations
from snncc.simulator.synapse_kernel import weigh
from snncc.simulator.synapse_table import Fan

Ints = NDArray[np.int64]


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


def synapse_operations(x: Ints, fan: Fan, timesteps: int, *, is_events: bool, is_spiking: bool) -> Operations:
    """The operations of synapses or pools that receive *x* [T or 1, B, ticks, *shape]."""
    flat = plain(x.reshape(*x.shape[:3], -1))
    met = np.zeros((x.shape[1], 4), np.int64)
    weigh(flat, fan.every, fan.nonzero, is_spiking, met)
    met *= timesteps // len(x)
    received = met[:, 2 if is_events else 3]
    return operations_of(
        *(fan, met[:, 0], met[:, 1], received), is_spiking=is_spiking, dense=x.shape[2] * timesteps
    )


def operations_of(
    fan: Fan, every: Ints, nonzero: Ints, received: Ints, *, is_spiking: bool, dense: int
) -> Operations:
    """The operations of a synapse node; *dense* is how often each synapse would be used if nothing slept."""
    none = np.zeros(len(every), np.int64)
    return Operations(
        synapses=fan.synapses,
        received=received,
        ac=every if is_spiking else none,
        ac_nonzero=nonzero if is_spiking else none,
        mac=none if is_spiking else every,
        mac_nonzero=none if is_spiking else nonzero,
        mac_dense=none if is_spiking else np.full(len(every), fan.synapses * dense, np.int64),
    )


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
