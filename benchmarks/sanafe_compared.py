"""What the two say of one network: spikes, messages, events, energies, times stage by stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sanafe_cases import Case
from benchmarks.sanafe_oracle import MANY, decoded, oracle
from benchmarks.sanafe_ours import Ours, ours
from snncc.simulator.machine import Level

NINE_DIGITS = 5e-10
AGAIN = 4


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One network on both sides. *counts*: (theirs, ours) by event; *joules* as well; times in seconds."""

    case: Case
    neurons: int
    synapses: int
    spikes: int
    differing_spikes: int
    differing_messages: int
    counts: Mapping[str, tuple[int, int]]
    joules: Mapping[str, tuple[float, float]]
    awake: int
    hand: bool
    simple_error: float
    stages: Mapping[str, float]
    path: Mapping[str, float]
    blocked: int
    spread: float
    per_step: tuple[float, float]
    total: tuple[float, float]

    @property
    def energy_error(self) -> float:
        """The largest relative difference of an energy."""
        return max(apart(*pair) for pair in self.joules.values())

    @property
    def is_equal(self) -> bool:
        """Whether all that has to be equal is equal."""
        events = all(theirs == mine for theirs, mine in self.counts.values())
        return (
            self.hand
            and events
            and not self.differing_spikes
            and not self.differing_messages
            and self.energy_error < NINE_DIGITS
            and self.simple_error < NINE_DIGITS
            and (self.awake > 0 or apart(self.stages["latency"], self.stages["ranked"]) < NINE_DIGITS)
        )


def apart(theirs: float, mine: float) -> float:
    """The relative difference."""
    return abs(theirs - mine) / max(abs(theirs), abs(mine)) if theirs != mine else 0.0


def compared(case: Case, python: str) -> Compared:
    """Everything but speed."""
    mine = ours(case)
    with oracle(python, case, mine.placement) as sanafe:
        simple = sanafe.run("simple", trace=True)
        counting = sanafe.run("simple", count=True, trace=True)
        detailed = sanafe.run("detailed", trace=True, messages=True)
        endless = sanafe.run("detailed", buffer=MANY)
        again = [detailed["sim_time"], *(sanafe.run("detailed")["sim_time"] for _ in range(AGAIN))]
    timing, cycle = mine.timing(Level.ANALYTIC), mine.timing(Level.CYCLE)
    unit = mine.placement.chip.time_unit
    sync = timing.barrier * len(timing.steps) * unit
    stages = {name: steps * unit for name, steps in mine.staged().items()}
    stages |= {"simple": simple["sim_time"] - sync, "detailed": detailed["sim_time"] - sync}
    stages |= {"endless": endless["sim_time"] - sync}
    stages |= {name: detailed[name] for name in ("replayed", "ranked")}
    theirs = np.array(detailed["perf"]["sim_time"])
    off = mine.seconds(cycle.steps, cycle) / theirs - 1
    ways, found = {tuple(way) for way in mine.ways()}, {tuple(way) for way in detailed["ways"]}
    network = mine.placement.network
    return Compared(
        case=case,
        neurons=sum(p.size for p in network.populations.values()),
        synapses=sum(
            int(k.sum()) for of in mine.synapses.values() for core in of.values() for k in core.values()
        ),
        spikes=int(sum(train.sum() for train in mine.trains.values())),
        differing_spikes=len(
            spikes_of(mine) ^ {(t, n, i) for t, s in enumerate(simple["fired"], 1) for n, i in s}
        ),
        differing_messages=len(ways ^ found),
        counts=counts_of(mine, simple, decoded(counting["perf"])),
        joules=joules_of(mine, simple),
        awake=int(mine.awake.sum()),
        hand=bool(np.array_equal(mine.by_hand(), timing.steps)),
        simple_error=step_error(simple["perf"]["sim_time"], mine.seconds(mine.by_hand(mine.awake), timing)),
        stages=stages,
        path=detailed["path"],
        blocked=detailed["blocked"],
        spread=max(again) / min(again) - 1,
        per_step=(float(off.min()), float(off.max())),
        total=(detailed["sim_time"], float(mine.seconds(cycle.steps, cycle).sum())),
    )


def spikes_of(mine: Ours) -> set[tuple[int, str, int]]:
    """(timestep from 1, population, neuron) of every spike."""
    return {
        (int(t) + 1, name, int(neuron))
        for name, train in mine.trains.items()
        for t, _, neuron in zip(*np.nonzero(train), strict=True)
    }


def step_error(theirs: Sequence[float], mine: Iterable[float]) -> float:
    """The largest relative difference of the time of a step."""
    return max(apart(a, float(b)) for a, b in zip(theirs, mine, strict=True))


def counts_of(mine: Ours, simple: Any, found: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Events, as (theirs, ours). Updates of ours include those of neurons that are `awake`."""
    timing = mine.timing(Level.CYCLE)
    kinds = mine.program.stations.kinds
    events = {name: int(counts.sum()) for name, counts in timing.events.items()}
    events["update"] += int(mine.awake.sum())
    for link in ("east_west", "north_south"):
        events[link] = int(sum(n for n, kind in zip(timing.messages, kinds, strict=True) if kind == link))
    theirs = {**found, "message_out": simple["packets_sent"]}
    return {name: (count, events[name]) for name, count in theirs.items()}


def joules_of(mine: Ours, simple: Any) -> dict[str, tuple[float, float]]:
    """Energies, as (theirs, ours); the updates as in `counts_of`."""
    timing = mine.timing(Level.CYCLE)
    kinds, costs = mine.energy(timing).kinds, mine.placement.chip.operations
    awake = int(mine.awake.sum()) * costs.update.energy * 1e-12
    sums = {
        "synapse": ("dense", "conv", "sparse"),
        "soma": ("access", "update", "spike"),
        "network": ("message_out", "message_in", "east_west", "north_south"),
    }
    found = {unit: (simple["energy"][unit], sum(kinds[n] for n in of)) for unit, of in sums.items()}
    found["soma"] = (found["soma"][0], found["soma"][1] + awake)
    total = sum(kinds.values()) + awake
    return {**found, "total": (simple["energy"]["total"], total)}
