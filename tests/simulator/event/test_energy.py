"""Joules of layers on a self-timed chip: from counts, against the slow machine's log, event by event."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snncc.chips.model import Overflow
from snncc.errors import SnnccError
from snncc.simulator.event_neurons import EventNeurons, event_neurons
from snncc.simulator.event_run import EventRun
from snncc.simulator.machine.event_energy import energy_of_events
from snncc.simulator.machine.events import run_events
from snncc.simulator.slow import Record
from snncc.simulator.slow.events import simulate_events
from snncc.simulator.slow.routes import kind_of
from snncc.simulator.slow.stations import Message
from tests.joules import joules
from tests.simulator.event.programs import EventProgram, event_programs


class Seen:
    """Programs that ran, those that lost events, those with ticks."""

    ran = lost = biased = 0


class Bill:
    """What each population pays, in pJ, from the log of the slow machine."""

    def __init__(self, program: EventProgram, neurons: dict[str, EventNeurons]) -> None:
        self.placement, self.network = program.placement, program.placement.network
        self.chip, self.neurons = program.placement.chip, neurons
        self.costs = self.chip.operations
        self.paid = dict.fromkeys(self.network.populations, 0.0)

    def biased(self, core: int) -> Counter[str]:
        """Neurons of *core* with a bias, by population."""
        found: Counter[str] = Counter()
        for part in self.placement.parts:
            if part.core == core and part.population in self.neurons:
                bias = self.neurons[part.population].bias[part.addresses]
                found[part.population] += int(np.count_nonzero(bias))
        return found

    def pay(self, message: Message, picojoules: float) -> None:
        """The sender pays; for a tick those that it is for, neuron by neuron."""
        if message.population:
            self.paid[message.population] += picojoules
            return
        of = self.biased(message.cores[0])
        for name, count in of.items():
            self.paid[name] += picojoules * count / of.total()

    def take(self, message: Message, core: int) -> None:
        """An event unit takes *message*."""
        self.pay(message, self.costs.message_in.energy)
        if not message.population:
            for name, count in self.biased(core).items():
                self.paid[name] += count * (self.costs.access.energy + self.costs.update.energy)
        for connection in self.network.connections:
            if connection.source == message.population:
                targets, _ = connection.synapses(message.address)
                met = np.count_nonzero(self.placement.core_of(connection.target)[targets] == core)
                self.paid[connection.target] += met * self.costs.synapse[connection.kind].energy

    def read(self, record: Record) -> None:
        """One line of the log."""
        if record.message is None or record.what in ("waits", "finishes"):
            return
        if record.station == "port":
            self.pay(record.message, self.chip.port.event.energy)
        elif record.what == "sends":
            self.pay(record.message, self.costs.message_out.energy)
        elif record.station.startswith("synapse unit"):
            self.take(record.message, int(record.station.split()[-1]))
        else:
            self.pay(record.message, kind_of(record.station, self.chip.fabric).energy)


def slow_layers(program: EventProgram) -> tuple[EventRun, dict[str, float]]:
    """The slow machine's run, and what each population pays."""
    log: list[Record] = []
    run = simulate_events(
        program.graph, program.placement, program.inputs, period=program.period, most=60, log=log
    )
    bill = Bill(program, dict(event_neurons(program.graph, program.placement.network)))
    for record in log:
        bill.read(record)
    for name, train in run.spikes.items():
        bill.paid[name] += int(train.sum()) * bill.costs.spike.energy
    return run, {name: paid * 1e-12 for name, paid in bill.paid.items()}


def tight(program: EventProgram) -> EventProgram:
    """*program* where units have one slot each, and what finds it full is lost."""
    chip = program.placement.chip
    cores = tuple(replace(core, in_queue=1) for core in chip.cores)
    chip = replace(chip, cores=cores, overflow=Overflow.DROP)
    return replace(program, placement=replace(program.placement, chip=chip))


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.one_of(event_programs(), event_programs().map(tight)))
def check_layers(program: EventProgram) -> None:
    try:
        slow, paid = slow_layers(program)
    except SnnccError:
        return
    given = program.graph, program.placement, program.inputs
    run = run_events(*given, "timed", program.period, most=60)
    neurons = event_neurons(program.graph, program.placement.network)
    energy = energy_of_events(program.placement, neurons, run, program.inputs)
    assert energy.layers == joules(paid)
    assert sum(energy.layers.values()) == joules(energy.events)
    Seen.ran += energy.events > 0
    Seen.lost += bool(slow.dropped.any())
    assert slow.taken is not None
    Seen.biased += bool(slow.taken.messages[-1].any())


def test_joules_of_layers_are_those_of_the_slow_machine() -> None:
    Seen.ran = Seen.lost = Seen.biased = 0
    check_layers()
    assert Seen.ran >= 50
    assert Seen.lost >= 20
    assert Seen.biased >= 10
