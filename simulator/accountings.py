"""The accountings by name."""

from __future__ import annotations

from collections.abc import Mapping

from snncc.errors import UnknownName
from snncc.simulator.cmos45 import CMOS45
from snncc.simulator.energy import PAPER, Accounting

ACCOUNTINGS: Mapping[str, Accounting] = {one.name: one for one in (PAPER, CMOS45)}


def accounting_named(name: str) -> Accounting:
    """The accounting called *name*. Raises `UnknownName`."""
    if name not in ACCOUNTINGS:
        raise UnknownName("accounting", name, ACCOUNTINGS)
    return ACCOUNTINGS[name]
