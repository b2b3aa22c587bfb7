"""Compile for Loihi: legal numbers, the Lava program, and how both run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from snncc.backends.child import scratch_folder, writing
from snncc.backends.loihi.counted import counted
from snncc.backends.loihi.emit import emit
from snncc.backends.loihi.engine import PREFIX, run_lava
from snncc.backends.loihi.limits import STATE_BITS, STEP_SHIFT, WEIGHT_BITS
from snncc.backends.loihi.lower import lower
from snncc.backends.loihi.passes import BiasByNeuron, MoveBiases, PoolByNeurons, ToRegisters
from snncc.backends.loihi.problems import carries_numbers, problems, refused_nodes
from snncc.backends.loihi.remnant import Remnant, remnant
from snncc.backends.rectifiers import without_rectifiers
from snncc.backends.sim.target import Simulator
from snncc.backends.target import Attention, Options, Problem, Progress, Rounding
from snncc.errors import BadInput, CannotLower
from snncc.ir import Encoding, Kind, Overflow, SpikeGraph
from snncc.passes import (
    ElideIdentities,
    ElideRectifier,
    ExpandCounts,
    FoldBatchNorm,
    FoldPools,
    FreezeSideOperations,
    Pass,
    PlainNeurons,
    ReorderProducts,
    RoundHalfUp,
    run_passes,
)
from snncc.quantization import Grid, Quantize
from snncc.reference import Run
from snncc.reference.inputs import Data, by_input

MOST_STRETCH = 64
GRID = Grid(is_uniform=True, finer=STEP_SHIFT, proves_current=True)


@dataclass(frozen=True, slots=True)
class Loihi:
    """Loihi's integers on the simulator, and a self-contained program for Lava.

    A timestep takes at least *stretch* chip steps: what a loop of several layers needs whose delays are
    shorter than its way.
    """

    stretch: int = 1

    name: ClassVar[str] = "loihi"
    summary: ClassVar[str] = "a Lava program (Python 3.10, lava-nc 0.10.0), in Loihi's own integers"
    chip: ClassVar[str | None] = "loihi2"
    engines: ClassVar[tuple[str, ...]] = ("lava",)

    @property
    def settings(self) -> Mapping[str, int]:
        """What differs from the default."""
        return {"stretch": self.stretch} if self.stretch != 1 else {}

    def with_settings(self, settings: Mapping[str, int]) -> Loihi:
        """The target with *settings*. Raises `BadInput`."""
        stretch = settings.get("stretch", 1)
        if settings.keys() - {"stretch"} or not 1 <= stretch <= MOST_STRETCH:
            raise BadInput(f"loihi takes stretch, 1 to {MOST_STRETCH}, not {dict(settings)}")
        return Loihi(stretch)

    def problems(self, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
        """Every misfit that is seen before numbers are chosen, in the graph as the exact passes leave it."""
        found: list[Problem] = []
        if not graph.is_integer:
            graph, rectifiers = without_rectifiers(graph)
            found += rectifiers
            try:
                graph = run_passes(graph, self.first_passes(options))[-1].graph
            except CannotLower as error:
                where, _, what = error.message.partition(": ")
                yield from (*found, Problem(where, "passes", what, "a graph that they take", error.hint))
                return
        found += problems(graph, options)
        if not found or options.chip is None:
            yield from found
            return
        left = remnant(graph, refused_nodes(graph, options), not carries_numbers(options.chip))
        yield from (told(one, left) for one in found)
        yield from counted(left, options.chip, self.passes(as_assumed(graph, options)), self.stretch)

    def first_passes(self, options: Options) -> list[Pass]:
        """What comes before the question whether a graph fits."""
        chosen: list[Pass] = [ElideIdentities(), ReorderProducts(), ElideRectifier()]
        chosen += [PoolByNeurons(), PlainNeurons()]
        if options.attention is Attention.STATIC:
            chosen.append(FreezeSideOperations(options.timesteps, options.calibration))
        return [*chosen, FoldBatchNorm(options.fold), FoldPools(of_events=True)]

    def passes(self, options: Options) -> tuple[Pass, ...]:
        """As for the simulator, with one threshold for each layer, and numbers that registers hold."""
        chosen = self.first_passes(options)
        if options.rounding is Rounding.HALF_UP:
            chosen.append(RoundHalfUp())
        chosen += [ExpandCounts(options.encoding), MoveBiases(), BiasByNeuron()]
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
        lower(graph, self.stretch)

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
        return Simulator().run(
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
        emit(lower(graph, self.stretch), folder)

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
        options: dict[str, Any] = {
            "timesteps": timesteps,
            "record": record,
            "python": python,
            "progress": progress,
        }
        if folder is not None:
            return run_lava(graph, folder, data, **options)
        with scratch_folder(PREFIX) as scratch:
            with writing(scratch):
                self.emit(graph, scratch)
            return run_lava(graph, scratch, data, **options)


def as_assumed(graph: SpikeGraph, options: Options) -> Options:
    """*options* with which numbers are chosen without data: analog inputs of 0 to 1 unless they say more."""
    ranges = {node.name: (0.0, 1.0) for node in graph.inputs if node.kind is Kind.ANALOG}
    return replace(
        options,
        calibration=None,
        input_ranges=ranges | dict(options.input_ranges),
        attention=Attention.DYNAMIC,
        encoding=Encoding.SPIKES if options.encoding is Encoding.STREAM else options.encoding,
    )


def told(problem: Problem, left: Remnant) -> Problem:
    """*problem*, with a word on what is not counted."""
    if problem.where.partition(" ")[0] not in left.out:
        return problem
    return replace(problem, hint=f"{problem.hint}; limits of the chip are counted without it")
