"""Putting pieces into as few cores as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import networkx as nx

from snncc.chips import Chip, CoreLimits
from snncc.chips.model import SynapseFormat
from snncc.mapping.demand import NOTHING, Demand, Piece
from snncc.mapping.load import Held

Order = Callable[[Sequence[Piece]], list[int]]


def is_shared(chip: Chip) -> bool:
    """Whether a core may hold neurons of several populations: not where it has one kernel (Speck)."""
    return chip.memory.format is not SynapseFormat.KERNELS


@dataclass(eq=False)
class Bin:
    """A core that is being filled."""

    core: int
    limits: CoreLimits
    demand: Demand

    def takes(self, piece: Piece) -> bool:
        """Whether there is room for *piece*."""
        if (
            self.limits.neurons is not None
            and self.demand.neurons + len(piece.addresses) > self.limits.neurons
        ):
            return False
        return self.demand.plus(piece.demand).fits(self.limits)


def packed(pieces: Sequence[Piece], chip: Chip, cores: Sequence[int]) -> list[Held] | int:
    """Each piece with its core, of *cores*; or the number of a piece for which there is no room."""
    if not is_shared(chip):
        return matched(pieces, chip, cores)
    found = [first_fit(pieces, order, chip, cores) for order in (in_order, falling(chip))]
    done = [held for held in found if not isinstance(held, int)]
    if not done:
        return found[0]
    return min(done, key=lambda held: len({core for _, core in held}))


def in_order(pieces: Sequence[Piece]) -> list[int]:
    """Neighbors in the network become neighbors on a core."""
    return list(range(len(pieces)))


def falling(chip: Chip) -> Order:
    """The piece that fills the largest part of a core comes first."""

    def share(piece: Piece) -> float:
        needs = [
            (need, getattr(core, what)) for core in set(chip.cores) for what, need in piece.demand.needs()
        ]
        return max((need / max(1, have) for need, have in needs if have is not None), default=0.0)

    def order(pieces: Sequence[Piece]) -> list[int]:
        shares = [share(piece) for piece in pieces]
        return sorted(range(len(pieces)), key=lambda k: -shares[k])

    return order


def first_fit(pieces: Sequence[Piece], order: Order, chip: Chip, cores: Sequence[int]) -> list[Held] | int:
    """Each piece goes to the first core in use that has room, else to the smallest free one that has."""
    free = sorted(cores, key=lambda core: (capacity(chip.cores[core]), core))
    bins: list[Bin] = []
    where: dict[int, int] = {}
    for k in order(pieces):
        piece = pieces[k]
        found = next((one for one in bins if one.takes(piece)), None)
        if found is None:
            core = next((c for c in free if piece.demand.fits(chip.cores[c])), None)
            if core is None:
                return k
            free.remove(core)
            found = Bin(core, chip.cores[core], NOTHING)
            bins.append(found)
        found.demand = found.demand.plus(piece.demand)
        where[k] = found.core
    return [(piece, where[k]) for k, piece in enumerate(pieces)]


def capacity(limits: CoreLimits) -> tuple[float, ...]:
    """To sort cores by what they hold."""
    every = (limits.synapse_bits, limits.kernel_words, limits.neuron_words, limits.neurons, limits.in_axons)
    return tuple(float("inf") if limit is None else float(limit) for limit in every)


def matched(pieces: Sequence[Piece], chip: Chip, cores: Sequence[int]) -> list[Held] | int:
    """A core of its own for each piece: a largest matching."""
    if not pieces:
        return []
    graph = nx.Graph()
    graph.add_nodes_from(("piece", k) for k in range(len(pieces)))
    for k, piece in enumerate(pieces):
        fitting = (core for core in cores if piece.demand.fits(chip.cores[core]))
        graph.add_edges_from((("piece", k), ("core", core)) for core in fitting)
    tops = [("piece", k) for k in range(len(pieces))]
    partner = nx.bipartite.hopcroft_karp_matching(graph, top_nodes=tops)
    missing = next((k for k, top in enumerate(tops) if top not in partner), None)
    if missing is not None:
        return missing
    return [(piece, partner["piece", k][1]) for k, piece in enumerate(pieces)]
