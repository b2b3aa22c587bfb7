"""Executing an address table, event by event.

An event is a source address with the count that it carries in the timestep (a spike: 1). Each event adds
count x weight to every target of its list; the order does not matter, as integers add exactly.

By the rule "center" a timestep has two passes over its events, so they must wait until the last has come:

1. *open*: the event at (c, y, x), of any channel c, sets the flag of the one output position whose kernel
   has its center over (y, x): of row ``(y + top - dilation * (kernel // 2)) / stride``, columns likewise;
   none, if a division leaves a rest, or the position is outside of the output or masked. Several channels
   set the same flag.
2. *add*: each event walks its list, and adds only to targets whose position has its flag set.

Then all flags are cleared. Whatever its ticks, an expanded timestep is one timestep here: a center that
spikes in any tick opens its position for all of them, so pass 2 begins after the last tick.

(A chip that cannot read its events twice may sum everything into a buffer in one pass, set flags as it
goes, and hand on the sums of open positions alone: the same result, for more additions.)
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import BadInput
from snncc.mapping.masks import Bools, Ints
from snncc.mapping.tables import Table

CHUNK = 1 << 20
"""Synapses that are added at once."""
LIMIT = 2**63


def executed(table: Table, spikes: ArrayLike) -> Ints:
    """The sums that reach the targets, without shift and bias: [N, *shape] -> int64 [N, *out].

    *spikes* are bool or integer counts; each of the N, a timestep of a sample, is by itself. Raises
    `BadInput` for other numbers or shapes, and for counts whose sums could leave 64 bits.
    """
    counts = _counts(table, spikes)
    targets = prod(table.out)
    sums = np.zeros(len(counts) * targets, np.int64)
    timestep, source = np.nonzero(counts)
    flags = _flags(table, len(counts), timestep, source)
    step = max(1, CHUNK // max(1, table.fan_out))
    for start in range(0, len(source), step):
        some = slice(start, start + step)
        event, target, weight = table.synapses(source[some])
        at = timestep[some][event]
        added = counts[at, source[some][event]] * table.weights[weight]
        if flags is not None:
            is_open = flags[at, target % flags.shape[1]]
            at, target, added = at[is_open], target[is_open], added[is_open]
        np.add.at(sums, at * targets + target, added)
    return sums.reshape(len(counts), *table.out)


def active(table: Table, spikes: ArrayLike) -> Bools:
    """Which targets may receive in each timestep, bool [N, *out]; only these get the bias of their node.

    Without a mask all; by the rule "patch" those that are kept; by the rule "center" those whose position
    opens, too. *spikes* and errors as in `executed`.
    """
    counts = _counts(table, spikes)
    whole = (len(counts), *table.out)
    flags = _flags(table, len(counts), *np.nonzero(counts))
    if flags is not None:
        return np.broadcast_to(flags.reshape(len(counts), 1, *table.out[-2:]), whole).copy()
    if table.mask.keep is None:
        return np.ones(whole, bool)
    return np.broadcast_to(table.mask.scaled(*table.out[-2:]), whole).copy()


def _flags(table: Table, timesteps: int, timestep: Ints, source: Ints) -> Bools | None:
    """The open positions [timesteps, h * w] after all events (*timestep*, *source*) have opened theirs."""
    if not table.mask.needs_center:
        return None
    flags = np.zeros((timesteps, prod(table.out[-2:])), bool)
    opened = table.opened(source)
    flags[timestep[opened >= 0], opened[opened >= 0]] = True
    return flags


def _counts(table: Table, spikes: ArrayLike) -> Ints:
    """The counts by source address, int64 [N, sources]."""
    x = np.asarray(spikes)
    if x.dtype.kind not in "biu":
        raise BadInput(f"{table.name}: a table takes spikes or counts, not {x.dtype}")
    if x.ndim != len(table.shape) + 1 or x.shape[1:] != table.shape:
        raise BadInput(f"{table.name}: needs counts of shape [N, {_axes(table.shape)}], has {list(x.shape)}")
    most = max(abs(int(x.max(initial=0))), abs(int(x.min(initial=0))))
    largest = max(abs(int(table.weights.max(initial=0))), abs(int(table.weights.min(initial=0))))
    if most >= LIMIT or most * largest * table.fan_in >= LIMIT:
        raise BadInput(
            f"{table.name}: counts up to {most} and weights up to {largest} of {table.fan_in} synapses "
            "a target can leave the 64 bits of a sum"
        )
    return x.reshape(len(x), -1).astype(np.int64)


def _axes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
