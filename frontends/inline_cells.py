"""Cutting the code of a neuron without a module out of the tape: its timesteps, which must be alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from snncc.errors import CannotTrace
from snncc.frontends.inline_code import Before, Cut, Held, InlineCode, Inner, Slot
from snncc.frontends.inline_find import Folded, Found, exits
from snncc.frontends.inline_tape import Key, Ref
from snncc.frontends.torch_build import Place
from snncc.frontends.torch_record import Recorder

NAME = "the neuron of this loop"
WAY_OUT = (
    "put this neuron into a module of its own (it takes the current and returns the spikes, its state in "
    "attributes), which is recognized by what it does"
)


class Unlike(CannotTrace):
    """The timesteps of a loop are not alike: it may be no neuron."""


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """A neuron without a module: what it does in a timestep, and where its inputs and its output are."""

    found: Found
    place: Place
    module: InlineCode
    cuts: list[Cut]
    """Its operations, by timestep."""
    shape: tuple[int, ...]
    """Of what leaves it, with the samples first."""

    @property
    def said(self) -> str:
        """The neuron as a refusal names it."""
        return f"{self.place}: {NAME}"


def code_of(folded: Folded, found: Found, samples: int) -> Code:
    """Cut *found* out of the tape. Raises `CannotTrace` where its timesteps are not alike."""
    entries, last = folded.entries, found.steps[-1]
    keys = {entries[k].key: position for position, k in enumerate(last)}
    group = {k for step in found.steps for k in step}
    leaving = sorted({keys[entries[k].key] for k in exits(folded, group)})
    place = entries[entrance(folded, last, group)].place
    where = f"{place}: {NAME}"
    if len(leaving) > 1:
        others = ", ".join(f"{entries[last[p]].name} ({entries[last[p]].place.line})" for p in leaving)
        raise CannotTrace(
            f"{where}: {len(leaving)} of its numbers are used elsewhere: {others}",
            hint="let its spikes alone leave the loop, not its potential; or " + WAY_OUT,
        )
    cuts = [cut_of(folded, found, t, keys, samples, where) for t in range(len(found.steps))]
    template = cuts[-1]
    for t in range(1, len(cuts) - 1):
        if difference := unlike(template, cuts[t]):
            raise Unlike(f"{where}: {difference} in timestep {t}", hint=WAY_OUT)
    exit_at = leaving[0]
    ahead = lag(template, exit_at)
    if ahead is None:
        raise CannotTrace(f"{where}: nothing that it is given reaches what leaves it", hint=WAY_OUT)
    shape = tuple(folded.tape.shapes[entries[last[exit_at]].outs[0]])
    if shape[0] != samples:
        raise CannotTrace(
            f"{where}: works on a tensor {list(shape)}, whose first axis is not the {samples} samples",
            hint="loop over [B, ...], one timestep at a time",
        )
    module = InlineCode(template, initial_states(template, cuts[0]), exit_at, ahead)
    if not starts_alike(module, cuts[0], shape):
        raise Unlike(
            f"{where}: does something else in the first timestep",
            hint="start its states as tensors of zeros; or " + WAY_OUT,
        )
    return Code(found, place, module, cuts, shape)


def entrance(folded: Folded, step: Iterable[int], group: set[int]) -> int:
    """The first operation of a timestep that reads what is not of the neuron's own *group*."""
    for k in step:
        reads = folded.entries[k].reads
        if any(folded.is_data(value) and folded.maker.get(value) not in group for value in reads):
            return k
    return next(iter(step))


