"""Sums over a part of the timesteps: a gate, and what a loop adds up timestep by timestep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from snncc.frontends.torch_build import Builder, Place
from snncc.frontends.torch_codes import (
    ADDRESS,
    ADDRESS_BITS,
    CELL,
    CONSTANT,
    NODE_SHIFT,
    ROW,
    Grid,
    Mixed,
    Signal,
)
from snncc.frontends.torch_frames import PART_HINT, times_of
from snncc.frontends.torch_record import Recorder
from snncc.ir import Affine, Emit, Neuron, Over, SpikeGraph, wires


def gated(recorder: Recorder, place: Place, codes: Tensor, times: Tensor, over: Over) -> Signal:
    """What *codes* hold, reduced over *times* alone: at others it is multiplied by 0."""
    grid = recorder.grid
    signal = Signal(at_start(codes, grid), over)
    if len(times) == grid.timesteps:
        return signal
    frame = recorder.frame(signal)
    source = recorder.source(signal, frame, codes.shape, place)
    if over is Over.MAXIMUM and not recorder.builder.edges[source].is_events:
        raise Mixed(f"takes the maximum of {times_of(times * grid.samples, grid)} alone", PART_HINT)
    gain = np.zeros((grid.timesteps, *[1] * len(frame.shape)))
    gain[times.numpy()] = grid.timesteps / len(times) if over is Over.MEAN else 1.0
    name = recorder.builder.name(place, "part", is_main=False)
    gate = Affine(name=name, inputs=wires(source), origin=str(place), gain=gain, per_timestep=True)
    return Signal(frame.codes(recorder.builder.number[recorder.builder.add(gate)], codes.shape), over)


def without_start(recorder: Recorder, codes: Tensor, axes: Sequence[int], over: Over) -> Tensor:
    """*codes* without zeros that were put before the timesteps, where reducing over them changes nothing.

    A list that begins with the state before the first timestep (``rec = [mem]`` before a loop) has them.
    """
    is_constant = (codes >> NODE_SHIFT) == CONSTANT
    if not bool(is_constant.any()):
        return codes
    for axis in axes:
        held = all_along(is_constant, axis)
        if not bool(held.any()) or bool(held.all()):
            continue
        values = {recorder.builder.constants[int(k)] for k in torch.unique(codes[is_constant] & ADDRESS)}
        kept = codes.index_select(axis, torch.nonzero(~held).reshape(-1))
        owners = {int(k) for k in torch.unique(kept >> NODE_SHIFT)}
        starts_so = over is Over.MAXIMUM and all(rests(recorder.builder, k) for k in owners)
        if values != {0.0} or not (over is Over.SUM or starts_so):
            raise Mixed("reduces over constants beside the timesteps", "collect what the loop makes alone")
        return kept
    return codes


def all_along(table: Tensor, axis: int) -> Tensor:
    """At which positions of *axis* all of *table* is set."""
    return table.movedim(axis, 0).reshape(table.shape[axis], -1).all(1)


def rests(builder: Builder, number: int) -> bool:
    """Whether a node sends 0 in the first timestep, whatever comes: a neuron whose inputs are delayed."""
    node = builder.nodes[number - 1] if number else None
    if not isinstance(node, Neuron):
        return False
    p = node.parameters
    starts = (p.bias, p.v_init, p.i_init)
    is_free = p.clamp_low is None and p.clamp_high is None and p.emit is Emit.POTENTIAL
    return (
        is_free
        and not any(np.any(v) for v in starts)
        and all(w.delay and w.initial is None for w in node.inputs)
    )


def is_timed(graph: SpikeGraph) -> bool:
    """Whether *graph* is made for a number of timesteps."""
    return any(isinstance(node, Affine) and node.per_timestep for node in graph)


def accumulated(recorder: Recorder, place: Place, left: Signal, right: Signal) -> Signal | None:
    """What one node sends in some timesteps, added up as a loop does; None where it is no such sum."""
    grid = recorder.grid
    for one, other in ((left, right), (right, left)):
        time, held = time_of(other, grid), held_by(recorder, one)
        if time is None or held is None:
            continue
        times, cells = held
        if time not in times and torch.equal(cells, at_start(other.codes, grid)):
            times = tuple(sorted((*times, time)))
            added = gated(recorder, place, other.codes, torch.tensor(times), Over.SUM)
            if len(times) < grid.timesteps:
                recorder.sums[int(added.codes.flatten()[0]) >> NODE_SHIFT] = (
                    times,
                    cells,
                    added.codes.clone(),
                )
            return added
    return None


def held_by(recorder: Recorder, signal: Signal) -> tuple[tuple[int, ...], Tensor] | None:
    """Over which timesteps *signal* is the sum of which codes; None where it is no such sum."""
    if (time := time_of(signal, recorder.grid)) is not None:
        return (time,), at_start(signal.codes, recorder.grid)
    if signal.over is not Over.SUM or not signal.codes.numel():
        return None
    times, cells, codes = recorder.sums.get(int(signal.codes.flatten()[0]) >> NODE_SHIFT, ((), None, None))
    if cells is None or codes is None or not torch.equal(codes, signal.codes):
        return None
    return times, cells


def time_of(signal: Signal, grid: Grid) -> int | None:
    """The only timestep of *signal*, of several that there are."""
    if signal.over is not None or grid.timesteps < 2:
        return None
    times = torch.unique(((signal.codes & ROW) >> ADDRESS_BITS) // grid.samples)
    return int(times[0]) if len(times) == 1 else None


def at_start(codes: Tensor, grid: Grid) -> Tensor:
    """*codes* with the rows of the first timestep."""
    row = (codes & ROW) >> ADDRESS_BITS
    return (codes & CELL) | (row % grid.samples << ADDRESS_BITS)
