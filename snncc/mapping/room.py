"""Whether pieces fit on cores together, by sums, in which shared axons count for each piece."""

from __future__ import annotations

import numpy as np

from snncc.mapping.load import Load
from snncc.mapping.masks import Ints
from snncc.mapping.traffic import Floats

LIMITS = (
    "neurons",
    "synapse_bits",
    "kernel_words",
    "neuron_words",
    "in_axons",
    "accumulator_bits",
    "out_axons",
)


class Room:
    """*needs* [pieces, `LIMITS`] and *limits* [cores, `LIMITS`]; *is_free*: there are no limits."""

    def __init__(self, load: Load) -> None:
        chip, pieces = load.chip, [piece for piece, _ in load.held]
        every = [[getattr(core, limit) for limit in LIMITS] for core in chip.cores]
        self.limits: Floats = np.array([[np.inf if one is None else one for one in core] for core in every])
        self.is_free = bool(np.isinf(self.limits).all())
        self.needs = np.zeros((len(pieces), len(LIMITS)))
        if self.is_free:
            return
        copies = {
            name: np.zeros(population.size) for name, population in load.demands.network.populations.items()
        }
        for piece in pieces:
            for source, which in piece.demand.axons.items():
                copies[source] += which
        for source, which in load.demands.network.to_host.items():
            copies[source] += which
        for number, piece in enumerate(pieces):
            sent = copies[piece.population][piece.addresses]
            out = (np.minimum(sent, 1) if chip.fabric.multicast else sent).sum()
            self.needs[number] = [getattr(piece.demand, limit) for limit in LIMITS[:-1]] + [out]

    def used(self, at: Ints) -> Floats:
        """What the cores hold, [cores, `LIMITS`], with piece k on core at[k]."""
        found = np.zeros_like(self.limits)
        np.add.at(found, at, self.needs)
        return found
