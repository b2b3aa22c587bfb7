"""From a network and a chip to a placement."""

from __future__ import annotations

from typing import Literal, get_args

from snncc.chips import Chip
from snncc.errors import BadInput, UnknownName
from snncc.mapping.demand import Demands, DoesNotFitChip
from snncc.mapping.excess import all_of, excess
from snncc.mapping.express import inexpressible, late, overdue, scheduled
from snncc.mapping.improvement import improve
from snncc.mapping.load import Held, Load
from snncc.mapping.network import Network
from snncc.mapping.place import greedy, region, scattered, snake
from snncc.mapping.placement import Part, Placement, Schedule
from snncc.mapping.scaled import guided, spread
from snncc.mapping.split import split
from snncc.mapping.traffic import Traffic, spikes_of, trace_of

Placing = Literal["greedy", "random"]


def map_network(
    network: Network,
    chip: Chip,
    *,
    schedule: Schedule | None = None,
    cores: int | None = None,
    traffic: Traffic | None = None,
    seed: int = 0,
    placing: Placing = "greedy",
) -> Placement:
    """*network* on as few cores of *chip* as possible, or spread over exactly *cores* cores.

    *schedule* None: pipelined where all connections can be, else layered. *placing* "greedy": near to what
    they exchange messages with; "random": by *seed*, for comparison. With *traffic*, measured, the placement
    is then improved against it (`improve`), which may spread parts over more cores. With *cores* as well (and
    "greedy") the network is first cut for that traffic (`guided`): parts that make no step wait for one core.

    Raises `DoesNotFitChip` with every limit that is broken, `BadInput` for wrong options.
    """
    if placing not in get_args(Placing):
        raise UnknownName("placing", placing, get_args(Placing))
    if cores is not None and not 1 <= cores <= chip.fabric.cores:
        raise BadInput(f"{chip.name}: cores must be 1 to {chip.fabric.cores}, not {cores}")
    schedule, broken = schedule or scheduled(network, chip), list(inexpressible(network, chip))
    is_piped = schedule is Schedule.PIPELINED
    broken += late(network, chip) if is_piped else overdue(network, chip, schedule)
    demands = Demands(network, chip)
    if broken:
        raise DoesNotFitChip(chip.name, [*broken, *excess(demands, range(chip.fabric.cores))])
    trace = trace_of(network, traffic)
    is_guided = traffic is not None and cores is not None and placing == "greedy"
    spikes = spikes_of(network, None if is_guided else traffic)
    if cores is None:
        allowed = snake(chip, chip.fabric.columns, chip.fabric.rows)
        try:
            held = split(demands, allowed)
        except DoesNotFitChip as error:
            raise all_of(error, demands, allowed) from None
    else:
        allowed = region(chip, cores)
        held = spread(demands, spikes, allowed)
    load = Load(demands, held)
    placed = greedy(load, spikes, allowed) if placing == "greedy" else scattered(load, allowed, seed)
    placement = placement_of(demands, placed, schedule)
    if traffic is None:
        return placement
    if is_guided:
        placement = guided(placement, demands, trace, allowed)
    return improve(placement, traffic, seed, allowed, is_bound=is_guided)


def placement_of(demands: Demands, held: list[Held], schedule: Schedule) -> Placement:
    """The placement of pieces on cores, which are swept in the order of the network."""
    parts = tuple(Part(piece.population, core, piece.addresses) for piece, core in held)
    return Placement(demands.chip, demands.network, parts, schedule)
