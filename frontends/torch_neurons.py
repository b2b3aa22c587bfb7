"""Neuron modules: leaves of the recording, which become one neuron node each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace, InvalidGraph
from snncc.frontends.neurons import registered
from snncc.frontends.torch_build import Place
from snncc.frontends.torch_codes import ADDRESS_BITS, ROW, Mixed, Signal, unrolled
from snncc.frontends.torch_frames import Frame
from snncc.frontends.torch_record import Recorder
from snncc.ir import (
    Affine,
    Array,
    Emit,
    Neuron,
    NeuronParameters,
    Order,
    Over,
    Rectifier,
    Reset,
    ResetAt,
    wires,
)
from snncc.ir.arrays import squeezed
from snncc.ir.verify import neuron_problems
from snncc.nn import DirectEncoder
from snncc.nn import Neuron as NeuronModule

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
STATE_HINT = (
    "set step_mode='m' (snncc.nn.set_step_mode), or trace one timestep with layout='B' and timesteps=T"
)


def is_neuron(module: nn.Module) -> bool:
    """Whether *module* becomes a neuron node."""
    return registered(module) is not None or isinstance(module, NeuronModule)


def description(module: nn.Module, where: str) -> dict[str, Any]:
    """What *module* says of itself, checked for unknown words."""
    describe = registered(module)
    try:
        found = describe(module) if describe else module.describe()  # type: ignore[operator]
    except Exception as problem:
        raise CannotTrace(f"{where}: cannot be described: {problem}") from problem
    if not isinstance(found, dict):
        raise CannotTrace(
            f"{where}: its description is a {type(found).__name__}, not a dict of parameters",
            hint="see snncc.register_neuron",
        )
    unknown = set(found) - {*ARRAYS, *ENUMS, *PLAIN, *EXTRA}
    if unknown:
        known = ", ".join(sorted({*ARRAYS, *ENUMS, *PLAIN, *EXTRA}))
        raise CannotTrace(f"{where}: its description has {sorted(unknown)[0]!r}, which is none of {known}")
    return dict(found)


def keeps_state(module: nn.Module, where: str = "a neuron") -> bool:
    """Whether anything of one timestep reaches the next in *module*."""
    found = description(module, where)
    if found.get("stateless", False):
        return False
    has_leak = np.any(np.asarray(found.get("leak", 1.0)) != 0)
    has_current = np.any(np.asarray(found.get("leak_i", 0.0)) != 0)
    return bool(has_leak or has_current or found.get("refractory", 0))


def is_multi_step(module: nn.Module) -> bool:
    """Whether *module* takes whole trains [T, B, ...]."""
    return getattr(module, "step_mode", "s") == "m"


def patch(model: nn.Module, recorder: Recorder) -> None:
    """Make every neuron in *model* (a copy) a leaf of *recorder*."""
    for path, module in model.named_modules():
        if isinstance(module, DirectEncoder):
            patch_encoder(module, recorder)
        elif is_neuron(module):
            patch_one(module, path or type(module).__name__.lower(), recorder)


def patch_one(module: nn.Module, path: str, recorder: Recorder) -> None:
    original = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        place = recorder.place()
        place = Place(path, True, place.line)
        with recorder.leaf():
            out = original(*args, **kwargs)
        if recorder.inside_leaf:
            return out
        x = args[0] if args else next(iter(kwargs.values()), None)
        with recorder.leaf(), torch.no_grad():
            fire(recorder, module, x, out, place, is_again=path in recorder.used)
        recorder.used.add(path)
        return out

    module.forward = forward


def patch_encoder(module: nn.Module, recorder: Recorder) -> None:
    original = module.forward

    def forward(x: Tensor) -> Tensor:
        place = recorder.place()
        with recorder.leaf():
            out: Tensor = original(x)
            signal = None if recorder.inside_leaf > 1 else recorder.signal(x)
            if signal is not None:
                codes, over = unrolled(signal.codes.expand(out.shape), signal.over, recorder.grid)
                recorder.set(out, Signal(codes, over), place)
        return out

    module.forward = forward


def fire(recorder: Recorder, module: nn.Module, x: Any, out: Any, place: Place, *, is_again: bool) -> None:
    """Add the neuron node of *module*, which made *out* of *x*."""
    signal = recorder.signal(x)
    if signal is None:
        raise CannotTrace(f"{place}: this neuron receives constants only, nothing of the input reaches it")
    if not isinstance(out, Tensor) or out.shape != x.shape:
        raise CannotTrace(
            f"{place}: a neuron must return one tensor of the shape of its input, {tuple(x.shape)}",
            hint="return the spikes alone; keep the potential as an attribute",
        )
    found = description(module, str(place))
    has_state = keeps_state(module, str(place))
    is_fresh = is_multi_step(module) and isinstance(module, NeuronModule)
    if has_state and is_again and not is_fresh:
        raise CannotTrace(
            f"{place}: this neuron keeps a state and is used twice in one timestep, or in a loop over time",
            hint="give each use a neuron of its own; in a loop over time, " + STATE_HINT,
        )
    try:
        if signal.over not in (None, Over.LAST):
            raise Mixed("fires after a reduction over time", "reduce over time after the last neuron")
        check_time(recorder, module, signal, has_state=has_state)
        frame = recorder.frame(signal)
        if has_state and len(frame.rows) != recorder.grid.rows:
            raise Mixed("keeps a state, but does not see every timestep of its input")
        source = recorder.source(signal, frame, x.shape, place)
        parameters, gain = parameters_of(found, frame, x.shape, place)
    except Mixed as problem:
        raise problem.at(f"{place}: this neuron") from None
    builder = recorder.builder
    if np.any(gain != 1):
        name = builder.name(place, "input_gain", is_main=False)
        source = builder.add(Affine(name=name, inputs=wires(source), origin=str(place), gain=gain))
    name = builder.name(place, "neuron")
    builder.add(Neuron(name=name, inputs=wires(source), origin=str(place), parameters=parameters))
    recorder.emit(out, frame, name, place)


def check_time(recorder: Recorder, module: nn.Module, signal: Signal, *, has_state: bool) -> None:
    """Raise `Mixed` unless a neuron with a state sees its timesteps one after another."""
    if not has_state:
        return
    grid = recorder.grid
    rows = (signal.codes & ROW) >> ADDRESS_BITS
    if not is_multi_step(module):
        times = torch.unique(rows // grid.samples)
        if len(times) > 1:
            raise Mixed(
                "keeps a state and is in single-step mode, but receives all timesteps at once", STATE_HINT
            )
        return
    if signal.over is Over.LAST:
        raise Mixed(
            "is in multi-step mode and takes [T, B, ...], but its input has no time axis",
            "repeat the input over time in the model, set step_mode='s' (snncc.nn.set_step_mode), or trace "
            "with layout='TB'",
        )
    times = rows // grid.samples
    wanted = torch.arange(grid.timesteps).reshape(-1, *[1] * (times.ndim - 1))
    if times.shape[0] != grid.timesteps or not torch.equal(times, wanted.expand_as(times)):
        raise Mixed(
            "is in multi-step mode and takes [T, B, ...], but its first axis does not hold the timesteps",
            "check the argument layout, or permute before the neuron",
        )


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
