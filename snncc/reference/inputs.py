"""How the user's data enters a graph: checked, and in an integer graph quantized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import BadInput
from snncc.ir import Affine, Array, Encoding, Input, Kind, Neuron, Presence, SpikeGraph, place

Data = ArrayLike | Mapping[str, ArrayLike]


def by_input(graph: SpikeGraph, x: Data) -> dict[str, Array]:
    """The data of each input node. Raises `BadInput` where a name is missing or unknown."""
    names = [node.name for node in graph.inputs]
    if not isinstance(x, Mapping):
        if len(names) != 1:
            raise BadInput(f"{graph.name} has inputs {', '.join(names)}; give a dict with an array for each")
        return {names[0]: np.asarray(x)}
    if set(x) != set(names):
        raise BadInput(f"{graph.name} has inputs {', '.join(names)}; the data has {', '.join(map(str, x))}")
    return {name: np.asarray(x[name]) for name in names}


def enter(graph: SpikeGraph, x: Data, timesteps: int) -> dict[str, Array]:
    """Carried numbers of every input node: [T, B, *shape], or [1, B, *shape] for a value given once.

    *x* is [T, B, *shape] for a sequence, [B, *shape] otherwise. Raises `BadInput` for a wrong shape,
    dtype, number of timesteps, for NaN, and for spikes that are not 0 or 1.
    """
    if timesteps < 1:
        raise BadInput(f"a run has at least one timestep, not {timesteps}")
    result, batches = {}, set()
    for node in graph.inputs:
        data = by_input(graph, x)[node.name]
        result[node.name] = carried(node, checked(node, data, timesteps), graph.is_integer)
        batches.add(result[node.name].shape[1])
    if len(batches) > 1:
        raise BadInput(f"inputs differ in their number of samples: {sorted(batches)}")
    return result


def check_options(
    graph: SpikeGraph, timesteps: int, batch: int, state: Mapping[str, Any] | None, force: Mapping[str, Array]
) -> None:
    """Raise `BadInput` where the state, the forced counts, or a table of the graph does not fit a run."""
    check_tables(graph, timesteps, state)
    kept = () if state is None else state["states"].values()
    if other := {len(one["v"]) for one in kept} - {batch}:
        raise BadInput(f"the state is of {min(other)} samples, the data of {batch}")
    for name, counts in force.items():
        if not isinstance(graph.by_name.get(name), Neuron):
            raise BadInput(f"cannot force {name!r}, which is no neuron")
        if node_streams(graph, name):
            raise BadInput(f"cannot force {name!r}, which fires while its input arrives")
        need = (timesteps, batch, *graph.edges[name].shape)
        if np.shape(counts) != need:
            raise BadInput(f"forced counts of {name} must be {need}, not {np.shape(counts)}")


def check_tables(graph: SpikeGraph, timesteps: int, state: Mapping[str, Any] | None) -> None:
    """Raise `BadInput` where a table over timesteps ends before the run does."""
    before = 0 if state is None else int(state["elapsed"])
    for node in graph.nodes:
        if isinstance(node, Affine) and node.per_timestep:
            have = min((len(a) for a in (node.gain, node.offset) if a.ndim), default=before + timesteps)
            if have < before + timesteps:
                raise BadInput(
                    f"{place(node)}: has numbers for {have} timesteps, but the run has {before + timesteps}"
                )


def node_streams(graph: SpikeGraph, name: str) -> bool:
    node = graph.by_name[name]
    return isinstance(node, Neuron) and node.parameters.encoding is Encoding.STREAM


def checked(node: Input, data: Array, timesteps: int) -> Array:
    """*data* as [T or 1, B, *shape] of finite numbers."""
    what = place(node)
    sequence = node.presence is Presence.SEQUENCE
    axes = "[T, B, *shape]" if sequence else "[B, *shape]"
    need = " x ".join(["T", "B", *map(str, node.shape)] if sequence else ["B", *map(str, node.shape)])
    if data.dtype.kind not in "fiub":
        raise BadInput(f"{what}: needs numbers, has an array of {data.dtype}")
    lead = 2 if sequence else 1
    if data.ndim != lead + len(node.shape) or data.shape[lead:] != node.shape:
        raise BadInput(f"{what}: needs data {axes} = {need}, has shape {data.shape}")
    if data.size == 0:
        raise BadInput(f"{what}: the data is empty: shape {data.shape}")
    if sequence and data.shape[0] != timesteps:
        raise BadInput(f"{what}: needs {timesteps} timesteps, has {data.shape[0]}")
    bad = ~np.isfinite(data)
    if bad.any():
        first = tuple(int(k) for k in np.argwhere(bad)[0])
        raise BadInput(f"{what}: {int(bad.sum())} values are NaN or infinite, the first at index {first}")
    return data if sequence else data[None]


def carried(node: Input, data: Array, is_integer: bool) -> Array:
    """Carried numbers for real *data*."""
    if node.kind is Kind.ANALOG:
        if not is_integer:
            return data.astype(np.float64) / node.scale
        return np.clip(np.rint(data / node.scale), node.low, node.high).astype(np.int64)
    limit = 1 if node.kind is Kind.SPIKE else node.max_count
    wrong = (data < 0) | (data != np.floor(data))
    if limit is not None:
        wrong |= data > limit
    if wrong.any():
        first = tuple(int(k) for k in np.argwhere(wrong)[0])
        allowed = "0 or 1" if limit == 1 else f"integers 0..{'' if limit is None else limit}"
        raise BadInput(
            f"{place(node)}: carries {node.kind}s, so its data must be {allowed}, but index {first} "
            f"holds {data[first]}",
            hint="trace with input_kind='analog' (or --input-kind analog) for real-valued data",
        )
    return data.astype(np.int64 if is_integer else np.float64)
