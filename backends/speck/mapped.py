"""An integer graph on the chip: its layers, the core of each, and who sends where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snncc.backends.speck import limits
from snncc.backends.speck.cores import closest, contests, feasible, matching, shortfall
from snncc.backends.speck.layers import Layer, entry_shape, kernel_shape, layers_of, map_shape
from snncc.backends.speck.limits import Words, words_of
from snncc.backends.target import DoesNotFit, Problem
from snncc.errors import CannotLower
from snncc.ir import Conv, Dense, SpikeGraph, place

MOST_NAMED = 12
"""Of the layers that compete for cores."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A core that a layer sends to (*layer*: its name), and the side of the squares summed on the way.

    The sender's first channel arrives as channel *first*.
    """

    layer: str
    pool: int
    first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """*layers* in topological order, the core of each, and the destinations of layers and of the input."""

    graph: SpikeGraph
    layers: tuple[Layer, ...]
    core_of: Mapping[str, int]
    destinations: Mapping[str, tuple[Destination, ...]]

    @property
    def by_name(self) -> Mapping[str, Layer]:
        """Layers by the names of their neurons."""
        return {layer.name: layer for layer in self.layers}


def words_of_layer(layer: Layer) -> Words:
    """The memory that a layer needs."""
    return words_of(layer.weight.shape, layer.out_shape, has_bias=layer.bias is not None)


def mapped(graph: SpikeGraph) -> Mapped:
    """The integer *graph* on the chip's cores. Raises `DoesNotFit`, `CannotLower`."""
    layers = layers_of(graph)
    for layer in layers:
        check_compiled(layer, is_integer=graph.is_integer)
    needs = [words_of_layer(layer) for layer in layers]
    problems = tuple(memory_problems([layer.origin for layer in layers], needs))
    if problems:
        raise DoesNotFit("speck", problems)
    found = matching(feasible(needs, limits.cores()))
    table: dict[str, list[Destination]] = {
        name: [] for name in (*(n.name for n in graph.inputs), *(n.name for n in layers))
    }
    for layer in layers:
        for source in layer.sources:
            table[source.name].append(Destination(layer.name, source.pool, source.first))
    return Mapped(
        graph,
        layers,
        {layer.name: found[k] for k, layer in enumerate(layers)},
        {name: tuple(each) for name, each in table.items()},
    )


def check_compiled(layer: Layer, *, is_integer: bool) -> None:
    """Raise `CannotLower` for a layer that is not what the passes of this target make."""
    p = layer.neuron.parameters
    is_ours = is_integer and p.clamp_low is not None and p.max_count is None and not p.theta.ndim
    if not is_ours or layer.weight.dtype != np.int8 or p.bias.any():
        raise CannotLower(
            f"{layer.origin}: is not in Sinabs's integers",
            hint="compile with the passes of the target speck",
        )


def synapse_words(graph: SpikeGraph) -> tuple[list[str], list[Words]]:
    """Place and memory of every convolution and dense layer of a graph, whether or not all of it fits."""
    places, needs = [], []
    for node in graph.nodes:
        if isinstance(node, Conv | Dense) and len(graph.edges[node.name].shape) in (1, 3):
            kernel = kernel_shape(graph, node)
            if entry_shape(graph, node)[0] * kernel[2] * kernel[3] == 0:
                continue
            places.append(place(node))
            has_bias = node.bias is not None
            needs.append(words_of(kernel, map_shape(graph.edges[node.name].shape), has_bias=has_bias))
    return places, needs


def memory_problems(places: Sequence[str], needs: Sequence[Words]) -> Iterator[Problem]:
    """Layers that no core holds, and layers that compete for too few cores."""
    cores = limits.cores()
    options = feasible(needs, cores)
    for where, need, held in zip(places, needs, options, strict=True):
        if not held:
            yield too_large(where, need, cores)
    rest = [k for k, held in enumerate(options) if held]
    for contest in contests([options[k] for k in rest]):
        layers = [rest[k] for k in contest.layers]
        yield competition([places[k] for k in layers], [needs[k] for k in layers], contest.cores, cores)


def too_large(where: str, need: Words, cores: Sequence[Words]) -> Problem:
    """A layer that is too large for each of the cores."""
    core = closest(need, cores, range(len(cores)))
    assert core is not None
    over = need.excess(cores[core])
    text = ", ".join(f"{want:,} {name} words" for name, (want, _) in over.items())
    have = ", ".join(f"{have:,}" for _, have in over.values()) + f" (core {core}, the closest)"
    return Problem(where, "memory of one core", text, have, remedy(need, cores, range(len(cores))))


def competition(
    places: Sequence[str], needs: Sequence[Words], few: Sequence[int], cores: Sequence[Words]
) -> Problem:
    """More layers than the cores that hold any of them."""
    listed = ", ".join(map(str, few))
    others = [core for core in range(len(cores)) if core not in few]
    names = ", ".join(one.partition(" ")[0] for one in places[:MOST_NAMED])
    rest = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    what = f"cores: only core{'s' * (len(few) > 1)} {listed} can hold them"
    hints = []
    if not others:
        hints.append(f"the chip has {len(cores)} cores: leave out or join {len(places) - len(few)} layers")
    for at, need in sorted(zip(places, needs, strict=True), key=lambda pair: worst(pair[1], cores, others))[
        :1
    ]:
        core = closest(need, cores, others)
        if core is not None:
            hints.append(f"closest: {at} on core {core} needs {shortfall(need, cores[core])}")
            hints.append(remedy(need, cores, others))
    return Problem(
        f"{names}{rest}", what, f"{len(places)} cores", str(len(few)), "; ".join(filter(None, hints))
    )


def worst(need: Words, cores: Sequence[Words], among: Sequence[int]) -> float:
    """The worst ratio of need to have on the closest core."""
    core = closest(need, cores, among)
    return 0.0 if core is None else max((a / b for a, b in need.excess(cores[core]).values()), default=0.0)


def remedy(need: Words, cores: Sequence[Words], among: Sequence[int]) -> str:
    """What would make a layer fit on one of the cores *among* those given."""
    for parts in (2, 4, 8):
        part = Words(-(-need.kernel // parts), -(-need.neuron // parts), -(-need.bias // parts))
        if any(part.fits(cores[core]) for core in among):
            split = (
                ", or split it by features over two cores (split_cores=True, --split-cores), which takes one "
                "more destination of the layers before it"
            )
            return f"would fit with its features divided by {parts}{split if parts == 2 else ''}"
    return "needs smaller maps (a stride, pooling) and fewer features"
