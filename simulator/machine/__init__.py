"""The machine of `MACHINE.md`, fast."""

from snncc.simulator.machine.batch import run_chip, timeline
from snncc.simulator.machine.classes import class_counts
from snncc.simulator.machine.energy import Energy, energy_of
from snncc.simulator.machine.event_trace import self_timed_events
from snncc.simulator.machine.events import run_events
from snncc.simulator.machine.machine import Happenings, Level, run_machine
from snncc.simulator.machine.measured import Gauge, hops_of
from snncc.simulator.machine.program import MachineProgram, program_of
from snncc.simulator.machine.result import ChipRun, Differing
from snncc.simulator.machine.self_timed import run_self_timed
from snncc.simulator.machine.trace import write_trace

__all__ = [
    "ChipRun",
    "Differing",
    "Energy",
    "Gauge",
    "Happenings",
    "Level",
    "MachineProgram",
    "class_counts",
    "energy_of",
    "hops_of",
    "program_of",
    "run_chip",
    "run_events",
    "run_machine",
    "run_self_timed",
    "self_timed_events",
    "timeline",
    "write_trace",
]
