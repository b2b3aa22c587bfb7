"""Compile for Loihi: legal numbers, the Lava program, and how both run."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from snncc.backends.loihi.emit import emit
from snncc.backends.loihi.engine import run_lava
from snncc.backends.loihi.limits import STATE_BITS, STEP_SHIFT, WEIGHT_BITS
from snncc.backends.loihi.lower import lower
from snncc.backends.loihi.passes import MoveBiases, PoolByNeurons, ToRegisters
from snncc.backends.loihi.problems import problems
from snncc.backends.sim.target import run_simulator
from snncc.backends.target import Attention, Options, Problem, Progress, Rounding
from snncc.ir import Overflow, SpikeGraph
from snncc.passes import (
    ElideIdentities,
    ElideRectifier,
    ExpandCounts,
    FoldBatchNorm,
    FreezeSideOperations,
    Pass,
    ReorderProducts,
    RoundHalfUp,
)
from snncc.quantization import Grid, Quantize
from snncc.reference import Run
from snncc.reference.inputs import Data, by_input

GRID = Grid(is_uniform=True, finer=STEP_SHIFT, proves_current=True)


class Loihi:
    """Loihi's integers on the simulator, and a self-contained program for Lava."""

    name = "loihi"
    summary = "Loihi: a Lava program (Python 3.10, lava-nc 0.10.0), in the chip's own integers"
    chip: str | None = "loihi2"
    engines: tuple[str, ...] = ("lava",)

    def problems(self, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
        """Every misfit that is seen before numbers are chosen."""
        return problems(graph, options)

    def passes(self, options: Options) -> tuple[Pass, ...]:
        """As for the simulator, with one threshold for each layer, and numbers that registers hold."""
        chosen: list[Pass] = [ElideIdentities(), ReorderProducts(), ElideRectifier(), PoolByNeurons()]
        if options.attention is Attention.STATIC:
            chosen.append(FreezeSideOperations(options.timesteps, options.calibration))
        chosen.append(FoldBatchNorm(options.fold))
        if options.rounding is Rounding.HALF_UP:
            chosen.append(RoundHalfUp())
        chosen += [ExpandCounts(options.encoding), MoveBiases()]
        quantize = Quantize(
            weight_bits=min(options.weight_bits, WEIGHT_BITS),
            state_bits=STATE_BITS,
            input_bits=options.input_bits,
            per_channel=options.per_channel,
            overflow=Overflow.SATURATE,
            timesteps=options.timesteps,
            calibration=options.calibration,
            input_ranges=options.input_ranges,
            grid=GRID,
        )
        return (*chosen, quantize, ToRegisters())

    def finish(self, graph: SpikeGraph) -> None:
        """Raises `DoesNotFit` where a number of the compiled *graph* has no register."""
        lower(graph)

    def run(
        self,
        graph: SpikeGraph,
        x: Data,
        *,
        timesteps: int,
        record: Collection[str] = (),
        threads: int | None = None,
        state: Mapping[str, Any] | None = None,
        keep_state: bool = False,
        progress: Progress | None = None,
        firing: Collection[str] = (),
    ) -> Run:
        """Execute on our simulator, in the integers of the chip."""
        return run_simulator(
            *(graph, x),
            timesteps=timesteps,
            record=record,
            threads=threads,
            state=state,
            keep_state=keep_state,
            progress=progress,
            firing=firing,
        )

    def emit(self, graph: SpikeGraph, folder: Path) -> None:
        """The Lava program."""
        emit(lower(graph), folder)

    def run_engine(
        self,
        engine: str,
        graph: SpikeGraph,
        x: Data,
        *,
        timesteps: int,
        record: Collection[str] = (),
        folder: Path | None = None,
        python: str | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Run the Lava program of *graph*, in *folder* where it was emitted already."""
        data = by_input(graph, x)
        options: dict[str, Any] = {"timesteps": timesteps, "record": record, "python": python}
        if folder is not None:
            return run_lava(graph, folder, data, **options)
        with tempfile.TemporaryDirectory(prefix="snncc-loihi-") as scratch:
            self.emit(graph, Path(scratch))
            return run_lava(graph, Path(scratch), data, **options)
