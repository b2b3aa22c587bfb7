"""From a ``.nir`` file to a spike graph.

Nothing that the file leaves open is guessed: the step *dt* and the reset are asked for where they matter
(`snncc.frontends.nir_neurons` has the equations), a loop whose late edge is not obvious is refused
(`snncc.frontends.nir_loops`), and so is every node, field or shape that is not understood.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snncc.errors import BadFile, BadInput, CannotTrace, InvalidGraph
from snncc.frontends.archive import shortened
from snncc.frontends.nir_file import NirGraph, Unit, read_nir, version_of
from snncc.frontends.nir_layers import (
    MAKERS,
    MOST_SIGNALS,
    check_notes,
    check_shape,
    input_of,
    origin,
    undone,
    unit_shape,
)
from snncc.frontends.nir_neurons import NEURONS, ResetMode, neuron_of, reset_named
from snncc.frontends.nir_notes import DIAGONAL, check_digest, graph_notes, text_note
from snncc.frontends.nir_wires import Link, Wiring, wiring_of
from snncc.ir import (
    Add,
    Affine,
    Edge,
    Layout,
    Neuron,
    Node,
    Shape,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit

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
    except (LookupError, TypeError, ValueError, ArithmeticError, MemoryError) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None
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
        return SpikeGraph(tuple(self.nodes), name=title, timesteps=timesteps, layout=layout, dt=self.dt)

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
