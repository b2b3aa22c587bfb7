"""What links between routers carry: routes along x, then along y; with multicast the trees of MACHINE.md."""

from __future__ import annotations

import numpy as np

from snncc.chips import Chip, Topology
from snncc.mapping.masks import Bools, Ints
from snncc.mapping.pace import Pace
from snncc.mapping.traffic import Floats


class Trees:
    """The messages of a *pace*, neurons of one piece that reach the same pieces together: one *bundle*.

    *source* [bundles] is the piece that sends (the number after the last: the port), *weight*
    [bundles, populations] its messages in one sweep, *bundle* and *target* [n] list which pieces it reaches.
    """

    def __init__(self, pace: Pace) -> None:
        self.chip, self.count = pace.demands.chip, len(pace.pieces)
        network = pace.demands.network
        marks = np.random.default_rng(0).integers(1, 2**63, 2 * self.count + 1, dtype=np.uint64)
        sources, weights, bundles, targets, bundle = [], [], [], [], 0
        for column, name in enumerate(pace.names):
            population = network.populations[name]
            reached = [(k, p.demand.axons[name]) for k, p in enumerate(pace.pieces) if name in p.demand.axons]
            sets = marks[self.count + pace.home[name]]
            for number, which in reached:
                sets[which] += marks[number]
            _, first, which_bundle = np.unique(sets, return_index=True, return_inverse=True)
            each = pace.trace[name].mean(axis=0) / max(1, population.ticks)
            weight = np.zeros((len(first), len(pace.names)))
            weight[:, column] = np.bincount(which_bundle.reshape(-1), each, len(first))
            sources.append(pace.home[name][first])
            weights.append(weight)
            for number, which in reached:
                mine = np.flatnonzero(which[first])
                bundles.append(mine + bundle)
                targets.append(np.full(len(mine), number))
            bundle += len(first)
        none = [np.zeros(0, np.int64)]
        self.source, self.weight = np.concatenate(none + sources), np.concatenate(weights)
        self.bundle, self.target = np.concatenate(none + bundles), np.concatenate(none + targets)

    def reached(self, at: Ints) -> Bools:
        """The cores that each bundle goes to, [bundles, cores], with piece k on core at[k]."""
        found = np.zeros((len(self.source), self.chip.fabric.cores), bool)
        found[self.bundle, at[self.target]] = True
        return found

    def ends(self, reached: Bools) -> Floats:
        """Messages in one sweep of each population out of cores and into cores, [populations]."""
        cores = reached.sum(axis=1)
        found: Floats = (
            (np.minimum(cores, 1) if self.chip.fabric.multicast else cores) + cores
        ) @ self.weight
        return found

    def loads(self, reached: Bools, at: Ints) -> Floats:
        """Messages in one sweep of each population over each link between routers, [populations, links]."""
        rows, across, down = self.routes(reached, at)
        found = [self.weight[rows == row].T @ across[rows == row] for row in range(self.rows)]
        return np.concatenate([*found, self.weight.T @ down], axis=1)

    @property
    def rows(self) -> int:
        """Rows of tiles; in a crossbar each sender is one."""
        fabric = self.chip.fabric
        return fabric.cores + 1 if fabric.topology is Topology.CROSSBAR else fabric.rows

    def routes(self, reached: Bools, at: Ints) -> tuple[Ints, Floats, Floats]:
        """Of each bundle: its row, what it sends over the links of this row, and over those of columns."""
        fabric = self.chip.fabric
        core = np.append(at, fabric.cores)[self.source]
        if fabric.topology is Topology.CROSSBAR:
            away = reached & (core[:, None] != np.arange(fabric.cores))
            return core, away.astype(np.float64), np.zeros((len(core), 0))
        tile = np.where(core == fabric.cores, 0, core // fabric.cores_per_tile)
        y, x = tile // fabric.columns, tile % fabric.columns
        ends = reached.reshape(len(core), fabric.rows, fabric.columns, -1).sum(axis=3).astype(np.float64)
        down = self.sides(ends.transpose(0, 2, 1), y[:, None])
        return y, self.sides(ends.sum(axis=1), x), down.reshape(len(core), -1)

    def users(self, at: Ints, link: int, active: Floats) -> Ints:
        """The pieces whose messages go over *link*, and those that they go to, if *active* are swept."""
        rows, across, down = self.routes(self.reached(at), at)
        row, place = divmod(link, across.shape[1])
        if row < self.rows:
            does = (rows == row) & (across[:, place] > 0)
        else:
            does = down[:, link - self.rows * across.shape[1]] > 0
        does &= self.weight @ active > 0
        found: Ints = np.unique(np.concatenate([self.source[does], self.target[does[self.bundle]]]))
        return found[found < self.count]

    def sides(self, ends: Floats, start: Ints) -> Floats:
        """Routes along a line from *start* to *ends* [..., places]: what leaves each place, up and down."""
        places = np.arange(ends.shape[-1])
        sums = np.cumsum(ends, axis=-1)
        up = np.where(places >= start[..., None], sums[..., -1:] - sums, 0.0)
        down = np.where(places <= start[..., None], sums - ends, 0.0)
        both = np.concatenate([up, down], axis=-1)
        return np.minimum(both, 1.0) if self.chip.fabric.multicast else both


def intervals(chip: Chip) -> Floats:
    """The least time between two messages on each link, in the order of `Trees.loads`."""
    fabric = chip.fabric
    if fabric.topology is Topology.CROSSBAR:
        return np.full((fabric.cores + 1) * fabric.cores, float(fabric.east_west.interval))
    tiles = 2 * fabric.rows * fabric.columns
    return np.repeat([float(fabric.east_west.interval), float(fabric.north_south.interval)], tiles)
