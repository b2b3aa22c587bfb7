"""Neurons that are handed their state and return it: ``z, v = lif(x, v)``.

To be probed they are given a state of their own, as they are handed it in the first timestep: none, or zeros.
In the recording each call must be handed what the call before returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snncc.frontends.cells import Call, Cell, Result, Time
from snncc.frontends.neurons import Describe


class Handed(nn.Module):
    """*inner*, which keeps its state instead of returning it; it starts with *parts* tensors of zeros."""

    state: Any = None

    def __init__(self, inner: nn.Module, parts: int | None) -> None:
        super().__init__()
        self.inner, self.parts = inner, parts

    def forward(self, x: Tensor) -> Tensor:
        given = self.state
        if given is None and self.parts is not None:
            zeros = [torch.zeros_like(x) for _ in range(self.parts)]
            given = zeros[0] if self.parts == 1 else tuple(zeros)
        out, self.state = self.inner(x, given)
        spikes: Tensor = out
        return spikes


def parts_of(state: Any) -> list[Tensor] | None:
    """The tensors of a state: itself, or those of a flat tuple; None for anything else."""
    found = [state] if isinstance(state, Tensor) else list(state) if isinstance(state, list | tuple) else None
    return found if found and all(isinstance(part, Tensor) for part in found) else None


def is_handed(args: tuple[Any, ...], out: Any) -> bool:
    """Whether a module with the arguments *args* was handed a state that starts at nothing or at zeros."""
    if len(args) != 2 or not isinstance(out, tuple) or len(out) != 2 or not isinstance(out[0], Tensor):
        return False
    after = parts_of(out[1])
    if after is None or any(part.shape != out[0].shape for part in after):
        return False
    before = parts_of(args[1])
    if before is None:
        return args[1] is None
    return len(before) == len(after) and not any(bool(part.any()) for part in before)


def call(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    return Call(args[0], named(args[1]) if len(args) > 1 else {})


def result(module: Any, out: Any) -> Result:
    return Result(out[0], named(out[1]))


def named(state: Any) -> dict[str, Tensor]:
    """The tensors of a state by a name for each."""
    parts = parts_of(state) or []
    return {"state" if len(parts) == 1 else f"state {k}": part for k, part in enumerate(parts)}


def handed_cell(describe: Describe) -> Cell:
    """The cell of a module that was recognized as `Handed`."""
    return Cell(describe, time=lambda _: Time.STEP, call=call, result=result, forgets=True)
