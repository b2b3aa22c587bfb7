"""The floor plan of a chip after a run, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.measure.floor import Floor, Heat, arrow, fitted, floor_of
from snncc.measure.style import HEAD, INK, LINE, SOFT, ceiling, rgb, styled, titled, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure

    from snncc.simulator.machine import ChipRun

HEATS = ("#f1f5fb", "#a9c4e6", "#5f8fca", "#2b5a9b", "#0d2547")
LOADS = ("#f0dcc6", "#d99a56", "#b4610f", "#713a00", "#3a1d00")
"""From little to much. One hue each, ever darker: they can be told apart in grey, and by everybody."""
UNITS = {
    Heat.BUSY: "busy share of the busier unit of a core",
    Heat.ENERGY: "energy of a core in one inference, without links",
    Heat.MESSAGES: "messages that a core sends and takes in one inference",
}
MARGIN, FOOT = 0.3, 0.95
"""Inches: around the plan, and of the band under it that holds the color bars."""


@styled
def floor_plan(run: ChipRun, path: str | Path | None = None, *, heat: str = "busy") -> Figure:
    """Where a network lives on its chip, and how hot each core and each link between tiles gets.

    *heat* is ``busy``, ``energy`` or ``messages``: see `snncc.measure.floor.Heat`. A core shows its number
    and its layers (as far as there is room); unused cores are empty. Links are arrows, the wider and darker
    the more messages they carry, dotted lines where none. The critical core, whose unit works most, has a
    thick frame. *path* (.png, .svg, .pdf) is written if given. Raises `UnknownName`, and `BadFile` for
    *path*.
    """
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure

    floor = floor_of(run, heat)
    scale = float(np.clip(9.6 / max(floor.width, floor.height), 0.33, 1.7))
    head = HEAD + 0.15
    wide, high = floor.width * scale, floor.height * scale
    width, height = max(6.4, wide + 2 * MARGIN), high + head + FOOT + MARGIN / 2
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.5 - wide / width / 2, FOOT / height, wide / width, high / height))
    axes.set(xlim=(0, floor.width), ylim=(floor.height, 0))
    axes.set_axis_off()
    most = max(spot.value for spot in floor.spots)
    top = min(1.0, ceiling(most)) if floor.heat is Heat.BUSY else ceiling(most)
    hot = LinearSegmentedColormap.from_list("heat", HEATS)
    shades = Normalize(0, top)
    draw_tiles(axes, floor)
    draw_cores(axes, floor, hot, shades, 72 * scale)
    draw_bar(figure, 0.08, hot, shades, floor.heat, UNITS[floor.heat])
    if floor.busiest:
        loaded = LinearSegmentedColormap.from_list("load", LOADS)
        loads = Normalize(0, ceiling(floor.busiest))
        draw_links(axes, floor, loaded, loads)
        draw_bar(figure, 0.56, loaded, loads, Heat.MESSAGES, "messages on a link in one inference")
    else:
        draw_links(axes, floor, None, shades)
    used = len({part.core for part in run.placement.parts})
    chip = run.placement.chip
    title = f"{chip.name}: {used} of {chip.fabric.cores} cores in use"
    return written(titled(figure, title, note_of(run)), path)


def note_of(run: ChipRun) -> str:
    """Time, energy and the critical unit, in two lines."""
    from matplotlib.ticker import EngFormatter

    seconds, joules = (EngFormatter(unit, sep=" ") for unit in ("s", "J"))
    time, energy = (float(f"{value:.4g}") for value in (run.seconds.mean(), run.energy))
    lines = (
        f"one inference: {seconds(time)}, {joules(energy)} of events (accounting {run.placement.chip.name}; "
    )
    lines += f"timing {run.level.value})\n"
    if run.critical == "none":
        return lines + "no unit worked"
    return lines + f"thick frame: {run.critical} works most, {run.busy[run.critical]:.1%} of the time"


def draw_tiles(axes: Axes, floor: Floor) -> None:
    """The outlines of tiles that have several cores."""
    from matplotlib.patches import Rectangle

    from snncc.measure.floor import TILE

    for k, corner in enumerate(floor.tiles):
        axes.add_patch(
            Rectangle(
                corner, TILE, TILE, facecolor="none", edgecolor=SOFT, lw=0.7, clip_on=False, gid=f"tile {k}"
            )
        )


def draw_cores(
    axes: Axes, floor: Floor, hot: LinearSegmentedColormap, shades: Normalize, points: float
) -> None:
    """Cores with their heat and labels; a tile's distance is so many *points*."""
    from matplotlib.patches import Rectangle

    for spot in floor.spots:
        is_used = bool(spot.layers) or spot.value > 0
        color = hot(shades(spot.value)) if is_used else (1.0, 1.0, 1.0, 1.0)
        is_critical = spot.core == floor.critical
        axes.add_patch(
            Rectangle(
                (spot.x, spot.y),
                spot.side,
                spot.side,
                facecolor=color,
                edgecolor=INK if is_critical else SOFT if is_used else LINE,
                lw=2.6 if is_critical else 0.7,
                zorder=3 if is_critical else 2,
                clip_on=False,
                gid=f"core {spot.name}",
            )
        )
        room = 0.94 * spot.side * points
        size = float(np.clip(room / 6, 4.5, 9))
        text = fitted(spot, floor.short, int(room / (0.6 * size)), int(room / (1.25 * size)))
        if text and (is_used or room > 20):
            ink = "white" if brightness(color) < 0.5 else INK if is_used else SOFT
            label = axes.text(*spot.center, "\n".join(text), color=ink, fontsize=size, zorder=4)
            label.set(ha="center", va="center", linespacing=1.15, gid=f"label {spot.name}")


