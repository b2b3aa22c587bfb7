"""Neurons under `torch.export`: each stays one node of the exported program, ``snncc::neuron``.

Exported equation by equation, a neuron would be unrolled over time and no compiler could find it again.
The operation takes the input, the neuron's tensors, a JSON object that says the class and the options of
its constructor (a tensor among them as ``{"tensor": k}``, the k-th of the tensors; floats as ``repr``
writes them, which is exact), and the step mode.

A program with such nodes is loaded where ``snncc.nn`` was imported before. The operation has no gradient.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snncc.errors import BadInput, CannotTrace
from snncc.nn.integer import QCFS, SFA
from snncc.nn.integrate import IF, SRIF
from snncc.nn.leaky import LIAF, LIF, PLIF, CubaLIF
from snncc.nn.neuron import Neuron

OPERATION = "snncc::neuron"

# For each class the attribute that holds each option of the constructor. Surrogates and detach_reset
# matter to gradients alone.
_FIRE = {
    "theta": "theta",
    "reset": "reset_kind",
    "reset_amount": "reset_amount",
    "v_reset": "v_reset",
    "v_init": "v_init",
    "strict": "strict",
    "scale": "scale",
}
_LEAKY = {**_FIRE, "leak": "leak", "decay_input": "decay_input"}
OPTIONS: Mapping[type[Neuron], Mapping[str, str]] = {
    IF: _FIRE,
    SRIF: {**_FIRE, "rectifier": "rectifier"},
    LIF: _LEAKY,
    LIAF: _LEAKY,
    PLIF: {**_FIRE, "w": "w"},
    CubaLIF: {**_FIRE, "leak_i": "leak_i", "leak": "leak"},
    SFA: {name: name for name in ("max_count", "norm", "rounding", "carry", "decay")},
    QCFS: {"levels": "levels", "lam": "lam"},
}
_CLASSES = {cls.__name__: cls for cls in OPTIONS}
_FLAGS = ("strict", "decay_input", "carry", "rectifier")


def as_one_node(neuron: Neuron, x: Tensor) -> Tensor:
    """What `Neuron.forward` does while `torch.export` runs.

    Raises `CannotTrace` for a neuron that keeps a state between calls, and for classes of others.
    """
    name = type(neuron).__name__
    if type(neuron) not in OPTIONS:
        raise CannotTrace(
            f"torch.export: {name} is no neuron of snncc.nn itself",
            hint="compile the model without torch.export; a subclass can be traced, not exported",
        )
    if neuron.step_mode == "s" and neuron.has_state:
        raise CannotTrace(
            f"torch.export: {name} keeps its state from call to call, which an exported program cannot",
            hint='snncc.nn.set_step_mode(model, "m"), and let the model take whole trains [T, B, ...]',
        )
    tensors, description = flatten(neuron)
    out: Tensor = torch.ops.snncc.neuron.default(x, tensors, description, neuron.step_mode)
    return out


def flatten(neuron: Neuron) -> tuple[list[Tensor], str]:
    """The tensors of *neuron* and its description, the arguments of ``snncc::neuron``."""
    tensors: list[Tensor] = []
    options: dict[str, object] = {}
    for option, attribute in OPTIONS[type(neuron)].items():
        value = getattr(neuron, attribute)
        if isinstance(value, Tensor):
            options[option] = {"tensor": len(tensors)}
            tensors.append(value)
        elif value is not None:
            options[option] = value
    return tensors, json.dumps({"class": type(neuron).__name__, "options": options}, allow_nan=False)


def rebuild(tensors: Sequence[Tensor], description: str, step_mode: str) -> Neuron:
    """The neuron that `flatten` took apart. Raises `BadInput` for whatever no `flatten` has written."""
    try:
        fields = json.loads(description)
        cls, options = _CLASSES[fields["class"]], dict(fields["options"])
        if set(fields) != {"class", "options"} or not set(options) <= set(OPTIONS[cls]):
            raise ValueError("unknown fields")
        for name, value in options.items():
            if isinstance(value, dict):
                options[name] = tensors[value["tensor"]]
            elif (name in _FLAGS) != isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}")
        neuron = cls(**options, step_mode=step_mode)  # type: ignore[arg-type]
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise BadInput(
            f"snncc::neuron: damaged description {description[:200]!r} ({type(problem).__name__}: {problem})"
        ) from None
    if neuron.step_mode == "s" and neuron.has_state:
        raise BadInput(f'snncc::neuron: {type(neuron).__name__} keeps a state; its step mode must be "m"')
    return neuron


@torch.library.custom_op(
    OPERATION,
    mutates_args=(),
    schema="(Tensor x, Tensor[] tensors, str description, str step_mode) -> Tensor",
)
def neuron(x: Tensor, tensors: Sequence[Tensor], description: str, step_mode: str) -> Tensor:
    """The output of the described neuron for *x*, [T, B, ...] in step mode "m", else [B, ...]."""
    with torch.no_grad():
        return rebuild(tensors, description, step_mode).compute(x).contiguous()


@neuron.register_fake
def _(x: Tensor, tensors: Sequence[Tensor], description: str, step_mode: str) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)
