"""How the user's data is laid out, and what of it is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.frontends.torch_codes import Grid, LoopsOverTime, RepeatsInput
from snncc.frontends.torch_known import is_neuron, keeps_state, takes_trains
from snncc.ir import Kind, Over, Presence, Shape
from snncc.nn import DirectEncoder

LAYOUTS = ("B", "TB", "BT")
LAYOUT_HINT = (
    "layout='B' if the model takes one timestep [B, ...], 'TB' if it takes [T, B, ...], 'BT' for [B, T, ...]"
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a model takes its data. *timesteps* is the length of a train."""

    layout: str
    timesteps: int
    kind: Kind
    presence: Presence
    is_train: bool = False
    """Whether a model that takes one timestep is given a train [T, B, ...], one timestep a call."""
    repeats_inside: bool = False
    """Whether the model takes [B, ...] once and repeats it over time itself."""

    @property
    def has_time(self) -> bool:
        """Whether the model itself sees a time axis."""
        return self.layout != "B"

    @property
    def samples_axis(self) -> int:
        """The axis of the samples in the data of the model."""
        return 1 if self.layout == "TB" else 0

    def grid(self, x: Tensor) -> Grid:
        """Timesteps and samples of *x* in one call of the model."""
        match self.layout:
            case "TB":
                return Grid(x.shape[0], x.shape[1])
            case "BT":
                return Grid(x.shape[1], x.shape[0])
        return Grid(self.timesteps if self.repeats_inside else 1, x.shape[0])

    @property
    def calls(self) -> int:
        """How often the model is called for a sample."""
        return 1 if self.has_time or self.repeats_inside else self.timesteps

    @property
    def over(self) -> Over | None:
        """An input that has no time axis yet is at every timestep what it is at the last."""
        return Over.LAST if self.repeats_inside and self.timesteps > 1 else None

    def shape(self, x: Tensor) -> Shape:
        """The shape per sample and timestep."""
        return tuple(x.shape[2:] if self.has_time else x.shape[1:])

    def rows(self, x: Tensor) -> Tensor:
        """The row of every element, shaped like the leading axes of *x*."""
        grid = self.grid(x)
        rows = torch.arange(grid.rows).reshape(grid.timesteps, grid.samples)
        if self.repeats_inside:
            return rows[0]
        match self.layout:
            case "TB":
                return rows
            case "BT":
                return rows.T
        return rows[0]

    def swapped(self, x: Tensor) -> Tensor:
        """*x* from the model's axes to the graph's, or back: [T, B, ...], or [B, ...] for one call."""
        return x.transpose(0, 1) if self.layout == "BT" else x

    def at_call(self, x: Tensor, call: int) -> Tensor:
        """What the model is given in its call number *call*: all of *x*, or one timestep."""
        if not self.has_time:
            if self.presence is Presence.SEQUENCE and self.is_train:
                x = x[call]
            if self.presence is Presence.FIRST and call:
                x = torch.zeros_like(x)
        return x.clone(memory_format=torch.contiguous_format)


def options(
    model: nn.Module,
    x: Tensor,
    timesteps: int | None,
    layout: str | None,
    kind: str,
    presence: str | None,
) -> Options:
    """Check the arguments of a trace. Raises `BadInput`, naming the argument."""
    if layout is not None and layout not in LAYOUTS:
        raise BadInput(f"layout must be 'B', 'TB' or 'BT', not {layout!r}", hint=LAYOUT_HINT)
    if timesteps is not None and (type(timesteps) is not int or timesteps < 1):
        raise BadInput(f"timesteps must be a whole number of at least 1, not {timesteps!r}")
    check_choice("input_kind", kind, [str(k) for k in Kind])
    if presence is not None:
        check_choice("presence", presence, [str(p) for p in Presence])
    neurons = [(path, module) for path, module in model.named_modules() if is_neuron(module)]
    stateful = [path for path, module in neurons if keeps_state(module, path)]
    if layout is None:
        multi = [path for path, module in neurons if takes_trains(module)]
        if timesteps not in (None, 1) or stateful or multi:
            why = f"{(stateful or multi)[0] or 'the model'} " if stateful or multi else "timesteps "
            what = "keeps a state" if stateful else "takes all timesteps at once"
            why += what if stateful or multi else f"is {timesteps}"
            raise BadInput(
                f"the argument layout is missing: {why}, so the order of the axes matters", hint=LAYOUT_HINT
            )
        layout = "B"
    if layout == "B":
        if timesteps is None and stateful:
            raise BadInput(
                f"the argument timesteps is missing: {stateful[0] or 'the model'} keeps a state from one "
                "timestep to the next",
                hint="timesteps=T, the number of timesteps of one sample",
            )
        given = Presence(presence) if presence else Presence.CONSTANT
        return checked(
            Options("B", timesteps or 1, Kind(kind), given, repeats_inside=repeats_inside(model)), x
        )
    if x.ndim < 3:
        raise BadInput(
            f"with layout={layout!r} the example needs [T, B, ...] or [B, T, ...], not shape {tuple(x.shape)}"
        )
    length = x.shape[0 if layout == "TB" else 1]
    if timesteps is not None and timesteps != length:
        raise BadInput(
            f"timesteps is {timesteps}, but with layout={layout!r} the example of shape {tuple(x.shape)} has "
            f"{length} timesteps"
        )
    given = Presence(presence) if presence else Presence.SEQUENCE
    return checked(Options(layout, length, Kind(kind), given), x)


