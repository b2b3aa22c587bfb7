"""NIR graphs into files, in the layout of `nir.write`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from snncc.errors import MissingDependency
from snncc.frontends.nir_file import PREFIX, NirGraph
from snncc.frontends.nir_neurons import NEURONS
from snncc.frontends.nir_values import Value
from snncc.ir.write import replace_file


def need_h5py() -> None:
    """Raise `MissingDependency` where h5py is not installed: only writing needs it."""
    if find_spec("h5py") is None:
        raise MissingDependency("h5py", "nir")


def write_nir(nir: NirGraph, path: Path) -> None:
    """Write *nir* to *path*, whole or not at all. Raises `BadFile`, `MissingDependency`."""
    need_h5py()
    import h5py

    buffer = io.BytesIO()
    text = h5py.string_dtype()

    def put(group: h5py.Group, values: Mapping[str, Value], prefix: str = "") -> None:
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                how = {"compression": "gzip"} if value.ndim else {}
                group.create_dataset(prefix + name, data=value, **how)
            else:
                group.create_dataset(prefix + name, data=value, dtype=text)

    with h5py.File(buffer, "w") as file:
        file.create_dataset("version", data=nir.version, dtype=text)
        root = file.create_group("node")
        put(root, {"type": "NIRGraph"})
        root.create_dataset("edges", data=np.array(nir.edges, dtype=object), dtype=text)
        # in nir 1.0.4 neurons alone take metadata of their own
        others = {name: unit for name, unit in nir.units.items() if unit.kind not in NEURONS}
        notes = {f"{note}:{name}": v for name, unit in others.items() for note, v in unit.notes.items()}
        if nir.notes or notes:
            put(root.create_group("metadata"), {**nir.notes, **notes}, PREFIX)
        nodes = root.create_group("nodes")
        for name, unit in nir.units.items():
            group = nodes.create_group(name)
            put(group, {"type": unit.kind, **unit.fields})
            if unit.notes and name not in others:
                put(group.create_group("metadata"), unit.notes, PREFIX)
    replace_file(path, buffer.getvalue())
