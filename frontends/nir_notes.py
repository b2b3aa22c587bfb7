"""What NIR has no place for: entries of the metadata whose names begin with ``snncc.``.

A neuron has one for each parameter that its NIR node does not say (`snncc.frontends.nir_neurons`), an input
its kind, the graph its step, timesteps and layout. A digest over everything that the file says lies beside
them: entries beside weights that somebody else has changed since would be believed otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.errors import BadFile, BadInput
from snncc.frontends.nir_file import NirGraph
from snncc.frontends.nir_values import Value
from snncc.ir import Layout

DIGEST = "sha256"
DIAGONAL = "diagonal"
"""Weights that stand for an affine node: NIR has no offset for each signal."""
KNOWN = {DIGEST, "dt", "timesteps", "layout", "name"}


@dataclass(frozen=True, slots=True)
class Given:
    """How a graph is discretized and fed."""

    dt: float | None
    timesteps: int
    layout: Layout


def graph_notes(nir: NirGraph, *, dt: float | None, timesteps: int | None, layout: str | None) -> Given:
    """What the file says, and what the user says; where both do, they must agree about dt."""
    if unknown := set(nir.notes) - KNOWN:
        raise BadFile(f"the graph has the entry snncc.{min(unknown)}, which this snncc does not know")
    said = number_note(nir.notes, "dt")
    if said is not None and not 0 < said < np.inf:
        raise BadFile(f"its entry snncc.dt is {said}")
    if said is not None and dt is not None and abs(said - dt) > 1e-9 * said:
        raise BadInput(f"was written with dt = {said:g} s, not {dt:g} s", hint="leave out dt")
    length = number_note(nir.notes, "timesteps") if timesteps is None else timesteps
    if length is None:
        raise BadInput(
            "NIR does not say for how many timesteps a network is made",
            hint="give timesteps=8, or --timesteps 8",
        )
    if not 1 <= length < 2**31 or length != int(length):
        raise BadInput(f"a network has at least one timestep, not {length:g}")
    try:
        chosen = Layout(layout or text_note(nir.notes, "layout") or Layout.TB)
    except ValueError as problem:
        raise BadInput(str(problem)) from None
    return Given(said if dt is None else dt, int(length), chosen)


def text_note(notes: Mapping[str, Value], name: str) -> str | None:
    """The note *name*, a text."""
    value = notes.get(name)
    if value is not None and not isinstance(value, str):
        raise BadFile(f"the entry snncc.{name} is no text")
    return value


def number_note(notes: Mapping[str, Value], name: str) -> float | None:
    """The note *name*, one number."""
    value = notes.get(name)
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise BadFile(f"the entry snncc.{name} is no number")
    return float(value.item())


def check_digest(nir: NirGraph) -> None:
    """Raise `BadFile` where a file that we wrote says something else by now."""
    noted = bool(nir.notes) or any(unit.notes for unit in nir.units.values())
    if noted and nir.notes.get(DIGEST) != digest(nir):
        raise BadFile(
            "is damaged, or was changed after snncc wrote it: its entries snncc.* may be wrong now (SHA-256)",
            hint="remove them from the metadata of all nodes to read what NIR itself says",
        )


def digest(nir: NirGraph) -> str:
    """The SHA-256 of units, edges and notes, whatever their order and the types of their numbers."""
    total = hashlib.sha256()
    for name in sorted(nir.units):
        unit = nir.units[name]
        total.update(repr((name, unit.kind)).encode())
        update(total, unit.fields)
        update(total, unit.notes)
    total.update(repr(sorted(nir.edges)).encode())
    update(total, {k: v for k, v in nir.notes.items() if k != DIGEST})
    return total.hexdigest()


def update(total: hashlib._Hash, values: Mapping[str, Value]) -> None:
    for name in sorted(values):
        value = values[name]
        if isinstance(value, np.ndarray):
            total.update(repr((name, value.shape)).encode())
            total.update(value.astype("<f8").tobytes())
        else:
            total.update(repr((name, value)).encode())
