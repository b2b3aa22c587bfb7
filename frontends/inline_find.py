"""Which operations of a tape are a neuron: found where the elementwise arithmetic of a loop feeds itself.

Operations with the same key are folded into one; what then lies on a cycle hands something on from timestep
to timestep. The elementwise operations of a cycle that touch each other are the *core* of one neuron; what
follows it until spikes leave, and linear filters that feed nothing else, belong to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from snncc.frontends.inline_tape import LIKE, Key, Tape

LINEAR = frozenset(
    (
        *("add", "sub", "rsub", "mul", "div", "neg", "lerp", "addcmul"),
        *("detach", "clone", "alias", "_to_copy", "fill", "zero", "copy"),
    )
)
"""Elementwise operations that are linear where at most one of their arguments is data."""
NONLINEAR = frozenset(
    (
        *(
            "gt",
            "ge",
            "lt",
            "le",
            "eq",
            "ne",
            "where",
            "heaviside",
            "sign",
            "sgn",
            "masked_fill",
            "index_put",
        ),
        *("clamp", "clamp_min", "clamp_max", "relu", "hardtanh", "threshold", "leaky_relu", "softplus"),
        *("minimum", "maximum", "floor", "round", "ceil", "trunc", "frac", "abs", "remainder", "fmod"),
        *("logical_not", "logical_and", "logical_or", "logical_xor"),
        *("bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor"),
        *("sigmoid", "tanh", "exp", "expm1", "log", "log1p", "erf", "pow", "sqrt", "rsqrt", "reciprocal"),
    )
)
"""Elementwise operations that are not."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The operations of one neuron, by timestep, each in the order of execution: indices into the tape."""

    steps: tuple[tuple[int, ...], ...]
    is_linear: bool


class Folded:
    """A tape with equal keys folded into one."""

    def __init__(self, tape: Tape, given: Iterable[int], returned: Iterable[int]) -> None:
        self.tape, self.entries = tape, tape.entries
        self.maker: dict[int, int] = {}
        self.readers: defaultdict[int, list[int]] = defaultdict(list)
        self.by_key: defaultdict[Key, list[int]] = defaultdict(list)
        for k, entry in enumerate(self.entries):
            self.by_key[entry.key].append(k)
            self.maker |= dict.fromkeys(entry.outs, k)
            for value in {*entry.reads, *entry.also}:
                self.readers[value].append(k)
        self.given, self.returned = set(given), set(returned)
        self.dependent = self.dependent_keys()
        self.live = self.live_entries()
        self.plain = {key for key in self.dependent if all(self.is_elementwise(k) for k in self.by_key[key])}

    def dependent_keys(self) -> set[Key]:
        """Keys that the input reaches, in one timestep or another."""
        found: set[Key] = set()
        left = [self.entries[k].key for x in self.given for k in self.readers[x]]
        left += [entry.key for entry in self.entries if entry.outs and entry.outs[0] in self.tape.depends]
        while left:
            key = left.pop()
            if key in found or key[0] in LIKE:
                continue
            found.add(key)
            for k in self.by_key[key]:
                left += [self.entries[r].key for out in self.entries[k].outs for r in self.readers[out]]
        return found

    def live_entries(self) -> set[int]:
        """Operations that something reads that leaves the model."""
        live: set[int] = set()
        left = [self.maker[value] for value in self.returned if value in self.maker]
        while left:
            k = left.pop()
            if k not in live:
                live.add(k)
                entry = self.entries[k]
                left += [self.maker[v] for v in (*entry.reads, *entry.also) if v in self.maker]
        return live

    def is_data(self, value: int) -> bool:
        """Whether *value* depends on the input, in this timestep or in a later one."""
        return value in self.given or (
            value in self.maker and self.entries[self.maker[value]].key in self.dependent
        )

    def is_elementwise(self, k: int) -> bool:
        """Whether an operation makes each number of numbers in the same place."""
        entry = self.entries[k]
        name = entry.name.removesuffix("_")
        if (name not in LINEAR and name not in NONLINEAR) or len(entry.outs) != 1 or entry.also:
            return False
        shape = self.tape.shapes[entry.outs[0]]
        return bool(shape) and all(
            self.tape.shapes[value] == shape for value in entry.reads if self.is_data(value)
        )

    def is_nonlinear(self, k: int) -> bool:
        entry = self.entries[k]
        is_product = entry.name.removesuffix("_") in ("mul", "div")
        data = [value for value in entry.reads if self.is_data(value)]
        return entry.name.removesuffix("_") in NONLINEAR or (is_product and len(data) > 1)

    def next(self, k: int) -> set[int]:
        """Operations that read what operation *k* made, and not its shape alone."""
        readers = {reader for out in self.entries[k].outs for reader in self.readers[out]}
        return {reader for reader in readers if self.entries[reader].name not in LIKE}


def neurons(folded: Folded, timesteps: int) -> list[Found]:
    """Every neuron without a module, in the order of execution."""
    entries = folded.entries
    cores = [core for cycle in cycles(folded) for core in touching(folded, cycle)]
    cores = [core for core in cores if by_time(folded, core, timesteps) is not None]
    cores = joined(folded, cores)
    taken = set().union(*cores) if cores else set()
    found = []
    for core in cores:
        whole = extended(folded, core, taken - core)
        steps = by_time(folded, whole, timesteps)
        if steps is None or not (whole & folded.live):
            continue
        is_linear = not any(folded.is_nonlinear(k) for k in whole)
        names = {entries[k].name.removesuffix("_") for k in whole}
        if (
            is_linear
            and len(exits(folded, whole)) < 2
            and names.isdisjoint(("mul", "div", "lerp", "addcmul"))
        ):
            continue  # a sum over the timesteps, of which the last is read
        found.append(Found(steps, is_linear))
    return sorted(found, key=lambda one: entries[one.steps[-1][0]].outs[0])


