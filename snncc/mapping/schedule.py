"""Which populations are swept in which chip step, and whether a placement can be run at all.

The rules are sections 2 and 3 of `snncc/simulator/MACHINE.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from snncc.chips import Chip, Discipline
from snncc.chips.model import Overflow
from snncc.errors import BadInput, CannotLower, InvalidGraph
from snncc.mapping.network import Connection, Network, Population, Role
from snncc.mapping.placement import Placement, Schedule

NO_HOST = "compile with attention='static', take a chip with a [host], or simulate without a chip"
Sweep = tuple[str, int, int]
"""One sweep of a population: its name, its timestep, its tick."""


def steps_of(network: Network, schedule: Schedule, timesteps: int) -> Iterator[tuple[Sweep, ...]]:
    """For each chip step, also the empty ones, what is swept in it, in the order of the populations."""
    populations = network.populations.values()
    if schedule is Schedule.LAYERED:
        for stage, t in product(sorted({p.stage for p in populations}), range(timesteps)):
            for depth in sorted({p.depth for p in populations if p.stage == stage}):
                layer = [p for p in populations if (p.stage, p.depth) == (stage, depth)]
                for tick in range(max(p.steps for p in layer)):
                    yield tuple((p.name, t, tick) for p in layer if tick < p.steps)
        return
    for group in range(timesteps + max(p.depth for p in populations)):
        present = [p for p in populations if 0 <= group - p.depth < timesteps]
        for tick in range(steps_of_a_group(network)):
            yield tuple((p.name, group - p.depth, tick) for p in present if tick < p.steps)


def steps_of_a_group(network: Network) -> int:
    """D of the pipelined schedule: the largest number of ticks of any population."""
    return max((p.steps for p in network.populations.values()), default=1)


def check_schedule(placement: Placement) -> None:
    """Raise `CannotLower` or `InvalidGraph` for the first thing that the chip cannot run."""
    chip, network = placement.chip, placement.network
    check_chip(chip)
    check_host(placement)
    check_products(placement)
    check_parts(placement)
    for population in network.populations.values():
        check_payload(population, chip)
    for connection in network.connections:
        check_delay(connection, placement)


def check_chip(chip: Chip) -> None:
    """Raise for a chip that is not of the discipline ``barrier``."""
    if chip.discipline is not Discipline.BARRIER:
        raise CannotLower(
            f"{chip.name}: its steps are closed by {chip.discipline.value!r}, only 'barrier' is simulated"
        )
    if chip.overflow is not Overflow.STALL:
        raise CannotLower(
            f"{chip.name}: full queues {chip.overflow.value!r}; with the discipline 'barrier' senders stall"
        )
    check_queues(chip)


def check_host(placement: Placement) -> None:
    """Raise `CannotLower` where a host is needed that the chip does not have, or would be late."""
    chip, network = placement.chip, placement.network
    if not network.has_host:
        return
    name = next(iter(network.tasks))
    if chip.host is None:
        raise CannotLower(f"{name}: a host must compute it, {chip.name} has none", hint=NO_HOST)
    if placement.schedule is Schedule.PIPELINED:
        raise CannotLower(
            f"{name}: a host computes it between the steps of the cores, so the network cannot be pipelined",
            hint="use the schedule 'layered'",
        )


def check_products(placement: Placement) -> None:
    """Raise `CannotLower` where what a product writes has no memory, or would be overwritten."""
    for population in placement.network.populations.values():
        if population.role is not Role.PRODUCT:
            continue
        if placement.chip.accumulator is None:
            raise CannotLower(
                f"{population.name}: a product of two trains needs writable memory, "
                f"{placement.chip.name} has none",
                hint="take a chip with an [accumulator], or simulate without a chip",
            )
        if placement.schedule is Schedule.PIPELINED:
            raise CannotLower(
                f"{population.name}: what a product reads holds one timestep, so it cannot be pipelined",
                hint="use the schedule 'layered'",
            )


def check_queues(chip: Chip) -> None:
    """Raise for queues without slots, and for slots that are free at the very time that they are left."""
    fabric = chip.fabric
    kinds = (fabric.inject, fabric.east_west, fabric.north_south, fabric.eject)
    capacities = [*(kind.capacity for kind in kinds), *(core.in_queue for core in chip.cores)]
    bounded = [capacity for capacity in capacities if capacity is not None]
    if bounded and min(bounded) < 1:
        raise CannotLower(f"{chip.name}: a queue has {min(bounded)} slots, it needs 1")
    if bounded and fabric.credit < 1:
        raise CannotLower(
            f"{chip.name}: queues are bounded, so credit must be at least 1, not {fabric.credit}"
        )


def check_parts(placement: Placement) -> None:
    """Raise `InvalidGraph` unless each neuron is on one core (none, where input enters by the port)."""
    cores = placement.chip.fabric.cores
    for part in placement.parts:
        if part.population not in placement.network.populations:
            raise InvalidGraph(f"core {part.core}: there is no population {part.population!r}")
        if not 0 <= part.core < cores:
            raise InvalidGraph(f"{part.population}: on core {part.core}, the chip has {cores}")
        if np.any(np.diff(part.addresses) <= 0):
            raise InvalidGraph(f"{part.population}: its addresses on core {part.core} do not ascend")
    for name, population in placement.network.populations.items():
        parts = [part.addresses for part in placement.parts_of(name)]
        held = np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
        expected = np.arange(0 if placement.is_at_port(name) else population.size)
        if not np.array_equal(held, expected):
            raise InvalidGraph(
                f"{name}: its parts must hold each of {len(expected)} neurons once; they hold "
                f"{len(held)}, {len(np.intersect1d(held, expected))} of them different ones of these"
            )


def check_payload(population: Population, chip: Chip) -> None:
    """Raise `CannotLower` where messages carry more than the chip's do."""
    have = chip.limits.payload_bits
    if have is not None and population.payload_bits > have:
        raise CannotLower(
            f"{population.name}: its messages need {population.payload_bits} bits, "
            f"those of {chip.name} have {have}",
            hint="encode integer activations as spikes",
        )


