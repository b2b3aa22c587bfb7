"""Placements made better against a measured trace.

The cost of a placement is the sum of two ratios, each to its value at the start: messages x links (hops, and
the two links between cores and routers), and the time at work of the busiest core. So a percent of the one
weighs as much as a percent of the other. (A ratio to 0 is left out.) A message to several cores counts for
each of them alone, also with multicast: an upper bound of what its tree takes.

First whole contents of cores change places, which changes hops only: simulated annealing. Then parts move
off the busiest core, as long as that lowers the cost and breaks no limit; this may take more cores into use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snncc.mapping.demand import Demands, Piece
from snncc.mapping.load import Held, Load, load_of
from snncc.mapping.masks import Ints
from snncc.mapping.place import moved, snake
from snncc.mapping.placement import Part, Placement
from snncc.mapping.traffic import Floats, Traffic, busy, hops, messages, spikes_of, work

TRIES = 1500
"""Exchanges that are tried for each core in use, up to `MOST`."""
MOST = 150_000
HOT, COLD = 1.0, 0.003
"""First and last temperature, as parts of the messages x hops of one core at the start."""
MOVES = 24
"""Moves of parts that are tried."""


def improve(
    placement: Placement, traffic: Traffic | None, seed: int = 0, cores: Sequence[int] | None = None
) -> Placement:
    """*placement* with no higher cost, parts on *cores* (default: any). One result for each *seed*."""
    chip = placement.chip
    demands = Demands(placement.network, chip)
    spikes = spikes_of(placement.network, traffic)
    allowed = cores if cores is not None else snake(chip, chip.fabric.columns, chip.fabric.rows)
    load = load_of(placement, demands)
    held = annealed(load, spikes, allowed, np.random.default_rng(seed))
    held = relieved(Load(demands, held), Load(demands, load.held), spikes, allowed)
    parts = tuple(Part(piece.population, core, piece.addresses) for piece, core in held)
    return Placement(chip, placement.network, parts, placement.schedule)


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


def cost(placement: Placement, start: Placement, traffic: Traffic | None) -> float:
    """What `improve` minimizes: the cost of *placement*, relative to *start*, whose cost is 2 at most."""
    demands = Demands(placement.network, placement.chip)
    spikes = spikes_of(placement.network, traffic)
    return Judge(load_of(start, demands), spikes).cost(load_of(placement, demands))


class Judge:
    """The cost of loads, relative to the one at the start."""

    def __init__(self, start: Load, spikes: Mapping[str, Floats]) -> None:
        self.spikes, self.far = spikes, hops(start.chip)
        self.works: dict[Piece, tuple[float, float]] = {}
        self.base = self.values(start)

    def values(self, load: Load) -> tuple[float, float]:
        """Messages x links, and the time of the busiest core."""
        sent = messages(load, self.spikes)
        self.learn(load)
        return float((sent * (self.far + 2)).sum()), float(busy(load, sent, self.works).max(initial=0.0))

    def learn(self, load: Load) -> None:
        """Work out the times of pieces that are new."""
        for piece, _ in load.held:
            if piece not in self.works:
                self.works[piece] = work(load.demands, piece, self.spikes)

    def cost(self, load: Load) -> float:
        """The sum of both ratios."""
        return sum(now / base for now, base in zip(self.values(load), self.base, strict=True) if base > 0)

    def busiest(self, load: Load) -> int:
        """The core that works longest."""
        return int(np.argmax(busy(load, messages(load, self.spikes), self.works)))


def relieved(load: Load, start: Load, spikes: Mapping[str, Floats], allowed: Sequence[int]) -> list[Held]:
    """Parts moved off the busiest core, as long as that lowers the cost."""
    if not load.held:
        return []
    judge = Judge(start, spikes)
    cost, tries = judge.cost(load), MOVES
    while tries > 0:
        core = judge.busiest(load)
        mine = [k for k, (_, at) in enumerate(load.held) if at == core]
        others = sorted(
            (c for c in allowed if c != core), key=lambda c: (c in load.by_core, judge.far[core, c], c)
        )
        options = [(k, c) for c in others[:4] for k in mine] if len(mine) > 1 else []
        found = None
        for number, place in options[:tries]:
            tries -= 1
            held = [(piece, place if k == number else at) for k, (piece, at) in enumerate(load.held)]
            trial = Load(load.demands, held)
            if trial.by_core[place].fits(load.chip.cores[place]) and judge.cost(trial) < cost * (1 - 1e-9):
                found = trial
                break
        if found is None or any(usage.is_over for usage in found.usages()):
            break
        load, cost = found, judge.cost(found)
    return list(load.held)
