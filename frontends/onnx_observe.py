"""What onnxruntime computes for the nodes of a graph that was read from an ONNX file before."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from snncc.errors import BadFile, MissingDependency
from snncc.frontends.archive import shortened
from snncc.frontends.from_onnx import read_graph
from snncc.frontends.observation import Observation, check_is_one
from snncc.frontends.onnx_file import OnnxModel
from snncc.ir import Array, SpikeGraph

CHUNK = 16
"""Samples that are run together, where the file leaves their number open."""


def observe_onnx(path: Path, graph: SpikeGraph, data: Array) -> Observation:
    """Run the model in *path* on *data* [B, *shape], on one thread and without optimizations.

    Raises `MissingDependency` without onnxruntime, `NotEqual` where the file is not the one that *graph* was
    read from, `BadFile` where the runtime cannot run it.
    """
    if find_spec("onnxruntime") is None:
        raise MissingDependency("onnxruntime", "onnxruntime")
    model, found, readings = read_graph(path, graph.inputs[0].shape)
    check_is_one(graph, found, str(path))
    names = list(dict.fromkeys([*model.outputs, *(one.name for one in readings.values())]))
    try:
        values = run(path, model, names, data)
    except Exception as problem:  # the runtime has classes of its own for each of its errors
        raise BadFile(f"{path}: onnxruntime cannot run it ({shortened(problem)})") from None
    counts = {name: np.rint(values[one.name] / one.scale) - one.shift for name, one in readings.items()}
    outputs = {node.name: values[name] for node, name in zip(graph.outputs, model.outputs, strict=True)}
    trains = {
        name: np.broadcast_to(n * graph.edges[name].scale, (graph.timesteps, *n.shape))
        for name, n in counts.items()
    }
    return Observation(trains, outputs, outputs)


def run(path: Path, model: OnnxModel, names: list[str], data: Array) -> dict[str, Array]:
    """The values *names* in float64."""
    import onnxruntime

    whole = onnx.load_model_from_string(path.read_bytes())
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names[len(set(model.outputs)) :])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        whole.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    entry = model.inputs[0]
    size = entry.shape[0] or CHUNK
    kind = onnx.helper.tensor_dtype_to_np_dtype(entry.kind)
    parts: list[list[Any]] = []
    for start in range(0, len(data), size):
        part = data[start : start + size].astype(kind)
        missing = size - len(part) if entry.shape[0] else 0
        part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        parts.append([value[: size - missing] for value in session.run(names, {entry.name: part})])
    return {
        name: np.concatenate([part[k] for part in parts]).astype(np.float64) for k, name in enumerate(names)
    }
