"""A compiled program: running it, and keeping it in a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.data import batch_axis, batches, clipping, joined, to_graph
from snncc.api.folder import load_stages, save_stages
from snncc.api.placing import clock_of, firings_of, on_chip, recorded, senders, timed, together
from snncc.backends.table import target_named
from snncc.backends.target import OwnPlacement, Target
from snncc.errors import BadInput, UnknownName
from snncc.ir import Array, Layout, SpikeGraph
from snncc.mapping import Placement
from snncc.passes import Stage
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
    where the program was loaded from. *measured* says, of approximations that were asked for (streams, a
    spiking readout), what they cost on the calibration data.
    """

    target: Target
    stages: tuple[Stage, ...]
    placement: Placement | None = None
    folder: Path | None = None
    measured: tuple[str, ...] = ()

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

    def unseen(self, timesteps: int) -> list[str]:
        """A warning, where a run of so many *timesteps* is longer than what was seen of the model."""
        traced = self.stages[0].graph
        if traced.seen is None or timesteps * traced.timesteps <= traced.seen * self.timesteps:
            return []
        longer = timesteps * traced.timesteps // self.timesteps
        return [
            f"WARNING: runs for {longer} timesteps; the model was traced with {traced.seen}, and whether it "
            "goes on in the same way was not seen (trace it with as many)"
        ]

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
        timings: list[ChipRun] = []
        chip_graph = on_chip(self.target, self.graph) if clock.level else self.graph
        for part in batches(self.graph, data, size):
            last = self.target.run(
                self.graph,
                part,
                timesteps=steps,
                record=recorded(self.target, self.graph, record, clock.level),
                threads=threads,
                state=state,
                keep_state=keep_state,
                firing=senders(self.target, self.placement, clock.level),
            )
            if clock.level and self.placement is not None:
                firings = firings_of(self.target, self.graph, part, last)
                timings.append(timed(chip_graph, self.placement, firings, steps, clock, threads))
                last = replace(last, records={name: last.records[name] for name in record})
            runs.append(last)
            done += last.batch
            if progress is not None:
                progress(done, total)
        run = joined(self.graph, runs)
        outputs = dict(run.outputs)
        for node in self.graph.outputs:
            if node.over.value == "sequence" and self.graph.layout is Layout.BT:
                outputs[node.name] = np.swapaxes(outputs[node.name], 0, 1)
        chip = together(timings) if timings else None
        notes = (*self.unseen(steps), *clipping(self.graph, data), *(chip.notes if chip is not None else ()))
        if chip is not None and isinstance(self.target, OwnPlacement):
            notes += tuple(self.target.loads(self.graph, run))
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
            measured=self.measured,
            emit=lambda empty: self.target.emit(self.graph, empty),
        )


def load_program(folder: str | Path) -> Program:
    """Read a program from *folder*. Raises `BadFile` for whatever is wrong with it."""
    target, settings, stages, placement, measured = load_stages(folder)
    chosen = target_named(target)
    if settings:
        chosen = chosen.with_settings(settings)
    return Program(chosen, stages, placement, Path(folder), measured)
