"""What layers need of the cores of a chip beyond what these have, wherever they are put: all of it at once.

`snncc.mapping.split` gives up at the first thing that is in its way; this goes on to the next layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snncc.mapping.cut import Cutter
from snncc.mapping.demand import Demands, DoesNotFitChip, Usage
from snncc.mapping.split import placed_populations, totals


def excess(demands: Demands, cores: Sequence[int]) -> Iterator[Usage]:
    """Of each layer what one neuron needs too much of, or too many cores; of all layers each memory.

    Out-axons and fan-out depend on where all layers are: they are not looked at.
    """
    cutter = Cutter(demands, len(cores))
    placed = placed_populations(demands.network, demands.chip)
    for name in placed:
        yield from too_much(cutter, name)
    yield from totals(demands, placed, cores)


def too_much(cutter: Cutter, population: str) -> Sequence[Usage]:
    """Why *population* has no place even on an empty chip; nothing where it has."""
    alone = cutter.alone(population)
    if alone:
        return alone
    try:
        cutter.pieces(population)
    except DoesNotFitChip as error:
        return error.usages
    return ()


def with_excess(error: DoesNotFitChip, demands: Demands, cores: Sequence[int]) -> DoesNotFitChip:
    """*error*, and all else that does not fit."""
    return DoesNotFitChip(demands.chip.name, dict.fromkeys([*error.usages, *excess(demands, cores)]))
