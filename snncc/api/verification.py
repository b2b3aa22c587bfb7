"""Show that nothing changed silently: model, graph, passes, integers and target, compared on the user's data.

Four stages: (1) the model in PyTorch against the traced graph, in float64 (`snncc.api.model_check`; an ONNX
model in onnxruntime); (2) each exact pass; (3) each approximate pass, measured, and of a quantization also
that every number is the float graph's, rounded; (4) the integer graph on the target against the reference
executor, bit for bit. Stages 1 and 2 compare every layer on what the layers before it really sent (so that
one near tie does not spread), then end to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from snncc.api.compare import (
    changed_predictions,
    compare_counts,
    compare_totals,
    compare_trains,
    compare_values,
    counts_of,
    neurons_of,
    output_checks,
    output_error,
    run_all,
    tolerance,
)
from snncc.api.data import batch_axis, clipping, to_graph
from snncc.api.model_check import check_model
from snncc.api.program import Program
from snncc.api.proof import Claim, LayerCheck, Proof, StageCheck
from snncc.backends.target import Remarking
from snncc.errors import BadInput
from snncc.ir import Array, Emit, Encoding, SpikeGraph
from snncc.passes import Preserves, Stage
from snncc.quantization import beyond_rounding
from snncc.reference import Record, Run
from snncc.reference import run as run_reference

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]


def verify(
    program: Program,
    model: torch.nn.Module | Path | str | None,
    x: ArrayLike,
    *,
    samples: int | None = 64,
    progress: Progress | None = None,
    engine: str | None = None,
    python: str | None = None,
) -> Proof:
    """Compare every stage of *program* on the first *samples* of *x* (None: all), in the model's layout.

    *model* is the model the program was compiled from, or the path of an ``.onnx`` file, which onnxruntime
    runs, or of a ``.nir`` file, which is read again; None leaves out the first stage. With *engine*, the
    software of others that runs what the target emitted (`Program.run_engine`; *python* is its interpreter),
    that is compared as well. The proof says what was found; ``proof.check()`` raises `NotEqual` where a claim
    does not hold. Raises `BadInput` for data that does not fit, `NotEqual` where *model* is not the one that
    was compiled.
    """
    graph = program.stages[0].graph
    data = first_samples(graph, to_graph(graph, x), samples)
    count = data.shape[batch_axis(graph)]
    checks: list[StageCheck] = []
    notes: list[str] = []
    total = len(program.stages) + 1 + (engine is not None)

    def done(check: StageCheck) -> None:
        checks.append(check)
        if progress is not None:
            progress(len(checks), total)

    if model is None:
        notes.append("the model was not given: model -> trace was not compared")
        notes += program.unseen(program.timesteps)
    else:
        done(check_model(graph, model, data))
    before = run_all(graph, data)
    for earlier, stage in zip(program.stages, program.stages[1:], strict=False):
        after = run_all(stage.graph, data)
        done(check_pass(earlier.graph, stage, data, before, after))
        before = after
    if program.graph.is_integer:
        done(check_target(program, data, before))
        if isinstance(program.target, Remarking):
            notes += program.target.remarks(program.graph, data, before)
    else:
        notes.append(
            "the program computes with floats, on the reference executor itself: no target to compare"
        )
    if engine is not None:
        done(check_engine(program, engine, python, data, before))
    notes += [f"note: {name} never fires on this data" for name in silent(program.graph, before)]
    notes += clipping(program.graph, data)
    return Proof(tuple(checks), count, tuple(notes))


def silent(graph: SpikeGraph, run: Run) -> list[str]:
    """Neuron layers that sent nothing: what is compared behind them proves little."""
    return [
        node.name for node in graph.neurons if node.name in run.spikes and not run.spikes[node.name].any()
    ]


def first_samples(graph: SpikeGraph, data: Array, samples: int | None) -> Array:
    if samples is not None and samples < 1:
        raise BadInput(f"verify needs at least one sample, not {samples}")
    if samples is None or data.ndim <= batch_axis(graph):
        return data
    return data[:samples] if batch_axis(graph) == 0 else data[:, :samples]


def check_pass(earlier: SpikeGraph, stage: Stage, data: Array, before: Run, after: Run) -> StageCheck:
    """Stages 2 and 3: the graph behind a pass against the graph before it."""
    graph, made = stage.graph, stage.made_by
    is_exact = made is None or made.preserves is Preserves.EXACT
    neurons = {name: node for name, node in neurons_of(graph).items() if name in before.records}
    counting = {name: node for name, node in neurons.items() if node.parameters.emit is Emit.COUNT}
    after = in_timesteps(after, before.timesteps)
    need = {name: counts_of(before.records[name]) for name in counting}
    streams = {name for name, node in counting.items() if node.parameters.encoding is Encoding.STREAM}
    force = {name: counts for name, counts in need.items() if name not in streams}
    compared = run_all(graph, data, force=force) if is_exact else after
    layers = []
    for name, node in counting.items():
        one, other = before.records[name].u_pre, compared.records[name].u_pre
        same = None if one is None or other is None else np.asarray(one == other)
        layers.append(compare_counts(node, need[name], compared.records[name], same))
    if is_exact:
        layers += output_checks(graph, before.outputs, compared.outputs)
    return StageCheck(
        name=stage.name,
        claim=Claim.EXACT if is_exact else Claim.APPROXIMATE,
        layers=tuple(layers),
        samples=after.batch,
        output_error=output_error(before.outputs, after.outputs),
        changed_predictions=changed_predictions(before.outputs, after.outputs),
        output_tolerance=tolerance(before.outputs),
        note="" if is_exact or made is None else repr(made),
        beyond=tuple(islice(unexplained(earlier, stage), MOST_UNEXPLAINED)),
    )


def measured(stages: Sequence[Stage], data: Array, samples: int | None = 64) -> tuple[str, ...]:
    """What each approximate pass of *stages* changes on the first samples of *data*, and all of them."""
    data = first_samples(stages[0].graph, data, samples)
    first = before = run_all(stages[0].graph, data)
    lines = []
    for earlier, stage in pairwise(stages):
        after = run_all(stage.graph, data)
        if stage.made_by is not None and stage.made_by.preserves is Preserves.APPROXIMATE:
            check = check_pass(earlier.graph, stage, data, before, after)
            lines.append(str(replace(check, note="")))
        before = after
    error = output_error(first.outputs, before.outputs)
    changed = changed_predictions(first.outputs, before.outputs)
    scores = "" if changed is None else f", {changed} of {first.batch} predictions changed"
    return (*lines, f"all passes, {first.batch} samples: largest output error {error:.3g}{scores}")


def in_timesteps(run: Run, timesteps: int) -> Run:
    """*run* with its records in *timesteps*, of which each holds several of its own, as ticks."""
    if run.timesteps == timesteps or run.timesteps % timesteps:
        return run
    own = run.timesteps // timesteps

    def folded(train: Array) -> Array:
        _, batch, ticks, *shape = train.shape
        parts = train.reshape(timesteps, own, batch, ticks, *shape).swapaxes(1, 2)
        return parts.reshape(timesteps, batch, own * ticks, *shape)

    records = {name: Record(folded(one.train), None, None) for name, one in run.records.items()}
    return replace(run, records=records)


def unexplained(earlier: SpikeGraph, stage: Stage) -> Iterator[str]:
    """What an approximate pass changed in the graph beyond what it says it does."""
    if stage.graph.is_integer and not earlier.is_integer:
        yield from beyond_rounding(earlier, stage.graph)


MOST_UNEXPLAINED = 5
"""More examples than this explain nothing more."""


def check_target(program: Program, data: Array, reference: Run) -> StageCheck:
    """Stage 4: the target against the reference executor, bit for bit.

    Trains, potentials and outputs of a recorded run; outputs, spikes and operations of a run as users make
    it, which may take other code.
    """
    graph = program.graph
    names = [node.name for node in graph.neurons]
    run = program.target.run(graph, data, timesteps=graph.timesteps, record=names)
    layers = []
    for node in graph.neurons:
        need, have = reference.records[node.name], run.records[node.name]
        checks = [compare_trains(node, need, have)]
        for what in ("u_pre", "u_post"):
            left, right = getattr(need, what), getattr(have, what)
            checks.append(compare_values(node.name, node.origin, left, right, exactly=True, what=what))
        layers.append(merged(checks))
    plain = program.target.run(graph, data, timesteps=graph.timesteps)
    counted = run_reference(graph, data, timesteps=graph.timesteps)
    layers += compare_totals(graph, counted, plain)
    error = max(output_error(reference.outputs, run.outputs), output_error(reference.outputs, plain.outputs))
    return StageCheck(
        name=f"integer graph -> {program.target.name}",
        claim=Claim.BIT_FOR_BIT,
        layers=tuple(layers),
        samples=run.batch,
        output_error=error,
        changed_predictions=changed_predictions(reference.outputs, run.outputs),
    )


def check_engine(
    program: Program, engine: str, python: str | None, data: Array, reference: Run
) -> StageCheck:
    """Software of others, running what was emitted, against the reference executor: bit for bit."""
    names = [node.name for node in program.graph.neurons]
    run = program.engine_run(engine, data, record=names, timesteps=program.timesteps, python=python)
    layers = []
    for node in program.graph.neurons:
        need, have = reference.records[node.name], run.records[node.name]
        checks = [compare_trains(node, need, have)]
        if need.u_post is not None and have.u_post is not None:
            checks.append(
                compare_values(node.name, node.origin, need.u_post, have.u_post, exactly=True, what="u_post")
            )
        layers.append(merged(checks))
    layers += output_checks(program.graph, reference.outputs, run.outputs)
    return StageCheck(
        name=f"integer graph -> {engine}",
        claim=Claim.BIT_FOR_BIT,
        layers=tuple(layers),
        samples=run.batch,
        output_error=output_error(reference.outputs, run.outputs),
        changed_predictions=changed_predictions(reference.outputs, run.outputs),
    )


def merged(checks: list[LayerCheck]) -> LayerCheck:
    """Several comparisons of one layer as one; the earliest difference in time is its first."""
    firsts = [check.first for check in checks if check.first is not None]
    return LayerCheck(
        layer=checks[0].layer,
        origin=checks[0].origin,
        compared=sum(check.compared for check in checks),
        differing=sum(check.differing for check in checks),
        mean_error=checks[0].mean_error,
        first=min(firsts, key=lambda one: (one.timestep, one.sample)) if firsts else None,
    )
