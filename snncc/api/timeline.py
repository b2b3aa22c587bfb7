"""The timeline of one sample on the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.placing import timing_level
from snncc.api.program import Program
from snncc.chips import Discipline
from snncc.errors import BadInput
from snncc.ir import Layout


def write_timeline(path: str | Path, program: Program, x: ArrayLike, timesteps: int | None = None) -> None:
    """Write what happens on the chip with the first sample of *x*, for Perfetto (Chrome trace format).

    *x* and *timesteps* are as in `Program.run`. Raises `BadInput` for a program without a chip, `BadFile`.
    """
    from snncc.simulator import Run as Simulated  # loads numba
    from snncc.simulator.machine import timeline, write_trace

    check_timeline(program)
    placement = program.placement
    assert placement is not None
    axis = 1 if program.graph.layout is Layout.TB else 0
    data = np.asarray(x)
    if data.ndim <= axis or not data.shape[axis]:
        raise BadInput(f"a timeline needs a sample; the data has the shape {list(data.shape)}")
    first = np.take(data, [0], axis=axis)
    run = program.run(first, timesteps=timesteps, timing="analytic").run
    assert isinstance(run, Simulated)
    write_trace(path, *timeline(placement, run.firings))


def check_timeline(program: Program) -> None:
    """Raise `BadInput` for a program whose chip has no timeline."""
    timing_level("cycle", program.placement)
    if program.placement is not None and program.placement.chip.discipline is Discipline.EVENT:
        raise BadInput(f"{program.placement.chip.name}: no timeline is made of a self-timed chip")
