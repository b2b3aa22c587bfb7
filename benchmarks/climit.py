"""The scatter loop in C, compiled in this run, on the events that the simulator saw."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import Workload
from snncc.simulator.layer_kernel import MAP_ROWS, OF_NEXT, TO_NEXT, UNIT, UNITS
from snncc.simulator.layer_run import run_layer
from snncc.simulator.layer_table import WIDTHS, aligned, layer_table
from snncc.simulator.layer_weights import arranged
from snncc.simulator.plan import plan_of
from snncc.simulator.sheet import Sheet
from snncc.simulator.simd import lanes_of


class Source(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("events", "starts", "rows", "codes")),
        *((name, ctypes.c_int64) for name in ("frames", "map_rows", "to_next", "of_next")),
    )


def compiled() -> ctypes.CDLL:
    """The C loop, compiled with ``gcc -O3 -march=native``."""
    library = Path(tempfile.mkdtemp()) / "scatter.so"
    source = Path(__file__).with_name("scatter.c")
    command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def simulated(load: Workload, x: Any) -> Sheet:
    """The simulator's own lists of events for *x*, as one chunk."""
    plan = plan_of(load.graph)
    sheet = Sheet(plan, load.timesteps, x.shape[1], {"x": x})
    for part in plan.parts:
        sheet.run_part(part)
    return sheet


def c_scatter(sheet: Sheet, library: ctypes.CDLL) -> Callable[[], None]:
    """A function that adds all events of a run to the sums of all layers, in 16 bits."""
    calls, kept = [], []
    for prepared in sheet.plan.layers.values():
        widths = [w for w in WIDTHS if w[1] == 16]
        table = next(t for w in widths if (t := layer_table(prepared.layer, *w)) is not None)
        for source, arrays in zip(prepared.layer.sources, table.sources, strict=True):
            stream = sheet.streams[source.name]
            starts = stream.starts.copy()
            events = stream.events[: starts[-1]].copy()
            sums = aligned(np.zeros(table.input_size), "i2")
            weights, n = aligned(arranged(source, prepared.layer.grid, 16), "i1"), arrays.numbers
            about = Source(
                *(events.ctypes.data, starts.ctypes.data, arrays.rows.ctypes.data, arrays.codes.ctypes.data),
                *(stream.batch * stream.timesteps, int(n[MAP_ROWS]), int(n[TO_NEXT]), int(n[OF_NEXT])),
            )
            kept.append((events, starts, arrays, sums, weights, about))
            run = ctypes.c_int64(int(max(n[UNIT], 1) * n[UNITS]) * lanes_of(16))
            addresses = (ctypes.c_void_p(a.ctypes.data) for a in (sums, weights))
            calls.append((run, ctypes.byref(about), *addresses))

    def scatter() -> None:
        assert kept  # the arrays live as long as the function
        for call in calls:
            library.add_events(*call)

    return scatter


def kernels(load: Workload, x: Any) -> Callable[[], None]:
    """A function that runs the simulator's kernel on every layer, on events that are already listed."""
    sheet = simulated(load, x)

    def run() -> None:
        for prepared in sheet.plan.layers.values():
            run_layer(prepared, sheet.streams, sheet.timesteps, sheet.batch, sheet.space)

    return run
