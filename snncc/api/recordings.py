"""The user's input file for a program: frames as they are, or a recording, binned."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from snncc.api.data import read_data
from snncc.errors import BadFile, BadInput
from snncc.frontends.archive import checked_path
from snncc.frontends.events import MAXIMUM_CELLS, Bins, Events, is_recording, load_events
from snncc.ir import Array, Kind, Layout, Presence, SpikeGraph, place


def read_input(
    graph: SpikeGraph, path: Path, bins: Bins | None = None, camera: str | None = None
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The arrays of *path* in the layout of *graph*, and notes on what of a recording is left out.

    Files of frames are read by `read_data`. A recording takes its sensor from the graph's input, 2 x height x
    width, and without *bins* is cut into the graph's timesteps. Raises `BadInput` where file and input do not
    fit, `BadFile`.
    """
    if is_recording(path):
        x, notes = frames_of(graph, path, Bins(graph.timesteps) if bins is None else bins, camera)
        return {"x": x}, notes
    if bins is not None or camera is not None:
        raise BadInput(f"{path}: is no recording of events: --dt, --event-bins and --camera do not apply")
    return read_data(path), ()


def frames_of(
    graph: SpikeGraph, path: Path, bins: Bins, camera: str | None = None
) -> tuple[Array, tuple[str, ...]]:
    """One recording as data for *graph*: [T, 1, 2, height, width], or [1, T, ...] in the layout BT."""
    if len(graph.inputs) != 1:
        raise BadInput(f"{graph.name} has {len(graph.inputs)} inputs; a recording is for a network with one")
    node = graph.inputs[0]
    if node.presence is not Presence.SEQUENCE:
        raise BadInput(f"{place(node)}: takes one value for each sample, not one each timestep: no recording")
    if len(node.shape) != 3 or node.shape[0] != 2:
        have = " x ".join(map(str, node.shape))
        raise BadInput(
            f"{place(node)}: needs {have} numbers a timestep; a recording has 2 (OFF, ON) x height x width",
            hint="make frames for this network of your own: snncc.load_events(...).binned(...)",
        )
    _, height, width = node.shape
    events = load_events(path, width=width, height=height, camera=camera)
    frames, notes = events.binned(bins.timesteps, bins.dt, bins=bins.kind)
    if node.kind is Kind.SPIKE and frames.max() > 1:
        raise BadInput(
            f"{place(node)}: carries spikes, at most 1 for a pixel in a timestep; {path} has {frames.max()}",
            hint="take --event-bins spikes (what merges is counted), or more and shorter timesteps",
        )
    if graph.layout is Layout.BT:
        frames = np.swapaxes(frames, 0, 1)
    return frames, (*events.notes, *notes, *other_step(graph, events, bins))


def other_step(graph: SpikeGraph, events: Events, bins: Bins) -> tuple[str, ...]:
    """A note where a timestep of the recording is no timestep of a network whose step is known."""
    if graph.dt is None:
        return ()
    span = int(events.t[-1]) - int(events.t[0]) + 1
    step = 1e-6 * (bins.dt or span / (bins.timesteps or 1))
    if abs(step - graph.dt) <= SAME_STEP * graph.dt:
        return ()
    return (f"a timestep holds {step:.3g} s of the recording; one of the network is {graph.dt:.3g} s (--dt)",)


SAME_STEP = 0.01
"""Steps that differ by less, relative to the network's, are not worth a note."""
MAXIMUM_LIST = 64 << 20
SAID = 5


def read_labeled(
    graph: SpikeGraph, path: Path, bins: Bins, camera: str | None = None
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The recordings that the list *path* names as data ``x`` for *graph*, their labels ``y``, and notes.

    The list is a .csv file with a first line ``file,label``; files lie beside it or in folders below. Every
    recording gets the same number of timesteps, ``bins.timesteps``. Raises `BadFile`, `BadInput`.
    """
    rows = listed(path)
    x: Array | None = None
    axis = 0 if graph.layout is Layout.BT else 1
    said: list[str] = []
    for k, (name, _) in enumerate(rows):
        frames, notes = frames_of(graph, path.parent / name, bins, camera)
        if x is None:
            if frames.size * len(rows) > MAXIMUM_CELLS:
                raise BadInput(
                    f"{path}: its {len(rows)} recordings make {frames.size * len(rows)} numbers; at most "
                    f"{MAXIMUM_CELLS} are held",
                    hint="split the list, or take fewer timesteps",
                )
            x = np.zeros((*frames.shape[:axis], len(rows), *frames.shape[axis + 1 :]), frames.dtype)
        x[(slice(None),) * axis + (k,)] = frames.squeeze(axis)
        said += [f"{name}: {note}" for note in notes]
    if x is None:
        raise BadFile(f"{path}: names no recording")
    more = [f"... and {len(said) - SAID} more such notes"] if len(said) > SAID else []
    return {"x": x, "y": np.array([label for _, label in rows], np.int64)}, (*said[:SAID], *more)


def listed(path: Path) -> list[tuple[str, int]]:
    """The names and labels in the list *path*. Raises `BadFile`."""
    if checked_path(path, (".csv",), "lists of recordings") > MAXIMUM_LIST:
        raise BadFile(f"{path}: has more than {MAXIMUM_LIST} bytes")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as problem:
        raise BadFile(f"{path}: cannot be read: {problem}") from None
    if not lines or lines[0].strip() != "file,label":
        raise BadFile(f"{path}: its first line must be 'file,label'", hint="then e.g. 'five/00012.bin,5'")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        name, _, label = line.rpartition(",")
        inside = PurePosixPath(name)
        if not name or inside.is_absolute() or ".." in inside.parts or "\0" in name:
            raise BadFile(f"{path}: line {number}: must name a file beside the list or below, not {name!r}")
        if not (label.isascii() and label.isdecimal() and len(label) < 10):
            raise BadFile(f"{path}: line {number}: a label must be an integer, 0 or more, not {label!r}")
        rows.append((name, int(label)))
    return rows