def waits_of(connection: Connection, network: Network, schedule: Schedule) -> int:
    """How long what *connection* carries is kept before the sweep that it is for (MACHINE.md, 3).

    Pipelined: in chip steps; below 0 it comes too late, by groups of them. Layered: in sweeps of its target.
    """
    source, target = (network.populations[name] for name in (connection.source, connection.target))
    if schedule is Schedule.LAYERED:  # what comes before the sweep of its timestep waits for that one, too
        return (connection.delay - (source.depth >= target.depth)) * target.steps
    return (target.depth - source.depth + connection.delay - 1) * steps_of_a_group(network)


def check_delay(connection: Connection, placement: Placement) -> None:
    """Raise `CannotLower` where what *connection* carries would come too late, or has to wait too long."""
    network, chip, schedule = placement.network, placement.chip, placement.schedule
    where, waits = f"{connection.source} -> {connection.target}", waits_of(connection, network, schedule)
    if waits < 0:
        raise CannotLower(
            f"{where}: to be pipelined it needs a delay of "
            f"{connection.delay - waits // steps_of_a_group(network)} timesteps, has {connection.delay}",
            hint="use the schedule 'layered'",
        )
    most = chip.limits.max_delay
    if most is not None and waits > most:
        unit = "steps" if schedule is Schedule.PIPELINED else f"sweeps of {connection.target}"
        raise CannotLower(
            f"{where}: {schedule.value}, it needs a delay of {waits} {unit}, {chip.name} has {most}",
            hint="shorten the delays of the network, or try the other schedule",
        )


def checked_trains(
    network: Network, trains: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.int64]]:
    """The trains [T, ticks, size] of the populations that send. Raises `BadInput` for a wrong one."""
    senders = [p for p in network.populations.values() if p.role is not Role.READOUT]
    missing = [p.name for p in senders if p.name not in trains]
    if missing:
        raise BadInput(f"{', '.join(missing)}: no train; every input and neuron needs one")
    checked = {p.name: checked_train(p, np.asarray(trains[p.name])) for p in senders}
    lengths = {name: len(train) for name, train in checked.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise BadInput(f"trains differ in their timesteps ({listed})")
    return checked


def checked_train(population: Population, train: NDArray[np.generic]) -> NDArray[np.int64]:
    """*train* as integers."""
    name = population.name
    expected = (population.ticks, population.size)
    if train.ndim != 3 or train.shape[1:] != expected or not len(train):
        have, need = list(train.shape), f"[timesteps, {population.ticks}, {population.size}]"
        raise BadInput(f"{name}: its train has the shape {have}, needs {need}")
    if train.dtype.kind not in "biu":
        raise BadInput(f"{name}: its train has {train.dtype}, needs integers")
    whole = train.astype(np.int64)
    if not population.payload_bits and not np.isin(whole, (0, 1)).all():
        raise BadInput(
            f"{name}: its messages are bare spikes, its train has {whole.min()}..{whole.max()}, not 0 and 1"
        )
    return whole
