"""Neuron modules: leaves of the recording, which become one neuron node each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.cells import Call, Cell, Result, Time, values
from snncc.frontends.defects import ours
from snncc.frontends.torch_build import Place, alike
from snncc.frontends.torch_codes import LoopsOverTime, Mixed, Signal, unrolled
from snncc.frontends.torch_frames import Frame
from snncc.frontends.torch_known import (
    TURN_HINT,
    check_held,
    check_squeezed,
    check_time,
    description,
    is_neuron,
    keeps_state,
    known_cell,
    takes_trains,
)
from snncc.frontends.torch_parameters import parameters_of
from snncc.frontends.torch_record import Recorder, State
from snncc.ir import (
    Affine,
    Array,
    Neuron,
    Over,
    Wire,
    wires,
)
from snncc.nn import DirectEncoder
from snncc.nn import Neuron as NeuronModule

STATE_WAY_OUT = "hand every neuron the state that it returned in the timestep before, and no other"


def patch(model: nn.Module, recorder: Recorder) -> None:
    """Make every neuron in *model* (a copy) a leaf of *recorder*."""
    for path, module in model.named_modules():
        if isinstance(module, DirectEncoder):
            patch_encoder(module, recorder)
        elif is_neuron(module):
            patch_one(module, path or type(module).__name__.lower(), recorder)


def patch_one(module: nn.Module, path: str, recorder: Recorder) -> None:
    original = module.forward
    cell = known_cell(module)

    def forward(*args: Any, **kwargs: Any) -> Any:
        place = recorder.place()
        place = Place(path, True, place.line)
        call = cell.call(module, args, kwargs)
        if cell.time(module) is Time.SQUEEZED:
            check_squeezed(recorder, call.x, place)
        check_held(recorder, module, cell, call, place)
        with recorder.leaf():
            out = original(*args, **kwargs)
        if recorder.inside_leaf:
            return out
        if (layer := cell.before(module)) is not None:
            with torch.no_grad():
                call = replace(call, x=layer(call.x))
        use = Use(recorder, module, cell, call, cell.result(module, out), place)
        with ours(place, "this neuron"):
            with recorder.leaf(), torch.no_grad():
                names = use.fire()
            use.feed_back(names)
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


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a neuron module: *call* is what it was given, *result* what it returned."""

    recorder: Recorder
    module: nn.Module
    cell: Cell
    call: Call
    result: Result
    place: Place

    @property
    def count(self) -> int:
        """How often the module was called before."""
        return self.recorder.uses.get(self.place.path, 0)

    @property
    def turn(self) -> int:
        """How often the module was called before in this call of the model."""
        return self.recorder.turns.get(self.place.path, 0)

    def fire(self) -> list[str]:
        """Add the neuron node, and nodes for the states that may be read; return their names."""
        recorder, place, x, out = self.recorder, self.place, self.call.x, self.result.out
        signal = recorder.signal(x)
        if signal is None:
            raise CannotTrace(
                f"{place}: this neuron receives constants only, nothing of the input reaches it"
            )
        if not isinstance(out, Tensor) or out.shape != x.shape:
            raise CannotTrace(
                f"{place}: a neuron must return one tensor of the shape of its input, {tuple(x.shape)}",
                hint="return the spikes alone; keep the potential as an attribute",
            )
        found = description(self.module, str(place)) | self.started()
        if found.get("reset_at", "same") != "same" and np.any(found.get("v_init", -np.inf) > found["theta"]):
            raise CannotTrace(
                f"{place}: starts above its threshold and is reset in the first timestep",
                hint="start below the threshold",
            )
        try:
            frame = self.frame(signal)
            is_constant = signal.over is Over.LAST and frame.over is None
            source = recorder.source(signal, constant_frame(frame) if is_constant else frame, x.shape, place)
            names = [self.node(found, source, frame, "neuron")]
            recorder.emit(out, frame, names[0], place)
            for state, parameters in self.cell.reads(self.module).items():
                if state in self.result.states and self.result.states[state].shape == out.shape:
                    twin = self.node({**parameters, **self.started(state)}, source, frame, state)
                    recorder.emit(self.result.states[state], frame, twin, place)
                    names.append(twin)
        except Mixed as problem:
            raise problem.at(f"{place}: this neuron") from None
        for state, tensor in self.result.states.items():
            recorder.states[tensor] = State(place.path, state, self.count)
        recorder.uses[place.path] = self.count + 1
        recorder.turns[place.path] = self.turn + 1
        return names

    def frame(self, signal: Signal) -> Frame:
        """How the input holds one signal. Raises where a state would not see each timestep once."""
        recorder, grid = self.recorder, self.recorder.grid
        has_state = keeps_state(self.module, str(self.place))
        is_fresh = takes_trains(self.module) and (self.cell.forgets or isinstance(self.module, NeuronModule))
        if has_state and self.turn and not is_fresh and (takes_trains(self.module) or grid.timesteps == 1):
            raise LoopsOverTime(
                f"{self.place}: this neuron keeps a state and is used twice in one timestep, or in a loop "
                "over time",
                hint=TURN_HINT,
            )
        if signal.over not in (None, Over.LAST):
            raise Mixed("fires after a reduction over time", "reduce over time after the last neuron")
        if has_state:
            check_time(recorder, self.cell.time(self.module), signal)
        frame = recorder.frame(signal)
        if has_state and len(frame.rows) != grid.rows:
            return self.turned(frame)
        return frame

    def turned(self, frame: Frame) -> Frame:
        """The frame of a neuron in a loop of the model, whose turn must be the timestep of its input."""
        samples = self.recorder.grid.samples
        if takes_trains(self.module):
            raise Mixed("keeps a state, but does not see every timestep of its input")
        if self.turn >= self.recorder.grid.timesteps:
            raise Mixed(
                f"is called for more than {self.recorder.grid.timesteps} timesteps in a loop of the model",
                "timesteps=T, the number of timesteps of that loop",
            )
        if frame.over is None and int(frame.rows[0]) // samples != self.turn:
            raise Mixed(
                "keeps a state and is used twice in one timestep, or out of turn: it is given timestep "
                f"{int(frame.rows[0]) // samples} of its input in its call number {self.turn + 1}",
                TURN_HINT,
            )
        return Frame(frame.places, torch.arange(samples) + self.turn * samples, frame.shape)

    def started(self, twin: str = "") -> dict[str, Any]:
        """Initial values from the states that the call was given, which must be the module's own.

        They are those of the neuron itself, or of the one that computes its state *twin*.
        """
        first = self.recorder.started.setdefault(self.place.path, {})
        for name, tensor in self.call.states.items():
            state = self.recorder.state(tensor)
            if state is None and self.count == 0:
                first.update(self.constant_state(name, tensor))
            elif state != State(self.place.path, name, self.count - 1):
                is_data = self.recorder.signal(tensor) is not None
                what = "data" if is_data else "a constant"
                what = f"the {state.name} of {state.path}" if state else what
                raise CannotTrace(
                    f"{self.place}: is given {what} as its {name}, in its call number {self.count + 1}",
                    hint=STATE_WAY_OUT,
                )
        is_anew = self.cell.forgets and not self.call.states and not takes_trains(self.module)
        if is_anew and self.count:
            raise CannotTrace(
                f"{self.place}: is called again without its state, and starts anew", hint=STATE_WAY_OUT
            )
        if self.cell.initial.get(twin) == "i_init":
            return {"v_init": first["i_init"]} if "i_init" in first else {}
        return first

    def constant_state(self, name: str, tensor: Tensor) -> dict[str, Any]:
        """The parameter that a constant state before the first timestep becomes."""
        if self.recorder.signal(tensor) is not None:
            raise CannotTrace(f"{self.place}: is given data as its {name}", hint=STATE_WAY_OUT)
        if tensor.ndim == 0:
            tensor = tensor.reshape(1)
        if bool((tensor == 0).all()) and name not in self.cell.initial:
            return {}
        if name not in self.cell.initial or bool((tensor != tensor[:1]).any()):
            raise CannotTrace(
                f"{self.place}: starts with a {name} that is not the same for all samples, or not zero",
                hint="start with zeros",
            )
        return {self.cell.initial[name]: values(tensor[0])}

    def node(self, found: dict[str, Any], source: str, frame: Frame, operation: str) -> str:
        """Add a neuron node with the parameters *found*."""
        builder, place = self.recorder.builder, self.place
        parameters, gain = parameters_of(found, frame, self.call.x.shape, place)
        is_main = operation == "neuron"
        source = self.gained(source, gain)
        name = builder.name(place, operation, is_main=is_main)
        node = Neuron(name=name, inputs=wires(source), origin=str(place), parameters=parameters)
        key, known = (place.path, operation), self.recorder.looped
        if not self.is_in_loop or key not in known:
            known[key] = builder.add(node)
            return known[key]
        first = builder.nodes[builder.number[known[key]] - 1]
        if not alike(
            replace(first, inputs=first.inputs[:1], name="", origin=""), replace(node, name="", origin="")
        ):
            raise Mixed(f"is another one in timestep {self.turn} of a loop than in timestep 0", TURN_HINT)
        return first.name

    def gained(self, source: str, gain: Array) -> str:
        """*source* times the factor on the input."""
        if not np.any(gain != 1):
            return source
        name = self.recorder.builder.name(self.place, "input_gain", is_main=False)
        node = Affine(name=name, inputs=wires(source), origin=str(self.place), gain=gain)
        return self.recorder.builder.add(node)

    @property
    def is_in_loop(self) -> bool:
        """Whether this call is a later timestep of a loop of the model's own."""
        is_looped = self.turn > 0 and self.recorder.grid.timesteps > 1 and not takes_trains(self.module)
        return is_looped and keeps_state(self.module, str(self.place))

    def feed_back(self, names: Sequence[str]) -> None:
        """Lead the spikes of the module back into its nodes *names*, as it does in the next timestep."""
        recurrence = self.cell.recurrence(self.module)
        if recurrence is None:
            return
        recorder, out = self.recorder, self.result.out
        with torch.no_grad():
            sent = out.flatten(0, 1) if takes_trains(self.module) else out
            fed = recurrence.module(sent)
        if fed.numel() != out.numel():
            raise CannotTrace(f"{self.place}: what it feeds back to itself has not the shape of its input")
        frame = recorder.frame(recorder.signals[out])
        fed = fed.reshape(out.shape)
        signal = recorder.signal(fed)
        if signal is None:
            raise CannotTrace(f"{self.place}: feeds back to itself what does not depend on its spikes")
        with recorder.leaf(), torch.no_grad():
            wire = recorder.source(signal, frame, out.shape, self.place)
            _, gain = parameters_of(description(self.module, str(self.place)), frame, out.shape, self.place)
            wire = self.gained(wire, gain)
            before = recurrence.module(torch.zeros_like(out)) if recurrence.starts else None
        initial = None
        if before is not None and bool(before.any()):
            initial = np.asarray(frame.constant(before, out.shape) * gain)
        for name in names:
            recorder.builder.feed_back(name, Wire(wire, 1, initial))


def constant_frame(frame: Frame) -> Frame:
    """The frame of an input without a time axis that a neuron takes in one timestep of a loop."""
    return Frame(frame.places, torch.arange(len(frame.rows)), frame.shape, Over.LAST)
