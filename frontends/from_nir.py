"""From a ``.nir`` file to a spike graph.

Nothing that the file leaves open is guessed: the step *dt* and the reset are asked for where they matter
(`snncc.frontends.nir_neurons` has the equations), a loop whose late edge is not obvious is refused
(`snncc.frontends.nir_loops`), and so is every node, field or shape that is not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import numpy as np

from snncc.errors import BadFile, BadInput, CannotTrace, InvalidGraph
from snncc.frontends.nir_file import NirGraph, Unit, numbers, read_nir, shape_field, version_of, whole
from snncc.frontends.nir_neurons import NEURONS, ResetMode, compact, neuron_of, reset_named
from snncc.frontends.nir_notes import DIAGONAL, check_digest, graph_notes, text_note
from snncc.frontends.nir_wires import Link, Wiring, wiring_of
from snncc.ir import (
    Add,
    Affine,
    Conv,
    Dense,
    Edge,
    Input,
    Kind,
    Layout,
    Neuron,
    Node,
    Output,
    Over,
    Pool,
    Presence,
    Reshape,
    Shape,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit

MOST_SIGNALS = 2**28
NEWEST = 2
"""Versions of NIR from this on are unknown."""


def load_nir(
    path: Path,
    *,
    reset: str | None = None,
    dt: float | None = None,
    timesteps: int | None = None,
    layout: str | None = None,
    input_kind: str | None = None,
    presence: str | None = None,
) -> SpikeGraph:
    """The spike graph of the NIR graph in *path*.

    *reset* is ``subtract``, ``zero``, ``value`` or ``none``, *dt* in seconds. *layout* (default TB) and
    *timesteps* say how data come, *input_kind* and *presence* what they are. A file that snncc wrote says all
    that itself. Raises `BadFile`, `BadInput`, `CannotTrace`, `UnknownName`.
    """
    asked = reset_named(reset)
    if dt is not None and not 0 < dt < np.inf:
        raise BadInput(f"dt is a time in seconds, more than 0, not {dt}")
    nir = read_nir(path)
    try:
        version = version_of(nir.version)
        if version is not None and version[0] >= NEWEST:
            raise BadFile(f"has NIR version {nir.version}; snncc reads those before {NEWEST}")
        check_digest(nir)
        given = graph_notes(nir, dt=dt, timesteps=timesteps, layout=layout)
        graph = Builder(nir, given.dt, asked, input_kind, presence).graph(given.timesteps, given.layout)
        graph.verify()
    except InvalidGraph as problem:
        raise BadFile(f"{path}: {problem.message}") from None
    except (BadInput, CannotTrace) as problem:
        raise type(problem)(f"{path}: {problem.message}", hint=problem.hint) from None
    return graph


class Builder:
    """Makes the nodes of one graph."""

    def __init__(
        self,
        nir: NirGraph,
        dt: float | None,
        asked: ResetMode | None,
        input_kind: str | None,
        presence: str | None,
    ) -> None:
        self.nir, self.dt, self.asked = nir, dt, asked
        self.input_kind, self.presence = input_kind, presence
        self.nodes: list[Node] = []
        self.edges: dict[str, Edge] = {}
        self.sends: dict[str, str] = {}
        """The node that says what a unit sends."""
        self.waiting: dict[str, list[Affine]] = {}
        """Gains of what comes later, by the unit that sends it."""
        self.names = set(nir.units)

    def graph(self, timesteps: int, layout: Layout) -> SpikeGraph:
        """Everything."""
        wiring = wiring_of(self.nir, self.dt)
        self.sends = {name: self.sender(name) for name in wiring.order}
        for name in wiring.order:
            self.unit(self.nir.units[name], wiring)
            for gain in self.waiting.pop(name, ()):
                self.add(gain)
        title = text_note(self.nir.notes, "name") or "nir"
        return SpikeGraph(tuple(self.nodes), name=title, timesteps=timesteps, layout=layout)

    def sender(self, name: str) -> str:
        return self.fresh(f"{name}.out") if self.nir.units[name].kind == "Conv1d" else name

    def fresh(self, name: str) -> str:
        """*name*, or one like it that no node has."""
        while name in self.names:
            name += "'"
        self.names.add(name)
        return name

    def add(self, node: Node) -> str:
        """Append *node*."""
        ready = [self.edges[wire.source] for wire in node.inputs if wire.source in self.edges]
        try:
            partial = len(ready) < len(node.inputs)
            edge = edge_after(node, ready, is_integer=False, is_partial=partial)
        except Misfit as problem:
            raise BadFile(f"{node.name} ({node.origin}): {problem}") from None
        if edge.size > MOST_SIGNALS:
            raise BadFile(f"{node.name} ({node.origin}): has {edge.size} signals; snncc takes {MOST_SIGNALS}")
        self.edges[node.name] = edge
        self.nodes.append(node)
        return node.name

    def unit(self, unit: Unit, wiring: Wiring) -> None:
        """Append the nodes of *unit*."""
        links = wiring.links[unit.name]
        if unit.kind == "Input":
            self.add(input_of(unit, self.input_kind, self.presence))
        elif unit.kind in NEURONS:
            self.neuron(unit, links)
        else:
            check_notes(
                unit, {"Output": ("over",), "Affine": (DIAGONAL,), "Conv2d": (DIAGONAL,)}.get(unit.kind, ())
            )
            self.plain(unit, self.sum(unit, links))

    def wire(self, link: Link) -> Wire:
        return Wire(self.sends[link.source], link.delay)

    def neuron(self, unit: Unit, links: tuple[Link, ...]) -> None:
        """One neuron, which sums what it reads; a gain of that is an affine node for each signal."""
        parameters, gain = neuron_of(unit, self.dt, self.nir.version, self.asked)
        read = tuple(self.wire(link) for link in links)
        if np.any(gain != 1):
            read = tuple(self.gained(unit, link, gain, k) for k, link in enumerate(links))
        for link in links:
            if (sent := self.edges.get(self.sends[link.source])) is not None:
                check_shape(unit, unit_shape(unit), sent.shape)
        self.add(Neuron(name=unit.name, inputs=read, parameters=parameters, origin=origin(unit)))

    def gained(self, unit: Unit, link: Link, gain: np.ndarray[Shape, np.dtype[np.float64]], k: int) -> Wire:
        """What *link* delivers, times *gain*."""
        name = self.fresh(f"{unit.name}.gain{k or ''}")
        source = self.sends[link.source]
        node = Affine(name=name, inputs=wires(source), gain=gain, origin=origin(unit))
        if source in self.edges:
            self.add(node)
        else:
            self.waiting.setdefault(link.source, []).append(node)
        return Wire(name, link.delay)

    def sum(self, unit: Unit, links: tuple[Link, ...]) -> Wire:
        """The one signal that *unit* reads: several edges into it are a sum."""
        read = [self.wire(link) for link in links]
        if len(read) == 1:
            return read[0]
        if any(wire.source not in self.edges for wire in read):
            # what comes later must not change the kind of the sum: let it be one of currents
            k = next(k for k, wire in enumerate(read) if wire.source in self.edges)
            name = self.add(
                Affine(name=self.fresh(f"{unit.name}.in"), inputs=(read[k],), origin=origin(unit))
            )
            read[k] = Wire(name)
        return Wire(
            self.add(Add(name=self.fresh(f"{unit.name}.sum"), inputs=tuple(read), origin=origin(unit)))
        )

    def plain(self, unit: Unit, wire: Wire) -> None:
        """A node with one input and no state."""
        before = self.edges.get(wire.source)
        if before is None:
            raise CannotTrace(f"{unit.place}: reads nothing but what comes later in a loop")
        for node in MAKERS[unit.kind](unit, wire, before.shape, self.sends[unit.name]):
            self.add(undone(node) if DIAGONAL in unit.notes else node)


def undone(node: Node) -> Node:
    """The affine node for which diagonal weights stand."""
    if not isinstance(node, Dense | Conv):
        return node
    weight = node.weight.reshape(node.weight.shape[:2])
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
