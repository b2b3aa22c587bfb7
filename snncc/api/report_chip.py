"""The part of the HTML report that says what a batch took on a chip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from snncc.api.markup import Bar, bars, drawing, html_table, tiles
from snncc.api.tables import EVENT_HEAD, event_rows, joules, number, seconds, usage_rows
from snncc.chips import Topology
from snncc.measure.floor import TILE, Floor, arrow, fitted, floor_of
from snncc.measure.style import ceiling

if TYPE_CHECKING:
    from snncc.simulator.machine import ChipRun

MOST = 8
"""Links and queues of each kind that are listed."""
WIDTH = 900
"""Pixels of the widest drawing."""
PALE = 0.35
"""The opacity of a link that carries almost nothing."""


def chip_part(run: ChipRun) -> str:
    """Time, energy, floor plan, loads and memories of *run*, as sections of HTML."""
    chip, (low, high) = run.placement.chip, run.static
    used = len({part.core for part in run.placement.parts})
    unit, steps = seconds(chip.time_unit), run.timesteps
    wait = run.timings[0].barrier
    barrier = f"{number(wait)} × {unit} each to synchronize" if wait else "without synchronization"
    busiest = f", {run.busy[run.critical]:.1%}" if run.critical in run.busy else ""
    totals = [
        (seconds(float(run.seconds.mean())), "time of one inference"),
        (f"{number(float(run.times.mean()))} × {unit}", "the same in the chip's unit of time"),
        (seconds(run.time_per_timestep), f"time per timestep, of {steps}"),
        (joules(run.energy), f"energy of events, {chip.name} accounting"),
        (f"{joules(low)} … {joules(high)}", "energy of static power, low … high"),
        (f"{run.critical}{busiest}", "unit that works most, share of the time"),
    ]
    layers = [(name, value, shared(value, run.energy), False) for name, value in run.layers.items()]
    kinds = [(name, value, shared(value, run.energy), False) for name, value in run.kinds.items() if value]
    floor = floor_of(run)
    heads, needs = usage_rows(run.placement)
    return f"""<h2>On the chip {escape(chip.name)}</h2>
<p class="note">{escape(chip.title)}; {used} of {chip.fabric.cores} cores in use, {run.placement.schedule},
timing {run.level}. {run.steps} chip step{"s" * (run.steps != 1)}, {barrier};
{number(int(run.times.min()))} to {number(int(run.times.max()))} × {unit} an inference, by sample. The energy
is in the accounting of this chip: figures of different accountings are not comparable, neither with each
other nor with the counted operations above.</p>
{tiles(totals)}
<h2>Energy on the chip by kind of event</h2>
<div class="wide">{plain(html_table(EVENT_HEAD, event_rows(run)))}</div>
<figure>{bars(kinds)}
<figcaption>Events of one inference. Static power is in none of them: {joules(low)} to {joules(high)}, as
published figures of it differ.</figcaption></figure>
<h2>Energy on the chip by layer</h2>
<figure>{bars(layers)}
<figcaption>Neurons and their messages count for the layer that sends, synapses for the layer that
receives.</figcaption></figure>
<h2>Floor plan</h2>
<figure>{floor_drawing(floor)}
<figcaption>{legend(floor, run)}</figcaption></figure>
<h2>How busy the cores are</h2>
<figure>{busy_chart(run)}
<figcaption>Share of the time in which each core's units work; blue: neuron unit, orange: synapse
unit{host_note(run)}.</figcaption></figure>
<h2>Busiest links</h2>
<figure>{bars(busiest_links(run))}
<figcaption>Messages of one inference; orange: links between a core and the network.
{link_names(run)}</figcaption></figure>
{queues(run)}<h2>What each core needs and has</h2>
<div class="wide">{plain(html_table(heads, needs, has_total=False))}</div>
"""


def host_note(run: ChipRun) -> str:
    """What the caption says of the host, where there is one."""
    return ", or the host" if "host" in run.busy else ""


def shared(value: float, whole: float) -> str:
    return f"{joules(value)}, {value / whole:.1%}" if whole else joules(value)


def plain(table: str) -> str:
    """*table*, with all columns but the first to the right."""
    return table.replace("<table>", '<table class="plain">', 1)


def highest(values: Mapping[str, float], what: str, orange: bool = False) -> list[Bar]:
    """The `MOST` largest of *values* as bars."""
    ordered = sorted(values.items(), key=lambda item: -item[1])[:MOST]
    return [(name, value, f"{number(value)} {what}{'s' * (value != 1)}", orange) for name, value in ordered]


def busiest_links(run: ChipRun) -> list[Bar]:
    """The busiest links of the network, and of those that lead into it and out of it."""
    ends = {name: n for name, n in run.loads.items() if name.startswith(("inject", "eject"))}
    inner = {name: n for name, n in run.loads.items() if name not in ends}
    return highest(inner, "message") + highest(ends, "message", orange=True)


def queues(run: ChipRun) -> str:
    """The deepest queues, and how deep messages found them."""
    if not run.deepest:
        return """<h2>Queues</h2>
