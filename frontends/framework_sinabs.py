"""Modules of sinabs 3.1: IAF, LIF and ExpLeak, also squeezed, with one spike or many in a timestep.

One timestep, with a = exp(-1/tau_mem), s = exp(-1/tau_syn)::

    i <- s*(i + x)                     # x itself without tau_syn
    v <- a*v + i                       # (1 - a)*i with norm_input
    n <- trunc(v / theta) where v > 0  # MultiSpike; at most one: SingleSpike; at most m: MaxSpike(m)
    v <- v - n*theta                   # or - n*subtract_value; MembraneReset(r): v <- r + (0 if n else v)
    v <- max(v, min_v_mem)

A recurrent layer adds rec_connect of its spikes to the x of the next timestep.

A MembraneReset(r) adds r in every timestep, with spikes or without. In w = v - r that is a reset to zero of
a neuron with the bias a*r.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from torch import Tensor, nn

from snncc.frontends.cells import Cell, Recurrence, Time, Unsupported, constant_current, nearest, values

SUPPORTED = {
    "IAF, IAFSqueeze": "all options",
    "LIF, LIFSqueeze": "all options",
    "ExpLeak, ExpLeakSqueeze": "all options; sends its potential",
    "IAFRecurrent, LIFRecurrent": "all options; rec_connect linear",
    "spike_fn": "MultiSpike, SingleSpike, MaxSpike",
    "reset_fn": "MembraneSubtract (another subtract_value not with MultiSpike), MembraneReset",
}
REFUSED = {
    "ALIF": "its threshold adapts",
    "ALIFRecurrent": "its threshold adapts",
}


def describe(module: Any) -> dict[str, object]:
    with torch.no_grad():
        leak = values(module.alpha_mem_calculated)
        syn = module.alpha_syn_calculated
        gain = 1 - leak if module.norm_input else np.ones(())
        found: dict[str, Any] = {"leak": leak, "input_gain": gain}
        if syn is not None:
            found |= {"leak_i": values(syn), "input_gain": gain * values(syn)}
        low = None if module.min_v_mem is None else values(module.min_v_mem)
    if module.spike_fn is None:
        return found | {"reset": "none", "emit": "potential", "clamp_low": low}
    theta = values(module.spike_threshold)
    if np.any(theta <= 0):
        raise Unsupported("has a spike_threshold that is not above zero", "thresholds are positive")
    most = spikes(module)
    found |= {"theta": theta, "rho": theta, "max_count": most, "clamp_low": low}
    return found | reset(module, theta, most, leak, low)


def spikes(module: Any) -> int | None:
    """How many spikes may leave in a timestep; None for any number."""
    if module.spike_fn is SingleSpike:
        return 1
    if module.spike_fn is MultiSpike:
        return None
    if isinstance(module.spike_fn, MaxSpike):
        most = module.spike_fn.max_num_spikes_per_bin
        if most is not None and (most != int(most) or most < 1):
            raise Unsupported(f"has max_num_spikes_per_bin={most}", "a whole number of at least 1")
        return None if most is None else int(most)
    name = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    raise Unsupported(f"has spike_fn={name}", "MultiSpike, SingleSpike or MaxSpike")


def reset(module: Any, theta: Any, most: int | None, leak: Any, low: Any) -> dict[str, Any]:
    """What of the description comes from the reset."""
    rule = module.reset_fn
    if isinstance(rule, MembraneSubtract):
        amount = theta if rule.subtract_value is None else np.float64(rule.subtract_value)
        if most is None and np.any(amount != theta):
            raise Unsupported(
                f"subtracts {rule.subtract_value} at each of any number of spikes that are a threshold apart",
                "subtract the threshold (subtract_value=None), or use SingleSpike or MaxSpike",
            )
        steps = None if most in (None, 1) else [j * theta for j in range(1, (most or 0) + 1)]
        return {"reset": "subtract", "rho": amount, "steps": steps}
    if isinstance(rule, MembraneReset):
        shift = np.float64(rule.reset_value)
        if shift == 0:
            return {"reset": "value"}
        return shifted(module, leak, low, shift)
    raise Unsupported(f"has reset_fn={type(rule).__name__}", "MembraneSubtract or MembraneReset")


def shifted(module: Any, leak: Any, low: Any, shift: Any) -> dict[str, Any]:
    """MembraneReset to another value than zero, in w = v - shift."""
    with torch.no_grad():
        syn = module.alpha_syn_calculated
    found = constant_current(leak * shift, 0.0 if syn is None else values(syn))
    return found | {"reset": "value", "v_init": -shift, "clamp_low": None if low is None else low - shift}


def forget(module: Any) -> None:
    """Back to before the first call: sinabs itself would keep the number of samples."""
    for name, _ in list(module.named_buffers(recurse=False)):
        module.register_buffer(name, torch.zeros(0))


def time(module: Any) -> Time:
    return Time.SQUEEZED if isinstance(module, sl.SqueezeMixin) else Time.BATCHES


def prepare(module: Any, samples: int, timesteps: int, *, is_root: bool) -> None:
    """Squeezed layers hold a number of samples or timesteps.

    SumPool2d takes the sign, the absolute value and the power 1 of a sum, which is the sum.
    """
    if isinstance(module, sl.SqueezeMixin):
        module.batch_size, module.num_timesteps = samples, timesteps
    elif isinstance(module, sl.UnflattenTime):
        module.batch_size = samples
    elif type(module) is sl.SumPool2d:
        module.forward = partial(sum_pool, module)


def sum_pool(module: Any, x: Tensor) -> Tensor:
    size = module.kernel_size if isinstance(module.kernel_size, tuple) else (module.kernel_size,) * 2
    return nn.functional.avg_pool2d(x, size, module.stride, ceil_mode=module.ceil_mode) * (size[0] * size[1])


PLAIN = Cell(describe, time, forget, held=("v_mem", "i_syn"))
RECURRENT = replace(PLAIN, recurrence=lambda module: Recurrence(module.rec_connect, starts=False))
CELLS: dict[type, Cell] = {
    **dict.fromkeys((sl.IAF, sl.IAFSqueeze, sl.LIF, sl.LIFSqueeze, sl.ExpLeak, sl.ExpLeakSqueeze), PLAIN),
    **dict.fromkeys((sl.IAFRecurrent, sl.LIFRecurrent), RECURRENT),
}


def copied(module: Any, memo: dict[int, Any]) -> nn.Module | None:
    """A copy of a recurrent layer, whose own way to copy itself does not find what is inside of it."""
    if type(module) not in (sl.IAFRecurrent, sl.LIFRecurrent):
        return None
    inner = copy.deepcopy(module.rec_connect, memo)
    twin: nn.Module = type(module)(**{**module.arg_dict, "rec_connect": inner})
    for name, parameter in module.named_parameters(recurse=False):
        getattr(twin, name).data = parameter.detach().clone()
    for name, buffer in module.named_buffers(recurse=False):
        twin.register_buffer(name, buffer.detach().clone())
    return twin


def cell(module: nn.Module) -> Cell | None:
    """The cell of a module of sinabs; None for what is no neuron."""
    if not isinstance(module, sl.StatefulLayer):
        return None
    why = REFUSED.get(type(module).__name__)
    return refused(why) if why else nearest(CELLS, module)


def refused(why: str) -> Cell:
    def describe(module: Any) -> dict[str, object]:
        name = type(module).__name__
        raise Unsupported(f"has the class {name} of sinabs: {why}", "use IAF, LIF or ExpLeak")

    return Cell(describe, time, forget)


__all__ = ["CELLS", "REFUSED", "SUPPORTED", "cell", "prepare"]
