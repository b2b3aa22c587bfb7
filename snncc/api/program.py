"""Compiling a graph into a program, running it, and keeping it in a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.choices import encoding_of, member
from snncc.api.data import batch_axis, batches, clipping, joined, to_graph
from snncc.api.folder import load_stages, save_stages
from snncc.api.placing import chip_of, clock_of, placed, senders, spikes_of, timed, together
from snncc.backends.table import target_named
from snncc.backends.target import Attention, DoesNotFit, Options, Precision, Problem, Rounding, Target
from snncc.chips import Chip
from snncc.errors import BadInput, CannotLower, UnknownName
from snncc.ir import Array, BiasTicks, Kind, Layout, Overflow, SpikeGraph
from snncc.mapping import DoesNotFitChip, Placement
from snncc.mapping.demand import HINTS
from snncc.passes import Into, Pass, Stage, run_passes
from snncc.reference import Record, Run
from snncc.simulator.accountings import accounting_named
from snncc.simulator.costs import Costs, Latency, costs

if TYPE_CHECKING:
    from snncc.simulator.machine import ChipRun

BATCH = 64
"""Samples that run together: what is recorded of a batch is held at once."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a program did on a batch.

    *outputs* are real values by output name: [B, *shape], or [T, B, *shape] ([B, T, *shape] in the layout
    BT) for a sequence. *counts* has costs layer by layer, means over samples. *records* has trains
    [T, B, ticks, *shape] and membrane potentials [T, B, *shape] of what was asked for: in an integer program
    in steps of ``program.graph.edges[source].scale``, *source* being what the neuron reads. *notes* are
    warnings, such as inputs beyond the calibrated range. *chip* has time and energy on the chip, where a
    timing was asked for.
    """

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in self.outputs.items())
        return f"Result({shapes}; {self.counts.total('spikes'):.6g} spikes, {self.energy:.4g} J a sample)"

    outputs: Mapping[str, Array]
    counts: Costs
    records: Mapping[str, Record]
    run: Run
    notes: tuple[str, ...] = ()
    chip: ChipRun | None = None

    @property
    def output(self) -> Array:
        """The only output. Raises `BadInput` where there are several."""
        if len(self.outputs) != 1:
            raise BadInput(f"there are several outputs, {', '.join(self.outputs)}; take one by name")
        return next(iter(self.outputs.values()))

    @property
    def spikes(self) -> Mapping[str, Array]:
        """Spikes that left each layer: int64 [B, T, ticks]."""
        return self.run.spikes

    @property
    def energy(self) -> float:
        """Joules for one inference, from counted operations, in the accounting of ``counts``."""
        return self.counts.energy

    @property
    def latency(self) -> Latency:
        """Timesteps and ticks of one inference."""
        return self.counts.latency


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled network: every stage from the traced graph to the one that runs, and where it runs.

    *placement* has the chip, and which neurons live on which core; None: compiled for no chip. *folder* is
    where the program was loaded from.
    """

    target: Target
    stages: tuple[Stage, ...]
    placement: Placement | None = None
    folder: Path | None = None

    def __repr__(self) -> str:
        passes = ", ".join(stage.name for stage in self.stages[1:])
        chip = "" if self.placement is None else f" on {self.placement.chip.name}"
        return f"Program({self.graph.name} for {self.target.name}{chip}: {passes})"

    @property
    def graph(self) -> SpikeGraph:
        """The graph that runs."""
        return self.stages[-1].graph

    @property
    def timesteps(self) -> int:
        """Timesteps with which the network was traced."""
        return self.graph.timesteps

    def run(
        self,
        x: ArrayLike,
        *,
        record: Collection[str] = (),
        timesteps: int | None = None,
        threads: int | None = None,
        state: Mapping[str, Any] | None = None,
        keep_state: bool = False,
        progress: Progress | None = None,
        timing: str = "none",
        period: float = 0.0,
        drops: str = "error",
        accounting: str = "paper",
    ) -> Result:
        """Run on *x*, in the model's layout, for *timesteps* (default: those it was traced with).

        Every sample starts from the initial state unless *state* is given: the ``run.state`` of an earlier
        result of the same samples, made with *keep_state*. *record* names layers whose trains and potentials
        are kept. *progress* is called with (samples done, samples in all). *timing* ``analytic``, ``cycle``
        or ``reserved`` (approximate) follows every sample on the chip for which the program was compiled
        (simulator/MACHINE.md). On a self-timed chip a timestep begins every *period* seconds at the
        earliest, and events that are lost at full queues are an error, or, with *drops* ``count``, counted.
        *accounting* ``paper`` or ``cmos45`` says what the counted operations cost
        (`snncc.simulator.accountings`). Raises `BadInput` for data that does not fit, `UnknownName`.
        """
        clock, prices = clock_of(timing, period, drops, self.placement), accounting_named(accounting)
        steps = self.timesteps if timesteps is None else timesteps
        record = [record] if isinstance(record, str) else record
        if steps < 1 or (threads is not None and threads < 1):
            raise BadInput(f"a run has at least one timestep and one thread, not {steps} and {threads}")
        if state is not None and not state:
            raise BadInput("the state is empty", hint="make it with run(..., keep_state=True)")
        if state is not None and clock.level and self.placement is not None:
            raise BadInput("a timing on a chip starts from the initial state", hint="run without state")
        data = to_graph(self.graph, x, timesteps)
        runs: list[Run] = []
        total = data.shape[batch_axis(self.graph)] if data.ndim > batch_axis(self.graph) else 0
        done = 0
        size = total or 1
        if state is None and not keep_state and (record or clock.level or not self.graph.is_integer):
            size = BATCH
        on_chip: list[ChipRun] = []
        for part in batches(self.graph, data, size):
            last = self.target.run(
                self.graph,
                part,
                timesteps=steps,
                record=record,
                threads=threads,
                state=state,
                keep_state=keep_state,
                firing=senders(self.placement, clock.level),
            )
            if clock.level and self.placement is not None:
                on_chip.append(timed(self.graph, self.placement, last, clock, threads))
            runs.append(last)
            done += last.batch
            if progress is not None:
                progress(done, total)
        run = joined(self.graph, runs)
        outputs = dict(run.outputs)
        for node in self.graph.outputs:
            if node.over.value == "sequence" and self.graph.layout is Layout.BT:
                outputs[node.name] = np.swapaxes(outputs[node.name], 0, 1)
        chip = together(on_chip) if on_chip else None
        notes = (*clipping(self.graph, data), *(chip.notes if chip is not None else ()))
        return Result(outputs, costs(self.graph, run, prices), run.records, run, notes, chip)

    def run_engine(
        self,
        engine: str,
        x: ArrayLike,
        *,
        record: Collection[str] = (),
        timesteps: int | None = None,
        python: str | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Run what the target emitted on *engine*, software of others (``lava``, ``sinabs``).

        *x* and *timesteps* are as in `run`, *python* the interpreter of the engine's environment. Returns
        outputs [B, *shape] or [T, B, *shape], and of the layers in *record* trains and potentials. Raises
        `UnknownName`, `EngineFailed`, `BadInput`.
        """
        names = [record] if isinstance(record, str) else record
        steps = self.timesteps if timesteps is None else timesteps
        return self.engine_run(engine, to_graph(self.graph, x, timesteps), names, steps, python, progress)

    def engine_run(
        self,
        engine: str,
        data: Array,
        record: Collection[str],
        timesteps: int,
        python: str | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """As `run_engine`, on data in the graph's layout."""
        if engine not in self.target.engines:
            raise UnknownName("engine", engine, self.target.engines)
        folder = None if self.folder is None else self.folder / self.target.name
        return self.target.run_engine(
            *(engine, self.graph, data),
            timesteps=timesteps,
            record=record,
            folder=folder if folder is not None and folder.is_dir() else None,
            python=python,
            progress=progress,
        )

    def save(self, folder: str | Path) -> None:
        """Write the program to *folder*, whole or not at all; an earlier program there is replaced.

        Raises `BadFile` when the folder cannot be written or holds something else.
        """
        save_stages(
            *(folder, self.target.name, self.stages, self.placement),
            settings=self.target.settings,
            emit=lambda empty: self.target.emit(self.graph, empty),
        )


def load_program(folder: str | Path) -> Program:
    """Read a program from *folder*. Raises `BadFile` for whatever is wrong with it."""
    target, settings, stages, placement = load_stages(folder)
    chosen = target_named(target)
    if settings:
        chosen = chosen.with_settings(settings)
    return Program(chosen, stages, placement, Path(folder))


def compile_graph(
    graph: SpikeGraph,
    *,
    target: str = "sim",
    calibration: ArrayLike | None = None,
    encoding: str | None = None,
    flush: int = 0,
    bias: str = "spread",
    fold: str = "weights",
    rounding: str = "keep",
    relu_levels: int | None = None,
    attention: str = "dynamic",
    precision: str = "integer",
    weight_bits: int = 8,
    state_bits: int | None = None,
    input_bits: int = 8,
    per_channel: bool = True,
    overflow: str = "saturate",
    timesteps: int | None = None,
    input_range: tuple[float, float] | None = None,
    passes: Collection[Pass] | None = None,
    chip: str | Chip | None = None,
    schedule: str | None = None,
    cores: int | None = None,
    profile: ArrayLike | None = None,
    seed: int = 0,
    stretch: int = 1,
) -> Program:
    """Compile a traced *graph* for *target*.

    *calibration* is data in the model's layout, from which input ranges and state widths are measured; an
    analog input needs it, or *input_range* (low, high), unless *precision* is ``float``. *encoding* is
    ``spikes`` or ``graded`` (exact) or ``stream`` (approximate; *flush* extra ticks, *bias* ``spread`` or
    ``v0``); None: spikes, or graded where a count can exceed 15. *fold* puts batch normalization into
    ``weights`` or ``thresholds``. *rounding* ``half-up`` replaces half-to-even neurons (approximate at
    ties). *relu_levels* makes plain rectifiers counts of so many levels (approximate). *attention*
    ``static`` makes the gains of attention modules constants, as they were on the calibration data
    (approximate). Weights get *weight_bits*, states *state_bits* (16, 24, 32; None: what is needed), inputs
    *input_bits*; *overflow* is ``saturate``, ``wrap`` or ``error``. *passes* replaces the target's own
    pipeline.

    *chip* (a shipped name, the path of a chip file, a `Chip`) places the compiled network on a chip, for
    timing and energy: *schedule* ``pipelined`` or ``layered`` (None: pipelined where the network allows it),
    spread over *cores* of it (None: as few as hold it). With *profile*, data in the model's layout, the
    placement is improved against the spikes that these data cause, with *seed* where chance decides.
    *stretch* (loihi) gives a timestep more chip steps, for loops that need them. Raises `DoesNotFit` with
    every misfit of the target, `DoesNotFitChip` with every limit of the chip that is broken, `BadInput` for
    options that are unknown.
    """
    chosen = target_named(target)
    if stretch != 1:
        chosen = chosen.with_settings({"stretch": stretch})
    chip = chosen.chip if chip is None else chip
    where = None if chip is None else chip_of(chip)
    steps = graph.timesteps if timesteps is None else timesteps
    graph = replace(graph, timesteps=steps)
    data = None if calibration is None else to_graph(graph, calibration)
    if input_range is not None and calibration is not None:
        raise BadInput("calibration and input_range both say what the input's range is; give one of them")
    if flush < 0:
        raise BadInput(f"a stream has 0 or more flush ticks, not {flush}")
    if input_range is not None and len(input_range) != 2:
        raise BadInput(f"the input range must be (LOW, HIGH), not {input_range}")
    if data is not None and data.size and data.dtype.kind in "fiub" and not data.any():
        raise BadInput("the calibration data is zero everywhere, so no range can be measured on it")
    if input_range is not None and not (np.all(np.isfinite(input_range)) and input_range[0] < input_range[1]):
        raise BadInput(f"the input range must be LOW < HIGH, not {input_range}")
    options = Options(
        encoding=encoding_of(graph, encoding, relu_levels),
        flush=flush,
        bias=member(BiasTicks, bias, "bias"),
        fold=member(Into, fold, "fold"),
        rounding=member(Rounding, rounding, "rounding"),
        relu_levels=relu_levels,
        attention=member(Attention, attention, "attention"),
        precision=member(Precision, precision, "precision"),
        weight_bits=weight_bits,
        state_bits=state_bits,
        input_bits=input_bits,
        per_channel=per_channel,
        overflow=member(Overflow, overflow, "overflow"),
        timesteps=steps,
        chip=where,
        calibration=data,
        input_ranges={} if input_range is None else {node.name: input_range for node in graph.inputs},
    )
    graph.verify()
    misfits = tuple(chosen.problems(graph, options))
    if misfits:
        raise DoesNotFit(chosen.name, misfits)
    if where is None and (schedule is not None or cores is not None or profile is not None):
        raise BadInput("schedule, cores and profile need a chip", hint="chip='mesh', --chip mesh")
    stages = run_passes(graph, chosen.passes(options) if passes is None else tuple(passes))
    if passes is None:
        chosen.finish(stages[-1].graph)
    if where is None:
        return Program(chosen, stages)
    if profile is None:
        traffic = None
    else:
        traffic = spikes_of(chosen, stages[-1].graph, to_graph(stages[-1].graph, profile), steps)
    return Program(chosen, stages, placed(stages[-1].graph, where, schedule, cores, traffic, seed))


def check(
    graph: SpikeGraph,
    target: str = "sim",
    *,
    encoding: str | None = None,
    precision: str = "integer",
    chip: str | Chip | None = None,
) -> list[Problem]:
    """Every way in which *graph* does not fit *target* and *chip*, compiled so; none: an empty list.

    Memories are counted of the graph as it is compiled by default, with 8-bit weights; registers are looked
    at for analog inputs of 0 to 1.
    """
    graph.verify()
    chosen = target_named(target)
    chip = chosen.chip if chip is None else chip
    where = None if chip is None else chip_of(chip)
    options = Options(
        encoding=encoding_of(graph, encoding),
        precision=member(Precision, precision, "precision"),
        timesteps=graph.timesteps,
        chip=where,
    )
    found = list(chosen.problems(graph, options))
    if where is None or found:
        return found
    ranges = (0.0, 1.0) if any(node.kind is Kind.ANALOG for node in graph.inputs) else None
    try:
        if graph.is_integer:
            placed(graph, where, None, None, None, 0)
            return []
        compile_graph(
            graph, target=target, encoding=encoding, precision=precision, input_range=ranges, chip=where
        )
    except DoesNotFit as error:
        return [one if ranges is None else one.assuming(*ranges) for one in error.problems]
    except DoesNotFitChip as error:
        return [
            Problem(
                *(one.where, one.resource.replace("_", " "), str(one.need), str(one.have)),
                HINTS.get(one.resource, ""),
            )
            for one in error.usages
        ]
    except CannotLower as error:
        place, _, what = error.message.partition(": ")
        return [Problem(place, what, "a core", where.name, error.hint)]
    return []
