"""What layers need of the cores of a chip beyond what these have, wherever they are put: all of it at once.

`snncc.mapping.split` gives up at the first thing that is in its way; this goes on to the next layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snncc.chips import Chip
from snncc.mapping.cut import Cutter
from snncc.mapping.demand import Demand, Demands, DoesNotFitChip, Usage
from snncc.mapping.express import inexpressible, layer
from snncc.mapping.network import Network
from snncc.mapping.split import beyond, placed_populations, split, whole

FEW = 12
"""Neurons of a layer that are looked at one by one; 11 steps rarely lead to nothing but corners of maps."""


def broken_limits(network: Network, chip: Chip) -> tuple[Usage, ...]:
    """Every limit of *chip* that *network* breaks, times and delays apart."""
    demands, cores = Demands(network, chip), range(chip.fabric.cores)
    found = [*inexpressible(network, chip), *excess(demands, cores)]
    if not found:
        try:
            split(demands, cores)
        except DoesNotFitChip as error:
            return error.usages
    return tuple(found)


def excess(demands: Demands, cores: Sequence[int]) -> Iterator[Usage]:
    """Of each layer what one neuron needs too much of, or too many cores; of all layers cores and memories.

    Out-axons and fan-out depend on where all layers are; they are not looked at.
    """
    cutter = Cutter(demands, len(cores))
    placed = placed_populations(demands.network, demands.chip)
    for name in placed:
        yield from too_much(cutter, name, cores)
    yield from too_large("the network", whole(demands, placed), demands.chip, cores)


def too_much(cutter: Cutter, population: str, cores: Sequence[int]) -> Sequence[Usage]:
    """Why *population* has no place even on an empty chip; nothing where it has."""
    alone = cutter.alone(population, FEW)
    if alone:
        return alone
    where, demands = layer(cutter.network.populations[population]), cutter.demands
    need = whole(demands, [population])
    large = too_large(where, need, demands.chip, cores)
    if large or has_place(cutter, population, fewest(need, demands.chip)):
        return large
    try:
        cutter.pieces(population)
    except DoesNotFitChip as error:
        return error.usages
    return ()


def has_place(cutter: Cutter, population: str, least: int) -> bool:
    """Whether some number of boxes of *population*, at least *least*, is seen to fit; few are tried."""
    most = min(cutter.cores, cutter.network.populations[population].size)
    count, found = max(1, least), most == 0
    while count <= most and not found:
        found = bool(cutter.gridded(population, count))
        count = count + 1 if count == most else min(most, count + max(1, count // 4))
    cutter.demands.forget()  # of a large network these are many masks of many sources
    return found


def too_large(where: str, demand: Demand, chip: Chip, cores: Sequence[int]) -> list[Usage]:
    """That a *demand*, cut or not, takes more than all *cores*, and which memories of theirs."""
    few = Usage(where, "cores", fewest(demand, chip), len(cores))
    return [*([few] if few.is_over else []), *beyond(where, demand, chip, cores)]


def fewest(demand: Demand, chip: Chip) -> int:
    """How many cores a *demand*, cut or not, takes at least."""
    least = 0
    for resource, need in demand.needs():
        limits = [getattr(core, resource) for core in chip.cores]
        if None not in limits and need:
            least = max(least, -(-need // max(1, *limits)))
    return least


def all_of(error: DoesNotFitChip, demands: Demands, cores: Sequence[int]) -> DoesNotFitChip:
    """All that is too large, in place of the first of it: *error*, if that is not about sizes."""
    found = list(excess(demands, cores))
    return DoesNotFitChip(demands.chip.name, found) if found else error
