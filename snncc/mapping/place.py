"""Which contents go to which core: by the mesh, by chance, or by the way of messages.

Contents of a core stay together, and change places with those of cores of the same limits only; so no
placing breaks a limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np

from snncc.chips import Chip
from snncc.mapping.load import Held, Load
from snncc.mapping.masks import Ints
from snncc.mapping.traffic import Floats, hops, messages


def snake(chip: Chip, columns: int, rows: int) -> list[int]:
    """The cores of the first *columns* x *rows* tiles: along one row, back along the next."""
    each = chip.fabric.cores_per_tile
    found = []
    for row in range(rows):
        line = range(columns) if row % 2 == 0 else reversed(range(columns))
        found += [(row * chip.fabric.columns + column) * each + k for column in line for k in range(each)]
    return found


def region(chip: Chip, cores: int) -> list[int]:
    """*cores* cores in a rectangle of tiles around the first tile, as square as the mesh allows."""
    fabric = chip.fabric
    tiles = -(-cores // fabric.cores_per_tile)
    columns = min(fabric.columns, isqrt(max(0, tiles - 1)) + 1)
    rows = -(-tiles // columns)
    if rows > fabric.rows:
        rows, columns = fabric.rows, -(-tiles // fabric.rows)
    return snake(chip, columns, rows)[:cores]


def moved(held: Sequence[Held], to: Mapping[int, int]) -> list[Held]:
    """The contents of each core on another one."""
    return [(piece, to[core]) for piece, core in held]


def greedy(load: Load, spikes: Mapping[str, Floats], cores: Sequence[int]) -> list[Held]:
    """Contents in network order, each on the free core nearest to what it exchanges messages with.

    Near: the sum of messages x hops to what has its place already; at a tie the first of *cores*.
    """
    chip, sent, far = load.chip, messages(load, spikes), hops(load.chip)
    used = list(dict.fromkeys(core for _, core in load.held))
    free = list(cores)
    to: dict[int, int] = {}
    for core in used:
        possible = [c for c in free if chip.cores[c] == chip.cores[core]]
        near = sent[chip.fabric.cores, core] * far[chip.fabric.cores, possible]
        if to:
            known, places = list(to), list(to.values())
            both = sent[known, core] + sent[core, known]
            near = near + both @ far[np.ix_(places, possible)]
        to[core] = possible[int(np.argmin(near))]
        free.remove(to[core])
    return moved(load.held, to)


def scattered(load: Load, cores: Sequence[int], seed: int) -> list[Held]:
    """Contents on cores by chance."""
    rng, chip = np.random.default_rng(seed), load.chip
    to: dict[int, int] = {}
    used = list(dict.fromkeys(core for _, core in load.held))
    for limits in dict.fromkeys(chip.cores[core] for core in used):
        mine = [core for core in used if chip.cores[core] == limits]
        possible: Ints = rng.permutation([core for core in cores if chip.cores[core] == limits])
        to |= {core: int(place) for core, place in zip(mine, possible, strict=False)}
    return moved(load.held, to)
