"""What the reference executor computes for a NIR file that is read again: NIR has no software of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snncc.errors import BadInput
from snncc.frontends.from_nir import load_nir
from snncc.frontends.nir_neurons import ResetMode
from snncc.frontends.observation import Observation, check_is_one, first_difference
from snncc.ir import Array, Emit, Node, Output, SpikeGraph
from snncc.reference import run


def observe_nir(path: Path, graph: SpikeGraph, data: Array) -> Observation:
    """Read *path* as *graph* was read, and run it on *data*, given as the executors of *graph* take it.

    Raises `NotEqual` where the file is not the one that *graph* was read from.
    """
    again = read_again(path, graph)
    check_is_one(graph, again, str(path))
    counting = [node.name for node in again.neurons if node.parameters.emit is Emit.COUNT]
    done = run(again, data, timesteps=graph.timesteps, record=counting, count=False)
    values = {name: done.records[name].train.sum(axis=2) * again.edges[name].scale for name in counting}
    return Observation(values, done.outputs, done.outputs)


def read_again(path: Path, graph: SpikeGraph) -> SpikeGraph:
    """The graph in *path*, with the step, the layout and the kind of input of *graph*.

    Of the resets that a file leaves open, the one with which it is *graph*, where there is one.
    """
    entry = graph.inputs[0]
    overs = {node.name: node.over for node in graph.outputs}

    def with_reduction(node: Node) -> Node:
        return replace(node, over=overs.get(node.name, node.over)) if isinstance(node, Output) else node

    found: list[SpikeGraph] = []
    refusal: BadInput | None = None
    for reset in (None, *ResetMode):
        try:
            one = load_nir(
                path,
                reset=reset,
                dt=graph.dt,
                timesteps=graph.timesteps,
                layout=graph.layout,
                input_kind=entry.kind,
                presence=entry.presence,
            )
        except BadInput as problem:
            refusal = refusal or problem
            continue
        found.append(one.with_nodes(with_reduction(node) for node in one.nodes))
        if not first_difference(graph, found[-1]):
            break
    if not found:
        assert refusal is not None
        raise refusal
    return found[-1]
