"""From a spike graph to a ``.nir`` file.

What NIR says exactly is written as NIR says it. What it says otherwise (a reset by subtraction, several
spikes in a timestep, a clamp) is written as the nearest node beside notes that snncc reads back, and only
when asked for: whoever else reads the file gets another network. What has no node at all is refused.

The type check of nir up to 1.0.8 takes kernels for square and groups for one; such convolutions it reads with
``nir.read(path, type_check=False)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snncc.errors import BadInput, CannotLower, CannotTrace, UnknownName
from snncc.frontends.nir_file import NirGraph, Unit, version_of
from snncc.frontends.nir_image import NoImage, full, image_of
from snncc.frontends.nir_loops import late_edges
from snncc.frontends.nir_notes import DIAGONAL, DIGEST, digest
from snncc.frontends.nir_shapes import ONE_TAP, conv1d_of, flattened, is_by_channel, narrow
from snncc.frontends.nir_values import Value
from snncc.frontends.nir_write import need_h5py, write_nir
from snncc.ir import (
    Add,
    Affine,
    Array,
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
    place,
)

VERSIONS = ("1.0.8", "1.0.4")
"""Of the file: since 1.0.6 a spike resets to v_reset, before it subtracts the threshold."""
STEP = 1e-4
"""Seconds of a timestep, where neither the network nor the user says it: what most frameworks take."""
MOST_DIAGONAL = 1 << 11
NOTHING: Mapping[str, Value] = {}


def save_nir(
    graph: SpikeGraph, path: Path, *, dt: float | None = None, lossy: bool = False, version: str = VERSIONS[0]
) -> tuple[str, ...]:
    """Write *graph* to *path*; says what readers other than snncc will miss.

    A timestep becomes *dt* seconds (default: `step_of`). Raises `CannotLower` for what NIR has no node for,
    and, unless *lossy*, with every loss; `BadInput`, `BadFile`, `MissingDependency`.
    """
    dt = step_of(graph) if dt is None else dt
    if not 0 < dt < np.inf:
        raise BadInput(f"dt is a time in seconds, more than 0, not {dt}")
    if version not in VERSIONS:
        raise UnknownName("NIR version", version, VERSIONS)
    need_h5py()
    if graph.is_integer:
        raise CannotLower(
            f"{graph.name}: computes with integers, and NIR has no widths and scales",
            hint="export the graph from which it was compiled",
        )
    exporter = Exporter(graph, dt, version)
    nir = exporter.nir()
    if exporter.refused:
        raise listed("NIR has no node for", exporter.refused, "")
    if exporter.losses and not lossy:
        hint = "lossy=True, or --lossy, writes it nevertheless; snncc reads everything back, others do not"
        raise listed("NIR cannot say", exporter.losses, hint)
    write_nir(nir, path)
    return tuple(exporter.losses)


def step_of(graph: SpikeGraph) -> float:
    """Seconds of a timestep of *graph*: those it was read with, or `STEP`."""
    return STEP if graph.dt is None else graph.dt


def listed(what: str, items: list[str], hint: str) -> CannotLower:
    error = CannotLower(f"{what} {len(items)} part{'s' * (len(items) != 1)} of this network:", hint=hint)
    for item in items:
        error.add_note(item)
    return error


@dataclass(frozen=True, slots=True)
class Line:
    """What *unit* sent *delay* timesteps ago; *is_back* where it is read by something before it."""

    unit: str
    delay: int
    is_back: bool


class Exporter:
    """Works out the NIR graph of one spike graph; *refused* and *losses* name nodes."""

    def __init__(self, graph: SpikeGraph, dt: float, version: str) -> None:
        self.graph, self.dt, self.version = graph, dt, version
        self.number = version_of(version) or ()
        self.units: dict[str, Unit] = {}
        self.refused: list[str] = []
        self.losses: list[str] = []
        self.place = {node.name: k for k, node in enumerate(graph.nodes)}
        self.lines = {node.name: conv1d_of(graph, node) for node in graph.nodes if isinstance(node, Conv)}
        self.inside = {n.name: conv for conv, pair in self.lines.items() if pair for n in pair}

    def nir(self) -> NirGraph:
        """The graph; meaningless where something was refused."""
        for node in self.graph.nodes:
            if "/" in node.name or node.name == ".":
                self.refuse(node, "its name, which HDF5 takes for a path")
            elif node.name not in self.inside:
                self.node(node)
        for node in self.graph.nodes:
            for wire in node.inputs:
                if wire.initial is not None and np.any(wire.initial):
                    self.refuse(node, f"the initial value of what it reads from {wire.source}")
        if self.refused:
            return NirGraph(self.version, self.units, ())
        edges = self.edges(closing=True)
        if edges is None:
            edges = self.edges(closing=False) or []
        notes: dict[str, Value] = {
            "dt": np.asarray(self.dt),
            "timesteps": np.asarray(self.graph.timesteps),
            "name": self.graph.name,
        }
        if self.graph.layout is not Layout.TB:
            notes["layout"] = self.graph.layout.value
        nir = NirGraph(self.version, self.units, tuple(edges), notes)
        return replace(nir, notes={**notes, DIGEST: digest(nir)})

    def refuse(self, node: Node, what: str) -> None:
        self.refused.append(f"{place(node)}: {what}")

    def unit(
        self, node: Node, kind: str, fields: Mapping[str, Value], notes: Mapping[str, Value] = NOTHING
    ) -> None:
        self.units[node.name] = Unit(node.name, kind, fields, notes)

    def edge(self, node: Node) -> Edge:
        """What *node*, which reads one signal, reads."""
        return self.graph.edges[node.inputs[0].source]

    def node(self, node: Node) -> None:
        """Make the unit of *node*, or refuse it."""
        match node:
            case Input():
                self.input(node)
            case Output():
                notes: dict[str, Value] = {} if node.over is Over.SEQUENCE else {"over": node.over.value}
                if notes:
                    self.losses.append(f"{place(node)}: the {node.over} over time; NIR gives the sequence")
                self.unit(node, "Output", {"shape": np.array(self.graph.edges[node.name].shape)}, notes)
            case Dense():
                self.dense(node)
            case Conv():
                self.conv(node)
            case Pool():
                self.pool(node)
            case Affine():
                self.affine(node)
            case Reshape():
                self.reshape(node)
            case Neuron():
                self.neuron(node)
            case Add():
                return  # several edges into one node are a sum
            case _:
                self.refuse(node, f"a {type(node).__name__}")

    def input(self, node: Input) -> None:
        if np.any(node.scale != 1):
            self.refuse(node, "the scale of its numbers")
        notes: dict[str, Value] = {}
        if node.kind is not Kind.ANALOG:
            notes["kind"] = node.kind.value
        if node.presence is not Presence.SEQUENCE:
            notes["presence"] = node.presence.value
        if node.max_count is not None:
            notes["max_count"] = np.asarray(node.max_count)
        self.unit(node, "Input", {"shape": np.array(node.shape)}, notes)

    def dense(self, node: Dense) -> None:
        if node.delay is not None:
            self.refuse(node, "delays of single synapses")
        if len(self.edge(node).shape) != 1:
            self.refuse(node, f"weights on the last axis of {self.edge(node).shape}; NIR's take vectors")
        elif node.bias is None:
            self.unit(node, "Linear", {"weight": narrow(node.weight)})
        else:
            bias = full(node.bias, node.weight.shape[:1])
            self.unit(node, "Affine", {"weight": narrow(node.weight), "bias": bias})

    def conv(self, node: Conv) -> None:
        top, bottom, left, right = node.padding
        if node.delay is not None:
            self.refuse(node, "delays of single synapses")
        if top != bottom or left != right:
            self.refuse(node, f"the padding {node.padding}, which differs from side to side")
        bias = np.zeros(()) if node.bias is None else node.bias
        out = self.graph.edges[node.name].shape
        flat = np.broadcast_to(bias, out)
        if np.any(flat != flat[:, :1, :1]):
            self.refuse(node, "a bias that differs within a channel")
        shape = self.edge(node).shape
        fields: dict[str, Value] = {
            "weight": narrow(node.weight),
            "bias": narrow(flat[:, 0, 0]),
            "groups": np.asarray(node.groups),
        }
        if self.lines[node.name]:
            fields |= {
                "weight": narrow(node.weight[:, :, 0]),
                "input_shape": np.asarray(shape[2]),
                "stride": np.asarray(node.stride[1]),
                "padding": np.asarray(left),
                "dilation": np.asarray(node.dilation[1]),
            }
            self.unit(node, "Conv1d", fields)
            return
        fields |= {
            "input_shape": np.array(shape[1:]),
            "stride": np.array(node.stride),
            "padding": np.array((top, left)),
            "dilation": np.array(node.dilation),
        }
        self.unit(node, "Conv2d", fields)

    def pool(self, node: Pool) -> None:
        top, bottom, left, right = node.padding
        if top != bottom or left != right or len(self.edge(node).shape) != 3:
            self.refuse(node, f"windows over {self.edge(node).shape} with the padding {node.padding}")
        fields = {"kernel_size": node.kernel, "stride": node.stride, "padding": (top, left)}
        kind = "AvgPool2d" if node.is_average else "SumPool2d"
        self.unit(node, kind, {name: np.array(value) for name, value in fields.items()})

    def affine(self, node: Affine) -> None:
        """A scale; with an offset a diagonal matrix, as weights or as a convolution of one tap."""
        shape = self.edge(node).shape
        if node.per_timestep:
            self.refuse(node, "an affine that differs from timestep to timestep")
            return
        gain, offset = np.broadcast_to(node.gain, shape), np.broadcast_to(node.offset, shape)
        if not np.any(offset):
            self.unit(node, "Scale", {"scale": full(gain, shape)})
        elif len(shape) == 1 and shape[0] <= MOST_DIAGONAL:
            weight, note = np.diag(gain), {DIAGONAL: np.asarray(1)}
            self.unit(node, "Affine", {"weight": narrow(weight), "bias": narrow(offset)}, note)
        elif len(shape) == 3 and shape[0] <= MOST_DIAGONAL and is_by_channel(gain) and is_by_channel(offset):
            fields: dict[str, Value] = {name: np.array(value) for name, value in ONE_TAP.items()}
            weight, note = np.diag(gain[:, 0, 0])[:, :, None, None], {DIAGONAL: np.asarray(1)}
            fields |= {"weight": narrow(weight), "bias": narrow(offset[:, 0, 0])}
            self.unit(node, "Conv2d", {**fields, "input_shape": np.array(shape[1:])}, note)
        else:
            self.refuse(node, f"an offset for each signal of {shape}; fold it into the weights")

    def reshape(self, node: Reshape) -> None:
        before = self.edge(node).shape
        if before == node.shape:
            return
        axes = flattened(before, node.shape)
        if axes is None:
            self.refuse(node, f"the shape {before} as {node.shape}; NIR flattens axes only")
            return
        start, end = axes
        dims: dict[str, Value] = {"start_dim": np.asarray(start), "end_dim": np.asarray(end)}
        self.unit(node, "Flatten", {"input_type": np.array(before), **dims})

    def neuron(self, node: Neuron) -> None:
        shape = self.edge(node).shape
        try:
            image = image_of(node.parameters, shape, self.dt, self.number)
        except NoImage as problem:
            self.refuse(node, f"a neuron that {problem}")
            return
        self.losses += [f"{place(node)}: {loss}" for loss in image.losses]
        self.unit(node, image.kind, image.fields, image.notes)

    def sources(self, name: str, wire: Wire) -> Iterator[Line]:
        """The units whose sum *wire* delivers to the unit *name*."""
        inside = self.inside.get(wire.source)
        if inside is not None:
            yield Line(inside, wire.delay, self.place[inside] >= self.place[name])
        elif wire.source in self.units:
            yield Line(wire.source, wire.delay, self.place[wire.source] >= self.place[name])
        else:  # a sum, or a reshape that changes nothing
            for one in self.graph[wire.source].inputs:
                yield from self.sources(name, replace(one, delay=one.delay + wire.delay))

    def edges(self, *, closing: bool) -> list[tuple[str, str]] | None:
        """All edges; delays become nodes.

        With *closing*, a delay of one timestep in a loop is left to the loop, as frameworks have it; None
        where a reader would then make another edge late.
        """
        self.units = {k: u for k, u in self.units.items() if k in self.graph.by_name}
        edges: list[tuple[str, str]] = []
        late: set[tuple[str, str]] = set()
        delayed: list[tuple[str, str]] = []
        for name in list(self.units):
            node = self.graph[name]
            pair = self.lines.get(name)
            for wire in pair[0].inputs if pair else node.inputs:
                for line in self.sources(name, wire):
                    edge = (line.unit, name)
                    if line.delay and not (
                        closing and line.is_back and line.delay == 1 and edge not in edges
                    ):
                        steps = np.asarray(line.delay * self.dt)
                        edge = (self.between(line, name, "Delay", "delay", steps, edges), name)
                        delayed.append(edge)
                    elif edge in edges:
                        edge = (self.between(line, name, "Scale", "scale", np.ones(()), edges), name)
                    elif line.delay:
                        late.add(edge)
                    edges.append(edge)
        return edges if not closing or self.reads_as(edges, delayed, late) else None

    def between(
        self, line: Line, name: str, kind: str, field: str, value: Array, edges: list[tuple[str, str]]
    ) -> str:
        """A node between *line* and the unit *name*."""
        new = f"{name}.{field}"
        while new in self.units or new in self.graph.by_name:
            new += "'"
        shape = self.shape(line.unit)
        self.units[new] = Unit(new, kind, {field: full(value, shape)})
        edges.append((line.unit, new))
        return new

    def shape(self, unit: str) -> Shape:
        """What the unit sends."""
        pair = self.lines.get(unit)
        return self.graph.edges[pair[1].name if pair else unit].shape

    def reads_as(
        self, edges: list[tuple[str, str]], delayed: list[tuple[str, str]], late: set[tuple[str, str]]
    ) -> bool:
        """Whether a reader makes just the edges *late* late."""
        plain = [(a, b) for a, b in edges if self.units[b].kind != "Delay"]
        starts = [node.name for node in self.graph.inputs]
        try:
            return late_edges(list(self.units), plain, starts, [a for a, _ in delayed]) == late
        except CannotTrace:
            return False
