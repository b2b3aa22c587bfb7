"""What a run on the machine of `MACHINE.md` took: of one sample, all steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip
from snncc.errors import CannotLower

Ints = NDArray[np.int64]
BINS = 32
"""Bins of a histogram of depths: bin k counts depths of k + 1 binary digits."""
EVENTS = (
    *("access", "update", "spike", "message_out", "message_in", "port"),
    *("dense", "conv", "sparse", "mac"),
    *("write", "read", "host"),
)
"""What is counted of each core (the port is the core after the last one, and so is the host), in this order.

``write``, ``read``: entries of accumulators; ``host``: multiply-accumulates of the host.
"""


LATEST = 1 << 62
"""No time is later: 64 bits hold the sum of two."""


def check_time(chip: Chip, time: int) -> None:
    """Raise `CannotLower` where *time*, in units of *chip*, is too late."""
    if time > LATEST:
        raise CannotLower(
            f"{chip.name}: a run may take up to {time:.3g} units of its time "
            f"({time * chip.time_unit:.3g} s), and times are counted to {LATEST:.3g} units",
            hint="run fewer timesteps, or look for times of the chip that are too long for its time_unit",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Times are counts of the chip's unit.

    *steps* [S]: the time of each step without its synchronization, which takes *barrier* each.
    *stations* are named in rank order; by station: *busy* (neuron and synapse units: time at work; links: 0),
    *stalled* (neuron units: time waiting for a slot; others: 0), *messages* (neuron units: sent; others:
    taken from their queue), *deepest* and *depths* [stations, BINS] of their queues (neuron units: 0).
    *counts* [EVENTS, cores + 1]: how often each event happened.
    """

    steps: Ints
    barrier: int
    stations: tuple[str, ...]
    busy: Ints
    stalled: Ints
    messages: Ints
    deepest: Ints
    depths: Ints
    counts: Ints

    @property
    def events(self) -> dict[str, Ints]:
        """*counts* by the names of `EVENTS`."""
        return dict(zip(EVENTS, self.counts, strict=True))

    @property
    def total(self) -> int:
        """Time from the first step to the end of the last synchronization."""
        return int(np.add.reduce(self.steps)) + self.barrier * len(self.steps)
