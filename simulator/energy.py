"""Energy from counts: named accountings, never mixed.

``paper`` is the accounting of the literature: 45 nm, 32 bit floating point, 4.6 pJ a multiply-accumulate and
0.9 pJ an accumulate (M. Horowitz, "Computing's energy problem", ISSCC 2014). It is applied twice: to the
formula's own counts (FL x mean integer activation x T, borders ignored) and to the operations that were
really counted. ``cmos45`` (`snncc.simulator.cmos45`) takes the widths of the arithmetic, memory accesses,
addresses and neuron updates in as well. Figures of different accountings are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass
from typing import Any, ClassVar, Protocol

from snncc.ir import Node, SpikeGraph
from snncc.reference import Operations, Run


@dataclass(frozen=True, slots=True)
class Parts:
    """Joules of one layer, by what they are spent on."""

    ops: float = 0.0
    memory: float = 0.0
    addressing: float = 0.0

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return self.ops + self.memory + self.addressing


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One node in a *run* of its *graph*: what it *did*, if its operations were counted.

    *is_spiking*: it reads spikes only. *spikes* is how many it sent in one inference.
    """

    graph: SpikeGraph
    run: Run
    node: Node
    did: Operations | None
    is_spiking: bool
    spikes: float


class Accounting(Protocol):
    """What operations cost: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """How users call it."""

    @property
    def source(self) -> str:
        """Where its figures come from, and what they contain."""

    @property
    def summary(self) -> str:
        """Its figures, in a few words."""

    def joules(self, *, mac: float, ac: float) -> float:
        """The energy of operations alone. Raises `BadInput` where that depends on more."""

    def parts(self, layer: Layer, *, mac: float, ac: float) -> Parts:
        """The energy of one inference in *layer*, if it makes *mac* and *ac*."""

    def conventional(self, graph: SpikeGraph, macs: Mapping[str, int]) -> float:
        """The energy of the layers *macs* (with theirs), run once as a conventional network."""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""


@dataclass(frozen=True, slots=True)
class Flat:
    """Joules for each kind of operation, wherever it happens; nothing else costs anything."""

    name: str
    mac: float
    ac: float
    source: str

    @property
    def summary(self) -> str:
        """Its figures, in a few words."""
        return f"{self.mac * 1e12:g} pJ/MAC, {self.ac * 1e12:g} pJ/AC"

    def joules(self, *, mac: float, ac: float) -> float:
        """The energy of *mac* multiply-accumulates and *ac* accumulates, in joules."""
        return self.mac * mac + self.ac * ac

    def parts(self, layer: Layer, *, mac: float, ac: float) -> Parts:
        """Nothing but operations."""
        return Parts(ops=self.joules(mac=mac, ac=ac))

    def conventional(self, graph: SpikeGraph, macs: Mapping[str, int]) -> float:
        """Nothing but MACs."""
        return self.joules(mac=sum(macs.values()), ac=0)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return asdict(self)


PAPER = Flat(
    name="paper",
    mac=4.6e-12,
    ac=0.9e-12,
    source="Horowitz, ISSCC 2014: 45 nm, 32 bit float; synapses only, no memory, no neuron updates",
)
