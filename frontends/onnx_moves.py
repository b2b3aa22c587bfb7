"""Pools, and what only moves numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from snncc.frontends.onnx_file import Constant
from snncc.frontends.onnx_linear import window
from snncc.frontends.onnx_signals import Refused, Signal, Value, Walk, sample_axis
from snncc.frontends.staircase import common_unit
from snncc.ir import Array, Concat, MaxPool, Node, Pad, Pool, Reshape, Shape, Transpose, wires
from snncc.ir.arrays import simplest


def kernel_of(walk: Walk, source: Signal) -> tuple[int, int]:
    kernel = tuple(walk.attribute("kernel_shape", ()))
    if len(kernel) != 2 or len(source.shape) != 3 or min(kernel) < 1 or max(kernel) > 1 << 20:
        raise Refused(
            f"pools windows {kernel} of a signal of shape {source.shape}; maps are pooled by two axes"
        )
    return kernel[0], kernel[1]


def check_whole_windows(
    walk: Walk, size: Shape, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, ...]
) -> None:
    """Raise `Refused` where ceil_mode would add windows that are not whole."""
    if not walk.attribute("ceil_mode", 0):
        return
    totals = (size[0] + padding[0] + padding[1], size[1] + padding[2] + padding[3])
    if any((n - k) % s for n, k, s in zip(totals, kernel, stride, strict=True)):
        raise Refused("has ceil_mode, and windows that leave the map", "pad the map, or use ceil_mode=0")


def max_pool(walk: Walk) -> Value:
    """A maximum may come before limits and offsets: they keep the order of numbers."""
    source = walk.signal(0)
    offset = in_each_map(np.broadcast_to(source.offset, source.shape)) if source.shape[2:] else None
    if offset is None:
        source = walk.plain(0)
    kernel = kernel_of(walk, source)
    stride, dilation, padding = window(walk, source.shape[1:], kernel)
    reach = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    check_whole_windows(walk, source.shape[1:], reach, stride, padding)
    node = MaxPool(
        name=walk.name(),
        inputs=wires(source.node),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    after = walk.add(node)
    unit = None if source.unit is None else in_each_map(np.broadcast_to(source.unit, source.shape))
    kept = source.offset if offset is None else offset
    return replace(source, node=after.node, shape=after.shape, unit=unit, offset=kept)


def average_pool(walk: Walk) -> Value:
    source = walk.plain(0)
    kernel = kernel_of(walk, source)
    stride, dilation, padding = window(walk, source.shape[1:], kernel)
    if dilation != (1, 1):
        raise Refused("averages dilated windows")
    check_whole_windows(walk, source.shape[1:], kernel, stride, padding)
    if any(padding) and not walk.attribute("count_include_pad", 0):
        raise Refused("averages over parts of windows (count_include_pad=0)", "use count_include_pad=1")
    return averaged(walk, source, kernel, stride, padding)


def global_average_pool(walk: Walk) -> Value:
    source = walk.plain(0)
    if len(source.shape) != 3:
        raise Refused(f"averages maps, not a signal of shape {source.shape}")
    kernel = (source.shape[1], source.shape[2])
    return averaged(walk, source, kernel, kernel, (0, 0, 0, 0))


def reduce_mean(walk: Walk) -> Value:
    source = walk.plain(0)
    given = walk.attribute("axes", ()) if not walk.has(1) else walk.constant(1).values.reshape(-1).tolist()
    rank = len(source.shape)
    axes = sorted(sample_axis(int(axis), rank) for axis in given)
    if rank != 3 or axes != [1, 2]:
        raise Refused("averages over other axes than height and width")
    pooled = global_average_pool(walk)
    if not isinstance(pooled, Signal) or walk.attribute("keepdims", 1):
        return pooled
    return reshaped(walk, pooled, source.shape[:1])


def averaged(
    walk: Walk,
    source: Signal,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Signal:
    node = Pool(
        name=walk.name(),
        inputs=wires(source.node),
        kernel=kernel,
        stride=stride,
        padding=padding,
        is_average=True,
    )
    unit = source.unit
    if unit is not None:
        unit = in_each_map(np.broadcast_to(unit, source.shape))
    least = min(source.least, 0.0) if any(padding) else source.least
    unit = None if unit is None else unit / (kernel[0] * kernel[1])
    return replace(walk.add(node), unit=unit, least=least)


def in_each_map(unit: Array) -> Array | None:
    """Numbers [C, H, W] as one for each channel; None where they differ inside one."""
    first = unit[..., :1, :1]
    return np.array(simplest(np.array(first))) if np.all(first == unit) else None


def moved(walk: Walk, source: Signal, node: Node, move: Callable[[Array], Array]) -> Signal:
    """*source* behind *node*, which moves its numbers as *move* does."""

    def over(array: Array) -> Array:
        array = simplest(array)
        return move(np.broadcast_to(array, source.shape)) if array.ndim else array

    after = walk.add(node)
    unit = None if source.unit is None else over(source.unit)
    return replace(source, node=after.node, shape=after.shape, unit=unit, offset=over(source.offset))


def identity(walk: Walk) -> Value:
    return walk.value(0)


def dropout(walk: Walk) -> Value:
    if walk.has(2) and np.any(walk.constant(2).values):
        raise Refused("is in training mode", "export the model in evaluation mode")
    return walk.value(0)


def flatten(walk: Walk) -> Value:
    source = walk.signal(0)
    axis = int(walk.attribute("axis", 1))
    if axis not in (1, -len(source.shape)):
        raise Refused(f"flattens from axis {axis}", "flatten everything behind the batch axis (axis=1)")
    return reshaped(walk, source, (math.prod(source.shape),))


def reshaped(walk: Walk, source: Signal, shape: Shape) -> Signal:
    if shape == source.shape:
        return source
    node = Reshape(name=walk.name("reshape"), inputs=wires(source.node), shape=shape)
    return moved(walk, source, node, lambda array: array.reshape(shape))


def reshape(walk: Walk) -> Value:
    wanted = [int(n) for n in walk.constant(1).values.reshape(-1)]
    if any(n < -1 for n in wanted) or wanted.count(-1) > 1:
        raise Refused(f"has the shape {wanted}")
    value = walk.value(0)
    if isinstance(value, Constant):
        values = value.values.reshape([value.values.shape[k] if n == 0 else n for k, n in enumerate(wanted)])
        step = None if value.step is None or value.step.ndim else value.step
        return replace(value, values=values, step=step)
    source = walk.signal(0)
    size = math.prod(source.shape)
    if not walk.attribute("allowzero", 0):
        full = (walk.batch or 0, *source.shape)
        wanted = [full[k] if n == 0 and 0 < k < len(full) else n for k, n in enumerate(wanted)]
    lead, rest = (wanted[0], wanted[1:]) if wanted else (1, [])
    if -1 in rest:
        known = math.prod(n for n in rest if n != -1)
        rest = [size // known if n == -1 and known else n for n in rest]
    is_batch = lead in (0, -1) or lead == walk.batch
    if not is_batch or math.prod(rest) != size or 0 in rest:
        raise Refused(
            f"gives samples of shape {source.shape} the shape {wanted}, which moves numbers between samples",
            "start the shape with 0 or -1 and keep the batch axis first",
        )
    return reshaped(walk, source, tuple(rest))


def squeeze(walk: Walk) -> Value:
    source = walk.signal(0)
    given = walk.constant(1).values.reshape(-1) if walk.has(1) else walk.attribute("axes", ())
    axes = {sample_axis(int(axis), len(source.shape)) for axis in given}
    if not axes or any(source.shape[axis] != 1 for axis in axes):
        raise Refused(f"squeezes axes {sorted(axes)} of samples of shape {source.shape}")
    return reshaped(walk, source, tuple(n for k, n in enumerate(source.shape) if k not in axes))


def transpose(walk: Walk) -> Value:
    value = walk.value(0)
    if isinstance(value, Constant):
        axes = walk.attribute("perm", None) or tuple(reversed(range(value.values.ndim)))
        step = value.step
        step = step.transpose(axes) if step is not None and step.ndim else step
        return replace(value, values=value.values.transpose(axes), step=step)
    source = walk.signal(0)
    axes = tuple(walk.attribute("perm", ()))
    if not axes or axes[0] != 0 or sorted(axes) != list(range(len(source.shape) + 1)):
        raise Refused(f"permutes the axes as {axes}", "leave the batch axis the first")
    order = tuple(axis - 1 for axis in axes[1:])
    node = Transpose(name=walk.name(), inputs=wires(source.node), axes=order)
    return moved(walk, source, node, lambda array: array.transpose(order))


def concat(walk: Walk) -> Value:
    parts = [walk.plain(k) for k in range(len(walk.now.inputs))]
    axis = sample_axis(int(walk.attribute("axis", 1)), len(parts[0].shape))
    if len(parts) == 1:
        return parts[0]
    node = Concat(name=walk.name(), inputs=wires(*(part.node for part in parts)), axis=axis)
    after = walk.add(node)
    units = [part.unit for part in parts]
    joined = common_unit(units) if all(u is None or not simplest(u).ndim for u in units) else None
    if joined is None and all(u is not None for u in units):
        full = [np.broadcast_to(part.unit, part.shape) for part in parts if part.unit is not None]
        joined = np.concatenate(full, axis)
    return replace(after, unit=joined, least=min(part.least for part in parts))


def pad(walk: Walk) -> Value:
    source = walk.plain(0)
    if walk.attribute("mode", "constant") != "constant":
        raise Refused(f"pads in the mode {walk.attribute('mode', '')!r}", "pad with a constant")
    value = float(walk.constant(2).values.reshape(-1)[0]) if walk.has(2) else 0.0
    amounts = [int(n) for n in walk.constant(1).values.reshape(-1)]
    rank = len(source.shape)
    axes = list(range(rank + 1))
    if walk.has(3):
        axes = [
            0 if int(a) in (0, -rank - 1) else sample_axis(int(a), rank) + 1 for a in walk.constant(3).values
        ]
    if len(amounts) != 2 * len(axes):
        raise Refused(f"pads by {amounts}")
    ends = {axis: (amounts[k], amounts[k + len(axes)]) for k, axis in enumerate(axes)}
    both = [ends.get(axis, (0, 0)) for axis in range(rank + 1)]
    if any(max(pair) > 1 << 20 or min(pair) < 0 for pair in both):
        raise Refused(f"pads by {amounts}")
    if rank < 2 or any(pair != (0, 0) for pair in both[:-2]):
        raise Refused("pads another axis than the last two of a sample")
    node = Pad(
        name=walk.name(), inputs=wires(source.node), padding=(*both[-2], *both[-1]), value=np.asarray(value)
    )
    unit = source.unit
    if unit is not None:
        unit = simplest(unit)
        is_on_grid = bool(np.all(value == np.rint(value / unit) * unit))
        keeps = unit.ndim == 0 or unit.shape[-2:] == (1, 1)
        unit = unit if is_on_grid and keeps else None
    return replace(walk.add(node), unit=unit, least=min(source.least, value))
