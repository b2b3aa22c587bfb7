"""Plots of the measures, as matplotlib figures: ``plots.rates(graph, result).savefig("rates.png")``.

Nothing here needs a display, and no global state is touched. Every function raises `MissingDependency` where
matplotlib is not installed, and as the measure that it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput, MissingDependency
from snncc.ir import Array, SpikeGraph, place
from snncc.measure.access import Ran, record_of, spikes_of, spiking_layers
from snncc.measure.membrane import Distribution
from snncc.measure.rates import tick_rates, timestep_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE, FILL, FIRING = "#1b1f24", "#5b6470", "#d9dee5", "#3465a4", "#c4731c"
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.dpi": 120,
    "font.family": "sans-serif",
    "font.size": 9,
    "savefig.dpi": 160,
    "text.color": INK,
    "xtick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.color": SOFT,
    "ytick.labelsize": 8,
}
WIDTH, HEAD = 7.2, 0.62
"""Inches: of a figure, and of the band above its panels that holds the title."""

P = ParamSpec("P")


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """*plot* in our style, which it leaves to no other figure."""

    @wraps(plot)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        try:
            from matplotlib import rc_context
        except ImportError:
            raise MissingDependency("matplotlib", "plots") from None
        with rc_context(STYLE):
            return plot(*args, **kwargs)

    return draw


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


@styled
def raster(
    graph: SpikeGraph, run: Ran, layers: Sequence[str] | None = None, *, sample: int = 0, limit: int = 80
) -> Figure:
    """Every spike of one *sample*, a panel for each of *layers* (default: all that spike and were recorded).

    Of a layer with more than *limit* neurons as many are shown, evenly spread. A timestep is as wide as its
    ticks together; a message that carries several spikes is darker.
    """
    recorded = [name for name in spiking_layers(graph) if name in run.records]
    names = chosen(graph, layers if layers is not None else recorded or None)
    if limit < 1:
        raise BadInput(f"a raster shows at least one neuron, not {limit}")
    trains = [train_of(graph, run, name, sample) for name in names]
    shown = [np.unique(np.linspace(0, one.shape[1] - 1, limit).astype(int)) for one in trains]
    heights = [max(len(one), 12) for one in shown]
    inches = float(np.clip(0.03 * sum(heights), 1.2 * len(names), 9.0)) + 0.5
    figure, grid = canvas(len(names), 1, inches, heights)
    steps = len(run.spikes[names[0]][sample])
    for axes, label, train, picked in zip(grid[:, 0], labels(names), trains, shown, strict=True):
        slots, rows = np.nonzero(train[:, picked])
        counts = train[:, picked][slots, rows]
        x = (slots + 0.5) * steps / len(train) - 0.5
        shade = np.asarray(counts / train.max(initial=1))
        colors = np.array([(*rgb(INK), 0.25 + 0.75 * s) for s in shade]).reshape(-1, 4)
        axes.vlines(x, rows - 0.42, rows + 0.42, colors=colors, lw=min(12.0, max(0.5, 220 / len(train))))
        if steps <= 60:
            axes.vlines(np.arange(1, steps) - 0.5, -1, len(picked), color=LINE, lw=0.6, zorder=0)
        axes.set(xlim=(-0.5, steps - 0.5), ylim=(len(picked) - 0.5, -0.5), yticks=[])
        axes.spines["left"].set_visible(False)
        of = f"{len(picked)} of {train.shape[1]}" if len(picked) < train.shape[1] else f"{len(picked)}"
        row_label(axes, label, f"{of} neurons")
        if axes is not grid[-1, 0]:
            axes.set_xticks([])
    whole_numbers(grid[-1, 0], steps)
    several = max(graph.edges[name].ticks for name in names) > 1
    grid[-1, 0].set_xlabel("timestep, its ticks side by side" if several else "timestep")
    graded = any(train.max(initial=0) > 1 for train in trains)
    return titled(
        figure, "Spikes", f"sample {sample}" + "; the darker, the more spikes in one message" * graded
    )


def canvas(
    lines: int, columns: int, inches: float, heights: Sequence[float] | None = None
) -> tuple[Figure, NDArray[Any]]:
    """A figure without a window, and its axes [lines, columns]."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    inches += HEAD
    engine = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - HEAD / inches))
    figure = Figure(figsize=(WIDTH, inches), layout=engine)
    return figure, figure.subplots(lines, columns, squeeze=False, height_ratios=heights)


def chosen(graph: SpikeGraph, layers: Sequence[str] | None) -> tuple[str, ...]:
    """*layers*, or all that spike. Raises `BadInput` where there is none."""
    names = spiking_layers(graph) if layers is None else (layers,) if isinstance(layers, str) else layers
    if not names:
        raise BadInput(f"{graph.name}: there is no spiking layer to plot")
    return tuple(names)


def train_of(graph: SpikeGraph, run: Ran, layer: str, sample: int) -> Array:
    """What *layer* sent in each tick: [T * ticks, neurons]."""
    spikes_of(graph, run, layer)
    train = record_of(graph, run, layer).train
    if not 0 <= sample < train.shape[1]:
        raise BadInput(f"{place(graph[layer])}: the run has {train.shape[1]} samples, so no sample {sample}")
    return train[:, sample].reshape(train.shape[0] * train.shape[2], -1)


def titled(figure: Figure, title: str, note: str) -> Figure:
    """*figure* with a title, and a note about its units under it."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.12 / height, title, va="top", fontsize=12, fontweight="bold")
    figure.text(0.012, 1 - 0.36 / height, note, va="top", color=SOFT)
    return figure


def row_label(axes: Axes, name: str, note: str = "") -> None:
    text = name + (f"\n{note}" if note else "")
    axes.set_ylabel(text, rotation=0, ha="right", va="center", color=INK)


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


def labels(names: Sequence[str], length: int = 24) -> list[str]:
    """*names*, where they are long without the parts that all begin with, and without their middle.

    >>> labels(["encoder.stages.3.blocks.11.attention.lif", "encoder.stages.4.lif"])
    ['…3.blocks.11…ttention.lif', '…4.lif']
    """
    if max(map(len, names)) <= length:
        return list(names)
    parts, common = [name.split(".") for name in names], 0
    while all(len(p) > common + 1 and p[common] == parts[0][common] for p in parts) and len(names) > 1:
        common += 1
    tails = [".".join(p[common:]) for p in parts]
    half = length // 2
    short = [t if len(t) <= length else f"{t[: half - 1]}…{t[-half:]}" for t in tails]
    return ["…" * (common > 0) + label for label in short]


def ceiling(value: float) -> float:
    """A round number at or above *value*, for the end of an axis.

    >>> ceiling(0.234), ceiling(1.0), ceiling(0.0)
    (0.25, 1.0, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    rounds = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return float(next(power * one for one in rounds if power * one >= value * (1 - 1e-12)))


def whole_numbers(axes: Axes, steps: int) -> None:
    """Timesteps are whole numbers, about ten of them labelled."""
    axes.set_xticks(np.arange(0, steps, max(1, -(-steps // 12))))


def rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return red, green, blue
