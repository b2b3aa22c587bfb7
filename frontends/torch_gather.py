"""How numbers must move: a gather as a chain of reshape, slice, transpose, tile and join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snncc.ir import Array, Shape

MAXIMUM_PARTS = 64


@dataclass(frozen=True, slots=True)
class Shaped:
    """The same numbers under another shape."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Cut:
    """``[start:stop:step]`` along an axis."""

    axis: int
    start: int
    stop: int
    step: int


@dataclass(frozen=True, slots=True)
class Permuted:
    """Axes in another order."""

    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tiled:
    """An axis of size one, repeated."""

    axis: int
    times: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts, each a chain of moves from the same source, one after another along an axis."""

    axis: int
    parts: tuple[tuple[Move, ...], ...]


Move = Shaped | Cut | Permuted | Tiled | Joined


def moves(source: Shape, wanted: Array) -> tuple[Move, ...] | None:
    """The moves that turn addresses ``arange`` of shape *source* into *wanted*; None if there are none."""
    size = int(np.prod(source))
    if wanted.size == size and np.array_equal(wanted.reshape(-1), np.arange(size)):
        return () if wanted.shape == source else (Shaped(wanted.shape),)
    found = strided(source, wanted)
    if found is None and len(source) > 1:
        flat = strided((size,), wanted)
        found = None if flat is None else (Shaped((size,)), *flat)
    if found is None:
        found = joined(source, wanted)
    if found is not None and not np.array_equal(
        applied(found, np.arange(size).reshape(source)), wanted
    ):  # pragma: no cover
        return None
    return found


def applied(chain: Sequence[Move], array: Array) -> Array:
    """The result of *chain* on *array*."""
    start = array
    for move in chain:
        match move:
            case Shaped():
                array = array.reshape(move.shape)
            case Cut():
                array = array[(slice(None),) * move.axis + (slice(move.start, move.stop, move.step),)]
            case Permuted():
                array = array.transpose(move.axes)
            case Tiled():
                array = np.concatenate([array] * move.times, move.axis)
            case Joined():
                array = np.concatenate([applied(part, start) for part in move.parts], move.axis)
    return array


def joined(source: Shape, wanted: Array) -> tuple[Move, ...] | None:
    """Pieces along the axes whose addresses do not advance evenly."""
    for axis in range(wanted.ndim):
        line = wanted[(0,) * axis + (slice(None),) + (0,) * (wanted.ndim - axis - 1)]
        if factors(line - line[0]) is not None:
            continue
        parts = []
        for start, stop in pieces(line):
            part = moves(source, wanted[(slice(None),) * axis + (slice(start, stop),)])
            if part is None:
                return None
            parts.append(part)
        if 1 < len(parts) <= MAXIMUM_PARTS:
            return (Joined(axis, tuple(parts)),)
        return None
    return None


def pieces(line: Array) -> list[tuple[int, int]]:
    """Runs of *line* with one ascending step each."""
    runs, start = [], 0
    while start < len(line):
        stop = start + 1
        if stop < len(line) and line[stop] > line[start]:
            step = line[stop] - line[start]
            while stop < len(line) and line[stop] - line[stop - 1] == step:
                stop += 1
        runs.append((start, stop))
        start = stop
    return runs


def factors(line: Array) -> list[tuple[int, int]] | None:
    """(length, stride) of the nested loops that count out *line*, outermost first; None if there are none."""
    loops: list[tuple[int, int]] = []
    while len(line) > 1:
        step = int(line[1] - line[0])
        even = np.flatnonzero(line != np.arange(len(line)) * step)
        run = int(even[0]) if len(even) else len(line)
        for length in range(run, 1, -1):
            if len(line) % length == 0 and step >= 0:
                blocks = line.reshape(-1, length)
                if np.array_equal(blocks, blocks[:, :1] + np.arange(length) * step):
                    break
        else:
            return None
        loops.append((length, step))
        line = line[::length]
    return loops[::-1]


@dataclass(slots=True)
class Loop:
    """One loop over the source: *length* addresses *stride* apart; *place* is its position in the result."""

    length: int
    stride: int
    place: int


def strided(source: Shape, wanted: Array) -> tuple[Move, ...] | None:
    """The moves for nested loops with constant, non-negative strides."""
    if wanted.size == 0:
        return None
    first = int(wanted.reshape(-1)[0])
    loops: list[Loop] = []
    total: Array = np.array(first)
    for axis, length in enumerate(wanted.shape):
        line = wanted[(0,) * axis + (slice(None),) + (0,) * (wanted.ndim - axis - 1)] - first
        nest = factors(line)
        if nest is None:
            return None
        loops += [Loop(n, stride, 0) for n, stride in nest]
        total = total[..., None] + line.reshape((1,) * axis + (length,))
    if not np.array_equal(total, wanted):
        return None
    steps = [int(np.prod(source[k + 1 :])) for k in range(len(source))]
    within = at_boundaries(loops, source, steps, first)
    return None if within is None else chain_of(within, source, steps, first, wanted.shape)


def at_boundaries(loops: list[Loop], source: Shape, steps: list[int], first: int) -> list[Loop] | None:
    """*loops*, those that run over several axes of the source split at the axes' ends."""
    result: list[Loop] = []
    waiting = list(loops)
    while waiting:
        loop = waiting.pop(0)
        if loop.stride == 0:
            result.append(loop)
            continue
        axis = axis_of(loop.stride, steps, source)
        if axis is None or loop.stride % steps[axis]:
            return None
        step = loop.stride // steps[axis]
        start = first // steps[axis] % source[axis]
        if start + step * (loop.length - 1) < source[axis]:
            result.append(loop)
            continue
        inner = source[axis] // step
        if source[axis] % step or loop.length % inner or inner == loop.length or inner < 2:
            return None
        waiting[:0] = [Loop(loop.length // inner, loop.stride * inner, 0), Loop(inner, loop.stride, 0)]
    for place, loop in enumerate(result):
        loop.place = place
    return result


def axis_of(stride: int, steps: list[int], source: Shape) -> int | None:
    for axis, (step, size) in enumerate(zip(steps, source, strict=True)):
        if size > 1 and step <= stride < step * size:
            return axis
    return None


def chain_of(
    loops: list[Loop], source: Shape, steps: list[int], first: int, wanted: Shape
) -> tuple[Move, ...] | None:
    """Reshape so that every loop has an axis, cut, transpose, tile, reshape."""
    refined: list[int] = []
    cuts: list[Cut] = []
    places: list[int | None] = []
    for axis, (size, step) in enumerate(zip(source, steps, strict=True)):
        own = sorted(
            (loop for loop in loops if loop.stride and axis_of(loop.stride, steps, source) == axis),
            key=lambda loop: -loop.stride,
        )
        start = first // step % size
        if len(own) <= 1:
            stride = own[0].stride // step if own else 1
            length = own[0].length if own else 1
            cuts.append(Cut(len(refined), start, start + stride * (length - 1) + 1, stride))
            refined.append(size)
            places.append(own[0].place if own else None)
            continue
        outer = size
        for loop in own:
            stride = loop.stride // step
            if outer % stride:
                return None
            begin = start // stride % (outer // stride)
            if begin + loop.length > outer // stride:
                return None
            cuts.append(Cut(len(refined), begin, begin + loop.length, 1))
            refined.append(outer // stride)
            places.append(loop.place)
            outer = stride
        if outer > 1:
            cuts.append(Cut(len(refined), start % outer, start % outer + 1, 1))
            refined.append(outer)
            places.append(None)
    return tidy(source, refined, cuts, places, loops, wanted)


def tidy(
    source: Shape,
    refined: list[int],
    cuts: list[Cut],
    places: list[int | None],
    loops: list[Loop],
    wanted: Shape,
) -> tuple[Move, ...]:
    """The chain without moves that do nothing."""
    chain: list[Move] = [] if tuple(refined) == source else [Shaped(tuple(refined))]
    sizes = [len(range(cut.start, cut.stop, cut.step)) for cut in cuts]
    chain += [cut for cut, size, left in zip(cuts, refined, sizes, strict=True) if left != size]
    rank = {k: p for k, p in enumerate(places) if p is not None}
    used = sorted(rank, key=lambda k: rank[k])
    shape = tuple(sizes)
    if used != sorted(used):
        order = [*used, *(k for k in range(len(sizes)) if k not in rank)]
        chain.append(Permuted(tuple(order)))
        shape = tuple(sizes[k] for k in order)
    tiles = [loop for loop in loops if loop.stride == 0]
    if tiles:
        spread = tuple(1 if loop.stride == 0 else loop.length for loop in loops)
        chain += [Shaped(spread)] if spread != shape else []
        chain += [Tiled(loop.place, loop.length) for loop in tiles]
        shape = tuple(loop.length for loop in loops)
    if shape != wanted:
        chain.append(Shaped(wanted))
    return tuple(chain)
