"""The nodes of NIR without state, as nodes of a spike graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from snncc.errors import BadFile, BadInput, CannotTrace
from snncc.frontends.nir_file import Unit, numbers, shape_field, whole
from snncc.frontends.nir_neurons import compact
from snncc.frontends.nir_notes import DIAGONAL, text_note
from snncc.ir import (
    Affine,
    Conv,
    Dense,
    Input,
    Kind,
    Node,
    Output,
    Over,
    Pool,
    Presence,
    Reshape,
    Shape,
    Wire,
    wires,
)

MOST_SIGNALS = 2**28


def undone(node: Node) -> Node:
    """The affine node for which diagonal weights stand."""
    if not isinstance(node, Dense | Conv):
        return node
    weight = node.weight.reshape(len(node.weight), -1)
    if np.any(weight != np.diag(np.diag(weight)) if weight.shape == node.weight.shape[:1] * 2 else True):
        raise BadFile(f"{node.name} ({node.origin}): has the entry snncc.{DIAGONAL}, but other weights")
    gain = np.diag(weight).reshape(-1, *(1,) * (node.weight.ndim - 2))
    offset = np.zeros(()) if node.bias is None else node.bias
    return Affine(
        name=node.name, inputs=node.inputs, gain=compact(gain), offset=compact(offset), origin=node.origin
    )


def origin(unit: Unit) -> str:
    return f"NIR {unit.kind}"


def check_notes(unit: Unit, known: tuple[str, ...]) -> None:
    """Raise `BadFile` where a newer snncc has written more than we know."""
    if unknown := set(unit.notes) - set(known):
        raise BadFile(f"{unit.place}: has the entry snncc.{min(unknown)}, which this snncc does not know")


def check_shape(unit: Unit, declared: Shape, shape: Shape) -> None:
    """Raise `BadFile` where *unit* was made for another shape than it receives."""
    if declared not in ((), shape):
        raise BadFile(f"{unit.place}: is made for the shape {declared}, and receives {shape}")


def unit_shape(unit: Unit) -> Shape:
    """The shape that the fields of a neuron declare."""
    return max((np.shape(numbers(unit, name)) for name in unit.fields), key=len)


def input_of(unit: Unit, kind: str | None, presence: str | None) -> Input:
    """An input; what its signals are the file says only where we wrote it."""
    check_notes(unit, ("kind", "presence", "max_count"))
    shape = shape_field(unit, "shape")
    if prod(shape) > MOST_SIGNALS:
        raise BadFile(f"{unit.place}: has the shape {shape}; snncc takes {MOST_SIGNALS} signals")
    most = unit.notes.get("max_count")
    try:
        return Input(
            name=unit.name,
            shape=shape,
            kind=Kind(text_note(unit.notes, "kind") or kind or Kind.ANALOG),
            presence=Presence(text_note(unit.notes, "presence") or presence or Presence.SEQUENCE),
            max_count=int(most.item()) if isinstance(most, np.ndarray) else None,
            origin=origin(unit),
        )
    except ValueError as problem:
        raise BadInput(f"{unit.place}: {problem}") from None


Maker = Callable[[Unit, Wire, Shape, str], tuple[Node, ...]]


def output(unit: Unit, wire: Wire, shape: Shape, name: str) -> tuple[Node, ...]:
    check_shape(unit, shape_field(unit, "shape"), shape)
    try:
        over = Over(text_note(unit.notes, "over") or Over.SEQUENCE)
    except ValueError as problem:
        raise BadFile(f"{unit.place}: {problem}") from None
    return (Output(name=name, inputs=(wire,), over=over, origin=origin(unit)),)


def linear(unit: Unit, wire: Wire, shape: Shape, name: str) -> tuple[Node, ...]:
    """``y = W x (+ b)`` on vectors."""
    weight = numbers(unit, "weight")
    if weight.ndim != 2:
        raise CannotTrace(f"{unit.place}: its weight has {weight.ndim} axes; snncc takes matrices")
    check_shape(unit, weight.shape[1:], shape)
    bias = None
    if unit.kind == "Affine":
        bias = numbers(unit, "bias")
        check_shape(unit, bias.shape, weight.shape[:1])
        bias = bias if np.any(bias) else None
    return (Dense(name=name, inputs=(wire,), weight=weight, bias=bias, origin=origin(unit)),)


def scale(unit: Unit, wire: Wire, shape: Shape, name: str) -> tuple[Node, ...]:
    value = numbers(unit, "scale")
    check_shape(unit, value.shape, shape)
    return (Affine(name=name, inputs=(wire,), gain=compact(value), origin=origin(unit)),)


def conv(unit: Unit, wire: Wire, shape: Shape, name: str) -> tuple[Node, ...]:
    """Cross-correlation as torch.nn.Conv1d and Conv2d; in one dimension, that of maps of height 1."""
    axes = 1 if unit.kind == "Conv1d" else 2
    weight, bias = numbers(unit, "weight"), numbers(unit, "bias")
    if weight.ndim != axes + 2 or 0 in weight.shape or len(shape) != axes + 1:
        raise BadFile(f"{unit.place}: has a weight {weight.shape} and receives {shape}")
    if isinstance(unit.fields.get("input_shape"), np.ndarray):
        check_shape(unit, shape_field(unit, "input_shape"), shape[1:])
    check_shape(unit, bias.shape, weight.shape[:1])
    stride, dilation = whole(unit, "stride", axes), whole(unit, "dilation", axes)
    padding = padding_of(unit, weight.shape[2:], stride, dilation)
    (groups,) = whole(unit, "groups", 1)
    if groups < 1:
        raise BadFile(f"{unit.place}: has {groups} groups")
    # a bias for each channel, in every place of the map
    offset = bias.reshape(-1, 1, 1) if np.any(bias) else None
    if axes == 2:
        (top, bottom), (left, right) = padding
        (sy, sx), (dy, dx) = stride, dilation
        return (
            Conv(
                name=name,
                inputs=(wire,),
                weight=weight,
                bias=offset,
                stride=(sy, sx),
                padding=(top, bottom, left, right),
                dilation=(dy, dx),
                groups=groups,
                origin=origin(unit),
            ),
        )
    before = Reshape(
        name=f"{unit.name}.map", inputs=(wire,), shape=(shape[0], 1, shape[1]), origin=origin(unit)
    )
    taps = Conv(
        name=unit.name,
        inputs=wires(before.name),
        weight=weight[:, :, None],
        bias=offset,
        stride=(1, stride[0]),
        padding=(0, 0, *padding[0]),
        dilation=(1, dilation[0]),
        groups=groups,
        origin=origin(unit),
    )
    reach = dilation[0] * (weight.shape[2] - 1) + 1
    length = (shape[1] + sum(padding[0]) - reach) // max(stride[0], 1) + 1
    after = Reshape(name=name, inputs=wires(taps.name), shape=(len(weight), length), origin=origin(unit))
    return before, taps, after


def padding_of(
    unit: Unit, kernel: Shape, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Zeros before and behind each axis; ``same`` and ``valid`` as in PyTorch."""
    value = unit.fields["padding"]
    if isinstance(value, str) and value == "valid":
        return tuple((0, 0) for _ in kernel)
    if isinstance(value, str):
        if value != "same" or any(s != 1 for s in stride):
            raise BadFile(f"{unit.place}: has the padding {value!r} with the stride {stride}")
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((p, p) for p in whole(unit, "padding", len(kernel)))


