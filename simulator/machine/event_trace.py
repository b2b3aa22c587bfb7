"""The timeline of a self-timed chip (MACHINE.md, 7), in the format of `snncc.simulator.machine.trace`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir import SpikeGraph
from snncc.mapping.placement import Placement
from snncc.simulator.machine.event_program import EventProgram
from snncc.simulator.machine.event_state import BEGINS, DROPS, FINISHES, FIRES, SENDS, STARTS
from snncc.simulator.machine.events import event_log, program_of, run_events
from snncc.simulator.machine.fabric import stations_of
from snncc.simulator.machine.trace import MOST, complete, instant, meta

Row = tuple[int, int, int, int]
"""Station, time, what, slot, as in `EventLog`."""


def self_timed_events(
    graph: SpikeGraph,
    placement: Placement,
    inputs: Mapping[str, NDArray[np.generic]],
    period: int = 0,
    most: int = MOST,
) -> Iterator[dict[str, Any]]:
    """What happens with one sample: timesteps, messages on links and in event units, spikes, lost events.

    Raises what `run_events` raises, and `BadInput` for *most* happenings or more.
    """
    log = event_log(most)
    run = run_events(graph, placement, inputs, "timed", period, log=log)
    assert run.timing is not None
    if log.used[0] == most:
        raise BadInput(
            f"a timeline holds {most:,} happenings, this sample has more", hint="run fewer timesteps"
        )
    rows = list(zip(*(part[: log.used[0]].tolist() for part in log[1:]), strict=True))
    return traced(placement, program_of(graph, placement), rows, run.timing.total)


def traced(
    placement: Placement, program: EventProgram, rows: list[Row], end: int
) -> Iterator[dict[str, Any]]:
    """*rows* as events of the format; the last one is at *end*."""
    stations, micro = stations_of(placement.chip), placement.chip.time_unit * 1e6
    yield meta("process_name", 0, placement.chip.name)
    yield meta("thread_name", 0, "timesteps")
    for rank in sorted({station for station, *_ in rows}):
        yield meta("thread_name", rank + 1, stations.names[rank])
    first_unit = stations.size - stations.cores
    began: dict[int, int] = {}
    timesteps = [(slot, time) for _, time, what, slot in rows if what == BEGINS]
    for (number, time), (_, after) in zip(timesteps, [*timesteps[1:], (0, end)], strict=True):
        yield complete(0, f"timestep {number}", time * micro, (after - time) * micro, {"timestep": number})
    for station, time, what, slot in rows:
        thread, name, args = station + 1, *named(program, slot)
        if what == STARTS and station >= first_unit:
            began[station] = time
        elif what == STARTS:
            length = int(stations.latency[station])
            yield complete(thread, name, time * micro, length * micro, args)
        elif what == FINISHES:
            begin = began.pop(station)
            yield complete(thread, name, begin * micro, (time - begin) * micro, args)
        elif what in MARKS:
            yield instant(thread, f"{name} {MARKS[what]}", time * micro, args)


MARKS = {SENDS: "is sent", FIRES: "fires", DROPS: "is lost"}


def named(program: EventProgram, slot: int) -> tuple[str, dict[str, Any]]:
    """What the neuron at *slot*, or a tick, is called."""
    if slot < 0:
        return "tick", {}
    slots, address = program.slots, int(program.address[slot])
    population = slots.names[int(np.searchsorted(slots.begins, slot, side="right")) - 1]
    return f"{population}[{address}]", {"population": population, "neuron": address}
