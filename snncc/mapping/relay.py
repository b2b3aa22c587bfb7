"""Maxima of events: units that send on, in each tick, the largest of what came (MACHINE.md, 1.1)."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import Edge, Kind, Maximum, MaxPool, Node, Shape, place
from snncc.mapping.masks import Ints

Relay = Maximum | MaxPool


def is_relay(node: Node, edge: Edge) -> TypeGuard[Relay]:
    """Whether *node*, which yields *edge*, is a maximum of spikes or counts."""
    return isinstance(node, Maximum | MaxPool) and edge.is_events


def relay_reads(node: Relay, edge: Edge, index: Ints, shape: Shape) -> Ints:
    """The sources of which each output takes the maximum, [*shape, m], -1: none; *index* those of its input.

    Raises `CannotLower` for counts that do not arrive as one number.
    """
    if edge.kind is not Kind.SPIKE and index.size and np.any((index >= 0).sum(axis=-1) > 1):
        raise CannotLower(
            f"{place(node)}: a maximum of sums: what comes of several neurons is added up by a neuron only",
            hint="put a neuron before it",
        )
    if isinstance(node, Maximum):
        return np.broadcast_to(index, (*shape, index.shape[-1]))
    (top, bottom, left, right), (kh, kw), (dy, dx) = node.padding, node.kernel, node.dilation
    width = [(0, 0)] * (index.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    whole = np.pad(index, width, constant_values=-1)
    window = (kh - 1) * dy + 1, (kw - 1) * dx + 1
    view = np.lib.stride_tricks.sliding_window_view(whole, window, axis=(-3, -2))
    view = view[..., :: node.stride[0], :: node.stride[1], :, ::dy, ::dx]
    return view[..., : shape[-2], : shape[-1], :, :, :].reshape(*shape, -1)


def check_whole(node: Relay, edge: Edge, ticks: int) -> None:
    """Raise `CannotLower` where counts come in several ticks, of which the maximum would be taken."""
    if edge.kind is not Kind.SPIKE and ticks > 1:
        raise CannotLower(
            f"{place(node)}: a maximum of counts that come as spikes in {ticks} ticks, beside others that do "
            "not: they would have to be added up first",
            hint="compile with encoding='graded'",
        )
