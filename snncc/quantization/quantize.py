"""Quantize a float graph: integer weights, thresholds, biases, leaks and states, each with its scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

import numpy as np

from snncc.errors import BadInput, CannotLower
from snncc.ir import (
    Affine,
    Array,
    Conv,
    Dense,
    Edge,
    Input,
    Kind,
    Neuron,
    Node,
    Numbers,
    Overflow,
    Pad,
    Rectifier,
    SideOperation,
    Sparse,
    SpikeGraph,
    place,
    sealed,
)
from snncc.ir.arrays import simplest
from snncc.ir.infer import edge_after
from snncc.ir.rules import Misfit
from snncc.passes.pipeline import Preserves
from snncc.quantization.currents import current_bounds
from snncc.quantization.neurons import integer_parameters, with_steps
from snncc.quantization.owned import on_grid
from snncc.quantization.ranges import Extremes, Ranges, bounded, measured
from snncc.quantization.scales import Grid, Group, choose_scale, groups_of
from snncc.quantization.separate import note_of, separated
from snncc.quantization.skips import (
    GAIN_BITS,
    compares_counts,
    gains_in_a_row,
    reads_product,
    with_weighted_skips,
)
from snncc.quantization.sums import extent
from snncc.reference.inputs import Data
from snncc.reference.side import SIDES

STATE_BITS = (16, 24, 32)
LEAST_STEPS = 2
"""A synapse whose largest weight has fewer steps than this would be lost, and is refused, unless none is."""
MARGIN = 2.0
"""Measured potentials are given this much room."""


@dataclass(frozen=True, slots=True)
class Quantize:
    """Turn a float graph into an integer graph.

    Weights get *weight_bits* (2 to 16, symmetric), one scale for each output channel if *per_channel*; where
    they lie on a grid of their own already they keep it, and then may use the most negative number; where
    branches of a sum have such grids without a common unit, they get up to *sum_bits* (None: *weight_bits*),
    as many as their sums need to be exact (`snncc.quantization.sums`). The state
    gets *state_bits* (16, 24 or 32; None: the smallest that holds what was measured, times two, or
    what the weights allow). Analog inputs get *input_bits*, unsigned where the data is not negative.
    *calibration* is data in the layout of `snncc.reference.run`; without it, *input_ranges* (node name to
    low, high) and static bounds are used. *overflow* says what a state does beyond its width, *grid* what
    the chip demands of thresholds and states.
    """

    weight_bits: int = 8
    sum_bits: int | None = None
    state_bits: int | None = None
    input_bits: int = 8
    per_channel: bool = True
    overflow: Overflow = Overflow.SATURATE
    timesteps: int | None = None
    calibration: Data | None = field(default=None, repr=False)
    input_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    grid: Grid = field(default_factory=Grid)
    name: ClassVar[str] = "quantize"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __post_init__(self) -> None:
        widths = (self.weight_bits, self.input_bits, self.state_bits or 0)
        if not all(isinstance(width, int) for width in widths):
            raise BadInput(f"numbers of bits are integers, not {widths}")
        if not 2 <= self.weight_bits <= 16:
            raise BadInput(f"weights have 2 to 16 bits, not {self.weight_bits}")
        if not 2 <= self.input_bits <= 16:
            raise BadInput(f"inputs have 2 to 16 bits, not {self.input_bits}")
        if self.state_bits is not None and self.state_bits not in STATE_BITS:
            raise BadInput(f"states have {', '.join(map(str, STATE_BITS))} bits, not {self.state_bits}")

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        if graph.is_integer:
            raise CannotLower(f"{graph.name}: is an integer graph already")
        for node in graph.neurons:
            if node.parameters.rectifier is not Rectifier.NONE:
                raise CannotLower(
                    f"{place(node)}: has a rectifier ({node.parameters.rectifier}), which integers lack",
                    hint="run the pass elide-rectifier (snncc.passes.ElideRectifier) before",
                )
        graph = with_weighted_skips(graph)
        ranges = self.ranges(graph)
        table = groups_of(graph)
        return Quantizer(self, graph, ranges, table).build()

    def ranges(self, graph: SpikeGraph) -> Ranges:
        """What is known about the size of signals."""
        if self.calibration is None:
            return bounded(graph, self.input_ranges, self.timesteps)
        if self.timesteps is None:
            raise BadInput("calibration needs the number of timesteps")
        return measured(graph, self.calibration, self.timesteps)


PROOF = 1.01
"""Currents that are proved to fit have this much room, for the rounding of weights."""


def largest_currents(graph: SpikeGraph, ranges: Ranges, options: Quantize) -> dict[str, Array]:
    """For each neuron the largest synaptic current that its inputs can build up."""
    grids = {name: input_grid(extremes, options) for name, extremes in ranges.inputs.items()}
    inputs = {name: (scale * least, scale * most) for name, (scale, least, most) in grids.items()}
    bounds = current_bounds(graph, inputs)
    found = {}
    for node in graph.neurons:
        low, high = bounds[node.name]
        p = node.parameters
        with np.errstate(divide="ignore"):
            gain = np.where(p.leak_i < 1, 1 / np.maximum(1 - p.leak_i, 0), np.inf)
        found[node.name] = np.maximum(-low, high) * gain + np.abs(p.i_init)
        if not np.all(np.isfinite(found[node.name])):
            raise CannotLower(
                f"{place(node)}: what reaches it in a timestep has no bound",
                hint="give the neurons before it a max_count, and its current a leak below 1",
            )
    return found


N = TypeVar("N", bound=Node)


class Quantizer:
    """One walk over the graph, node by node, with the edges of the integer graph as they come to be."""

    def __init__(self, options: Quantize, graph: SpikeGraph, ranges: Ranges, table: dict[str, Group]) -> None:
        self.options, self.graph, self.ranges, self.table = options, graph, ranges, table
        self.edges: dict[str, Edge] = {}
        self.done: set[int] = set()
        self.currents = largest_currents(graph, ranges, options) if options.grid.proves_current else {}

    def build(self) -> SpikeGraph:
        """The integer graph."""
        nodes = []
        for node in self.graph.nodes:
            new = self.with_initial_steps(self.convert(node))
            ins = [self.edge(w.source) for w in new.inputs]
            try:
                self.edges[node.name] = edge_after(new, ins, is_integer=True)
            except Misfit as problem:
                raise CannotLower(
                    f"{place(node)}: cannot be quantized: {problem}",
                    hint="give the neurons that feed it one output scale, or keep floats (precision float)",
                ) from None
            nodes.append(new)
        after = replace(self.graph, nodes=tuple(nodes), numbers=Numbers.INTEGER)
        groups = {id(group): group for group in self.table.values()}
        notes = [note for group in groups.values() if (note := note_of(group, after))]
        return replace(after, notes=(*after.notes, *notes))

    def edge(self, source: str) -> Edge:
        """The edge of *source*; of one that comes later, what it will be."""
        if source in self.edges:
            return self.edges[source]
        edge = self.graph.edges[source]
        return edge if edge.is_events else replace(edge, scale=self.grid(source))

    def with_initial_steps(self, node: N) -> N:
        """*node* with the values before the first timestep of its analog wires as whole steps."""
        inputs = []
        for wire in node.inputs:
            edge = self.graph.edges[wire.source]
            if wire.initial is not None and not edge.is_events:
                steps = np.rint(wire.initial * edge.scale / self.edge(wire.source).scale)
                wire = replace(wire, initial=steps.astype(np.int64))
            inputs.append(wire)
        return replace(node, inputs=tuple(inputs))

    def group(self, name: str) -> Group:
        """The group of node *name*, its scale chosen when it is first asked for."""
        group = self.table[name]
        if id(group) not in self.done:
            if not self.options.per_channel:
                group.is_per_channel = False
            limit = 2.0 ** ((self.options.state_bits or STATE_BITS[-1]) - 1) - 1
            in_scales = {source: self.in_scale(source) for source in group.sources}
            choose_scale(
                group,
                self.graph,
                in_scales,
                {name: self.reach(name) for name in group.neurons},
                {source: self.carried(source) for source in group.sources},
                {source: self.extent(source) for source in group.sources},
                weight_bits=self.options.weight_bits,
                sum_bits=self.options.sum_bits or self.options.weight_bits,
                state_limit=limit,
                grid=self.options.grid,
            )
            self.done.add(id(group))
        return group

    def reach(self, name: str) -> Array:
        """The largest potential of a neuron, with room; or the largest current that could ever be."""
        if self.options.grid.proves_current:
            return self.currents[name] * PROOF
        return self.ranges.potentials[name] * (MARGIN if self.ranges.is_measured else 1.0)

    def carried(self, name: str) -> float:
        """The largest number that enters the source *name*; infinite where it is not known."""
        node = self.graph.by_name[name]
        edge = self.graph.edges[node.inputs[0].source]
        if edge.is_events:
            return float(edge.max_count or np.inf)
        while node.inputs and not self.graph.edges[node.inputs[0].source].is_events:
            node = self.graph.by_name[node.inputs[0].source]
            if isinstance(node, Dense | Conv | Sparse | Affine | Neuron) or len(node.inputs) > 1:
                return np.inf
        if not isinstance(node, Input) or node.name not in self.ranges.inputs:
            return np.inf
        low, high, _ = self.ranges.inputs[node.name]
        return float(max(-low, high, 1e-30) / self.in_scale(name).max())

    def extent(self, name: str) -> tuple[float, float]:
        """The smallest and the largest number that the source *name* adds; infinite where it is not known."""
        most = self.carried(name)
        if not np.isfinite(most):
            return -np.inf, np.inf
        node = self.graph.by_name[name]
        least = 0.0 if self.graph.edges[node.inputs[0].source].is_events else -most
        return extent(node, float(self.in_scale(name).max()), least, most)

    def in_scale(self, name: str) -> Array:
        """The scale of what the source *name* reads."""
        source = self.graph.by_name[name].inputs[0].source
        if source in self.edges:
            return self.edges[source].scale
        if source in self.table and not self.graph.edges[source].is_events:
            group = self.group(source)
            return group.scale * group.factors[source]
        if self.graph.edges[source].is_events:
            return self.graph.edges[source].scale
        raise CannotLower(f"{name}: reads {source} before its scale is known")

    def grid(self, name: str) -> Array:
        """The scale of what leaves node *name*."""
        group = self.group(name)
        return group.scale * group.factors[name]

    def convert(self, node: Node) -> Node:
        match node:
            case Input() if node.kind is Kind.ANALOG:
                return self.convert_input(node)
            case Dense() | Conv() | Sparse():
                return self.convert_synapse(node)
            case Affine():
                grid = self.grid(node.name)
                gain_scale = grid / self.edges[node.inputs[0].source].scale
                gain = over_time(node, node.gain, np.rint(node.gain / gain_scale).astype(np.int64))
                offset = over_time(node, node.offset, np.rint(node.offset / grid).astype(np.int64))
                return replace(node, gain=gain, offset=offset, gain_scale=gain_scale)
            case Pad():
                scale = self.edges[node.inputs[0].source].scale
                return replace(node, value=np.rint(node.value / scale).astype(np.int64))
            case Neuron():
                return self.convert_neuron(node)
            case SideOperation() if node.kind is Kind.ANALOG:
                most = SIDES[node.operation].largest(node.constants)
                bits = min(self.options.input_bits, GAIN_BITS // gains_in_a_row(self.graph, node))
                return replace(node, scale=sealed(most / 2**bits))
            case _:
                return node

    def convert_input(self, node: Input) -> Input:
        scale, least, most = input_grid(self.ranges.inputs[node.name], self.options)
        return replace(node, scale=sealed(scale), low=least, high=most)

    def convert_synapse(self, node: Dense | Conv | Sparse) -> Node:
        group, grid = self.group(node.name), self.grid(node.name)
        shift = group.shifts[node.name]
        weight_scale = grid * 2.0**shift / self.in_scale(node.name)
        rows = row_scale(node, weight_scale, self.graph.edges[node.name].shape)
        steps = node.weight / rows
        weight = np.rint(steps)
        least = min(LEAST_STEPS, 2 ** (self.options.weight_bits - 1) - 1)
        is_lossless = on_grid(steps) and np.any(weight)
        if np.abs(weight).max(initial=0) < least and np.any(node.weight != 0) and not is_lossless:
            raise CannotLower(
                f"{place(node)}: on the grid of the signal that it feeds its largest weight would be "
                f"{int(np.abs(weight).max(initial=0))}; it needs to be {least} of the "
                f"{2 ** (self.options.weight_bits - 1) - 1} that {self.options.weight_bits} bits hold",
                hint="use wider states (state_bits), fewer input_bits, or keep floats (precision float)",
            )
        widths: tuple[type, ...] = (np.int8, np.int16, np.int32)
        dtype = next(
            one
            for one in widths[self.options.weight_bits > 8 :]
            if np.array_equal(weight.astype(one), weight)
        )
        bias = None if node.bias is None else np.rint(node.bias / grid).astype(np.int64)
        return replace(node, weight=weight.astype(dtype), bias=bias, weight_scale=weight_scale, shift=shift)

    def convert_neuron(self, node: Neuron) -> Neuron:
        if compares_counts(node, self.graph):
            p, grid = with_steps(node.parameters), self.edges[node.inputs[0].source].scale
        elif reads_product(node, self.graph):
            p, grid = node.parameters, self.edges[node.inputs[0].source].scale
        else:
            p, grid = node.parameters, self.grid(node.inputs[0].source)
        reach = float((self.reach(node.name) / grid).max())
        bits = self.options.state_bits or next((b for b in STATE_BITS if reach <= 2.0 ** (b - 1) - 1), None)
        if bits is None:
            raise CannotLower(f"{place(node)}: its state needs {reach:.3g} steps, 32 bits hold {2**31 - 1}")
        integers = integer_parameters(p, grid, bits, self.options.overflow)
        return replace(
            node, parameters=separated(node, integers, self.table.get(node.inputs[0].source), self.graph)
        )


def input_grid(extremes: Extremes, options: Quantize) -> tuple[float, int, int]:
    """Scale, smallest and largest integer of an analog input.

    Data on a grid of their own keep it where it has few enough steps; where currents are proved to fit, the
    range then has no more bits than the data need.
    """
    low, high, step = extremes
    widths = [options.input_bits]
    if step > 0 and options.grid.proves_current:
        widths = list(range(2, options.input_bits + 1))
    for bits in widths:
        least, most = (0, 2**bits - 1) if low >= 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if step > 0 and least * step <= low and high <= most * step:
            return step, least, most
    return ((high or 1.0) / most if low >= 0 else max(-low / -least, high / most)), least, most


def over_time(node: Affine, before: Array, after: Array) -> Array:
    """*after*, rounded from *before*, with the axis of timesteps that *node* needs where it has any axes."""
    after = simplest(after)
    if not node.per_timestep or before.ndim or not after.ndim:
        return after
    steps = next(len(a) for a in (node.gain, node.offset) if a.ndim)
    return np.broadcast_to(after, (steps, *after.shape))


def row_scale(node: Dense | Conv | Sparse, scale: Array, shape: tuple[int, ...]) -> Array:
    """A scale of the output, as it divides the weight."""
    if scale.ndim == 0:
        return scale
    match node:
        case Dense():
            return scale.reshape(-1, 1)
        case Conv():
            return scale.reshape(-1, 1, 1, 1)
        case Sparse():
            return np.broadcast_to(scale, shape).reshape(-1)[node.post]
