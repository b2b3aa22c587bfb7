"""What a spike meets: cores, synapses and targets, one synapse after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from snncc.ir import Sparse
from snncc.mapping.network import Connection
from snncc.mapping.placement import Placement


@dataclass(slots=True)
class Arrival:
    """What a message of one neuron does on one core: its *synapses* by kind, the neurons it has *reached*."""

    synapses: dict[str, int] = field(default_factory=dict)
    reached: set[tuple[str, int]] = field(default_factory=set)


class Spikes:
    """The synapses of all neurons of a placement, looked up when the first spike needs them."""

    def __init__(self, placement: Placement) -> None:
        self.network = placement.network
        self.cores = {name: placement.core_of(name).tolist() for name in placement.network.populations}
        self.heard = {
            name: set(np.flatnonzero(mask).tolist())
            for name, mask in placement.network.to_host.items()
            if not placement.is_at_port(name)
        }
        self.host = placement.chip.fabric.cores
        self.known: dict[tuple[str, int], Mapping[int, Arrival]] = {}

    def arrivals(self, population: str, address: int) -> Mapping[int, Arrival]:
        """By core, in the order of their numbers, what a spike of one neuron meets there; last the host."""
        key = population, address
        if key not in self.known:
            self.known[key] = self.traced(population, address)
        return self.known[key]

    def operand(self, connection: Connection, address: int, found: dict[int, Arrival]) -> None:
        """What a number of an operand writes, or reads and adds, on each core."""
        assert isinstance(connection.node, Sparse)
        cores = self.cores[connection.target]
        for entry in connection.entries_of(address).tolist():
            targets = connection.node.post[connection.node.pre == entry].tolist()
            if connection.rule == "write":
                for core in {cores[target] for target in targets}:
                    here = found.setdefault(core, Arrival())
                    here.synapses["write"] = here.synapses.get("write", 0) + 1
                continue
            for target in targets:
                here = found.setdefault(cores[target], Arrival())
                here.synapses["read"] = here.synapses.get("read", 0) + 1
                here.reached.add((connection.target, target))

    def traced(self, population: str, address: int) -> Mapping[int, Arrival]:
        """As `arrivals`."""
        carries_number = self.network.populations[population].payload_bits > 0
        found: dict[int, Arrival] = {}
        for connection in self.network.out_of(population):
            if connection.rule:
                self.operand(connection, address, found)
                continue
            kind = "mac" if carries_number else connection.kind
            targets, _ = connection.synapses(address)
            for target in targets.tolist():
                here = found.setdefault(self.cores[connection.target][target], Arrival())
                here.synapses[kind] = here.synapses.get(kind, 0) + 1
                here.reached.add((connection.target, target))
        if address in self.heard.get(population, ()):
            found[self.host] = Arrival()
        return dict(sorted(found.items()))
