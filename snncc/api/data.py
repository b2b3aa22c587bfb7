"""The user's data: read from files, brought from the model's layout to the graph's, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import BadFile, BadInput
from snncc.frontends.arrays import read_arrays
from snncc.ir import Array, Layout, Presence, SpikeGraph, place
from snncc.reference import Operations, Record, Run


def read_data(path: str | Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file (``x`` and, for labels, ``y``) or the array of an ``.npy`` file as x.

    Raises `BadFile` for a missing, damaged or oversized file, and for one that holds Python objects.
    """
    arrays = read_arrays(Path(path))
    if "x" not in arrays:
        names = ", ".join(sorted(arrays)) or "nothing"
        raise BadFile(f"{path}: needs an array 'x', holds {names}", hint="numpy.savez(path, x=..., y=...)")
    return arrays


def to_graph(graph: SpikeGraph, x: ArrayLike, timesteps: int | None = None) -> Array:
    """*x* in the model's layout, as the graph's executors take it.

    That is [T, B, *shape] for a sequence, [B, *shape] for a value given once. Where *timesteps* are asked
    for, the first ones of a longer sequence are taken; otherwise it must have as many as the graph.
    """
    data = np.asarray(x)
    if len(graph.inputs) != 1:
        raise BadInput(f"{graph.name} has {len(graph.inputs)} inputs; one is supported here")
    node = graph.inputs[0]
    if node.presence is not Presence.SEQUENCE:
        return data
    lead = "B x T" if graph.layout is Layout.BT else "T x B"
    if data.ndim != 2 + len(node.shape):
        need = " x ".join(map(str, node.shape))
        raise BadInput(f"{place(node)}: needs data {lead} x {need}, has shape {data.shape}")
    if graph.layout is Layout.BT:
        data = np.swapaxes(data, 0, 1)
    if timesteps is not None:
        return data[:timesteps]
    if len(data) != graph.timesteps:
        raise BadInput(
            f"{place(node)}: the data has {len(data)} timesteps, the network was traced with "
            f"{graph.timesteps}",
            hint="trace with the right number (--timesteps), or ask for one: run(x, timesteps=...)",
        )
    return data


def clipping(graph: SpikeGraph, data: Array) -> list[str]:
    """Warnings for inputs of an integer graph that *data*, as `to_graph` returned it, leaves."""
    node = graph.inputs[0]
    if node.low is None or node.high is None or not data.size or data.dtype.kind not in "fiub":
        return []
    low, high = ((edge + side) * float(node.scale) for edge, side in ((node.low, -0.5), (node.high, 0.5)))
    share = float(np.mean((data < low) | (data > high)))
    if not share:
        return []
    return [
        f"WARNING: {100 * share:.3g} % of the input lies outside the calibrated range "
        f"{node.low * float(node.scale):.4g}..{node.high * float(node.scale):.4g} and is clipped; "
        f"the data goes from {data.min():.4g} to {data.max():.4g}"
    ]


def batch_axis(graph: SpikeGraph) -> int:
    """The axis of samples in data that `to_graph` returned."""
    return int(graph.inputs[0].presence is Presence.SEQUENCE)


def batches(graph: SpikeGraph, x: Array, size: int) -> Iterator[Array]:
    """*x*, as `to_graph` returned it, in pieces of *size* samples."""
    axis = batch_axis(graph)
    total = x.shape[axis] if x.ndim > axis else 0
    if total == 0:
        yield x
        return
    for start in range(0, total, size):
        yield x[start : start + size] if axis == 0 else x[:, start : start + size]


def joined(graph: SpikeGraph, runs: Sequence[Run]) -> Run:
    """Runs of consecutive batches as one run."""
    if len(runs) == 1:
        return runs[0]
    sequences = {node.name: int(node.over.value == "sequence") for node in graph.outputs}
    first = runs[0]
    return Run(
        timesteps=first.timesteps,
        batch=sum(run.batch for run in runs),
        outputs={
            name: np.concatenate([run.outputs[name] for run in runs], sequences[name])
            for name in first.outputs
        },
        spikes={name: np.concatenate([run.spikes[name] for run in runs]) for name in first.spikes},
        operations={
            name: joined_operations([run.operations[name] for run in runs]) for name in first.operations
        },
        saturations={name: sum(run.saturations[name] for run in runs) for name in first.saturations},
        records={name: joined_records([run.records[name] for run in runs]) for name in first.records},
        state={},
        active={name: np.concatenate([run.active[name] for run in runs]) for name in first.active},
    )


def joined_operations(parts: Sequence[Operations]) -> Operations:
    changes = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Operations)
        if field.name != "synapses"
    }
    return replace(parts[0], **changes)  # type: ignore[arg-type]


def joined_records(parts: Sequence[Record]) -> Record:
    def join(arrays: Sequence[Array | None]) -> Array | None:
        present = [array for array in arrays if array is not None]
        return np.concatenate(present, axis=1) if present else None

    train = join([part.train for part in parts])
    if train is None:
        raise AssertionError("a record has a train")
    return Record(train, join([part.u_pre for part in parts]), join([part.u_post for part in parts]))


def labels(y: ArrayLike, count: int, classes: int) -> Array:
    """Class labels [B] as integers. Raises `BadInput`."""
    array = np.asarray(y)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise BadInput(f"labels y must be {count} integers, one a sample, not {array.dtype} {array.shape}")
    if classes and (array.min() < 0 or array.max() >= classes):
        raise BadInput(f"labels y must be 0..{classes - 1}, but go from {array.min()} to {array.max()}")
    return array.astype(np.int64)
