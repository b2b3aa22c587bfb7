"""Handlers of sums, means and maxima over axes: over data a pool, over time a matter of the output."""

from __future__ import annotations

import torch

from snncc.frontends.torch_arithmetic import check_commutes, result
from snncc.frontends.torch_codes import ADDRESS_BITS, ROW, Mixed, Signal, layout_of, prod
from snncc.frontends.torch_frames import PART_HINT, times_of
from snncc.frontends.torch_operand import Operand, operand
from snncc.frontends.torch_parts import gated, without_start
from snncc.frontends.torch_pools import traced
from snncc.frontends.torch_record import Call
from snncc.ir import MaxPool, Over, Pool, wires


def mean(call: Call) -> None:
    """Mean over axes."""
    reduce(call, Over.MEAN)


def total(call: Call) -> None:
    """Sum over axes."""
    reduce(call, Over.SUM)


def largest(call: Call) -> None:
    """Maximum over axes (amax, max with a dimension)."""
    reduce(call, Over.MAXIMUM)


def reduce(call: Call, over: Over) -> None:
    """First over data, as a pool; then over time, which only the output does."""
    signal = traced(call)
    axes = reduced_axes(call, signal.codes.ndim)
    signal = Signal(without_start(call.recorder, signal.codes, axes, over), signal.over)
    layout = layout_of(signal.codes)
    chosen = [d for d in layout.digits if d.axis in axes and d.size > 1]
    codes = signal.codes.reshape([d.size for d in layout.digits])
    is_gone = [d in chosen for d in layout.digits]
    data = [k for k, d in enumerate(layout.digits) if is_gone[k] and not d.is_lead]
    time = [k for k, d in enumerate(layout.digits) if is_gone[k] and d.is_lead]
    signal = Signal(codes, signal.over)
    if data:
        signal = reduce_data(call, signal, data, over, is_last=not time)
    if time:
        signal = reduce_time(call, signal, time, over)
    if time or not data:
        call.recorder.set(
            result(call), Signal(signal.codes.reshape(result(call).shape).clone(), signal.over), call.place
        )


def reduced_axes(call: Call, rank: int) -> list[int]:
    """The axes that the operation reduces; all when it names none."""
    dims = call.argument(1, "dim")
    if isinstance(dims, torch.dtype) or dims is None or dims == []:
        return list(range(rank))
    return [d % rank for d in ([dims] if isinstance(dims, int) else dims)]


def reduce_data(call: Call, signal: Signal, axes: list[int], over: Over, *, is_last: bool) -> Signal:
    """Pool nodes over *axes* of the codes, which keep them with size one."""
    if over is Over.MAXIMUM:
        if signal.over is not None:
            raise Mixed("takes a maximum after a reduction over time")
    else:
        check_commutes(signal.over, has_offset=False)
    recorder, builder, place = call.recorder, call.recorder.builder, call.place
    found = operand(signal, recorder.grid, 0)
    position = {k: n for n, k in enumerate(k for k, d in enumerate(found.layout.digits) if not d.is_lead)}
    source = builder.wire(found.cells, place)
    shape = list(found.cells.shape)
    for group in groups([position[k] for k in axes]):
        source = pool_axes(call, source, shape, group, over)
        for axis in group:
            shape[axis] = 1
    kept = tuple(n for k, n in position.items() if k not in axes)
    final = tuple(shape[n] for n in kept)
    source = builder.reshaped(source, final or (1,), place)
    sizes_left = [1 if k in axes else d.size for k, d in enumerate(found.layout.digits)]
    digits = tuple(d for k, d in enumerate(found.layout.digits) if k not in axes)
    frame = Operand(found.cells, digits, found.layout, signal.over, recorder.grid).frame([] if final else [1])
    if is_last:
        recorder.emit(result(call), frame, source, place)
        return signal
    return Signal(frame.codes(builder.number[source], torch.Size(sizes_left)), signal.over)


def groups(axes: list[int]) -> list[list[int]]:
    """Neighboring axes together."""
    found: list[list[int]] = []
    for axis in sorted(axes):
        if found and found[-1][-1] == axis - 1:
            found[-1].append(axis)
        else:
            found.append([axis])
    return found


def pool_axes(call: Call, source: str, shape: list[int], axes: list[int], over: Over) -> str:
    """One pool node over neighboring axes."""
    builder, place = call.recorder.builder, call.place
    if len(axes) == 2 and axes[-1] == len(shape) - 1:
        kernel = (shape[-2], shape[-1])
    elif axes == [len(shape) - 1] and len(shape) > 1:
        kernel = (1, shape[-1])
    elif axes == [len(shape) - 2]:
        kernel = (shape[-2], 1)
    else:
        size = prod(shape[k] for k in axes)
        before, after = prod(shape[: axes[0]]), prod(shape[axes[-1] + 1 :])
        source = builder.reshaped(source, (before, size, after), place)
        kernel = (size, 1)
    if over is Over.MAXIMUM:
        name = builder.name(place, "max")
        return builder.add(
            MaxPool(name=name, inputs=wires(source), origin=str(place), kernel=kernel, stride=kernel)
        )
    name = builder.name(place, "mean" if over is Over.MEAN else "sum")
    is_average = over is Over.MEAN
    return builder.add(
        Pool(
            name=name,
            inputs=wires(source),
            origin=str(place),
            kernel=kernel,
            stride=kernel,
            is_average=is_average,
        )
    )


def reduce_time(call: Call, signal: Signal, axes: list[int], over: Over) -> Signal:
    """The codes at t = 0, marked as reduced over time; of a part of the timesteps behind a gate."""
    grid = call.recorder.grid
    if signal.over is not None:
        raise Mixed("reduces over time twice")
    codes = signal.codes
    for axis in axes:
        codes = codes.select(axis, 0).unsqueeze(axis)
    samples = torch.unique(((codes & ROW) >> ADDRESS_BITS) % grid.samples)
    if not torch.equal(samples, torch.arange(grid.samples)):
        raise Mixed("reduces over the samples of the batch", "a sample must not depend on its batch mates")
    rows = torch.unique(signal.codes & ROW) >> ADDRESS_BITS
    times = torch.unique(rows // grid.samples)
    if len(rows) != len(times) * grid.samples:
        raise Mixed(f"reduces over {times_of(rows, grid)} alone", PART_HINT)
    if prod(signal.codes.shape[axis] for axis in axes) != len(times):
        raise Mixed("reduces over some timesteps more than once", "reduce over each timestep once")
    return gated(call.recorder, call.place, codes, times, over)
