"""Compiling a graph into a program, and saying why it cannot be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.data import to_graph
from snncc.api.placing import chip_of, placed, placed_by_target
from snncc.api.profile import Progress, profile_of
from snncc.api.program import Program
from snncc.api.verification import measured
from snncc.backends.table import target_named
from snncc.backends.target import (
    Attention,
    DoesNotFit,
    Options,
    OwnPlacement,
    Precision,
    Problem,
    Rounding,
    Target,
    limits_of,
)
from snncc.chips import Chip
from snncc.errors import BadInput, CannotLower, UnknownName
from snncc.ir import Array, BiasTicks, Encoding, Kind, Overflow, SpikeGraph
from snncc.mapping import DoesNotFitChip
from snncc.passes import Into, Pass, Stage, run_passes
from snncc.passes.expand import default_encoding
from snncc.quantization import ROUNDED

READOUTS = ("potentials", "spikes")


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
    readout: str = "potentials",
    split_cores: bool = False,
    progress: Progress | None = None,
) -> Program:
    """Compile a traced *graph* for *target*.

    *calibration* is data in the model's layout, from which input ranges and state widths are measured; an
    analog input needs it, or *input_range* (low, high), unless *precision* is ``float``. *encoding* is
    ``spikes`` or ``graded`` (exact) or ``stream`` (approximate; *flush* extra ticks, *bias* ``spread`` or
    ``v0``); None: spikes, or graded where a count can exceed 15. *fold* puts batch normalization into
    ``weights`` or ``thresholds``. *rounding* ``half-up`` replaces half-to-even neurons (approximate at
    ties). *relu_levels* makes plain rectifiers counts of so many levels (approximate). *attention*
    ``static`` makes the gains of attention modules constants, as they were on the calibration data
    (approximate). Weights get *weight_bits* (in sums of branches without a common unit as many as make the
    sums exact, where the target has them), states *state_bits* (16, 24, 32; None: what is needed), inputs
    *input_bits*; *overflow* is ``saturate``, ``wrap`` or ``error``. *passes* replaces the target's own
    pipeline.

    *chip* (a shipped name, the path of a chip file, a `Chip`) places the compiled network on a chip, for
    timing and energy: *schedule* ``pipelined`` or ``layered`` (None: pipelined where the network allows it),
    spread over *cores* of it (None: as few as hold it). With *profile*, data in the model's layout, other
    placements are tried for the spikes that these data cause, with *seed* where chance decides, and a faster
    one with no more messages x hops is taken if there is one: about ten are timed on the machine, with the
    first two samples; *progress* is called with (timed so far, the most that may be).
    *stretch* (loihi) gives a timestep more chip steps, for loops that need them. *readout* ``spikes`` (speck)
    puts neurons behind a last layer that has none (approximate), *split_cores* (speck) puts layers on two
    cores each where one is too small. Raises `DoesNotFit` with
    every misfit of the target, `DoesNotFitChip` with every limit of the chip that is broken, `BadInput` for
    options that are unknown.
    """
    chosen = with_settings(target_named(target), stretch, readout, split_cores)
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
        finish(chosen, stages[-1].graph, where)
    is_approximate = options.encoding is Encoding.STREAM or readout == "spikes" or relu_levels is not None
    is_rounded = any(note.endswith(ROUNDED) for note in stages[-1].graph.notes) and data is not None
    found = losses(stages, data) if is_approximate or is_rounded else ()
    if where is None:
        return Program(chosen, stages, measured=found)
    if isinstance(chosen, OwnPlacement):
        asked = {"schedule": schedule, "cores": cores, "profile": profile}
        placement = placed_by_target(chosen, stages[-1].graph, where, asked)
        return Program(chosen, stages, placement, measured=found)
    last, guide = stages[-1].graph, None
    if profile is not None:
        guide = profile_of(chosen, last, to_graph(last, profile), steps, progress)
    placement = placed(last, where, schedule, cores, guide, seed)
    return Program(chosen, stages, placement, measured=found)


def finish(target: Target, graph: SpikeGraph, chip: Chip | None) -> None:
    """`Target.finish` of the compiled *graph*; where it refuses, limits of *chip* are in the same list."""
    try:
        target.finish(graph)
    except DoesNotFit as refusal:
        if chip is None or isinstance(target, OwnPlacement):
            raise
        try:
            placed(graph, chip, None, None, None, 0)
        except DoesNotFitChip as error:
            raise DoesNotFit(target.name, (*refusal.problems, *limits_of(error.usages))) from None
        except CannotLower:
            pass  # as the refusal says
        raise


def losses(stages: tuple[Stage, ...], data: Array | None) -> tuple[str, ...]:
    """What approximations that were asked for cost on the calibration *data*."""
    if data is None:
        return ("the loss was not measured: there is no calibration data (calibration=, --calibration)",)
    return measured(stages, data)


def check(
    graph: SpikeGraph,
    target: str = "sim",
    *,
    encoding: str | None = None,
    precision: str = "integer",
    chip: str | Chip | None = None,
    stretch: int = 1,
    readout: str = "potentials",
    split_cores: bool = False,
) -> list[Problem]:
    """Every way in which *graph* does not fit *target* and *chip*, compiled so; none: an empty list.

    Memories are counted of the graph as it is compiled by default, with 8-bit weights; registers are looked
    at for analog inputs of 0 to 1.
    """
    graph.verify()
    chosen = with_settings(target_named(target), stretch, readout, split_cores)
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
        if graph.is_integer and not isinstance(chosen, OwnPlacement):
            placed(graph, where, None, None, None, 0)
            return []
        compile_graph(
            graph,
            target=target,
            encoding=encoding,
            precision=precision,
            input_range=ranges,
            chip=where,
            stretch=stretch,
            readout=readout,
            split_cores=split_cores,
        )
    except DoesNotFit as error:
        return [one if ranges is None else one.assuming(*ranges) for one in error.problems]
    except DoesNotFitChip as error:
        return limits_of(error.usages)
    except CannotLower as error:
        place, _, what = error.message.partition(": ")
        return [Problem(place, what, "a core", where.name, error.hint)]
    return []


def with_settings(target: Target, stretch: int, readout: str, split_cores: bool) -> Target:
    """*target* with the settings that differ from the default. Raises `BadInput`."""
    if readout not in READOUTS:
        raise UnknownName("readout", str(readout), READOUTS)
    settings = {"stretch": stretch} if stretch != 1 else {}
    settings |= {"spiking_readout": 1} if readout == "spikes" else {}
    settings |= {"split_cores": 1} if split_cores else {}
    return target.with_settings(settings) if settings else target


def encoding_of(graph: SpikeGraph, encoding: str | None, relu_levels: int | None = None) -> Encoding:
    """The encoding called *encoding*, or the default of *graph*, whose rectifiers get *relu_levels*."""
    return (
        default_encoding(graph, relu_levels or 0)
        if encoding is None
        else member(Encoding, encoding, "encoding")
    )


def member(kind: Any, value: str, what: str) -> Any:
    """The member of the enumeration *kind* called *value*. Raises `BadInput`."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise BadInput(f"unknown {what} {value!r}; known: {known}") from None
