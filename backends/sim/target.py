"""Compile for the simulator: the passes, what it cannot take, and how it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from snncc.backends.target import (
    Attention,
    Options,
    Precision,
    Problem,
    Progress,
    Rounding,
    WithoutSettings,
    not_streaming,
    unbounded,
)
from snncc.errors import UnknownName
from snncc.ir import DynamicSynapse, Emit, Encoding, SpikeGraph, place
from snncc.passes import (
    CountRectifiers,
    ElideIdentities,
    ElideRectifier,
    ExpandCounts,
    FoldBatchNorm,
    FreezeSideOperations,
    Pass,
    ReorderProducts,
    RoundHalfUp,
)
from snncc.passes.counted import is_rectifier
from snncc.passes.expand import has_counts, why_not_streaming
from snncc.passes.rounding import rounds_half_to_even
from snncc.quantization import Quantize
from snncc.reference import Run
from snncc.reference import run as run_reference
from snncc.reference.inputs import Data

WIDEST = 32
"""Bits of a weight where no chip says how many it holds."""


def sum_bits(options: Options) -> int:
    """The most bits of weights in sums whose branches share no unit: what the chip holds."""
    limit = None if options.chip is None else options.chip.limits.weight_bits
    return max(options.weight_bits, WIDEST if limit is None else limit)


class Simulator(WithoutSettings):
    """Event-driven simulation: integers on the fast simulator, floats on the reference executor."""

    name = "sim"
    summary = "the simulator itself: spikes, operations, energy from counts; on a chip (--chip) time as well"
    chip: str | None = None
    engines: tuple[str, ...] = ()

    def problems(self, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
        """What integers cannot hold, and counts that cannot be encoded as asked."""
        for node in graph.nodes:
            if isinstance(node, DynamicSynapse) and options.encoding is Encoding.STREAM:
                hint = "use the encoding spikes or graded"
                yield Problem(place(node), "streaming", "one operand complete", "both streaming", hint)
        for node in graph.neurons:
            p = node.parameters
            if is_rectifier(p) and options.relu_levels is not None:
                continue
            if p.emit is not Emit.COUNT and options.precision is Precision.INTEGER:
                hint = (
                    "keep floats (precision='float', --precision float), or let the model return spikes alone"
                )
                if is_rectifier(p):
                    hint += "; or make it count, on calibration data: relu_levels=15, --relu-levels 15"
                yield Problem(place(node), "output of the neuron", "real numbers", "spikes", hint)
            if not has_counts(node):
                continue
            if p.max_count is None and options.encoding is not Encoding.UNDECIDED:
                yield unbounded(node)
            elif options.encoding is Encoding.STREAM and (reason := why_not_streaming(p)):
                hint = "use the encoding spikes or graded"
                if rounds_half_to_even(p):
                    hint += ", or rounding='half-up'"
                yield not_streaming(node, reason, hint)

    def passes(self, options: Options) -> tuple[Pass, ...]:
        """Identities, rectifiers, batch normalization, counts; then integers unless floats are asked for."""
        chosen: list[Pass] = [ElideIdentities(), ReorderProducts(), ElideRectifier()]
        if options.attention is Attention.STATIC:
            chosen.append(FreezeSideOperations(options.timesteps, options.calibration))
        chosen.append(FoldBatchNorm(options.fold))
        if options.relu_levels is not None:
            chosen.append(CountRectifiers(options.relu_levels, options.timesteps, options.calibration))
        if options.rounding is Rounding.HALF_UP:
            chosen.append(RoundHalfUp())
        chosen.append(ExpandCounts(options.encoding, options.flush, options.bias))
        if options.precision is Precision.INTEGER:
            chosen.append(
                Quantize(
                    weight_bits=options.weight_bits,
                    sum_bits=sum_bits(options),
                    state_bits=options.state_bits,
                    input_bits=options.input_bits,
                    per_channel=options.per_channel,
                    overflow=options.overflow,
                    timesteps=options.timesteps,
                    calibration=options.calibration,
                    input_ranges=options.input_ranges,
                )
            )
        return tuple(chosen)

    def finish(self, graph: SpikeGraph) -> None:
        """Whatever the passes make runs."""

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
        """Execute on the fast simulator, or on the reference executor for a float graph."""
        if not graph.is_integer:
            return run_reference(graph, x, timesteps=timesteps, record=record, state=state, progress=progress)
        from snncc.simulator import run  # loads numba

        return run(
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
        """Nothing: the program folder has the graphs."""

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
        """There is no other engine. Raises `UnknownName`."""
        raise UnknownName("engine", engine, ())
