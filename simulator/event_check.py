"""What the discipline `event` (MACHINE.md, 7) does not allow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snncc.chips import Chip, Discipline, Entry
from snncc.errors import CannotLower
from snncc.ir import Emit, Encoding, Neuron, NeuronParameters, Rectifier, Reset, ResetAt, SpikeGraph, place
from snncc.mapping.network import Connection, Population, Role
from snncc.mapping.placement import Placement
from snncc.mapping.schedule import check_parts, check_queues

BARRIER = "run it by the discipline 'barrier'"
Problem = tuple[str, str]
"""What is wrong, and what to do about it."""


def check_events(graph: SpikeGraph, placement: Placement) -> None:
    """Raise `CannotLower` for the first thing that section 7 refuses, `InvalidGraph` for wrong parts."""
    if not graph.is_integer:
        raise CannotLower(
            f"{graph.name}: a chip computes with integers, this graph with floats",
            hint="compile with precision='integer'",
        )
    for population in placement.network.populations.values():
        check_population(graph, population)
    for connection in placement.network.connections:
        check_connection(connection)
    check_event_chip(placement.chip)
    check_parts(placement)


def check_population(graph: SpikeGraph, population: Population) -> None:
    """Raise for messages with numbers, and for neurons that are not integrate-and-fire with one tick."""
    if population.name not in graph.by_name:
        raise CannotLower(f"{population.name}: the graph {graph.name} has no such node")
    node = graph.by_name[population.name]
    if population.role is Role.PRODUCT:
        raise CannotLower(
            f"{place(node)}: one operand of a product must be complete first, events know no order",
            hint="simulate without a chip",
        )
    if population.role is Role.TAP:
        raise CannotLower(
            f"{place(node)}: its sum over a timestep is sent as a number, events know no timesteps",
            hint="put the pooling behind the neuron; compile with attention='static'; or " + BARRIER,
        )
    if population.role is Role.HOST:
        raise CannotLower(
            f"{place(node)}: a host takes turns with the steps of the cores, events know none",
            hint="compile with attention='static', or " + BARRIER,
        )
    if population.role is Role.RELAY:
        raise CannotLower(
            f"{place(node)}: a maximum is one of what came in a timestep, events know none",
            hint="pool by sums or averages, or by a stride; or " + BARRIER,
        )
    if population.role is not Role.READOUT and population.payload_bits:
        raise CannotLower(
            f"{place(node)}: its messages carry numbers of {population.payload_bits} bits; "
            "an event is a bare spike",
            hint="encode it as spikes",
        )
    if isinstance(node, Neuron):
        for what, hint in problems(node.parameters):
            raise CannotLower(f"{place(node)}: {what}; a neuron that fires by events has none", hint=hint)
    if population.role is not Role.READOUT and population.ticks != 1:
        raise CannotLower(f"{place(node)}: sends in {population.ticks} ticks, events need 1", hint=BARRIER)


def problems(p: NeuronParameters) -> Iterator[Problem]:
    """What of *p* events have no meaning for."""
    if p.max_count != 1:
        have = "any number of" if p.max_count is None else f"up to {p.max_count}"
        yield f"{have} spikes in a timestep (needs at most 1)", "compile with max_count 1"
    if np.any(p.leak != 1 << p.leak_shift):
        yield f"a leak (of {np.min(p.leak)} / {1 << p.leak_shift}, needs 1)", BARRIER
    if p.has_current:
        yield "a memory of its current", BARRIER
    if p.refractory:
        yield f"a refractory time (of {p.refractory} timesteps, needs 0)", BARRIER
    if p.stateless:
        yield "a potential that is forgotten in each timestep", BARRIER
    if p.steps is not None:
        yield "explicit steps", BARRIER
    if p.rectifier is not Rectifier.NONE:
        yield f"a rectifier ({p.rectifier})", BARRIER
    if p.reset is Reset.NONE:
        yield "a potential that no spike resets", "reset by subtraction or to a value"
    if p.reset_at is not ResetAt.SAME:
        yield f"a reset in another timestep ({p.reset_at}, needs {ResetAt.SAME})", BARRIER
    if p.clamp_high is not None:
        yield "an upper clamp", "leave it out: what is left above the threshold waits for the next event"
    if p.emit is not Emit.COUNT or p.encoding is Encoding.STREAM:
        yield "an output other than spikes", BARRIER


def check_connection(connection: Connection) -> None:
    """Raise for a delay."""
    if connection.delay:
        raise CannotLower(
            f"{connection.source} -> {connection.target}: has a delay of {connection.delay} timesteps, "
            "events need 0",
            hint=BARRIER,
        )


def check_event_chip(chip: Chip) -> None:
    """Raise for a chip that does not run by events."""
    if chip.discipline is not Discipline.EVENT:
        raise CannotLower(f"{chip.name}: its discipline is {chip.discipline.value!r}, events need 'event'")
    if chip.entry is not Entry.PORT:
        raise CannotLower(
            f"{chip.name}: input enters by {chip.entry.value!r}; by events it enters by the 'port'"
        )
    message_in = chip.operations.message_in.time
    if message_in < 1:
        raise CannotLower(
            f"{chip.name}: message_in takes {message_in}, it must take at least 1, so that a loop takes time"
        )
    check_queues(chip)
