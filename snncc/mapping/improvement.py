"""Placements made better against a measured trace.

The cost of a placement is the sum of two ratios, each to its value at the start (a ratio to 0 is left out):

- the time of one inference: the sum over the chip steps of the longest unit or the busiest link in each, and
  of the synchronizations (`snncc.mapping.pace`, `snncc.mapping.trees`);
- the traffic: messages x links, also the two between cores and routers; of a multicast message the links of
  its tree.

1. Whole contents of cores change places, which breaks no limit: simulated annealing of messages x hops.
2. Parts change places or move, where the sums of what they need fit: simulated annealing of the times of
   units and of messages x hops. This may take more cores into use. A message to several parts counts for each
   of them alone here.
3. Where a link is what takes longest, parts that load it move, as long as that lowers the cost.

The result of each is kept only if it lowers the cost and breaks no limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snncc.mapping.demand import Demands
from snncc.mapping.judge import Judge, weighed
from snncc.mapping.load import Held, Load, load_of
from snncc.mapping.masks import Ints
from snncc.mapping.pack import is_shared
from snncc.mapping.place import moved, snake
from snncc.mapping.placement import Placement
from snncc.mapping.traffic import Floats, Traffic, hops, messages, spikes_of, trace_of

TRIES = 1500
"""Exchanges that are tried for each core in use, up to `MOST`."""
MOST = 60_000
HOT, COLD = 1.0, 0.003
"""First and last temperature, as parts of the messages x hops of one core at the start."""
SHIFTS, MOST_SHIFTS = 300, 100_000
"""Moves that are tried for each part, and in all."""
WARM, COOL = 0.004, 0.00004
"""First and last temperature for moves of parts, of a cost that is 2 at the start."""


def improve(
    placement: Placement,
    traffic: Traffic | None,
    seed: int = 0,
    cores: Sequence[int] | None = None,
    *,
    is_bound: bool = False,
) -> Placement:
    """*placement* with no higher cost, parts on *cores* (default: any). One result for each *seed*.

    *is_bound*: nor with more messages x hops, however much time they save.
    """
    chip, trace = placement.chip, trace_of(placement.network, traffic)
    allowed = cores if cores is not None else snake(chip, chip.fabric.columns, chip.fabric.rows)
    start = load_of(placement, Demands(placement.network, chip))
    if not start.held:
        return placement
    rng, judge = np.random.default_rng(seed), Judge(start, trace, placement.schedule)
    most = judge.hops(judge.start) if is_bound else np.inf
    exchanged = annealed(start, spikes_of(placement.network, traffic), allowed, rng)
    at = judge.better(judge.start, np.array([core for _, core in exchanged]), most)
    if is_shared(chip) and chip.limits.fan_out is None:
        at = judge.better(at, Shift(judge, at, allowed, is_bound).run(rng), most)
        at = judge.relieved(at, allowed, rng, most)
    return judge.placement(at)


def cost(placement: Placement, start: Placement, traffic: Traffic | None) -> float:
    """What `improve` minimizes: the cost of *placement*, relative to *start*, whose cost is 2 at most."""
    demands, trace = Demands(placement.network, placement.chip), trace_of(placement.network, traffic)
    first, last = (Judge(load_of(one, demands), trace, one.schedule) for one in (start, placement))
    return weighed(last.values(last.start), first.base)


def annealed(
    load: Load, spikes: Mapping[str, Floats], allowed: Sequence[int], rng: np.random.Generator
) -> list[Held]:
    """Contents on other cores, with no larger sum of messages x hops."""
    used = list(dict.fromkeys(core for _, core in load.held))
    if len(used) < 1 or not load.held:
        return list(load.held)
    sent, far = messages(load, spikes), hops(load.chip)
    best = Exchange(load, used, allowed, sent, far).run(rng)
    return moved(load.held, dict(zip(used, best.tolist(), strict=True)))


class Exchange:
    """Simulated annealing over the places of contents.

    *between* [contents, contents] has messages both ways, *port* [contents] those from the port.
    """

    def __init__(
        self, load: Load, used: Sequence[int], allowed: Sequence[int], sent: Floats, far: Floats
    ) -> None:
        limits = load.chip.cores
        self.far, self.at = far, np.array(used)
        self.between = sent[np.ix_(used, used)] + sent[np.ix_(used, used)].T
        self.port = sent[-1, used]
        places = dict.fromkeys([*used, *allowed])
        self.choices = [np.array([c for c in places if limits[c] == limits[core]]) for core in used]
        self.holder = np.full(len(limits), -1)
        self.holder[self.at] = np.arange(len(used))

    def total(self) -> float:
        """The sum of messages x hops."""
        inner = (self.between * self.far[np.ix_(self.at, self.at)]).sum() / 2
        return float(inner + self.port @ self.far[-1, self.at])

    def change(self, one: int, place: int, other: int) -> float:
        """By how much the sum grows if *one* and *other*, who holds *place* (-1: nobody), are exchanged."""
        old = int(self.at[one])
        step = self.far[place, self.at] - self.far[old, self.at]
        pull = self.between[one].copy()
        port = self.port[one]
        if other >= 0:
            pull -= self.between[other]
            pull[other] = 0.0
            port = port - self.port[other]
        pull[one] = 0.0
        return float(pull @ step + port * (self.far[-1, place] - self.far[-1, old]))

    def run(self, rng: np.random.Generator) -> Ints:
        """The best places found."""
        count = len(self.at)
        tries = min(MOST, TRIES * count)
        best, cost = self.at.copy(), self.total()
        lowest, scale = cost, cost / max(1, count)
        heat = scale * HOT * (COLD / HOT) ** (np.arange(tries) / tries)
        who, chance, luck = rng.integers(0, count, tries), rng.random(tries), rng.random(tries)
        for k in range(tries):
            one = int(who[k])
            choices = self.choices[one]
            place = int(choices[int(chance[k] * len(choices))])
            other = int(self.holder[place])
            if other == one:
                continue
            change = self.change(one, place, other)
            if change > 0 and (heat[k] <= 0 or luck[k] >= np.exp(-change / heat[k])):
                continue
            self.swap(one, place, other)
            cost += change
            if cost < lowest - 1e-9 * scale:
                best, lowest = self.at.copy(), cost
        return best

    def swap(self, one: int, place: int, other: int) -> None:
        """Do what `change` weighs."""
        old = int(self.at[one])
        self.at[one], self.holder[place], self.holder[old] = place, one, other
        if other >= 0:
            self.at[other] = old


class Shift:
    """Simulated annealing over the cores of pieces: times of units, and messages x hops."""

    def __init__(self, judge: Judge, at: Ints, allowed: Sequence[int], is_bound: bool) -> None:
        self.is_bound = is_bound
        pace, self.room = judge.pace, judge.room
        self.at, self.counts, self.unit, self.slow = at.copy(), pace.counts, pace.unit, pace.slow
        self.cores = np.array(sorted({*at.tolist(), *allowed}))
        self.far = hops(judge.chip)
        self.both = pace.flow[:-1] + pace.flow[:-1].T
        np.fill_diagonal(self.both, 0.0)
        self.port = pace.flow[-1]
        self.load, self.used = pace.loads(at), self.room.used(at)
        inner = self.both.sum() + (self.both * self.far[np.ix_(at, at)]).sum() / 2
        self.base = self.time(), float(inner + self.port @ (self.far[-1, at] + 2))

    def time(self) -> float:
        """The sum over steps of the longest unit."""
        return float(self.load.max(axis=(0, 1)) @ self.counts)

    def run(self, rng: np.random.Generator) -> Ints:
        """The best cores found."""
        count, (time, links) = len(self.at), self.base
        if time <= 0 or links <= 0 or len(self.cores) < 2:
            return self.at
        tries = min(MOST_SHIFTS, SHIFTS * count)
        heat = WARM * (COOL / WARM) ** (np.arange(tries) / tries)
        who, partner = rng.integers(0, count, (2, tries))
        place, is_swap = rng.choice(self.cores, tries), rng.random(tries) < 0.5
        luck = -np.log1p(-rng.random(tries)) * heat
        best, now, lowest, pace, over = self.at.copy(), 0.0, 0.0, time, 0.0
        for k in range(tries):
            one, other = int(who[k]), int(partner[k]) if is_swap[k] else -1
            old, new = int(self.at[one]), int(self.at[other] if other >= 0 else place[k])
            if old == new or not self.has_room(one, other, old, new):
                continue
            far = self.farther(one, other, old, new) / links
            if self.is_bound and over + far > 1e-12:
                continue
            unit = self.unit[one] if other < 0 else self.unit[one] - self.unit[other]
            self.load[old] -= unit * self.slow[old]
            self.load[new] += unit * self.slow[new]
            later = self.time()
            change = (later - pace) / time + far
            if change > luck[k]:
                self.load[old] += unit * self.slow[old]
                self.load[new] -= unit * self.slow[new]
                continue
            self.take(one, other, old, new)
            now, pace, over = now + change, later, over + far
            if now < lowest - 1e-9:
                best, lowest = self.at.copy(), now
        return best

    def has_room(self, one: int, other: int, old: int, new: int) -> bool:
        """Whether *one* fits on *new*, and *other* (-1: nobody) on *old* instead."""
        if self.room.is_free:
            return True
        needs, limits = self.room.needs, self.room.limits
        step = needs[one] - (needs[other] if other >= 0 else 0.0)
        is_there = bool(np.all((self.used[new] + step <= limits[new]) | (step <= 0)))
        return is_there and bool(np.all((self.used[old] - step <= limits[old]) | (step >= 0)))

    def farther(self, one: int, other: int, old: int, new: int) -> float:
        """By how much messages x hops grow."""
        step = self.far[new, self.at] - self.far[old, self.at]
        pull, port = self.both[one], self.port[one]
        if other < 0:
            return float(pull @ step + port * (self.far[-1, new] - self.far[-1, old]))
        grown = (
            (pull - self.both[other]) @ step - pull[other] * step[other] + self.both[other, one] * step[one]
        )
        return float(grown + (port - self.port[other]) * (self.far[-1, new] - self.far[-1, old]))

    def take(self, one: int, other: int, old: int, new: int) -> None:
        """Move *one* to *new*, and *other* (-1: nobody) to *old*."""
        step = self.room.needs[one] - (self.room.needs[other] if other >= 0 else 0.0)
        self.used[old] -= step
        self.used[new] += step
        self.at[one] = new
        if other >= 0:
            self.at[other] = old
