"""The timeline of one sample on the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.data import to_graph
from snncc.api.placing import clock_of, firings_of, on_chip, recorded, senders
from snncc.api.program import Program
from snncc.chips import Discipline
from snncc.errors import BadInput
from snncc.ir import Layout


def write_timeline(
    path: str | Path, program: Program, x: ArrayLike, timesteps: int | None = None, period: float = 0.0
) -> None:
    """Write what happens on the chip with the first sample of *x*, for Perfetto (Chrome trace format).

    *x*, *timesteps* and *period* are as in `Program.run`. Raises `BadInput` for a program without
    a chip, `BadFile`.
    """
    from snncc.simulator.machine import self_timed_events, timeline, write_trace  # loads numba
    from snncc.simulator.machine.self_timed import input_trains

    clock = clock_of("cycle", period, "error", program.placement)
    target, graph, placement = program.target, program.graph, program.placement
    assert placement is not None
    axis = 1 if program.graph.layout is Layout.TB else 0
    data = np.asarray(x)
    if data.ndim <= axis or not data.shape[axis]:
        raise BadInput(f"a timeline needs a sample; the data has the shape {list(data.shape)}")
    first = np.take(data, [0], axis=axis)
    sample, steps = to_graph(graph, first, timesteps), program.timesteps if timesteps is None else timesteps
    record, firing = recorded(target, graph, (), clock.level), senders(target, placement, clock.level)
    run = target.run(graph, sample, timesteps=steps, record=record, firing=firing)
    firings = firings_of(target, graph, sample, run)
    if placement.chip.discipline is Discipline.EVENT:
        inputs = input_trains(placement, {name: each[0] for name, each in firings.items()}, steps)
        events = self_timed_events(on_chip(target, graph), placement, inputs, clock.period)
    else:
        events = timeline(placement, firings)
    write_trace(path, events)
