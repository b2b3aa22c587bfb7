"""The lists that neuron units work through in a step: busy times, and messages to send after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal

from snncc.chips import Touch
from snncc.mapping.placement import Part, Placement
from snncc.mapping.schedule import Sweep
from snncc.simulator.slow.routes import tree
from snncc.simulator.slow.spikes import Spikes
from snncc.simulator.slow.stations import Message
from snncc.simulator.timing import EVENTS, Ints

Work = Iterator[tuple[int, Message | None]]
"""Busy times, and the message that is sent after each, if any."""


class Lists:
    """Makes the lists, and counts all events.

    *touched* has the neurons reached since their last sweep, *computed* the time that the host computed.
    """

    def __init__(self, placement: Placement, trains: Mapping[str, Ints]) -> None:
        self.placement, self.trains = placement, trains
        self.chip, self.populations = placement.chip, placement.network.populations
        self.fabric, self.costs = placement.chip.fabric, placement.chip.operations
        self.spikes = Spikes(placement)
        self.times = {kind: cost.time for kind, cost in self.costs.synapse.items()}
        if self.chip.accumulator is not None:
            self.times |= {"write": self.chip.accumulator.write.time, "read": self.chip.accumulator.read.time}
        self.computed = 0
        self.touched: set[tuple[str, int]] = set()
        self.events = {name: [0] * (self.fabric.cores + 1) for name in EVENTS}

    def work(self, core: int, sweeps: tuple[Sweep, ...]) -> Work:
        """What one neuron unit, or the port, has to do in a step."""
        return self.port_work(sweeps) if core == self.fabric.cores else self.core_work(core, sweeps)

    def port_work(self, sweeps: tuple[Sweep, ...]) -> Work:
        """What the host computes first; then for each message of each event the time of the port."""
        port = self.fabric.cores
        lead = self.host_work(sweeps)
        for sweep in sweeps:
            population = sweep[0]
            if not self.placement.is_at_port(population):
                continue
            for address in range(self.populations[population].size):
                for message in self.messages(sweep, address, port):
                    self.events["port"][port] += 1
                    yield lead + self.chip.port.event.time, message
                    lead = 0
        yield lead, None

    def host_work(self, sweeps: tuple[Sweep, ...]) -> int:
        """The time of the host before anything is sent: whole units for the sum of all MACs."""
        tasks, timesteps = self.placement.network.tasks, len(next(iter(self.trains.values())))
        macs = sum(
            tasks[population].macs(timestep, timesteps)
            for population, timestep, tick in sweeps
            if population in tasks and tick == 0
        )
        if not macs or self.chip.host is None:
            return 0
        self.events["host"][self.fabric.cores] += macs
        per_unit = Decimal(repr(self.chip.host.macs_per_second)) * Decimal(repr(self.chip.time_unit))
        whole = (Decimal(macs) / per_unit).to_integral_value(ROUND_CEILING)
        self.computed += int(whole)
        return int(whole)

    def core_work(self, core: int, sweeps: tuple[Sweep, ...]) -> Work:
        """All visits to the neurons of the core that are swept."""
        of = {sweep[0]: sweep for sweep in sweeps}
        time, slow = 0, self.chip.cores[core].slowdown
        for part in self.placement.parts:
            if part.core == core and part.population in of:
                for address in part.addresses.tolist():
                    time += self.visit(part, address)
                    for busy, message in self.spike(of[part.population], address, core):
                        time += busy
                        if message is not None:
                            yield slow * time, message
                            time = 0
        yield slow * time, None

    def spike(self, sweep: Sweep, address: int, core: int) -> Work:
        """What a neuron does if it fires."""
        if self.fires(sweep, address):
            self.events["spike"][core] += 1
            yield self.costs.spike.time, None
            for message in self.messages(sweep, address, core):
                self.events["message_out"][core] += 1
                yield self.costs.message_out.time, message

    def visit(self, part: Part, address: int) -> int:
        """The time of access and update of one neuron, whose next sweep begins a new count of touches."""
        self.events["access"][part.core] += 1
        time = self.costs.access.time
        if self.is_touched(part.population, address):
            self.events["update"][part.core] += 1
            time += self.costs.update.time
        self.touched.discard((part.population, address))
        return time

    def is_touched(self, population: str, address: int) -> bool:
        """Whether a neuron needs an update."""
        if self.chip.touch is Touch.ALL or self.populations[population].is_active:
            return True
        return (population, address) in self.touched

    def fires(self, sweep: Sweep, address: int) -> bool:
        """Whether a neuron sends in this sweep; a readout has no train."""
        population, timestep, tick = sweep
        return population in self.trains and self.trains[population][timestep, tick, address] != 0

    def messages(self, sweep: Sweep, address: int, sender: int) -> list[Message]:
        """What a neuron sends in this sweep."""
        if not self.fires(sweep, address):
            return []
        population, timestep, tick = sweep
        cores = tuple(self.spikes.arrivals(population, address))
        groups: list[tuple[int, ...]] = [(core,) for core in cores]
        if self.fabric.multicast:
            groups = [cores] if cores else []
        return [
            Message(population, address, timestep, tick, sender, group, tree(self.fabric, sender, group))
            for group in groups
        ]

    def arrive(self, message: Message, core: int) -> int:
        """The work of a message on *core*."""
        lanes, time = self.costs.lanes, self.costs.message_in.time
        self.events["message_in"][core] += 1
        arrival = self.spikes.arrivals(message.population, message.address)[core]
        for kind, count in arrival.synapses.items():
            self.events[kind][core] += count
            time += -(-count // lanes) * self.times[kind]
        is_host = core == self.fabric.cores
        return time if is_host else time * self.chip.cores[core].slowdown

    def touch(self, message: Message, core: int) -> None:
        """*message* has been worked off on *core*: its targets need an update in their next sweep."""
        self.touched |= self.spikes.arrivals(message.population, message.address)[core].reached
