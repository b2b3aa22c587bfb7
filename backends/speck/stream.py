"""Streams of counts (SFA, QCFS) on a chip without counts: ticks become timesteps of plain IF neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.backends.target import Options, Problem, not_streaming
from snncc.ir import (
    Array,
    BiasTicks,
    Conv,
    Dense,
    Encoding,
    Input,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Presence,
    SpikeGraph,
    place,
)
from snncc.passes import Preserves
from snncc.passes.expand import has_counts, why_not_streaming
from snncc.passes.rounding import rounds_half_to_even

MOST_NAMED = 4
"""Of the neurons that keep something between timesteps."""


@dataclass(frozen=True, slots=True)
class UnrollTicks:
    """The ticks of a stream become timesteps of integrate-and-fire neurons that reset by their threshold.

    For networks of one timestep. A threshold theta with another reset amount rho is the threshold rho from an
    initial potential that is rho - theta higher. A bias in v0 is in the initial potential too; one that is
    spread comes in equal parts in every timestep. Nothing stops a neuron at its max_count, so this is
    approximate where some neuron's max_count is below the number of ticks, and exact otherwise.
    """

    name: ClassVar[str] = "unroll-ticks"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        streams = [node.parameters for node in graph.neurons if node.parameters.encoding is Encoding.STREAM]
        if not streams:
            return graph
        ticks = streams[0].ticks
        nodes = (unrolled(graph, node, ticks) for node in graph.nodes)
        dt = None if graph.dt is None else graph.dt / ticks
        return replace(graph, nodes=tuple(nodes), timesteps=ticks, dt=dt)


def unrolled(graph: SpikeGraph, node: Node, ticks: int) -> Node:
    """One *node* of a graph whose timesteps are *ticks*."""
    match node:
        case Input():
            return replace(node, presence=Presence.FIRST)
        case Output():
            return replace(node, over=Over.SUM)
        case Neuron():
            return replace(node, parameters=plain(node.parameters))
        case Conv() | Dense() if node.bias is not None:  # of outputs: all others are in the neurons
            return replace(node, bias=node.bias / ticks)
        case _:
            return node


def plain(p: NeuronParameters) -> NeuronParameters:
    """A streaming neuron as one that fires at most once a timestep."""
    shift: Array = p.rho - p.theta
    start = p.leak * p.v_init + shift
    is_spread = p.bias_ticks is BiasTicks.SPREAD
    return replace(
        p,
        theta=p.rho,
        v_init=start if is_spread else start + p.bias,
        bias=p.bias / p.ticks if is_spread else np.zeros(()),
        clamp_low=None if p.clamp_low is None else p.clamp_low + shift,
        leak=np.ones(()),
        stateless=False,
        max_count=1,
        encoding=Encoding.UNDECIDED,
        ticks=1,
        bias_ticks=BiasTicks.SPREAD,
    )


def has_streams(graph: SpikeGraph, options: Options) -> bool:
    """Whether streams are asked for, and there are counts to stream."""
    return options.encoding is Encoding.STREAM and any(has_counts(node) for node in graph.neurons)


def is_bounded(node: Neuron) -> bool:
    """Whether *node* sends counts with a bound, as SFA and QCFS neurons do."""
    return has_counts(node) and node.parameters.max_count is not None


def stream_obstacles(graph: SpikeGraph, options: Options) -> Iterator[Problem]:
    """What keeps *graph*, behind the exact passes, from streaming on the chip."""
    if graph.timesteps != 1:
        yield Problem(graph.name, "timesteps of a stream", str(graph.timesteps), "1", one_frame(graph))
    for node in graph.inputs:
        if node.presence is Presence.SEQUENCE:
            hint = "trace the model with layout='B', --layout B"
            yield Problem(place(node), "input of a stream", "a sequence", "given once", hint)
    for output in graph.outputs:
        if output.over is Over.SEQUENCE:
            hint = "trace the model with layout='B', or over='sum', --over sum"
            yield Problem(place(output), "output of a stream", "a sequence", "one value", hint)
    for neuron in graph.neurons:
        if not is_bounded(neuron):
            hint = "one clock runs all layers: train all with bounded counts, or leave the option out"
            yield Problem(place(neuron), "beside streams", "a neuron without a bounded count", "none", hint)
        elif reason := why_not_streaming(neuron.parameters):
            hint = "train neurons that subtract at once and have no leak, as SFA and QCFS"
            if rounds_half_to_even(neuron.parameters):
                hint = "half-to-even rounding: compile with rounding='half-up', --rounding half-up"
            yield not_streaming(neuron, reason, hint)
    if options.flush and options.bias is BiasTicks.SPREAD:
        hint = "the slow clock goes on in extra ticks: --bias v0, or no --flush"
        yield Problem("options", "flush", f"{options.flush} ticks without a bias", "0", hint)


def one_frame(graph: SpikeGraph) -> str:
    """What to do about a stream of several timesteps, which would have to begin anew inside a sample."""
    keep = [node.name for node in graph.neurons if not node.parameters.stateless]
    if not keep:
        return (
            "compile it for one timestep, and give each frame as a sample: no neuron keeps anything from one "
            "to the next, so that is the same"
        )
    names = ", ".join(keep[:MOST_NAMED]) + (
        f" and {len(keep) - MOST_NAMED} more" if keep[MOST_NAMED:] else ""
    )
    return (
        "a sample enters once, in the first tick, and ticks are the chip's timesteps; compiled for one "
        f"timestep, each frame a sample, it would forget what {names} keep: train IF neurons in the chip's "
        "own timesteps, or take --target loihi"
    )
