"""Loops of a NIR graph: which edge is late by one timestep.

In continuous time an edge takes no time; frameworks that compute in steps let the edge that closes a loop
deliver what was sent in the step before. Which edge that is does not depend on the order of anything: it is
the one that returns to the node through which every path from the inputs enters the loop (in the words of
compilers, its target dominates its source). A loop that can be entered at several nodes has no such edge;
one that contains a Delay of a step or more needs none.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence

from snncc.errors import CannotTrace

Pair = tuple[str, str]


def late_edges(
    names: Sequence[str], edges: Collection[Pair], starts: Iterable[str], behind: Sequence[str] = ()
) -> set[Pair]:
    """The edges of *edges* (those without a delay of their own) that close loops.

    *starts* are the nodes from which signals come, *behind* those that delayed edges reach. Raises
    `CannotTrace` for a loop with several entries.
    """
    if topological(names, edges) is not None:
        return set()
    readers = readers_of(edges)
    entries = list(starts)
    while missing := set(names) - reached(entries, readers):
        # behind a delay of its own: a loop that nothing else enters begins there
        entries.append(next(name for name in (*behind, *names) if name in missing))
    above = dominators(entries, readers)
    late = {(a, b) for a, b in edges if dominates(b, a, above)}
    rest = [edge for edge in edges if edge not in late]
    if topological(names, rest) is None:
        loop = in_loop(names, rest)
        raise CannotTrace(
            f"the loop of {', '.join(loop[:8])} is entered at several nodes: which of its edges is late by a "
            "timestep would be a guess",
            hint="put a NIR Delay of at least one dt on the edge that is late",
        )
    return late


def topological(names: Sequence[str], edges: Iterable[Pair]) -> list[str] | None:
    """*names* in an order in which every edge points forward; None where there is a loop."""
    place = {name: k for k, name in enumerate(names)}
    readers, waiting = readers_of(edges), dict.fromkeys(names, 0)
    for targets in readers.values():
        for target in targets:
            waiting[target] += 1
    ready = [place[name] for name in names if not waiting[name]]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for target in readers.get(name, ()):
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, place[target])
    return order if len(order) == len(names) else None


def readers_of(edges: Iterable[Pair]) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for source, target in edges:
        readers.setdefault(source, []).append(target)
    return readers


def reached(starts: Iterable[str], readers: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything that a signal from *starts* can reach."""
    seen, front = set(starts), list(starts)
    while front:
        for target in readers.get(front.pop(), ()):
            if target not in seen:
                seen.add(target)
                front.append(target)
    return seen


def in_loop(names: Sequence[str], edges: Collection[Pair]) -> list[str]:
    """Nodes that lie on a loop, in order."""
    readers = readers_of(edges)
    return [name for name in names if name in reached(readers.get(name, ()), readers)]


ROOT = ""
"""A node before all entries; no node of a graph is called so."""


def dominators(entries: Sequence[str], readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """For each node the nearest one through which every path from the entries to it goes.

    Cooper, Harvey and Kennedy, A Simple, Fast Dominance Algorithm (2001).
    """
    order = postorder({**readers, ROOT: list(entries)})
    number = {name: k for k, name in enumerate(order)}
    sources: dict[str, list[str]] = {}
    for source, targets in [(ROOT, entries), *readers.items()]:
        for target in targets:
            sources.setdefault(target, []).append(source)
    above = {ROOT: ROOT}
    changed = True
    while changed:
        changed = False
        for name in reversed(order[:-1]):
            known = [source for source in sources[name] if source in above]
            best = known[0]
            for other in known[1:]:
                best = common(best, other, above, number)
            if above.get(name) != best:
                above[name], changed = best, True
    return above


def common(a: str, b: str, above: Mapping[str, str], number: Mapping[str, int]) -> str:
    """The nearest node above both."""
    while a != b:
        while number[a] < number[b]:
            a = above[a]
        while number[b] < number[a]:
            b = above[b]
    return a


def postorder(readers: Mapping[str, Sequence[str]]) -> list[str]:
    """Depth first from the root, each node behind all that it leads to."""
    order: list[str] = []
    seen, stack = {ROOT}, [(ROOT, iter(readers[ROOT]))]
    while stack:
        name, rest = stack[-1]
        following = next((one for one in rest if one not in seen), None)
        if following is None:
            order.append(name)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(readers.get(following, ()))))
    return order


def dominates(name: str, other: str, above: Mapping[str, str]) -> bool:
    """Whether every path from the entries to *other* goes through *name*."""
    while other != ROOT:
        if other == name:
            return True
        other = above[other]
    return False
