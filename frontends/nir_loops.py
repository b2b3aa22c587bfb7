"""Loops of a NIR graph: which edge is late by one timestep.

In continuous time an edge takes no time; frameworks that compute in steps let the edge that closes a loop
deliver what was sent in the step before. Which edge that is does not depend on the order of anything: it is
the one that returns to the node through which every path from the inputs enters the loop (in the words of
compilers, its target dominates its source). A loop that can be entered at several nodes has no such edge;
one that contains a Delay of a step or more needs none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import networkx

from snncc.errors import CannotTrace

Pair = tuple[str, str]
ROOT = ""
"""A node before all others; no node of a graph is called so."""


def late_edges(
    names: Sequence[str], edges: Collection[Pair], starts: Iterable[str], behind: Sequence[str] = ()
) -> set[Pair]:
    """The edges of *edges* (those without a delay of their own) that close loops.

    *starts* are the nodes from which signals come, *behind* those that delayed edges reach. Raises
    `CannotTrace` for a loop with several entries.
    """
    graph = directed(names, edges)
    if networkx.is_directed_acyclic_graph(graph):
        return set()
    graph.add_edges_from((ROOT, name) for name in starts)
    for name in (*behind, *names):
        # behind a delay of its own: a loop that nothing else enters begins there
        if name not in reached(graph, ROOT):
            graph.add_edge(ROOT, name)
    above = networkx.immediate_dominators(graph, ROOT)
    late = {(a, b) for a, b in edges if dominates(b, a, above)}
    graph.remove_edges_from(late)
    if not networkx.is_directed_acyclic_graph(graph):
        loop = sorted(next(part for part in networkx.strongly_connected_components(graph) if len(part) > 1))
        raise CannotTrace(
            f"the loop of {', '.join(loop[:8])} is entered at several nodes: which of its edges is late by a "
            "timestep would be a guess",
            hint="put a NIR Delay of at least one dt on the edge that is late",
        )
    return late


def directed(names: Iterable[str], edges: Iterable[Pair]) -> Any:
    graph = networkx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(edges)
    return graph


def reached(graph: Any, start: str) -> set[str]:
    """Everything that a signal from *start* can reach."""
    found: set[str] = networkx.descendants(graph, start)
    return found


def dominates(name: str, other: str, above: Mapping[str, str | None]) -> bool:
    """Whether every path to *other* goes through *name*; *above* has the nearest such node of each."""
    at: str | None = other
    while at is not None and at != ROOT:
        if at == name:
            return True
        at = above.get(at)
    return False


def topological(
    names: Sequence[str], edges: Collection[Pair], late: Collection[Pair] = ()
) -> list[str] | None:
    """*names* in an order in which every edge points forward; None where there is a loop.

    Edges of *late* point backwards only where they are part of a loop. Among nodes that may come next the
    first of *names* does.
    """
    place = {name: k for k, name in enumerate(names)}
    graph = directed(names, [*edges, *late])
    part = {name: k for k, ns in enumerate(networkx.strongly_connected_components(graph)) for name in ns}
    graph = directed(names, [*edges, *(edge for edge in late if part[edge[0]] != part[edge[1]])])
    if not networkx.is_directed_acyclic_graph(graph):
        return None
    return list(networkx.lexicographical_topological_sort(graph, key=place.__getitem__))
