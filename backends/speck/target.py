"""Compile for Speck: what fits, the passes, how the integers run, and what is emitted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from snncc.backends.child import scratch_folder, writing
from snncc.backends.rectifiers import without_rectifiers
from snncc.backends.sim.target import Simulator
from snncc.backends.speck.legalize import BoundPotentials, Discretize
from snncc.backends.speck.mapped import mapped, memory_problems, synapse_words
from snncc.backends.speck.neurons import COUNTS
from snncc.backends.speck.obstacles import POTENTIALS, obstacles, scale_obstacles
from snncc.backends.speck.readout import SpikingReadout, readout_obstacles
from snncc.backends.speck.split import SplitCores
from snncc.backends.speck.stream import UnrollTicks, has_streams, stream_obstacles
from snncc.backends.target import Options, Precision, Problem, Progress, Rounding
from snncc.chips import Chip
from snncc.errors import BadInput, SnnccError, UnknownName
from snncc.ir import Array, BiasTicks, Encoding, SpikeGraph
from snncc.mapping import Placement
from snncc.passes import (
    ElideIdentities,
    ElideRectifier,
    ExpandCounts,
    FoldBatchNorm,
    FoldPools,
    FoldThresholds,
    MultiSpike,
    Pass,
    ReorderProducts,
    RoundHalfUp,
    run_passes,
)
from snncc.reference import Run
from snncc.reference.inputs import Data

EXACT: tuple[Pass, ...] = (
    *(ElideIdentities(), ReorderProducts(), ElideRectifier(), FoldBatchNorm(), FoldPools()),
    FoldThresholds(),
)
"""What comes before the questions whether a graph fits."""
ASKED_FOR = (COUNTS, POTENTIALS)
"""Obstacles that streams and a spiking readout remove; why they cannot is said instead."""


@dataclass(frozen=True, slots=True)
class Speck:
    """SynSense's Speck 2e and 2f: checked without the vendor's driver, run on the simulator and on sinabs.

    *spiking_readout*: 1 puts neurons behind a last layer that has none. *split_cores*: 1 splits layers over
    two cores where that helps.
    """

    spiking_readout: int = 0
    split_cores: int = 0

    name: ClassVar[str] = "speck"
    summary: ClassVar[str] = (
        "Speck 2e/2f by way of Sinabs: a Sinabs module, the chip's configuration, a deployment script"
    )
    chip: ClassVar[str | None] = None
    engines: ClassVar[tuple[str, ...]] = ("sinabs",)

    @property
    def settings(self) -> Mapping[str, int]:
        """What differs from the default."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    def with_settings(self, settings: Mapping[str, int]) -> Speck:
        """The target with *settings*. Raises `BadInput`."""
        known = [field.name for field in fields(self)]
        if settings.keys() - set(known) or not set(settings.values()) <= {0, 1}:
            raise BadInput(f"speck takes {' and '.join(known)}, 0 or 1, not {dict(settings)}")
        return replace(self, **settings)

    def problems(self, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
        """Options that the chip has not, every node that has no place on it, and memory."""
        yield from option_problems(options)
        if graph.is_integer:
            hint = "compile the float graph for speck"
            yield Problem(graph.name, "numbers", "integers of another target", "a float graph", hint)
            return
        try:
            graph, rectifiers = without_rectifiers(graph)
            yield from rectifiers
            graph = run_passes(graph, (*EXACT, *rounding(options)))[-1].graph
        except SnnccError as problem:
            yield Problem(graph.name, "passes", str(problem), "a graph that they take", problem.hint)
            return
        found = list(stream_obstacles(graph, options)) if has_streams(graph, options) else []
        found += readout_obstacles(graph) if self.spiking_readout else []
        yield from found
        if not found:
            try:
                graph = run_passes(graph, self.asked(options))[-1].graph
            except SnnccError as problem:
                yield Problem(graph.name, "passes", str(problem), "a graph that they take", problem.hint)
                return
        standing = [one for one in obstacles(graph) if not (found and one.what in ASKED_FOR)]
        if self.split_cores and not standing and not found:
            graph = SplitCores()(graph)
            standing = list(obstacles(graph))
        yield from standing
        yield from scale_obstacles(graph, standing)
        yield from memory_problems(*synapse_words(graph))

    def asked(self, options: Options) -> tuple[Pass, ...]:
        """What is approximate and done only where it is asked for."""
        chosen: list[Pass] = []
        if options.encoding is Encoding.STREAM:
            chosen += [ExpandCounts(Encoding.STREAM, options.flush, options.bias), UnrollTicks()]
        if self.spiking_readout:
            is_stream = options.encoding is Encoding.STREAM
            chosen.append(SpikingReadout(options.bias if is_stream else BiasTicks.SPREAD))
        return (*chosen, FoldThresholds()) if chosen else ()

    def passes(self, options: Options) -> tuple[Pass, ...]:
        """One threshold a layer, many spikes a timestep, lower bounds, and Sinabs's integers."""
        asked = (*rounding(options), *self.asked(options))
        split = (SplitCores(),) if self.split_cores else ()
        return (*EXACT, *asked, MultiSpike(), BoundPotentials(), Discretize(), *split)

    def finish(self, graph: SpikeGraph) -> None:
        """Find a core for every layer of the compiled *graph*. Raises `DoesNotFit`."""
        mapped(graph)

    def graph_on_chip(self, graph: SpikeGraph) -> SpikeGraph:
        """The model `event`: neurons that fire once for an event, each count as so many events."""
        from snncc.backends.speck.events import graph_on_chip

        return graph_on_chip(graph)

    def place(self, graph: SpikeGraph, chip: Chip) -> Placement:
        """The layers of the compiled *graph* on the cores that the configuration puts them on."""
        from snncc.backends.speck.events import graph_on_chip, on_cores

        return on_cores(mapped(graph), graph_on_chip(graph), chip)

    def trains_on_chip(self, graph: SpikeGraph, x: Data, run: Run) -> Mapping[str, Array]:
        """Events of the input, and the counts of the model `step`, with which the chip's are compared."""
        from snncc.backends.speck.events import trains_on_chip

        return trains_on_chip(graph, x, run)

    def loads(self, graph: SpikeGraph, run: Run) -> Iterator[str]:
        """Synaptic operations of each core, and the shortest timestep in which it keeps up."""
        from snncc.backends.speck.events import loads

        return loads(mapped(graph), run)

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
        from snncc.backends.speck.engine import PREFIX, run_sinabs

        if engine not in self.engines:
            raise UnknownName("engine", engine, self.engines)
        if folder is not None:
            return run_sinabs(mapped(graph), folder, x, timesteps=timesteps, record=record, python=python)
        with scratch_folder(PREFIX) as scratch:
            with writing(scratch):
                self.emit(graph, scratch)
            return run_sinabs(mapped(graph), scratch, x, timesteps=timesteps, record=record, python=python)


def rounding(options: Options) -> tuple[Pass, ...]:
    """What becomes of neurons that round half to even."""
    return (RoundHalfUp(),) if options.rounding is Rounding.HALF_UP else ()


def option_problems(options: Options) -> Iterator[Problem]:
    """Widths and encodings that are asked for and are not those of the chip."""
    if options.precision is Precision.FLOAT:
        yield Problem("options", "precision", "float", "integer", "leave the option out")
    if options.weight_bits != 8:
        yield Problem("options", "weight_bits", str(options.weight_bits), "8", "leave the option out")
    if options.state_bits not in (None, 16):
        yield Problem("options", "state_bits", str(options.state_bits), "16", "leave the option out")
