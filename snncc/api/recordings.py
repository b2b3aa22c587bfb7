"""The user's input file for a program: frames as they are, or a recording, binned."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snncc.api.data import read_data
from snncc.errors import BadInput
from snncc.frontends.events import Bins, is_recording, load_events
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
    return frames, (*events.notes, *notes)