def cut_of(folded: Folded, found: Found, t: int, keys: dict[Key, int], samples: int, where: str) -> Cut:
    """The operations of timestep *t*, whose positions *keys* has."""
    entries = folded.entries
    when = {k: n for n, step in enumerate(found.steps) for k in step}
    cut = Cut()
    rank = len(folded.tape.shapes[entries[found.steps[-1][-1]].outs[0]])

    def leaf(argument: Any) -> Any:
        if not isinstance(argument, Ref):
            return argument
        value = argument.value
        maker = folded.maker.get(value)
        if maker in when:
            position = keys[entries[maker].key]
            if when[maker] == t:
                return Inner(position)
            if when[maker] == t - 1:
                return Before(position)
            raise Unlike(f"{where}: reads what it made {t - when[maker]} timesteps ago", hint=WAY_OUT)
        if folded.is_data(value):
            if value not in cut.slots:
                cut.slots.append(value)
            return Slot(cut.slots.index(value))
        name = f"constant{len(cut.held)}"
        cut.held[name] = for_all_samples(folded.tape.constants[value], rank, samples, where)
        return Held(name)

    for k in found.steps[t]:
        entry = entries[k]
        made = (entry.func, tree_map(leaf, entry.args), tree_map(leaf, entry.kwargs))
        cut.operations[keys[entry.key]] = made
    return cut


def for_all_samples(constant: Tensor, rank: int, samples: int, where: str) -> Tensor:
    """A constant without its axis of samples."""
    constant = constant.double() if constant.is_floating_point() else constant
    if constant.ndim < rank or constant.shape[0] == 1:
        return constant
    if constant.shape[0] != samples or bool((constant != constant[:1]).any()):
        raise CannotTrace(
            f"{where}: combines its numbers with a constant {list(constant.shape)} that differs between "
            "samples",
            hint="a parameter has one value for each neuron, the same for all samples",
        )
    return constant[:1].clone()


def unlike(one: Cut, other: Cut) -> str:
    """What is different in two timesteps; empty for nothing."""
    if list(one.operations) != list(other.operations):
        return "it works in another order"
    if repr(one.operations) != repr(other.operations):
        return "it combines something else"
    if any(not torch.equal(one.held[name], other.held[name]) for name in one.held):
        return "it has other parameters"
    return ""


def lag(cut: Cut, exit_at: int) -> int | None:
    """After how many timesteps an input first reaches what leaves; None where it never does."""
    best: dict[int, int] = {}
    for _ in range(len(cut.operations) + 1):
        for position in range(len(cut.operations)):
            for leaf in cut.leaves(position):
                match leaf:
                    case Slot():
                        steps = 0
                    case Inner(source) if source in best:
                        steps = best[source]
                    case Before(source) if source in best:
                        steps = best[source] + 1
                    case _:
                        continue
                best[position] = min(best.get(position, steps), steps)
    return best.get(exit_at)


def initial_states(template: Cut, first: Cut) -> dict[int, Tensor]:
    """What each state is before the first timestep, by the operation that makes it; zero where unsaid."""
    found = {state: torch.zeros(1, dtype=torch.float64) for state in template.states}
    for position in first.operations:
        mine, theirs = template.leaves(position), first.leaves(position)
        for leaf, start in zip(mine, theirs, strict=False):
            if isinstance(leaf, Before) and isinstance(start, Held) and len(mine) == len(theirs):
                found[leaf.position] = first.held[start.name]
    return found


def starts_alike(module: InlineCode, first: Cut, shape: tuple[int, ...]) -> bool:
    """Whether the first timestep does what all others do with the initial states, on random inputs."""
    if len(first.slots) > module.inputs or module.exit_at not in first.operations:
        return False
    alone, random = InlineCode(first, {}, 0, 0), torch.Generator().manual_seed(7)
    shape = (64, *shape[1:])
    read = {module.exit_at, *module.initial}
    for size in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
        slots = [
            torch.randn(shape, generator=random, dtype=torch.float64) * size for _ in range(module.inputs)
        ]
        with Recorder.silent():
            need = module.stepped(slots, {k: v.expand(shape) for k, v in module.initial.items()})
            have = alone.stepped(slots, {})
        if not read <= have.keys():
            return False
        if any(not torch.equal(have[k].expand(shape), need[k].expand(shape)) for k in read):
            return False
    return True
