"""Who reads whom in a NIR graph, and how many timesteps later: delays, loops, and nodes that only hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.errors import BadFile, BadInput, CannotTrace
from snncc.frontends.nir_file import NirGraph, Unit, numbers
from snncc.frontends.nir_loops import ROOT, directed, late_edges, reached, topological
from snncc.frontends.nir_neurons import NEURONS

PASSING = ("Identity", "Delay")
MOST_WIRES = 1 << 18
MOST_DELAY = 1 << 16
TOLERANCE = 1e-4
"""How far from whole a delay in timesteps may be: files hold seconds in float32."""


@dataclass(frozen=True, slots=True)
class Link:
    """What *source* sent *delay* timesteps ago."""

    source: str
    delay: int


@dataclass(frozen=True, slots=True)
class Wiring:
    """Units that compute, in topological order, and what each reads."""

    order: tuple[str, ...]
    links: Mapping[str, tuple[Link, ...]]


def wiring_of(graph: NirGraph, dt: float | None) -> Wiring:
    """The wiring of *graph*. Raises `BadFile`, `BadInput`, `CannotTrace`."""
    check_ends(graph)
    delays = {name: steps_of(unit, dt) for name, unit in graph.units.items() if unit.kind == "Delay"}
    edges = {(a, b): delays.get(b, 0) for a, b in graph.edges}
    names = list(graph.units)
    starts = [name for name, unit in graph.units.items() if unit.kind == "Input"]
    behind = [b for (_, b), delay in edges.items() if delay]
    for edge in late_edges(names, [edge for edge, delay in edges.items() if not delay], starts, behind):
        edges[edge] = 1
    links = resolved(graph, edges)
    return retimed(graph, links)


def check_ends(graph: NirGraph) -> None:
    """Inputs read nothing, outputs are read by nobody, and signals reach everything."""
    kinds = {name: unit.kind for name, unit in graph.units.items()}
    for what in ("Input", "Output"):
        if what not in kinds.values():
            raise BadFile(f"the graph has no {what.lower()} node")
    for source, target in graph.edges:
        if kinds[target] == "Input" or kinds[source] == "Output":
            raise BadFile(f"an edge leads from {graph.units[source].place} to {graph.units[target].place}")
    starts = [(ROOT, name) for name, kind in kinds.items() if kind == "Input"]
    seen = reached(directed(kinds, [*graph.edges, *starts]), ROOT)
    for name, unit in graph.units.items():
        if name not in seen:
            raise BadFile(f"{unit.place}: no input reaches it", hint="give it an edge, or remove it")


def steps_of(unit: Unit, dt: float | None) -> int:
    """The timesteps of a Delay. Raises `BadInput` where they are not whole, `CannotTrace` where several."""
    delay = numbers(unit, "delay")
    if not delay.size or not np.isfinite(delay).all() or np.any(delay < 0):
        raise BadFile(f"{unit.place}: its delay must be at least 0 seconds")
    if np.any(delay != delay.flat[0]):
        raise CannotTrace(
            f"{unit.place}: its delays differ from neuron to neuron", hint="use one Delay for each"
        )
    seconds = float(delay.flat[0])
    if dt is None and seconds:
        raise BadInput(
            f"{unit.place}: is in seconds; its timesteps need dt", hint="give dt=1e-4, or --dt 1e-4"
        )
    steps = seconds / dt if dt else 0.0
    if steps > MOST_DELAY:
        raise BadInput(f"{unit.place}: is {steps:.6g} timesteps long; snncc takes {MOST_DELAY}")
    if abs(steps - round(steps)) > TOLERANCE * max(1.0, steps):
        raise BadInput(
            f"{unit.place}: {seconds:g} s are {steps:.6g} timesteps of {dt:g} s, not a whole number",
            hint="give a dt of which it is a multiple",
        )
    return round(steps)


def resolved(graph: NirGraph, edges: Mapping[tuple[str, str], int]) -> dict[str, tuple[Link, ...]]:
    """What each unit that computes reads, through those that only hand on."""
    passing = {name for name, unit in graph.units.items() if unit.kind in PASSING}
    order = topological(sorted(passing), [(a, b) for a, b in edges if a in passing and b in passing])
    if order is None:
        raise CannotTrace(f"a loop of {', '.join(sorted(passing))} holds no neuron and no weight")
    computing = [name for name in graph.units if name not in passing]
    into: dict[str, list[tuple[str, int]]] = {name: [] for name in graph.units}
    for (source, target), delay in edges.items():
        into[target].append((source, delay))
    links: dict[str, tuple[Link, ...]] = {}
    total = 0
    for name in (*order, *computing):
        found: list[Link] = []
        for source, delay in into[name]:
            if source in passing:
                found += [Link(one.source, one.delay + delay) for one in links[source]]
            else:
                found.append(Link(source, delay))
            if total + len(found) > MOST_WIRES:
                raise BadFile(f"the graph has more than {MOST_WIRES} connections")
        total += len(found)
        links[name] = tuple(found)
    return {name: links[name] for name in computing}


def retimed(graph: NirGraph, links: dict[str, tuple[Link, ...]]) -> Wiring:
    """The order of evaluation.

    A layer without state that reads nothing but one signal of earlier timesteps may have to come before its
    source, which the IR forbids; it is then computed at once, and its readers take it later. What it sends
    before the first timestep must be 0 for that, so it must have no bias.
    """
    while True:
        pairs = [(one.source, name) for name, found in links.items() for one in found if not one.delay]
        late = [(one.source, name) for name, found in links.items() for one in found if one.delay]
        order = topological(list(links), pairs, late)
        if order is None:
            raise CannotTrace("the graph has a loop without a delay")
        place = {name: k for k, name in enumerate(order)}
        early = next((name for name in order if is_early(name, graph.units[name], links[name], place)), None)
        if early is None:
            return Wiring(tuple(order), links)
        unit, (link,) = graph.units[early], links[early]
        if "bias" in unit.fields and np.any(numbers(unit, "bias")):
            raise CannotTrace(
                f"{unit.place}: reads {link.source} through a Delay in a loop, and has a bias",
                hint="put the Delay behind it",
            )
        links[early] = (Link(link.source, 0),)
        for name, found in links.items():
            links[name] = tuple(
                Link(one.source, one.delay + link.delay) if one.source == early else one for one in found
            )


def is_early(name: str, unit: Unit, found: tuple[Link, ...], place: Mapping[str, int]) -> bool:
    """Whether a layer without state reads nothing but what comes later."""
    return (
        unit.kind not in (*NEURONS, "Input", "Output")
        and len(found) == 1
        and place[found[0].source] >= place[name]
    )
