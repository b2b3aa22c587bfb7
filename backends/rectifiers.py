"""Membrane rectifiers that no chip computes: all of them at once, where the pass stops at the first."""

from __future__ import annotations

from dataclasses import replace

from snncc.backends.target import Problem
from snncc.errors import CannotLower
from snncc.ir import Neuron, Node, Rectifier, SpikeGraph
from snncc.passes.rectifier import check


def without_rectifiers(graph: SpikeGraph) -> tuple[SpikeGraph, tuple[Problem, ...]]:
    """*graph* without its rectifiers, and why not where one changes spikes."""
    nodes: list[Node] = []
    found: list[Problem] = []
    for node in graph.nodes:
        if isinstance(node, Neuron) and node.parameters.rectifier is not Rectifier.NONE:
            try:
                check(node)
            except CannotLower as error:
                where, _, what = error.message.partition(": ")
                found.append(Problem(where, "rectifier", what, "one that changes no spike", error.hint))
            node = replace(node, parameters=replace(node.parameters, rectifier=Rectifier.NONE))
        nodes.append(node)
    return graph.with_nodes(nodes), tuple(found)
