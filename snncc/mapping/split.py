"""Cutting a network into parts that fit the cores of a chip, in as few cores as possible.

1. Each population is cut into the fewest boxes that fit (`snncc.mapping.cut`), and boxes of several
   populations share cores where all limits hold (`snncc.mapping.pack`).
2. Where boxes find no core, or out-axons or fan-out are exceeded (which depend on how the targets are cut),
   the populations concerned are cut finer, and all is packed anew.
3. If that comes to no end, cores are filled one after another, neuron by neuron in network order: nothing of
   a core is left empty by a neuron that would fit.

What is refused after that breaks some limit in each of these three; a cleverer cut may exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from snncc.chips import Chip, Entry
from snncc.mapping.cut import Cutter
from snncc.mapping.demand import NOTHING, Demand, Demands, DoesNotFitChip, Piece, Usage
from snncc.mapping.load import Held, Load
from snncc.mapping.masks import Ints
from snncc.mapping.network import Network, Role
from snncc.mapping.pack import is_shared, packed

ROUNDS = 24
"""How often the network is cut anew before cores are filled neuron by neuron."""
FILLS = 4
"""How often cores are filled anew."""


def split(demands: Demands, cores: Sequence[int]) -> list[Held]:
    """Parts with their cores, which are some of *cores*. Raises `DoesNotFitChip`."""
    placed = placed_populations(demands.network, demands.chip)
    cutter = Cutter(demands, len(cores))
    refusals = [usage for name in placed for usage in cutter.alone(name)]
    if refusals:
        raise DoesNotFitChip(demands.chip.name, refusals)
    found = refined(cutter, placed, cores)
    if isinstance(found, list):
        return found
    filled = filled_up(demands, placed, cores)
    if isinstance(filled, list):
        return filled
    if found.usages[0].resource != "cores":
        raise found
    total = beyond("the network", whole(demands, placed), demands.chip, cores)
    raise DoesNotFitChip(demands.chip.name, [filled, *total])


def placed_populations(network: Network, chip: Chip) -> list[str]:
    """The populations that cores hold: all but the host's, and but inputs, where these enter by the port."""
    outside = {Role.HOST, Role.INPUT} if chip.entry is Entry.PORT else {Role.HOST}
    return [p.name for p in network.populations.values() if p.role not in outside]


def whole(demands: Demands, placed: Sequence[str]) -> Demand:
    """What populations need, uncut, on one core; axons are left out."""
    found = NOTHING
    for name in placed:
        every = np.arange(demands.network.populations[name].size)
        found = found.plus(replace(demands.piece(name, every).demand, axons={}))
    return found


def beyond(where: str, demand: Demand, chip: Chip, cores: Sequence[int]) -> list[Usage]:
    """What a *demand*, uncut, needs of each memory beyond that of all *cores* together."""
    found = []
    for resource, need in demand.needs():
        limits = [getattr(chip.cores[core], resource) for core in cores]
        if None not in limits:
            found.append(Usage(where, resource, need, sum(limits)))
    return [usage for usage in found if usage.is_over]


def refined(cutter: Cutter, placed: Sequence[str], cores: Sequence[int]) -> list[Held] | DoesNotFitChip:
    """Cut and packed, finer and finer; the last refusal if that does not succeed."""
    demands, least = cutter.demands, dict.fromkeys(placed, 1)
    copies: Mapping[str, Ints] = {}
    refusal = DoesNotFitChip(demands.chip.name, [])
    for _ in range(ROUNDS):
        try:
            pieces = [p.sending(copies) for name in placed for p in cutter.pieces(name, least[name])]
        except DoesNotFitChip as error:
            return error if not refusal.usages else refusal
        counts = {name: sum(piece.population == name for piece in pieces) for name in placed}
        held = packed(pieces, demands.chip, cores)
        if isinstance(held, int):
            finer = {pieces[held].population: 2.0 if is_shared(demands.chip) else 1.0}
            refusal = DoesNotFitChip(
                demands.chip.name, [Usage("the network", "cores", len(cores) + 1, len(cores))]
            )
        else:
            load = Load(demands, held)
            over = [usage for usage in load.usages() if usage.is_over]
            if not over:
                return held
            refusal, finer, copies = DoesNotFitChip(demands.chip.name, over), crowded(load), load.copies
        for name, factor in finer.items():
            least[name] = max(counts[name] + 1, int(counts[name] * factor))
    return refusal


def crowded(load: Load) -> dict[str, float]:
    """The populations on cores that exceed out-axons or fan-out, and by which factor to cut them finer."""
    finer: dict[str, float] = {}
    for piece, core in load.held:
        have, need = load.chip.cores[core].out_axons, load.out_axons(core)
        fan_out = load.chip.limits.fan_out
        if have is not None and need > have:
            finer[piece.population] = max(finer.get(piece.population, 1.0), need / max(1, have))
        elif fan_out is not None and load.fan_out(piece) > fan_out:
            finer.setdefault(piece.population, 1.0)
    return finer


def filled_up(demands: Demands, placed: Sequence[str], cores: Sequence[int]) -> list[Held] | Usage:
    """As `fill`, with the out-axons of the try before. Raises `DoesNotFitChip` if they stay too many."""
    copies: Mapping[str, Ints] = {}
    over: list[Usage] = []
    for _ in range(FILLS):
        held = fill(demands, placed, cores, copies)
        if isinstance(held, Usage):
            return held
        load = Load(demands, held)
        over = [usage for usage in load.usages() if usage.is_over]
        if not over:
            return held
        copies = load.copies
    raise DoesNotFitChip(demands.chip.name, over)


def fill(
    demands: Demands, placed: Sequence[str], cores: Sequence[int], copies: Mapping[str, Ints]
) -> list[Held] | Usage:
    """Cores filled one after another with ranges of neurons; or how many cores are missing, at least."""
    held: list[Held] = []
    waiting = [(name, np.arange(demands.network.populations[name].size)) for name in placed]
    for core in cores:
        room: Demand = NOTHING
        while waiting:
            name, left = waiting[0]
            piece = longest(demands, name, left, core, room, copies)
            if piece is None:
                break
            held.append((piece, core))
            room = room.plus(piece.demand)
            rest = left[len(piece.addresses) :]
            waiting[:1] = [(name, rest)] if len(rest) else []
            if len(rest) or not is_shared(demands.chip):
                break
    if not waiting:
        return held
    left_over = sum(len(left) for _, left in waiting)
    done = sum(len(piece.addresses) for piece, _ in held)
    more = -(-left_over * len(cores) // done) if done else left_over
    return Usage(waiting[0][0], "cores", len(cores) + more, len(cores))


def longest(
    demands: Demands, name: str, left: Ints, core: int, room: Demand, copies: Mapping[str, Ints]
) -> Piece | None:
    """The first of the neurons *left*, as many as *core* takes beside *room*, by bisection; None: not one."""
    limits = demands.chip.cores[core]

    def taken(count: int) -> Piece | None:
        piece = demands.piece(name, left[:count]).sending(copies)
        return piece if room.plus(piece.demand).fits(limits) else None

    high = len(left) if limits.neurons is None else min(len(left), limits.neurons - room.neurons)
    best = taken(high) if high > 0 else None
    low, high = (high, high) if best else (0, high - 1)
    while low < high:
        count = (low + high + 1) // 2
        piece = taken(count)
        best, low, high = (piece, count, high) if piece else (best, low, count - 1)
    return best