def repeats_inside(model: nn.Module) -> bool:
    """Whether a model that takes [B, ...] must make the time axis itself, as its modules need one."""
    return any(
        isinstance(module, DirectEncoder) or (is_neuron(module) and takes_trains(module))
        for module in model.modules()
    )


def repeating_inside(model: nn.Module, chosen: Options, problem: RepeatsInput) -> Options | None:
    """*chosen* for a model that repeats its input over time itself, if *problem* may come from that."""
    if chosen.timesteps < 2 or chosen.presence is not Presence.CONSTANT or chosen.repeats_inside:
        return None
    stateful = any(keeps_state(m, path) for path, m in model.named_modules() if is_neuron(m))
    if stateful and not isinstance(problem, LoopsOverTime):
        return None
    return replace(chosen, repeats_inside=True)


def check_choice(what: str, value: object, known: list[str]) -> None:
    if value not in known:
        raise BadInput(f"{what} must be one of {', '.join(known)}, not {value!r}")


def checked(chosen: Options, x: Tensor) -> Options:
    """Raise `BadInput` where the numbers of *x* do not fit the kind of the input."""
    if x.ndim < 2:
        raise BadInput(f"the example needs a batch axis and at least one more, not shape {tuple(x.shape)}")
    if chosen.has_time and chosen.presence is not Presence.SEQUENCE:
        raise BadInput(
            f"presence={str(chosen.presence)!r} needs layout='B'; with {chosen.layout!r} data is a sequence"
        )
    if chosen.repeats_inside and chosen.presence is not Presence.CONSTANT:
        raise BadInput(
            f"presence={str(chosen.presence)!r} does not fit a model that repeats its input itself"
        )
    if chosen.kind is not Kind.ANALOG:
        wrong = (x < 0) | (x != torch.floor(x))
        if chosen.kind is Kind.SPIKE:
            wrong |= x > 1
        if bool(wrong.any()):
            allowed = "0 and 1" if chosen.kind is Kind.SPIKE else "whole numbers from 0"
            raise BadInput(
                f"input_kind={str(chosen.kind)!r} allows {allowed} only, not {float(x[wrong][0]):g}",
                hint="input_kind='analog' for real values",
            )
    return chosen


def example(x: Any) -> Tensor:
    """The user's example as a tensor on the CPU. Raises `BadInput`."""
    if isinstance(x, (tuple, list, dict)):
        raise BadInput(
            f"the example is a {type(x).__name__}; this front end takes models with one input tensor",
            hint="wrap the model so that it takes one tensor, for example the inputs side by side",
        )
    try:
        tensor = x if isinstance(x, Tensor) else torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise BadInput(f"the example is no tensor: {problem}") from None
    if tensor.is_meta:
        raise BadInput("the example is on the meta device and holds no numbers", hint="give real data")
    if not tensor.is_floating_point():
        raise BadInput(f"the example must be floating point, not {tensor.dtype}", hint="x.float()")
    if not tensor.numel():
        raise BadInput(f"the example is empty: shape {tuple(tensor.shape)}")
    tensor = tensor.detach().cpu()
    if wrong := int((~torch.isfinite(tensor)).sum()):
        raise BadInput(f"{wrong} of {tensor.numel()} numbers of the example are NaN or infinite")
    return tensor


def resized(x: Tensor, chosen: Options, samples: int, timesteps: int) -> Tensor:
    """*x* with other numbers of samples and timesteps; what is missing is the user's data, mirrored."""
    x = grown(x, chosen.samples_axis, samples)
    return grown(x, 1 - chosen.samples_axis, timesteps) if chosen.has_time else x


def grown(x: Tensor, axis: int, size: int) -> Tensor:
    """The first *size* entries of *x* along *axis*; beyond its end, those before, flipped."""
    while x.shape[axis] < size:
        x = torch.cat([x, x.flip(tuple(range(2, x.ndim)) if x.ndim > 2 else (1,))], axis)
    return x.narrow(axis, 0, size)
