"""How long each chip step takes, as far as pieces on cores decide it.

A step takes as long as the longest unit in it: the neuron units of the populations that are swept in it, and
the synapse units with what these populations send (MACHINE.md, 3). So what a piece costs is known before it
has a core, and what a core costs is the sum over its pieces.

Approximations: spikes are means (of one timestep, where these were measured); a message to several pieces
on one core, and its groups of lanes, count for each of them; without multicast a spike is sent once for each
piece that it goes to; waiting is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snncc.mapping.demand import Demands, Piece
from snncc.mapping.masks import Ints
from snncc.mapping.placement import Schedule
from snncc.mapping.schedule import steps_of
from snncc.mapping.traffic import Floats, Trace


class Pace:
    """What *pieces* take in each step.

    *active* [steps, populations]: what is swept; steps that are alike are one, and *counts* [steps] says how
    many. *unit* [pieces, 2, steps] has the time of the neuron unit and of the synapse unit, *slow* [cores]
    by how much it is multiplied there; *flow* [pieces + 1, pieces] the messages from each piece (last: the
    port) to each in one inference.
    """

    def __init__(self, demands: Demands, pieces: Sequence[Piece], trace: Trace, schedule: Schedule) -> None:
        self.demands, self.pieces, self.trace = demands, pieces, trace
        self.names = list(demands.network.populations)
        self.home = {name: np.full(p.size, len(pieces)) for name, p in demands.network.populations.items()}
        for number, piece in enumerate(pieces):
            self.home[piece.population][piece.addresses] = number
        self.flow = np.zeros((len(pieces) + 1, len(pieces)))
        self.synapses = {
            (source, target): self.between(source, target)
            for source, target in dict.fromkeys(
                (w.connection.source, w.connection.target) for w in demands.wirings
            )
        }
        self.active, self.counts, self.unit = self.stepped(schedule)
        self.slow = np.array([core.slowdown for core in demands.chip.cores], np.float64)

    def of(self, population: str) -> list[int]:
        """The numbers of the pieces of *population*."""
        return [k for k, piece in enumerate(self.pieces) if piece.population == population]

    def between(self, source: str, target: str) -> Floats:
        """Time of synapse units in a sweep of *source*, [pieces of target, timesteps or 1]; fills `flow`."""
        network, costs = self.demands.network, self.demands.chip.operations
        mine, sender = self.of(target), network.populations[source]
        times = np.zeros((len(mine), sender.size), np.float32)
        spikes = self.trace[source].sum(axis=0, dtype=np.float64)
        spikes *= network.timesteps / len(self.trace[source])
        for row, number in enumerate(mine):
            piece = self.pieces[number]
            which = np.zeros(sender.size, bool)
            for wiring in self.demands.wirings:
                connection = wiring.connection
                if (connection.source, connection.target) == (source, target):
                    counts = wiring.cut(piece.addresses).per_source
                    is_mac = sender.payload_bits and not connection.rule
                    cost = self.demands.chip.synapse("mac" if is_mac else connection.kind).time
                    times[row] += -(-counts // costs.lanes) * cost
                    which |= counts > 0
            times[row] += which * costs.message_in.time
            home = self.home[source][which]
            self.flow[:, number] += np.bincount(home, spikes[which], len(self.pieces) + 1)
        found: Floats = (times @ self.trace[source].T).astype(np.float64) / max(1, sender.ticks)
        return found

    def sweeps(self, population: str) -> Floats:
        """Time of neuron units in one sweep, [pieces of population, timesteps or 1]."""
        chip, mine = self.demands.chip, self.of(population)
        whole, costs = self.demands.network.populations[population], chip.operations
        found = np.zeros((len(mine), len(self.trace[population])))
        for row, number in enumerate(mine):
            piece = self.pieces[number]
            spikes = self.trace[population][:, piece.addresses].sum(axis=1) / max(1, whole.ticks)
            found[row] = len(piece.addresses) * (costs.access.time + costs.update.time)
            total = float(spikes.mean()) * max(1, whole.ticks) * self.demands.network.timesteps
            copies = float(self.flow[number].sum()) / total if total else 0.0
            copies = min(copies, 1.0) if chip.fabric.multicast else copies
            found[row] += spikes * (costs.spike.time + copies * costs.message_out.time)
        return found

    def stepped(self, schedule: Schedule) -> tuple[Floats, Floats, Floats]:
        """*active*, *counts* and *unit*."""
        network = self.demands.network
        is_even = all(len(each) == 1 for each in self.trace.values())
        rows: dict[tuple[tuple[str, int], ...], int] = {}
        for swept in steps_of(network, schedule, network.timesteps):
            key = tuple((name, 0 if is_even else t) for name, t, _ in swept)
            rows[key] = rows.get(key, 0) + 1
        neurons = {name: (self.of(name), self.sweeps(name)) for name in self.names}
        targets = {pair: self.of(pair[1]) for pair in self.synapses}
        active = np.zeros((len(rows), len(self.names)))
        unit = np.zeros((len(self.pieces), 2, len(rows)))
        for number, step in enumerate(rows):
            for name, t in step:
                active[number, self.names.index(name)] = 1.0
                mine, times = neurons[name]
                unit[mine, 0, number] += times[:, min(t, times.shape[1] - 1)]
                for pair, worked in self.synapses.items():
                    if pair[0] == name:
                        unit[targets[pair], 1, number] += worked[:, min(t, worked.shape[1] - 1)]
        return active, np.array(list(rows.values()), np.float64), unit

    def loads(self, at: Ints) -> Floats:
        """Times of the units of all cores, [cores, 2, steps], with piece k on core at[k]."""
        found = np.zeros((self.demands.chip.fabric.cores, *self.unit.shape[1:]))
        np.add.at(found, at, self.unit)
        return np.asarray(found * self.slow[:, None, None], np.float64)