def cycles(folded: Folded) -> list[set[Key]]:
    """Elementwise keys of each cycle of the folded tape (strongly connected components, by Kosaraju)."""
    after: dict[Key, set[Key]] = defaultdict(set)
    before: dict[Key, set[Key]] = defaultdict(set)
    for k, entry in enumerate(folded.entries):
        for reader in folded.next(k):
            after[entry.key].add(folded.entries[reader].key)
            before[folded.entries[reader].key].add(entry.key)
    order: list[Key] = []
    seen: set[Key] = set()
    for key in folded.by_key:
        order += finished(key, after, seen)
    seen, found = set(), []
    for key in reversed(order):
        part = set(finished(key, before, seen))
        if len(part) > 1 or key in after[key]:
            found += [usable] if (usable := part & folded.plain) else []
    return found


def finished(start: Key, after: Mapping[Key, set[Key]], seen: set[Key]) -> list[Key]:
    """What is reached from *start* and was not *seen*, in the order in which a depth-first walk leaves it."""
    if start in seen:
        return []
    seen.add(start)
    found, stack = [], [(start, iter(after.get(start, ())))]
    while stack:
        key, rest = stack[-1]
        for other in rest:
            if other not in seen:
                seen.add(other)
                stack.append((other, iter(after.get(other, ()))))
                break
        else:
            stack.pop()
            found.append(key)
    return found


def touching(folded: Folded, keys: set[Key]) -> list[set[int]]:
    """The operations with *keys*, in groups that read one another."""
    left = {k for key in keys for k in folded.by_key[key]}
    groups = []
    while left:
        group, stack = set(), [left.pop()]
        while stack:
            k = stack.pop()
            group.add(k)
            makers = {folded.maker[v] for v in folded.entries[k].reads if v in folded.maker}
            near = (folded.next(k) | makers) & left
            left -= near
            stack += near
        groups.append(group)
    return groups


def joined(folded: Folded, cores: list[set[int]]) -> list[set[int]]:
    """*cores*, where a linear one that feeds a single other one alone is part of it."""
    cores = list(cores)
    for core in list(cores):
        if any(folded.is_nonlinear(k) for k in core):
            continue
        outside = {reader for k in core for reader in folded.next(k) if reader in folded.live} - core
        outside_values = {out for k in core for out in folded.entries[k].outs} & folded.returned
        for other in cores:
            if other is not core and outside and outside <= other and not outside_values:
                other |= core
                cores.remove(core)
                break
    return cores


def exits(folded: Folded, group: set[int]) -> dict[int, set[int]]:
    """The operations of *group* of which something is read outside, and by which operations."""
    found = {}
    for k in group:
        outside = {reader for reader in folded.next(k) if reader in folded.live} - group
        if outside or any(out in folded.returned for out in folded.entries[k].outs):
            found[k] = outside
    return found


def extended(folded: Folded, core: set[int], others: set[int]) -> set[int]:
    """*core* and the elementwise operations behind it until one float leaves it."""
    group = set(core)
    while True:
        leaving = exits(folded, group)
        nearby = {
            reader
            for readers in leaving.values()
            for reader in readers
            if reader not in others and can_join(folded, reader, group)
        }
        keys = {folded.entries[k].key for k in leaving}
        is_done = len(keys) == 1 and all(folded.tape.is_float[folded.entries[k].outs[0]] for k in leaving)
        if is_done:
            nearby = {k for k in nearby if leads_to_spikes(folded, k, group | others)}
        if not nearby:
            return group
        group |= {min(nearby)} | {
            k for k in nearby if folded.entries[k].key == folded.entries[min(nearby)].key
        }


def leads_to_spikes(folded: Folded, k: int, before: set[int]) -> bool:
    """Whether operation *k*, or elementwise ones that read it alone, are not linear."""
    stack, seen = [k], set(before)
    while stack:
        k = stack.pop()
        if folded.is_nonlinear(k):
            return True
        seen.add(k)
        stack += [one for one in folded.next(k) if one not in seen and can_join(folded, one, seen)]
    return False


def can_join(folded: Folded, k: int, group: set[int]) -> bool:
    """Whether all data that an elementwise operation reads comes from *group*."""
    entry = folded.entries[k]
    data = [value for value in entry.reads if folded.is_data(value)]
    return entry.key in folded.plain and all(folded.maker.get(value) in group for value in data)


def by_time(folded: Folded, group: set[int], timesteps: int) -> tuple[tuple[int, ...], ...] | None:
    """The operations of *group* by timestep; None where they are not a loop over all timesteps.

    The first timestep may lack some: what starts as a plain number is no operation yet.
    """
    by_key: defaultdict[Key, list[int]] = defaultdict(list)
    for k in sorted(group):
        by_key[folded.entries[k].key].append(k)
    steps: list[list[int]] = [[] for _ in range(timesteps)]
    for same in by_key.values():
        if len(same) not in (timesteps, timesteps - 1) or not same:
            return None
        for n, k in enumerate(reversed(same)):
            steps[timesteps - 1 - n].append(k)
    return tuple(tuple(sorted(step)) for step in steps)
