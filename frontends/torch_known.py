"""What is known of neuron modules, and whether each of them sees its timesteps one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.cells import Call, Cell, Time, Unsupported, cell_of
from snncc.frontends.torch_build import Place
from snncc.frontends.torch_codes import ADDRESS_BITS, ROW, Mixed, Signal
from snncc.frontends.torch_parameters import ARRAYS, ENUMS, EXTRA, PLAIN
from snncc.frontends.torch_record import Recorder, State
from snncc.ir import Over

STATE_HINT = (
    "set step_mode='m' (snncc.nn.set_step_mode), or trace one timestep with layout='B' and timesteps=T"
)
TURN_HINT = (
    "give each use a neuron of its own; a loop over time calls each neuron once for each timestep, in order"
)
SQUEEZED_HINT = (
    "put sinabs.layers.FlattenTime before the model and UnflattenTime behind it, and trace with layout='BT'"
)
TRAIN_HINT = (
    "repeat the input over time in the model, set step_mode='s' (snncc.nn.set_step_mode), or trace with "
    "layout='TB' ('BT' where the module takes [B, T, ...])"
)


def is_neuron(module: nn.Module) -> bool:
    """Whether *module* becomes a neuron node."""
    return cell_of(module) is not None


def known_cell(module: nn.Module) -> Cell:
    """The cell of a *module* that is a neuron."""
    cell = cell_of(module)
    assert cell is not None
    return cell


def description(module: nn.Module, where: str) -> dict[str, Any]:
    """What *module* says of itself, checked for unknown words."""
    try:
        found = known_cell(module).describe(module)
    except Unsupported as problem:
        raise CannotTrace(f"{where}: {problem}", hint=problem.hint) from None
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
    if known_cell(module).recurrence(module) is not None:
        return True
    if found.get("stateless", False):
        return False
    has_leak = np.any(np.asarray(found.get("leak", 1.0)) != 0)
    has_current = np.any(np.asarray(found.get("leak_i", 0.0)) != 0)
    return bool(has_leak or has_current or found.get("refractory", 0))


def takes_trains(module: nn.Module) -> bool:
    """Whether *module* takes all timesteps in one call."""
    return known_cell(module).time(module) is not Time.STEP


def check_squeezed(recorder: Recorder, x: Tensor, place: Place) -> None:
    """Raise `CannotTrace` unless the first axis of *x* can hold samples and timesteps."""
    grid = recorder.grid
    if not recorder.inside_leaf and x.shape[0] != grid.rows:
        raise CannotTrace(
            f"{place}: takes {Time.SQUEEZED}, and its first axis has {x.shape[0]} entries for {grid.samples} "
            f"samples and {grid.timesteps} timesteps",
            hint=SQUEEZED_HINT,
        )


def check_held(recorder: Recorder, module: nn.Module, cell: Cell, call: Call, place: Place) -> None:
    """Raise `CannotTrace` where a state that *module* holds is no longer what its last call left."""
    count = recorder.uses.get(place.path, 0)
    if recorder.inside_leaf or not count:
        return
    for name, tensor in cell.holds(module).items():
        if name not in call.states and recorder.state(tensor) != State(place.path, name, count - 1):
            raise CannotTrace(
                f"{place}: its {name} is reset or changed before its call number {count + 1}",
                hint="reset before the first timestep only",
            )


def check_turns(model: nn.Module, recorder: Recorder) -> None:
    """Raise `CannotTrace` where a loop of the *model* did not reach all timesteps."""
    timesteps = recorder.grid.timesteps
    for path, module in model.named_modules():
        turns = recorder.turns.get(path or type(module).__name__.lower(), timesteps)
        if is_neuron(module) and not takes_trains(module) and keeps_state(module) and turns < timesteps:
            raise CannotTrace(
                f"{path}: is called for {turns} timesteps in a loop of the model, of {timesteps}",
                hint=f"timesteps={turns}, and data of as many timesteps",
            )


def check_time(recorder: Recorder, time: Time, signal: Signal) -> None:
    """Raise `Mixed` unless a neuron with a state sees its timesteps one after another."""
    grid = recorder.grid
    rows = (signal.codes & ROW) >> ADDRESS_BITS
    if time is Time.STEP:
        if len(torch.unique(rows // grid.samples)) > 1:
            raise Mixed(
                "keeps a state and is in single-step mode, but receives all timesteps at once", STATE_HINT
            )
        return
    if signal.over is Over.LAST:
        raise Mixed(
            f"takes {time}, all timesteps at once, but its input has no time axis",
            TRAIN_HINT,
        )
    times = (
        rows if time is not Time.SQUEEZED else rows.reshape(grid.samples, -1, *rows.shape[1:])
    ) // grid.samples
    if time is not Time.TRAIN:
        times = times.transpose(0, 1)
    wanted = torch.arange(grid.timesteps).reshape(-1, *[1] * (times.ndim - 1))
    if times.shape[0] != grid.timesteps or not torch.equal(times, wanted.expand_as(times)):
        raise Mixed(
            f"takes {time}, all timesteps at once, but its axes do not hold them in that order",
            "check the argument layout, or permute before the neuron",
        )
