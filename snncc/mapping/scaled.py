"""A network spread over a given number of cores, evenly by work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snncc.mapping.cut import Cutter
from snncc.mapping.demand import NOTHING, Demand, Demands, DoesNotFitChip, Piece
from snncc.mapping.load import Held, Load
from snncc.mapping.pack import is_shared
from snncc.mapping.split import placed_populations, split
from snncc.mapping.traffic import Floats, work


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
