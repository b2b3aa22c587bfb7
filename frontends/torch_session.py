"""One recording: a graph, and the numbers that PyTorch computed for its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.cells import prepare
from snncc.frontends.inline_cells import WAY_OUT, Unlike
from snncc.frontends.inline_neurons import Plan, planned
from snncc.frontends.observation import first_difference
from snncc.frontends.torch_build import Builder, Place
from snncc.frontends.torch_codes import ADDRESS_BITS, NODE_SHIFT, Grid, LoopsOverTime, Mixed, Signal, prod
from snncc.frontends.torch_frames import Frame
from snncc.frontends.torch_known import check_turns
from snncc.frontends.torch_neurons import patch
from snncc.frontends.torch_operations import HANDLERS
from snncc.frontends.torch_options import Options
from snncc.frontends.torch_parts import gated
from snncc.frontends.torch_record import Recorder
from snncc.frontends.torch_refusals import refuse
from snncc.frontends.torch_run import ModelFails, call_model_of_the_user, copied, named_outputs, unwrapped
from snncc.frontends.torch_sequences import patch_sequences
from snncc.ir import Array, Layout, Output, Over, SpikeGraph, wires


@dataclass(frozen=True, slots=True)
class Recording:
    """What one execution in float64 gave: *values* [T, B, *shape] by node, *outputs* in the graph's axes."""

    graph: SpikeGraph
    values: Mapping[str, Array]
    outputs: Mapping[str, Array]
    frames: Mapping[str, Frame]
    """How the tensors that the model returned hold the outputs."""
    notes: tuple[str, ...] = ()
    """Which neurons were recognized that are no modules."""


ENOUGH = 4
"""Calls of a model that takes one timestep after which all that a neuron without a module does was seen."""


def record(
    model: nn.Module, x: Tensor, options: Options, calls: int, *, keeps_values: bool = True
) -> Recording:
    """Run a copy of *model* in float64 on *x*, *calls* times for a model that takes one timestep.

    Where that fails, neurons without a module are looked for, and it is run again.
    """
    try:
        return recorded(model, x, options, calls, None, keeps_values=keeps_values)
    except ModelFails:
        raise
    except CannotTrace as problem:
        try:
            plan = plan_of(model, x, options, calls)
        except ModelFails:
            raise problem from None
        except Unlike as why:
            problem.add_note(why.message)
            raise problem from None
        except CannotTrace as refusal:
            refusal.hint = refusal.hint or WAY_OUT
            raise refusal from problem
        if plan is None:
            raise
        try:
            return recorded(model, x, options, calls, plan, keeps_values=keeps_values)
        except CannotTrace as other:
            raise other from problem


def plan_of(model: nn.Module, x: Tensor, options: Options, calls: int) -> Plan | None:
    """The neurons without a module in *model*; None where there are none.

    Raises `LoopsOverTime` where they are in a loop of a model that takes one timestep.
    """
    calls = max(calls, min(options.calls, ENOUGH))
    given = [options.at_call(x.double(), call) for call in range(calls)]
    grid = options.grid(given[0])
    plan = planned(prepared(model, grid), given, grid) if calls * grid.timesteps > 1 else None
    is_one_call = options.has_time or options.repeats_inside
    if plan is None and not is_one_call and options.timesteps > 1:
        inside = Grid(options.timesteps, grid.samples)
        if planned(prepared(model, inside), given[:1], inside) is not None:
            raise LoopsOverTime("the model loops over time itself")
    return plan


def prepared(model: nn.Module, grid: Grid) -> nn.Module:
    """A copy of *model* in float64 for the samples and timesteps of *grid*."""
    twin = copied(model).double()
    prepare(twin, grid.samples, grid.timesteps)
    return twin


