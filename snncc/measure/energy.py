"""What a change of the network does to its energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from snncc.errors import BadInput

if TYPE_CHECKING:
    from snncc.simulator.costs import Costs  # whose package loads numba


@dataclass(frozen=True, slots=True)
class EnergyShift:
    """For one inference: MACs that were added, ACs that were saved, and the energy that this costs.

    *joules* is negative where energy is saved. *accounting* names whose joules they are.
    """

    macs_added: float
    acs_saved: float
    joules: float
    accounting: str


def energy_shift(before: Costs, after: Costs, *, formula: bool = False) -> EnergyShift:
    """dE = E_MAC * dMAC - E_AC * dAC, from the network of *before* to that of *after*, in joules.

    dMAC are the multiply-accumulates that *after* adds, dAC the accumulates that it saves, both means over
    samples: of the counted operations, or of the literature's *formula*. The costs are ``result.counts``.
    Raises `BadInput` for two accountings, whose figures are not comparable. ASA-SNN, equation 11.
    """
    if before.accounting != after.accounting:
        raise BadInput(
            f"the costs are of two accountings, {before.accounting.name} and {after.accounting.name}, "
            "whose figures are not comparable",
            hint="count both networks in one: snncc.simulator.costs.costs(graph, run, accounting)",
        )
    prefix = "formula_" if formula else ""
    macs = after.total(f"{prefix}mac") - before.total(f"{prefix}mac")
    saved = before.total(f"{prefix}ac") - after.total(f"{prefix}ac")
    joules = after.accounting.joules(mac=macs, ac=-saved)
    return EnergyShift(macs, saved, joules, after.accounting.name)
