"""Neurons without a module in a recording: what they do is recognized, and their operations become one node.

Where a recording fails, the model is run again on a tape. What is found there is recognized by its behavior
as a module would be; in the next recording its operations are not followed one by one: what leaves them is
what the neuron sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakTensorKeyDictionary

from snncc.errors import CannotTrace
from snncc.frontends.behavior import Recognized
from snncc.frontends.inline_cells import WAY_OUT, Code, code_of
from snncc.frontends.inline_code import Slot
from snncc.frontends.inline_find import Folded, neurons
from snncc.frontends.inline_recognize import Asked, answered
from snncc.frontends.inline_tape import LIKE, Key, Tape, key_of
from snncc.frontends.torch_codes import ADDRESS_BITS, ROW, Grid, Mixed
from snncc.frontends.torch_frames import Frame
from snncc.frontends.torch_parameters import parameters_of
from snncc.frontends.torch_record import Call, Recorder
from snncc.frontends.torch_run import call_model_of_the_user
from snncc.ir import Affine, Array, Neuron, Over, Wire, wires


@dataclass(slots=True, eq=False)
class Inline:
    """One neuron while a recording goes on: its *node*, and what is known of the wires into it."""

    code: Code
    recognized: Recognized
    node: str = ""
    wires: dict[int, Wire] = field(default_factory=dict)
    """By the number of the input."""
    silent: dict[int, list[Tensor]] = field(default_factory=dict)
    """What inputs were before they depended on the input of the model."""

    @property
    def said(self) -> str:
        """The neuron as a refusal names it."""
        return self.code.said


@dataclass(frozen=True, slots=True)
class Action:
    """What an operation is to the neuron that it belongs to, in timestep *time*."""

    neuron: Inline
    time: int
    reads: tuple[tuple[int, int], ...]
    """Which of its tensor arguments are which input."""
    is_exit: bool


class Plan:
    """The neurons without a module in one recording, by the operations that are theirs."""

    def __init__(self, codes: Iterable[Code], folded: Folded) -> None:
        self.actions: dict[tuple[Key, int], Action | None] = {}
        """None: it reads what is inside of a neuron, and nothing of it leaves the model."""
        self.keys: set[Key] = set()
        self.count: Counter[Key] = Counter()
        self.hidden: Any = WeakTensorKeyDictionary()
        self.neurons: list[Inline] = []
        self.first = 0
        """The timestep of the first row of the recording."""
        turn = {k: n for same in folded.by_key.values() for n, k in enumerate(same)}
        inner: set[int] = set()
        for code in codes:
            asked = Asked(code.module.digest(code.shape[1:]), str(code.place), code.module, code.shape[1:])
            one = Inline(code, answered(asked))
            self.neurons.append(one)
            for time, step in enumerate(code.found.steps):
                for k in step:
                    entry = folded.entries[k]
                    self.keys.add(entry.key)
                    action = action_of(one, time, folded, k)
                    self.actions[entry.key, turn[k]] = action
                    inner.update(() if action.is_exit else entry.outs)
        for k, entry in enumerate(folded.entries):
            if k not in folded.live and not inner.isdisjoint(entry.reads):
                self.keys.add(entry.key)
                self.actions.setdefault((entry.key, turn[k]), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was recognized, and on what evidence."""
        return tuple(str(one.recognized) for one in self.neurons)

    def takes(self, call: Call, name: str) -> bool:
        """Whether an operation is a part of a neuron, or only handles what is inside of one."""
        key = key_of(call.recorder, name)
        outs = [out for out in tree_iter(call.out) if isinstance(out, Tensor)]
        if key in self.keys:
            turn = self.count[key]
            self.count[key] += 1
            if (key, turn) in self.actions:
                self.act(self.actions[key, turn], call, outs)
                return True
        inside = [
            self.hidden[v]
            for v in tree_iter((call.args, call.kwargs))
            if isinstance(v, Tensor) and v in self.hidden
        ]
        if not inside or name in LIKE:
            return False
        if call.func._schema.is_mutable:
            raise CannotTrace(f"{call.place}: {name} writes {inside[0]}", hint=WAY_OUT)
        self.hidden.update((out, inside[0]) for out in outs)
        return True

    def act(self, action: Action | None, call: Call, outs: list[Tensor]) -> None:
        """Follow one operation of a neuron."""
        if action is None:
            return
        recorder, one = call.recorder, action.neuron
        tensors = [leaf for leaf in tree_iter((call.args, call.kwargs)) if isinstance(leaf, Tensor)]
        try:
            for position, slot in action.reads:
                read(recorder, one, action.time - self.first, slot, tensors[position])
            for out in outs:
                if not action.is_exit:
                    self.hidden[out] = f"what is inside of {one.said}"
                    continue
                self.hidden.pop(out, None)
                emit(recorder, one, action.time - self.first, out)
        except Mixed as problem:
            raise problem.at(f"{one.said}:") from None

    def start(self, call: int) -> None:
        """The model is about to be called, for timestep *call* where it takes one timestep a call."""
        self.first = call
        for one in self.neurons:
            one.node, one.wires, one.silent = "", {}, {}

    def check(self, returned: Mapping[str, Tensor]) -> None:
        """Raise `CannotTrace` where a call of the model returned what is inside of a neuron."""
        for name, tensor in returned.items():
            if tensor in self.hidden:
                raise CannotTrace(
                    f"{name}: this output of the model is {self.hidden[tensor]}",
                    hint="return the spikes alone",
                )
        for one in self.neurons:
            if len(one.wires) < one.code.module.inputs:
                raise CannotTrace(
                    f"{one.said}: receives constants, nothing of the input reaches it",
                    hint="leave it out, or feed it with what depends on the input",
                )

    def check_complete(self, timesteps: int) -> None:
        """Raise `CannotTrace` where the model did not do in all *timesteps* what it did on the tape."""
        for (key, turn), action in self.actions.items():
            if action is not None and self.count[key] <= turn and action.time < timesteps:
                raise CannotTrace(
                    f"{action.neuron.said}: the model does something else when it is run again",
                    hint="what is compiled must be deterministic",
                )


