"""Layers to cores: a bipartite matching, lowest feasible core first; or what stands in its way, in words.

The search is that of sinabs (backend/dynapcnn/mapping.py): shortest augmenting paths, layers and cores in
their order, so the same cores are chosen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snncc.backends.speck.limits import Words

Feasible = Sequence[Sequence[int]]
"""For each layer the cores that hold it, ascending."""


def feasible(needs: Sequence[Words], cores: Sequence[Words]) -> list[list[int]]:
    """For each layer the cores that hold it."""
    return [[k for k, core in enumerate(cores) if need.fits(core)] for need in needs]


def matching(options: Feasible) -> dict[int, int]:
    """The core of each layer; of as many layers as can have one."""
    core_of: dict[int, int] = {}
    while True:
        path = augmenting_path(options, core_of)
        if path is None:
            return core_of
        core_of.update(path)


def augmenting_path(options: Feasible, core_of: Mapping[int, int]) -> list[tuple[int, int]] | None:
    """The (layer, core) pairs of the first shortest path from a layer without a core to a free core."""
    layer_on = {core: layer for layer, core in core_of.items()}
    queue: deque[tuple[str, int]] = deque(
        ("layer", layer) for layer in range(len(options)) if layer not in core_of
    )
    seen, reached_by = {layer for _, layer in queue}, dict[int, int]()
    while queue:
        kind, one = queue.popleft()
        if kind == "layer":
            for core in options[one]:
                if core not in reached_by and core_of.get(one) != core:
                    reached_by[core] = one
                    queue.append(("core", core))
        elif one not in layer_on:
            return path_to(one, reached_by, core_of)
        elif layer_on[one] not in seen:
            seen.add(layer_on[one])
            queue.append(("layer", layer_on[one]))
    return None


def path_to(core: int, reached_by: Mapping[int, int], core_of: Mapping[int, int]) -> list[tuple[int, int]]:
    """The pairs along the way to *core*, from its end."""
    pairs = []
    while True:
        layer = reached_by[core]
        pairs.append((layer, core))
        if layer not in core_of:
            return pairs
        core = core_of[layer]


@dataclass(frozen=True, slots=True)
class Contest:
    """A violated condition of Hall: *layers* that only *cores*, fewer, can hold."""

    layers: tuple[int, ...]
    cores: tuple[int, ...]


def contests(options: Feasible) -> list[Contest]:
    """The sets of layers that have too few cores between them, apart; none where a mapping exists."""
    core_of = matching(options)
    layer_on = {core: layer for layer, core in core_of.items()}
    found: list[tuple[set[int], set[int]]] = []
    for start in range(len(options)):
        if start in core_of:
            continue
        layers, wanted, front = {start}, set[int](), [start]
        while front:
            for core in options[front.pop()]:
                wanted.add(core)
                if core in layer_on and layer_on[core] not in layers:
                    layers.add(layer_on[core])
                    front.append(layer_on[core])
        for one in [one for one in found if one[1] & wanted]:
            found.remove(one)
            layers, wanted = layers | one[0], wanted | one[1]
        found.append((layers, wanted))
    return [Contest(tuple(sorted(layers)), tuple(sorted(wanted))) for layers, wanted in found]


def closest(need: Words, cores: Sequence[Words], among: Sequence[int]) -> int | None:
    """The core *among* those given which falls least short of *need*, by the ratio of its worst memory."""

    def ratio(core: int) -> float:
        pairs = need.excess(cores[core]).values()
        return max((want / have for want, have in pairs), default=0.0)

    return min(among, key=ratio, default=None)


def shortfall(need: Words, core: Words) -> str:
    """How far *core* falls short of *need*, in words.

    >>> shortfall(Words(40000, 10, 1), Words(32768, 10, 1))
    '40,000 kernel words (has 32,768, 7,232 too few)'
    """
    return " and ".join(
        f"{want:,} {name} words (has {have:,}, {want - have:,} too few)"
        for name, (want, have) in need.excess(core).items()
    )
