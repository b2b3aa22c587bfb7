"""What flows between nodes: edges, each with a kind, a shape, a scale and its ticks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from snncc.ir.arrays import Array, Shape, one, same, seal_fields


class Kind(StrEnum):
    """What the numbers on an edge are."""

    ANALOG = "analog"
    """Reals; in an integer graph, integers with a scale."""
    COUNT = "count"
    """One integer 0..max_count per timestep."""
    SPIKE = "spike"
    """Zeros and ones, one a tick, at most max_count ones in a timestep."""


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """The type of a signal, per sample and timestep: no batch axis, no time axis.

    The real value of what an edge carries is ``carried number x scale``. *scale* is positive and
    broadcasts NumPy-wise against *shape*. An edge has *ticks* micro-steps in each timestep; what it
    says in the timestep is the sum over them. *max_count* bounds that sum (None: no bound is known).
    """

    kind: Kind
    shape: Shape
    scale: Array = field(default_factory=one)
    max_count: int | None = None
    ticks: int = 1

    def __post_init__(self) -> None:
        seal_fields(self, "scale")

    @property
    def size(self) -> int:
        """Signals per timestep."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_events(self) -> bool:
        """Whether the edge carries spikes or counts, not reals."""
        return self.kind is not Kind.ANALOG

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Edge):
            return NotImplemented
        return (
            (self.kind, self.shape, self.max_count, self.ticks)
            == (other.kind, other.shape, other.max_count, other.ticks)
        ) and same(self.scale, other.scale)

    def __hash__(self) -> int:
        return hash((self.kind, self.shape, self.max_count, self.ticks))

    def __str__(self) -> str:
        bound = "unbounded" if self.max_count is None else str(self.max_count)
        kind = str(self.kind) if self.kind is Kind.ANALOG else f"{self.kind}({bound})"
        ticks = f" ticks={self.ticks}" if self.ticks > 1 else ""
        scale = "" if self.scale.ndim == 0 and self.scale == 1.0 else f" x {text_of(self.scale)}"
        return f"{kind} {'x'.join(map(str, self.shape)) or 'scalar'}{ticks}{scale}"


def text_of(array: Array) -> str:
    """A scalar as itself, an array as its shape, kind and range: stable, short.

    >>> text_of(np.array(0.25)), text_of(np.array([[1, 2]]))
    ('0.25', 'int[1x2: 1..2]')
    """
    if array.ndim == 0:
        return f"{array:.10g}"
    kind = {"f": "float", "i": "int", "u": "int", "b": "bool"}[array.dtype.kind]
    shape = "x".join(map(str, array.shape))
    if not array.size:
        return f"{kind}[{shape}]"
    return f"{kind}[{shape}: {array.min():.6g}..{array.max():.6g}]"
