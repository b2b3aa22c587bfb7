"""What PyTorch computes for the nodes of a graph that was traced before."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.frontends.behavior_models import with_recognized
from snncc.frontends.cells import prepare
from snncc.frontends.observation import Observation, check_is_one
from snncc.frontends.torch_codes import RepeatsInput
from snncc.frontends.torch_options import Options, repeating_inside, repeats_inside, resized
from snncc.frontends.torch_record import Recorder
from snncc.frontends.torch_run import call_model_of_the_user, copied, named_outputs, untouched
from snncc.frontends.torch_session import Recording, output_values, record
from snncc.ir import Array, Output, Over, Presence, SpikeGraph

CHUNK = 16
"""Samples that are recorded together: the recording keeps every value."""


def observe(model: nn.Module, graph: SpikeGraph, data: ArrayLike) -> Observation:
    """Run a copy of *model* on *data*, given as the executors of *graph* take it.

    That is [T, B, *shape] for a sequence, [B, *shape] for a value given once. Raises `NotEqual` where the
    model is not the one that *graph* was traced from.
    """
    array = np.asarray(data)
    node = graph.inputs[0]
    is_sequence = node.presence is Presence.SEQUENCE
    if array.ndim != len(node.shape) + 1 + is_sequence or not array.size:
        raise BadInput(f"{node.name}: data of shape {array.shape} does not fit {node.shape}")
    chosen = Options(
        str(graph.layout),
        graph.timesteps,
        node.kind,
        node.presence,
        is_train=is_sequence and graph.layout == "B",
        repeats_inside=graph.layout == "B" and repeats_inside(model),
    )
    x = torch.from_numpy(np.array(array, np.float64))
    axis = int(is_sequence)
    with untouched():
        model, chosen = recognized_again(model, graph, chosen, x)
        chunks = [observe_chunk(model, graph, chosen, part, axis) for part in torch.split(x, CHUNK, axis)]
    parts, reduced = [part for part, _ in chunks], chunks[0][1]

    def joined(which: list[Mapping[str, Array]]) -> dict[str, Array]:
        return {
            name: np.concatenate([one[name] for one in which], int(name not in reduced)) for name in which[0]
        }

    return Observation(
        joined([part.values for part in parts]),
        joined([part.outputs for part in parts]),
        joined([part.outputs32 for part in parts]),
    )


def recognized_again(
    model: nn.Module, graph: SpikeGraph, chosen: Options, x: Tensor
) -> tuple[nn.Module, Options]:
    """*model* with the cells that `trace` recognized, if it recognized any."""
    if not graph.notes:
        return model, chosen
    once = replace(chosen, is_train=False)
    given = x[0] if chosen.is_train else chosen.swapped(x)
    model, _ = with_recognized(model, partial(resized, given, once), once)
    return model, replace(chosen, repeats_inside=graph.layout == "B" and repeats_inside(model))


def without_reduction(graph: SpikeGraph) -> SpikeGraph:
    """*graph* with sequence outputs: a reduction over time may be the compiler's, not the model's."""
    return graph.with_nodes(
        replace(node, over=Over.SEQUENCE) if isinstance(node, Output) else node for node in graph.nodes
    )


def observe_chunk(
    model: nn.Module, graph: SpikeGraph, chosen: Options, x: Tensor, axis: int
) -> tuple[Observation, set[str]]:
    """As `observe`, for a few samples, with the outputs that the model itself reduces over time.

    A single sample is doubled, so that its axis can be told from data.
    """
    samples, length = x.shape[axis], x.shape[0] if axis else 1
    if samples == 1:
        x = torch.cat([x, x], axis)
    is_short = chosen.has_time and length == 1
    given = torch.cat([x, x], 0) if is_short else x
    try:
        recording = record(model, chosen.swapped(given), chosen, chosen.calls)
    except RepeatsInput as problem:
        chosen = repeating_inside(model, chosen, problem) or chosen
        recording = record(model, chosen.swapped(given), chosen, chosen.calls)
    check_is_one(without_reduction(graph), without_reduction(recording.graph), "the model")
    outputs, outputs32 = dict(recording.outputs), plain(model, recording, chosen, given, in_float64=False)
    if is_short:
        # A reduction over two timesteps is not that over one, whose axes cannot be told apart.
        outputs |= plain(model, recording, chosen, x, in_float64=True)
        outputs32 |= plain(model, recording, chosen, x, in_float64=False)
    steps = length if chosen.has_time else graph.timesteps
    reduced = {node.name for node in recording.graph.outputs if node.over is not Over.SEQUENCE}

    def cut(values: Mapping[str, Array]) -> dict[str, Array]:
        return {k: v[:samples] if k in reduced else v[:steps, :samples] for k, v in values.items()}

    return Observation(cut(recording.values), cut(outputs), cut(outputs32)), reduced


def plain(
    model: nn.Module, recording: Recording, chosen: Options, x: Tensor, *, in_float64: bool
) -> dict[str, Array]:
    """What the model returns without being recorded, in float64 or in its own type.

    Of a train of another length than the recording's, only outputs that are reduced over time.
    """
    twin = copied(model)
    given = chosen.swapped(x)
    grid = chosen.grid(chosen.at_call(given, 0))
    prepare(twin, grid.samples, grid.timesteps)
    if in_float64:
        twin = twin.double()
    else:
        types = [p.dtype for p in twin.parameters() if p.is_floating_point()]
        given = given.to(types[0] if types else torch.float32)
    with Recorder.silent() if in_float64 else nullcontext():
        tensors = [
            named_outputs(call_model_of_the_user(twin, chosen.at_call(given, call)))
            for call in range(chosen.calls)
        ]
    return output_values(recording.graph, recording.frames, tensors, chosen, grid)