<p class="note">No message was in a queue, or none was followed: only the timing cycle does.</p>
"""
    counts = run.depths
    depths = [
        (f"{2**k} to {2 ** (k + 1) - 1}" if k else "1", float(n), number(int(n)), False)
        for k, n in enumerate(counts)
    ]
    unit = seconds(run.placement.chip.time_unit)
    return f"""<h2>Deepest queues</h2>
<figure>{bars(highest(run.deepest, "slot"))}
<figcaption>The most slots in use at once, in any sample. Neuron units waited {number(run.stalled)} × {unit}
for slots in one inference, added up over all.</figcaption></figure>
<h2>How deep messages found the queues</h2>
<figure>{bars(depths)}
<figcaption>Messages by the slots in use when they entered, their own included: all queues, all
samples.</figcaption></figure>
"""


def link_names(run: ChipRun) -> str:
    """What the names of links mean."""
    units = "inject k: from core k into the network; eject k: out of it to core k"
    if run.placement.chip.fabric.topology is Topology.CROSSBAR:
        return f"{units}; cross j k: from core j to core k."
    return f"{units}; east, west, south, north k: from tile k to the next in this direction."


def busy_chart(run: ChipRun) -> str:
    """Two upright bars for each core that holds neurons or works."""
    cores = run.placement.chip.fabric.cores
    held = {part.core for part in run.placement.parts}
    rows = [
        (str(k), run.busy.get(f"neuron unit {k}", 0.0), run.busy.get(f"synapse unit {k}", 0.0))
        for k in range(cores)
        if k in held or {f"neuron unit {k}", f"synapse unit {k}"} & set(run.busy)
    ]
    if "port" in run.busy:
        rows.append(("port", run.busy["port"], 0.0))
    if "host" in run.busy:
        rows.append(("host", 0.0, run.busy["host"]))
    top = min(1.0, ceiling(max((max(row[1:]) for row in rows), default=0.0)))
    height, left = 150, 46
    pitch = float(np.clip((WIDTH - left) / max(1, len(rows)), 6, 44))
    gap = max(1.5, 0.22 * pitch)
    bar = (pitch - gap) / 2
    every = int(np.ceil(28 / pitch))
    parts = []
    for share in (0.0, top / 2, top):
        y = 10 + height * (1 - share / top)
        parts.append(
            f'<text class="value" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.3g} %</text>'
            f'<path class="soft" d="M{left} {y:.1f}h{len(rows) * pitch:.1f}"/>'
        )
    for k, (name, *shares) in enumerate(rows):
        x = left + k * pitch + gap / 2
        for n, (share, kind) in enumerate(zip(shares, ("bar", "mac"), strict=True)):
            what = name if name in ("port", "host") else f"{('neuron', 'synapse')[n]} unit {name}"
            long = height * share / top
            parts.append(
                f'<rect class="{kind}" x="{x + n * bar:.1f}" y="{10 + height - long:.1f}" width="{bar:.1f}" '
                f'height="{long:.1f}"><title>{what}: {share:.1%}</title></rect>'
            )
        if k % every == 0:
            parts.append(
                f'<text class="value" x="{x + bar:.1f}" y="{height + 26}" text-anchor="middle">{name}</text>'
            )
    middle = left + len(rows) * pitch / 2
    parts.append(f'<text class="value" x="{middle:.1f}" y="{height + 44}" text-anchor="middle">core</text>')
    return drawing(round(left + len(rows) * pitch + 24), height + 50, parts)


def legend(floor: Floor, run: ChipRun) -> str:
    """What the floor plan shows."""
    lines = ["A core has its number and its layers; blue: how busy its busier unit is."]
    if floor.busiest:
        lines.append("Arrows: messages on the links of one inference; dotted or no line: none.")
    if floor.critical is not None:
        lines.append(f"Thick frame: the core whose unit works most, {run.critical}.")
    return " ".join(lines)


def swatches(kind: str, top: str, lightest: float, x: float, y: float) -> Iterable[str]:
    """A color bar from 0 to *top*."""
    steps, width = 8, 18
    for k in range(steps):
        opacity = lightest + (1 - lightest) * k / (steps - 1)
        yield (
            f'<rect class="{kind}" x="{x + k * width:.1f}" y="{y:.1f}" width="{width}" height="10" '
            f'fill-opacity="{opacity:.3f}"/>'
        )
    yield f'<rect class="soft" x="{x:.1f}" y="{y:.1f}" width="{steps * width}" height="10"/>'
    yield f'<text class="value" x="{x:.1f}" y="{y + 25:.1f}">0</text>'
    right = x + steps * width
    yield f'<text class="value" x="{right:.1f}" y="{y + 25:.1f}" text-anchor="end">{top}</text>'


def floor_drawing(floor: Floor) -> str:
    """Tiles, cores with their heat and layers, and links with their loads."""
    scale = min(150.0, WIDTH / max(floor.width, 1), 0.8 * WIDTH / max(floor.height, 1))
    edge = 6
    parts = [f'<g transform="translate({edge} {edge})">']
    for x, y in floor.tiles:
        parts.append(rectangle("edge", x, y, TILE, scale))
    parts += links(floor, scale)
    top = max(spot.value for spot in floor.spots)
    for spot in floor.spots:
        share = spot.value / (top or 1.0)
        is_used = bool(spot.layers) or spot.value > 0
        tip = escape(", ".join([f"core {spot.name}" if spot.name.isdigit() else spot.name, *spot.layers]))
        hover = f"<title>{tip}: {spot.value:.1%}</title>" if is_used else ""
        if is_used:
            parts.append(rectangle("hot", spot.x, spot.y, spot.side, scale, f'fill-opacity="{share:.3f}"'))
        frame = "critical" if spot.core == floor.critical else "edge" if is_used else "soft"
        parts.append(rectangle(frame, spot.x, spot.y, spot.side, scale, 'pointer-events="all"', hover))
        room = 0.94 * spot.side * scale
        size = float(np.clip(room / 5.5, 7, 12))
        lines = fitted(spot, floor.short, int(room / (0.58 * size)), int(room / (1.25 * size)))
        parts += label(
            lines, spot.center, scale, size, "over" if share > 0.75 else "" if is_used else "value"
        )
    parts.append("</g>")
    width, height = floor.width * scale + 2 * edge, floor.height * scale + 2 * edge
    parts += swatches("hot", f"busy {top:.1%}", 0.0, edge, height + 12)
    if floor.busiest:
        parts += swatches("mac", f"{number(floor.busiest)} messages", PALE, edge + 180, height + 12)
    return drawing(round(max(width, 340)), round(height + 44), parts)


def links(floor: Floor, scale: float) -> Iterable[str]:
    """Arrows for links with load; dotted lines for those without, but in a crossbar."""
    for link in floor.links:
        (x, y), (u, v) = ((scale * p[0], scale * p[1]) for p in (link.start, link.end))
        if link.load:
            share = link.load / floor.busiest
            corners = arrow(link, floor.widest * (0.1 + 0.9 * share))
            points = " ".join(f"{scale * a:.1f},{scale * b:.1f}" for a, b in corners)
            yield (
                f'<polygon class="mac" points="{points}" fill-opacity="{PALE + (1 - PALE) * share:.3f}">'
                f"<title>{link.name}: {number(link.load)} messages</title></polygon>"
            )
        elif not link.name.startswith("cross"):
            yield f'<path class="soft" stroke-dasharray="2 3" d="M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}"/>'


def rectangle(
    kind: str, x: float, y: float, side: float, scale: float, more: str = "", inside: str = ""
) -> str:
    place = f'x="{x * scale:.1f}" y="{y * scale:.1f}" width="{side * scale:.1f}" height="{side * scale:.1f}"'
    return f'<rect class="{kind}" {place} {more}>{inside}</rect>'


def label(
    lines: list[str], center: tuple[float, float], scale: float, size: float, kind: str
) -> Iterable[str]:
    """*lines* one under another around *center*."""
    pitch = 1.2 * size
    y = center[1] * scale - pitch * (len(lines) - 1) / 2 + 0.35 * size
    for k, line in enumerate(lines):
        yield (
            f'<text class="{kind}" x="{center[0] * scale:.1f}" y="{y + k * pitch:.1f}" text-anchor="middle" '
            f'style="font-size:{size:.1f}px;pointer-events:none">{escape(line)}</text>'
        )
