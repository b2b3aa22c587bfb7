"""A timeline in the Chrome trace format, for Perfetto (https://ui.perfetto.dev) and chrome://tracing.

Format: "Trace Event Format" (Google): complete events ``X`` with begin and length in microseconds, instants
``i``, on a thread for each station.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from snncc.ir.write import replace_file
from snncc.simulator.machine.machine import Happenings
from snncc.simulator.machine.program import MachineProgram
from snncc.simulator.timing import Timing

MOST = 1_000_000
"""Happenings that a timeline holds."""


def trace_events(program: MachineProgram, timing: Timing, happened: Happenings) -> Iterator[dict[str, Any]]:
    """The events of one sample: steps, synchronizations, messages on links and in synapse units."""
    stations, sends = program.stations, program.sends
    micro = program.placement.chip.time_unit * 1e6
    used = sorted(set(happened.station.tolist()))
    yield meta("process_name", 0, program.placement.chip.name)
    yield meta("thread_name", 0, "steps")
    for rank in used:
        yield meta("thread_name", rank + 1, stations.names[rank])
    start = 0
    for number, length in enumerate(timing.steps.tolist()):
        yield complete(0, f"step {number}", start * micro, length * micro, {"step": number})
        start += length
        yield complete(0, "synchronization", start * micro, timing.barrier * micro, {})
        start += timing.barrier
    offsets = list(program.offsets.items())
    rows = zip(*(part.tolist() for part in (happened.station, happened.time, happened.length)), strict=True)
    for (rank, time, length), arrival in zip(rows, happened.arrival.tolist(), strict=True):
        sender = int(sends.sender[arrival])
        name, offset = next(pair for pair in reversed(offsets) if pair[1] <= sender)
        synapses = (
            int(sends.synapses[:, arrival].sum()) if rank >= stations.size - stations.receivers else None
        )
        detail = {"population": name, "neuron": sender - offset, "core": int(sends.core[arrival])}
        if synapses is not None:
            detail["synapses"] = synapses
        yield complete(rank + 1, f"{name}[{sender - offset}]", time * micro, length * micro, detail)


def meta(kind: str, thread: int, name: str) -> dict[str, Any]:
    """What a process or thread is called."""
    return {"ph": "M", "pid": 0, "tid": thread, "name": kind, "args": {"name": name}}


def complete(thread: int, name: str, begin: float, length: float, args: dict[str, Any]) -> dict[str, Any]:
    """Something that took *length* microseconds."""
    return {"ph": "X", "pid": 0, "tid": thread, "name": name, "ts": begin, "dur": length, "args": args}


def instant(thread: int, name: str, time: float, args: dict[str, Any]) -> dict[str, Any]:
    """Something that took no time."""
    return {"ph": "i", "s": "t", "pid": 0, "tid": thread, "name": name, "ts": time, "args": args}


def write_trace(path: str | Path, events: Iterable[dict[str, Any]]) -> None:
    """Write a timeline to *path*. Raises `BadFile` where it cannot be written."""
    document = {"displayTimeUnit": "ns", "traceEvents": list(events)}
    replace_file(Path(path), json.dumps(document).encode("utf-8"))
