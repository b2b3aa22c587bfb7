"""Energy from counts: named accountings, never mixed.

``paper`` is the accounting of the literature: 45 nm, 32 bit floating point, 4.6 pJ a multiply-accumulate and
0.9 pJ an accumulate (M. Horowitz, "Computing's energy problem", ISSCC 2014). It is applied twice: to the
formula's own counts (FL x mean integer activation x T, borders ignored) and to the operations that were
really counted. Figures of different accountings are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accounting:
    """Joules for each kind of operation."""

    name: str
    mac: float
    ac: float
    source: str

    def joules(self, *, mac: float, ac: float) -> float:
        """The energy of *mac* multiply-accumulates and *ac* accumulates, in joules."""
        return self.mac * mac + self.ac * ac


PAPER = Accounting(
    name="paper",
    mac=4.6e-12,
    ac=0.9e-12,
    source="Horowitz, ISSCC 2014: 45 nm, 32 bit float; synapses only, no memory, no neuron updates",
)
