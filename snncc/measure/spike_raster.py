"""Rasters: every spike of some layers over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir import SpikeGraph, place
from snncc.measure.access import Ran, not_its_run, record_of, spikes_of, spiking_layers
from snncc.measure.style import (
    INK,
    LINE,
    canvas,
    chosen,
    labels,
    rgb,
    row_label,
    styled,
    titled,
    whole_numbers,
    written,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Spikes:
    """What *size* neurons sent in one sample: *count* spikes of neuron *address* in *frame*.

    A frame is one tick of one timestep; there are *frames*.
    """

    frame: Ints
    address: Ints
    count: Ints
    frames: int
    size: int


@styled
def raster(
    graph: SpikeGraph,
    run: Ran,
    layers: Sequence[str] | None = None,
    path: str | Path | None = None,
    *,
    sample: int = 0,
    limit: int = 80,
) -> Figure:
    """Every spike of one *sample*, a panel for each of *layers* (default: all whose spikes *run* has).

    The spikes are those of records (``run(x, record=...)``), or of a run on a chip (``timing=...``), which
    has them of all layers that send. Of a layer with more than *limit* neurons as many are shown, evenly
    spread. A timestep is as wide as its ticks together; a message that carries several spikes is darker.
    *path* (.png, .svg, .pdf) is written if given. Raises `BadInput`, and `BadFile` for *path*.
    """
    known = firings_of(run)
    has = [name for name in spiking_layers(graph) if name in run.records or name in known]
    names = chosen(graph, layers if layers is not None else has or None)
    if limit < 1:
        raise BadInput(f"a raster shows at least one neuron, not {limit}")
    found = [spikes_in(graph, run, name, sample) for name in names]
    shown = [np.unique(np.linspace(0, one.size - 1, limit).astype(int)) for one in found]
    heights = [max(len(one), 12) for one in shown]
    inches = float(np.clip(0.03 * sum(heights), 1.2 * len(names), 9.0)) + 0.5
    figure, grid = canvas(len(names), 1, inches, heights)
    steps = len(run.spikes[names[0]][sample])
    for axes, label, one, picked in zip(grid[:, 0], labels(names), found, shown, strict=True):
        draw_spikes(axes, one, picked, steps)
        of = f"{len(picked)} of {one.size}" if len(picked) < one.size else f"{len(picked)}"
        row_label(axes, label, f"{of} neurons")
        if axes is not grid[-1, 0]:
            axes.set_xticks([])
    whole_numbers(grid[-1, 0], steps)
    several = max(graph.edges[name].ticks for name in names) > 1
    grid[-1, 0].set_xlabel("timestep, its ticks side by side" if several else "timestep")
    graded = any(one.count.max(initial=0) > 1 for one in found)
    some = any(len(picked) < one.size for one, picked in zip(found, shown, strict=True))
    note = f"sample {sample}; on the left the neuron's index" + ", neurons evenly picked" * some
    note += "; the darker, the more spikes in one message" * graded
    return written(titled(figure, "Spikes", note), path)


def draw_spikes(axes: Axes, spikes: Spikes, picked: Ints, steps: int) -> None:
    """The spikes of the neurons *picked*, one row each."""
    is_shown = np.isin(spikes.address, picked)
    rows = np.searchsorted(picked, spikes.address[is_shown])
    x = (spikes.frame[is_shown] + 0.5) * steps / spikes.frames - 0.5
    shade = spikes.count[is_shown] / spikes.count.max(initial=1)
    colors: Any = np.array([(*rgb(INK), 0.25 + 0.75 * s) for s in shade]).reshape(-1, 4)
    axes.vlines(x, rows - 0.42, rows + 0.42, colors=colors, lw=min(12.0, max(0.5, 220 / spikes.frames)))
    if steps <= 60:
        axes.vlines(np.arange(1, steps) - 0.5, -1, len(picked), color=LINE, lw=0.6, zorder=0)
    marks = np.unique([0, len(picked) // 2, len(picked) - 1]) if len(picked) > 4 else np.arange(len(picked))
    axes.set(xlim=(-0.5, steps - 0.5), ylim=(len(picked) - 0.5, -0.5))
    axes.set_yticks(marks, [str(picked[row]) for row in marks])
    axes.tick_params(axis="y", length=2, labelsize=7)
    axes.spines["left"].set_visible(False)


def spikes_in(graph: SpikeGraph, run: Ran, layer: str, sample: int) -> Spikes:
    """What *layer* sent in one sample, from its record, else from the run on a chip. Raises `BadInput`."""
    spikes_of(graph, run, layer)
    samples, steps, ticks = run.spikes[layer].shape
    if not 0 <= sample < samples:
        raise BadInput(f"{place(graph[layer])}: the run has {samples} samples, so no sample {sample}")
    size = graph.edges[layer].size
    known = firings_of(run)
    if layer not in run.records and layer in known:
        firing = known[layer][sample]
        if len(firing.first) != steps * ticks + 1 or firing.address.max(initial=0) >= size:
            raise not_its_run(graph, layer)
        address = np.asarray(firing.address, np.int64)
        return Spikes(firing.frames, address, np.ones(len(address), np.int64), steps * ticks, size)
    train = record_of(graph, run, layer).train[:, sample].reshape(steps * ticks, -1)
    frame, address = np.nonzero(train)
    return Spikes(frame, address, np.asarray(train[frame, address], np.int64), steps * ticks, size)


def firings_of(run: Any) -> Mapping[str, Any]:
    """What each sender sent, sample by sample, if *run* (a `snncc.Result`, or its ``run``) was on a chip."""
    return getattr(getattr(run, "run", run), "firings", None) or {}
