"""From a `torch.nn.Module` to a spike graph, by recording one concrete execution of a copy.

What is recorded are aten operations, at which modules, functions, methods and operators look alike; what an
axis of a tensor holds is followed number by number (`snncc.frontends.torch_codes`), never guessed. The
recording is repeated with other numbers of samples and timesteps and must give the same graph, and the
graph must compute what PyTorch computed in float64.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from snncc.errors import BadInput, CannotTrace
from snncc.frontends.behavior_models import with_recognized
from snncc.frontends.cells import prepare
from snncc.frontends.observation import first_difference
from snncc.frontends.torch_check import check
from snncc.frontends.torch_codes import RepeatsInput
from snncc.frontends.torch_observe import observe
from snncc.frontends.torch_options import Options, example, options, repeating_inside, resized
from snncc.frontends.torch_parts import is_timed
from snncc.frontends.torch_record import Recorder
from snncc.frontends.torch_run import ModelFails, call_model_of_the_user, copied, untouched
from snncc.frontends.torch_session import Recording, record
from snncc.ir import SpikeGraph

SAMPLES = 2
TIMESTEPS = 4
MOST_TIMESTEPS = 1024
"""A longer train is not recorded only to say better what is refused."""


def trace(
    model: nn.Module,
    example_input: Any,
    timesteps: int | None = None,
    layout: str | None = None,
    *,
    input_kind: str = "analog",
    presence: str | None = None,
) -> SpikeGraph:
    """The spike graph of *model*, which stays as it is.

    *layout* is "B" (the model takes one timestep [B, ...] and is called *timesteps* times), "TB" or "BT".
    A model that takes [B, ...] but repeats it *timesteps* times itself has the layout "B", too.
    *input_kind* is "analog", "spike" or "count"; *presence* "sequence", "constant" (the same value in every
    timestep, the default for "B") or "first". Raises `BadInput` for arguments that do not fit and
    `CannotTrace` for a model that holds something without an image in the IR.
    """
    if not isinstance(model, nn.Module):
        raise BadInput(f"trace takes a torch.nn.Module, not a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise CannotTrace(
            f"{model.original_name} is a TorchScript module, which cannot be recorded",
            hint="trace the torch.nn.Module that it was made from",
        )
    x = example(example_input)
    with untouched():
        chosen = options(model, x, timesteps, layout, input_kind, presence)
        model, found = with_recognized(model, partial(resized, x, chosen), chosen)
        chosen = options(model, x, timesteps, layout, input_kind, presence)
        try:
            recording = recorded(model, x, chosen)
        except CannotTrace as problem:
            plain = problem.__cause__  # what was said before neurons without a module were looked for
            for one in (plain, problem):
                if isinstance(one, CannotTrace) and (refusal := found.explained(one)) is not one:
                    raise refusal from problem
            raise
        for refusal in found.left:
            raise refusal
        recording.graph.verify()
        check(recording, chosen)
    return replace(recording.graph, notes=(*found.notes, *recording.notes), seen=chosen.timesteps)


def recorded(model: nn.Module, x: Tensor, chosen: Options) -> Recording:
    """Record *model*, and compare with recordings of other numbers of samples and timesteps."""
    if not chosen.has_time:
        try:
            base = record_sized(model, x, chosen, SAMPLES, 1, calls=min(chosen.calls, TIMESTEPS))
        except RepeatsInput as problem:
            inside = repeating_inside(model, chosen, problem)
            if inside is None:
                raise
            chosen = inside
            base = record_sized(model, x, chosen, SAMPLES, 1)
        compare_with(base, model, x, chosen, SAMPLES + 1, 1)
        if chosen.calls > TIMESTEPS:
            # Each call is compared with the first: a model may count its timesteps.
            record(model, resized(x, chosen, 1, 1), chosen, chosen.calls, keeps_values=False)
        return base
    length = TIMESTEPS
    try:
        base = record_sized(model, x, chosen, SAMPLES, TIMESTEPS)
        compare_with(base, model, x, chosen, SAMPLES, TIMESTEPS - 1)
    except CannotTrace as problem:
        base, length = record_alone(model, x, chosen, problem), chosen.timesteps
    if chosen.timesteps > length:
        compare_with(base, model, x, chosen, SAMPLES, chosen.timesteps)
    compare_with(base, model, x, chosen, SAMPLES + 1, length)
    return base


def record_alone(model: nn.Module, x: Tensor, chosen: Options, problem: CannotTrace) -> Recording:
    """Record with the user's own number of timesteps, where others meet a *problem*.

    A model may be made for one number of timesteps, or take a part of them. What else is refused is said in
    the user's own timesteps.
    """
    if isinstance(problem, ModelFails):
        return record_sized(model, x, chosen, SAMPLES, chosen.timesteps)
    if chosen.timesteps <= MOST_TIMESTEPS:
        whole = record_sized(model, x, chosen, SAMPLES, chosen.timesteps)
        if is_timed(whole.graph):
            return whole
    raise problem


def record_sized(
    model: nn.Module, x: Tensor, chosen: Options, samples: int, timesteps: int, calls: int = 1
) -> Recording:
    """Record on *x* with other numbers of samples and timesteps."""
    try:
        return record(model, resized(x, chosen, samples, timesteps), chosen, calls)
    except ModelFails as problem:
        taken = {"B": "[B, ...]", "TB": "[T, B, ...]", "BT": "[B, T, ...]"}[chosen.layout]
        problem.add_note(
            f"it was called in the layout {chosen.layout}, which takes {taken}: is that the model's?"
        )
        have = x.shape[chosen.samples_axis]
        if have != samples and runs(model, x, chosen):
            problem.add_note(f"it runs with the {have} samples of the example: a batch size is hard-coded")
        raise


def runs(model: nn.Module, x: Tensor, chosen: Options) -> bool:
    """Whether the model itself takes *x*."""
    try:
        twin = copied(model).double()
        grid = chosen.grid(x)
        prepare(twin, grid.samples, grid.timesteps)
        with Recorder.silent():
            call_model_of_the_user(twin, x.double())
    except ModelFails:
        return False
    return True


def compare_with(
    base: Recording, model: nn.Module, x: Tensor, chosen: Options, samples: int, timesteps: int
) -> None:
    """Raise `CannotTrace` where a recording of other size, samples in reverse, gives another graph."""
    what = "samples" if samples != SAMPLES else "timesteps"
    sized = resized(x, chosen, samples, timesteps).flip(chosen.samples_axis)
    try:
        other = record(model, sized, chosen, 1, keeps_values=False)
    except ModelFails as problem:
        problem.add_note(f"it ran with another number of {what}: is one hard-coded?")
        raise
    if difference := first_difference(base.graph, other.graph):
        raise CannotTrace(
            f"{difference}: the model does something else for other data or another number of {what}",
            hint="look for a hard-coded batch size or number of timesteps, a loop over one of them, a branch "
            "on data, or a detour through NumPy",
        )


__all__ = ["observe", "trace"]
