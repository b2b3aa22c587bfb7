"""The code of one timestep of a neuron without a module, as a module of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter, tree_map


@dataclass(frozen=True, slots=True)
class Inner:
    """What operation *position* made in this timestep."""

    position: int


@dataclass(frozen=True, slots=True)
class Before:
    """What operation *position* made in the timestep before."""

    position: int


@dataclass(frozen=True, slots=True)
class Slot:
    """Input *number*."""

    number: int


@dataclass(frozen=True, slots=True)
class Held:
    """The constant in attribute *name*."""

    name: str


Leaf = Inner | Before | Slot | Held
Operation = tuple[Any, tuple[Any, ...], dict[str, Any]]


@dataclass(slots=True)
class Cut:
    """The operations of one timestep: their arguments hold leaves in place of tensors."""

    operations: dict[int, Operation] = field(default_factory=dict)
    """By their position in the last timestep."""
    slots: list[int] = field(default_factory=list)
    """Values of the inputs."""
    held: dict[str, Tensor] = field(default_factory=dict)

    def leaves(self, position: int) -> list[Leaf]:
        """The leaves of one operation, in order."""
        _, args, kwargs = self.operations[position]
        return [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Leaf)]

    @property
    def states(self) -> set[int]:
        """Which operations made what is read of the timestep before."""
        leaves = [leaf for position in self.operations for leaf in self.leaves(position)]
        return {leaf.position for leaf in leaves if isinstance(leaf, Before)}


class InlineCode(nn.Module):
    """One timestep of a neuron without a module: takes its current [B, ...], returns what leaves it.

    What leaves it *ahead* timesteps later is what the current makes: it is returned at once.
    """

    state: dict[int, Tensor] | None = None

    def __init__(self, cut: Cut, initial: dict[int, Tensor], exit_at: int, ahead: int) -> None:
        super().__init__()
        self.operations, self.inputs = cut.operations, len(cut.slots)
        self.initial, self.exit_at, self.ahead = initial, exit_at, ahead
        for name, tensor in cut.held.items():
            setattr(self, name, tensor)
        leaves = tree_iter([(args, kwargs) for _, args, kwargs in cut.operations.values()])
        self.scalars = {str(k): leaf for k, leaf in enumerate(leaves) if type(leaf) in (int, float)}

    def forward(self, x: Tensor) -> Tensor:
        return self.fed([x, *[torch.zeros_like(x)] * (self.inputs - 1)])

    def fed(self, slots: list[Tensor]) -> Tensor:
        """As `forward`, with each input for itself."""
        if self.state is None:
            self.state = {k: v.expand(slots[0].shape) for k, v in self.initial.items()}
        self.state = state = self.stepped(slots, self.state)
        for _ in range(self.ahead):
            state = self.stepped([torch.zeros_like(x) for x in slots], state)
        return state[self.exit_at]

    def stepped(self, slots: list[Tensor], state: dict[int, Tensor]) -> dict[int, Tensor]:
        """What every operation makes in the next timestep."""
        made: dict[int, Tensor] = {}

        def tensor(leaf: Any) -> Any:
            match leaf:
                case Inner(position):
                    return made[position].clone()
                case Before(position):
                    return state[position].clone()
                case Slot(number):
                    return slots[number].clone()
                case Held(name):
                    held = getattr(self, name)
                    is_wide = held.ndim == slots[0].ndim
                    return (held.expand(len(slots[0]), *held.shape[1:]) if is_wide else held).clone()
            return leaf

        for position, (func, args, kwargs) in self.operations.items():
            made[position] = func(*tree_map(tensor, args), **tree_map(tensor, kwargs))
        return made

    def digest(self, shape: tuple[int, ...]) -> str:
        """A name for all that this code does with a current of *shape*."""
        found = hashlib.blake2b(repr((shape, self.exit_at, self.ahead, self.operations)).encode())
        held = [(name, v) for name, v in vars(self).items() if isinstance(v, Tensor)]
        for name, value in [*held, *sorted(self.initial.items())]:
            found.update(repr((name, value.shape, value.dtype)).encode() + value.numpy().tobytes())
        return found.hexdigest()
