"""What a finished assignment of parts to cores needs, messages included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from snncc.mapping.demand import NOTHING, Demand, Demands, Piece, Usage
from snncc.mapping.masks import Bools, Ints
from snncc.mapping.placement import Placement

Held = tuple[Piece, int]
"""A piece and its core."""


class Load:
    """What pieces on cores need together."""

    def __init__(self, demands: Demands, held: Sequence[Held]) -> None:
        self.demands, self.held = demands, held
        self.chip = demands.chip

    @cached_property
    def by_core(self) -> Mapping[int, Demand]:
        """What each core needs."""
        found: dict[int, Demand] = {}
        for piece, core in self.held:
            found[core] = found.get(core, NOTHING).plus(piece.demand)
        return dict(sorted(found.items()))

    def destinations(self, source: str) -> Mapping[int, Bools]:
        """For each core that the population *source* sends to: which of its neurons do."""
        found = {
            core: demand.axons[source] for core, demand in self.by_core.items() if source in demand.axons
        }
        return {core: which for core, which in found.items() if which.any()}

    @cached_property
    def copies(self) -> Mapping[str, Ints]:
        """For each neuron of each population the entries that it takes in the table of out-axons.

        One for each destination core, and for the host; with multicast one in all, if it has a destination.
        """
        found = {}
        for name, population in self.demands.network.populations.items():
            copies = np.zeros(population.size, np.int64)
            for which in self.destinations(name).values():
                copies += which
            if name in self.demands.network.to_host:
                copies += self.demands.network.to_host[name]
            found[name] = np.minimum(copies, 1) if self.chip.fabric.multicast else copies
        return found

    def out_axons(self, core: int) -> int:
        """Entries of the core's table of out-axons."""
        mine = (piece for piece, where in self.held if where == core)
        return sum(int(self.copies[piece.population][piece.addresses].sum()) for piece in mine)

    def fan_out(self, piece: Piece) -> int:
        """The number of cores that a piece sends to."""
        every = self.destinations(piece.population).values()
        return sum(bool(which[piece.addresses].any()) for which in every)

    def usages(self) -> tuple[Usage, ...]:
        """Each resource of each core in use, and the fan-out of each part."""
        found: list[Usage] = []
        for core, demand in self.by_core.items():
            where, limits = f"core {core} ({self.names(core)})", self.chip.cores[core]
            found += replace(demand, out_axons=self.out_axons(core)).usages(where, limits)
            for piece in (piece for piece, at in self.held if at == core):
                have = self.chip.limits.fan_out
                found.append(
                    Usage(f"{piece.population} on core {core}", "fan_out", self.fan_out(piece), have)
                )
        return tuple(found)

    def names(self, core: int) -> str:
        """The populations on *core*."""
        return ", ".join(dict.fromkeys(piece.population for piece, where in self.held if where == core))


def load_of(placement: Placement, demands: Demands | None = None) -> Load:
    """The load of a *placement*."""
    demands = demands or Demands(placement.network, placement.chip)
    return Load(
        demands, [(demands.piece(part.population, part.addresses), part.core) for part in placement.parts]
    )


def usage(placement: Placement) -> tuple[Usage, ...]:
    """What every core in use needs and has: neurons, memories, axons; and each part's fan-out."""
    return load_of(placement).usages()