def action_of(one: Inline, time: int, folded: Folded, k: int) -> Action:
    """What operation *k* of the tape is to the neuron *one*."""
    entry, last = folded.entries[k], one.code.found.steps[-1]
    positions = {folded.entries[n].key: position for position, n in enumerate(last)}
    position = positions[entry.key]
    cut = one.code.cuts[time]
    leaves = cut.leaves(position)
    reads = tuple((n, leaf.number) for n, leaf in enumerate(leaves) if isinstance(leaf, Slot))
    return Action(one, time, reads, position == one.code.module.exit_at)


def step_frame(grid: Grid, tensor: Tensor, time: int, over: Over | None = None) -> Frame:
    """How a tensor [B, ...] of timestep *time* holds a signal."""
    samples = grid.samples
    places = torch.arange(tensor.numel()).reshape(samples, -1)
    return Frame(places, torch.arange(samples) + time * samples, tuple(tensor.shape[1:]) or (1,), over)


def read(recorder: Recorder, one: Inline, time: int, slot: int, tensor: Tensor) -> None:
    """Let *tensor* enter the neuron *one* in timestep *time*."""
    signal, ahead, place = recorder.signal(tensor), one.code.module.ahead, one.code.place
    if signal is None:
        if slot in one.wires:
            raise Mixed(f"is given a constant in timestep {time}, and a signal before")
        one.silent.setdefault(slot, []).append(tensor.detach().clone())
        return
    is_constant = signal.over is Over.LAST
    first = time if is_constant else first_time(signal.codes, recorder.grid)
    if first > time:
        raise Mixed(f"reads timestep {first} of its input in timestep {time}", "loop forwards in time")
    frame = step_frame(recorder.grid, tensor, 0 if is_constant else first, Over.LAST if is_constant else None)
    source = gained(recorder, one, recorder.source(signal, frame, tensor.shape, place))
    silent = one.silent.get(slot, [])
    known = one.wires.setdefault(slot, Wire(source, ahead + time - first, initial(one, silent, frame)))
    if (known.source, known.delay) != (source, ahead + time - first) or len(silent) > time - first:
        raise Mixed(
            f"reads {source} of timestep {first} in timestep {time}, which it did not do in other timesteps",
            "a loop reads each timestep of its input once, in order",
        )
    if one.node:
        recorder.builder.feed_back(one.node, known)


