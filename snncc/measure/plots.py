"""Plots of the measures, as matplotlib figures: ``plots.rates(graph, result).savefig("rates.png")``.

Nothing here needs a display, and no global state is touched. Every function raises `MissingDependency` where
matplotlib is not installed, and as the measure that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir import SpikeGraph
from snncc.measure.access import Ran
from snncc.measure.floor_drawing import floor_plan
from snncc.measure.membrane import Distribution
from snncc.measure.rates import tick_rates, timestep_rates
from snncc.measure.spike_raster import raster
from snncc.measure.style import (
    FILL,
    FIRING,
    INK,
    SOFT,
    canvas,
    ceiling,
    chosen,
    labels,
    row_label,
    styled,
    titled,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["floor_plan", "labels", "membranes", "raster", "rates", "ticks"]


@styled
def rates(graph: SpikeGraph, run: Ran, layers: Sequence[str] | None = None) -> Figure:
    """T-SFR of each of *layers* (default: all that spike, and the network), a row each, on one scale.

    At the right of each row stands its mean, NASFR.
    """
    rows = [(name, timestep_rates(graph, run, name)) for name in chosen(graph, layers)]
    if layers is None:
        rows.append(("network", timestep_rates(graph, run)))
    figure, grid = canvas(len(rows), 1, 0.5 * len(rows) + 0.7)
    top = ceiling(max(float(values.max()) for _, values in rows))
    shown = labels(chosen(graph, layers)) + ["network"] * (layers is None)
    for axes, label, (_, values) in zip(grid[:, 0], shown, rows, strict=True):
        color = INK if layers is None and axes is grid[-1, 0] else FILL
        edges = np.arange(len(values) + 1) - 0.5
        axes.stairs(values, edges, fill=True, color=color, alpha=0.25, lw=0)
        axes.stairs(values, edges, baseline=None, color=color, lw=1.4)
        axes.set(
            xlim=(-0.5, len(values) - 0.5), ylim=(0, top), yticks=[0, top], yticklabels=["0", f"{top:g}"]
        )
        row_label(axes, label)
        axes.text(1.015, 0.5, f"{values.mean():.3g}", transform=axes.transAxes, va="center", color=color)
        if axes is not grid[-1, 0]:
            axes.set_xticks([])
    grid[0, 0].text(1.015, 1.25, "mean", transform=grid[0, 0].transAxes, color=SOFT)
    whole_numbers(grid[-1, 0], len(rows[0][1]))
    grid[-1, 0].set_xlabel("timestep")
    return titled(figure, "Firing rate over time", "spikes per neuron and timestep, mean over samples")


@styled
def ticks(graph: SpikeGraph, run: Ran, layers: Sequence[str] | None = None) -> Figure:
    """NSFR of each tick, mean over timesteps, a panel for each of *layers* (default: all that spike)."""
    names = chosen(graph, layers)
    values = [tick_rates(graph, run, name).mean(axis=0) for name in names]
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure, grid = canvas(lines, columns, 1.6 * lines + 0.3)
    top, most = ceiling(max(float(one.max()) for one in values)), max(len(one) for one in values)
    for axes, label, heights in zip(grid.flat, labels(names, 18), values, strict=False):
        places = np.arange(1, len(heights) + 1)
        axes.bar(places, heights, width=0.72, color=FILL)
        for x, height in zip(places, heights, strict=True) if len(heights) <= 5 else ():
            axes.text(
                x, height + 0.02 * top, f"{height:.2g}", ha="center", va="bottom", fontsize=7, color=SOFT
            )
        is_first = axes in grid[:, 0]
        axes.set(ylim=(0, 1.12 * top), xlim=(0.4, most + 0.6))
        axes.set_yticks([0, top], ["0", f"{top:g}"] if is_first else ["", ""])
        axes.set_xticks(places[:: -(-len(heights) // 8)])
        axes.set_title(label, loc="left")
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("tick of the layer's phase", color=SOFT, fontsize=9)
    return titled(figure, "Firing rate in each tick", "spikes per neuron, mean over timesteps and samples")


@styled
def membranes(distributions: Sequence[Distribution]) -> Figure:
    """Distributions of membrane potentials, a panel each; what lies at or beyond the threshold is orange.

    A threshold that differs between neurons is drawn as the band that all of them lie in.
    """
    if not distributions:
        raise BadInput("there is no distribution to plot")
    columns = min(2, len(distributions))
    lines = -(-len(distributions) // columns)
    figure, grid = canvas(lines, columns, 1.9 * lines + 0.3)
    names = labels([one.layer for one in distributions])
    for axes, name, one in zip(grid.flat, names, distributions, strict=False):
        shares = 100 * one.shares
        axes.stairs(shares, one.edges, fill=True, color=FILL, lw=0)
        axes.set(ylim=(0, 1.18 * max(float(shares.max()), 1e-9)))
        if one.thresholds is not None:
            firing = one.centers >= one.thresholds[0]
            axes.stairs(np.where(firing, shares, 0), one.edges, fill=True, color=FIRING, lw=0)
            draw_threshold(axes, *one.thresholds, one.edges)
        channel = "" if one.channel is None else f", channel {one.channel}"
        axes.set_title(name + channel + ", u − θ" * one.is_relative, loc="left")
        axes.set_ylabel("% of potentials")
    for axes in grid.flat[len(distributions) :]:
        axes.set_visible(False)
    figure.supxlabel("membrane potential u before firing, real units", color=SOFT, fontsize=9)
    return titled(figure, "Membrane potentials", "orange: at or beyond the threshold θ")


def draw_threshold(axes: Axes, low: float, high: float, edges: NDArray[np.float64]) -> None:
    """A line at the threshold, or a band, labelled on the side where there is room."""
    if high > low:
        axes.axvspan(low, high, color=INK, alpha=0.12, lw=0)
    for theta in {low, high}:
        axes.axvline(theta, color=INK, lw=1.1, ls=(0, (4, 2)))
    is_right = high > 0.25 * edges[0] + 0.75 * edges[-1]
    text = f"θ = {low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"θ = {low:.3g} … {high:.3g}"
    axes.annotate(
        text,
        (low if is_right else high, 1),
        (-4 if is_right else 4, -1),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="top",
        fontsize=8,
    )