def recorded(
    model: nn.Module, x: Tensor, options: Options, calls: int, plan: Plan | None, *, keeps_values: bool
) -> Recording:
    """As `record`, with neurons without a module as *plan* has them."""
    grid = options.grid(options.at_call(x, 0))
    twin = prepared(model, grid)
    recorder = Recorder(Builder(grid, keeps_values), HANDLERS, refuse)
    recorder.watch(twin)
    patch(twin, recorder)
    patch_sequences(twin, recorder)
    if plan is not None:
        recorder.takes = plan.takes
    builders: list[Builder] = []
    tensors: list[dict[str, Tensor]] = []
    frames: dict[str, Frame] = {}
    for call in range(calls):
        builder = Builder(grid, keeps_values)
        recorder.next_call(builder)
        if plan is not None:
            plan.start(call)
        builders.append(builder)
        returned = run_once(recorder, twin, options.at_call(x.double(), call), options)
        check_turns(twin, recorder)
        if plan is not None:
            plan.check(returned)
        frames = {name: output(recorder, name, tensor) for name, tensor in returned.items()}
        tensors.append(returned)
    if plan is not None:
        plan.check_complete(calls * grid.timesteps)
    graph = builders[0].graph(type(unwrapped(model)).__name__, options.timesteps, Layout(options.layout))
    for call, builder in enumerate(builders[1:], 1):
        if difference := first_difference(graph, builder.graph(graph.name, graph.timesteps, graph.layout)):
            raise CannotTrace(
                f"{difference}: the model does something else in timestep {call} than in timestep 0",
                hint="what is compiled is the same in every timestep; only neurons keep a state",
            )
    values = {
        name: np.concatenate(
            [b.values[name].reshape(grid.timesteps, grid.samples, *v.shape[1:]) for b in builders]
        )
        for name, v in builders[0].values.items()
        if all(name in b.values for b in builders)
    }
    notes = () if plan is None else plan.notes
    return Recording(graph, values, output_values(graph, frames, tensors, options, grid), frames, notes)


def output_values(
    graph: SpikeGraph,
    frames: Mapping[str, Frame],
    tensors: Sequence[Mapping[str, Tensor]],
    options: Options,
    grid: Grid,
) -> dict[str, Array]:
    """What the model returned in each call, [T, B, *shape] or, reduced over time, [B, *shape]."""
    values = {}
    for node in graph.outputs:
        frame = frames[node.name]
        if node.over is Over.SEQUENCE and len(frame.rows) != grid.rows:
            continue
        taken = [frame.values(returned[node.name].double()) for returned in tensors]
        if node.over is Over.SEQUENCE:
            taken = [v.reshape(grid.timesteps, grid.samples, *frame.shape) for v in taken]
        values[node.name] = np.concatenate(taken)
    return values


def run_once(recorder: Recorder, model: nn.Module, x: Tensor, options: Options) -> dict[str, Tensor]:
    """One call of the model: its nodes go to the builder, its outputs come back."""
    builder = recorder.builder
    shape = options.shape(x)
    rows = options.rows(x).reshape(-1)[:, None] << ADDRESS_BITS
    node = builder.input(shape, options.kind, options.presence)
    codes = (builder.number[node] << NODE_SHIFT) | rows | torch.arange(prod(shape))
    recorder.signals[x] = Signal(codes.reshape(x.shape), options.over)
    if builder.keeps_values:
        times = options.timesteps if options.repeats_inside else 1
        builder.values[node] = np.concatenate([options.swapped(x).reshape(-1, *shape).numpy()] * times)
    with recorder:
        out = call_model_of_the_user(model, x)
    return named_outputs(out)


def output(recorder: Recorder, name: str, tensor: Tensor) -> Frame:
    """Add an output node; return how *tensor* holds its numbers."""
    builder, place = recorder.builder, Place()
    signal = recorder.signal(tensor)
    if signal is None and (state := recorder.state(tensor)):
        raise CannotTrace(
            f"{name}: this output of the model is {state.name}, a state of {state.path} that no neuron sends",
            hint="return the spikes alone",
        )
    if signal is None:
        raise CannotTrace(f"{name}: nothing of the input reaches this output of the model")
    try:
        layout, frame = recorder.layout(signal)
        if name in builder.edges:
            raise Mixed(
                f"has the name {name!r}, as a module or another node has", "rename the key or the module"
            )
        is_last = signal.over is None and len(frame.rows) < builder.grid.rows
        if is_last and int(frame.rows[0]) // builder.grid.samples != builder.grid.timesteps - 1:
            times = torch.unique(frame.rows // builder.grid.samples)
            signal, is_last = gated(recorder, place, signal.codes, times, Over.SUM), False
            layout, frame = recorder.layout(signal)
        source = builder.wire(np.asarray(layout.cells.numpy()).reshape(layout.data_shape or (1,)), place)
        over = signal.over or (Over.LAST if is_last else Over.SEQUENCE)
        builder.add(Output(name=name, inputs=wires(source), over=over))
    except Mixed as problem:
        raise problem.at(f"{name}: the output of the model") from None
    return replace(frame, shape=frame.shape or (1,))