def pool(unit: Unit, wire: Wire, shape: Shape, name: str) -> tuple[Node, ...]:
    """Sum or mean over windows; incomplete windows drop, padding counts as zeros of the window."""
    (kh, kw), (sy, sx), (py, px) = (whole(unit, field, 2) for field in ("kernel_size", "stride", "padding"))
    return (
        Pool(
            name=name,
            inputs=(wire,),
            kernel=(kh, kw),
            stride=(sy, sx),
            padding=(py, py, px, px),
            is_average=unit.kind == "AvgPool2d",
            origin=origin(unit),
        ),
    )


def flatten(unit: Unit, wire: Wire, shape: Shape, name: str) -> tuple[Node, ...]:
    """Axes *start_dim* to *end_dim*, of a shape without a batch axis, become one."""
    if isinstance(unit.fields.get("input_type"), np.ndarray):
        check_shape(unit, shape_field(unit, "input_type"), shape)
    (start,), (end,) = whole(unit, "start_dim", 1), whole(unit, "end_dim", 1)
    first, last = (k + len(shape) if k < 0 else k for k in (start, end))
    if not 0 <= first <= last < len(shape):
        raise BadFile(f"{unit.place}: cannot flatten axes {start} to {end} of {shape}")
    after = (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])
    return (Reshape(name=name, inputs=(wire,), shape=after, origin=origin(unit)),)


MAKERS: Mapping[str, Maker] = {
    "Output": output,
    "Affine": linear,
    "Linear": linear,
    "Scale": scale,
    "Conv1d": conv,
    "Conv2d": conv,
    "SumPool2d": pool,
    "AvgPool2d": pool,
    "Flatten": flatten,
}
