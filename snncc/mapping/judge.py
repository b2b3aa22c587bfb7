"""What a placement costs: time and traffic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snncc.mapping.load import Load
from snncc.mapping.masks import Ints
from snncc.mapping.pace import Pace
from snncc.mapping.placement import Part, Placement, Schedule
from snncc.mapping.room import Room
from snncc.mapping.traffic import Floats, Trace
from snncc.mapping.trees import Trees, intervals

RELIEFS = 60
"""Moves of parts off busy links that are tried."""


def weighed(values: tuple[float, float], base: tuple[float, float]) -> float:
    """The cost of (time, traffic) against those at the start."""
    return sum(now / was for now, was in zip(values, base, strict=True) if was > 0)


class Judge:
    """The cost of the pieces of *load* on other cores, relative to what it is at the start."""

    def __init__(self, load: Load, trace: Trace, schedule: Schedule) -> None:
        self.load, self.chip, self.schedule = load, load.chip, schedule
        self.pace = Pace(load.demands, [piece for piece, _ in load.held], trace, schedule)
        self.trees, self.room, self.intervals = Trees(self.pace), Room(load), intervals(load.chip)
        self.start = np.array([core for _, core in load.held], np.int64)
        self.base = self.values(self.start)

    def values(self, at: Ints) -> tuple[float, float]:
        """Time and traffic, with piece k on core at[k]."""
        pace, tiles = self.pace, at // self.chip.fabric.cores_per_tile
        units, links = self.times(at)
        barrier = self.chip.barrier_time(len(np.unique(tiles)))
        reached = self.trees.reached(at)
        moved = self.trees.loads(reached, at).sum(axis=1) + self.trees.ends(reached)
        slowest = np.maximum(units.max(axis=(0, 1)), links.max(axis=1, initial=0.0))
        return float((slowest + barrier) @ pace.counts), float(pace.counts @ pace.active @ moved)

    def times(self, at: Ints) -> tuple[Floats, Floats]:
        """The times of units [cores, 2, steps] and of links [steps, links]."""
        carried = self.trees.loads(self.trees.reached(at), at)
        return self.pace.loads(at), self.pace.active @ carried * self.intervals

    def hops(self, at: Ints) -> float:
        """Messages x hops in one inference: what links between routers carry."""
        carried = self.trees.loads(self.trees.reached(at), at).sum(axis=1)
        return float(self.pace.counts @ self.pace.active @ carried)

    def cost(self, at: Ints) -> float:
        """The cost, 2 at the start (less where time or traffic are 0)."""
        return weighed(self.values(at), self.base)

    def is_within(self, at: Ints) -> bool:
        """Whether all limits are respected."""
        if self.room.is_free and self.chip.limits.fan_out is None:
            return True
        held = [(piece, int(core)) for (piece, _), core in zip(self.load.held, at, strict=True)]
        return not any(usage.is_over for usage in Load(self.load.demands, held).usages())

    def better(self, at: Ints, other: Ints, most: float) -> Ints:
        """*other* if it costs less than *at*, breaks no limit, and has at most *most* messages x hops."""
        is_less = self.cost(other) < self.cost(at) * (1 - 1e-9)
        return other if is_less and self.hops(other) <= most and self.is_within(other) else at

    def relieved(self, at: Ints, allowed: Sequence[int], rng: np.random.Generator, most: float) -> Ints:
        """Pieces moved off the busiest links, as long as links are what takes longest."""
        tries = RELIEFS
        while tries > 0:
            units, links = self.times(at)
            over = (links.max(axis=1, initial=0.0) - units.max(axis=(0, 1))) * self.pace.counts
            step = int(np.argmax(over))
            if over[step] <= 0:
                break
            link = int(np.argmax(links[step]))
            users = self.trees.users(at, link, self.pace.active[step])
            found = None
            while found is None and tries > 0 and len(users):
                tries -= 1
                trial = at.copy()
                one, place = int(rng.choice(users)), int(rng.choice(np.asarray(allowed)))
                trial[one] = place
                if tries % 2 and np.any(at == place):
                    trial[int(rng.choice(np.flatnonzero(at == place)))] = at[one]
                if self.better(at, trial, most) is trial:
                    found = trial
            if found is None:
                break
            at = found
        return at

    def placement(self, at: Ints) -> Placement:
        """Piece k on core at[k]."""
        parts = tuple(
            Part(piece.population, int(core), piece.addresses)
            for piece, core in zip(self.pace.pieces, at, strict=True)
        )
        return Placement(self.chip, self.load.demands.network, parts, self.schedule)
