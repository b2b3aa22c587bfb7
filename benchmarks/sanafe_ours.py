"""Our side of the comparison with SANA-FE: what the machine says, and single stages of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.sanafe_cases import Case, placement
from benchmarks.sanafe_oracle import their_core
from snncc import simulator
from snncc.chips import Chip
from snncc.mapping import Placement, Role
from snncc.simulator.machine import (
    Energy,
    Level,
    MachineProgram,
    class_counts,
    energy_of,
    program_of,
    run_machine,
)
from snncc.simulator.timing import Timing

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ours:
    """A case, run by the functional simulator, and placed."""

    case: Case
    placement: Placement
    program: MachineProgram
    trains: Mapping[str, Ints]
    left: Mapping[str, Ints]

    def timing(self, level: Level) -> Timing:
        """The machine at *level*."""
        return run_machine(self.program, self.trains, level)[0]

    def energy(self, timing: Timing) -> Energy:
        """Joules of a run."""
        fired = {name: train.sum(axis=(0, 1)) for name, train in self.trains.items()}
        return energy_of(self.program, timing, class_counts(self.program, fired))

    @property
    def cores(self) -> int:
        """Cores of the chip."""
        return self.program.stations.cores

    def seconds(self, steps: Ints, timing: Timing) -> NDArray[np.float64]:
        """Times of *steps* with their synchronization."""
        return np.asarray((steps + timing.barrier) * self.placement.chip.time_unit, np.float64)

    @cached_property
    def awake(self) -> Ints:
        """Neurons that nothing has reached but whose potential is not 0, [steps, cores].

        SANA-FE updates them, our machine does not.
        """
        network, found = self.placement.network, np.zeros((self.case.timesteps, self.cores), np.int64)
        for name, potentials in self.left.items():
            if network.populations[name].is_active:
                continue
            extra = np.zeros(potentials.shape, bool)
            extra[1:] = (potentials[:-1] != 0) & ~self.reached(name)[:-1]
            homes = self.placement.core_of(name)
            for core in np.unique(homes):
                found[:, core] += extra[:, homes == core].sum(axis=1)
        return found

    def reached(self, name: str) -> NDArray[np.bool_]:
        """Which neurons of *name* a synapse reaches in each step, [steps, size]."""
        size = self.placement.network.populations[name].size
        marks = np.zeros((self.case.timesteps, size), bool)
        for connection in self.placement.network.into(name):
            for source in range(connection.sources):
                targets, _ = connection.synapses(source)
                marks[np.ix_(self.trains[connection.source][:, 0, source] > 0, targets)] = True
        return marks

    @cached_property
    def synapses(self) -> Mapping[str, Mapping[int, Mapping[str, Ints]]]:
        """Of each population: by core that its spikes reach, by kind: synapses of each neuron, [size]."""
        found: dict[str, dict[int, dict[str, Ints]]] = {name: {} for name in self.trains}
        for connection in self.placement.network.connections:
            for part in self.placement.parts_of(connection.target):
                mask = np.zeros(self.placement.network.populations[connection.target].size, bool)
                mask[part.addresses] = True
                counts = connection.counts(mask)
                kinds = found[connection.source].setdefault(part.core, {})
                kinds[connection.kind] = kinds.get(connection.kind, np.zeros_like(counts)) + counts
        return found

    def by_hand(self, more: Ints | None = None) -> Ints:
        """The level `analytic` by its definition; *more* updates [steps, cores]."""
        costs, network = self.placement.chip.operations, self.placement.network
        units = np.zeros((2, self.case.timesteps, self.cores), np.int64)  # neuron units, synapse units
        neuron, synapse = units
        for part in self.placement.parts:
            name = part.population
            fired = self.trains[name][:, 0, part.addresses]
            messages = np.zeros(len(part.addresses), np.int64)
            for kinds in self.synapses[name].values():
                messages += summed(kinds)[part.addresses] > 0
            if network.populations[name].is_active:
                updates = np.full(self.case.timesteps, len(part.addresses))
            else:
                updates = np.zeros(self.case.timesteps, np.int64)
                updates[1:] = self.reached(name)[:-1, part.addresses].sum(axis=1)
            neuron[:, part.core] += len(part.addresses) * costs.access.time + updates * costs.update.time
            neuron[:, part.core] += fired.sum(axis=1) * costs.spike.time
            neuron[:, part.core] += (
                fired @ (messages * np.ones(len(part.addresses), np.int64)) * (costs.message_out.time)
            )
        for name, cores in self.synapses.items():
            for core, kinds in cores.items():
                work = (summed(kinds) > 0) * costs.message_in.time
                for kind, counts in kinds.items():
                    work += counts * costs.synapse[kind].time
                synapse[:, core] += self.trains[name][:, 0] @ work
        if more is not None:
            neuron += more * costs.update.time
        longest: Ints = units.max(axis=(0, 2))
        return longest

    def ways(self) -> list[list[object]]:
        """All messages as SANA-FE's trace names them (timesteps from 1, its cores), sorted."""
        chip, found = self.placement.chip, []
        for name, cores in self.synapses.items():
            homes = self.placement.core_of(name)
            for core, kinds in cores.items():
                counts = summed(kinds)
                for t, neuron in zip(*np.nonzero(self.trains[name][:, 0] * counts), strict=True):
                    home = int(homes[neuron])
                    ends = [their_core(chip, home), their_core(chip, core)]
                    way: list[object] = [int(t) + 1, *ends, name, int(neuron), int(counts[neuron])]
                    found.append([*way, hops(chip, home, core)])
        return sorted(found)

    def staged(self) -> dict[str, int]:
        """Time of all steps without synchronization, with one stage of the machine after another."""
        fabric = self.placement.chip.fabric
        kinds = ("inject", "east_west", "north_south", "eject")
        links = {kind: getattr(fabric, kind) for kind in kinds}
        unbounded = {kind: replace(link, capacity=None) for kind, link in links.items()}
        free = {kind: replace(link, interval=0) for kind, link in unbounded.items()}
        found = {"analytic": int(self.timing(Level.ANALYTIC).steps.sum())}
        for stage, changed in (("latency", free), ("interval", unbounded), ("cycle", links)):
            chip = replace(self.placement.chip, fabric=replace(fabric, **changed))
            program = program_of(replace(self.placement, chip=chip))
            found[stage] = int(run_machine(program, self.trains, Level.CYCLE)[0].steps.sum())
        slots = fabric.east_west.capacity
        chip = replace(
            self.placement.chip,
            fabric=replace(fabric, eject=replace(fabric.eject, capacity=slots)),
            cores=tuple(replace(core, in_queue=slots) for core in self.placement.chip.cores),
        )
        program = program_of(replace(self.placement, chip=chip))
        found["bounded"] = int(run_machine(program, self.trains, Level.CYCLE)[0].steps.sum())
        found["reserved"] = int(self.timing(Level.RESERVED).steps.sum())
        return found


