"""The timeline of one sample on the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.placing import timing_level
from snncc.api.program import Program
from snncc.ir import Layout


def write_timeline(path: str | Path, program: Program, x: ArrayLike) -> None:
    """Write what happens on the chip with the first sample of *x*, for Perfetto (Chrome trace format).

    *x* is in the model's layout. Raises `BadInput` for a program without a chip, `BadFile`.
    """
    from snncc.simulator import Run as Simulated  # loads numba
    from snncc.simulator.machine import timeline, write_trace

    timing_level("cycle", program.placement)
    placement = program.placement
    assert placement is not None
    axis = 1 if program.graph.layout is Layout.TB else 0
    first = np.take(np.asarray(x), [0], axis=axis)
    run = program.run(first, timing="analytic").run
    assert isinstance(run, Simulated)
    write_trace(path, *timeline(placement, run.firings))
