"""Cutting one population into as few boxes as the cores allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from snncc.chips import CoreLimits
from snncc.ir import Shape
from snncc.mapping.box import boxes, grids, middle, volume
from snncc.mapping.demand import Demands, DoesNotFitChip, Piece, Usage
from snncc.mapping.express import layer

PROBES = 64
"""Neurons of a population that are looked at one by one."""


class Cutter:
    """Cuts the populations of one network for the cores of one chip."""

    def __init__(self, demands: Demands, cores: int) -> None:
        self.demands, self.cores = demands, cores
        self.network = demands.network
        self.classes: list[CoreLimits] = list(dict.fromkeys(demands.chip.cores))

    def fits(self, piece: Piece) -> bool:
        """Whether some core has room for *piece* alone."""
        return any(piece.demand.fits(core) for core in self.classes)

    def shape(self, population: str) -> Shape:
        return self.network.populations[population].shape

    def pieces(self, population: str, least: int = 1) -> list[Piece]:
        """The fewest boxes, but at least *least* (as far as there are neurons), each of which fits a core.

        Of as many boxes those that need the fewest in-axons: the fewest messages. Raises `DoesNotFitChip`.
        """
        size = self.network.populations[population].size
        if not size:
            return []
        for count in range(min(max(least, self.bound(size)), size), min(size, self.cores) + 1):
            found = self.gridded(population, count)
            if found:
                return found
        raise DoesNotFitChip(self.demands.chip.name, self.refusal(population))

    def bound(self, size: int) -> int:
        """The fewest boxes that so many neurons take."""
        limits = [core.neurons for core in self.classes]
        known = [limit for limit in limits if limit is not None]
        if len(known) < len(limits):
            return 1
        most = max(known, default=0)
        return -(-size // most) if most else size

    def middles(self, population: str, count: int) -> list[tuple[Piece, Shape]]:
        """Grids of *count* boxes with a largest box of each, which fits; fewest in-axons first."""
        shape = self.shape(population)
        possible = []
        for grid in grids(shape, count):
            box = middle(shape, grid)
            if self.bound(volume(box)) > 1:
                continue
            piece = self.demands.boxed(population, box)
            if self.fits(piece):
                possible.append((piece, grid))
        return sorted(possible, key=lambda one: (one[0].demand.in_axons, one[1]))

    def gridded(self, population: str, count: int) -> list[Piece]:
        """The best grid of *count* boxes, all of which fit; [] if there is none."""
        for _, grid in self.middles(population, count):
            found: list[Piece] = []
            for box in boxes(self.shape(population), grid):
                found.append(self.demands.boxed(population, box))
                if not self.fits(found[-1]):
                    break
            else:
                return found
        return []

    def boxed(self, population: str, grid: Shape) -> list[Piece]:
        """The pieces of a *grid*."""
        return [self.demands.boxed(population, box) for box in boxes(self.shape(population), grid)]

    def refusal(self, population: str) -> Sequence[Usage]:
        """Why *population* cannot be cut: one neuron is too much for any core, or there are too few cores."""
        alone = self.alone(population)
        if alone:
            return alone
        where = layer(self.network.populations[population])
        return [Usage(where, "cores", self.needed(population), self.cores)]

    def alone(self, population: str, probes: int = PROBES) -> Sequence[Usage]:
        """What the largest of some neurons needs too much of, on the core that comes closest."""
        size = self.network.populations[population].size
        if not size:
            return []
        found: Sequence[Usage] = []
        for probe in np.unique([*np.linspace(0, size - 1, probes).astype(np.int64), size // 2]):
            piece = self.demands.piece(population, np.array([probe]))
            if not self.fits(piece):
                where = f"{layer(self.network.populations[population])}, one neuron"
                every = ([u for u in piece.demand.usages(where, core) if u.is_over] for core in self.classes)
                found = max(found, min(every, key=surplus), key=surplus)
        return found

    def needed(self, population: str) -> int:
        """How many cores *population* takes, by a search in growing steps; its size if that is not enough."""
        size = self.network.populations[population].size
        for count in self.steps(size):
            if self.gridded(population, count):
                return count
        return max(size, self.cores + 1)

    def steps(self, size: int) -> Iterator[int]:
        """Counts above the number of cores, each by an eighth larger than the one before."""
        count = max(self.cores + 1, self.bound(size))
        while count < size:
            yield count
            count += max(1, count // 8)


def surplus(usages: Sequence[Usage]) -> float:
    """How far *usages*, each over its limit, are over them."""
    return sum(usage.need / max(1, usage.have or 0) for usage in usages)
