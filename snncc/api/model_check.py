"""The first stage of a verification: what the model itself computes against the graph made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snncc.api.compare import (
    NEAR,
    NEAR32,
    changed_predictions,
    compare_counts,
    compare_values,
    neurons_of,
    output_checks,
    output_error,
    run_all,
    tolerance,
)
from snncc.api.loading import need_onnx
from snncc.api.proof import Claim, StageCheck
from snncc.errors import BadInput
from snncc.ir import Array, Emit, Neuron, Output, SpikeGraph
from snncc.reference import Run
from snncc.reference import run as run_reference
from snncc.reference.execute import reduce_over

if TYPE_CHECKING:
    import torch

    from snncc.frontends.observation import Observation


def check_model(graph: SpikeGraph, model: torch.nn.Module | Path | str, data: Array) -> StageCheck:
    """Stage 1: what the model computed against the traced graph."""
    if isinstance(model, Path | str):
        return check_file(graph, Path(model), data)
    from snncc.frontends.from_torch import observe

    return compare_with_model(graph, observe(model, graph, data), data)


def check_file(graph: SpikeGraph, path: Path, data: Array) -> StageCheck:
    """Stage 1 of a file that is a model itself: ONNX, which onnxruntime runs, or NIR, which is read again."""
    if path.suffix == ".nir":
        from snncc.frontends.nir_observe import observe_nir

        check = compare_with_model(graph, observe_nir(path, graph, data), data)
        return replace(check, note="read again; the reference executor ran it")
    if path.suffix != ".onnx":
        raise BadInput(f"{path}: a model to compare with is a PyTorch module, .onnx or .nir")
    need_onnx()
    from snncc.frontends.onnx_observe import observe_onnx

    data = np.asarray(data, np.float32)
    check = compare_with_model(graph, observe_onnx(path, graph, data), data, claim=Claim.EQUAL_IN_FLOAT32)
    return replace(check, note="onnxruntime without optimizations")


def compare_with_model(
    graph: SpikeGraph, seen: Observation, data: Array, claim: Claim = Claim.EQUAL_IN_FLOAT64
) -> StageCheck:
    """What was *seen* in the model against *graph*: layer by layer on recorded inputs, then end to end."""
    is_float32 = claim is Claim.EQUAL_IN_FLOAT32
    within = NEAR32 if is_float32 else NEAR
    neurons = neurons_of(graph)
    force, values = {}, {}
    for name, value in seen.values.items():
        if name in neurons and neurons[name].parameters.emit is Emit.COUNT:
            force[name] = np.rint(value / graph.edges[name].scale)
        elif name in graph.by_name and not isinstance(graph.by_name[name], Output):
            values[name] = value
    record = [*neurons, *(name for name in values if name not in neurons)]
    run = run_reference(graph, data, timesteps=graph.timesteps, record=record, count=False, force=force)
    layers = []
    for node in graph.nodes:
        if node.name in force:
            same = same_inputs(graph, neurons[node.name], values, run)
            record_of, need_of = run.records[node.name], force[node.name]
            layers.append(compare_counts(neurons[node.name], need_of, record_of, same, is_float32=is_float32))
        elif node.name in values:
            have = run.records[node.name].train.sum(axis=2) * graph.edges[node.name].scale
            layers.append(
                compare_values(node.name, node.origin, values[node.name], have, exactly=False, what="value")
            )
    whole = run_all(graph, data)
    need, single = (outputs_of(graph, outputs) for outputs in (seen.outputs, seen.outputs32))
    error = output_error(need, whole.outputs)
    layers += output_checks(graph, need, run.outputs, within)
    changed = changed_predictions(need, single)
    note = f"the model's own float32 run is {output_error(need, single):.3g} off"
    if changed is not None:
        note += f", {changed} predictions changed"
    return StageCheck(
        name="model -> trace",
        claim=claim,
        layers=tuple(layers),
        samples=run.batch,
        output_error=error,
        changed_predictions=changed_predictions(need, whole.outputs),
        output_tolerance=tolerance(need, within),
        note=note,
    )


def same_inputs(graph: SpikeGraph, node: Neuron, values: Mapping[str, Array], run: Run) -> Array | None:
    """Where the model's neuron and the graph's have seen the very same numbers, up to each timestep."""
    same: Array | None = None
    for wire in node.inputs:
        if wire.delay or wire.source not in values:
            return None
        have = run.records[wire.source].train.sum(axis=2) * graph.edges[wire.source].scale
        equal = np.logical_and.accumulate(have == values[wire.source], axis=0)
        same = equal if same is None else same & equal
    return same


def outputs_of(graph: SpikeGraph, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the model returned, reduced over time as the graph reduces it."""
    result = {}
    for node in graph.outputs:
        value = np.asarray(outputs[node.name], np.float64)
        is_train = value.ndim == 2 + len(graph.edges[node.name].shape)
        result[node.name] = reduce_over(node.over, value) if is_train else value
    return result
