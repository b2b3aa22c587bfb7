"""Batches on a chip: every sample by itself, over threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from snncc.errors import BadInput
from snncc.mapping.placement import Placement
from snncc.simulator.firing import Firing
from snncc.simulator.machine.energy import Energy, energy_of
from snncc.simulator.machine.machine import Level, run_firings, timed
from snncc.simulator.machine.program import MachineProgram, program_of
from snncc.simulator.machine.result import ChipRun
from snncc.simulator.machine.trace import MOST, trace_events
from snncc.simulator.timing import Timing


def time_and_energy(
    program: MachineProgram, firings: Mapping[str, Firing], level: Level
) -> tuple[Timing, Energy]:
    """Time and energy of one sample."""
    timing, counts = timed(program, firings, level)
    return timing, energy_of(program, timing, counts)


def run_chip(
    placement: Placement,
    firings: Mapping[str, Sequence[Firing]],
    timesteps: int,
    level: Level,
    *,
    threads: int | None = None,
) -> ChipRun:
    """Time and energy of every sample of *firings*, which has all populations that send."""
    program = program_of(placement)

    def one(sample: int) -> tuple[Timing, Energy]:
        own = {name: each[sample] for name, each in firings.items()}
        return time_and_energy(program, own, level)

    samples = range(len(next(iter(firings.values()))))
    workers = min(len(samples), threads or os.cpu_count() or 1)
    if workers == 1:  # a thread takes longer to start than a small sample to run
        timings, energies = zip(*map(one, samples), strict=True)
    else:
        with ThreadPoolExecutor(workers) as pool:
            timings, energies = zip(*pool.map(one, samples), strict=True)
    return ChipRun(placement, level, timings, energies, timesteps)


def timeline(
    placement: Placement, firings: Mapping[str, Sequence[Firing]], sample: int = 0, most: int = MOST
) -> Iterator[dict[str, Any]]:
    """What happens on the machine with one sample, as events of a timeline.

    Raises `BadInput` for *most* happenings or more.
    """
    program = program_of(placement)
    own = {name: each[sample] for name, each in firings.items()}
    timing, happened = run_firings(program, own, Level.CYCLE, log=most)
    if len(happened.station) == most:
        raise BadInput(
            f"a timeline holds {most:,} happenings, this sample has more", hint="run fewer timesteps"
        )
    return trace_events(program, timing, happened)