def draw_links(axes: Axes, floor: Floor, colors: Any, loads: Normalize) -> None:
    """An arrow for each link that carries something; of a mesh also the others, dotted."""
    from matplotlib.patches import Polygon

    for link in floor.links:
        if link.load:
            share = float(loads(link.load))
            shape = Polygon(
                arrow(link, floor.widest * (0.1 + 0.9 * share)), facecolor=colors(0.15 + 0.85 * share), lw=0
            )
            shape.set(gid=link.name, zorder=1, clip_on=False)
            axes.add_patch(shape)
        elif not link.name.startswith("cross"):
            (x, y), (u, v) = link.start, link.end
            axes.plot([x, u], [y, v], color=LINE, lw=0.8, ls=":", gid=link.name, zorder=1, clip_on=False)


def draw_bar(figure: Figure, left: float, colors: Any, values: Normalize, heat: Heat, text: str) -> None:
    """A color bar with its unit under the plan."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import EngFormatter, FuncFormatter

    width, height = figure.get_size_inches()
    wide = min(0.36, 3.2 / width)
    axes = figure.add_axes((left, 0.42 / height, wide, 0.13 / height))
    top = float(values.vmax or 1)
    formats = {
        Heat.BUSY: FuncFormatter(lambda share, _: f"{100 * share:.3g} %"),
        Heat.ENERGY: EngFormatter("J", sep=" "),
        Heat.MESSAGES: EngFormatter(sep=""),
    }
    bar = figure.colorbar(
        ScalarMappable(values, colors),
        cax=axes,
        orientation="horizontal",
        format=formats[heat],
        ticks=[0, top / 2, top],
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7.5)
    axes.set_title(text, loc="left", fontsize=8, color=INK, pad=3)


def brightness(color: tuple[float, ...] | str) -> float:
    """How bright *color* is to the eye: 0..1, about even in its steps (W3C's luma)."""
    red, green, blue = rgb(color) if isinstance(color, str) else color[:3]
    return float(0.299 * red + 0.587 * green + 0.114 * blue)
