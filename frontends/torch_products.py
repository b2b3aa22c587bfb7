"""Products of two signals, as attention multiplies them: dynamic synapses between spikes or counts."""

from __future__ import annotations

import torch

from snncc.frontends.torch_build import Builder
from snncc.frontends.torch_codes import Mixed, Signal
from snncc.frontends.torch_frames import Frame
from snncc.frontends.torch_operand import operand
from snncc.frontends.torch_record import Call
from snncc.ir import DynamicSynapse, Neuron, Product, wires


def matrices(call: Call, left: Signal, right: Signal) -> tuple[Frame, str]:
    """``left @ right`` [..., M, K] by [..., K, N]: the frame of the result, and its node."""
    recorder, place, builder = call.recorder, call.place, call.recorder.builder
    if left.over is not None or right.over is not None:
        raise Mixed("multiplies signals after a reduction over time")
    a, b = (operand(signal, recorder.grid, 2) for signal in (left, right))
    if a.digits != b.digits or not torch.equal(a.layout.rows, b.layout.rows):
        raise Mixed(
            "multiplies matrices of different samples or heads",
            "both operands must have the same axes of samples, timesteps and heads, in the same order",
        )
    sources = [builder.wire(found.cells, place) for found in (a, b)]
    check_events(builder, sources)
    name = builder.name(place, "matmul")
    node = DynamicSynapse(
        name=name, inputs=wires(*sources), origin=str(place), first=complete_first(builder, sources)
    )
    builder.add(node)
    return a.frame([a.cells.shape[-2], b.cells.shape[-1]]), name


def elementwise(call: Call, sources: list[str]) -> str:
    """The node of a product of two signals of spikes or counts, number by number."""
    builder, place = call.recorder.builder, call.place
    name = builder.name(place, "mul")
    return builder.add(
        DynamicSynapse(
            name=name,
            inputs=wires(*sources),
            origin=str(place),
            product=Product.ELEMENTWISE,
            first=complete_first(builder, sources),
        )
    )


def are_events(builder: Builder, sources: list[str]) -> bool:
    """Whether all of *sources* carry spikes or counts."""
    return all(builder.edges[source].is_events for source in sources)


def check_events(builder: Builder, sources: list[str]) -> None:
    """Raise `Mixed` unless a dynamic synapse can multiply *sources*."""
    for source in sources:
        if not builder.edges[source].is_events:
            raise Mixed(
                "multiplies two signals of which one is no spikes or counts",
                "put a neuron (snncc.nn.SFA, LIF) before the product, and constant factors behind it",
            )


def complete_first(builder: Builder, sources: list[str]) -> int:
    """Which operand is complete before the other: a product of its own, else the first."""
    return 1 if is_product(builder, sources[1]) and not is_product(builder, sources[0]) else 0


def is_product(builder: Builder, source: str) -> bool:
    """Whether *source* is a product of signals, perhaps pooled or moved, and no neuron's output."""
    node = builder.nodes[builder.number[source] - 1]
    while len(node.inputs) == 1 and not isinstance(node, Neuron):
        node = builder.nodes[builder.number[node.inputs[0].source] - 1]
    return isinstance(node, DynamicSynapse)
