"""What is known before the first spike: which sweeps there are, and in which order neurons are visited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip
from snncc.ir.arrays import Array
from snncc.mapping.placement import Part, Placement
from snncc.mapping.schedule import steps_of
from snncc.simulator.timing import check_time

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """The sweeps of a run of some length; frames (timesteps x ticks) of all senders one after another.

    *of* has the chip step of each frame by population, readouts included; *step* [frames] that of the
    senders, *offset* [frames] the global number of the population's first neuron. By global number *part* and
    *local* say where a neuron is; *unit* [parts] is the part's core, *working* all neuron units that may
    work, *order* the parts by core, then as the core sweeps them. *begin* [steps, parts]: visits of the core
    before the part's first. *visits* [steps, units], without those of the port, *total* [units] in all.
    *macs* [steps] are those of the host, which take *lead* before the port sends.
    """

    steps: int
    of: Mapping[str, Ints]
    step: Ints
    offset: Ints
    parts: tuple[Part, ...]
    part: Array
    local: Array
    unit: Ints
    working: Ints
    order: Ints
    begin: Ints
    visits: Ints
    total: Ints
    macs: Ints
    lead: Ints


def calendar_of(placement: Placement, offsets: Mapping[str, int], timesteps: int) -> Calendar:
    """The calendar of a run of *timesteps*."""
    network, units = placement.network, placement.chip.fabric.cores + 1
    steps, of = frames_of(placement, timesteps)
    parts = parts_of(placement)
    part, local = (np.zeros(sum(p.size for p in network.populations.values()), np.int32) for _ in range(2))
    begin, visits = np.zeros((steps, len(parts)), np.int64), np.zeros((steps, units), np.int64)
    for k, one in enumerate(parts):
        numbers = one.addresses + offsets[one.population]
        part[numbers], local[numbers] = k, np.arange(len(one.addresses))
        own = of[one.population]
        begin[own, k] = visits[own, one.core]
        visits[own, one.core] += len(one.addresses)
    visits[:, -1] = 0  # the port visits nothing
    unit = np.array([one.core for one in parts])
    macs = macs_of(placement, of, steps, timesteps)
    lead = [host_time(placement.chip, int(n)) for n in macs]
    check_time(placement.chip, sum(lead))
    return Calendar(
        steps=steps,
        of=of,
        step=np.concatenate([of[name] for name in network.senders]),
        offset=np.concatenate([np.full(len(of[name]), offsets[name]) for name in network.senders]),
        parts=parts,
        part=part,
        local=local,
        unit=unit,
        working=np.unique([*unit, units - 1]),
        order=np.argsort(unit, kind="stable"),
        begin=begin,
        visits=visits,
        total=visits.sum(axis=0),
        macs=macs,
        lead=np.array(lead, np.int64),
    )


def macs_of(placement: Placement, of: Mapping[str, Ints], steps: int, timesteps: int) -> Ints:
    """What the host computes in each step, [steps]."""
    macs = np.zeros(steps, np.int64)
    for name, task in placement.network.tasks.items():
        ticks = placement.network.populations[name].steps
        for t in range(timesteps):
            macs[of[name][t * ticks]] += task.macs(t, timesteps)
    return macs


def host_time(chip: Chip, macs: int) -> int:
    """The time that the host takes for *macs*, rounded up to whole units."""
    if not macs or chip.host is None:
        return 0
    rate = Fraction(str(chip.host.macs_per_second)) * Fraction(str(chip.time_unit))
    return ceil(macs / rate)


def frames_of(placement: Placement, timesteps: int) -> tuple[int, dict[str, Ints]]:
    """How many chip steps there are, and in which of them each population is swept."""
    network = placement.network
    found = {name: np.full((timesteps, p.steps), -1) for name, p in network.populations.items()}
    steps = -1
    for steps, sweeps in enumerate(steps_of(network, placement.schedule, timesteps)):
        for name, t, tick in sweeps:
            found[name][t, tick] = steps
    return steps + 1, {name: of.reshape(-1) for name, of in found.items()}


def parts_of(placement: Placement) -> tuple[Part, ...]:
    """All parts; inputs that enter by the port are parts of the core after the last one."""
    port = [
        Part(p.name, placement.chip.fabric.cores, np.arange(p.size))
        for p in placement.network.populations.values()
        if placement.is_at_port(p.name)
    ]
    return (*placement.parts, *port)
