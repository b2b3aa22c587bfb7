"""Where each neuron of a network lives on a chip, and in which chip steps it is swept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from snncc.chips import Chip, Entry
from snncc.ir.arrays import Array, seal_fields
from snncc.mapping.masks import Ints
from snncc.mapping.network import Network, Role


class Schedule(StrEnum):
    """How timesteps of the network become steps of the chip."""

    PIPELINED = "pipelined"
    """All populations at once, each one timestep behind those that it reads."""
    LAYERED = "layered"
    """One depth after another, each timestep through all depths before the next begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Neurons of one population on one core: their row-major *addresses*, ascending."""

    population: str
    core: int
    addresses: Array

    def __post_init__(self) -> None:
        seal_fields(self, "addresses")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Placement:
    """A network on a chip: each neuron in one of the *parts* (but inputs, where they enter by
    the port, and what the host sends).

    A core sweeps its parts in this order.
    """

    chip: Chip
    network: Network
    parts: tuple[Part, ...]
    schedule: Schedule

    def parts_of(self, population: str) -> tuple[Part, ...]:
        """The parts of one population."""
        return tuple(part for part in self.parts if part.population == population)

    def core_of(self, population: str) -> Ints:
        """The core of each neuron of *population*, [size]; the port is the core after the last one."""
        whole = self.network.populations[population]
        cores = np.full(whole.size, self.chip.fabric.cores)
        for part in self.parts_of(population):
            cores[part.addresses] = part.core
        return cores

    @property
    def tiles(self) -> int:
        """How many tiles hold neurons."""
        return len({part.core // self.chip.fabric.cores_per_tile for part in self.parts})

    def is_at_port(self, population: str) -> bool:
        """Whether the neurons of *population* are not on cores: the port, or the host, sends for them."""
        role = self.network.populations[population].role
        return role is Role.HOST or (self.chip.entry is Entry.PORT and role is Role.INPUT)
