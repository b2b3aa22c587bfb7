"""From what a neuron module says of itself to the parameters of a neuron node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from snncc.errors import CannotTrace, InvalidGraph
from snncc.frontends.torch_build import Place
from snncc.frontends.torch_codes import Mixed
from snncc.frontends.torch_frames import Frame
from snncc.ir import Array, Emit, NeuronParameters, Order, Rectifier, Reset, ResetAt
from snncc.ir.arrays import squeezed
from snncc.ir.verify import neuron_problems

ARRAYS = (
    "theta",
    "rho",
    "leak",
    "leak_i",
    "bias",
    "v_reset",
    "v_init",
    "i_init",
    "scale",
    "clamp_low",
    "clamp_high",
)
ENUMS: Mapping[str, Any] = {
    "order": Order,
    "reset": Reset,
    "reset_at": ResetAt,
    "emit": Emit,
    "rectifier": Rectifier,
}
PLAIN = ("strict", "max_count", "refractory", "stateless")
EXTRA = ("steps", "tie", "input_gain")


def parameters_of(
    found: dict[str, Any], frame: Frame, like: torch.Size, place: Place
) -> tuple[NeuronParameters, Array]:
    """The parameters in the order of *frame*, and the factor on the input."""

    def spread(value: Any) -> Array:
        array = np.asarray(value, np.float64)
        if array.ndim == 0:
            return array
        try:
            return frame.constant(torch.from_numpy(array.copy()), like)
        except RuntimeError:
            raise Mixed(f"has a parameter of shape {array.shape}, which does not fit {tuple(like)}") from None

    fields: dict[str, Any] = {
        key: spread(found[key]) for key in ARRAYS if key in found and found[key] is not None
    }
    fields |= {key: found[key] for key in PLAIN if key in found}
    for key, kind in ENUMS.items():
        if key in found:
            try:
                fields[key] = kind(found[key])
            except ValueError:
                known = ", ".join(one.value for one in kind)
                raise CannotTrace(
                    f"{place}: its description says {key}={found[key]!r}; known: {known}",
                    hint="see snncc.register_neuron",
                ) from None
    if found.get("steps") is not None:
        fields["steps"] = np.stack([np.broadcast_to(spread(step), frame.shape) for step in found["steps"]])
        fields["steps"] = squeezed(fields["steps"])
    elif found.get("tie", "up") == "even":
        fields["steps"] = even_steps(fields, int(found["max_count"]))
    try:
        parameters = NeuronParameters(**fields)
    except InvalidGraph as error:
        raise CannotTrace(f"{place}: {error.message}") from None
    for problem in neuron_problems(parameters, is_integer=False):
        raise CannotTrace(f"{place}: {problem}")
    return parameters, spread(found.get("input_gain", 1.0))


def even_steps(fields: Mapping[str, Any], count: int) -> Array:
    """Round half to even as a staircase: the step before an odd count must be passed, not met."""
    theta, rho = fields.get("theta", np.float64(1)), fields.get("rho", np.float64(1))
    steps = [np.asarray(theta + (j - 1) * rho, np.float64) for j in range(1, count + 1)]
    return np.stack([np.nextafter(s, np.inf) if j % 2 else s for j, s in enumerate(steps, 1)])
