"""Compile for Speck: what fits, the passes, how the integers run, and what is emitted."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from snncc.backends.sim.target import Simulator
from snncc.backends.speck.legalize import BoundPotentials, Discretize
from snncc.backends.speck.mapped import mapped, memory_problems, synapse_words
from snncc.backends.speck.obstacles import obstacles
from snncc.backends.target import Options, Precision, Problem, Progress, WithoutSettings
from snncc.errors import SnnccError, UnknownName
from snncc.ir import Encoding, SpikeGraph
from snncc.passes import (
    ElideIdentities,
    ElideRectifier,
    FoldBatchNorm,
    FoldPools,
    FoldThresholds,
    MultiSpike,
    Pass,
    ReorderProducts,
    run_passes,
)
from snncc.reference import Run
from snncc.reference.inputs import Data

EXACT: tuple[Pass, ...] = (
    *(ElideIdentities(), ReorderProducts(), ElideRectifier(), FoldBatchNorm(), FoldPools()),
    FoldThresholds(),
)
"""What comes before the questions whether a graph fits."""


class Speck(WithoutSettings):
    """SynSense's Speck 2e and 2f: checked without the vendor's driver, run on the simulator and on sinabs."""

    name = "speck"
    summary = "Speck 2e/2f by way of Sinabs: a Sinabs module, the chip's configuration, a deployment script"
    chip: str | None = None
    engines: tuple[str, ...] = ("sinabs",)

    def problems(self, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
        """Options that the chip has not, every node that has no place on it, and memory."""
        yield from option_problems(options)
        if graph.is_integer:
            hint = "compile the float graph for speck"
            yield Problem(graph.name, "numbers", "integers of another target", "a float graph", hint)
            return
        try:
            graph = run_passes(graph, EXACT)[-1].graph
        except SnnccError as problem:
            yield Problem(graph.name, "passes", str(problem), "a graph that they take", problem.hint)
            return
        yield from obstacles(graph)
        yield from memory_problems(*synapse_words(graph))

    def passes(self, options: Options) -> tuple[Pass, ...]:
        """One threshold a layer, many spikes a timestep, lower bounds, and Sinabs's integers."""
        return (*EXACT, MultiSpike(), BoundPotentials(), Discretize())

    def finish(self, graph: SpikeGraph) -> None:
        """Find a core for every layer of the compiled *graph*. Raises `DoesNotFit`."""
        mapped(graph)

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
        """The model `step`: all spikes of a timestep together, as Sinabs computes, on the simulator."""
        return Simulator().run(
            graph,
            x,
            timesteps=timesteps,
            record=record,
            threads=threads,
            state=state,
            keep_state=keep_state,
            progress=progress,
            firing=firing,
        )

    def emit(self, graph: SpikeGraph, folder: Path) -> None:
        """The module, the configuration, the script that loads it, and a map of the cores."""
        from snncc.backends.speck.emit import emit

        emit(mapped(graph), folder)

    def remarks(self, graph: SpikeGraph, x: Data, run: Run) -> Iterator[str]:
        """How far the chip, which works event by event, is from *run*; and how busy its cores are."""
        from snncc.backends.speck.events import remarks

        try:
            yield from remarks(graph, x, run)
        except SnnccError as problem:
            yield f"the model of the chip, event by event, did not run: {problem}"

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
        """The emitted module on sinabs. Raises `EngineFailed`, `UnknownName`, `BadInput`."""
        from snncc.backends.speck.engine import run_sinabs

        if engine not in self.engines:
            raise UnknownName("engine", engine, self.engines)
        if folder is not None:
            return run_sinabs(mapped(graph), folder, x, timesteps=timesteps, record=record, python=python)
        with tempfile.TemporaryDirectory(prefix="snncc-speck-") as scratch:
            self.emit(graph, Path(scratch))
            return run_sinabs(
                mapped(graph), Path(scratch), x, timesteps=timesteps, record=record, python=python
            )


def option_problems(options: Options) -> Iterator[Problem]:
    """Widths and encodings that are asked for and are not those of the chip."""
    if options.precision is Precision.FLOAT:
        yield Problem("options", "precision", "float", "integer", "leave the option out")
    if options.weight_bits != 8:
        yield Problem("options", "weight_bits", str(options.weight_bits), "8", "leave the option out")
    if options.state_bits not in (None, 16):
        yield Problem("options", "state_bits", str(options.state_bits), "16", "leave the option out")
    if options.encoding is Encoding.STREAM:
        yield Problem("options", "encoding", "stream", "events", "not made for Speck: train IF neurons")
