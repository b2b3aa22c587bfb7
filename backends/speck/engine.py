"""Running the emitted module on sinabs, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from snncc.backends.child import execute, read_result, scratch_folder, writing
from snncc.backends.speck.emit import NETWORK
from snncc.backends.speck.mapped import Mapped
from snncc.errors import BadInput, EngineFailed
from snncc.ir import Array, Output, Presence
from snncc.ir.arrays import simplest
from snncc.reference import Record, Run
from snncc.reference.execute import reduce_over
from snncc.reference.inputs import Data, enter

INSTALL = "pip install sinabs (3.1.3), or name an interpreter that has it (python=, --engine-python)"
MISSING = ("cannot be run", "ModuleNotFoundError", "ImportError")
PREFIX = "snncc-speck-"


def interpreter(python: str | None) -> str:
    """The interpreter with sinabs. Raises `EngineFailed`."""
    if python is not None:
        return python
    if importlib.util.find_spec("sinabs") is None:
        raise EngineFailed("sinabs is not installed beside snncc", hint=INSTALL)
    return sys.executable


def can_run(python: str | None = None) -> bool:
    """Whether sinabs is at hand without installing anything."""
    try:
        interpreter(python)
    except EngineFailed:
        return False
    return True


def run_sinabs(
    m: Mapped, folder: Path, x: Data, *, timesteps: int, record: Collection[str], python: str | None
) -> Run:
    """Run *x* through ``network.py`` in *folder*. Raises `EngineFailed`, `BadInput`."""
    (node,) = m.graph.inputs
    data = enter(m.graph, x, timesteps)[node.name]
    if node.presence is Presence.CONSTANT:
        data = np.repeat(data, timesteps, axis=0)
    elif node.presence is Presence.FIRST:
        data = np.concatenate([data, np.zeros((timesteps - 1, *data.shape[1:]), data.dtype)])
    for name in record:
        if name not in m.by_name:
            raise BadInput(f"sinabs knows the potentials of {', '.join(m.by_name)}, not of {name!r}")
    with scratch_folder(PREFIX) as scratch:
        arrays = executed(folder, scratch, data, bool(record), interpreter(python))
    return collected(m, data, arrays, timesteps, record)


def executed(folder: Path, scratch: Path, data: Array, is_recorded: bool, python: str) -> dict[str, Array]:
    """The arrays that the process wrote."""
    entry, result = scratch / "in.npz", scratch / "out.npz"
    with writing(entry):
        np.savez(entry, x=data, record=is_recorded)
    command = [python, str((folder / NETWORK).resolve()), str(entry), str(result)]
    # What a killed process leaves behind goes with our own folder.
    try:
        execute(command, {**os.environ, "TMPDIR": str(scratch)}, None, "sinabs")
    except EngineFailed as error:
        is_missing = any(word in error.message for word in MISSING)
        raise EngineFailed(error.message, hint=INSTALL if is_missing else error.hint) from None
    return read_result(result, "sinabs")


def collected(
    m: Mapped, data: Array, arrays: Mapping[str, Array], timesteps: int, record: Collection[str]
) -> Run:
    """A run from the counts of every layer."""
    missing = [name for name in m.by_name if f"spikes/{name}" not in arrays]
    if missing:
        raise EngineFailed(
            f"the emitted module has no layer {missing[0]!r}: it is of another program",
            hint="compile again",
        )
    graph, batch = m.graph, data.shape[1]
    (node,) = graph.inputs
    trains: dict[str, Array] = {node.name: data}
    records: dict[str, Record] = {}
    for name in m.by_name:
        shape = (timesteps, batch, *graph.edges[name].shape)
        trains[name] = arrays[f"spikes/{name}"].reshape(shape)
        if name in record:
            potentials = arrays[f"potentials/{name}"].reshape(shape)
            records[name] = Record(trains[name][:, :, None], None, potentials)
    spikes = {k: v.reshape(timesteps, batch, 1, -1).sum(axis=3).swapaxes(0, 1) for k, v in trains.items()}
    active = {k: (v.reshape(timesteps, batch, -1) != 0).sum(axis=2).T for k, v in trains.items()}
    return Run(
        timesteps=timesteps,
        batch=batch,
        outputs={node.name: output_of(m, node, trains) for node in graph.outputs},
        spikes=spikes,
        operations={},
        saturations={},
        records=records,
        state={},
        active=active,
    )


def output_of(m: Mapped, node: Output, trains: Mapping[str, Array]) -> Array:
    """The real values of an output: what it reads, pooled and reshaped as the graph says."""
    from snncc.ir import edges_into
    from snncc.reference.nodes import evaluate

    def value(name: str) -> Array:
        if name in trains:
            return trains[name]
        one = m.graph.by_name[name]
        parts = [value(wire.source) for wire in one.inputs]
        ins, out = edges_into(one, m.graph.edges), m.graph.edges[name]
        steps = [
            evaluate(one, [part[t][:, None] for part in parts], ins, out, t, is_integer=True)
            for t in range(len(parts[0]))
        ]
        return np.stack(steps)[:, :, 0]

    train = value(node.inputs[0].source)
    return reduce_over(node.over, train) * simplest(m.graph.edges[node.name].scale)
