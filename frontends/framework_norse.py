"""Modules of Norse 1.1: LIF, LIFBox, IAF, LI and LIBox, as cells and over time; SequentialState and Lift.

One timestep, with a = dt*tau_mem_inv, s = dt*tau_syn_inv::

    i <- i + x
    v <- v + a*(v_leak - v + i) ;  i <- (1 - s)*i      # Box: x itself in place of i; IAF: v <- v + x
    z <- v > v_th
    v <- v_reset where z else v                        # LIFBox with reset_subtract: v - z*v_th

LIFRecurrent is LIF of W_in x + W_rec z, with its spikes z of the timestep before. LI and LIBox send v. A cell
starts anew in each call that is not given the state of the call before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import norse.torch as snn
import torch
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.functional.threshold import threshold
from norse.torch.module.lift import Lift
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from torch import Tensor, nn

from snncc.frontends.cells import (
    Call,
    Cell,
    Recurrence,
    Result,
    Time,
    Unsupported,
    constant_current,
    is_step_at_zero,
    nearest,
    values,
)

SUPPORTED = {
    "LIFCell, LIF": "all options",
    "LIFRecurrentCell, LIFRecurrent": "all options",
    "LIFBoxCell": "reset_method reset_value or reset_subtract",
    "IAFCell, IAF": "all options",
    "LICell, LI, LIBoxCell": "all options; send their potential",
    "SequentialState, Lift": "with these; their state is handed on",
}


REFUSED = {
    "LIFRefracCell": "its refractory state is not the compiler's",
    "LIFAdExCell": "it adapts",
    "LSNNCell": "its threshold adapts",
    "IzhikevichCell": "its potential is quadratic",
}


def number(value: Any) -> Any:
    """A parameter, which may be a tensor or a number, in float64."""
    return values(torch.as_tensor(value))


def membrane(module: Any) -> dict[str, Any]:
    """Leak and input of a neuron with a current, or without ("box")."""
    p = module.p
    share, rest = module.dt * number(p.tau_mem_inv), number(p.v_leak)
    leak_i = 1 - module.dt * number(p.tau_syn_inv) if hasattr(p, "tau_syn_inv") else 0.0
    found = constant_current(share * rest, leak_i)
    return found | {"leak": 1 - share, "leak_i": leak_i, "input_gain": share, "v_init": rest}


def firing(module: Any) -> dict[str, Any]:
    """Threshold and reset to a value."""
    p = module.p
    method = "super" if p.method == "adjoint" else p.method
    compares = is_step_at_zero(lambda x: threshold(x, method, p.alpha))
    if not compares:
        raise Unsupported(f"has the method {p.method!r}, whose forward is no step from 0 to 1", "'super'")
    return {
        "theta": number(p.v_th),
        "rho": number(p.v_th),
        "strict": compares == ">",
        "reset": "value",
        "v_reset": number(p.v_reset),
    }


def lif(module: Any) -> dict[str, object]:
    return membrane(module) | firing(module)


def lif_box(module: Any) -> dict[str, object]:
    if module.p.reset_method is reset_subtract:
        return membrane(module) | firing(module) | {"reset": "subtract"}
    if module.p.reset_method is reset_value:
        return lif(module)
    name = getattr(module.p.reset_method, "__name__", "of its own")
    raise Unsupported(f"has the reset_method {name}", "reset_value or reset_subtract")


def iaf(module: Any) -> dict[str, object]:
    return firing(module) | {"v_init": number(module.p.v_reset)}


def integrator(module: Any) -> dict[str, object]:
    return membrane(module) | {"reset": "none", "emit": "potential"}


def call(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    given = dict(zip(("input_tensor", "state"), args, strict=False)) | dict(kwargs)
    return Call(given["input_tensor"], states(given.get("state")))


def result(module: Any, out: Any) -> Result:
    return Result(out[0], states(out[1]))


class Weighted(nn.Module):
    """The product with a matrix of a recurrent cell."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight.detach()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight)


def states(state: Any) -> dict[str, Any]:
    return {} if state is None else dict(state._asdict())


def nothing(module: Any) -> None:
    """No module of Norse holds a state."""


def cell_like(describe: Callable[[Any], dict[str, object]], time: Time) -> Cell:
    return Cell(describe, lambda module: time, nothing, call, result, initial={"v": "v_init"}, forgets=True)


STEPS = {
    snn.LIFCell: lif,
    snn.LIFBoxCell: lif_box,
    snn.IAFCell: iaf,
    snn.LICell: integrator,
    snn.LIBoxCell: integrator,
}
TRAINS = {snn.LIF: lif, snn.IAF: iaf, snn.LI: integrator}
RECURRENT = {snn.LIFRecurrentCell: Time.STEP, snn.LIFRecurrent: Time.TRAIN}
CELLS: dict[type, Cell] = {
    **{cls: cell_like(describe, Time.STEP) for cls, describe in STEPS.items()},
    **{cls: cell_like(describe, Time.TRAIN) for cls, describe in TRAINS.items()},
    **{
        cls: replace(
            cell_like(lif, time),
            before=lambda module: Weighted(module.input_weights),
            recurrence=lambda module: Recurrence(Weighted(module.recurrent_weights), starts=False),
        )
        for cls, time in RECURRENT.items()
    },
}


def refuse(module: Any) -> dict[str, object]:
    name = type(module).__name__
    why = REFUSED.get(name, "which is no neuron of the compiler")
    known = ", ".join(cls.__name__ for cls in CELLS)
    raise Unsupported(f"has the class {name} of Norse: {why}", f"use {known}")


def cell(module: nn.Module) -> Cell | None:
    """The cell of a module of Norse; None for what is no neuron."""
    if found := nearest(CELLS, module):
        return found
    known = isinstance(module, SNN | SNNCell | SNNRecurrent | SNNRecurrentCell)
    return Cell(refuse) if known and type(module).__module__.startswith("norse.") else None


def prepare(module: Any, samples: int, timesteps: int, *, is_root: bool) -> None:
    """A whole model that returns its state beside its output is given it again in the next timestep."""
    if is_root and isinstance(module, snn.SequentialState | Lift):
        carry(module)


def carry(module: Any) -> None:
    original, kept = module.forward, [None]

    def forward(x: Any) -> Any:
        if isinstance(module, Lift):
            out = original(x)
            return out[0] if module.is_stateful else out
        out, kept[0] = original(x, kept[0])
        return out

    module.forward = forward


__all__ = ["CELLS", "REFUSED", "SUPPORTED", "cell", "prepare"]
