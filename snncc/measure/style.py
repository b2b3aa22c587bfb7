"""What all our figures share: style, canvas, titles, labels, and writing them to files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadFile, BadInput, MissingDependency
from snncc.ir import SpikeGraph
from snncc.ir.write import replace_file
from snncc.measure.access import spiking_layers

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
    "svg.hashsalt": "snncc",  # the same figure is the same file
    "text.color": INK,
    "xtick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.color": SOFT,
    "ytick.labelsize": 8,
}
WIDTH, HEAD = 7.2, 0.62
"""Inches: of a figure, and of the band above its panels that holds the title."""

DATES: Any = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""The kinds of files that figures are written to, and what keeps the date out of each."""

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


def written(figure: Figure, path: str | Path | None) -> Figure:
    """*figure*, after writing it to *path* (.png, .svg or .pdf) if there is one. Raises `BadFile`."""
    if path is None:
        return figure
    kind = Path(path).suffix.lower()
    if kind not in DATES:
        raise BadFile(
            f"{path}: cannot be written: unknown kind of picture {kind!r}; known: {', '.join(DATES)}"
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind[1:], metadata=DATES[kind])
    replace_file(Path(path), buffer.getvalue())
    return figure


def chosen(graph: SpikeGraph, layers: Sequence[str] | None) -> tuple[str, ...]:
    """*layers*, or all that spike. Raises `BadInput` where there is none."""
    names = spiking_layers(graph) if layers is None else (layers,) if isinstance(layers, str) else layers
    if not names:
        raise BadInput(f"{graph.name}: there is no spiking layer to plot")
    return tuple(names)


def titled(figure: Figure, title: str, note: str) -> Figure:
    """*figure* with a title, and a note about its units under it."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.12 / height, title, va="top", fontsize=12, fontweight="bold")
    figure.text(0.012, 1 - 0.36 / height, note, va="top", color=SOFT)
    return figure


def row_label(axes: Axes, name: str, note: str = "") -> None:
    text = name + (f"\n{note}" if note else "")
    axes.set_ylabel(text, rotation=0, ha="right", va="center", color=INK)


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
