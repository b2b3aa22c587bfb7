"""Modules of snnTorch 1.0: Leaky, Synaptic, Lapicque, RLeaky and RSynaptic.

One timestep, with b = clamp(beta, 0, 1), a = clamp(alpha, 0, 1)::

    r <- mem > theta                        # the spike of the timestep before: the reset is late
    syn <- a*syn + x + recurrent(spk)       # Synaptic, RSynaptic; else x + recurrent(spk) itself
    mem <- b*mem + syn - r*theta            # subtract
    mem <- (b*mem + syn)*(1 - r)            # zero; Leaky resets before it adds: b*mem*(1 - r) + syn
    spk <- graded_spikes_factor * (mem > theta)

Lapicque leaks by 1 - time_step/(R*C) and takes x * time_step/C. With reset_delay=False the reset comes in
the same timestep, too; the spike of a potential beyond twice the threshold is then lost or late, and
"subtract" is no neuron of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import snntorch
import torch
from torch import nn

from snncc.frontends.cells import (
    Call,
    Cell,
    Recurrence,
    Result,
    Time,
    Unsupported,
    is_step_at_zero,
    nearest,
    values,
)

SUPPORTED = {
    "Leaky": "all but inhibition and state_quant",
    "Synaptic": "all but inhibition and state_quant",
    "Lapicque": "all but inhibition and state_quant",
    "RLeaky": "all but inhibition and state_quant",
    "RSynaptic": "all but inhibition, state_quant and reset_delay=False",
    "reset_mechanism": "subtract, zero, none (subtract with reset_delay=True only)",
}
REFUSED = {
    "Alpha": "its potential is a difference of two currents",
    "StateLeaky": "it never resets, and computes a whole train at once",
    "SLSTM": "it is an LSTM",
    "SConv2dLSTM": "it is an LSTM",
}
STATES = {
    snntorch.Leaky: ("mem",),
    snntorch.Lapicque: ("mem",),
    snntorch.Synaptic: ("syn", "mem"),
    snntorch.RLeaky: ("spk", "mem"),
    snntorch.RSynaptic: ("spk", "syn", "mem"),
}
HAS_CURRENT = (snntorch.Synaptic, snntorch.RSynaptic)


def describe(module: Any) -> dict[str, object]:
    if module.inhibition:
        raise Unsupported("has inhibition=True, one winner among all neurons", "inhibition=False")
    if module.state_quant:
        raise Unsupported(
            "has a state_quant, which rounds its state in every timestep",
            "state_quant=False; the compiler quantizes (snncc.compile)",
        )
    compares = is_step_at_zero(module.spike_grad)
    if not compares:
        raise Unsupported(
            "has a spike_grad whose forward is no step from 0 to 1",
            "a surrogate that is one in its forward, such as snntorch.surrogate.atan()",
        )
    theta = values(module.threshold)
    found: dict[str, Any] = {"theta": theta, "rho": theta, "strict": compares == ">"}
    found["scale"] = values(module.graded_spikes_factor)
    if isinstance(module, snntorch.Lapicque):
        found |= circuit(module)
    else:
        found["leak"] = values(module.beta.clamp(0, 1))
    if isinstance(module, HAS_CURRENT):
        found["leak_i"] = values(module.alpha.clamp(0, 1))
    return found | reset(module, theta)


def circuit(module: Any) -> dict[str, Any]:
    """Leak and gain of Lapicque's circuit."""
    step, r, c = (values(value) for value in (module.time_step, module.R, module.C))
    with np.errstate(divide="ignore"):
        gain = np.asarray(r * (1 / (r * c)) * step)
        return {"leak": np.asarray(1 - step / (r * c)), "input_gain": gain}


def reset(module: Any, theta: Any) -> dict[str, Any]:
    """What of the description comes from the reset."""
    kind = module.reset_mechanism
    is_late = getattr(module, "reset_delay", True)
    if kind == "none":
        return {"reset": "none"}
    if not is_late:
        if isinstance(module, snntorch.RSynaptic):
            raise Unsupported("has reset_delay=False, which RSynaptic itself cannot run", "reset_delay=True")
        if kind == "subtract" or np.any(theta < 0):
            raise Unsupported(
                "has reset_delay=False, by which a potential far above the threshold fires late",
                "reset_delay=True, or reset_mechanism='zero' with thresholds of at least 0",
            )
        return {"reset": "value", "reset_at": "same"}
    if kind == "subtract":
        return {"reset": "subtract", "reset_at": "next"}
    is_before = isinstance(module, snntorch.Leaky)
    return {"reset": "value", "reset_at": "next-before-input" if is_before else "next"}


def reads(module: Any) -> Mapping[str, Mapping[str, object]]:
    """Its mem is the potential before the reset; its syn a potential that never fires."""
    found = describe(module)
    states: dict[str, Mapping[str, object]] = {}
    if found.get("reset_at") != "same":
        states["mem"] = found | {"emit": "potential", "scale": np.ones(())}
    if isinstance(module, HAS_CURRENT):
        states["syn"] = {"leak": found["leak_i"], "reset": "none", "emit": "potential"}
    return states


def names(module: nn.Module) -> tuple[str, ...]:
    return next(STATES[cls] for cls in type(module).__mro__ if cls in STATES)


def call(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    given = dict(zip(("input_", *names(module)), args, strict=False)) | dict(kwargs)
    x = given.pop("input_")
    # a state of another shape than the input's is not used
    return Call(x, {k: s for k, s in given.items() if s is not None and s.shape == x.shape})


def result(module: Any, out: Any) -> Result:
    return Result(out[0] if isinstance(out, tuple) else out, holds(module))


def holds(module: Any) -> Mapping[str, Any]:
    return {name: getattr(module, name) for name in names(module)}


def forget(module: Any) -> None:
    for name in names(module):
        setattr(module, name, torch.zeros(0))


def recurrence(module: Any) -> Recurrence | None:
    inner = getattr(module, "recurrent", None)
    return None if inner is None else Recurrence(inner, starts=True)


def prepare(module: nn.Module, samples: int, timesteps: int, *, is_root: bool) -> None:
    """No module of snnTorch holds such a number."""


@contextmanager
def running(model: nn.Module) -> Iterator[None]:
    """`snntorch.utils.reset` resets all neurons that were ever made; here it means those of *model*."""
    before = snntorch.SpikingNeuron.instances
    snntorch.SpikingNeuron.instances = [m for m in model.modules() if isinstance(m, snntorch.SpikingNeuron)]
    try:
        yield
    finally:
        snntorch.SpikingNeuron.instances = before


PLAIN = Cell(
    describe,
    lambda module: Time.STEP,
    forget,
    call,
    result,
    reads,
    {"mem": "v_init", "syn": "i_init"},
    recurrence,
    holds=holds,
)
CELLS: dict[type, Cell] = dict.fromkeys(STATES, PLAIN)


def cell(module: nn.Module) -> Cell | None:
    """The cell of a module of snnTorch; None for what is no neuron."""
    if not isinstance(module, snntorch.SpikingNeuron):
        return None
    return nearest(CELLS, module) if isinstance(module, tuple(STATES)) else Cell(refuse)


def refuse(module: Any) -> dict[str, object]:
    name = type(module).__name__
    why = REFUSED.get(name, "which is no neuron of the compiler")
    known = ", ".join(cls.__name__ for cls in STATES)
    raise Unsupported(f"has the class {name} of snnTorch: {why}", f"use {known}")


__all__ = ["CELLS", "REFUSED", "SUPPORTED", "cell", "prepare"]
