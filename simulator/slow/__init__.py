"""The machine of `MACHINE.md` once more: slowly, and so plainly that it can be checked by reading."""

from snncc.simulator.slow.machine import simulate
from snncc.simulator.slow.stations import Message, Record

__all__ = ["Message", "Record", "simulate"]
