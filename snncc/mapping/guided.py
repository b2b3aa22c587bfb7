"""Placements against a measured trace: proposals by a model, and the choice among them.

The model (`snncc.mapping.judge`) leaves out queues. Where these are bounded, a full one stops what feeds
it: a neuron unit waits for the synapse unit that is behind, and with it wait the messages to units that idle.
Work that is spread evenly over a step may come to one unit after another within it, so a placement that is
faster by the model can be the slower one. So what the model proposes is timed (`Measure`: on the machine
itself, where the caller has one), and so is the order in which cores sweep their parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np

from snncc.ir import Shape
from snncc.mapping.cut import Cutter
from snncc.mapping.demand import Demands, Piece
from snncc.mapping.improvement import improve
from snncc.mapping.judge import Judge
from snncc.mapping.load import Load, load_of
from snncc.mapping.masks import Ints
from snncc.mapping.pace import Pace
from snncc.mapping.pack import is_shared
from snncc.mapping.placement import Placement
from snncc.mapping.room import Room
from snncc.mapping.scaled import effort
from snncc.mapping.split import placed_populations
from snncc.mapping.traffic import Trace, Traffic, hops, trace_of


class Measure(Protocol):
    """Times placements."""

    def __call__(self, placement: Placement, *, is_short: bool) -> tuple[float, float]:
        """The time of *placement*, and its messages x hops; infinite where it cannot run.

        *is_short*: of a part of the trace, to compare many.
        """


FINENESS = (2.0, 1.0, 0.5, 0.25)
"""The most parts of a population, in parts of the number of cores, that are tried."""
PARTS = 800
"""More parts than cores are tried only where that makes at most so many in all."""
SHARE = 0.95
"""The most messages x hops of other cuts, in parts of what they were."""
WEIGHTS = (2.0, 0.7, 0.4, 0.3, 0.2, 0.14, 0.1)
"""Of the times of steps against messages x hops, that are tried."""
KEPT, POLISHED, CONFIRMED = 5, 2, 3
"""So many proposals, the fastest by the model, are timed; so many are improved; so many timed in full."""
MOST_RUNS = KEPT + POLISHED + 3 + CONFIRMED + 1
"""No more placements are timed, in part or in full."""


class Trials:
    """Placements that were timed by *measure* on a part of the trace; *first* is the one to beat.

    *used*: the most cores that the others may use; None: any number.
    """

    def __init__(self, first: Placement, measure: Measure, used: int | None) -> None:
        self.first, self.measure, self.used = first, measure, used
        self.found: list[tuple[float, float, int, Placement]] = []
        self.time(first)

    def time(self, one: Placement) -> float:
        """The time of *one*; infinite where it is out of the question."""
        if self.used is not None and len({part.core for part in one.parts}) > self.used:
            return np.inf
        time, far = self.measure(one, is_short=True)
        self.found.append((time, far, len(self.found), one))
        return time

    @property
    def ranked(self) -> list[Placement]:
        """The fastest first; of those that take the same time the one with the fewest messages x hops."""
        return [one for _, _, _, one in sorted(self.found, key=lambda trial: trial[:3])]

    def best(self) -> Placement:
        """The fastest that takes less time than the first on the whole trace, with no more messages x hops.

        (Or the same time with fewer.) The first if there is none.
        """
        limit: tuple[float, float] | None = None
        for one in self.ranked[:CONFIRMED]:
            if one is self.first:
                break
            limit = limit or self.measure(self.first, is_short=False)
            cost = self.measure(one, is_short=False)
            if cost < limit and cost[1] <= limit[1]:
                return one
        return self.first


def guided(
    start: Placement,
    demands: Demands,
    traffic: Traffic,
    seed: int,
    cores: Sequence[int],
    *,
    may_cut: bool,
    measure: Measure | None = None,
) -> Placement:
    """A placement that takes less time than *start*, with no more messages x hops; *start* if none is found.

    Timed by *measure* (None: by the model) are, on a part of the trace: *start*; `KEPT` with other cuts (if
    they *may_cut*: on no more cores than *start*); the fastest `POLISHED` of these, and *start*, improved;
    the fastest of all with the parts of all cores swept in the reverse order. Then the fastest are, until one
    is better than *start* on the whole trace, at most `CONFIRMED`. One result for each *seed*.
    """
    trace = trace_of(start.network, traffic)
    if not start.parts:
        return start
    used = len({part.core for part in start.parts}) if may_cut else None
    trials = Trials(start, measure or modelled(start, demands, trace), used)
    cuts = list(islice(proposals(start, demands, trace, cores), KEPT)) if may_cut else []
    fastest = np.argsort([trials.time(one) for one in cuts], kind="stable")[:POLISHED]
    for one in (*(cuts[k] for k in fastest), start):
        trials.time(improve(one, traffic, seed, cores, is_bound=True))
    best = trials.ranked[0]
    trials.time(replace(best, parts=best.parts[::-1]))
    return trials.best()


def modelled(start: Placement, demands: Demands, trace: Trace) -> Measure:
    """`Measure` by the model, without queues."""

    def measure(placement: Placement, *, is_short: bool) -> tuple[float, float]:
        del is_short  # by the model the whole takes no longer
        judge = Judge(load_of(placement, demands), trace, start.schedule)
        return judge.base[0], judge.hops(judge.start)

    return measure


def proposals(start: Placement, demands: Demands, trace: Trace, cores: Sequence[int]) -> Iterator[Placement]:
    """Placements with other cuts and at most `SHARE` of the messages x hops of *start*, the fastest first.

    Populations are cut more or less finely (`FINENESS`, `finely`), so that no step has to wait for one core.
    Then part after part, in network order, goes to the core where it adds least to the times of steps and to
    messages x hops (`gathered`), for several `WEIGHTS` of these two.
    """
    placed = placed_populations(demands.network, demands.chip)
    if not is_shared(demands.chip):
        return
    first = Judge(load_of(start, demands), trace, start.schedule)
    most = SHARE * first.hops(first.start)
    found: list[tuple[float, int, Judge, Ints]] = []
    for fineness in FINENESS:
        count = max(1, int(fineness * len(cores)))
        if fineness > 1 and count * len(placed) > PARTS:
            continue
        cutter = Cutter(demands, count)
        cuts = [finely(cutter, trace, name, len(cores)) for name in placed]
        if not all(cuts):
            continue
        pieces = [piece for cut in cuts for piece in cut]
        judge = Judge(Load(demands, [(piece, cores[0]) for piece in pieces]), trace, start.schedule)
        for weight in WEIGHTS:
            at = gathered(judge.pace, judge.room, cores, weight)
            if at is not None and judge.hops(at) <= most:
                found.append((judge.values(at)[0], len(found), judge, at))
    seen = set()
    for _, _, judge, at in sorted(found, key=lambda one: one[:2]):
        key = (id(judge), at.tobytes())
        if key not in seen and judge.is_within(at):
            yield judge.placement(at)
        seen.add(key)


def finely(cutter: Cutter, trace: Trace, population: str, cores: int) -> list[Piece]:
    """The parts of *population* with which *cores* cores would be done with it first; [] if none fit.

    By the bound of list scheduling: the mean work of a core and the largest part together. More parts make
    more messages, and fill lanes worse. Rates are taken to be the same everywhere.
    """
    timesteps = cutter.network.timesteps
    rates = {n: np.full(e.shape[1], e.mean(dtype=np.float64) * timesteps) for n, e in trace.items()}
    size, count = cutter.network.populations[population].size, cutter.cores
    options: list[tuple[float, int, Shape]] = []
    while count:
        possible = cutter.middles(population, min(count, size))
        if possible:
            piece, grid = possible[0]
            bound = effort(cutter.demands, piece, rates) * (1 + min(count, size) / cores)
            options.append((bound, len(options), grid))
            if bound > 2 * min(options)[0]:
                break
        count //= 2
    for _, _, grid in sorted(options):
        found = cutter.boxed(population, grid)
        if all(map(cutter.fits, found)):
            return found
    return []


def gathered(pace: Pace, room: Room, cores: Sequence[int], weight: float) -> Ints | None:
    """A core for each piece, one after another, where it adds least; None: there is no room.

    Times count to the fourth power: the longest ones above all.
    """
    places, at = np.array(sorted(cores)), np.full(len(pace.pieces), -1)
    far, both = hops(pace.demands.chip), pace.flow[:-1] + pace.flow[:-1].T
    load, used = np.zeros((len(places), *pace.unit.shape[1:])), np.zeros((len(places), room.limits.shape[1]))
    crowd = np.zeros_like(load)
    slow = pace.slow[places][:, None, None]
    for k, unit in enumerate(pace.unit):
        known = np.flatnonzero(at >= 0)
        near = both[k, known] @ far[np.ix_(at[known], places)] + pace.flow[-1, k] * far[-1, places]
        grown = ((np.square(np.square(load + unit * slow)) - crowd) @ pace.counts).sum(axis=1)
        costs = near / max(near.max(), 1e-9) + weight * grown / max(grown.max(), 1e-9)
        costs[np.any(used + room.needs[k] > room.limits[places], axis=1)] = np.inf
        best = int(np.argmin(costs))
        if np.isinf(costs[best]):
            return None
        at[k] = places[best]
        load[best] += unit * pace.slow[places[best]]
        crowd[best] = load[best] ** 4
        used[best] += room.needs[k]
    return at
