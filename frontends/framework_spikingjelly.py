"""Modules of SpikingJelly 2.0: IF, LIF, parametric LIF and I-LIF nodes, step modes s and m.

One timestep, with q = 1/tau (sigmoid(w) of a ParametricLIFNode, 0 of an IFNode), r = v_reset or 0::

    h <- v - q*(v - r) + x            # + q*x with decay_input
    s <- h >= v_threshold
    v <- v_reset where s else h       # h - s*v_threshold where v_reset is None

An ILIFNode sends round(clip(h / v_threshold, 0, D)), half to even, and subtracts what it sent. Layers that
take [T, B, ...] (step mode m, SeqToANNContainer) need no care: they only reshape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from spikingjelly.activation_based import base, neuron
from torch import Tensor, nn

from snncc.frontends.cells import Cell, Result, Unsupported, is_step_at_zero, nearest, values

SUPPORTED = {
    "IFNode": "all options",
    "LIFNode": "all options",
    "ParametricLIFNode": "all options",
    "ILIFNode": "all options",
    "step modes": "s and m; layers of spikingjelly.activation_based.layer without a state, SeqToANNContainer",
}
REFUSED = {
    "QIFNode": "its leak is quadratic in the potential",
    "EIFNode": "its leak is exponential in the potential",
    "IzhikevichNode": "its threshold adapts",
}


def describe(module: Any) -> dict[str, object]:
    if not is_step_at_zero(module.surrogate_function):
        raise Unsupported(
            "has a surrogate_function whose forward is no step from 0 to 1", "a surrogate with spiking=True"
        )
    found: dict[str, Any] = {"strict": is_step_at_zero(module.surrogate_function) == ">"}
    start = 0.0 if module.v_reset is None else module.v_reset
    found |= {"theta": np.float64(module.v_threshold), "rho": np.float64(module.v_threshold)}
    found |= {"v_init": np.float64(start), "v_reset": np.float64(start)}
    found["reset"] = "subtract" if module.v_reset is None else "value"
    share = rate(module)
    if share is not None:
        found |= {"leak": 1 - share, "bias": share * start}
        found["input_gain"] = share if module.decay_input else np.ones(())
    return found


def rate(module: Any) -> Any:
    """1/tau of a leaky node."""
    if isinstance(module, neuron.ParametricLIFNode):
        return values(module.w.sigmoid())
    return 1 / np.float64(module.tau) if isinstance(module, neuron.LIFNode) else None


def describe_integer(module: Any) -> dict[str, object]:
    """I-LIF; its surrogate says how many spikes may leave."""
    theta = np.float64(module.v_threshold)
    most = module.surrogate_function.max_spike_count
    if most != int(most) or most < 1:
        raise Unsupported(f"has max_spike_count={most}", "a whole number of at least 1")
    return {
        "theta": theta / 2,
        "rho": theta,
        "max_count": int(most),
        "tie": "even",
        "leak": 1 - 1 / np.float64(module.tau),
    }


def refuse(module: Any) -> dict[str, object]:
    name = type(module).__name__
    why = REFUSED.get(name, "which is no neuron of the compiler")
    raise Unsupported(
        f"has the class {name} of SpikingJelly: {why}", "use IFNode, LIFNode, ParametricLIFNode or ILIFNode"
    )


def prepare(module: nn.Module, samples: int, timesteps: int, *, is_root: bool) -> None:
    """No module of SpikingJelly holds such a number."""


def holds(module: Any) -> Mapping[str, Tensor]:
    return {"v": module.v} if isinstance(module.v, Tensor) else {}


def result(module: Any, out: Any) -> Result:
    return Result(out, holds(module))


LEAKY = Cell(describe, result=result, holds=holds)
CELLS: dict[type, Cell] = {
    neuron.ILIFNode: Cell(describe_integer, result=result, holds=holds),
    **dict.fromkeys((neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode), LEAKY),
}


def cell(module: nn.Module) -> Cell | None:
    """The cell of a module of SpikingJelly; None for what is no neuron."""
    if type(module).__module__.startswith("spikingjelly.activation_based.neuron"):
        is_node = isinstance(module, base.MemoryModule | neuron.NonSpikingBaseNode)
        return CELLS.get(type(module), Cell(refuse) if is_node else None)
    return nearest(CELLS, module)


__all__ = ["CELLS", "REFUSED", "SUPPORTED", "cell", "prepare"]
