"""Edges, in few letters."""

from __future__ import annotations

import numpy as np

from snncc.ir import (
    Edge,
    Kind,
    NeuronParameters,
)

ANALOG, COUNT, SPIKE = Kind.ANALOG, Kind.COUNT, Kind.SPIKE
one = NeuronParameters()


def analog(*shape: int, scale: float | list[float] = 1.0) -> Edge:
    return Edge(ANALOG, shape, np.array(scale))


def spikes(*shape: int, ticks: int = 1, bound: int = 1, scale: float = 1.0) -> Edge:
    return Edge(SPIKE, shape, np.array(scale), bound, ticks)


def counts(*shape: int, bound: int | None = 4, scale: float = 1.0) -> Edge:
    return Edge(COUNT, shape, np.array(scale), bound)
