"""What a refused graph needs of a chip besides what it is refused for, as far as it can be counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.backends.loihi.limits import STATE_BITS
from snncc.backends.loihi.registers import of_layers
from snncc.backends.loihi.remnant import SUMS, Remnant
from snncc.backends.loihi.timing import LOOP, NoTiming, timing_of
from snncc.backends.target import Problem, limits_of
from snncc.chips import Chip
from snncc.errors import SnnccError
from snncc.ir import (
    Array,
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Pad,
    Pool,
    Sparse,
    SpikeGraph,
)
from snncc.ir.arrays import sealed
from snncc.mapping import Network, Role, network_of
from snncc.mapping.excess import broken_limits
from snncc.passes import Pass, Preserves, run_passes
from snncc.quantization import Quantize


def counted(left: Remnant, chip: Chip, passes: Sequence[Pass], stretch: int) -> Iterator[Problem]:
    """Limits of *chip*, loops and registers that break what is *left* of a refused graph.

    *passes* bring it into integers. Memories are counted with weights of the bits that they would have, each
    layer on a scale of its own. Registers of layers beside what is left out, and of networks with analog
    inputs, are not looked at: their numbers depend on what comes in its place, or on data.
    """
    try:
        network = beside(network_of(in_integers(left.graph, passes)), left)
    except SnnccError as error:
        reason = f"none counted, as the rest of the network stops at: {error}"
        yield Problem(left.graph.name, "limits of the chip", "all layers", reason, error.hint)
        return
    for one in limits_of(broken_limits(network, chip)):
        yield replace(one, where=one.where.replace(SUMS, ""))
    try:
        timing_of(network, stretch)
    except NoTiming as error:
        yield from (one for one in error.problems if one.what == LOOP)
    if left.kept and not any(entry.kind is Kind.ANALOG for entry in left.graph.inputs):
        yield from registers(left, passes)


def in_integers(graph: SpikeGraph, passes: Sequence[Pass]) -> SpikeGraph:
    """*graph* behind *passes*, but with `PlainIntegers` in place of quantization and what follows it."""
    if graph.is_integer:
        return graph
    chosen: list[Pass] = []
    for one in passes:
        if isinstance(one, Quantize):
            chosen.append(PlainIntegers(one.weight_bits, one.input_bits))
            break
        chosen.append(one)
    return run_passes(graph, chosen)[-1].graph


@dataclass(frozen=True, slots=True)
class PlainIntegers:
    """Integers of the widths that a compiled graph has, to count memories by: no network computes with them.

    Every layer gets all steps of its weights, and a spike is worth one.
    """

    weight_bits: int
    input_bits: int
    name: ClassVar[str] = "plain-integers"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        nodes = tuple(self.converted(node) for node in graph.nodes)
        return replace(graph, nodes=nodes, numbers=Numbers.INTEGER)

    def converted(self, node: Node) -> Node:
        one = sealed(1.0)
        match node:
            case Input() if node.kind is Kind.ANALOG:
                return replace(node, scale=one, low=0, high=2**self.input_bits - 1)
            case Input():
                return replace(node, scale=one)
            case Dense() | Conv() | Sparse():
                weight, bias = self.steps(node.weight), None
                if node.bias is not None:
                    bias = np.sign(node.bias).astype(np.int64)
                return replace(node, weight=weight, bias=bias, weight_scale=one, shift=0)
            case Neuron():
                return replace(node, parameters=unit_steps(node.parameters))
            case Pool():
                return replace(node, is_average=False)
            case Pad():
                return replace(node, value=np.asarray(0))
            case _:
                return node

    def steps(self, weight: Array) -> Array:
        """*weight* in as many steps as its bits have."""
        largest = float(np.abs(weight).max(initial=0)) or 1.0
        return np.rint(weight * ((2 ** (self.weight_bits - 1) - 1) / largest)).astype(np.int8)


def unit_steps(p: NeuronParameters) -> NeuronParameters:
    """A plain neuron of the width of Loihi's that sends what *p* sends."""
    one = np.asarray(1)
    return NeuronParameters(
        theta=one,
        rho=one,
        max_count=p.max_count,
        encoding=p.encoding,
        ticks=p.ticks,
        v_bits=STATE_BITS,
        i_bits=STATE_BITS,
    )


def registers(left: Remnant, passes: Sequence[Pass]) -> Iterator[Problem]:
    """Numbers of the layers that are as they were which no register holds."""
    try:
        compiled = left.graph if left.graph.is_integer else run_passes(left.graph, passes)[-1].graph
        network = beside(network_of(compiled), left)
        yield from of_layers(compiled, network, left.kept)
    except SnnccError as error:
        where, _, what = error.message.partition(": ")
        if where.partition(" ")[0] in left.kept:
            yield Problem(where, "numbers", what, "numbers that registers hold", error.hint)


def beside(network: Network, left: Remnant) -> Network:
    """*network* with nothing on its cores for what is given from outside in place of what is left out."""
    populations = {
        name: replace(one, role=Role.HOST, payload_bits=0) if name in left.given else one
        for name, one in network.populations.items()
    }
    connections = tuple(c for c in network.connections if c.source not in left.given or c.node is not None)
    return replace(network, populations=populations, connections=connections)
