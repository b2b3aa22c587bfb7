"""What parts need of a core, and where that is more than the core has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from snncc.chips import Chip, CoreLimits
from snncc.errors import CannotLower
from snncc.mapping.box import Box, addresses
from snncc.mapping.masks import Bools, Ints
from snncc.mapping.memory import kernel_words, neuron_words, synapse_bits
from snncc.mapping.network import Network
from snncc.mapping.products import WRITE
from snncc.mapping.reach import Cut, wirings

HINTS = {
    "accumulator_bits": "take a chip with an [accumulator], or a larger one, or simulate without a chip",
    "cores": "shrink the layers, or take a chip with more cores",
    "delay": "use the schedule 'layered', or shorten the delays of the network",
    "delay in sweeps": "shorten the delays of the network",
    "fan_out": "cut the layers behind it into fewer parts, or remove branches",
    "host_macs": "compile with attention='static', take a chip with a [host], or simulate without a chip",
    "in_axons": "reduce the fan-in of the layers",
    "neurons": "shrink the layers, or take a chip with more cores",
    "payload_bits": "send bare spikes (encoding='spikes'; an input of spikes, not of numbers), or take a "
    "chip whose messages carry numbers",
    "pipelining past a product": "use the schedule 'layered'",
    "pipelining past the host": "use the schedule 'layered'",
    "state_bits": "quantize with a narrower state",
    "synapse_bits": "reduce the fan-in of the layers, or quantize with fewer weight bits",
    "weight_bits": "quantize with fewer weight bits",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a *resource* is needed *where*, and how much there is; None: no limit."""

    where: str
    resource: str
    need: int
    have: int | None

    @property
    def is_over(self) -> bool:
        """Whether more is needed than there is."""
        return self.have is not None and self.need > self.have

    def __str__(self) -> str:
        return f"{self.where}: {self.resource}: needs {self.need}, has {self.have}"


class DoesNotFitChip(CannotLower):
    """The network breaks limits of the chip; *usages* has each, with what is needed and what there is."""

    def __init__(self, chip: str, usages: Iterable[Usage]) -> None:
        self.usages = tuple(usages)
        count = len(self.usages)
        lines = [f"the network does not fit {chip}: {count} limit{'s' * (count != 1)} exceeded"]
        lines += [
            f"  {usage}, {usage.need - usage.have} too many"
            for usage in self.usages
            if usage.have is not None
        ]
        found = dict.fromkeys(HINTS[u.resource] for u in self.usages if u.resource in HINTS)
        super().__init__("\n".join(lines), hint="; ".join(found))


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What one or more parts need of one core; *axons*: of each population which neurons send to it.

    Out-axons depend on where the targets are: 0 as long as nothing is known, later what the last try took.
    """

    neurons: int
    synapse_bits: int
    kernel_words: int
    neuron_words: int
    axons: Mapping[str, Bools]
    out_axons: int = 0
    accumulator_bits: int = 0

    @property
    def in_axons(self) -> int:
        """Source neurons with at least one synapse into the core."""
        return sum(int(np.count_nonzero(which)) for which in self.axons.values())

    def plus(self, other: Demand) -> Demand:
        """Both on one core: a source neuron of both is one axon."""
        axons = dict(self.axons)
        for source, which in other.axons.items():
            axons[source] = axons[source] | which if source in axons else which
        return Demand(
            self.neurons + other.neurons,
            self.synapse_bits + other.synapse_bits,
            self.kernel_words + other.kernel_words,
            self.neuron_words + other.neuron_words,
            axons,
            self.out_axons + other.out_axons,
            self.accumulator_bits + other.accumulator_bits,
        )

    def needs(self) -> Iterator[tuple[str, int]]:
        """Each resource with how much is needed, what is cheap to compute first."""
        yield "neurons", self.neurons
        yield "synapse_bits", self.synapse_bits
        yield "kernel_words", self.kernel_words
        yield "neuron_words", self.neuron_words
        if self.accumulator_bits:
            yield "accumulator_bits", self.accumulator_bits
        yield "out_axons", self.out_axons
        yield "in_axons", self.in_axons

    def usages(self, where: str, core: CoreLimits) -> tuple[Usage, ...]:
        """Needs of one core beside its limits."""
        return tuple(Usage(where, resource, need, getattr(core, resource)) for resource, need in self.needs())

    def fits(self, core: CoreLimits) -> bool:
        """Whether the core has it all."""
        limits = ((need, getattr(core, resource)) for resource, need in self.needs())
        return all(have is None or need <= have for need, have in limits)


NOTHING = Demand(0, 0, 0, 0, {})


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Neurons of one population that stay together, and what they need."""

    population: str
    addresses: Ints
    demand: Demand

    def sending(self, copies: Mapping[str, Ints]) -> Piece:
        """This piece, if its neurons take so many out-axons each (by population)."""
        if self.population not in copies:
            return self
        out_axons = int(copies[self.population][self.addresses].sum())
        return Piece(self.population, self.addresses, replace(self.demand, out_axons=out_axons))


def accumulator_bits(cut: Cut) -> int:
    """Bits of the entries that are written for the targets of *cut*; 0 for what reads them."""
    if cut.wiring.connection.rule != WRITE:
        return 0
    entries = (cut.per_entry > 0) & (cut.wiring.readers > 0)
    return int(np.count_nonzero(entries)) * cut.wiring.connection.entry_bits


MOST_KEPT = 1 << 29
"""Bytes of pieces that are kept for later."""


class Demands:
    """Works out what parts of one network need of the cores of one chip."""

    def __init__(self, network: Network, chip: Chip) -> None:
        self.network, self.chip = network, chip
        self.wirings = wirings(network)
        self.known: dict[tuple[str, Box], Piece] = {}
        self.kept = 0

    def boxed(self, population: str, box: Box) -> Piece:
        """The piece of the neurons in *box*."""
        piece = self.known.get((population, box))
        if piece is None:
            piece = self.piece(population, addresses(self.network.populations[population].shape, box))
            self.kept += piece.addresses.nbytes + sum(mask.nbytes for mask in piece.demand.axons.values())
            if self.kept > MOST_KEPT:
                self.forget()
            self.known[population, box] = piece
        return piece

    def forget(self) -> None:
        """Let go of all pieces that were worked out."""
        self.known.clear()
        self.kept = 0

    def piece(self, population: str, found: Ints) -> Piece:
        """The piece of the neurons at the addresses *found*."""
        memory, bits, kernels, entries = self.chip.memory, 0, 0, 0
        axons: dict[str, Bools] = {}
        for wiring in self.wirings:
            if wiring.connection.target == population:
                cut = wiring.cut(found)
                source, sends = wiring.connection.source, cut.per_source > 0
                axons[source] = axons[source] | sends if source in axons else sends
                if wiring.connection.rule:
                    entries += accumulator_bits(cut)
                    continue
                bits += synapse_bits(cut, memory)
                kernels += kernel_words(cut) if memory.format == "kernels" else 0
        padded = neuron_words(self.network.populations[population].shape, found, memory)
        return Piece(population, found, Demand(len(found), bits, kernels, padded, axons, 0, entries))