def first_time(codes: Tensor, grid: Grid) -> int:
    """The timestep that *codes* hold."""
    return int(((codes & ROW) >> ADDRESS_BITS).max()) // grid.samples


def initial(one: Inline, silent: list[Tensor], frame: Frame) -> Array | None:
    """What arrives before the first timestep of an input, which is what the loop was given then."""
    if not any(bool(tensor.any()) for tensor in silent):
        return None
    if one.code.module.ahead or any(not torch.equal(tensor, silent[0]) for tensor in silent):
        raise Mixed("is given several constants before its input arrives", "start with zeros")
    like = silent[0].shape
    _, gain = parameters_of(dict(one.recognized.description), frame, like, one.code.place)
    return np.asarray(frame.constant(silent[0], like) * gain)


def emit(recorder: Recorder, one: Inline, time: int, out: Tensor) -> None:
    """Let *out* be what the neuron *one* sends in timestep *time*."""
    builder, place = recorder.builder, one.code.place
    frame = step_frame(recorder.grid, out, time)
    if not one.node:
        parameters, _ = parameters_of(dict(one.recognized.description), frame, out.shape, place)
        name = builder.name(place, "neuron")
        node = Neuron(name=name, inputs=tuple(one.wires.values()), origin=str(place), parameters=parameters)
        one.node = builder.add(node) if node.inputs else builder.reserve(node, frame.shape)
    recorder.is_writing = False
    recorder.emit(out, frame, one.node, place)


def gained(recorder: Recorder, one: Inline, source: str) -> str:
    """*source* times the factor on the input."""
    place = one.code.place
    frame = step_frame(recorder.grid, torch.empty(one.code.shape), 0)
    _, gain = parameters_of(dict(one.recognized.description), frame, torch.Size(one.code.shape), place)
    if not np.any(gain != 1):
        return source
    name = recorder.builder.name(place, "input_gain", is_main=False)
    return recorder.builder.add(Affine(name=name, inputs=wires(source), origin=str(place), gain=gain))


def planned(model: nn.Module, given: Sequence[Tensor], grid: Grid) -> Plan | None:
    """The neurons without a module in *model* (a copy), which takes *given* in one call after the other.

    None where there are none. Raises `CannotTrace` for one that is no member of the one neuron's family.
    """
    tape = Tape(grid)
    tape.watch(model)
    tape.opaque(model)
    returned: list[Tensor] = []
    for x in given:
        tape.depends.add(tape.value(x))
        with tape:
            out = call_model_of_the_user(model, x)
        returned += [leaf for leaf in tree_iter(out) if isinstance(leaf, Tensor)]
    folded = Folded(tape, [tape.value(x) for x in given], [tape.value(tensor) for tensor in returned])
    found = neurons(folded, len(given) if len(given) > 1 else grid.timesteps)
    codes = [code_of(folded, one, grid.samples) for one in found]
    for code in codes if len(given) > 1 else []:
        if any(bool(value.any()) for value in code.module.initial.values()):
            raise CannotTrace(
                f"{code.said}: is found with a state that an earlier call may have left",
                hint="reset it before it is traced or saved",
            )
    return Plan(codes, folded) if codes else None
