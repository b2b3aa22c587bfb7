"""What the code of a loop does: recognized by its behavior as a module would be, and asked once."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from snncc.errors import CannotTrace
from snncc.frontends.behavior import Recognized, recognize
from snncc.frontends.inline_cells import NAME, WAY_OUT
from snncc.frontends.inline_code import InlineCode
from snncc.frontends.torch_record import Recorder

STARTED = ("bias", "v_init", "i_init")
"""Parameters by which something happens before the first input."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to `answered`: two with one *digest* have one answer."""

    digest: str
    where: str
    module: InlineCode = field(compare=False)
    shape: tuple[int, ...]


@lru_cache(maxsize=64)
def answered(asked: Asked) -> Recognized:
    """The neuron that the code of a loop is."""
    module, where = asked.module, asked.where
    one = recognize(module, asked.shape, where=where, kind=NAME)
    check_sum(module, asked.shape, where)
    check_start(module, one, asked.shape, where)
    return one


def check_sum(module: InlineCode, shape: tuple[int, ...], where: str) -> None:
    """Raise `CannotTrace` unless all inputs add up."""
    random = torch.Generator().manual_seed(11)
    for scale in (0.3, 1.0, 10.0) if module.inputs > 1 else ():
        apart, together = (copy.deepcopy(module) for _ in range(2))
        for _ in range(32):
            given = [
                torch.randn((16, *shape), generator=random, dtype=torch.float64) * scale
                for _ in range(module.inputs)
            ]
            total = sum(given[1:], given[0])
            with Recorder.silent():
                have, need = apart.fed(given), together(total)
            if not torch.allclose(have, need, 1e-9, 1e-9):
                raise CannotTrace(
                    f"{where}: {NAME}: its {module.inputs} inputs do not enter it as one sum",
                    hint="add what arrives to one current first; or " + WAY_OUT,
                )


def check_start(module: InlineCode, one: Recognized, shape: tuple[int, ...], where: str) -> None:
    """Raise `CannotTrace` where a neuron whose inputs are delayed does something before they arrive."""
    if not module.ahead:
        return
    told = dict(one.description)
    theta = np.asarray(told.get("theta", 1.0))
    low, high = np.asarray(told.get("clamp_low", 0.0)), np.asarray(told.get("clamp_high", 0.0))
    is_quiet = not any(name in told for name in STARTED) and bool((theta > 0).all())
    is_quiet &= bool((low <= 0).all() and (high >= 0).all())
    state = {k: v.expand((1, *shape)) for k, v in module.initial.items()}
    for _ in range(module.ahead):
        with Recorder.silent():
            state = module.stepped([torch.zeros((1, *shape), dtype=torch.float64)] * module.inputs, state)
        is_quiet &= not bool(state[module.exit_at].any())
    if not is_quiet:
        raise CannotTrace(
            f"{where}: {NAME}: what it is given reaches its output {module.ahead} timesteps later, and it "
            "does not rest until then",
            hint="start at rest: zeros, no constant current within the neuron (the bias of a layer before it "
            "is none); or " + WAY_OUT,
        )
