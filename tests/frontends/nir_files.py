"""NIR files in the layout of `nir.write`, of any version, with whatever a test wants to stand in them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import snncc
from snncc.ir import Array, SpikeGraph
from snncc.reference import run

Nodes = Mapping[str, Mapping[str, Any]]
Edges = Sequence[tuple[str, str]]
RECORDED = Path(__file__).parent / "nir_1_0_8.nir"
"""Written by nir.write of nir 1.0.8: Affine, CubaLIF, and a Linear from the spikes back to the current."""
DT = 1e-4


def write(
    path: Path, nodes: Nodes, edges: Edges, *, version: str = "1.0.8", gzip: bool = True, **settings: Any
) -> Path:
    """Write a graph; each node has its ``type`` and fields, a nested graph ``nodes`` and ``edges``."""
    with h5py.File(path, "w", **settings) as file:
        file.create_dataset("version", data=version, dtype=h5py.string_dtype())
        put(file.create_group("node"), {"type": "NIRGraph", "nodes": nodes, "edges": list(edges)}, gzip)
    return path


def put(group: Any, node: Mapping[str, Any], gzip: bool) -> None:
    for key, value in node.items():
        if key == "edges":
            data = np.array(value, dtype=object).reshape(-1, 2)
            group.create_dataset(key, data=data, dtype=h5py.string_dtype())
        elif isinstance(value, Mapping):
            put(group.create_group(key), value, gzip)
        elif isinstance(value, str):
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        else:
            array = np.asarray(value)
            compression = {"compression": "gzip"} if gzip and array.ndim else {}
            group.create_dataset(key, data=array, **compression)


def unit(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def chain(
    path: Path, shape: Sequence[int], *units: Mapping[str, Any], out: Sequence[int], **how: Any
) -> Path:
    """input -> units, called a, b, c... -> output."""
    names = ["input", *"abcdefgh"[: len(units)], "output"]
    ends = (unit("Input", shape=np.array(shape)), unit("Output", shape=np.array(out)))
    nodes = dict(zip(names, (ends[0], *units, ends[1]), strict=True))
    return write(path, nodes, list(itertools.pairwise(names)), **how)


def outputs(graph: SpikeGraph, x: Array) -> Array:
    """[T, B, *shape], from the reference executor."""
    return run(graph, x, timesteps=len(x)).output


def load(path: Path, **options: Any) -> SpikeGraph:
    """With a step and a number of timesteps."""
    return snncc.load(path, **{"dt": DT, "timesteps": 20, **options})


def ends_of(n: int) -> dict[str, Any]:
    """An input and an output of *n* signals."""
    return {"input": unit("Input", shape=np.array([n])), "output": unit("Output", shape=np.array([n]))}
