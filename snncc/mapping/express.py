"""What a chip cannot express, wherever the neurons are put."""

from __future__ import annotations

from collections.abc import Iterator

from snncc.chips import Chip
from snncc.ir import Sparse, place
from snncc.mapping.demand import Usage
from snncc.mapping.hosted import ALWAYS
from snncc.mapping.network import Connection, Network, Population, Role
from snncc.mapping.placement import Schedule
from snncc.mapping.products import WRITE
from snncc.mapping.reach import weight_bits
from snncc.mapping.schedule import steps_of_a_group, waits_of


def inexpressible(network: Network, chip: Chip) -> Iterator[Usage]:
    """Every limit of messages, weights and states that *network* exceeds on *chip*."""
    found: list[Usage] = []
    for population in network.populations.values():
        where, limits = layer(population), chip.limits
        found.append(Usage(where, "payload_bits", population.payload_bits, limits.payload_bits))
        found.append(Usage(where, "state_bits", population.state_bits, limits.state_bits))
    for connection in network.connections:
        if connection.rule:
            continue
        found.append(Usage(path(connection), "weight_bits", weight_bits(connection), chip.limits.weight_bits))
        if chip.memory.format == "kernels" and isinstance(connection.node, Sparse):
            found.append(Usage(path(connection), "synapses without a kernel", connection.node.weight.size, 0))
    if chip.accumulator is None:
        found += accumulator_needs(network)
    if chip.host is None:
        found += host_needs(network)
    return (usage for usage in found if usage.is_over)


def accumulator_needs(network: Network) -> Iterator[Usage]:
    """The bits of all that is written for each product."""
    for name, population in network.populations.items():
        if population.role is Role.PRODUCT:
            sizes = [len(c.reads) * c.entry_bits for c in network.into(name) if c.rule == WRITE]
            yield Usage(layer(population), "accumulator_bits", sum(sizes), 0)


def host_needs(network: Network) -> Iterator[Usage]:
    """The multiply-accumulates of one inference of each node that only a host can compute."""
    for task in network.tasks.values():
        for one in task.nodes:
            need = one.macs(network.timesteps)
            if need or isinstance(one.node, ALWAYS):
                yield Usage(place(one.node), "host_macs", max(1, need), 0)


def late(network: Network, chip: Chip) -> Iterator[Usage]:
    """Every connection that cannot be pipelined on *chip*: what comes too late, what has to wait too long."""
    for name in network.tasks:
        yield Usage(layer(network.populations[name]), "pipelining past the host", 1, 0)
    for population in network.populations.values():
        if population.role is Role.PRODUCT:
            yield Usage(layer(population), "pipelining past a product", 1, 0)
    for connection in network.connections:
        waits = waits_of(connection, network, Schedule.PIPELINED)
        if waits < 0:
            need = connection.delay - waits // steps_of_a_group(network)
            yield Usage(path(connection), "pipelining delay", need, connection.delay)
    yield from overdue(network, chip, Schedule.PIPELINED)


def overdue(network: Network, chip: Chip, schedule: Schedule) -> Iterator[Usage]:
    """Every connection whose delay *chip* cannot keep."""
    resource = "delay" if schedule is Schedule.PIPELINED else "delay in sweeps"
    for connection in network.connections:
        waits = waits_of(connection, network, schedule)
        usage = Usage(path(connection), resource, waits, chip.limits.max_delay)
        if usage.is_over:
            yield usage


def scheduled(network: Network, chip: Chip) -> Schedule:
    """Pipelined where all connections can be, else layered."""
    return Schedule.LAYERED if any(late(network, chip)) else Schedule.PIPELINED


def layer(population: Population) -> str:
    """What to call a population in errors: its name, and the user's."""
    return f"{population.name} ({population.origin})" if population.origin else population.name


def path(connection: Connection) -> str:
    """What to call a connection in errors."""
    ends = f"{connection.source} -> {connection.target}"
    return f"{connection.node.name} ({ends})" if connection.node else ends
