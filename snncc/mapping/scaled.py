"""A network spread over a given number of cores: evenly by work, or against a measured trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snncc.ir import Shape
from snncc.mapping.cut import Cutter
from snncc.mapping.demand import NOTHING, Demand, Demands, DoesNotFitChip, Piece
from snncc.mapping.judge import Judge
from snncc.mapping.load import Held, Load, load_of
from snncc.mapping.masks import Ints
from snncc.mapping.pace import Pace
from snncc.mapping.pack import is_shared
from snncc.mapping.placement import Placement
from snncc.mapping.room import Room
from snncc.mapping.split import placed_populations, split
from snncc.mapping.traffic import Floats, Trace, hops, work

FINENESS = (2.0, 1.0, 0.5, 0.25)
"""The most parts of a population, in parts of the number of cores, that are tried."""
PARTS = 800
"""More parts than cores are tried only where that makes at most so many in all."""
WEIGHTS = (2.0, 0.7, 0.4, 0.3, 0.2, 0.14, 0.1)
"""Of the times of steps against messages x hops, that are tried."""
SHARE = 0.95
"""The most messages x hops, in parts of what they were."""


def spread(demands: Demands, spikes: Mapping[str, Floats], cores: Sequence[int]) -> list[Held]:
    """Parts such that all *cores* have about as much to do (if there are neurons enough).

    Each population gets parts in proportion to its share of all work; then the largest part that has no
    core goes to the core with the least work, where it fits. Where that breaks a limit, cores are filled as
    without a given number of them (`split`). Raises `DoesNotFitChip`.
    """
    cutter = Cutter(demands, len(cores))
    placed = placed_populations(demands.network, demands.chip)
    try:
        pieces = [piece for name in placed for piece in cutter.pieces(name)]
    except DoesNotFitChip:
        return split(demands, cores)
    efforts = dict.fromkeys(placed, 0.0)
    for piece in pieces:
        efforts[piece.population] += effort(demands, piece, spikes)
    counts = shares(demands, efforts, len(cores))
    pieces = [piece for name in placed for piece in cutter.pieces(name, counts[name])]
    held = evened(demands, pieces, spikes, cores)
    if held is None or any(usage.is_over for usage in Load(demands, held).usages()):
        return split(demands, cores)
    return held


def effort(demands: Demands, piece: Piece, spikes: Mapping[str, Floats]) -> float:
    """Time of both units for *piece*; the number of its neurons where the chip's operations take no time."""
    into = sum(float(spikes[name][which].sum()) for name, which in piece.demand.axons.items())
    time = sum(work(demands, piece, spikes)) + into * demands.chip.operations.message_in.time
    return time or float(len(piece.addresses))


def shares(demands: Demands, efforts: Mapping[str, float], cores: int) -> dict[str, int]:
    """Into how many parts to cut each population, at least *cores* in all if there are neurons enough."""
    whole = sum(efforts.values())
    sizes = {name: min(demands.network.populations[name].size, cores) for name in efforts}
    counts = {name: max(1, min(sizes[name], round(e * cores / whole))) for name, e in efforts.items()}
    while sum(counts.values()) < cores:
        open_ones = [name for name in counts if counts[name] < sizes[name]]
        if not open_ones:
            break
        largest = max(open_ones, key=lambda name: efforts[name] / counts[name])
        counts[largest] += 1
    return counts


def evened(
    demands: Demands, pieces: Sequence[Piece], spikes: Mapping[str, Floats], cores: Sequence[int]
) -> list[Held] | None:
    """Each piece, the largest first, on the core that has room and is done first; None: there is none."""
    busy, room = np.zeros(len(cores)), [NOTHING] * len(cores)
    slow = np.array([demands.chip.cores[core].slowdown for core in cores], np.float64)
    efforts = [effort(demands, piece, spikes) for piece in pieces]
    where: dict[int, int] = {}
    for k in sorted(range(len(pieces)), key=lambda k: -efforts[k]):
        for place in np.argsort(busy + efforts[k] * (slow - slow.min()), kind="stable").tolist():
            both: Demand = room[place].plus(pieces[k].demand)
            is_free = is_shared(demands.chip) or not room[place].neurons
            if is_free and both.fits(demands.chip.cores[cores[place]]):
                break
        else:
            return None
        room[place], where[k] = both, cores[place]
        busy[place] += efforts[k] * slow[place]
    return [(piece, where[k]) for k, piece in enumerate(pieces)]


def guided(start: Placement, demands: Demands, trace: Trace, cores: Sequence[int]) -> Placement:
    """A placement faster than *start*, with at most `SHARE` of its messages x hops; *start* if there is none.

    Populations are cut more or less finely (`FINENESS`, `finely`), so that no step has to wait for one core.
    Then part after part, in network order, goes to the core where it adds least to the times of steps and to
    messages x hops (`gathered`), for several `WEIGHTS` of these two. The fastest is taken.
    """
    placed = placed_populations(demands.network, demands.chip)
    if not is_shared(demands.chip) or not start.parts:
        return start
    first = Judge(load_of(start, demands), trace, start.schedule)
    time, most, best = first.base[0], SHARE * first.hops(first.start), start
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
            if at is None or judge.hops(at) > most:
                continue
            now, _ = judge.values(at)
            if now < time and judge.is_within(at):
                time, best = now, judge.placement(at)
    return best


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
