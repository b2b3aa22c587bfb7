"""The chip: what a network does on it, spike by spike, and what that costs."""

from snncc.simulator.batch import run
from snncc.simulator.result import Run

__all__ = ["Run", "run"]