def summed(kinds: Mapping[str, Ints]) -> Ints:
    """Synapses of all kinds."""
    return np.sum(list(kinds.values()), axis=0, dtype=np.int64)


def hops(chip: Chip, source: int, target: int) -> int:
    """Tiles that a message goes on from core to core."""
    fabric = chip.fabric
    (y, x), (to_y, to_x) = (divmod(c // fabric.cores_per_tile, fabric.columns) for c in (source, target))
    return abs(to_x - x) + abs(to_y - y)


def trains_of(case: Case, placed: Placement) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Trains [T, 1, size] of all populations and, of neurons, the potentials [T, size] that are left."""
    names = placed.network.senders
    run = simulator.run(case.graph, case.x, timesteps=case.timesteps, record=names, threads=1)
    trains, left = {}, {}
    for name in names:
        record = run.records[name]
        trains[name] = np.asarray(record.train)[:, 0].reshape(case.timesteps, 1, -1).astype(np.int64)
        if placed.network.populations[name].role is Role.NEURON:
            assert record.u_post is not None
            left[name] = np.asarray(record.u_post)[:, 0].reshape(case.timesteps, -1)
    return trains, left


def ours(case: Case) -> Ours:
    """*case* on our side; every layer must spike, and none always."""
    placed = placement(case)
    trains, left = trains_of(case, placed)
    for name, train in trains.items():
        assert 0 < train.mean() < 1, f"{case.name}: {name} does not spike, or always"
    for name, potentials in left.items():
        assert np.abs(potentials).max() < 2**31, f"{case.name}: potentials of {name} are too large"
    return Ours(case, placed, program_of(placed), trains, left)
